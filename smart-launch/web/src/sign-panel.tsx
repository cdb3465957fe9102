import { useEffect, useState } from 'react'
import { preview, sign, type Review, type SessionView } from './api.ts'
import { useWords } from './words.ts'

export interface SignPanelProps {
  readonly session: SessionView
  readonly review: Review
  onSigned(): void
}

/** Preview of exactly what will be written, then the signature. Nothing can be signed that was not previewed. */
export function SignPanel({ session, review, onSigned }: SignPanelProps) {
  const w = useWords()
  const [resources, setResources] = useState<readonly object[]>()
  const [message, setMessage] = useState('')
  const [busy, setBusy] = useState(false)
  useEffect(() => setResources(undefined), [review])
  if (!session.canSign) return <section className="sign"><p>{w.readOnly}</p></section>

  const act = async (work: () => Promise<void>) => {
    setBusy(true)
    setMessage('')
    try {
      await work()
    } catch (error) {
      setMessage(error instanceof Error ? error.message : String(error))
    } finally {
      setBusy(false)
    }
  }
  const show = () => act(async () => setResources((await preview(session.csrf, review)).resources))
  const record = () => act(async () => {
    const { written } = await sign(session.csrf, review)
    setMessage(w.written(written.length))
    onSigned()
  })
  const { length } = review.decisions
  const nothing = length === 0 && !review.activity && !review.examined
  return (
    <section className="sign" aria-label={w.signTitle}>
      <p>{nothing ? w.nothingDecided : w.decided(length)}</p>
      <div className="actions">
        <button type="button" disabled={busy || nothing} onClick={() => void show()}>{w.preview}</button>
        <button type="button" className="primary" disabled={busy || !resources} onClick={() => void record()}>{w.sign}</button>
      </div>
      {resources && <details open><summary>{w.willWrite(resources.length)}</summary><pre tabIndex={0}>{JSON.stringify(resources, null, 2)}</pre></details>}
      <p role="status">{message}</p>
    </section>
  )
}
