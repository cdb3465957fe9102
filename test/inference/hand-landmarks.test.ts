import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { decodePhoto } from '../../src/inference/decode-photo.ts'
import { openHandLocator, LANDMARK_MODEL_DIGEST, type HandLocator, type LocatedHand } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { readLandmarkModels, toOnnx, type LandmarkModels } from '../../src/inference/hand-landmarks/landmark-models.ts'
import { sampleFloats } from '../../src/inference/hand-landmarks/photo-square.ts'
import * as ort from '../../src/inference/onnx-runtime.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { readSyntheticHand, storeOriented, type SyntheticHand } from './hand-landmarks-photo.ts'

/** MediaPipe landmarks of HAND_JOINTS. */
const LANDMARKS = [0, 2, 5, 9, 13, 17, 3, 6, 10, 14, 18]
/** Own bar: how far a landmark may lie from the true joint, in palm lengths. The renderer's wrist lies in the forearm. */
const MAX_ERROR = 0.2
const MAX_WRIST_ERROR = 0.4

let locator: HandLocator
let left: SyntheticHand
let right: SyntheticHand
beforeAll(async () => {
  locator = await openHandLocator()
  left = await readSyntheticHand('left')
  right = await readSyntheticHand('right')
})
afterAll(() => locator.close())

const locate = async (jpeg: Uint8Array) => locator.locate(await decodePhoto(jpeg))

function only(hands: readonly LocatedHand[]): LocatedHand {
  expect(hands).toHaveLength(1)
  return hands[0] as LocatedHand
}

/** A table with pictures laid on it. */
async function layOnTable(size: { width: number; height: number }, pieces: readonly { jpeg: Uint8Array; left: number; top: number; turn?: number; side: number }[]) {
  const layers = await Promise.all(pieces.map(async ({ jpeg, left, top, turn = 0, side }) => ({
    input: await sharp(await sharp(jpeg).rotate(turn, { background: '#777' }).png().toBuffer()).resize(side, side).png().toBuffer(), left, top
  })))
  return sharp({ create: { ...size, channels: 3, background: '#777' } }).composite(layers).jpeg({ quality: 92 }).toBuffer()
}

describe('the hand networks', () => {
  test('are the pinned ones', async () => {
    expect(LANDMARK_MODEL_DIGEST).toMatch(/^[0-9a-f]{64}$/)
    await expect(readLandmarkModels()).resolves.toBeDefined()
  })

  test('are refused when a byte differs or a file is missing', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'jointlens-'))
    try {
      await expect(readLandmarkModels(dir)).rejects.toMatchObject({ code: 'ERR_MODEL_INVALID' })
      const { palmDetection, handLandmark } = await readLandmarkModels()
      const flipped = Buffer.from(handLandmark)
      flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 1
      await writeFile(join(dir, 'hands_solution_packed_assets.data'), Buffer.concat([Buffer.alloc(11), palmDetection]))
      await writeFile(join(dir, 'hand_landmark_full.tflite'), flipped)
      await expect(readLandmarkModels(dir)).rejects.toMatchObject({ code: 'ERR_MODEL_INVALID' })
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  test.each([['palmDetection', 192], ['handLandmark', 224]] as const)('%s gives what LiteRT gives for the same picture', async (name, side) => {
    const photo = await decodePhoto(right.jpeg)
    const square = { cx: photo.width / 2, cy: photo.height / 2, size: photo.width * 0.9, rotation: 0.2 }
    const image = sampleFloats(photo, square, side)
    const expected = await runLiteRt((await readLandmarkModels())[name], side, image)
    const actual = await runConverted(name, side, image)
    expect(actual.length).toBe(expected.length)
    for (const [output, numbers] of expected.entries()) {
      expect(actual[output]?.length).toBe(numbers.length)
      const largest = numbers.reduce((worst, value, at) => Math.max(worst, Math.abs(value - (actual[output]?.[at] ?? NaN))), 0)
      expect(largest).toBeLessThan(1e-3)
    }
  })
})

async function runLiteRt(model: Uint8Array, side: number, image: Float32Array): Promise<readonly (readonly number[])[]> {
  const dir = await mkdtemp(join(tmpdir(), 'jointlens-'))
  try {
    const files = { model: join(dir, 'model.tflite'), input: join(dir, 'input.f32') }
    await writeFile(files.model, model)
    await writeFile(files.input, new Uint8Array(image.buffer))
    const oracle = join(import.meta.dirname, 'hand-landmarks-oracle.ts')
    const { stdout } = await promisify(execFile)(process.execPath, [oracle, files.model, String(side), files.input], { maxBuffer: 50_000_000 })
    return JSON.parse(stdout) as number[][]
  } finally {
    await rm(dir, { recursive: true })
  }
}

async function runConverted(name: keyof LandmarkModels, side: number, image: Float32Array): Promise<readonly Float32Array[]> {
  const session = await ort.InferenceSession.create(toOnnx(await readLandmarkModels())[name])
  try {
    const outputs = await session.run({ image: new ort.Tensor('float32', image, [1, side, side, 3]) })
    return session.outputNames.map((output) => outputs[output]?.data as Float32Array)
  } finally {
    await session.release()
  }
}

