import { describe, expect, test } from '@jest/globals'
import { chooseThresholds, conformalFactor, fitCalibration, fitTemperatureAndBias, type LabelledJoint } from '../../src/inference/fit-calibration.ts'
import { calibratedProbability } from '../../src/inference/calibrate.ts'
import type { Calibration } from '../../src/inference/engine/inference-engine.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'

const model: Calibration = {
  priorLogOdds: HAND_JOINTS.map(() => -2), temperature: 1, bias: 0,
  thresholds: { f1: 0.3, gmean: 0.2, sensitivity90: 0.1 }, interval: { factor: 2.5, level: 0.9 }, data: 'synthetic'
}

/** Reproducible numbers 0..1. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
}

/** Joints of a site whose truth is known: swollen with probability sigmoid(logit / temperature + bias). */
function site({ patients, temperature, bias, seed = 1 }: { patients: number; temperature: number; bias: number; seed?: number }): LabelledJoint[] {
  const next = numbers(seed)
  const gauss = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next())
  return Array.from({ length: patients }, (_, patient) => HAND_JOINTS.map((joint): LabelledJoint => {
    const logit = 3 * gauss() - 1
    return { joint, logit, group: `p${patient}`, swollen: next() < 1 / (1 + Math.exp(-(logit / temperature + bias))) }
  })).flat()
}

const codeOf = (work: () => unknown) => {
  try {
    work()
    return 'passed'
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`
  }
}

describe("a site's calibration", () => {
  test('finds the temperature and bias that the data were made with', () => {
    const joints = site({ patients: 800, temperature: 1.8, bias: -0.7 })
    const { temperature, bias } = fitTemperatureAndBias(joints.map(({ logit }) => logit), joints.map(({ swollen }) => swollen))
    expect(temperature).toBeCloseTo(1.8, 0)
    expect(bias).toBeCloseTo(-0.7, 0)
  })

  test('makes probabilities whose sum is the number of swollen joints', () => {
    const joints = site({ patients: 300, temperature: 1.8, bias: -0.7 })
    const { calibration, positives } = fitCalibration(joints, { model, data: 'test' })
    const sum = joints.reduce((total, { joint, logit }) => total + calibratedProbability(logit, joint, calibration), 0)
    expect(Math.abs(sum - positives) / positives).toBeLessThan(0.01)
    const { f1, gmean, sensitivity90 } = calibration.thresholds
    for (const threshold of [f1, gmean, sensitivity90]) expect(threshold).toBeGreaterThan(0)
    expect(Math.max(f1, gmean)).toBeLessThanOrEqual(0.5)
    expect(sensitivity90).toBeLessThanOrEqual(f1)
  })

  test('covers the count of nine in ten patients it has not seen', () => {
    const { calibration } = fitCalibration(site({ patients: 200, temperature: 1.3, bias: 0.2, seed: 3 }), { model, data: 'test' })
    const fresh = Map.groupBy(site({ patients: 400, temperature: 1.3, bias: 0.2, seed: 9 }), ({ group }) => group)
    const covered = [...fresh.values()].filter((joints) => {
      const p = joints.map(({ joint, logit }) => calibratedProbability(logit, joint, calibration))
      const mean = p.reduce((a, b) => a + b, 0)
      const reach = calibration.interval.factor * Math.sqrt(p.reduce((a, b) => a + b * (1 - b), 0))
      const count = joints.filter(({ swollen }) => swollen).length
      return count >= Math.floor(mean - reach) && count <= Math.ceil(mean + reach)
    }).length
    expect(covered / fresh.size).toBeGreaterThan(0.87)
  })

  test('of perfectly separated scores stays finite', () => {
    const joints = Array.from({ length: 60 }, (_, index): LabelledJoint => ({ joint: 'mcp2', logit: index < 30 ? -4 : 4, swollen: index >= 30, group: `p${index}` }))
    const { calibration } = fitCalibration(joints, { model, data: 'test' })
    expect(calibration.temperature).toBeGreaterThan(0.3)
    expect(calibratedProbability(4, 'mcp2', calibration)).toBeLessThan(1)
  })

  test('of fewer than nine patients keeps the interval of the model and says so', () => {
    const joints = site({ patients: 8, temperature: 1, bias: 1 }).map((joint, index) => ({ ...joint, swollen: index % 2 === (joint.logit > 0 ? 0 : 1) || joint.logit > 1 }))
    const { calibration, intervalFromModel } = fitCalibration(joints, { model, data: 'test' })
    expect(intervalFromModel).toBe(true)
    expect(calibration.interval).toEqual(model.interval)
  })

  test.each([[19, 40], [40, 19], [0, 0]])('of %i swollen and %i other joints is refused', (swollen, others) => {
    const joints = Array.from({ length: swollen + others }, (_, index): LabelledJoint =>
      ({ joint: 'pip3', logit: index < swollen ? 1 : -1, swollen: index < swollen, group: 'a' }))
    expect(codeOf(() => fitCalibration(joints, { model, data: 'test' })))
      .toBe(`ERR_CALIBRATION_DATA: Expected at least 20 swollen and 20 not swollen joints that can be read but received ${swollen} and ${others}`)
  })

  test('is refused when the scores fall with swelling', () => {
    const joints = site({ patients: 100, temperature: 1, bias: 0 }).map((joint) => ({ ...joint, logit: -joint.logit }))
    expect(codeOf(() => fitCalibration(joints, { model, data: 'test' }))).toMatch(/^ERR_CALIBRATION_DATA: .*slope is -/)
  })

  test('chooses thresholds between the values that separate, and the ninth of nine factors', () => {
    const joints = [0.02, 0.04, 0.1, 0.3, 0.4].map((probability, index) => ({ probability, swollen: index >= 3 }))
    expect(chooseThresholds(joints)).toEqual({ f1: 0.2, gmean: 0.2, sensitivity90: 0.2 })
    // Four joints at one half each: mean 2, variance 1. All four swollen: one joint of the two in between comes from rounding outwards.
    const group = (name: string, swollen: number) => [0, 1, 2, 3].map((joint) => ({ probability: 0.5, swollen: joint < swollen, group: name }))
    const groups = [...Array.from({ length: 8 }, (_, index) => group(String(index), 2 + (index % 2))), group('severe', 4)]
    const factor = conformalFactor(groups.flat()) ?? NaN
    expect(factor).toBeCloseTo(1, 3)
    expect(Math.ceil(2 + factor)).toBe(4)
    expect(conformalFactor(groups.slice(1).flat())).toBeUndefined()
  })
})
