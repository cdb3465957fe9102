import { useEffect, useLayoutEffect, useMemo, useRef, useState, type MouseEvent } from 'react'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { PhotoView as Photo, ReviewCall } from './api.ts'
import { dayOf } from './dates.ts'
import { useDragToPan, usePinchAndWheel } from './pan-and-zoom.ts'
import { usePhotoSource } from './photo-source.ts'
import { placeLabels } from './place-labels.ts'
import { fullJointName, useWords } from './words.ts'

export interface PhotoProps {
  readonly photo: Photo
  /** Calls by `side-joint`: the clinician's own, or what was signed. */
  readonly calls: ReadonlyMap<string, ReviewCall>
  readonly chosen: string
  readonly marks: boolean
  /** 1 shows the whole photo. */
  readonly zoom: number
  onZoom(zoom: number): void
  onChoose(side: Laterality, joint: HandJoint): void
}

export const ZOOM = { least: 1, most: 6, step: 0.5 } as const
/** A finger needs this much around a mark, in CSS pixels. */
export const REACH_PX = 22
/** A scrollbar is at most so wide. */
const SCROLLBAR_PX = 24

interface Mark { readonly key: string; readonly state: string; readonly side: Laterality; readonly joint: HandJoint; readonly cx: number; readonly cy: number }

/**
 * The photo with a ring on each joint. Zoom by slider, buttons of the page, keys, double click (to where it is), pinch and Ctrl with the wheel; pan by
 * dragging, touching, scrolling, arrow keys in the frame, or by choosing a joint, which moves into the middle.
 */
export function PhotoView({ photo, calls, chosen, marks, zoom, onZoom, onChoose }: PhotoProps) {
  const w = useWords()
  const source = usePhotoSource(photo.id)
  const frame = useRef<HTMLDivElement>(null)
  const placed = marksOf(photo, calls)
  const shown = placed.find(({ key }) => key === chosen)
  const widthPx = useWidthPx(frame)
  const hold = useHeldPoint(frame, widthPx, zoom, shown && { x: shown.cx / photo.width, y: shown.cy / photo.height })
  usePinchAndWheel(frame, zoom, (next, at) => {
    hold(at)
    onZoom(Math.min(ZOOM.most, Math.max(ZOOM.least, next)))
  })
  const drag = useDragToPan()
  const sides = photo.hands.map(({ side }) => w.side[side]).join(', ') || w.noHand
  const pick = (event: MouseEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect()
    const scale = box.width / photo.width
    const at = { x: (event.clientX - box.left) / scale, y: (event.clientY - box.top) / scale }
    const [nearest] = placed.map((mark) => ({ mark, far: Math.hypot(mark.cx - at.x, mark.cy - at.y) * scale })).sort((a, b) => a.far - b.far)
    if (nearest && nearest.far <= REACH_PX * Math.max(1, zoom / 2)) onChoose(nearest.mark.side, nearest.mark.joint)
  }
  return (
    <figure className="photo">
      <div ref={frame} className={`photo-frame${zoom > 1 ? ' zoomed' : ''}`} style={{ aspectRatio: `${photo.width} / ${photo.height}` }}
        {...(zoom > 1 ? { tabIndex: 0, role: 'group', 'aria-label': w.panHere(sides) } : {})} {...drag}
        onDoubleClick={(event) => { hold(event); onZoom(zoom > 1 ? 1 : 2.5) }}>
        <div className="photo-zoomed" style={{ width: `${zoom * 100}%` }}>
          <img src={source} alt={w.photoOf(sides)} width={photo.width} height={photo.height} draggable={false} />
          {marks && <Marks photo={photo} marks={placed} chosen={chosen} zoom={zoom} perPx={photo.width / (widthPx * zoom)} onPick={pick} />}
        </div>
      </div>
      <figcaption>
        <span>
          {photo.hands.map(({ side }) => w.handOf(w.side[side])).join('; ') || w.noHand}
          {photo.created ? ` · ${dayOf(w, photo.created)}` : ''}
          {photo.refusal ? ` · ${w.reason[photo.refusal] ?? photo.refusal}` : ''}
        </span>
        <label>{w.zoom} <input type="range" min={ZOOM.least} max={ZOOM.most} step={ZOOM.step} value={zoom} onChange={(event) => onZoom(Number(event.target.value))} /></label>
      </figcaption>
    </figure>
  )
}

function marksOf(photo: Photo, calls: ReadonlyMap<string, ReviewCall>): readonly Mark[] {
  return photo.hands.flatMap((hand) => HAND_JOINTS.flatMap((joint, index) => {
    const finding = hand.joints[index]
    const region = hand.regions[index]
    if (!region) return []
    const key = `${hand.side}-${joint}`
    const state = calls.get(key) ?? (finding?.kind === 'not-assessed' ? 'not-assessable' : finding?.kind === 'assessed' && finding.inflamed ? 'flagged' : 'plain')
    return [{ key, state, side: hand.side, joint, cx: region.x + region.width / 2, cy: region.y + region.height / 2 }]
  }))
}

/** Height of a name on the photo, and the width of one of its letters as a part of it: CSS pixels, whatever the photo's size or zoom. */
const NAME_PX = { height: 13, letter: 0.64 }

