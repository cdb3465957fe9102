import type { ReviewView, SessionView, SignedByClinician } from './api.ts'
import { dayOf } from './dates.ts'
import { signersOf, useWords } from './words.ts'

export interface SummaryProps {
  readonly session: SessionView
  readonly latest: NonNullable<ReviewView['latest']>
  readonly pending: boolean
  readonly signed: readonly SignedByClinician[]
  /** Begins a correction; undefined where nothing can be signed, or one is under way. */
  readonly onCorrect: (() => void) | undefined
}

const DAY_MS = 86_400_000

/** The result in a line: never a number without its denominator and interval, and no number at all where nothing could be assessed. */
export function Summary({ session, latest, pending, signed, onCorrect }: SummaryProps) {
  const w = useWords()
  const { count } = latest
  const days = Math.floor((Date.now() - Date.parse(latest.photoTime)) / DAY_MS)
  return (
    <section className="summary" id="result" tabIndex={-1} aria-label={w.result}>
      {session.mode === 'shadow' && <p className="shadow count"><strong>{w.shadowTitle}</strong> {w.shadow} {session.calibrated ? '' : w.notCalibrated}</p>}
      {count && count.assessable > 0 && (
        <p className="count">
          <strong className={count.swollen > 0 ? 'number some' : 'number'}>{count.swollen}</strong> {w.count(count.assessable)} <span>({w.interval(count.low, count.high, count.of - count.assessable)})</span>
        </p>
      )}
      {count && count.assessable === 0 && <p className="count"><strong>{w.noneAssessable}</strong> <span>{reasonsOf(latest).map(([reason, joints]) => `${w.reason[reason] ?? reason} (${w.joints22(joints)})`).join('; ')}</span></p>}
      <p>
        {w.photosOf(dayOf(w, latest.photoTime))} {days > session.currentPhotoDays && <strong>{w.oldPhotos(days)} </strong>}
        {pending && <strong>{w.reading} </strong>}{count && count.assessable > 0 && w.caution}
      </p>
      {signed.length > 0 && (
        <p className="signed" id="signed" tabIndex={-1}>{w.signedJoints(signed.length, signersOf(w, signed), signed.filter(({ earlier }) => earlier).length)}{' '}
          {onCorrect && <button type="button" className="quiet" onClick={onCorrect}>{w.correct}</button>}</p>
      )}
    </section>
  )
}

/** Why joints could not be assessed, the most frequent reason first. */
function reasonsOf({ findings }: SummaryProps['latest']): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>()
  for (const finding of findings) if (finding.kind === 'not-assessed') counts.set(finding.reason, (counts.get(finding.reason) ?? 0) + 1)
  return [...counts].sort(([, one], [, other]) => other - one)
}
