import { percentOf } from '../../../src/joints/finding.ts'
import type { HandJoint, Laterality } from '../../../src/joints/hand-joint.ts'
import { closeUpUrl, type ReviewCall, type ReviewView } from './api.ts'
import { findingWords, fullJointName, useWords } from './words.ts'

export const CALL_KEYS: Record<string, ReviewCall> = { s: 'swollen', n: 'not-swollen', x: 'not-assessable' }

export interface JointPanelProps {
  readonly latest: NonNullable<ReviewView['latest']>
  readonly side: Laterality
  readonly joint: HandJoint
  readonly call: ReviewCall | undefined
  readonly tender: boolean
  onDecide(call: ReviewCall | undefined): void
  onTender(): void
}

/** The chosen joint large: close-up, what the model says in words and number, and the clinician's own call. */
export function JointPanel({ latest, side, joint, call, tender, onDecide, onTender }: JointPanelProps) {
  const w = useWords()
  const finding = latest.findings.find((one) => one.side === side && one.joint === joint)
  const photo = latest.photos.find(({ hands }) => hands.some((hand) => hand.side === side))
  if (!finding) return null
  const name = fullJointName(w, side, joint)
  return (
    <div className="joint-panel" aria-live="polite">
      {photo
        ? <img src={closeUpUrl(photo.id, side, joint)} alt={w.closeUp(name)} width={180} height={180} />
        : <div className="no-picture">{w.noPicture}</div>}
      <div>
        <h2>{name}</h2>
        <p>{findingWords(w, finding)}</p>
        {finding.kind === 'assessed' && <p className="probability">{percentOf(finding.probability)} %: {w.frequency(finding.probability)}</p>}
        <div className="calls" role="group" aria-label={w.yourCallFor(name)}>
          {Object.entries(CALL_KEYS).map(([key, value]) => (
            <button key={value} type="button" aria-pressed={call === value} onClick={() => onDecide(call === value ? undefined : value)}>
              {w.call[value]} <kbd>{key}</kbd>
            </button>
          ))}
          <button type="button" aria-pressed={tender} onClick={onTender}>{w.tender} <kbd>t</kbd></button>
        </div>
      </div>
    </div>
  )
}
