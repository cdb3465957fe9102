import sharp from 'sharp'
import { ScreeningError } from '../errors.ts'
import { guardPhoto, PHOTO_LIMITS } from './photo-guard.ts'

/** An upright picture in memory, 8-bit sRGB without metadata. Coordinates in it are called working pixels. */
export interface Photo {
  /** RGB, row by row, width * height * 3. */
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
  /** Size of the upright photo before it was reduced to the working size. */
  readonly uprightWidth: number
  readonly uprightHeight: number
  /** Upright pixels per working pixel, at least 1. */
  readonly scale: number
  /**
   * The EXIF orientation (2, 4, 5 or 7) held a reflection. It has been applied like any other, so a left hand reads as left
   * as the file means it; but cameras write these values almost only for selfies shown as in a mirror.
   */
  readonly mirrored: boolean
}

/** A hand that fills a 12 megapixel frame keeps twice the pixels its joint crops need, at a sixth of the memory. */
const WORKING_SIDE_PX = 2048
/** Only ends the steps after the decoder (packages.md, sharp); the worker's deadline ends the decoder. */
const PIPELINE_TIMEOUT_SECONDS = 20

sharp.cache(false)
sharp.concurrency(1)
// libvips sniffs formats for itself and would read SVG, TIFF, GIF and more. Applies to the whole process.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp'] })

/**
 * Bytes of a photo to an upright picture of at most `maxSidePx` on its longer side: EXIF orientation applied, transparency
 * laid on white, grey, CMYK and 16-bit turned into 8-bit sRGB. Throws ERR_PHOTO_* for a photo that is refused or damaged.
 */
export async function decodePhoto(bytes: Uint8Array, { maxSidePx = WORKING_SIDE_PX }: { maxSidePx?: number } = {}): Promise<Photo> {
  guardPhoto(bytes)
  try {
    // 'error', not 'warning': Samsung phones write JPEGs that libjpeg reads perfectly while it warns about them.
    const picture = sharp(bytes, { failOn: 'error', pages: 1, limitInputPixels: PHOTO_LIMITS.pixels, autoOrient: true })
    const { orientation = 1, autoOrient: { width: uprightWidth, height: uprightHeight } } = await picture.metadata()
    const { data, info } = await picture
      .timeout({ seconds: PIPELINE_TIMEOUT_SECONDS })
      .resize({ width: maxSidePx, height: maxSidePx, fit: 'inside', withoutEnlargement: true })
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    const { width, height } = info
    return {
      data: toRgb(data, width * height, info.channels),
      width,
      height,
      uprightWidth,
      uprightHeight,
      scale: Math.max(uprightWidth, uprightHeight) / Math.max(width, height),
      mirrored: [2, 4, 5, 7].includes(orientation)
    }
  } catch (cause) {
    if (cause instanceof ScreeningError) throw cause
    if (cause instanceof Error && /timeout/i.test(cause.message))
      throw new ScreeningError('ERR_PHOTO_TIMEOUT', `Expected to read the photo within ${PIPELINE_TIMEOUT_SECONDS} s but it took longer`, { cause })
    throw new ScreeningError('ERR_PHOTO_CORRUPT', 'Expected a photo that can be decoded but the decoder refused it', { cause })
  }
}

/** Grey pictures may keep one channel: repeat it. */
function toRgb(data: Buffer, pixels: number, channels: number): Uint8Array {
  if (data.length !== pixels * channels) throw new Error(`Expected ${pixels * channels} bytes of pixels but received ${data.length}`)
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.length)
  const step = channels < 3 ? 0 : 1
  const rgb = new Uint8Array(pixels * 3)
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < 3; channel++) rgb[pixel * 3 + channel] = data[pixel * channels + channel * step] as number
  }
  return rgb
}
