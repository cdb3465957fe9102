import { describe, expect, test } from '@jest/globals'
import type { HandAssessment, JointFinding, NotAssessedReason, PhotoAssessment } from '../../src/joints/finding.ts'
import { HAND_JOINTS, type Laterality } from '../../src/joints/hand-joint.ts'
import { photoVerdict } from '../../src/joints/photo-verdict.ts'

/** A hand in which the first joints could not be read for the reasons given; every other joint is inflamed. */
function handOf(side: Laterality, ...reasons: NotAssessedReason[]): HandAssessment {
  const joints = HAND_JOINTS.map((joint, index): JointFinding => {
    const reason = reasons[index]
    return reason ? { joint, side, kind: 'not-assessed', reason } : { joint, side, kind: 'assessed', probability: 0.99, inflamed: true }
  })
  return { side, sideConfidence: 1, view: 'dorsal', quality: { presence: 1, palmLengthPx: 300, sharpness: 1, brightness: 0.5 }, landmarks: [], joints, regions: [] }
}
const photoOf = (...hands: HandAssessment[]): PhotoAssessment =>
  ({ photoSha256: 's', width: 1000, height: 1000, model: { name: 'm', version: '1', digest: 'd' }, hands })
const every = (reason: NotAssessedReason) => HAND_JOINTS.map(() => reason)

describe('the verdict on a photo', () => {
  test('of a hand that can be read is good, and never says what was found', () => {
    const verdict = photoVerdict(photoOf(handOf('left')), 'left')
    expect(verdict).toEqual({ usable: true, readable: 11, problems: [] })
    expect(Object.keys(verdict).sort()).toEqual(['problems', 'readable', 'usable'])
  })

  test.each<[string, PhotoAssessment, readonly string[]]>([
    ['without a hand', { ...photoOf(), refusal: 'no-hand' }, ['no-hand']], ['too dark to find one', { ...photoOf(), refusal: 'too-dark' }, ['too-dark']],
    ['of the other hand', photoOf(handOf('right')), ['wrong-side']], ['of the palm', photoOf(handOf('left', ...every('palmar-view'))), ['palmar-view']],
    ['that is blurred', photoOf(handOf('left', ...every('blurred'))), ['blurred']],
    ['cut off, with too little detail', photoOf(handOf('left', 'low-detail', 'outside-frame', 'outside-frame')), ['cut-off', 'low-detail']],
    ['with plasters on three joints', photoOf(handOf('left', 'occluded', 'occluded', 'occluded')), ['covered']],
    ['of both hands', photoOf(handOf('left'), handOf('right')), ['several-hands']]
  ])('%s says what to change', (_name, photo, problems) => {
    const verdict = photoVerdict(photo, 'left')
    expect([verdict.usable, verdict.problems]).toEqual([false, problems])
  })

  test('forgives a joint or two that hide', () => {
    expect(photoVerdict(photoOf(handOf('left', 'outside-frame')), 'left')).toEqual({ usable: true, readable: 10, problems: ['cut-off'] })
  })
})
