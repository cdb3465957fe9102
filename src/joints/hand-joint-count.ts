import type { HandAssessment, JointFinding, NotAssessedReason } from './finding.ts'
import { HAND_JOINTS, HAND_JOINT_TOTAL, LATERALITIES } from './hand-joint.ts'

/** The suggested hand swollen-joint count: a number, its denominator and its interval; never an SJC28. */
export interface HandJointCount {
  readonly swollen: number
  readonly assessable: number
  readonly of: number
  /** Conformal interval for the count over the assessable joints (method/training.md section 6). */
  readonly low: number
  readonly high: number
}

export interface CountInterval {
  /** Conformal factor k from the calibration patients. */
  readonly factor: number
  /** Nominal coverage, for example 0.9. */
  readonly level: number
}

/**
 * Both hands of one visit as 22 findings, in side then joint order. Of several hands of one side the one with the most
 * assessed joints speaks; a side without a hand is `no-photo` (or the reason given).
 */
export function visitFindings(
  hands: readonly HandAssessment[],
  absentReason: NotAssessedReason = 'no-photo'
): readonly JointFinding[] {
  return LATERALITIES.flatMap((side) => {
    const best = handThatSpeaks(hands.filter((hand) => hand.side === side))
    if (best) return best.joints
    return HAND_JOINTS.map((joint): JointFinding => ({ joint, side, kind: 'not-assessed', reason: absentReason }))
  })
}

export function handThatSpeaks(hands: readonly HandAssessment[]): HandAssessment | undefined {
  const assessed = (hand: HandAssessment) => hand.joints.filter((finding) => finding.kind === 'assessed').length
  return [...hands].sort((a, b) => assessed(b) - assessed(a))[0]
}

/**
 * Count and interval over the assessable joints only: `m ± k·sqrt(v)` with `m = Σp`, `v = Σp(1−p)`, widened to hold the
 * count itself. Joints that could not be assessed are never imputed.
 */
export function handJointCount(findings: readonly JointFinding[], interval: CountInterval): HandJointCount {
  const assessed = findings.filter((finding) => finding.kind === 'assessed')
  const swollen = assessed.filter((finding) => finding.inflamed).length
  const mean = assessed.reduce((sum, { probability }) => sum + probability, 0)
  const variance = assessed.reduce((sum, { probability }) => sum + probability * (1 - probability), 0)
  const reach = interval.factor * Math.sqrt(variance)
  return {
    swollen,
    assessable: assessed.length,
    of: HAND_JOINT_TOTAL,
    low: Math.min(swollen, Math.max(0, Math.floor(mean - reach))),
    high: Math.max(swollen, Math.min(assessed.length, Math.ceil(mean + reach)))
  }
}
