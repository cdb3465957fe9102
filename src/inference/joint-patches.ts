import { HAND_JOINTS, type HandJoint } from '../joints/hand-joint.ts'
import type { Photo } from './decode-photo.ts'
import type { LocatedHand } from './hand-landmarks/hand-locator.ts'
import { sampleFloats, type PhotoSquare } from './hand-landmarks/photo-square.ts'
import { jointSquare } from './joint-crops.ts'

/** The middle of one joint as the gates look at it. */
export interface JointPatch {
  readonly joint: HandJoint
  /** RGB 0..1, PATCH_PX² * 3 values. */
  readonly rgb: Float32Array
  /** Mean, Rec. 709 weights on the stored values, 0..1. */
  readonly luminance: number
  /** Size of the Laplacian of the smoothed luminance, pixel by pixel, without the two outermost rows and columns. */
  readonly detail: Float32Array
}

/** Own bar: a square this wide (palm lengths) at a joint holds skin folds and little else. */
const PATCH_PALMS = 0.3
/** 64 pixels for 0.3 palm lengths: the detail a 96 pixel PIP crop has, whatever the size of the photo. */
export const PATCH_PX = 64
const PLAN = { globalSizePx: 1, localSizePx: PATCH_PX, globalMargin: 0, scales: { wrist: PATCH_PALMS, mcp: PATCH_PALMS, pip: PATCH_PALMS }, mcpProximalShift: 0 }

/** Of the joints whose patch lies inside the photo. */
export function jointPatches(photo: Photo, hand: Pick<LocatedHand, 'points' | 'side'>): readonly JointPatch[] {
  return HAND_JOINTS
    .map((joint) => ({ joint, square: jointSquare(joint, hand, PLAN) }))
    .filter(({ square }) => isInside(square, photo))
    .map(({ joint, square }) => {
      const rgb = sampleFloats(photo, square, PATCH_PX)
      const luminances = luminanceOf(rgb)
      return { joint, rgb, luminance: luminances.reduce((sum, value) => sum + value, 0) / luminances.length, detail: laplacian(smoothed(luminances)) }
    })
}

/** Root mean square of a patch's detail. */
export function detailOf({ detail }: JointPatch): number {
  return Math.sqrt(detail.reduce((sum, value) => sum + value * value, 0) / detail.length)
}

function isInside({ cx, cy, size }: PhotoSquare, { width, height }: Photo): boolean {
  const reach = size / Math.SQRT2
  return cx >= reach && cy >= reach && cx <= width - reach && cy <= height - reach
}

function luminanceOf(rgb: Float32Array): Float32Array {
  const luminances = new Float32Array(rgb.length / 3)
  for (let pixel = 0, at = 0; at < rgb.length; pixel++, at += 3)
    luminances[pixel] = 0.2126 * (rgb[at] as number) + 0.7152 * (rgb[at + 1] as number) + 0.0722 * (rgb[at + 2] as number)
  return luminances
}

/** 1-2-1 along rows and columns: sensor noise and JPEG blocks are no detail. */
function smoothed(values: Float32Array): Float32Array {
  return smoothedBy(PATCH_PX, smoothedBy(1, values))
}

function smoothedBy(step: number, values: Float32Array): Float32Array {
  const out = values.slice()
  for (let at = step; at < values.length - step; at++)
    out[at] = ((values[at - step] as number) + 2 * (values[at] as number) + (values[at + step] as number)) / 4
  return out
}

/** Without the two outermost rows and columns, which the smoothing did not reach or wrapped around. */
function laplacian(values: Float32Array): Float32Array {
  const out = new Float32Array((PATCH_PX - 4) ** 2)
  for (let row = 2, to = 0; row < PATCH_PX - 2; row++) {
    for (let column = 2; column < PATCH_PX - 2; column++, to++) {
      const at = row * PATCH_PX + column
      out[to] = Math.abs((values[at - 1] as number) + (values[at + 1] as number) + (values[at - PATCH_PX] as number) +
        (values[at + PATCH_PX] as number) - 4 * (values[at] as number))
    }
  }
  return out
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return 0
  return sorted.length % 2 === 1 ? sorted[middle] as number : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
