import type { HandQuality } from '../joints/finding.ts'
import { HAND_JOINTS } from '../joints/hand-joint.ts'
import type { Photo } from './decode-photo.ts'
import { palmLength } from './hand-landmarks/hand-geometry.ts'
import type { LocatedHand } from './hand-landmarks/hand-locator.ts'
import { sampleFloats, type PhotoSquare } from './hand-landmarks/photo-square.ts'
import { jointSquare } from './joint-crops.ts'

/** Own bar: a square this wide (palm lengths) at a joint holds skin folds and little else. */
const PATCH_PALMS = 0.3
/** 64 pixels for 0.3 palm lengths: the detail a 96 pixel PIP crop has, whatever the size of the photo. */
const PATCH_PX = 64
const PLAN = { globalSizePx: 1, localSizePx: PATCH_PX, globalMargin: 0, scales: { wrist: PATCH_PALMS, mcp: PATCH_PALMS, pip: PATCH_PALMS }, mcpProximalShift: 0 }

/**
 * Sharpness and brightness where it matters, at the 11 joints. Sharpness is the root mean square of the Laplacian of the
 * smoothed luminance, as a share of the mean luminance so that dark and light skin measure alike; median of the joints. Joints outside the
 * photo do not count; a hand without any joint in it measures 0.
 */
export function measureHandQuality(photo: Photo, hand: LocatedHand): HandQuality {
  const patches = HAND_JOINTS
    .map((joint) => jointSquare(joint, hand, PLAN))
    .filter((square) => isInside(square, photo))
    .map((square) => measurePatch(photo, square))
  return {
    presence: hand.presence,
    palmLengthPx: palmLength(hand.points) * photo.scale,
    sharpness: median(patches.map(({ sharpness }) => sharpness)),
    brightness: patches.length === 0 ? 0 : patches.reduce((sum, { luminance }) => sum + luminance, 0) / patches.length
  }
}

function isInside({ cx, cy, size }: PhotoSquare, { width, height }: Photo): boolean {
  const reach = size / Math.SQRT2
  return cx >= reach && cy >= reach && cx <= width - reach && cy <= height - reach
}

function measurePatch(photo: Photo, square: PhotoSquare): { sharpness: number; luminance: number } {
  const luminances = luminanceOf(sampleFloats(photo, square, PATCH_PX))
  const luminance = luminances.reduce((sum, value) => sum + value, 0) / luminances.length
  return { sharpness: laplacianRms(smoothed(luminances)) / Math.max(luminance, 1 / 255), luminance }
}

/** Rec. 709 weights on the stored values, 0..1. */
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
function laplacianRms(values: Float32Array): number {
  let sum = 0
  for (let row = 2; row < PATCH_PX - 2; row++) {
    for (let column = 2; column < PATCH_PX - 2; column++) {
      const at = row * PATCH_PX + column
      const laplacian = (values[at - 1] as number) + (values[at + 1] as number) + (values[at - PATCH_PX] as number) +
        (values[at + PATCH_PX] as number) - 4 * (values[at] as number)
      sum += laplacian * laplacian
    }
  }
  return Math.sqrt(sum / (PATCH_PX - 4) ** 2)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return 0
  return sorted.length % 2 === 1 ? sorted[middle] as number : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
