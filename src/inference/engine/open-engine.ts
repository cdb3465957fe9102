import { availableParallelism } from 'node:os'
import { MessageChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { isScreeningError, ScreeningError } from '../../errors.ts'
import type { Device } from '../joint-model.ts'
import { readModelBundle } from '../model-bundle.ts'
import { guardPhoto } from '../photo-guard.ts'
import type { InferenceEngine } from './inference-engine.ts'
import { fromAnswer, type WorkerAnswer, type WorkerResults, type WorkerSettings, type WorkerTask } from './worker-protocol.ts'

export interface EngineOptions {
  /** Folder of a model bundle. */
  readonly modelDir: string
  readonly device?: Device
  /** Worker threads with one session each; one core stays free for HTTP. */
  readonly workers?: number
  /** Tasks that may wait; more are ERR_ENGINE_BUSY. */
  readonly maxQueue?: number
  /** Working time of one photo, waiting not counted; past it the thread is killed. */
  readonly photoTimeoutMs?: number
}

const WARM_UP_MS = 60_000

/**
 * Verifies the bundle, starts the worker threads and waits until the first has run the golden hands. Each thread verifies the
 * bundle again before its first photo. Throws ERR_MODEL_INVALID or ERR_MODEL_OUTPUT, and then nothing is left running.
 */
export async function openEngine({ modelDir, device = 'auto', workers, maxQueue = 64, photoTimeoutMs = 20_000 }: EngineOptions): Promise<InferenceEngine> {
  const bundle = await readModelBundle(modelDir)
  const settings: WorkerSettings = { modelDir, device, modelDigest: bundle.identity.digest }
  const threads = workers ?? Math.max(1, availableParallelism() - 1)
  const pool = new Piscina({
    filename: new URL('worker.ts', import.meta.url).href,
    workerData: settings,
    minThreads: threads,
    maxThreads: threads,
    maxQueue,
    concurrentTasksPerWorker: 1,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    recordTiming: false
  })
  const run = <Kind extends keyof WorkerResults>(task: Extract<WorkerTask, { kind: Kind }>, timeoutMs: number, signal?: AbortSignal) =>
    runTask<WorkerResults[Kind]>(pool, task, timeoutMs, signal)

  let executionProvider = ''
  try {
    executionProvider = (await run<'warm-up'>({ kind: 'warm-up' }, WARM_UP_MS)).executionProvider
  } catch (error) {
    await pool.destroy()
    throw error
  }
  let closed = false

  return {
    model: bundle.identity,
    calibration: bundle.calibration,
    async assess(photo, { calibration, signal } = {}) {
      guardPhoto(photo)
      return run<'assess'>({ kind: 'assess', photo, ...(calibration ? { calibration } : {}) }, photoTimeoutMs, signal)
    },
    async renderPhoto(photo, { maxSidePx, region }) {
      guardPhoto(photo)
      return run<'photo'>({ kind: 'photo', photo, maxSidePx, ...(region ? { region } : {}) }, photoTimeoutMs)
    },
    async renderOverlay(photo, assessment) {
      guardPhoto(photo)
      return run<'overlay'>({ kind: 'overlay', photo, assessment }, photoTimeoutMs)
    },
    health: () => ({ ready: !closed, model: bundle.identity, executionProvider, queued: pool.queueSize }),
    async close() {
      closed = true
      await pool.destroy()
    }
  }
}

/** One task on one thread. Aborting a running task kills its thread; the pool starts another. */
async function runTask<Result>(pool: Piscina, task: WorkerTask, timeoutMs: number, signal?: AbortSignal): Promise<Result> {
  const kill = new AbortController()
  const { port1, port2 } = new MessageChannel()
  let timer: NodeJS.Timeout | undefined
  port1.on('message', () => {
    timer = setTimeout(() => kill.abort(), timeoutMs)
  })
  try {
    const answer = (await pool.run({ ...task, started: port2 }, {
      transferList: [port2],
      signal: signal ? AbortSignal.any([signal, kill.signal]) : kill.signal
    })) as WorkerAnswer<Result>
    return fromAnswer(answer)
  } catch (error) {
    throw asScreeningError(error, kill.signal.aborted, timeoutMs, signal)
  } finally {
    clearTimeout(timer)
    port1.close()
  }
}

function asScreeningError(error: unknown, timedOut: boolean, timeoutMs: number, signal: AbortSignal | undefined): unknown {
  if (isScreeningError(error)) return error
  if (timedOut) return new ScreeningError('ERR_PHOTO_TIMEOUT', `Expected the photo to be read within ${timeoutMs} ms; its thread was stopped`)
  if (signal?.aborted) return signal.reason
  if (error instanceof Error && /queue is at limit/i.test(error.message))
    return new ScreeningError('ERR_ENGINE_BUSY', 'Expected room in the inference queue but it is full; try again later')
  if (error instanceof Error && /terminat|worker/i.test(error.message))
    return new ScreeningError('ERR_PHOTO_CORRUPT', 'Reading the photo ended its thread; the photo is not tried again')
  return error
}
