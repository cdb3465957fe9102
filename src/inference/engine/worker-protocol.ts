import { isScreeningError, ScreeningError, type ErrorCode } from '../../errors.ts'
import type { PhotoAssessment, PhotoRegion } from '../../joints/finding.ts'
import type { HandJoint, Laterality } from '../../joints/hand-joint.ts'
import type { OcclusionMap } from '../../joints/occlusion-map.ts'
import type { Device } from '../joint-model.ts'
import type { Calibration } from './inference-engine.ts'

/** The first message to a worker: what it opens. Answered with an `Opened`. */
export interface WorkerSettings {
  readonly modelDir: string
  readonly device: Device
  /** SHA-256 of the manifest the engine opened; a bundle replaced meanwhile is refused. */
  readonly modelDigest: string
}

export interface Opened { readonly executionProvider: string }

/** Every further message: one task, answered before the next is sent. */
export type WorkerTask =
  | { readonly kind: 'assess'; readonly photo: Uint8Array; readonly calibration?: Calibration }
  | { readonly kind: 'explain'; readonly photo: Uint8Array; readonly side: Laterality; readonly joint: HandJoint; readonly calibration?: Calibration }
  | { readonly kind: 'photo'; readonly photo: Uint8Array; readonly maxSidePx: number; readonly region?: PhotoRegion }
  | { readonly kind: 'overlay'; readonly photo: Uint8Array; readonly assessment: PhotoAssessment }

export interface WorkerResults {
  readonly assess: PhotoAssessment
  readonly explain: OcclusionMap
  readonly photo: Uint8Array
  readonly overlay: Uint8Array
}

/** Errors lose their class on the way between processes, so they travel as code and message. */
export type WorkerAnswer<Result> =
  | { readonly result: Result }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } }

export function toFailure(error: unknown): WorkerAnswer<never> {
  if (isScreeningError(error)) return { failure: { code: error.code, message: error.message } }
  const message = error instanceof Error ? error.message : 'unknown'
  return { failure: { code: 'ERR_INTERNAL', message: `Reading the photo failed unexpectedly: ${message}` } }
}

export function fromAnswer<Result>(answer: WorkerAnswer<Result>): Result {
  if ('failure' in answer) throw new ScreeningError(answer.failure.code, answer.failure.message)
  return answer.result
}
