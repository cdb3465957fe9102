import sharp from 'sharp'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../src/joints/hand-joint.ts'
import { decodePhoto, type Photo } from '../../src/inference/decode-photo.ts'
import { takePhoto } from '../../training/synthetic/camera.ts'
import { sampleVisit } from '../../training/synthetic/case-sampler.ts'
import { loadHandModel } from '../../training/synthetic/hand-mesh.ts'
import { renderHand } from '../../training/synthetic/render.ts'

export interface SyntheticHand {
  readonly jpeg: Buffer
  /** Pixels of the picture. */
  readonly joints: Readonly<Record<HandJoint, { readonly x: number; readonly y: number }>>
}

/** One hand on a table, always the same: rendered by the generator that makes the training pictures. */
export async function renderSyntheticHand(side: Laterality, size = 352): Promise<SyntheticHand> {
  const hand = sampleVisit({ seed: 7, split: 'test', patient: 'test-0007' }, 1, 'natural')[side]
  const rendering = renderHand(loadHandModel(), hand, { size, lamps: 3 })
  const joints = Object.fromEntries(HAND_JOINTS.map((joint) => {
    const [x, y] = rendering.joints.get(joint) ?? [NaN, NaN]
    return [joint, { x, y }]
  })) as SyntheticHand['joints']
  return { jpeg: await takePhoto(rendering, hand.sensor, hand.seed), joints }
}

/** Pixels as a photo nobody had to decode. */
export function photoOf(data: Uint8Array, width: number, height: number, scale = 1): Photo {
  return { data, width, height, uprightWidth: width * scale, uprightHeight: height * scale, scale, mirrored: false }
}

/** Where a pixel of the upright picture is stored for each EXIF orientation (Exif 2.32, tag 0x0112). */
const STORED_AT: readonly ((x: number, y: number, right: number, bottom: number) => readonly [number, number])[] = [
  (x, y) => [x, y],
  (x, y, right) => [right - x, y],
  (x, y, right, bottom) => [right - x, bottom - y],
  (x, y, _right, bottom) => [x, bottom - y],
  (x, y) => [y, x],
  (x, y, right) => [y, right - x],
  (x, y, right, bottom) => [bottom - y, right - x],
  (x, y, _right, bottom) => [bottom - y, x]
]

/** The same upright picture as a phone would store it with an EXIF orientation of 1 to 8. */
export async function storeOriented(jpeg: Uint8Array, orientation: number): Promise<Buffer> {
  const { data, width, height } = await decodePhoto(jpeg)
  const place = STORED_AT[orientation - 1]
  if (!place) throw new Error(`Expected an orientation of 1 to 8 but received ${orientation}`)
  const stored = { width: orientation > 4 ? height : width, height: orientation > 4 ? width : height }
  const out = Buffer.alloc(data.length)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = place(x, y, width - 1, height - 1)
      out.set(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3), (row * stored.width + column) * 3)
    }
  }
  return sharp(out, { raw: { ...stored, channels: 3 } }).withMetadata({ orientation }).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer()
}
