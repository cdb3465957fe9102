import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { ApiError, readSigned, type SignedView } from './api.ts'
import { changesOf, NO_WORK, rebased, workOfSigned, type Work } from './work.ts'
import { errorWords, useWords } from './words.ts'

/**
 * A correction of what was signed: one can be begun (`idle`), is under way, or cannot be made here. `asked`: someone pressed the button for it,
 * so that the focus goes along; a draft that is found again takes no focus.
 */
export type CorrectionState = { readonly asked?: boolean } & (
  | { readonly kind: 'idle' | 'stale' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'impossible'; readonly signed: SignedView }
  | { readonly kind: 'open'; readonly base: Work }
)

export interface Correction {
  readonly state: CorrectionState
  /** Against what was signed, while one is open. */
  readonly changes: ReturnType<typeof changesOf> | undefined
  begin(): void
  /** Takes what is signed now for its base and keeps the changes: someone else signed meanwhile. */
  renew(): Promise<void>
  leave(): void
  /** It was signed. */
  close(): void
}

/**
 * What was signed becomes work that can be changed, and own calls that were not signed yet are laid on it. A draft of a correction that is
 * found again goes on only when what it saw still stands: a colleague's later signature is never taken for one that should go.
 */
export function useCorrection(screeningId: string, work: Work, onWork: (change: (before: Work) => Work) => void): Correction {
  const [state, setState] = useState<CorrectionState>({ kind: 'idle' })
  const open = state.kind === 'open' ? state.base : undefined
  const { corrects } = work

  const opened = useCallback((from: Work, asked: boolean) => readSigned(screeningId).then((signed) => {
    if (signed.uncorrectable) return setState({ kind: 'impossible', signed, asked })
    const base = workOfSigned(signed)
    setState({ kind: 'open', base, asked })
    onWork((before) => rebased(before, from, base))
  }).catch((error: unknown) => setState({ kind: 'failed', error, asked })), [screeningId, onWork])

  useEffect(() => {
    if (corrects === undefined || open) return
    readSigned(screeningId).then((signed) => {
      if (!signed.uncorrectable && isSame(signed.seen, corrects)) return setState({ kind: 'open', base: workOfSigned(signed) })
      setState({ kind: 'stale' })
      onWork(() => NO_WORK)
    }, (error: unknown) => setState({ kind: 'failed', error }))
  }, [corrects, open, screeningId, onWork])

  return {
    state,
    changes: useMemo(() => open && changesOf(work, open), [open, work]),
    begin: () => void opened(NO_WORK, true),
    renew: () => (open ? opened(open, false) : Promise.resolve()),
    close: () => setState({ kind: 'idle' }),
    leave() {
      setState({ kind: 'idle' })
      if (corrects) onWork(() => NO_WORK)
    }
  }
}

/** Says that signed findings are being corrected; or why they cannot be, and where they lie in the record. */
export function CorrectionNotice({ correction: { state, leave } }: { readonly correction: Correction }) {
  const w = useWords()
  const notice = useRef<HTMLDivElement>(null)
  useEffect(() => { if (state.asked) notice.current?.focus() }, [state])
  // The button goes with the notice; what is shown then stands in the result.
  const close = () => {
    leave()
    const shown = document.getElementById('signed') ?? document.getElementById('result')
    shown?.focus()
  }
  if (state.kind === 'idle') return null
  if (state.kind === 'open') {
    return (
      <div className="banner correcting" ref={notice} tabIndex={-1} role="group" aria-label={w.correctingTitle}>
        <p role="status"><strong>{w.correctingTitle}</strong> {w.correctingText}</p>
        <button type="button" className="quiet" onClick={close}>{w.stopCorrecting}</button>
      </div>
    )
  }
  return (
    <div className="banner" role="alert" ref={notice} tabIndex={-1}>
      {state.kind === 'impossible' && state.signed.uncorrectable && (
        <>
          <p><strong>{w.uncorrectable[state.signed.uncorrectable]}</strong> {w.correctThere}</p>
          <ul lang="en">{state.signed.entries.map(({ reference, words, at }) => <li key={reference}>{words}{at ? `, ${w.timeOf(at)}` : ''} <small>({reference})</small></li>)}</ul>
        </>
      )}
      {state.kind === 'stale' && <p>{w.correctionStale}</p>}
      {state.kind === 'failed' && <p>{state.error instanceof ApiError ? errorWords(w, state.error) : w.unknownError}</p>}
      <button type="button" className="quiet" onClick={close}>{w.close}</button>
    </div>
  )
}

function isSame(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const ids = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...ids].every((id) => one[id] === other[id])
}
