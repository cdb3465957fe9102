import type { HandAssessment, JointFinding, PhotoAssessment } from './finding.ts'
import type { Laterality } from './hand-joint.ts'

/**
 * The record says left and the model sees only a right hand (a mirrored selfie, a wrong body site): nobody can tell which
 * joint it is, so none is called. Without a side in the record the picture speaks.
 */
export function onRecordedSide(hands: PhotoAssessment['hands'], recorded: Laterality | undefined): readonly HandAssessment[] {
  if (!recorded || hands.some(({ side }) => side === recorded)) return hands
  return hands.map((hand) => {
    const joints = hand.joints.map(({ joint }): JointFinding => ({ joint, side: recorded, kind: 'not-assessed', reason: 'uncertain-side' }))
    return { ...hand, side: recorded, joints }
  })
}
