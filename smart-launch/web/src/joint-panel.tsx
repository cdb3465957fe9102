import { percentOf, type PhotoRegion } from '../../../src/joints/finding.ts'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { MapOverlay, MapWords, useMap, type MapState } from './attention-map.tsx'
import { closeUpUrl, type EarlierVisit, type PhotoView, type ReviewCall, type ReviewView, type SignedBy, type SignedByClinician } from './api.ts'
import { dayOf } from './dates.ts'
import { earlierOf } from './earlier-close-ups.ts'
import { usePhotoSource } from './photo-source.ts'
import { earlierWords, findingWords, fullJointName, probabilityWords, signedPlaceWords, signedWords, useWords } from './words.ts'

export const CALL_KEYS: Record<string, ReviewCall> = { s: 'swollen', n: 'not-swollen', x: 'not-assessable' }

export interface JointPanelProps {
  readonly latest: NonNullable<ReviewView['latest']>
  readonly earlier: readonly EarlierVisit[]
  readonly side: Laterality
  readonly joint: HandJoint
  readonly call: ReviewCall | undefined
  readonly signed: SignedByClinician | undefined
  readonly tender: boolean
  /** Somebody signed that it is tender; in this examination it then stands, and only a correction takes it back. */
  readonly tenderSigned: SignedBy | undefined
  readonly tenderStands: boolean
  readonly threshold: number
  /** Whether the occlusion map lies over the close-up. */
  readonly mapShown: boolean
  /** Whether the same joint of the other hand stands beside it. */
  readonly otherShown: boolean
  /** How many joints are suggested; where there are none, a step goes to the neighbouring joint. */
  readonly flagged: number
  onStep(by: number): void
  onMap(): void
  onOther(): void
  onDecide(call: ReviewCall | undefined): void
  onTender(): void
}

