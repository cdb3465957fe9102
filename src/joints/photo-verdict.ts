import type { HandAssessment, NotAssessedReason, PhotoAssessment } from './finding.ts'
import { HAND_JOINTS, type Laterality } from './hand-joint.ts'

/** What to change when the photo is taken again. */
export type PhotoProblem =
  | 'no-hand' | 'too-dark' | 'too-bright' | 'too-small' | 'blurred' | 'palmar-view' | 'oblique-view' | 'cut-off' | 'covered' | 'low-detail' | 'wrong-side' | 'several-hands'

/** Whether the joints of one hand can be read in a photo. It says nothing about what was found at them. */
export interface PhotoVerdict {
  readonly usable: boolean
  /** Joints that can be read, of 11. */
  readonly readable: number
  /** The most useful one first; also of a usable photo. */
  readonly problems: readonly PhotoProblem[]
}

/** Own bar: a joint or two may hide; with fewer than this the photo is worth taking again. */
const ENOUGH_JOINTS = 9

const PROBLEM_OF: Readonly<Partial<Record<NotAssessedReason, PhotoProblem>>> = {
  'too-dark': 'too-dark', 'too-bright': 'too-bright', 'too-small': 'too-small', blurred: 'blurred', 'palmar-view': 'palmar-view',
  'oblique-view': 'oblique-view', 'outside-frame': 'cut-off', 'low-detail': 'low-detail', 'not-located': 'no-hand', 'uncertain-side': 'wrong-side', occluded: 'covered'
}

/** Judges a photo as one of the back of the `wanted` hand. */
export function photoVerdict({ hands, refusal }: PhotoAssessment, wanted: Laterality): PhotoVerdict {
  const hand = hands.find(({ side }) => side === wanted)
  const problems = new Set<PhotoProblem>()
  if (hands.length > 1) problems.add('several-hands')
  if (!hand) {
    problems.add(hands.length === 0 ? refusal ?? 'no-hand' : 'wrong-side')
    return { usable: false, readable: 0, problems: [...problems] }
  }
  for (const reason of reasonsOf(hand)) problems.add(PROBLEM_OF[reason] ?? 'low-detail')
  const readable = hand.joints.filter(({ kind }) => kind === 'assessed').length
  return { usable: readable >= ENOUGH_JOINTS && hands.length === 1, readable, problems: [...problems] }
}

/** Most frequent first. */
function reasonsOf({ joints }: HandAssessment): readonly NotAssessedReason[] {
  const counts = new Map<NotAssessedReason, number>()
  for (const one of joints) if (one.kind === 'not-assessed') counts.set(one.reason, (counts.get(one.reason) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason]) => reason)
}

export const JOINTS_OF_A_HAND = HAND_JOINTS.length
