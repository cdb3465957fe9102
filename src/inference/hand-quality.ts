import type { HandQuality } from '../joints/finding.ts'
import type { Photo } from './decode-photo.ts'
import { palmLength } from './hand-landmarks/hand-geometry.ts'
import type { LocatedHand } from './hand-landmarks/hand-locator.ts'
import { detailOf, jointPatches, median } from './joint-patches.ts'

/**
 * Sharpness and brightness where it matters, at the 11 joints. Sharpness is the root mean square of the Laplacian of the
 * smoothed luminance, as a share of the mean luminance so that dark and light skin measure alike; median of the joints. Joints outside the
 * photo do not count; a hand without any joint in it measures 0.
 */
export function measureHandQuality(photo: Photo, hand: LocatedHand, patches = jointPatches(photo, hand)): HandQuality {
  return {
    presence: hand.presence,
    palmLengthPx: palmLength(hand.points) * photo.scale,
    sharpness: median(patches.map((patch) => detailOf(patch) / Math.max(patch.luminance, 1 / 255))),
    brightness: patches.length === 0 ? 0 : patches.reduce((sum, { luminance }) => sum + luminance, 0) / patches.length
  }
}
