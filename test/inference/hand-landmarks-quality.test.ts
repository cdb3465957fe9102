import { afterAll, beforeAll, expect, test } from '@jest/globals'
import sharp, { type Sharp } from 'sharp'
import { decodePhoto } from '../../src/inference/decode-photo.ts'
import { openHandLocator, type HandLocator } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { measureHandQuality } from '../../src/inference/hand-quality.ts'
import { photoOf, readSyntheticHand } from './hand-landmarks-photo.ts'

let locator: HandLocator
beforeAll(async () => { locator = await openHandLocator() })
afterAll(() => locator.close())

async function setUp() {
  const { jpeg } = await readSyntheticHand('right')
  const [hand] = await locator.locate(await decodePhoto(jpeg))
  if (!hand) throw new Error('Expected a hand')
  const measure = async (change: (photo: Sharp) => Sharp) =>
    measureHandQuality(await decodePhoto(await change(sharp(jpeg)).jpeg({ quality: 95 }).toBuffer()), hand)
  return { hand, measure }
}

test('the more a photo is blurred, the lower its sharpness', async () => {
  const { measure } = await setUp()
  const sharpness = []
  for (const sigma of [0, 1.5, 4, 10]) sharpness.push((await measure((photo) => sigma > 0 ? photo.blur(sigma) : photo)).sharpness)
  for (const [index, value] of sharpness.slice(1).entries()) expect(value).toBeLessThan((sharpness[index] ?? NaN) * 0.8)
})

test('a darker photo of the same hand is darker but about as sharp', async () => {
  const { measure } = await setUp()
  const [full, dark] = [await measure((photo) => photo), await measure((photo) => photo.linear(0.5, 0))]
  expect(dark.brightness / full.brightness).toBeCloseTo(0.5, 1)
  expect(Math.abs(Math.log(dark.sharpness / full.sharpness))).toBeLessThan(0.3)
})

test('a hand of which no joint is in the photo has neither sharpness nor brightness', async () => {
  const { hand } = await setUp()
  const away = { ...hand, points: hand.points.map(({ x, y }) => ({ x: x + 9000, y })) }
  expect(measureHandQuality(photoOf(new Uint8Array(300), 10, 10), away)).toMatchObject({ sharpness: 0, brightness: 0 })
})
