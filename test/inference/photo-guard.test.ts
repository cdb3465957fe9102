import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import sharp from 'sharp'
import { isScreeningError } from '../../src/errors.ts'
import { guardPhoto, PHOTO_LIMITS } from '../../src/inference/photo-guard.ts'

const plain = sharp({ create: { width: 64, height: 48, channels: 3, background: '#c08060' } })
const noisy = sharp({ create: { width: 96, height: 64, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 40 } } })
const jpeg = await noisy.clone().jpeg().toBuffer()
const progressive = await noisy.clone().jpeg({ progressive: true }).toBuffer()
const png = await plain.clone().png().toBuffer()
const webp = await plain.clone().webp().toBuffer()
const losslessWebp = await plain.clone().webp({ lossless: true }).toBuffer()
const alphaWebp = await plain.clone().ensureAlpha(0.5).webp().toBuffer()

const codeOf = (bytes: Uint8Array) => {
  try {
    guardPhoto(bytes)
    return 'passed'
  } catch (error) {
    if (!isScreeningError(error)) throw error
    return error.code
  }
}

/** The picture with everything from its last scan to its end written many times over. */
function scanBomb(photo: Buffer, scans: number): Buffer {
  const scan = photo.subarray(photo.lastIndexOf(Buffer.from([0xff, 0xda])), photo.length - 2)
  return Buffer.concat([photo.subarray(0, -2), ...Array.from({ length: scans }, () => scan), photo.subarray(-2)])
}

function withFrameSize(photo: Buffer, marker: number, width: number, height: number): Buffer {
  const copy = Buffer.from(photo)
  const at = copy.indexOf(Buffer.from([0xff, marker]))
  copy.writeUInt16BE(height, at + 5)
  copy.writeUInt16BE(width, at + 7)
  return copy
}

function pngChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + data.length)
  chunk.writeUInt32BE(data.length, 0)
  chunk.write(type, 4, 'latin1')
  data.copy(chunk, 8)
  return chunk
}

describe('what may be decoded', () => {
  test.each([
    ['jpeg', jpeg, { format: 'jpeg', width: 96, height: 64 }],
    ['progressive jpeg', progressive, { format: 'jpeg', width: 96, height: 64 }],
    ['png', png, { format: 'png', width: 64, height: 48 }],
    ['webp', webp, { format: 'webp', width: 64, height: 48 }],
    ['lossless webp', losslessWebp, { format: 'webp', width: 64, height: 48 }],
    ['webp with transparency', alphaWebp, { format: 'webp', width: 64, height: 48 }]
  ])('a %s passes with its size', (_name, bytes, expected) => {
    expect(guardPhoto(bytes)).toEqual(expected)
  })

  test('the thumbnail inside the metadata does not count as the picture', async () => {
    const thumbnail = await plain.clone().jpeg().toBuffer()
    const segment = Buffer.concat([Buffer.from([0xff, 0xe1]), Buffer.alloc(2), Buffer.from('Exif\0\0'), thumbnail])
    segment.writeUInt16BE(segment.length - 2, 2)
    expect(guardPhoto(Buffer.concat([jpeg.subarray(0, 2), segment, jpeg.subarray(2)]))).toEqual({ format: 'jpeg', width: 96, height: 64 })
  })

  test('what phones append after the picture is not looked at', () => {
    expect(codeOf(Buffer.concat([jpeg, withFrameSize(jpeg, 0xc0, 65_500, 65_500)]))).toBe('passed')
  })
})