/**
 * Rings keep out of the way of what they mark: they grow more slowly than the picture. Names of joints that matter stand where they cover
 * neither another name nor a ring. `perPx`: of the photo's pixels, for each on the screen.
 */
function Marks({ photo, marks, chosen, zoom, perPx, onPick }: {
  photo: Photo; marks: readonly Mark[]; chosen: string; zoom: number; perPx: number; onPick(event: MouseEvent<SVGSVGElement>): void
}) {
  const w = useWords()
  const radius = Math.max(Math.max(photo.width, photo.height) / 55 / zoom ** 0.6, 6.5 * perPx)
  const nameHeight = NAME_PX.height * perPx
  const named = marks.filter(({ key, state }) => state === 'flagged' || state === 'swollen' || key === chosen)
  const wanted = marks.map(({ key, cx, cy, joint }) => ({
    key, x: cx, y: cy, radius: (key === chosen ? 1.9 : 1.4) * radius,
    ...(named.some((one) => one.key === key) ? { label: { width: (w.joint(joint).length * NAME_PX.letter + 0.5) * nameHeight, height: 1.25 * nameHeight } } : {})
  }))
  const same = JSON.stringify(wanted)
  const places = useMemo(() => placeLabels(wanted, photo), [same, photo])
  return (
    <svg viewBox={`0 0 ${photo.width} ${photo.height}`} aria-hidden="true" onClick={onPick}>
      <rect width={photo.width} height={photo.height} fill="transparent" />
      {places.map(({ key, leader }) => leader && <g key={key} className="leader"><path className="halo" d={lineOf(leader)} /><path className="line" d={lineOf(leader)} /></g>)}
      {marks.map(({ key, state, side, joint, cx, cy }) => (
        <g key={key} className={`mark ${state}${key === chosen ? ' chosen' : ''}`}>
          <title>{fullJointName(w, side, joint)}</title>
          {key === chosen && <circle className="choice" cx={cx} cy={cy} r={radius * 1.75} />}
          <circle className="halo" cx={cx} cy={cy} r={radius * 1.15} />
          <circle className="ring" cx={cx} cy={cy} r={radius} />
          {state === 'not-swollen' && <path className="ring" d={`M${cx - radius * 0.6} ${cy}h${radius * 1.2}`} />}
        </g>
      ))}
      {places.map(({ key, x, y }) => (
        <text key={key} x={x} y={y} textAnchor="middle" dominantBaseline="central" fontSize={nameHeight}>{named.filter((one) => one.key === key).map(({ joint }) => w.joint(joint))}</text>
      ))}
    </svg>
  )
}

const lineOf = ({ x1, y1, x2, y2 }: { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number }) => `M${x1} ${y1}L${x2} ${y2}`

/** Of the frame as it is shown. */
function useWidthPx(frame: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(400)
  useLayoutEffect(() => {
    const box = frame.current
    if (!box) return
    const read = () => { if (box.clientWidth > 0) setWidth(box.clientWidth) }
    read()
    const watch = new ResizeObserver(read)
    watch.observe(box)
    return () => watch.disconnect()
  }, [frame])
  return width
}

/**
 * Keeps a point of the picture where it is while the zoom changes: the one under the fingers, else the chosen joint in the middle. The
 * chosen joint also comes into the middle when another one is chosen in a zoomed picture, and when the frame has another width (a tablet that is
 * turned), but not for the width of a scrollbar.
 */
function useHeldPoint(frame: { readonly current: HTMLDivElement | null }, widthPx: number, zoom: number, joint: { readonly x: number; readonly y: number } | undefined) {
  const held = useRef<{ readonly fx: number; readonly fy: number; readonly px: number; readonly py: number } | undefined>(undefined)
  const place = (x: number, y: number, px?: number, py?: number) => {
    const box = frame.current
    if (!box) return
    const inner = { width: box.clientWidth * zoom, height: box.clientHeight * zoom }
    box.scrollTo(x * inner.width - (px ?? box.clientWidth / 2), y * inner.height - (py ?? box.clientHeight / 2))
  }
  useLayoutEffect(() => {
    const point = held.current
    held.current = undefined
    if (point) place(point.fx, point.fy, point.px, point.py)
    else if (joint) place(joint.x, joint.y)
  }, [zoom])
  useEffect(() => {
    if (zoom > 1 && joint) place(joint.x, joint.y)
  }, [joint?.x, joint?.y])
  const before = useRef(widthPx)
  useLayoutEffect(() => {
    if (Math.abs(before.current - widthPx) > SCROLLBAR_PX && zoom > 1 && joint) place(joint.x, joint.y)
    before.current = widthPx
  }, [widthPx])
  return (at: { readonly clientX: number; readonly clientY: number }) => {
    const box = frame.current
    if (!box) return
    const outer = box.getBoundingClientRect()
    const [px, py] = [at.clientX - outer.left, at.clientY - outer.top]
    held.current = { fx: (box.scrollLeft + px) / box.scrollWidth, fy: (box.scrollTop + py) / box.scrollHeight, px, py }
  }
}
