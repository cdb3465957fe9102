import { useEffect, useRef, useState } from 'react'
import { ApiError, preview, readHeld, sign, type Previewed, type Review, type SessionView } from './api.ts'
import { lookedFor } from './lost-signature.ts'
import type { PreviewedResource } from './preview-lines.ts'
import { errorWords, useWords } from './words.ts'

export interface SignatureOptions {
  readonly session: SessionView
  /** Undefined as long as there is nothing to sign. */
  readonly review: Review | undefined
  /** How much a correction changes; undefined while nothing that was signed is corrected. */
  readonly changes: number | undefined
  /** A typed value is outside its range. */
  readonly faulty: boolean
  readonly ended: boolean
  onSigned(): void
  /** A colleague signed something else meanwhile, or the record changed since the preview; resolves when the page knows what stands now. */
  onConflict(): Promise<void>
  /** What stands signed may be more than the page shows. */
  onUncertain(): void
}

export interface Message { readonly kind: 'written' | 'failed'; readonly words: string; readonly isConflict?: boolean }

interface Shown { readonly resources: readonly PreviewedResource[]; readonly previewed: Previewed }

export interface Signature {
  /** What was previewed and can be signed; it goes with the next change. */
  readonly shown: Shown | undefined
  readonly message: Message | undefined
  readonly busy: 'preview' | 'sign' | 'look' | undefined
  readonly canPreview: boolean
  readonly canRecord: boolean
  /** Both do nothing while they cannot. */
  preview(): void
  record(): void
}

/** From what was entered to the preview of exactly what will be written, and to the signature. Nothing can be signed that was not previewed. */
export function useSignature({ session, review, changes, faulty, ended, onSigned, onConflict, onUncertain }: SignatureOptions): Signature {
  const w = useWords()
  const [shown, setShown] = useState<Shown>()
  const [message, setMessage] = useState<Message>()
  const [busy, setBusy] = useState<Signature['busy']>()
  const justSigned = useRef(false)
  const same = JSON.stringify(review)
  useEffect(() => {
    setShown(undefined)
    // What was written was about what was signed; a new change is not, and what was entered meanwhile is none.
    if (same !== undefined && !justSigned.current) setMessage((before) => (before?.kind === 'written' ? undefined : before))
    justSigned.current = false
  }, [same])

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
    justSigned.current = true
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
  const free = busy === undefined && session.canSign && session.mode !== 'shadow' && !faulty && !ended
  const canPreview = free && review !== undefined && changes !== 0
  const canRecord = free && shown !== undefined
  return {
    shown, message, busy, canPreview, canRecord,
    preview: () => { if (canPreview) void show() },
    record: () => { if (canRecord) void record() }
  }
}
