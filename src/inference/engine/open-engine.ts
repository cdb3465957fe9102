import { availableParallelism } from 'node:os'
import { ScreeningError } from '../../errors.ts'
import type { Device } from '../joint-model.ts'
import { readModelBundle } from '../model-bundle.ts'
import { guardPhoto } from '../photo-guard.ts'
import type { InferenceEngine } from './inference-engine.ts'
import { openWorkerPool, type WorkerEnd } from './worker-pool.ts'

export interface EngineOptions {
  /** Folder of a model bundle. */
  readonly modelDir: string
  readonly device?: Device
  /** Worker processes with one session each; by default one core stays free for HTTP. */
  readonly workers?: number
  /** Photos that may wait for a worker; one more is ERR_ENGINE_BUSY. */
  readonly maxQueue?: number
  /** Working time of one photo, waiting not counted; past it the worker is killed and the photo answered ERR_PHOTO_TIMEOUT. */
  readonly photoTimeoutMs?: number
  /** Hears of each worker that ends without being told to. */
  readonly workerEnded?: (end: WorkerEnd) => void
}

/**
 * Verifies the bundle, starts the worker processes and waits until each has verified it too and run the golden hands. Throws
 * ERR_MODEL_INVALID or ERR_MODEL_OUTPUT, and then nothing is left running.
 */
export async function openEngine({ modelDir, device = 'auto', workers = Math.max(1, availableParallelism() - 1), maxQueue = 64, photoTimeoutMs = 20_000, workerEnded }: EngineOptions): Promise<InferenceEngine> {
  checkLimits({ workers, maxQueue, photoTimeoutMs })
  const { identity, calibration } = await readModelBundle(modelDir)
  const pool = await openWorkerPool({ settings: { modelDir, device, modelDigest: identity.digest }, workers, maxQueue, photoTimeoutMs, ...(workerEnded ? { workerEnded } : {}) })
  return {
    model: identity,
    calibration,
    async assess(photo, { calibration: own, signal } = {}) {
      guardPhoto(photo)
      return pool.run({ kind: 'assess', photo, ...(own ? { calibration: own } : {}) }, signal)
    },
    async explainJoint(photo, { side, joint, calibration: own }) {
      guardPhoto(photo)
      return pool.run({ kind: 'explain', photo, side, joint, ...(own ? { calibration: own } : {}) })
    },
    async renderPhoto(photo, { maxSidePx, region }) {
      guardPhoto(photo)
      return pool.run({ kind: 'photo', photo, maxSidePx, ...(region ? { region } : {}) })
    },
    async renderOverlay(photo, assessment) {
      guardPhoto(photo)
      return pool.run({ kind: 'overlay', photo, assessment })
    },
    health: () => ({ ready: pool.isReady(), model: identity, executionProvider: pool.executionProvider, queued: pool.queued() }),
    close: () => pool.close()
  }
}

function checkLimits(limits: Readonly<Record<'workers' | 'maxQueue' | 'photoTimeoutMs', number>>): void {
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < (name === 'maxQueue' ? 0 : 1))
      throw new ScreeningError('ERR_CONFIG', `Expected a positive whole number of ${name} but received ${value}`)
  }
}
