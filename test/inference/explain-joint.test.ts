import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openHandAssessor, type HandAssessor } from '../../src/inference/assess-hands.ts'
import { coverJoint } from '../../src/inference/explain-joint.ts'
import type { HandInput, JointModel } from '../../src/inference/joint-model.ts'
import { readModelBundle } from '../../src/inference/model-bundle.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { writeTestBundle } from '../support/test-bundle.ts'

const photo = await readFile(join(import.meta.dirname, '../../demo/photos/demo-1-left.jpg'))
const SIZE = 16

/** A network that looks at one pixel of each joint's crop, and at the other hand when there is one. */
const onePixel = (x: number, y: number): JointModel => ({
  executionProvider: 'none',
  close: () => Promise.resolve(),
  logits: (hands, pairs = []) => Promise.resolve(hands.map(({ local }, row) => Float32Array.from(HAND_JOINTS, (_, joint) => {
    const own = local[((joint * SIZE + y) * SIZE + x) * 3] ?? 0
    return own / 10 + (pairs[row] === undefined || pairs[row] < 0 ? 0 : (hands[pairs[row]]?.local[0] ?? 0))
  })))
})

function handWith(red: readonly [joint: number, x: number, y: number], rest = 0): HandInput {
  const local = new Uint8Array(11 * SIZE * SIZE * 3).fill(rest)
  local[((red[0] * SIZE + red[2]) * SIZE + red[1]) * 3] = 255
  return { global: new Uint8Array(3), local, xy: new Float32Array(22), mask: new Uint8Array(11).fill(1) }
}

describe('covering a joint cell by cell', () => {
  test('finds the place that the answer rests on, and only in the crop of that joint', async () => {
    const { base, covered } = await coverJoint(onePixel(5, 11), handWith([3, 5, 11]), 3, SIZE)
    expect(base[3]).toBeCloseTo(25.5)
    // 2 px cells that reach one pixel further: the pixel (5, 11) lies under the columns 2 and 3 and the rows 5 and 6.
    const falls = covered.flatMap((logit, cell) => (logit < 25 ? [[Math.floor(cell / 8), cell % 8]] : []))
    expect(falls).toEqual([[5, 2], [5, 3], [6, 2], [6, 3]])
    expect((await coverJoint(onePixel(5, 11), handWith([3, 5, 11]), 4, SIZE)).covered.every((logit) => logit === 0)).toBe(true)
  })

  test('leaves the other hand beside every covering', async () => {
    const other = handWith([0, 0, 0], 7)
    const { base, covered } = await coverJoint(onePixel(5, 11), handWith([3, 5, 11], 0), 4, SIZE, other)
    expect([base[4], new Set(covered)]).toEqual([255, new Set([255])])
  })
})

describe('the map of a joint in a photo', () => {
  let dir: string
  let assessor: HandAssessor
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'explain-'))
    await writeTestBundle(dir)
    assessor = await openHandAssessor(await readModelBundle(dir))
  })
  afterAll(async () => {
    await assessor.close()
    await rm(dir, { recursive: true, force: true })
  })

  test('starts from the probability that was found, and its corners frame the close-up', async () => {
    const [hand] = (await assessor.assess(photo)).hands
    for (const joint of ['mcp2', 'wrist'] as const) {
      const map = await assessor.explain(photo, { side: 'left', joint })
      const index = HAND_JOINTS.indexOf(joint)
      const finding = hand?.joints[index]
      expect(map.probability).toBeCloseTo(finding?.kind === 'assessed' ? finding.probability : NaN, 6)
      expect(map.drops.length).toBe(64)
      expect(map.drops.some((drop) => Math.abs(drop) > 0.001)).toBe(true)
      const region = hand?.regions[index] ?? { x: NaN, y: NaN, width: NaN, height: NaN }
      const [origin, right, down] = map.corners
      const middle = { x: (right.x + down.x) / 2, y: (right.y + down.y) / 2 }
      expect(middle.x).toBeCloseTo(region.x + region.width / 2, 0)
      expect(middle.y).toBeCloseTo(region.y + region.height / 2, 0)
      expect(Math.hypot(right.x - origin.x, right.y - origin.y)).toBeLessThanOrEqual(region.width + 1)
    }
  })

  test('is refused for a hand that the photo does not show', async () => {
    await expect(assessor.explain(photo, { side: 'right', joint: 'mcp2' })).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  })
})
