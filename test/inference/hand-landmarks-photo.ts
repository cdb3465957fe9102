import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import { decodePhoto, type Photo } from '../../src/inference/decode-photo.ts'

export interface SyntheticHand {
  readonly jpeg: Buffer
  /** True joint centres, pixels of the picture. */
  readonly joints: Readonly<Record<HandJoint, readonly [number, number]>>
}

/** A rendered hand of the demo record, with the joints that the renderer knows. */
export async function readSyntheticHand(side: Laterality): Promise<SyntheticHand> {
  const photos = join(import.meta.dirname, '../../demo/photos')
  const labels = JSON.parse(await readFile(join(photos, 'labels.json'), 'utf8')) as readonly { photo: string; trueJoints: SyntheticHand['joints'] }[]
  const photo = `demo-1-${side}.jpg`
  const label = labels.find((row) => row.photo === photo)
  if (!label) throw new Error(`Expected ${photo} in demo/photos/labels.json`)
  return { jpeg: await readFile(join(photos, photo)), joints: label.trueJoints }
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
