import { describe, expect, test } from '@jest/globals'
import { calibratedProbability, calibrationSchema, handProbabilities, toCalibration } from '../../src/inference/calibrate.ts'
import type { Calibration } from '../../src/inference/engine/inference-engine.ts'
import { fitCalibration } from '../../src/inference/fit-calibration.ts'
import { HAND_JOINTS, type HandJoint } from '../../src/joints/hand-joint.ts'

const plain: Calibration = {
  priorLogOdds: HAND_JOINTS.map(() => -2), temperature: 1.5, bias: 0.25,
  thresholds: { f1: 0.3, gmean: 0.2, sensitivity90: 0.1 }, interval: { factor: 2.5, level: 0.9 }, data: 'synthetic'
}
const together: Calibration = { ...plain, context: { scale: 0.9, weight: 1.1, bias: 2, floor: 0.01 } }
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
const hand = (logits: Partial<Record<HandJoint, number>>) => new Map(Object.entries(logits) as [HandJoint, number][])

describe("a hand's other joints", () => {
  test('raise the odds of a joint by the weight of their mean', () => {
    const read = handProbabilities(hand({ mcp2: 1, mcp3: 5, pip3: -1 }), together)
    const [mcp2, mcp3, pip3] = [(1 - 2) / 1.5 + 0.25, (5 - 2) / 1.5 + 0.25, (-1 - 2) / 1.5 + 0.25] as const
    const others = (sigmoid(mcp3) + sigmoid(pip3)) / 2
    expect(read.get('mcp2')).toBeCloseTo(sigmoid(0.9 * mcp2 + 1.1 * Math.log((others + 0.01) / (1.01 - others)) + 2), 10)
  })

  test('that are swollen make a joint likelier, that are healthy less likely', () => {
    const of = (rest: number) => handProbabilities(hand({ wrist: 1, mcp2: rest, mcp3: rest }), together).get('wrist') ?? NaN
    expect(of(4)).toBeGreaterThan(of(0))
    expect(of(0)).toBeGreaterThan(of(-4))
  })

  test('that cannot be read say nothing: a joint alone keeps what it says itself', () => {
    expect(handProbabilities(hand({ pip5: 0.7 }), together).get('pip5')).toBeCloseTo(calibratedProbability(0.7, 'pip5', plain), 12)
  })

  test('say nothing where the calibration has no context', () => {
    const read = handProbabilities(hand({ wrist: 1, mcp2: 4 }), plain)
    expect(read.get('wrist')).toBeCloseTo(calibratedProbability(1, 'wrist', plain), 12)
  })

  test('are in the calibration that was read, and in no calibration a site makes for itself', () => {
    expect(toCalibration(calibrationSchema.parse({ ...together, data: 'synthetic' })).context).toEqual(together.context)
    expect(calibrationSchema.safeParse({ ...together, context: { ...together.context, scale: -1 } }).success).toBe(false)
    const joints = Array.from({ length: 60 }, (_, index) => ({ joint: 'mcp2' as const, logit: index < 30 ? -4 : 4, swollen: index >= 30, group: `p${index}` }))
    expect(fitCalibration(joints, { model: together, data: 'test' }).calibration).not.toHaveProperty('context')
  })
})
