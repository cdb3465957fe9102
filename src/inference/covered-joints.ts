import type { HandJoint } from '../joints/hand-joint.ts'
import { detailOf, median, PATCH_PX, type JointPatch } from './joint-patches.ts'

/** Own bars: where nothing covers a joint they are not reached (`training/cover-joints.ts` counts how often they are). */
const SMOOTH_SHARE = 0.7
/** Of the detail that the hand's joints usually have. */
const SMOOTH_DETAIL = 0.05
const STRANGE_SHARE = 0.5
/** Distance in log(R/G) and log(B/G) from the hand's usual colour; the reddest joints come to 0.4. */
const STRANGE_COLOUR = 0.6

/**
 * Joints that something lies over: most of the patch is smooth as the hand's skin is nowhere else (a sticker, a plaster, burnt-out
 * light), or of a colour that the rest of the hand does not have (tape, a brace). Such a joint is not assessed, whatever the network
 * would make of it (clinical method: abstain where a joint is covered). A cover with folds in the hand's own colour is not
 * seen, nor a glove over the whole hand.
 */
export function coveredJoints(patches: readonly JointPatch[]): ReadonlySet<HandJoint> {
  const usualDetail = median(patches.map(detailOf))
  const cells = patches.map(({ rgb }) => cellColours(rgb))
  const usual = [0, 1].map((at) => median(cells.flat().map((colour) => colour[at] ?? 0)))
  return new Set(patches.flatMap(({ joint, detail }, index) => {
    const smooth = share(detail, (value) => value < SMOOTH_DETAIL * usualDetail)
    const strange = share(cells[index] ?? [], (colour) => Math.hypot(colour[0] - (usual[0] ?? 0), colour[1] - (usual[1] ?? 0)) > STRANGE_COLOUR)
    return smooth > SMOOTH_SHARE || strange > STRANGE_SHARE ? [joint] : []
  }))
}

type Colour = readonly [redToGreen: number, blueToGreen: number]

const CELL_PX = 8
/** In the dark a ratio of colours is noise. */
const DARK = 2 / 255

/** log(R/G) and log(B/G) of the patch's cells of 8 × 8 pixels: the same in light and shade. */
function cellColours(rgb: Float32Array): readonly Colour[] {
  const perRow = PATCH_PX / CELL_PX
  const sums = new Float32Array(perRow * perRow * 3)
  for (let row = 0, at = 0; row < PATCH_PX; row++) {
    for (let column = 0; column < PATCH_PX; column++, at += 3) {
      const cell = ((row / CELL_PX | 0) * perRow + (column / CELL_PX | 0)) * 3
      for (let channel = 0; channel < 3; channel++) sums[cell + channel] = (sums[cell + channel] as number) + (rgb[at + channel] as number)
    }
  }
  return Array.from({ length: perRow * perRow }, (_, cell): Colour => {
    const [red = 0, green = 0, blue = 0] = sums.subarray(cell * 3, cell * 3 + 3).map((sum) => sum / CELL_PX ** 2 + DARK)
    return [Math.log(red / green), Math.log(blue / green)]
  })
}

function share<T>(values: ArrayLike<T>, holds: (value: T) => boolean): number {
  let count = 0
  for (let at = 0; at < values.length; at++) if (holds(values[at] as T)) count++
  return values.length === 0 ? 0 : count / values.length
}
