import { jointLabel, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { JointFinding, ReviewCall } from './api.ts'

export const sideWord: Record<Laterality, string> = { left: 'Left', right: 'Right' }
export const callWord: Record<ReviewCall, string> = {
  swollen: 'Swollen', 'not-swollen': 'Not swollen', 'not-assessable': 'Not assessable'
}

const reasonWord: Record<string, string> = {
  'no-photo': 'no photo of this hand', 'not-located': 'the hand could not be located', 'outside-frame': 'outside the picture',
  'low-detail': 'too little detail', occluded: 'covered', 'palmar-view': 'the photo shows the palm',
  'oblique-view': 'the hand is turned', blurred: 'the photo is blurred', 'too-dark': 'the photo is too dark',
  'too-bright': 'the photo is too bright', 'too-small': 'the hand is too small in the photo',
  'uncertain-side': 'left or right is uncertain'
}

/** "about 6 in 10 joints like this were called swollen": a calibrated probability in words (never 0 or 10 in 10). */
export function frequency(probability: number): string {
  const tenths = Math.round(probability * 10)
  if (tenths < 1) return 'fewer than 1 in 10 joints like this were labelled swollen'
  if (tenths > 9) return 'more than 9 in 10 joints like this were labelled swollen'
  return `about ${tenths} in 10 joints like this were labelled swollen`
}

export function findingWords(finding: JointFinding): string {
  if (finding.kind === 'not-assessed') return `Not assessable: ${reasonWord[finding.reason] ?? finding.reason}`
  return finding.inflamed ? 'Possible inflammation (AI suggestion)' : 'Not flagged by the model'
}

export const fullJointName = (side: Laterality, joint: HandJoint) => `${sideWord[side]} ${jointLabel(joint)}`

export const dayOf = (iso: string) => new Date(iso).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
