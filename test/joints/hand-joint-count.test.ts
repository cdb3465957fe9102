import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { HandAssessment, JointFinding } from '../../src/joints/finding.ts'
import { handJointCount, handThatSpeaks, visitFindings } from '../../src/joints/hand-joint-count.ts'
import { HAND_JOINTS, type Laterality } from '../../src/joints/hand-joint.ts'

const interval = { factor: 1.645, level: 0.9 }
const read = (probability: number, inflamed = probability >= 0.5): JointFinding => ({ side: 'left', joint: 'mcp2', kind: 'assessed', probability, inflamed })
const unread: JointFinding = { side: 'left', joint: 'mcp3', kind: 'not-assessed', reason: 'outside-frame' }

function hand(side: Laterality, assessed: number): HandAssessment {
  return {
    side, sideConfidence: 1, view: 'dorsal', landmarks: [], regions: [],
    quality: { presence: 1, palmLengthPx: 400, sharpness: 1, brightness: 0.5 },
    joints: HAND_JOINTS.map((joint, index) => index < assessed
      ? { side, joint, kind: 'assessed', probability: 0.1, inflamed: false }
      : { side, joint, kind: 'not-assessed', reason: 'low-detail' })
  }
}

describe('the hand swollen-joint count', () => {
  test('counts only joints that could be read, and says how many those were', () => {
    expect(handJointCount([read(0.9), read(0.8), read(0.1), unread], interval)).toMatchObject({ swollen: 2, assessable: 3, of: 22 })
  })

  test('a joint that could not be read is not counted as healthy: it changes neither count nor interval', () => {
    const seen = [read(0.9), read(0.3)]
    expect(handJointCount([...seen, unread, unread], interval)).toEqual(handJointCount(seen, interval))
  })

  test('its interval is the sum of probabilities and their spread, worked by hand', () => {
    // m = 4·0.5 = 2, v = 4·0.25 = 1, reach 1.645: floor 0.355 and ceil 3.645
    expect(handJointCount([0.5, 0.5, 0.5, 0.5].map((p) => read(p)), interval)).toMatchObject({ swollen: 4, low: 0, high: 4 })
  })

  test('with nothing to read is zero of zero, never a healthy hand', () => {
    expect(handJointCount([unread], interval)).toEqual({ swollen: 0, assessable: 0, of: 22, low: 0, high: 0 })
  })

  test('the interval holds the count and stays within what was read, for any findings', () => {
    const finding = fc.oneof(fc.constant(unread), fc.double({ min: 0, max: 1, noNaN: true }).map((p) => read(p)))
    fc.assert(fc.property(fc.array(finding, { maxLength: 22 }), fc.double({ min: 0, max: 5, noNaN: true }), (findings, factor) => {
      const { low, high, swollen, assessable } = handJointCount(findings, { factor, level: 0.9 })
      expect(low).toBeGreaterThanOrEqual(0)
      expect(low).toBeLessThanOrEqual(swollen)
      expect(high).toBeGreaterThanOrEqual(swollen)
      expect(high).toBeLessThanOrEqual(assessable)
    }))
  })
})

describe('the findings of a visit', () => {
  test('are always 22, left then right, each hand in the order of the joints', () => {
    const findings = visitFindings([hand('right', 11), hand('left', 11)])
    expect(findings.map(({ side, joint }) => `${side} ${joint}`))
      .toEqual(['left', 'right'].flatMap((side) => HAND_JOINTS.map((joint) => `${side} ${joint}`)))
  })

  test('of two photos of one hand, the one with more readable joints speaks', () => {
    const better = hand('left', 9)
    expect(handThatSpeaks([hand('left', 3), better])).toBe(better)
  })

  test('a hand without a photo is not assessed for that reason', () => {
    const left = visitFindings([hand('right', 11)]).filter(({ side }) => side === 'left')
    expect(left.every((finding) => finding.kind === 'not-assessed' && finding.reason === 'no-photo')).toBe(true)
  })
})
