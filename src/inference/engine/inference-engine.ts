import type { ModelIdentity, PhotoAssessment, PhotoRegion } from '../../joints/finding.ts'
import type { CountInterval } from '../../joints/hand-joint-count.ts'
import type { HandJoint, Laterality } from '../../joints/hand-joint.ts'
import type { OcclusionMap } from '../../joints/occlusion-map.ts'

/** How logits become probabilities and calls: from the manifest, or from a site's own calibration file bound to the model digest. */
export interface Calibration {
  /** Added back to the logit of each joint, HAND_JOINTS order (training section 4). */
  readonly priorLogOdds: readonly number[]
  readonly temperature: number
  readonly bias: number
  /** What the hand's other joints add; absent where each joint speaks for itself alone. */
  readonly context?: HandContext
  /** What the other hand of the visit adds; absent where each hand speaks for itself alone. */
  readonly pair?: OtherHand
  /** Calibrated probability at or above which a joint counts as inflamed (t_F1), and the screening thresholds. */
  readonly thresholds: { readonly f1: number; readonly gmean: number; readonly sensitivity90: number }
  readonly interval: CountInterval
  /** What data it was made from, in words that can be shown. */
  readonly data: string
}

/**
 * RA swells several joints of a hand or none: with s the joint's own calibrated log-odds and q the mean probability of the hand's other
 * readable joints, `p = sigmoid(scale s + weight log((q + floor) / (1 - q + floor)) + bias)`.
 */
export interface HandContext {
  readonly scale: number
  readonly weight: number
  readonly bias: number
  readonly floor: number
}

/**
 * RA is roughly symmetric: with p by the hand itself, q the same joint of the other hand (its mean where that joint cannot be read), r the
 * mean of the other hand's readable joints and L(x) = log((x + floor) / (1 - x + floor)),
 * `p' = sigmoid(scale log(p / (1 - p)) + mirror L(q) + across L(r) + bias)`.
 */
export interface OtherHand {
  readonly scale: number
  readonly mirror: number
  readonly across: number
  readonly bias: number
  readonly floor: number
}

export interface EngineHealth {
  readonly ready: boolean
  readonly model: ModelIdentity
  readonly executionProvider: string
  readonly queued: number
}

/**
 * Photo bytes in, findings out. Decoding and inference run in killable worker processes; the calling thread never blocks.
 * Errors: ERR_PHOTO_* (refused input), ERR_ENGINE_BUSY (bounded queue), ERR_MODEL_* (never an invented probability).
 */
export interface InferenceEngine {
  readonly model: ModelIdentity
  readonly calibration: Calibration
  assess(photo: Uint8Array, options?: { calibration?: Calibration; signal?: AbortSignal }): Promise<PhotoAssessment>
  /** Where the answer for one joint rests; ERR_NOT_FOUND for a joint without a probability. Some seconds of a worker's time. */
  explainJoint(photo: Uint8Array, at: { side: Laterality; joint: HandJoint; calibration?: Calibration }): Promise<OcclusionMap>
  /** Upright JPEG without metadata, at most `maxSidePx` on its longer side, optionally only a region of it. */
  renderPhoto(photo: Uint8Array, options: { maxSidePx: number; region?: PhotoRegion }): Promise<Uint8Array>
  /** Upright JPEG with joints marked. */
  renderOverlay(photo: Uint8Array, assessment: PhotoAssessment): Promise<Uint8Array>
  health(): EngineHealth
  close(): Promise<void>
}
