import { describe, expect, test } from '@jest/globals'
import { calibrationSchema, toCalibration } from '../../src/inference/calibrate.ts'
import type { Calibration } from '../../src/inference/engine/inference-engine.ts'
import { fitCalibration } from '../../src/inference/fit-calibration.ts'
import { mapWithOtherHand, withOtherHand } from '../../src/inference/with-other-hand.ts'
import type { JointFinding, PhotoAssessment } from '../../src/joints/finding.ts'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../src/joints/hand-joint.ts'

const plain: Calibration = {
  priorLogOdds: HAND_JOINTS.map(() => -2), temperature: 1.5, bias: 0.25,
  thresholds: { f1: 0.3, gmean: 0.2, sensitivity90: 0.1 }, interval: { factor: 2.5, level: 0.9 }, data: 'synthetic'
}
const symmetric: Calibration = { ...plain, pair: { scale: 0.8, mirror: 0.5, across: 0.2, bias: 0.4, floor: 0.02 } }
const logOdds = (p: number) => Math.log(p / (1 - p))
const squashed = (q: number) => Math.log((q + 0.02) / (1.02 - q))

/** A photo of one hand; a joint without a probability could not be read. */
function photoOf(side: Laterality, read: Partial<Record<HandJoint, number>>, rest?: number): PhotoAssessment {
  const joints = HAND_JOINTS.map((joint): JointFinding => {
    const probability = read[joint] ?? rest
    return probability === undefined ? { joint, side, kind: 'not-assessed', reason: 'occluded' } : { joint, side, kind: 'assessed', probability, inflamed: false }
  })
  const hand = { side, sideConfidence: 1, view: 'dorsal' as const, quality: { presence: 1, palmLengthPx: 100, sharpness: 1, brightness: 0.5 }, landmarks: [], joints, regions: [] }
  return { photoSha256: side, width: 1, height: 1, model: { name: 'm', version: '1', digest: 'd' }, hands: [hand] }
}

const said = (photos: readonly PhotoAssessment[], side: Laterality, joint: HandJoint) => {
  const finding = photos.flatMap(({ hands }) => hands).find((hand) => hand.side === side)?.joints.find((one) => one.joint === joint)
  return finding?.kind === 'assessed' ? finding.probability : finding?.reason
}

describe('the other hand of a visit', () => {
  test('is weighed in by the mirrored joint and by the mean of its readable joints, in whatever order the photos come', () => {
    const photos = [photoOf('left', { mcp2: 0.2 }, 0.1), photoOf('right', { mcp2: 0.9 }, 0.1)]
    const mean = (0.9 + 10 * 0.1) / 11
    const expected = 1 / (1 + Math.exp(-(0.8 * logOdds(0.2) + 0.5 * squashed(0.9) + 0.2 * squashed(mean) + 0.4)))
    for (const order of [photos, photos.toReversed()]) expect(said(withOtherHand(order, symmetric), 'left', 'mcp2')).toBeCloseTo(expected, 12)
    expect(said(withOtherHand(photos, symmetric), 'left', 'mcp2')).toBeGreaterThan(said(withOtherHand(photos, symmetric), 'left', 'mcp3') as number)
  })

  test('decides anew what is called inflamed', () => {
    const [left] = withOtherHand([photoOf('left', {}, 0.25), photoOf('right', {}, 0.9)], symmetric)
    expect(left?.hands[0]?.joints.every((finding) => finding.kind === 'assessed' && finding.inflamed && finding.probability > 0.3)).toBe(true)
  })

  test('stands in by its mean for a joint of its own that cannot be read, and never makes an unreadable joint readable', () => {
    const photos = withOtherHand([photoOf('left', {}, 0.2), photoOf('right', { pip3: 0.6 })], symmetric)
    expect(said(photos, 'left', 'wrist')).toBeCloseTo(said(photos, 'left', 'pip3') as number, 12)
    expect(said(photos, 'right', 'wrist')).toBe('occluded')
  })

  test('that is missing, unreadable or not in the calibration changes nothing', () => {
    const left = photoOf('left', {}, 0.2)
    expect(withOtherHand([left], symmetric)).toEqual([left])
    expect(withOtherHand([left, photoOf('right', {})], symmetric)[0]).toEqual(left)
    expect(withOtherHand([left, photoOf('right', {}, 0.9)], plain)).toEqual([left, photoOf('right', {}, 0.9)])
  })

  test('moves a map to the probability that is shown and stretches its drops', () => {
    const map = { grid: 1, probability: 0.2, drops: [1, -0.5], corners: [{ x: 0, y: 0 }, { x: 1, y: 0 }, { x: 0, y: 1 }] as const }
    expect(mapWithOtherHand(map, 0.4, symmetric)).toEqual({ ...map, probability: 0.4, drops: [0.8, -0.4] })
    expect(mapWithOtherHand(map, 0.2, symmetric)).toBe(map)
    expect(mapWithOtherHand(map, 0.4, plain)).toBe(map)
  })

  test('is in the calibration that was read, and in no calibration a site makes for itself', () => {
    expect(toCalibration(calibrationSchema.parse(symmetric)).pair).toEqual(symmetric.pair)
    expect(calibrationSchema.safeParse({ ...symmetric, pair: { ...symmetric.pair, floor: 0 } }).success).toBe(false)
    const joints = Array.from({ length: 60 }, (_, index) => ({ joint: 'mcp2' as const, logit: index < 30 ? -4 : 4, swollen: index >= 30, group: `p${index}` }))
    expect(fitCalibration(joints, { model: symmetric, data: 'test' }).calibration).not.toHaveProperty('pair')
  })
})
