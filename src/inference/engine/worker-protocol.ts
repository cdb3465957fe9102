import type { MessagePort } from 'node:worker_threads'
import { isScreeningError, ScreeningError, type ErrorCode } from '../../errors.ts'
import type { PhotoAssessment, PhotoRegion } from '../../joints/finding.ts'
import type { Device } from '../joint-model.ts'
import type { Calibration } from './inference-engine.ts'

/** What a worker thread is given when it starts. */
export interface WorkerSettings {
  readonly modelDir: string
  readonly device: Device
  /** SHA-256 of the manifest the engine opened; a bundle replaced meanwhile is refused. */
  readonly modelDigest: string
}

/** One task; `started` is told when work on the photo begins, so that waiting does not count as working. */
export type WorkerTask = { readonly started?: MessagePort } & (
  | { readonly kind: 'warm-up' }
  | { readonly kind: 'assess'; readonly photo: Uint8Array; readonly calibration?: Calibration }
  | { readonly kind: 'photo'; readonly photo: Uint8Array; readonly maxSidePx: number; readonly region?: PhotoRegion }
  | { readonly kind: 'overlay'; readonly photo: Uint8Array; readonly assessment: PhotoAssessment }
)

export interface WorkerResults {
  readonly 'warm-up': { readonly executionProvider: string }
  readonly assess: PhotoAssessment
  readonly photo: Uint8Array
  readonly overlay: Uint8Array
}

/** Errors lose their class between threads (structured clone), so they travel as code and message. */
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
