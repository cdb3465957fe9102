import { HAND_JOINTS, jointLabel, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { photoUrl, type PhotoView as Photo, type ReviewCall } from './api.ts'
import { dayOf, fullJointName } from './words.ts'

export interface PhotoProps {
  readonly photo: Photo
  readonly calls: ReadonlyMap<string, ReviewCall>
  readonly chosen: string
  readonly marks: boolean
  onChoose(side: Laterality, joint: HandJoint): void
}

/** The photo with a ring on each joint; the rings scale with the picture. */
export function PhotoView({ photo, calls, chosen, marks, onChoose }: PhotoProps) {
  const radius = Math.max(photo.width, photo.height) / 55
  const sides = photo.hands.map(({ side }) => side).join(' and ') || 'no'
  return (
    <figure className="photo">
      <div className="photo-frame">
        <img src={photoUrl(photo.id)} alt={`Photo of the back of the ${sides} hand`} width={photo.width} height={photo.height} />
        {marks && (
          <svg viewBox={`0 0 ${photo.width} ${photo.height}`} aria-hidden="true">
            {photo.hands.flatMap((hand) => HAND_JOINTS.map((joint, index) => {
              const finding = hand.joints[index]
              const region = hand.regions[index]
              if (!finding || !region) return null
              const key = `${hand.side}-${joint}`
              const state = calls.get(key) ?? (finding.kind === 'not-assessed' ? 'not-assessable' : finding.inflamed ? 'flagged' : 'plain')
              const [cx, cy] = [region.x + region.width / 2, region.y + region.height / 2]
              return (
                <g key={key} className={`mark ${state}${key === chosen ? ' chosen' : ''}`} onClick={() => onChoose(hand.side, joint)}>
                  <title>{fullJointName(hand.side, joint)}</title>
                  <circle className="halo" cx={cx} cy={cy} r={radius * 1.15} />
                  <circle className="ring" cx={cx} cy={cy} r={radius} />
                  {(state === 'flagged' || state === 'swollen' || key === chosen) && (
                    <text x={cx + radius * 1.4} y={cy + radius * 0.5} fontSize={radius * 1.5}>{jointLabel(joint)}</text>
                  )}
                </g>
              )
            }))}
          </svg>
        )}
      </div>
      <figcaption>
        {photo.hands.map(({ side, view }) => `${side} hand, ${view === 'dorsal' ? 'back' : view}`).join('; ') || 'No hand found'}
        {photo.created ? ` · ${dayOf(photo.created)}` : ''}
        {photo.refusal ? ` · ${photo.refusal}` : ''}
      </figcaption>
    </figure>
  )
}