describe('what is refused before it costs anything', () => {
  test('a JPEG of thousands of scans, in milliseconds', () => {
    const bomb = scanBomb(progressive, 2646)
    const start = performance.now()
    expect(codeOf(bomb)).toBe('ERR_PHOTO_CORRUPT')
    expect(performance.now() - start).toBeLessThan(50)
  })

  test('more pixels than a phone takes', () => {
    expect(codeOf(withFrameSize(jpeg, 0xc0, 65_500, 65_500))).toBe('ERR_PHOTO_TOO_LARGE')
    expect(codeOf(withFrameSize(progressive, 0xc2, 10_000, 5_001))).toBe('ERR_PHOTO_TOO_LARGE')
    const huge = Buffer.from(png)
    huge.writeUInt32BE(16_000, 16)
    huge.writeUInt32BE(16_000, 20)
    expect(codeOf(huge)).toBe('ERR_PHOTO_TOO_LARGE')
    const large = Buffer.from(alphaWebp)
    large.writeUIntLE(16_000, 24, 3)
    large.writeUIntLE(16_000, 27, 3)
    expect(codeOf(large)).toBe('ERR_PHOTO_TOO_LARGE')
  })

  test('a second frame header that is larger than the first', () => {
    const at = jpeg.indexOf(Buffer.from([0xff, 0xc0]))
    const header = jpeg.subarray(at, at + 2 + jpeg.readUInt16BE(at + 2))
    const forged = Buffer.concat([jpeg.subarray(0, at + header.length), withFrameSize(header, 0xc0, 60_000, 60_000), jpeg.subarray(at + header.length)])
    expect(codeOf(forged)).toBe('ERR_PHOTO_TOO_LARGE')
  })

  test('more bytes than allowed', () => {
    expect(codeOf(Buffer.concat([jpeg, Buffer.alloc(PHOTO_LIMITS.bytes)]))).toBe('ERR_PHOTO_TOO_LARGE')
  })

  test.each(['heic', 'heix', 'hevc', 'mif1', 'avif'])('%s, asking for JPEG', (brand) => {
    const bytes = Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from(`ftyp${brand}\0\0\0\0mif1${brand}`, 'latin1')])
    expect(codeOf(bytes)).toBe('ERR_PHOTO_HEIC')
    expect(() => guardPhoto(bytes)).toThrow(/send JPEG/)
  })

  test.each([
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'], ['GIF', 'GIF89a\x01\x00\x01\x00'], ['TIFF', 'II*\0\x08\0\0\0'],
    ['PDF', '%PDF-1.7'], ['a video', '\0\0\0\x18ftypisom\0\0\0\0'], ['text', 'hello']
  ])('%s, whatever its name says', (_name, content) => {
    expect(codeOf(Buffer.from(content, 'latin1'))).toBe('ERR_PHOTO_FORMAT')
  })

  test.each([
    ['no bytes', Buffer.alloc(0)],
    ['a JPEG without a picture', Buffer.from([0xff, 0xd8, 0xff, 0xd9])],
    ['a JPEG cut inside its headers', jpeg.subarray(0, 300)],
    ['a JPEG without height', withFrameSize(jpeg, 0xc0, 96, 0)],
    ['a PNG cut short', png.subarray(0, -20)],
    ['a PNG chunk longer than its file', Buffer.concat([png.subarray(0, 33), Buffer.from([0x7f, 0xff, 0xff, 0xff]), png.subarray(37)])],
    ['an animated PNG', Buffer.concat([png.subarray(0, 33), pngChunk('acTL', Buffer.alloc(8)), png.subarray(33)])],
    ['a PNG without a picture', Buffer.concat([png.subarray(0, 33), pngChunk('IEND', Buffer.alloc(0))])],
    ['a WebP cut short', webp.subarray(0, -10)]
  ])('%s', (_name, bytes) => {
    expect(codeOf(bytes)).toBe('ERR_PHOTO_CORRUPT')
  })

  test('any bytes get a size within the limits or an error with a code', () => {
    const files = [jpeg, progressive, png, webp, alphaWebp]
    fc.assert(fc.property(fc.constantFrom(...files), fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }), fc.nat(), (file, edits, cut) => {
      const bytes = Buffer.from(file)
      for (const [at, value] of edits) bytes[at % Math.min(bytes.length, 700)] = value
      const end = cut % 3 === 0 ? cut % bytes.length : bytes.length
      if (codeOf(bytes.subarray(0, end)) !== 'passed') return
      const { width, height } = guardPhoto(bytes.subarray(0, end))
      expect(width * height).toBeLessThanOrEqual(PHOTO_LIMITS.pixels)
    }), { numRuns: 3000 })
  })
})