describe('one hand', () => {
  test.each(LATERALITIES)('a %s hand seen from behind has its side, its view and its joints in place', async (side) => {
    const { jpeg, joints } = side === 'left' ? left : right
    const hand = only(await locate(jpeg))
    expect(hand).toMatchObject({ side, view: 'dorsal' })
    expect(hand.presence).toBeGreaterThan(0.8)
    expect(hand.sideConfidence).toBeGreaterThan(0.6)
    expect(hand.points).toHaveLength(21)
    for (const [index, joint] of HAND_JOINTS.entries()) {
      const point = hand.points[LANDMARKS[index] ?? -1] ?? { x: NaN, y: NaN }
      const error = Math.hypot(point.x - joints[joint][0], point.y - joints[joint][1]) / hand.palmLengthPx
      expect(error).toBeLessThan(joint === 'wrist' ? MAX_WRIST_ERROR : MAX_ERROR)
    }
  })

  test('is the same hand in all eight EXIF orientations', async () => {
    const reference = only(await locate(left.jpeg))
    for (let orientation = 1; orientation <= 8; orientation++) {
      const hand = only(await locate(await storeOriented(left.jpeg, orientation)))
      expect(hand).toMatchObject({ side: 'left', view: 'dorsal' })
      expect(meanDistance(hand, reference) / reference.palmLengthPx).toBeLessThan(0.03)
    }
  })

  test.each([0, 45, 90, 135, 180, 225, 270, 315])('is found when the arm comes in turned by %i degrees', async (turn) => {
    const jpeg = await layOnTable({ width: 800, height: 600 }, [{ jpeg: right.jpeg, left: 120, top: 20, turn, side: 560 }])
    expect(only(await locate(jpeg))).toMatchObject({ side: 'right', view: 'dorsal' })
  })

  test.each([['left', 0, 120], ['top', 150, 0], ['right', 500, 120], ['bottom', 150, 300]] as const)('is found small at the %s edge', async (_edge, leftPx, top) => {
    const jpeg = await layOnTable({ width: 800, height: 600 }, [{ jpeg: left.jpeg, left: leftPx, top, side: 300 }])
    expect(only(await locate(jpeg))).toMatchObject({ side: 'left', view: 'dorsal' })
  })

  test('counts as the other hand in a mirror: nothing in the picture tells', async () => {
    const mirrored = await sharp(right.jpeg).flop().jpeg({ quality: 95 }).toBuffer()
    expect(only(await locate(mirrored))).toMatchObject({ side: 'left', view: 'dorsal' })
  })

  test('palm length is told in pixels of the upright photo', async () => {
    const full = await decodePhoto(right.jpeg)
    const small = await decodePhoto(right.jpeg, { maxSidePx: 220 })
    const [a, b] = [only(await locator.locate(full)), only(await locator.locate(small))]
    expect(Math.abs(a.palmLengthPx - b.palmLengthPx) / a.palmLengthPx).toBeLessThan(0.05)
  })
})

describe('more or fewer hands', () => {
  test('two hands in one photo are both found, from left to right', async () => {
    const jpeg = await layOnTable({ width: 900, height: 500 }, [
      { jpeg: left.jpeg, left: 10, top: 20, side: 430 }, { jpeg: right.jpeg, left: 460, top: 20, side: 430 }
    ])
    expect((await locate(jpeg)).map(({ side, view }) => `${side} ${view}`)).toEqual(['left dorsal', 'right dorsal'])
  })

  test('two hands from opposite edges are both found', async () => {
    const jpeg = await layOnTable({ width: 600, height: 900 }, [
      { jpeg: right.jpeg, left: 60, top: 440, side: 440 }, { jpeg: left.jpeg, left: 80, top: 10, side: 420, turn: 180 }
    ])
    expect((await locate(jpeg)).map(({ side }) => side).sort()).toEqual(['left', 'right'])
  })

  test.each([
    ['a bare table', { type: 'gaussian', mean: 128, sigma: 20 }],
    ['darkness', { type: 'gaussian', mean: 4, sigma: 2 }]
  ] as const)('%s shows none', async (_name, noise) => {
    const jpeg = await sharp({ create: { width: 640, height: 480, channels: 3, background: '#777', noise } }).jpeg().toBuffer()
    expect(await locate(jpeg)).toEqual([])
  })

  test('a picture of one pixel shows none', async () => {
    expect(await locate(await sharp({ create: { width: 1, height: 1, channels: 3, background: '#777' } }).png().toBuffer())).toEqual([])
  })
})

function meanDistance(a: LocatedHand, b: LocatedHand): number {
  const distances = a.points.map(({ x, y }, index) => Math.hypot(x - (b.points[index]?.x ?? NaN), y - (b.points[index]?.y ?? NaN)))
  return distances.reduce((sum, distance) => sum + distance, 0) / distances.length
}
