import { describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { renderPhoto } from '../../src/inference/render-photo.ts'
import { storeOriented } from './hand-landmarks-photo.ts'

const raw = Buffer.alloc(120 * 80 * 3)
for (let y = 0; y < 80; y++) for (let x = 0; x < 120; x++) raw.set(x < 60 ? [220, 30, 30] : [30, 30, 220], (y * 120 + x) * 3)
const photo = await sharp(raw, { raw: { width: 120, height: 80, channels: 3 } }).jpeg({ quality: 95 }).toBuffer()
const codeOf = (work: Promise<unknown>) => work.then(() => 'made', (error: unknown) => (error as { code?: string }).code)

describe('a photo for the review page', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('is upright whatever its EXIF orientation %i says', async (orientation) => {
    const { data, info } = await sharp(await renderPhoto(await storeOriented(photo, orientation), { maxSidePx: 1000 })).raw().toBuffer({ resolveWithObject: true })
    expect([info.width, info.height]).toEqual([120, 80])
    expect(data[(40 * 120 + 20) * 3]).toBeGreaterThan(180)
    expect(data[(40 * 120 + 100) * 3]).toBeLessThan(80)
  })

  test('carries no place, no device and no name', async () => {
    const tagged = await sharp(photo).withExif({ IFD0: { Make: 'Camera of Jane', ImageDescription: 'Jane Doe' }, IFD3: { GPSLatitudeRef: 'N' } }).withIccProfile('p3').jpeg().toBuffer()
    expect(tagged.includes('Jane')).toBe(true)
    const rendered = Buffer.from(await renderPhoto(tagged, { maxSidePx: 100 }))
    expect(rendered.includes('Jane')).toBe(false)
    const { exif, icc, xmp, iptc, orientation } = await sharp(rendered).metadata()
    expect({ exif, icc, xmp, iptc, orientation }).toEqual({ exif: undefined, icc: undefined, xmp: undefined, iptc: undefined, orientation: undefined })
  })

  test('is at most as large as asked and never enlarged', async () => {
    const size = async (maxSidePx: number) => {
      const { width, height } = await sharp(await renderPhoto(photo, { maxSidePx })).metadata()
      return [width, height]
    }
    expect(await size(60)).toEqual([60, 40])
    expect(await size(60.9)).toEqual([60, 40])
    expect(await size(1e9)).toEqual([120, 80])
  })

  test('shows a region of the upright picture, clipped to it', async () => {
    const turned = await storeOriented(photo, 6)
    const part = await sharp(await renderPhoto(turned, { maxSidePx: 500, region: { x: 79.5, y: -20, width: 100, height: 60 } })).raw().toBuffer({ resolveWithObject: true })
    expect([part.info.width, part.info.height]).toEqual([41, 40])
    expect(part.data[2]).toBeGreaterThan(180)
  })

  test.each([[{ x: 500, y: 0, width: 10, height: 10 }], [{ x: 0, y: 0, width: 0, height: 10 }], [{ x: NaN, y: 0, width: 10, height: 10 }]])('of a region %j outside it is refused', async (region) => {
    expect(await codeOf(renderPhoto(photo, { maxSidePx: 100, region }))).toBe('ERR_REQUEST_INVALID')
  })

  test('of no size, or of no photo, is refused', async () => {
    expect(await codeOf(renderPhoto(photo, { maxSidePx: 0 }))).toBe('ERR_REQUEST_INVALID')
    expect(await codeOf(renderPhoto(photo, { maxSidePx: NaN }))).toBe('ERR_REQUEST_INVALID')
    expect(await codeOf(renderPhoto(Buffer.from('<svg/>'), { maxSidePx: 10 }))).toBe('ERR_PHOTO_FORMAT')
  })
})
