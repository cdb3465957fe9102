import { useEffect, useRef, useState } from 'react'
import { ApiError, preview, readHeld, sign, type DraftView, type Previewed, type Review, type SentSignature, type SessionView } from './api.ts'
import { lookedFor } from './lost-signature.ts'
import type { PreviewedResource } from './preview-lines.ts'
import { errorWords, useWords } from './words.ts'

export interface SignatureOptions {
  readonly session: SessionView
  /** Undefined as long as there is nothing to sign. */
  readonly review: Review | undefined
  /** The draft that the review is made of. */
  readonly entered: DraftView
  /** A signature that was on its way when the page was loaded. */
  readonly sent: SentSignature | undefined
  /** How much a correction changes; undefined while nothing that was signed is corrected. */
  readonly changes: number | undefined
  /** A typed value is outside its range. */
  readonly faulty: boolean
  readonly ended: boolean
  /** All of it is in the record. */
  onSigned(signature: SentSignature): void
  /** A colleague signed something else meanwhile, or the record changed since the preview; resolves when the page knows what stands now. */
  onConflict(): Promise<void>
  /** What stands signed may be more than the page shows. */
  onUncertain(): void
}

export interface Message { readonly kind: 'written' | 'failed'; readonly words: string; readonly isConflict?: boolean }

interface Shown { readonly resources: readonly PreviewedResource[]; readonly signer?: string; readonly previewed: Previewed }

export interface Signature {
  /** What was previewed and can be signed; it goes with the next change. */
  readonly shown: Shown | undefined
  readonly message: Message | undefined
  /** `look-again`: for a signature that was on its way when the page was loaded. */
  readonly busy: 'preview' | 'sign' | 'look' | 'look-again' | undefined
  readonly canPreview: boolean
  readonly canRecord: boolean
  /** Both do nothing while they cannot. */
  preview(): void
  record(): void
}

/** From what was entered to the preview of exactly what will be written, and to the signature. Nothing can be signed that was not previewed. */
export function useSignature({ session, review, entered, sent, changes, faulty, ended, onSigned, onConflict, onUncertain }: SignatureOptions): Signature {
  const w = useWords()
  const [shown, setShown] = useState<Shown>()
  const [message, setMessage] = useState<Message>()
  const [busy, setBusy] = useState<Signature['busy']>(sent && session.canSign ? 'look-again' : undefined)
  const justSigned = useRef(false)
  /** The signature that this page has sent, or looks for. */
  const lookedAt = useRef<string>(undefined)
  const same = JSON.stringify(review)
  useEffect(() => {
    setShown(undefined)
    // What was written was about what was signed; a new change is not, and what was entered meanwhile is none.
    if (same !== undefined && !justSigned.current) setMessage((before) => (before?.kind === 'written' ? undefined : before))
    justSigned.current = false
  }, [same])

  const act = async (what: NonNullable<Signature['busy']>, work: () => Promise<void>) => {
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
    lookedAt.current = shown.previewed.at
    const sending = { review, previewed: shown.previewed, entered }
    const answer = await sign(session.csrf, review, shown.previewed, entered).catch((error: unknown) => {
      if (!(error instanceof ApiError && error.code === 'ERR_WRITE_AMBIGUOUS')) throw error
    })
    if (answer) return isWritten(sending, answer.written.length > 0 ? w.written(answer.written.length) : w.nothingWritten)
    setBusy('look')
    await look(sending)
  })
  const isWritten = (signed: SentSignature, words: string) => {
    setMessage({ kind: 'written', words })
    justSigned.current = true
    onSigned(signed)
  }
  /** The answer was lost: the page looks for itself what the record holds. */
  const look = async (lost: SentSignature) => {
    const held = await lookedFor(() => readHeld(session.csrf, lost.review, lost.previewed))
    if (held && held.there === held.of) return isWritten(lost, held.of > 0 ? w.foundWritten(held.of) : w.nothingWritten)
    setMessage({ kind: 'failed', words: held ? w.notFound(held.there, held.of) : w.errors['ERR_WRITE_AMBIGUOUS'] ?? w.unknownError })
    onUncertain()
  }
  useEffect(() => {
    if (!sent || !session.canSign || lookedAt.current === sent.previewed.at) return
    lookedAt.current = sent.previewed.at
    void act('look-again', () => look(sent))
  })
  const free = busy === undefined && session.canSign && session.mode !== 'shadow' && !faulty && !ended
  const canPreview = free && review !== undefined && changes !== 0
  const canRecord = free && shown !== undefined
  return {
    shown, message, busy, canPreview, canRecord,
    preview: () => { if (canPreview) void show() },
    record: () => { if (canRecord) void record() }
  }
}
