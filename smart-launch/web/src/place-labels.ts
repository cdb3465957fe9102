import { freePlace, overlap, type Box } from './free-place.ts'

/** A ring on the photo, and a name that wants to stand beside it; lengths in one unit, the name's box as it is drawn. */
export interface Labelled {
  readonly key: string
  readonly x: number
  readonly y: number
  /** All that is drawn of the ring lies within. */
  readonly radius: number
  /** Absent for a ring without a name. */
  readonly label?: { readonly width: number; readonly height: number }
}

export interface PlacedLabel {
  readonly key: string
  /** Middle of the name's box. */
  readonly x: number
  readonly y: number
  /** From the ring to the name, where the name does not stand at its ring. */
  readonly leader?: { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number }
}

function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

/** Above first, as a reader expects it, then below and to the sides. */
const DIRECTIONS = [-90, 90, 180, 0, -45, -135, 45, 135, -67, -113, 67, 113, -22, -158, 22, 158, -78, -102, 78, 102, -56, -124, 56, 124, -34, -146, 34, 146].map((degrees) => ({ dx: rounded(Math.cos((degrees * Math.PI) / 180)), dy: rounded(Math.sin((degrees * Math.PI) / 180)) }))
/** Gaps between ring and name, in ring radii; beyond the first a line leads to it. */
const GAPS = [0.3, 1.2, 2.2, 3.4, 5, 7, 9.5, 12.5, 16]

/**
 * Where names go so that none covers another one, a ring, or a line that leads to a name, and all stay in the frame: for each in turn the
 * nearest free place. Where no place is free, the one that covers least.
 */
export function placeLabels(marks: readonly Labelled[], frame: { readonly width: number; readonly height: number }): readonly PlacedLabel[] {
  const placed: PlacedLabel[] = []
  const taken: Box[] = []
  const lines: Line[] = []
  for (const mark of [...marks].sort((one, other) => one.y - other.y)) {
    if (!mark.label) continue
    const { key, x, y, label } = mark
    const best = freePlace(candidates(mark, label), (at, enough) => coveredBy(at, label, { taken, lines, marks, frame }, enough)) ?? { key, x, y }
    placed.push(best)
    taken.push(around(best.x, best.y, label.width, label.height))
    if (best.leader) lines.push(best.leader)
  }
  return placed
}

interface Surroundings { readonly taken: readonly Box[]; readonly lines: readonly Line[]; readonly marks: readonly Labelled[]; readonly frame: Size }
type Line = NonNullable<PlacedLabel['leader']>
interface Size { readonly width: number; readonly height: number }

/** Area that a name here covers or loses, or some of it as soon as it is more than `enough`. A line through a name counts as the whole of it; one over the edge of a ring, as little more than nothing. */
function coveredBy({ key, x, y, leader }: PlacedLabel, label: Size, { taken, lines, marks, frame }: Surroundings, enough: number): number {
  const box = around(x, y, label.width, label.height)
  let covered = 10 * outside(box, frame)
  for (const ring of marks) covered += overRing(box, ring)
  for (const other of taken) covered += 3 * overlap(box, other) + (leader && crosses(leader, other) ? label.width * label.height : 0)
  if (covered >= enough) return covered
  for (const line of lines) if (crosses(line, box)) covered += label.width * label.height
  if (leader) for (const ring of marks) if (ring.key !== key && crosses(leader, around(ring.x, ring.y, ring.radius, ring.radius))) covered += label.width * label.height / 50
  return covered
}

/** How deep the box reaches into the circle, as an area. */
function overRing({ left, top, right, bottom }: Box, { x, y, radius }: Labelled): number {
  const far = Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom))
  return far >= radius ? 0 : (radius - far) * radius
}

/** Places for a name, the best first: at its ring, and farther and farther out on a line. */
function* candidates({ key, x, y, radius }: Labelled, { width, height }: Size): Generator<PlacedLabel> {
  for (const [step, gap] of GAPS.entries()) {
    for (const { dx, dy } of DIRECTIONS) {
      // So far that the name's box does not touch the circle around the ring in this direction.
      const reach = Math.min(dx === 0 ? Infinity : width / 2 / Math.abs(dx), dy === 0 ? Infinity : height / 2 / Math.abs(dy))
      const distance = radius * (1 + gap) + reach
      const [cx, cy] = [x + dx * distance, y + dy * distance]
      yield { key, x: cx, y: cy, ...(step > 0 ? { leader: { x1: x + dx * radius, y1: y + dy * radius, x2: cx - dx * reach, y2: cy - dy * reach } } : {}) }
    }
  }
}

function around(x: number, y: number, width: number, height: number): Box {
  return { left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2 }
}

function outside({ left, top, right, bottom }: Box, { width, height }: { readonly width: number; readonly height: number }): number {
  const inside = Math.max(0, Math.min(right, width) - Math.max(left, 0)) * Math.max(0, Math.min(bottom, height) - Math.max(top, 0))
  return (right - left) * (bottom - top) - inside
}

/** Whether the line passes through the box (Liang and Barsky, 1984). */
function crosses({ x1, y1, x2, y2 }: Line, { left, top, right, bottom }: Box): boolean {
  let [from, to] = [0, 1]
  for (const [p, q] of [[x1 - x2, x1 - left], [x2 - x1, right - x1], [y1 - y2, y1 - top], [y2 - y1, bottom - y1]] as const) {
    if (p === 0) {
      if (q < 0) return false
    } else {
      const t = q / p
      if (p < 0) from = Math.max(from, t)
      else to = Math.min(to, t)
    }
  }
  return from < to
}
