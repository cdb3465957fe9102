import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp, { type Sharp } from 'sharp'
import { coveredJoints } from '../../src/inference/covered-joints.ts'
import { decodePhoto } from '../../src/inference/decode-photo.ts'
import { openHandLocator, type HandLocator, type LocatedHand } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { jointPatches } from '../../src/inference/joint-patches.ts'
import { palmLength } from '../../src/inference/hand-landmarks/hand-geometry.ts'
import type { HandJoint } from '../../src/joints/hand-joint.ts'
import { readSyntheticHand, type SyntheticHand } from './hand-landmarks-photo.ts'

let locator: HandLocator
let photo: SyntheticHand
let hand: LocatedHand
beforeAll(async () => {
  locator = await openHandLocator()
  photo = await readSyntheticHand('right')
  const [located] = await locator.locate(await decodePhoto(photo.jpeg))
  if (!located) throw new Error('Expected a hand')
  hand = located
})
afterAll(() => locator.close())

type Paint = (at: number) => readonly [red: number, green: number, blue: number] | readonly [red: number, green: number, blue: number, alpha: number]

/** The joints called covered after a square of half a palm length was laid over one of them. */
async function coveredAfter(joint: HandJoint, paint: Paint): Promise<readonly HandJoint[]> {
  const side = Math.round(0.5 * palmLength(hand.points))
  const pixels = Buffer.from(Array.from({ length: side * side }, (_, at): readonly number[] => [...paint(at), 255].slice(0, 4)).flat())
  const input = await sharp(pixels, { raw: { width: side, height: side, channels: 4 } }).png().toBuffer()
  const [x, y] = photo.joints[joint]
  return coveredIn(await sharp(photo.jpeg).composite([{ input, left: Math.round(x - side / 2), top: Math.round(y - side / 2) }]).jpeg({ quality: 90 }).toBuffer())
}

async function coveredIn(jpeg: Uint8Array): Promise<readonly HandJoint[]> {
  return [...coveredJoints(jointPatches(await decodePhoto(jpeg), hand))]
}

describe('a joint counts as covered', () => {
  test.each<[string, Paint]>([
    ['a grey sticker', () => [128, 128, 128]], ['a white plaster', () => [240, 240, 240]], ['a plaster in the colour of skin', () => [217, 160, 124]],
    ['black tape', () => [16, 16, 16]], ['blue cloth, whose threads are as fine as skin', (at) => at % 3 === 0 ? [60, 90, 220] : [30, 50, 160]],
    ['a red pen', () => [176, 24, 40]]
  ])('under %s', async (_name, paint) => {
    expect(await coveredAfter('pip3', paint)).toEqual(['pip3'])
  })
})

describe('a joint does not count as covered', () => {
  test('when nothing lies over it, however the photo was taken', async () => {
    const changes = [
      (one: Sharp) => one, (one: Sharp) => one.greyscale(), (one: Sharp) => one.blur(1.5), (one: Sharp) => one.linear(0.4, 0),
      (one: Sharp) => one.modulate({ hue: 20 }), (one: Sharp) => one.modulate({ saturation: 1.6 }), (one: Sharp) => one.jpeg({ quality: 40 })
    ]
    for (const change of changes) expect(await coveredIn(await change(sharp(photo.jpeg)).toBuffer())).toEqual([])
  })

  test('when it alone is red as inflamed skin', async () => {
    expect(await coveredAfter('pip3', () => [200, 20, 20, 77])).toEqual([])
  })
})
