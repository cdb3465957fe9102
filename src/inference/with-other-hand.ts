import type { HandAssessment, JointFinding, PhotoAssessment } from '../joints/finding.ts'
import { handThatSpeaks } from '../joints/hand-joint-count.ts'
import { LATERALITIES, type HandJoint, type Laterality } from '../joints/hand-joint.ts'
import type { OcclusionMap } from '../joints/occlusion-map.ts'
import { isInflamed } from './calibrate.ts'
import type { Calibration, OtherHand } from './engine/inference-engine.ts'

/**
 * The photos of one visit, each hand weighed with the other one where the calibration has a `pair`: RA is roughly symmetric. Both
 * hands speak as they were read by themselves, so the order does not matter; to be done once, on what the engine answered. A hand
 * without another that can be read keeps what it says, and a joint that could not be assessed stays so.
 */
export function withOtherHand(photos: readonly PhotoAssessment[], calibration: Calibration): readonly PhotoAssessment[] {
  const { pair } = calibration
  if (!pair) return photos
  const hands = photos.flatMap((photo) => photo.hands)
  const speaks = Object.fromEntries(LATERALITIES.map((side) => [side, handThatSpeaks(hands.filter((hand) => hand.side === side))])) as
    Record<Laterality, HandAssessment | undefined>
  const weighed = (hand: HandAssessment): HandAssessment => {
    const said = whatItSays(speaks[hand.side === 'left' ? 'right' : 'left'], pair)
    if (!said) return hand
    return { ...hand, joints: hand.joints.map((finding) => weigh(finding, said(finding.joint), pair, calibration)) }
  }
  return photos.map((photo) => ({ ...photo, hands: photo.hands.map(weighed) }))
}

/**
 * A map of the joint by its hand alone, told for the probability that is `shown` after the other hand was weighed in: that adds to the
 * log-odds and stretches every change of them by `scale`.
 */
export function mapWithOtherHand(map: OcclusionMap, shown: number, { pair }: Calibration): OcclusionMap {
  if (!pair || shown === map.probability) return map
  return { ...map, probability: shown, drops: map.drops.map((drop) => drop * pair.scale) }
}

type Said = (joint: HandJoint) => { readonly mirror: number; readonly across: number }

/** Log-odds of the same joint there, and of the mean of its readable joints, which also stands in for a joint that cannot be read. */
function whatItSays(hand: HandAssessment | undefined, { floor }: OtherHand): Said | undefined {
  const read = new Map(hand?.joints.flatMap((finding) => finding.kind === 'assessed' ? [[finding.joint, finding.probability] as const] : []))
  if (read.size === 0) return undefined
  const mean = [...read.values()].reduce((sum, probability) => sum + probability, 0) / read.size
  const squashed = (q: number) => Math.log((q + floor) / (1 - q + floor))
  return (joint) => ({ mirror: squashed(read.get(joint) ?? mean), across: squashed(mean) })
}

function weigh(finding: JointFinding, { mirror, across }: ReturnType<Said>, pair: OtherHand, calibration: Calibration): JointFinding {
  if (finding.kind !== 'assessed') return finding
  const own = Math.min(1 - 1e-9, Math.max(1e-9, finding.probability))
  const score = pair.scale * Math.log(own / (1 - own)) + pair.mirror * mirror + pair.across * across + pair.bias
  const probability = 1 / (1 + Math.exp(-score))
  return { ...finding, probability, inflamed: isInflamed(probability, calibration) }
}
