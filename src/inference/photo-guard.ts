import { ScreeningError } from '../errors.ts'

export type PhotoFormat = 'jpeg' | 'png' | 'webp'

/** What the file says about itself: format and stored size in pixels, before any EXIF orientation. */
export interface GuardedPhoto {
  readonly format: PhotoFormat
  readonly width: number
  readonly height: number
}

/**
 * Own bars (specs: photo bytes). 64 scans: cameras write 1 to 12, while a legal 488 kB JPEG of 2,646 scans costs 23 s in
 * any decoder, because each scan walks all pixels again.
 */
export const PHOTO_LIMITS = { bytes: 25_000_000, pixels: 50_000_000, jpegScans: 64, pngChunks: 100_000 } as const

/**
 * Refuses, without decoding and in about a millisecond, whatever is not a photo or would be expensive to decode. Safe on
 * the HTTP thread. Throws ERR_PHOTO_TOO_LARGE, ERR_PHOTO_FORMAT, ERR_PHOTO_HEIC or ERR_PHOTO_CORRUPT.
 */
export function guardPhoto(bytes: Uint8Array): GuardedPhoto {
  if (bytes.length > PHOTO_LIMITS.bytes)
    throw new ScreeningError('ERR_PHOTO_TOO_LARGE', `Expected a photo of at most ${PHOTO_LIMITS.bytes} bytes but received ${bytes.length}`)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const photo = walkerOf(buffer)(buffer)
  checkPixels(photo.width, photo.height)
  return photo
}

/** Magic bytes decide; what the sender calls the file does not matter. */
function walkerOf(buffer: Buffer): (buffer: Buffer) => GuardedPhoto {
  if (buffer.length === 0) throw corrupt('Expected a photo but received no bytes')
  if (buffer.length >= 3 && buffer.readUIntBE(0, 3) === 0xffd8ff) return walkJpeg
  if (buffer.subarray(0, 8).equals(PNG_SIGNATURE)) return walkPng
  if (textAt(buffer, 0) === 'RIFF' && textAt(buffer, 8) === 'WEBP') return walkWebp
  refuseHeif(buffer)
  throw new ScreeningError('ERR_PHOTO_FORMAT', 'Expected a JPEG, PNG or WebP photo but received another kind of file')
}

const HEIF_BRANDS = /^(hei[cxms]|hev[cmsx]|mif[12]|msf1|avi[fs])$/

/** ISO base media files carry `ftyp` and a brand (ISO/IEC 23008-12, annex B; AV1 image file format). */
function refuseHeif(buffer: Buffer): void {
  if (textAt(buffer, 4) !== 'ftyp') return
  const brand = textAt(buffer, 8)
  if (!HEIF_BRANDS.test(brand)) return
  const name = brand.startsWith('avi') ? 'AVIF' : 'HEIC'
  throw new ScreeningError('ERR_PHOTO_HEIC', `Expected a JPEG, PNG or WebP photo but received ${name}; send JPEG (iPhone: Settings, Camera, Formats, Most Compatible)`)
}

/** Markers up to end of image (ITU-T T.81 annex B): every frame header is measured, scans are counted. */
function walkJpeg(buffer: Buffer): GuardedPhoto {
  let size: { width: number; height: number } | undefined
  let scans = 0
  let at = 2
  while (at + 1 < buffer.length) {
    if (buffer[at] !== 0xff) {
      at = buffer.indexOf(0xff, at)
      if (at < 0) break
      continue
    }
    const marker = buffer[at + 1] ?? 0
    if (marker === 0xff) {
      at += 1
      continue
    }
    if (marker === 0xd9) break
    if (isStandalone(marker)) {
      at += 2
      continue
    }
    if (at + 4 > buffer.length) break
    const length = buffer.readUInt16BE(at + 2)
    if (length < 2 || at + 2 + length > buffer.length) throw corrupt('Expected complete JPEG segments but received a truncated one')
    if (isFrameHeader(marker)) size = frameSize(buffer, at, length)
    if (marker === 0xda && ++scans > PHOTO_LIMITS.jpegScans)
      throw corrupt(`Expected a JPEG of at most ${PHOTO_LIMITS.jpegScans} scans but received more`)
    at += 2 + length
  }
  if (!size || scans === 0) throw corrupt('Expected a JPEG with a picture in it but received none')
  return { format: 'jpeg', ...size }
}

