import { describe, expect, test } from '@jest/globals'
import { HAND_JOINTS, HAND_JOINT_TOTAL, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { sampleIdentity, sampleVisit } from '../../training/synthetic/case-sampler.ts'
import type { Prevalence } from '../../training/synthetic/case-sampler.ts'
import { randomFrom } from '../../training/synthetic/random.ts'
import { cohenKappa, readTwice } from '../../training/synthetic/reader-noise.ts'

const PATIENTS = 400
const patients = Array.from({ length: PATIENTS }, (_, i) => String(i + 1))

/** Swollen joints of each patient's 22. */
function swollenCounts(prevalence: Prevalence): number[] {
  return patients.map((patient) => {
    const hands = sampleVisit({ seed: 5, split: 'test', patient }, 1, prevalence)
    return LATERALITIES.flatMap((side) => HAND_JOINTS.filter((joint) => hands[side].joints[joint].swelling > 0)).length
  })
}
const share = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0) / (counts.length * HAND_JOINT_TOTAL)

describe('synthetic patients', () => {
  test('have 5 to 15 % of their joints swollen at natural prevalence, and most have none', () => {
    const counts = swollenCounts('natural')
    expect(share(counts)).toBeGreaterThan(0.05)
    expect(share(counts)).toBeLessThan(0.15)
    expect(counts.filter((count) => count === 0).length).toBeGreaterThan(PATIENTS / 2)
  })

  test('have 35 to 45 % of their joints swollen when balanced for training', () => {
    expect(share(swollenCounts('balanced'))).toBeGreaterThan(0.35)
    expect(share(swollenCounts('balanced'))).toBeLessThan(0.45)
  })

  test('are different people in different splits', () => {
    const seeds = ['train', 'calibration', 'test'].flatMap((split) =>
      patients.map((patient) => sampleIdentity({ seed: 5, split, patient }).seed))
    expect(new Set(seeds).size).toBe(3 * PATIENTS)
  })

  test('are the same person at every visit, in another place and light', () => {
    const key = { seed: 5, split: 'test', patient: '1' }
    const [first, second] = [sampleVisit(key, 1, 'natural').left, sampleVisit(key, 2, 'natural').left]
    expect(second.identity).toEqual(first.identity)
    expect(second.handSeed).toBe(first.handSeed)
    expect(second.background.seed).not.toBe(first.background.seed)
  })

  test('have every skin tone of the Monk scale', () => {
    const tones = new Set(patients.map((patient) => sampleIdentity({ seed: 5, split: 'train', patient }).monkTone))
    expect([...tones].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  test('of the second edition have fingers as broad as people have, men broader ones, and lie on a bright table in three cases of ten', () => {
    const hands = patients.map((patient) => sampleVisit({ seed: 5, split: 'test', patient, edition: 2 }, 1, 'natural').left)
    const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length
    for (const [sex, breadth] of [['female', 18 / 174], ['male', 21 / 190]] as const) {
      const drawn = hands.filter(({ identity }) => identity.sex === sex).map(({ identity }) => identity.build.fingerBreadth ?? 0)
      expect(mean(drawn)).toBeCloseTo(breadth, 2)
      expect(Math.max(...drawn) / Math.min(...drawn)).toBeGreaterThan(1.2)
    }
    expect(mean(hands.map(({ identity }) => identity.skin.knuckleFlush ?? 0))).toBeCloseTo(0.35, 1)
    expect(mean(hands.map(({ background }) => background.value > 0.84 && background.saturation < 0.081 ? 1 : 0))).toBeCloseTo(0.3, 1)
    expect(mean(hands.map(({ pose }) => (pose.closeness ?? 0) >= 0.9 ? 1 : 0))).toBeCloseTo(0.35, 1)
  })

  test.each([[1, 'webxr'], [2, 'godot']] as const)('of edition %d from %s keep the fingers of the mesh', (edition, mesh) => {
    const { identity, pose } = sampleVisit({ seed: 5, split: 'test', patient: '1', edition }, 1, 'natural', [mesh]).left
    expect([identity.build.fingerBreadth, identity.skin.knuckleFlush, pose.closeness]).toEqual([undefined, undefined, undefined])
  })

  test('have the same joints swollen in both editions', () => {
    const joints = ([1, 2] as const).map((edition) => sampleVisit({ seed: 5, split: 'test', patient: '3', edition }, 1, 'balanced').right.joints)
    expect(joints[1]).toEqual(joints[0])
  })

  test('swell at the same joint of both hands more often than chance would have it', () => {
    const pairs = patients.flatMap((patient) => {
      const { left, right } = sampleVisit({ seed: 5, split: 'test', patient }, 1, 'balanced')
      return HAND_JOINTS.map((joint) =>
        [left.joints[joint].swelling > 0 ? 1 : 0, right.joints[joint].swelling > 0 ? 1 : 0] as const)
    })
    expect(cohenKappa(pairs)).toBeGreaterThan(0.25)
  })
})

describe('two simulated readers', () => {
  test.each([0.4, 0.6, 0.8])('agree with a kappa of %d when that was asked for', (kappa) => {
    const random = randomFrom(17)
    const truths = Array.from({ length: 60_000 }, () => random.chance(0.1) ? 1 : 0)
    const readings = truths.map((truth) => readTwice(truth, { kappa, prevalence: 0.1 }, random).readers)
    expect(cohenKappa(readings)).toBeGreaterThan(kappa - 0.03)
    expect(cohenKappa(readings)).toBeLessThan(kappa + 0.03)
  })

  test('write down the truth when they never err', () => {
    const random = randomFrom(17)
    for (const truth of [0, 1] as const) {
      expect(readTwice(truth, { kappa: 1, prevalence: 0.5 }, random)).toEqual({ readers: [truth, truth], label: truth })
    }
  })
})
