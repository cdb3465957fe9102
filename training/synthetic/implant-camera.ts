import sharp from 'sharp'
import { mapped, type Plane } from './planes.ts'
import { randomFrom } from './random.ts'

/** What happens to every pixel of a version alike, edited or not. */
export interface Finish {
  readonly exposureStops: number
  readonly whiteBalance: readonly [number, number, number]
  readonly noise: number
  readonly jpegQuality: number
}

/** Linear light to 8-bit sRGB bytes. */
export function toBytes({ data }: Pick<Plane, 'data'>): Uint8Array {
  const bytes = new Uint8Array(data.length)
  for (let k = 0; k < data.length; k++) bytes[k] = Math.round(255 * Math.min(1, Math.max(0, data[k]!)) ** (1 / 2.2))
  return bytes
}

/** Exposure, white balance, noise, JPEG. */
export async function finish(picture: Plane, { exposureStops, whiteBalance, noise, jpegQuality }: Finish, seed: number): Promise<Buffer> {
  const random = randomFrom(seed), gain = 2 ** exposureStops
  const exposed = mapped(picture, (value, k) => {
    const light = value * gain * whiteBalance[k % 3]!
    return light + random.normal() * noise * Math.sqrt(Math.max(0.02, light))
  })
  return await sharp(toBytes(exposed), { raw: { width: picture.width, height: picture.height, channels: 3 } }).jpeg({ quality: jpegQuality }).toBuffer()
}
