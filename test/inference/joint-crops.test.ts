import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { cropHand, type CropPlan, type HandCrops } from '../../src/inference/joint-crops.ts'
import type { LocatedHand } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { toPhoto, toSquare } from '../../src/inference/hand-landmarks/photo-square.ts'
import { HAND_JOINTS, jointGroup, type HandJoint } from '../../src/joints/hand-joint.ts'
import { photoOf } from './hand-landmarks-photo.ts'

const PLAN: CropPlan = { globalSizePx: 64, localSizePx: 32, globalMargin: 0.15, scales: { wrist: 1, mcp: 0.55, pip: 0.45 }, mcpProximalShift: 0 }
/** MediaPipe landmarks of HAND_JOINTS. */
const LANDMARKS = [0, 2, 5, 9, 13, 17, 3, 6, 10, 14, 18]
const WIDTH = 400
const HEIGHT = 360

type Hand = Pick<LocatedHand, 'points' | 'side'>

/** A right hand from behind, palm length 100, wrist at (200, 300), fingers up, all joints straight above each other. */
const HAND: Hand = {
  side: 'right',
  points: [
    [200, 300], [165, 275], [140, 250], [120, 225], [105, 205],
    [172, 205], [170, 160], [169, 135], [168, 115],
    [200, 200], [200, 150], [200, 122], [200, 100],
    [226, 206], [228, 160], [229, 133], [230, 112],
    [250, 216], [256, 182], [259, 163], [262, 148]
  ].map(([x = 0, y = 0]) => ({ x, y }))
}

/** A smooth picture without any symmetry, so that every place in it has a colour of its own. */
function paint(width = WIDTH, height = HEIGHT): Uint8Array {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[at++] = 20 + (200 * x) / width
      data[at++] = 20 + (200 * y) / height
      data[at++] = 128 + 90 * Math.sin(x / 23 + y / 41)
    }
  }
  return data
}

function mirrorPhoto(data: Uint8Array, width: number, height: number): Uint8Array {
  const out = new Uint8Array(data.length)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out.set(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3), (y * width + width - 1 - x) * 3)
  }
  return out
}

/** A quarter turn clockwise: (x, y) goes to (height - y, x). */
function turnPhoto(data: Uint8Array, width: number, height: number): Uint8Array {
  const out = new Uint8Array(data.length)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out.set(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3), (x * height + height - 1 - y) * 3)
  }
  return out
}

const moved = (hand: Hand, move: (point: { x: number; y: number }) => { x: number; y: number }, side = hand.side): Hand => ({ side, points: hand.points.map(move) })

function expectSameCrops(actual: HandCrops, expected: HandCrops, within: number) {
  for (const name of ['global', 'local'] as const) {
    let worst = 0
    for (let at = 0; at < expected[name].length; at++) worst = Math.max(worst, Math.abs((actual[name][at] ?? NaN) - (expected[name][at] ?? NaN)))
    expect(worst).toBeLessThanOrEqual(within)
  }
  expect(actual.mask).toEqual(expected.mask)
  for (const [at, value] of expected.xy.entries()) expect(actual.xy[at]).toBeCloseTo(value, 4)
}

const indexOf = (joint: HandJoint) => HAND_JOINTS.indexOf(joint)

describe('every hand looks like an upright right hand', () => {
  test('a mirrored left hand gives the crops of the right hand', () => {
    const right = cropHand(photoOf(paint(), WIDTH, HEIGHT), HAND, PLAN)
    const left = cropHand(photoOf(mirrorPhoto(paint(), WIDTH, HEIGHT), WIDTH, HEIGHT), moved(HAND, ({ x, y }) => ({ x: WIDTH - x, y }), 'left'), PLAN)
    expectSameCrops(left, right, 1)
  })

  test('a hand turned by a quarter gives the same crops', () => {
    const upright = cropHand(photoOf(paint(), WIDTH, HEIGHT), HAND, PLAN)
    const turned = cropHand(photoOf(turnPhoto(paint(), WIDTH, HEIGHT), HEIGHT, WIDTH), moved(HAND, ({ x, y }) => ({ x: HEIGHT - y, y: x })), PLAN)
    expectSameCrops(turned, upright, 2)
  })

  test('wrist to middle MCP points up, and all joints lie inside the margin', () => {
    const { xy } = cropHand(photoOf(paint(), WIDTH, HEIGHT), HAND, PLAN)
    const at = (joint: HandJoint) => ({ x: xy[2 * indexOf(joint)] ?? NaN, y: xy[2 * indexOf(joint) + 1] ?? NaN })
    expect(at('wrist').x).toBeCloseTo(at('mcp3').x, 5)
    expect(at('wrist').y).toBeGreaterThan(at('mcp3').y)
    expect(at('mcp2').x).toBeLessThan(at('mcp5').x)
    const margin = PLAN.globalMargin / (1 + 2 * PLAN.globalMargin)
    for (const value of xy) {
      expect(value).toBeGreaterThanOrEqual(margin - 1e-5)
      expect(value).toBeLessThanOrEqual(1 - margin + 1e-5)
    }
  })

  test('each square is centred on its joint', () => {
    const data = paint()
    const { local } = cropHand(photoOf(data, WIDTH, HEIGHT), HAND, { ...PLAN, localSizePx: 33 })
    for (const [index, landmark] of LANDMARKS.entries()) {
      const { x, y } = HAND.points[landmark] ?? { x: 0, y: 0 }
      const middle = index * 33 * 33 * 3 + (16 * 33 + 16) * 3
      expect(Math.abs((local[middle] ?? NaN) - (data[(y * WIDTH + x) * 3] ?? NaN))).toBeLessThanOrEqual(3)
      expect(Math.abs((local[middle + 1] ?? NaN) - (data[(y * WIDTH + x) * 3 + 1] ?? NaN))).toBeLessThanOrEqual(3)
    }
  })

  test('a proximal shift moves MCP squares, and no others, towards the wrist', () => {
    const still = cropHand(photoOf(paint(), WIDTH, HEIGHT), HAND, PLAN)
    const shifted = cropHand(photoOf(paint(), WIDTH, HEIGHT), HAND, { ...PLAN, mcpProximalShift: 0.1 })
    for (const [index, joint] of HAND_JOINTS.entries()) {
      const y = 2 * index + 1
      if (jointGroup(joint) === 'mcp') expect(shifted.xy[y]).toBeGreaterThan(still.xy[y] ?? NaN)
      else expect(shifted.xy[y]).toBe(still.xy[y])
    }
  })

  test('a finger that points at the camera is cut along the hand', () => {
    const points = HAND.points.map((point, index) => index === 10 || index === 11 ? { x: 200, y: 199 } : point)
    const crops = cropHand(photoOf(paint(), WIDTH, HEIGHT), { ...HAND, points }, PLAN)
    expect([...crops.xy].every(Number.isFinite)).toBe(true)
  })
})

