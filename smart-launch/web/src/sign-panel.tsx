import { useEffect, useRef, useState } from 'react'
import { ApiError, preview, readHeld, sign, type Previewed, type Review, type SessionView } from './api.ts'
import { lookedFor } from './lost-signature.ts'
import { PatientLine } from './page-frame.tsx'
import { linesOf, type PreviewedResource } from './preview-lines.ts'
import type { DraftState } from './use-draft.ts'
import { errorWords, useWords } from './words.ts'

export interface SignPanelProps {
  readonly session: SessionView
  /** Undefined as long as there is nothing to sign. */
  readonly review: Review | undefined
  readonly draft: DraftState
  /** How much a correction changes; undefined while nothing that was signed is corrected. */
  readonly changes: number | undefined
  /** A typed value is outside its range. */
  readonly faulty: boolean
  /** The page shows that something else is signed already. */
  readonly conflicting: boolean
  readonly ended: boolean
  onSigned(): void
  /** A colleague signed something else meanwhile, or the record changed since the preview; resolves when the page knows what stands now. */
  onConflict(): Promise<void>
  /** What stands signed may be more than the page shows. */
  onUncertain(): void
}

interface Message { readonly kind: 'written' | 'failed'; readonly words: string; readonly isConflict?: boolean }

interface Shown { readonly resources: readonly PreviewedResource[]; readonly previewed: Previewed }

/**
 * Preview of exactly what will be written, then the signature. Nothing can be signed that was not previewed. The buttons are `aria-disabled`
 * while they do nothing, so that the focus stays on them; it moves to the preview, and after the signature to what was recorded.
 */
export function SignPanel({ session, review, draft, changes, faulty, conflicting, ended, onSigned, onConflict, onUncertain }: SignPanelProps) {
  const w = useWords()
  const [shown, setShown] = useState<Shown>()
  const [message, setMessage] = useState<Message>()
  const [busy, setBusy] = useState<'preview' | 'sign' | 'look'>()
  const said = useRef<HTMLParagraphElement>(null)
  const same = JSON.stringify(review)
  useEffect(() => {
    setShown(undefined)
    // What was written was about what was signed; a new change is not.
    if (same !== undefined) setMessage((before) => (before?.kind === 'written' ? undefined : before))
  }, [same])
  useEffect(() => { if (message?.kind === 'written') said.current?.focus() }, [message])
  if (session.mode === 'shadow') return <section className="sign" id="sign" aria-label={w.signTitle}><p>{w.shadowSign}</p></section>
  if (!session.canSign) return <section className="sign" id="sign" aria-label={w.signTitle}><p>{w.readOnly}</p></section>

  const act = async (what: 'preview' | 'sign', work: () => Promise<void>) => {
    setBusy(what)
    setMessage(undefined)
    try {
      await work()
    } catch (error) {
      setMessage({ kind: 'failed', words: errorWords(w, error), isConflict: error instanceof ApiError && error.code === 'ERR_CONFLICT' })
      if (error instanceof ApiError && error.code === 'ERR_CONFLICT') {
        setShown(undefined)
        await onConflict()
      }
    } finally {
      setBusy(undefined)
    }
  }
  const show = () => act('preview', async () => {
    if (review) setShown(await preview(session.csrf, review) as Shown)
  })
  const record = () => act('sign', async () => {
    if (!review || !shown) return
    const answer = await sign(session.csrf, review, shown.previewed).catch((error: unknown) => {
      if (!(error instanceof ApiError && error.code === 'ERR_WRITE_AMBIGUOUS')) throw error
    })
    const words = answer ? (answer.written.length > 0 ? w.written(answer.written.length) : w.nothingWritten) : await foundAfterAll(review, shown.previewed)
    if (words === undefined) return onUncertain()
    setMessage({ kind: 'written', words })
    onSigned()
  })
  /** The answer was lost: the page looks for itself what the record holds. Undefined when not all of it was found. */
  const foundAfterAll = async (sent: Review, previewed: Previewed): Promise<string | undefined> => {
    setBusy('look')
    const held = await lookedFor(() => readHeld(session.csrf, sent, previewed))
    if (held && held.there === held.of) return held.of > 0 ? w.foundWritten(held.of) : w.nothingWritten
    setMessage({ kind: 'failed', words: held ? w.notFound(held.there, held.of) : w.errors['ERR_WRITE_AMBIGUOUS'] ?? w.unknownError })
    return undefined
  }
  const canPreview = busy === undefined && review !== undefined && changes !== 0 && !faulty && !ended
  const canRecord = busy === undefined && shown !== undefined && !faulty && !ended
  return (
    <section className="sign" id="sign" aria-label={w.signTitle}>
      <h2>{w.signTitle}</h2>
      <PatientLine patient={session.patient} />
      <p>{changes !== undefined ? w.changes(changes) : review ? w.decided(review.decisions.length) : w.nothingDecided} <span className="quiet-words">{review ? w.draft[draft] : ''}</span></p>
      {faulty && <p className="fault">{w.faulty}</p>}
      <div className="actions">
        <button type="button" aria-disabled={!canPreview} onClick={() => { if (canPreview) void show() }}>{w.preview}</button>
        <button type="button" className="primary" aria-disabled={!canRecord} onClick={() => { if (canRecord) void record() }}>{w.sign}</button>
      </div>
      {shown && (shown.resources.length > 0 ? <Preview resources={shown.resources} /> : <p>{w.allStands}</p>)}
      <p role="status" ref={said} tabIndex={-1}>{busy === 'sign' ? w.signing : busy === 'look' ? w.looking : message?.isConflict && conflicting ? w.signedOtherwise : message?.words ?? ''}</p>
    </section>
  )
}

/** A line for each resource in the words it carries itself, and all of it as it is sent. */
function Preview({ resources }: { resources: readonly PreviewedResource[] }) {
  const w = useWords()
  const { observations, provenance } = linesOf(resources)
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [resources])
  return (
    <div className="preview">
      <h3 ref={heading} tabIndex={-1}>{w.willWrite(resources.length)}</h3>
      <div className="scroll" role="region" aria-label={w.preview} tabIndex={0}>
        <table lang="en" role="table">
          <thead lang={w.locale} role="rowgroup"><tr role="row">{w.previewColumns.map((name) => <th key={name} scope="col" role="columnheader">{name}</th>)}</tr></thead>
          <tbody role="rowgroup">{observations.map(({ what, where, value, status, how, was }, at) => (
            <tr key={at} role="row">
              <td role="cell">{what}</td><td role="cell">{where}</td><td role="cell" className="value">{value}{was && <small className="was">{was}</small>}</td>
              <td role="cell">{status}</td><td role="cell">{how}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {provenance && <p>{w.provenance(provenance.who, w.timeOf(provenance.when))}</p>}
      <details><summary>{w.everyMember}</summary><pre tabIndex={0}>{JSON.stringify(resources, null, 2)}</pre></details>
    </div>
  )
}
