import sharp from 'sharp'
import type { Sensor } from './hand-case.ts'
import { sampleAt } from './planes.ts'
import type { Plane } from './planes.ts'
import { hashSeed, randomFrom } from './random.ts'
import { radians } from './vectors.ts'

/** A rendered scene before the camera: linear RGB and the share of each pixel that is hand, 0..1. */
export interface Radiance {
  readonly size: number
  readonly rgb: Float32Array
  readonly hand: Float32Array
  /** Mean luminance of the hand's own colour, whatever the light, 0..1. */
  readonly handAlbedo: number
}

const TARGET_LUMINANCE = 0.24
/** Auto exposure does not lift dark skin all the way: the hand of Monk tone 10 stays darker than that of tone 1. */
const USUAL_ALBEDO = 0.36, TONE_KEPT = 0.5
const SENSOR_REFERENCE_PIXELS = 512

sharp.concurrency(1)

/** Exposes, balances, adds noise, tone-maps, blurs, sharpens and compresses: a JPEG as a phone would write it. */
export async function takePhoto(scene: Radiance, sensor: Sensor, seed: number): Promise<Buffer> {
  const { size } = scene
  const scale = size / SENSOR_REFERENCE_PIXELS
  const seen = sensor.motion ? smeared(scene, sensor.motion) : scene
  let image = sharp(develop(seen, sensor, seed), { raw: { width: size, height: size, channels: 3 } })
  if (sensor.blur > 0) image = image.blur(Math.max(0.3, sensor.blur * scale))
  if (sensor.sharpen > 0) image = image.sharpen({ sigma: sensor.sharpen })
  return await image.jpeg({ quality: sensor.jpegQuality }).toBuffer()
}

/** A camera that moves while the shutter is open: a mean along the way, before the sensor's noise. */
function smeared(scene: Radiance, { pixels, angleDegrees }: NonNullable<Sensor['motion']>): Radiance {
  const { size, rgb } = scene
  const picture: Plane = { data: rgb, width: size, height: size, channels: 3 }
  const reach = pixels * size / SENSOR_REFERENCE_PIXELS, looks = Math.max(2, Math.ceil(2 * reach))
  const dx = reach * Math.cos(radians(angleDegrees)), dy = reach * Math.sin(radians(angleDegrees))
  const sum = new Float32Array(rgb.length)
  for (let look = 0; look < looks; look++) {
    const way = look / (looks - 1) - 0.5
    for (let k = 0; k < size * size; k++) {
      const x = k % size + way * dx, y = Math.floor(k / size) + way * dy
      for (let q = 0; q < 3; q++) sum[3 * k + q]! += sampleAt(picture, x, y, q) / looks
    }
  }
  return { ...scene, rgb: sum }
}

function develop(scene: Radiance, sensor: Sensor, seed: number): Buffer {
  const { size, rgb } = scene
  const random = randomFrom(hashSeed(seed, 'sensor'))
  const tone = (scene.handAlbedo / USUAL_ALBEDO) ** TONE_KEPT
  const gain = TARGET_LUMINANCE * tone / meteredLuminance(scene) * 2 ** sensor.exposureStops
  const bytes = Buffer.alloc(rgb.length)
  for (let k = 0; k < size * size; k++) {
    const x = (k % size) / size - 0.5, y = Math.floor(k / size) / size - 0.5
    const vignette = 1 - 0.1 * (x * x + y * y)
    for (let q = 0; q < 3; q++) {
      const light = rgb[3 * k + q]! * gain * sensor.whiteBalance[q]! * vignette
      const noisy = Math.max(0, light + random.normal() * sensor.noise * Math.sqrt(Math.max(0.02, light)))
      const toned = Math.min(1, noisy / (1 + noisy * 0.18) * 1.1) ** (1 / 2.2)
      bytes[3 * k + q] = Math.max(0, Math.min(255, Math.round((0.5 + (toned - 0.5) * sensor.contrast) * 255)))
    }
  }
  return bytes
}

/** Auto exposure: half on the hand, half on the whole frame. */
function meteredLuminance({ rgb, hand }: Radiance): number {
  let onHand = 0, handPixels = 0, everywhere = 0
  for (let k = 0; k < hand.length; k++) {
    const luminance = 0.3 * rgb[3 * k]! + 0.6 * rgb[3 * k + 1]! + 0.1 * rgb[3 * k + 2]!
    everywhere += luminance
    if (hand[k]! < 0.8) continue
    onHand += luminance
    handPixels++
  }
  return 0.5 * onHand / Math.max(1, handPixels) + 0.5 * everywhere / hand.length
}