describe('what the photo does not show', () => {
  test('a joint outside the frame is masked', () => {
    const cut = moved(HAND, ({ x, y }) => ({ x, y: y - 170 }))
    const { mask } = cropHand(photoOf(paint(), WIDTH, HEIGHT), cut, PLAN)
    expect(mask[indexOf('pip3')]).toBe(0)
    expect(mask[indexOf('mcp5')]).toBe(1)
    expect(mask[indexOf('wrist')]).toBe(1)
  })

  test('a joint in the frame whose square is mostly outside is masked', () => {
    const cut = moved(HAND, ({ x, y }) => ({ x: x + 148, y }))
    const { mask } = cropHand(photoOf(paint(), WIDTH, HEIGHT), cut, PLAN)
    expect(HAND.points[17]?.x).toBeLessThan(WIDTH - 148)
    expect(mask[indexOf('mcp5')]).toBe(0)
    expect(mask[indexOf('pip2')]).toBe(1)
  })

  test('a hand wholly outside gives masked joints, black pictures and empty regions', () => {
    const away = moved(HAND, ({ x, y }) => ({ x: x + 5000, y }))
    const { mask, global, regions } = cropHand(photoOf(paint(), WIDTH, HEIGHT), away, PLAN)
    expect([...mask]).toEqual(HAND_JOINTS.map(() => 0))
    expect(global.every((value) => value === 0)).toBe(true)
    expect(regions.every(({ width }) => width === 0)).toBe(true)
  })

  test('regions hold their joint and stay inside the upright photo', () => {
    fc.assert(fc.property(fc.integer({ min: -150, max: 150 }), fc.integer({ min: -150, max: 60 }), fc.integer({ min: 1, max: 3 }), (dx, dy, scale) => {
      const hand = moved(HAND, ({ x, y }) => ({ x: x + dx, y: y + dy }))
      const { mask, regions } = cropHand(photoOf(new Uint8Array(WIDTH * HEIGHT * 3), WIDTH, HEIGHT, scale), hand, { ...PLAN, globalSizePx: 2, localSizePx: 2 })
      for (const [index, { x, y, width, height }] of regions.entries()) {
        expect(x >= 0 && y >= 0 && x + width <= WIDTH * scale + 1e-6 && y + height <= HEIGHT * scale + 1e-6).toBe(true)
        if (mask[index] !== 1) continue
        const point = hand.points[LANDMARKS[index] ?? 0] ?? { x: NaN, y: NaN }
        expect(point.x * scale).toBeGreaterThanOrEqual(x)
        expect(point.x * scale).toBeLessThanOrEqual(x + width)
        expect(point.y * scale).toBeGreaterThanOrEqual(y)
        expect(point.y * scale).toBeLessThanOrEqual(y + height)
      }
    }), { numRuns: 40 })
  })
})

describe('sampling', () => {
  test('a fine pattern becomes its mean instead of moiré when a large photo shrinks', () => {
    const side = 1024
    const data = new Uint8Array(side * side * 3)
    for (let pixel = 0; pixel < side * side; pixel++) data.fill((pixel + Math.floor(pixel / side)) % 2 === 0 ? 0 : 200, pixel * 3, pixel * 3 + 3)
    const large = moved(HAND, ({ x, y }) => ({ x: x * 2.5, y: y * 2.5 }))
    const { global } = cropHand(photoOf(data, side, side), large, PLAN)
    const middle = global.subarray(global.length / 4, global.length / 2)
    expect(Math.max(...middle) - Math.min(...middle)).toBeLessThanOrEqual(2)
    expect(Math.abs((middle[0] ?? NaN) - 100)).toBeLessThanOrEqual(2)
  })

  test('a place in a square and its place in the photo are each other\'s inverse', () => {
    const coordinate = fc.double({ min: -2, max: 2, noNaN: true })
    fc.assert(fc.property(coordinate, coordinate, fc.double({ min: -4, max: 4, noNaN: true }), fc.boolean(), (x, y, rotation, mirrored) => {
      const square = { cx: 120, cy: 80, size: 60, rotation, mirrored }
      const back = toSquare(square, toPhoto(square, { x, y }))
      expect(back.x).toBeCloseTo(x, 6)
      expect(back.y).toBeCloseTo(y, 6)
    }))
  })
})