/** The chosen joint large, now and at earlier visits; what the model says in words and number; and the clinician's own call. */
export function JointPanel({ latest, earlier, side, joint, call, signed, tender, tenderSigned, tenderStands, threshold, mapShown, otherShown, flagged, onStep, onMap, onOther, onDecide, onTender }: JointPanelProps) {
  const w = useWords()
  const finding = latest.findings.find((one) => one.side === side && one.joint === joint)
  const photo = latest.photos.find(({ hands }) => hands.some((hand) => hand.side === side))
  const region = photo?.hands.find((one) => one.side === side)?.regions[HAND_JOINTS.indexOf(joint)]
  const map = useMap(mapShown && finding?.kind === 'assessed', photo?.id, side, joint)
  const name = fullJointName(w, side, joint)
  const then = earlierOf(earlier, side, joint)
  const other = otherOf(latest, side, joint)
  const beside = otherShown ? other : undefined
  const isCompared = then.length > 0 || beside !== undefined
  const said = finding ? findingWords(w, finding) : w.withheld
  const number = finding?.kind === 'assessed' ? probabilityWords(w, finding.probability) : ''
  return (
    <div className={`joint-panel${isCompared ? ' compared' : ''}`}>
      <p role="status" className="visually-hidden">{[`${name}.`, `${said}.`, number && `${number}.`, signed && `${signedWords(w, signed)}.`, call && `${w.yourCall}: ${w.call[call]}.`, tender && `${w.tender}.`].filter(Boolean).join(' ')}</p>
      <div className="joint-head">
        <h2>{name}</h2>
        {([-1, 1] as const).map((by) => {
          const words = w.step(by, flagged > 0)
          return <button key={by} type="button" aria-label={words} title={words} onClick={() => onStep(by)}>{by < 0 ? '‹' : '›'}</button>
        })}
      </div>
      <div className="close-ups">
        <figure>
          {photo && region ? <CloseUp photo={photo} region={region} side={side} joint={joint} map={map} /> : <div className="no-picture">{w.noPicture}</div>}
          {isCompared && <figcaption><strong>{then.length > 0 ? w.now : w.side[side]}</strong> {dayOf(w, latest.photoTime)}{percentWords(finding)}</figcaption>}
        </figure>
        {beside && (
          <figure>
            <img className="mirrored" src={closeUpUrl(beside.photo, beside.side, joint)} alt={`${w.closeUp(fullJointName(w, beside.side, joint))}, ${w.mirrored}`} width={240} height={240} />
            <figcaption><strong>{w.side[beside.side]}</strong> ({w.mirrored}){percentWords(beside.finding)}{beside.finding && <span>{findingWords(w, beside.finding)}</span>}</figcaption>
          </figure>
        )}
        {then.map((one) => (
          <figure key={one.id}>
            <img src={closeUpUrl(one.photo, side, joint)} alt={`${w.closeUp(name)}, ${dayOf(w, one.photoTime)}`} loading="lazy" width={240} height={240} />
            <figcaption>{dayOf(w, one.photoTime)}{percentWords(one.finding)}{one.finding ? <span>{findingWords(w, one.finding)}</span> : null}</figcaption>
          </figure>
        ))}
      </div>
      <div>
        <p className={`finding ${finding?.kind === 'assessed' && finding.inflamed ? 'flagged' : ''}`}>{said}</p>
        {number && <p className="probability">{number}. <span>{w.threshold(percentOf(threshold))}</span></p>}
        {signed && <p className="signed">{signedWords(w, signed)}{earlierWords(w, signed).map((words) => <span key={words}>{words}</span>)}</p>}
        {tenderSigned && <p className="signed">{signedPlaceWords(w, tenderSigned, w.tenderShort)}</p>}
      </div>
      <div className="acts">
        <div className="calls" role="group" aria-label={w.yourCallFor(name)}>
          {Object.entries(CALL_KEYS).map(([key, value]) => (
            <button key={value} type="button" aria-pressed={call === value} onClick={() => onDecide(call === value ? undefined : value)}>
              {w.call[value]} <kbd>{key}</kbd>
            </button>
          ))}
          <button type="button" aria-pressed={tender} disabled={tenderStands} onClick={onTender}>{w.tender} <kbd>t</kbd></button>
        </div>
        {other && <button type="button" className="quiet" aria-pressed={otherShown} onClick={onOther}>{w.otherHand} <kbd>o</kbd></button>}
        {finding?.kind === 'assessed' && <button type="button" className="quiet" aria-pressed={mapShown} onClick={onMap}>{w.map} <kbd>a</kbd></button>}
        {map && <MapWords state={map} />}
      </div>
    </div>
  )
}

/** Behind the day of a close-up. */
function percentWords(finding: JointPanelProps['latest']['findings'][number] | undefined): string {
  return finding?.kind === 'assessed' ? ` · ${percentOf(finding.probability)}\u00A0%` : ''
}

/** The same joint of the other hand, where a photo of that visit shows it. */
function otherOf({ photos, findings }: JointPanelProps['latest'], side: Laterality, joint: HandJoint) {
  const other = side === 'left' ? 'right' : 'left'
  const photo = photos.find(({ hands }) => hands.some((hand) => hand.side === other && hand.regions[HAND_JOINTS.indexOf(joint)]))
  const finding = findings.find((one) => one.side === other && one.joint === joint)
  return photo && { side: other, photo: photo.id, ...(finding ? { finding } : {}) } as const
}

/** At once as a part of the photo that is already there; a moment later sharp, cut from the original. */
function CloseUp({ photo, region, side, joint, map }: { photo: PhotoView; region: PhotoRegion; side: Laterality; joint: HandJoint; map: MapState | undefined }) {
  const w = useWords()
  const source = usePhotoSource(photo.id)
  const name = fullJointName(w, side, joint)
  const percent = (part: number, whole: number) => `${(part / whole) * 100}%`
  return (
    <div className="close-up">
      <img className="under" src={source} alt="" style={{
        width: percent(photo.width, region.width), height: percent(photo.height, region.height),
        left: percent(-region.x, region.width), top: percent(-region.y, region.height)
      }} />
      <img key={`${side}-${joint}`} className="sharp" src={closeUpUrl(photo.id, side, joint)} alt={w.closeUp(name)} width={240} height={240} />
      {map?.kind === 'shown' && <MapOverlay map={map.map} region={region} />}
    </div>
  )
}
