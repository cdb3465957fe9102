import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import type { HandCase } from '../../training/synthetic/hand-case.ts'
import type { Rendering } from '../../training/synthetic/render.ts'
import { measurePatch } from '../../training/synthetic/skin-statistics.ts'
import type { Point } from '../../training/synthetic/skin-statistics.ts'
import { plainHand } from './hands.ts'
import type { RenderedPhoto } from './render-worker.ts'

let worker: Worker
beforeAll(() => { worker = new Worker(new URL('./render-worker.ts', import.meta.url)) })
afterAll(async () => { await worker.terminate() })

async function shoot(hand: HandCase, size = 128): Promise<RenderedPhoto> {
  worker.postMessage({ hand, size })
  return (await once(worker, 'message') as [RenderedPhoto])[0]
}
const photoOf = async (hand: HandCase) => Buffer.from((await shoot(hand)).jpeg)
const render = async (hand: HandCase, size = 128) => (await shoot(hand, size)).rendering

interface RealRanges {
  pip: Record<'0.25-0.5mm' | '0.5-1mm', number[]>
  phalanx: Record<'0.5-1mm', number[]>
  dorsum: Record<'0.5-1mm', number[]>
  pipRednessOverPhalanx: number[]
}
const ranges = JSON.parse(
  readFileSync(new URL('../../training/synthetic/real-skin-ranges.json', import.meta.url), 'utf8')) as RealRanges

describe('a rendered hand', () => {
  test('is the same photo, byte for byte, when its case is the same', async () => {
    const first = await photoOf(plainHand('a'))
    expect((await photoOf(plainHand('a'))).equals(first)).toBe(true)
    expect((await photoOf(plainHand('b'))).equals(first)).toBe(false)
  })

  test('has a thumb on the right if it is a left hand seen from its back, and on the left if it is a right hand', async () => {
    const left = plainHand('a')
    for (const [side, direction] of [['left', 1], ['right', -1]] as const) {
      const { joints } = await render({ ...left, side }, 96)
      expect(Math.sign(joints.get('ip1')![0] - joints.get('mcp5')![0])).toBe(direction)
    }
  })

  test('is widened by a swollen PIP joint, the more the higher the grade, and nowhere else', async () => {
    const calm = await render(plainHand('a'), 384)
    const mild = await render(plainHand('a', { pip3: { swelling: 1 } }), 384)
    const marked = await render(plainHand('a', { pip3: { swelling: 3 } }), 384)
    const widths = [calm, mild, marked].map((rendering) => fingerWidthMm(rendering, 'pip3', 'dip3'))
    expect(widths[1]! - widths[0]!).toBeGreaterThan(0.8)
    expect(widths[2]! - widths[0]!).toBeGreaterThan(3)
    expect(fingerWidthMm(marked, 'pip4', 'dip4')).toBeCloseTo(fingerWidthMm(calm, 'pip4', 'dip4'), 0)
  })

  test('keeps its outline when a joint is only red', async () => {
    const calm = await render(plainHand('a'), 128)
    const red = await render(plainHand('a', { pip3: { erythema: 1 } }), 128)
    expect(red.hand).toEqual(calm.hand)
    expect(redness(red, 'pip3')).toBeGreaterThan(1.1 * redness(calm, 'pip3'))
  })

  test('has skin as rough and as uneven in colour as real people have', async () => {
    const people: Awaited<ReturnType<typeof skinOf>>[] = []
    for (const patient of ['1', '2', '3', '4', '5']) people.push(await skinOf(plainHand(patient)))
    const median = (value: (person: Awaited<ReturnType<typeof skinOf>>) => number) => people.map(value).sort((a, b) => a - b)[2]!
    expectWithin(median(({ pip }) => pip.detail['0.25-0.5mm']), ranges.pip['0.25-0.5mm'])
    expectWithin(median(({ pip }) => pip.detail['0.5-1mm']), ranges.pip['0.5-1mm'])
    expectWithin(median(({ phalanx }) => phalanx.detail['0.5-1mm']), ranges.phalanx['0.5-1mm'])
    expectWithin(median(({ dorsum }) => dorsum.detail['0.5-1mm']), ranges.dorsum['0.5-1mm'])
    expectWithin(median(({ pip, phalanx }) => pip.redness - phalanx.redness), ranges.pipRednessOverPhalanx)
  })
})

function expectWithin(value: number, [low, high]: readonly number[]): void {
  expect(value).toBeGreaterThanOrEqual(low!)
  expect(value).toBeLessThanOrEqual(high!)
}

/** The plain camera looks straight down from 380 mm with 38°. */
const pixelsPerMm = (size: number) => size / 2 / Math.tan(19 * Math.PI / 180) / 380

/** Width of the finger's outline across a joint, measured along the row of pixels at right angles to the finger. */
function fingerWidthMm({ hand, size, joints }: Rendering, joint: 'pip3' | 'pip4', next: 'dip3' | 'dip4'): number {
  const [x, y] = joints.get(joint)!, [nx, ny] = joints.get(next)!
  const length = Math.hypot(nx - x, ny - y)
  const across: Point = [-(ny - y) / length, (nx - x) / length]
  const step = 0.1
  const run = (direction: number) => {
    let reach = 0
    const isHand = () => hand[Math.floor(y + direction * reach * across[1]) * size +
      Math.floor(x + direction * reach * across[0])]! > 0.5
    while (isHand() && reach < size) reach += step
    return reach
  }
  return (run(1) + run(-1)) / pixelsPerMm(size)
}

function redness({ rgb, size, joints }: Rendering, joint: 'pip3'): number {
  const [x, y] = joints.get(joint)!
  const k = 3 * (Math.floor(y) * size + Math.floor(x))
  return rgb[k]! / rgb[k + 1]!
}

async function skinOf(hand: HandCase) {
  const size = 560
  const { rendering, jpeg } = await shoot(hand, size)
  const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true })
  const photo = { data, width: info.width, height: info.height }
  const at = (joint: 'wrist' | 'mcp3' | 'pip3' | 'dip3') => rendering.joints.get(joint)!
  const between = ([ax, ay]: Point, [bx, by]: Point, share: number): Point => [ax + (bx - ax) * share, ay + (by - ay) * share]
  const along = ([ax, ay]: Point, [bx, by]: Point): Point => [bx - ax, by - ay]
  const finger = along(at('mcp3'), at('dip3'))
  const patch = (centre: Point, axis: Point, halfWidthMm: number) =>
    measurePatch(photo, centre, axis, pixelsPerMm(size), halfWidthMm)
  return {
    pip: patch(at('pip3'), finger, 4.5),
    phalanx: patch(between(at('mcp3'), at('pip3'), 0.5), finger, 4.5),
    dorsum: patch(between(at('wrist'), at('mcp3'), 2 / 3), along(at('wrist'), at('mcp3')), 9)
  }
}
