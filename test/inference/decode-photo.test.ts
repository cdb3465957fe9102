import { describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { decodePhoto, type Photo } from '../../src/inference/decode-photo.ts'
import { storeOriented } from './hand-landmarks-photo.ts'

/** Four quarters, each of its own colour: wrong orientations cannot hide. */
const QUARTERS = [[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40]] as const
const WIDTH = 96
const HEIGHT = 64
const raw = Buffer.alloc(WIDTH * HEIGHT * 3)
for (let y = 0; y < HEIGHT; y++) {
  for (let x = 0; x < WIDTH; x++) raw.set(QUARTERS[(x < WIDTH / 2 ? 0 : 1) + (y < HEIGHT / 2 ? 0 : 2)] ?? [0, 0, 0], (y * WIDTH + x) * 3)
}
const picture = sharp(raw, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
const jpeg = await picture.clone().jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer()

/** Colour at a share of width and height. */
function colourAt({ data, width, height }: Photo, x: number, y: number): readonly number[] {
  const at = (Math.floor(y * height) * width + Math.floor(x * width)) * 3
  return [...data.subarray(at, at + 3)]
}

function expectColour(actual: readonly number[], expected: readonly number[], within = 12) {
  for (const [channel, value] of expected.entries()) expect(Math.abs((actual[channel] ?? NaN) - value)).toBeLessThanOrEqual(within)
}

function expectQuarters(photo: Photo, within?: number) {
  expect(photo.data.length).toBe(photo.width * photo.height * 3)
  const centers = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]] as const
  for (const [quarter, [x, y]] of centers.entries()) expectColour(colourAt(photo, x, y), QUARTERS[quarter] ?? [], within)
}

describe('a photo is decoded upright', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('with EXIF orientation %i', async (orientation) => {
    const photo = await decodePhoto(await storeOriented(jpeg, orientation))
    expect(photo).toMatchObject({ width: WIDTH, height: HEIGHT, uprightWidth: WIDTH, uprightHeight: HEIGHT, scale: 1 })
    expect(photo.mirrored).toBe([2, 4, 5, 7].includes(orientation))
    expectQuarters(photo)
  })

  test('and reduced to the working size, keeping the upright size', async () => {
    const photo = await decodePhoto(await storeOriented(jpeg, 6), { maxSidePx: 48 })
    expect(photo).toMatchObject({ width: 48, height: 32, uprightWidth: 96, uprightHeight: 64, scale: 2 })
    expectQuarters(photo)
  })

  test('and never enlarged', async () => {
    expect(await decodePhoto(jpeg, { maxSidePx: 4000 })).toMatchObject({ width: 96, scale: 1 })
  })
})

describe('every kind of colour becomes 8-bit RGB', () => {
  test('CMYK', async () => {
    const cmyk = await picture.clone().toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer()
    expect((await sharp(cmyk).metadata()).channels).toBe(4)
    const photo = await decodePhoto(cmyk)
    expect(photo.data.length).toBe(WIDTH * HEIGHT * 3)
    const [red = 0, green = 0] = colourAt(photo, 0.25, 0.25)
    expect(red).toBeGreaterThan(green + 60)
  })

  test.each([['PNG', 'png'], ['JPEG', 'jpeg']] as const)('grey %s', async (_name, format) => {
    const grey = await sharp(Buffer.alloc(600, 120), { raw: { width: 30, height: 20, channels: 1 } }).toColourspace('b-w').toFormat(format).toBuffer()
    expect((await sharp(grey).metadata()).channels).toBe(1)
    const photo = await decodePhoto(grey)
    expect(photo.data.length).toBe(30 * 20 * 3)
    expectColour(colourAt(photo, 0.5, 0.5), [120, 120, 120], 3)
  })

  test('16-bit PNG', async () => {
    const deep = await picture.clone().toColourspace('rgb16').png().toBuffer()
    expect((await sharp(deep).metadata()).depth).toBe('ushort')
    expectQuarters(await decodePhoto(deep))
  })

  test('palette PNG and WebP', async () => {
    expectQuarters(await decodePhoto(await picture.clone().png({ palette: true }).toBuffer()))
    expectQuarters(await decodePhoto(await picture.clone().webp({ lossless: true }).toBuffer()))
  })

  test('transparency is laid on white', async () => {
    const clear = await sharp({ create: { width: 20, height: 20, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } }).png().toBuffer()
    const photo = await decodePhoto(clear)
    expect(photo.data.length).toBe(20 * 20 * 3)
    expectColour(colourAt(photo, 0.5, 0.5), [255, 255, 255], 0)
  })
})

describe('what cannot be decoded is refused', () => {
  test('a photo whose upload broke off', async () => {
    const noise = await sharp({ create: { width: 400, height: 300, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 40 } } }).jpeg().toBuffer()
    await expect(decodePhoto(noise.subarray(0, noise.length / 2))).rejects.toMatchObject({ code: 'ERR_PHOTO_CORRUPT' })
  })

  test('a PNG whose pixels are garbage', async () => {
    const png = await picture.clone().png().toBuffer()
    png.fill(0xaa, 60, png.length - 20)
    await expect(decodePhoto(png)).rejects.toMatchObject({ code: 'ERR_PHOTO_CORRUPT' })
  })

  test('formats that libvips could read but we do not', async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>')
    await expect(decodePhoto(svg)).rejects.toMatchObject({ code: 'ERR_PHOTO_FORMAT' })
    await expect(sharp(svg).toBuffer()).rejects.toThrow()
    await expect(sharp(await picture.clone().tiff().toBuffer()).toBuffer()).rejects.toThrow()
    await expect(sharp(await picture.clone().gif().toBuffer()).toBuffer()).rejects.toThrow()
  })
})