/** Stuffed zero, restart markers, TEM: no length follows. */
const isStandalone = (marker: number) => marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)
/** SOF0 to SOF15 without DHT, JPG and DAC. */
const isFrameHeader = (marker: number) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)

function frameSize(buffer: Buffer, at: number, length: number): { width: number; height: number } {
  if (length < 8) throw corrupt('Expected a JPEG frame header but received a short one')
  const size = { height: buffer.readUInt16BE(at + 5), width: buffer.readUInt16BE(at + 7) }
  checkPixels(size.width, size.height)
  return size
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/** Chunks from IHDR to IEND (PNG third edition, section 5): lengths stay inside the file, no animation. */
function walkPng(buffer: Buffer): GuardedPhoto {
  if (buffer.length < 33 || textAt(buffer, 12) !== 'IHDR' || buffer.readUInt32BE(8) !== 13)
    throw corrupt('Expected a PNG that starts with its header but received something else')
  const width = buffer.readUInt32BE(16)
  const height = buffer.readUInt32BE(20)
  checkPixels(width, height)
  let hasData = false
  let at = 8
  for (let chunks = 0; chunks < PHOTO_LIMITS.pngChunks; chunks++) {
    if (at + 12 > buffer.length) throw corrupt('Expected a complete PNG but received a truncated one')
    const length = buffer.readUInt32BE(at)
    const type = textAt(buffer, at + 4)
    if (length > buffer.length - at - 12) throw corrupt('Expected complete PNG chunks but received a truncated one')
    if (type === 'acTL') throw corrupt('Expected a still PNG but received an animated one')
    if (type === 'IDAT') hasData = true
    if (type === 'IEND') {
      if (!hasData) throw corrupt('Expected a PNG with a picture in it but received none')
      return { format: 'png', width, height }
    }
    at += 12 + length
  }
  throw corrupt(`Expected a PNG of at most ${PHOTO_LIMITS.pngChunks} chunks but received more`)
}

/** First chunk of a WebP container (RFC 9649, section 2): size in pixels, no animation. */
function walkWebp(buffer: Buffer): GuardedPhoto {
  if (buffer.length < 30 || buffer.readUInt32LE(4) + 8 > buffer.length) throw corrupt('Expected a complete WebP but received a truncated one')
  return { format: 'webp', ...webpSize(buffer) }
}

function webpSize(buffer: Buffer): { width: number; height: number } {
  switch (textAt(buffer, 12)) {
    case 'VP8 ': return { width: buffer.readUInt16LE(26) & 0x3fff, height: buffer.readUInt16LE(28) & 0x3fff }
    case 'VP8L': {
      const bits = buffer.readUInt32LE(21)
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 }
    }
    case 'VP8X': {
      if (((buffer[20] ?? 0) & 2) !== 0) throw corrupt('Expected a still WebP but received an animated one')
      return { width: buffer.readUIntLE(24, 3) + 1, height: buffer.readUIntLE(27, 3) + 1 }
    }
    default: throw corrupt('Expected a WebP with a picture in it but received none')
  }
}

function checkPixels(width: number, height: number): void {
  if (width < 1 || height < 1) throw corrupt(`Expected a photo with pixels but received ${width} x ${height}`)
  if (width * height > PHOTO_LIMITS.pixels)
    throw new ScreeningError('ERR_PHOTO_TOO_LARGE', `Expected a photo of at most ${PHOTO_LIMITS.pixels} pixels but received ${width} x ${height}`)
}

const textAt = (buffer: Buffer, at: number) => buffer.toString('latin1', at, at + 4)
const corrupt = (message: string) => new ScreeningError('ERR_PHOTO_CORRUPT', message)
