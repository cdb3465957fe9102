import type { Calibration } from '../inference/engine/inference-engine.ts'
import {
  percentOf, type HandAssessment, type HandView, type JointFinding, type ModelIdentity, type NotAssessedReason, type PhotoAssessment, type PhotoRefusal
} from '../joints/finding.ts'
import { handJointCount, handThatSpeaks, visitFindings, type HandJointCount } from '../joints/hand-joint-count.ts'
import { jointLabel, LATERALITIES, type Laterality } from '../joints/hand-joint.ts'

export interface ReadPhoto {
  /** Name of the file. */
  readonly name: string
  readonly bytes: Uint8Array
  readonly assessment: PhotoAssessment
}

export const RESEARCH = 'Research software, learned from computer-made (synthetic) hands. Not a diagnosis. Examine the patient.'

/** What `jointlens assess --json` prints, exactly; other programs read it. A joint that was not assessed has null, never a number. */
export function reportJson({ name, version, digest }: ModelIdentity, photos: readonly ReadPhoto[], calibration: Calibration) {
  return {
    model: { name, version, digest },
    hands: photos.flatMap(({ name: photo, assessment }) => assessment.hands.map(({ side, view, quality, landmarks, joints }) =>
      ({ photo, side, view, quality, landmarks, joints: joints.map(jointJson) }))),
    count: count(photos, calibration)
  }
}

function jointJson(finding: JointFinding) {
  return finding.kind === 'assessed'
    ? { joint: finding.joint, assessed: true, probability: finding.probability, inflamed: finding.inflamed }
    : { joint: finding.joint, assessed: false, probability: null, inflamed: null, reason: finding.reason }
}

function count(photos: readonly ReadPhoto[], calibration: Calibration): HandJointCount {
  return handJointCount(visitFindings(handsOf(photos)), calibration.interval)
}

const handsOf = (photos: readonly ReadPhoto[]) => photos.flatMap(({ assessment }) => assessment.hands)

export function assessedJoints(photos: readonly ReadPhoto[]): number {
  return handsOf(photos).flatMap(({ joints }) => joints).filter(({ kind }) => kind === 'assessed').length
}

/** The order on the command line is what the person meant; the picture decides. */
export function warnings(photos: readonly ReadPhoto[]): string[] {
  const swapped = photos.flatMap(({ name, assessment }, index) => {
    const meant: Laterality = index === 0 ? 'left' : 'right'
    const seen = assessment.hands.map(({ side }) => side)
    if (seen.length === 0 || seen.includes(meant)) return []
    return [`Warning: ${name} was given as the ${meant} hand but shows a ${seen[0]} hand. The picture is trusted.`]
  })
  const doubled = LATERALITIES.flatMap((side) => handsOf(photos).filter((hand) => hand.side === side).length > 1
    ? [`Warning: more than one ${side} hand is shown. The one with more joints that can be read counts.`] : [])
  const refused = photos.flatMap(({ name, assessment: { refusal } }) => refusal ? [`${name}: ${REFUSAL_WORDS[refusal]}`] : [])
  return [...swapped, ...doubled, ...refused]
}

/** For people. Refused photos are named by `warnings`. */
export function reportText(photos: readonly ReadPhoto[], calibration: Calibration): string {
  const spoken = new Set(LATERALITIES.map((side) => handThatSpeaks(handsOf(photos).filter((hand) => hand.side === side))))
  const hands = photos.flatMap(({ name, assessment }) => assessment.hands.map((hand) => [
    `${hand.side === 'left' ? 'Left' : 'Right'} hand, ${VIEW_WORDS[hand.view]} (${name})${spoken.has(hand) ? '' : ', not counted'}`,
    ...handLines(hand), ''
  ].join('\n')))
  return [...hands, countWords(count(photos, calibration), calibration), RESEARCH, ''].join('\n')
}

function handLines({ joints }: HandAssessment): string[] {
  const [reason, ...others] = new Set(joints.map((finding) => finding.kind === 'not-assessed' ? finding.reason : undefined))
  if (reason && others.length === 0) return [`  not assessed: ${REASON_WORDS[reason]}`]
  return joints.map((finding) => `  ${jointLabel(finding.joint).padEnd(8)} — ${findingWords(finding)}`)
}

function findingWords(finding: JointFinding): string {
  if (finding.kind === 'not-assessed') return `not assessed: ${REASON_WORDS[finding.reason]}`
  return `${finding.inflamed ? 'looks inflamed' : 'not flagged'}, ${percentOf(finding.probability)} %`
}

function countWords({ swollen, assessable, of, low, high }: HandJointCount, { interval }: Calibration): string {
  if (assessable === 0) return `None of the ${of} hand joints could be assessed. That is not the same as none being swollen.`
  return [
    `${swollen} of ${assessable} assessed hand joints look inflamed (${Math.round(interval.level * 100)} % interval ${low} to ${high}).`,
    `${assessable < of ? `${of - assessable} of ${of} were not assessed. ` : ''}May under-count when many joints are swollen.`
  ].join('\n')
}

const VIEW_WORDS: Readonly<Record<HandView, string>> = { dorsal: 'seen from the back', palmar: 'seen from the palm', oblique: 'seen from its edge' }

const REFUSAL_WORDS: Readonly<Record<PhotoRefusal, string>> = {
  'no-hand': 'no hand was found. Photograph the back of one hand, flat, filling the picture.',
  'too-small': 'the photo is too small. Send the original, not a thumbnail.',
  'too-dark': 'the photo is too dark. Use even daylight, no flash.',
  blurred: 'the photo is blurred. Hold the camera still and tap the hand to focus.'
}

const REASON_WORDS: Readonly<Record<NotAssessedReason, string>> = {
  'no-photo': 'no photo of this hand',
  'not-located': 'the hand could not be located; spread the fingers on a plain background',
  'outside-frame': 'outside the picture',
  'low-detail': 'too few pixels; move the camera closer',
  occluded: 'covered',
  'palmar-view': 'the photo shows the palm; photograph the back of the hand',
  'oblique-view': 'the hand is turned; hold the camera parallel to the back of the hand',
  blurred: 'the photo is blurred; hold the camera still and tap the hand to focus',
  'too-dark': 'the photo is too dark; use even daylight',
  'too-bright': 'the photo is too bright; avoid flash and direct sun',
  'too-small': 'the hand is too small; let it fill the picture',
  'uncertain-side': 'left or right is uncertain; photograph one hand at a time, not mirrored'
}
