import type { HandJoint, Laterality } from './hand-joint.ts'

/** Why a joint, or the whole hand it belongs to, carries no probability. */
export const NOT_ASSESSED_REASONS = [
  'no-photo', 'not-located', 'outside-frame', 'low-detail', 'occluded',
  'palmar-view', 'oblique-view', 'blurred', 'too-dark', 'too-bright', 'too-small', 'uncertain-side'
] as const
export type NotAssessedReason = (typeof NOT_ASSESSED_REASONS)[number]

/** What we say about one joint. A joint that could not be assessed is never a healthy joint. */
export type JointFinding = { readonly joint: HandJoint; readonly side: Laterality } & (
  | { readonly kind: 'assessed'; readonly probability: number; readonly inflamed: boolean }
  | { readonly kind: 'not-assessed'; readonly reason: NotAssessedReason }
)

/** Pixels of the upright photo (EXIF orientation applied), origin top left. */
export interface PhotoPoint { readonly x: number; readonly y: number }
/** Pixels of the upright photo. */
export interface PhotoRegion { readonly x: number; readonly y: number; readonly width: number; readonly height: number }

export type HandView = 'dorsal' | 'palmar' | 'oblique'

export interface HandQuality {
  /** Landmark network's confidence that a hand is there, 0..1. */
  readonly presence: number
  /** Wrist to middle MCP, in pixels of the upright photo. */
  readonly palmLengthPx: number
  /** Detail of the hand region; the larger the sharper. Gates live in the model manifest. */
  readonly sharpness: number
  /** Mean luminance of the hand region, 0..1. */
  readonly brightness: number
}

/** One located hand of one photo and what was found at its 11 joints (in HAND_JOINTS order). */
export interface HandAssessment {
  readonly side: Laterality
  /** Confidence in the side, 0.5..1. */
  readonly sideConfidence: number
  readonly view: HandView
  readonly quality: HandQuality
  /** 21 MediaPipe landmarks. */
  readonly landmarks: readonly PhotoPoint[]
  readonly joints: readonly JointFinding[]
  /** The square each joint was read from, in HAND_JOINTS order; bounding box of the rotated crop, clipped to the photo. */
  readonly regions: readonly PhotoRegion[]
}

/** Why a whole photo yields no hand. A result, not an error. */
export const PHOTO_REFUSALS = ['no-hand', 'too-small', 'too-dark', 'blurred'] as const
export type PhotoRefusal = (typeof PHOTO_REFUSALS)[number]

export interface ModelIdentity {
  readonly name: string
  readonly version: string
  /** SHA-256 of manifest.json, hex. */
  readonly digest: string
}

/** Everything JointLens says about one photo. JSON-serialisable; stored and shown as it is. */
export interface PhotoAssessment {
  readonly photoSha256: string
  /** Upright size in pixels. */
  readonly width: number
  readonly height: number
  readonly model: ModelIdentity
  readonly hands: readonly HandAssessment[]
  readonly refusal?: PhotoRefusal
}

/** Percent of a probability for people, 1 to 99: a model is never certain. */
export function percentOf(probability: number): number {
  return Math.min(99, Math.max(1, Math.round(probability * 100)))
}
