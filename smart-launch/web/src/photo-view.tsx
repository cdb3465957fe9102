import { useRef, useState, type PointerEvent } from 'react'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { photoUrl, type PhotoView as Photo, type ReviewCall } from './api.ts'
import { dayOf, fullJointName, useWords } from './words.ts'

export interface PhotoProps {
  readonly photo: Photo
  readonly calls: ReadonlyMap<string, ReviewCall>
  readonly chosen: string
  readonly marks: boolean
  onChoose(side: Laterality, joint: HandJoint): void
}

/** The photo with a ring on each joint; rings scale with the picture. Zoom by slider, pan by dragging or scrolling. */
export function PhotoView({ photo, calls, chosen, marks, onChoose }: PhotoProps) {
  const w = useWords()
  const [zoom, setZoom] = useState(1)
  const drag = useDragToPan()
  const sides = photo.hands.map(({ side }) => w.side[side]).join(', ') || w.noHand
  return (
    <figure className="photo">
      <div className="photo-frame" tabIndex={zoom > 1 ? 0 : -1} {...drag}>
        <div className="photo-zoomed" style={{ width: `${zoom * 100}%` }}>
          <img src={photoUrl(photo.id)} alt={w.photoOf(sides)} width={photo.width} height={photo.height} draggable={false} />
          {marks && <Marks photo={photo} calls={calls} chosen={chosen} onChoose={onChoose} />}
        </div>
      </div>
      <figcaption>
        <span>
          {photo.hands.map(({ side }) => w.handOf(w.side[side])).join('; ') || w.noHand}
          {photo.created ? ` · ${dayOf(w, photo.created)}` : ''}
          {photo.refusal ? ` · ${w.reason[photo.refusal] ?? photo.refusal}` : ''}
        </span>
        <label>{w.zoom} <input type="range" min={1} max={4} step={0.5} value={zoom} onChange={(event) => setZoom(Number(event.target.value))} /></label>
      </figcaption>
    </figure>
  )
}

function Marks({ photo, calls, chosen, onChoose }: Omit<PhotoProps, 'marks'>) {
  const w = useWords()
  const radius = Math.max(photo.width, photo.height) / 55
  const marks = photo.hands.flatMap((hand) => HAND_JOINTS.flatMap((joint, index) => {
    const finding = hand.joints[index]
    const region = hand.regions[index]
    if (!finding || !region) return []
    const key = `${hand.side}-${joint}`
    const state = calls.get(key) ?? (finding.kind === 'not-assessed' ? 'not-assessable' : finding.inflamed ? 'flagged' : 'plain')
    return [{ key, state, side: hand.side, joint, cx: region.x + region.width / 2, cy: region.y + region.height / 2 }]
  }))
  return (
    <svg viewBox={`0 0 ${photo.width} ${photo.height}`} aria-hidden="true">
      {marks.map(({ key, state, side, joint, cx, cy }) => (
        <g key={key} className={`mark ${state}${key === chosen ? ' chosen' : ''}`} onClick={() => onChoose(side, joint)}>
          <title>{fullJointName(w, side, joint)}</title>
          <circle className="halo" cx={cx} cy={cy} r={radius * 1.15} />
          <circle className="ring" cx={cx} cy={cy} r={radius} />
        </g>
      ))}
      {marks.filter(({ key, state }) => state === 'flagged' || state === 'swollen' || key === chosen).map(({ key, joint, cx, cy }) => (
        <text key={key} x={cx} y={cy - radius * 1.6} textAnchor="middle" fontSize={radius * 1.5}>{w.joint(joint)}</text>
      ))}
    </svg>
  )
}

/** Dragging scrolls the frame; a click that does not move still chooses a joint. */
function useDragToPan() {
  const from = useRef<{ x: number; y: number; left: number; top: number } | undefined>(undefined)
  return {
    onPointerDown(event: PointerEvent<HTMLDivElement>) {
      const { scrollLeft, scrollTop } = event.currentTarget
      from.current = { x: event.clientX, y: event.clientY, left: scrollLeft, top: scrollTop }
    },
    onPointerMove(event: PointerEvent<HTMLDivElement>) {
      if (!from.current || event.buttons === 0) return
      event.currentTarget.scrollTo(from.current.left + from.current.x - event.clientX, from.current.top + from.current.y - event.clientY)
    },
    onPointerUp() {
      from.current = undefined
    }
  }
}
