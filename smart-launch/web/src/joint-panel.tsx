import { percentOf } from '../../../src/joints/finding.ts'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { MapOverlay, MapWords, useMap } from './attention-map.tsx'
import { closeUpUrl, type ReviewCall, type ReviewView } from './api.ts'
import { findingWords, fullJointName, useWords } from './words.ts'

export const CALL_KEYS: Record<string, ReviewCall> = { s: 'swollen', n: 'not-swollen', x: 'not-assessable' }

export interface JointPanelProps {
  readonly latest: NonNullable<ReviewView['latest']>
  readonly side: Laterality
  readonly joint: HandJoint
  readonly call: ReviewCall | undefined
  readonly tender: boolean
  /** Whether the occlusion map lies over the close-up. */
  readonly mapShown: boolean
  onMap(): void
  onDecide(call: ReviewCall | undefined): void
  onTender(): void
}

/** The chosen joint large: close-up, what the model says in words and number, and the clinician's own call. */
export function JointPanel({ latest, side, joint, call, tender, mapShown, onMap, onDecide, onTender }: JointPanelProps) {
  const w = useWords()
  const finding = latest.findings.find((one) => one.side === side && one.joint === joint)
  const photo = latest.photos.find(({ hands }) => hands.some((hand) => hand.side === side))
  const hand = photo?.hands.find((one) => one.side === side)
  const map = useMap(mapShown && finding?.kind === 'assessed', photo?.id, side, joint)
  if (!finding) return null
  const name = fullJointName(w, side, joint)
  const region = hand?.regions[HAND_JOINTS.indexOf(joint)]
  return (
    <div className="joint-panel" aria-live="polite">
      {photo
        ? <div className="close-up">
            <img src={closeUpUrl(photo.id, side, joint)} alt={w.closeUp(name)} width={180} height={180} />
            {map?.kind === 'shown' && region && <MapOverlay map={map.map} region={region} />}
          </div>
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
        {finding.kind === 'assessed' && <button type="button" className="quiet" aria-pressed={mapShown} onClick={onMap}>{w.map} <kbd>a</kbd></button>}
        {map && <MapWords state={map} />}
      </div>
    </div>
  )
}
