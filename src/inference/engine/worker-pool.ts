import { ScreeningError, type ErrorCode } from '../../errors.ts'
import { startWorker, type WorkerProcess } from './worker-process.ts'
import { fromAnswer, type WorkerAnswer, type WorkerResults, type WorkerSettings, type WorkerTask } from './worker-protocol.ts'

export interface WorkerPool {
  readonly executionProvider: string
  /** Throws what the worker answered, ERR_ENGINE_BUSY, ERR_PHOTO_TIMEOUT, ERR_NOT_READY, or the signal's own reason. */
  run<Task extends WorkerTask>(task: Task, signal?: AbortSignal): Promise<WorkerResults[Task['kind']]>
  isReady(): boolean
  /** Tasks that wait for a worker. */
  queued(): number
  /** Ends every worker, in the middle of a photo too, and waits until they are gone. */
  close(): Promise<void>
}

export interface PoolOptions {
  readonly settings: WorkerSettings
  readonly workers: number
  readonly maxQueue: number
  readonly photoTimeoutMs: number
  readonly workerEnded?: (end: WorkerEnd) => void
}

/** A worker that ended without being told to. */
export interface WorkerEnd {
  readonly processId: number | undefined
  /** The signal, such as `SIGABRT`, or `exit code 1`. */
  readonly how: string
  readonly during: 'opening' | 'a photo' | 'idleness'
}

interface Job {
  readonly task: WorkerTask
  settle(answer: WorkerAnswer<never>): void
  fail(error: unknown): void
}

/**
 * A worker opens, is idle, works on one job, is idle again …; it is dropped when it is killed or ends by itself. One that could
 * not open the model answers every job with the reason, and no job's time runs meanwhile.
 */
interface Worker {
  readonly process: WorkerProcess
  /** Ends one that does not open in time. */
  readonly opening: NodeJS.Timeout
  state: 'opening' | 'idle' | { readonly job: Job; readonly deadline: NodeJS.Timeout } | { readonly refusal: WorkerAnswer<never> }
}

/** Reading the bundle and converting the landmark networks takes a second or two; a loaded machine needs patience. */
const OPEN_MS = 120_000

/**
 * Worker processes and the jobs that wait for them. A job's working time begins when a worker takes it; past `photoTimeoutMs`
 * the worker is killed and another started. A caller who gives up while the job waits frees its place at once; while it is
 * being worked on the caller is answered at once and the worker finishes for itself, so that impatient callers cannot make
 * workers load the model over and over. A worker that ends while it opens is started again when the next job comes.
 */
export async function openWorkerPool({ settings, workers: size, maxQueue, photoTimeoutMs, workerEnded }: PoolOptions): Promise<WorkerPool> {
  const workers = new Set<Worker>()
  const waiting: Job[] = []
  const dying = new Set<Promise<void>>()
  let closed = false
  let modelFails = false

  function start(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    promise.catch(() => undefined)
    const opening = setTimeout(() => {
      drop(worker)
      reject(notReady(`Expected a worker that opens within ${OPEN_MS / 1000} s but it took longer`))
      failIfNobodyIsLeft()
    }, OPEN_MS)
    const worker: Worker = {
      state: 'opening',
      opening,
      process: startWorker(settings, {
        opened(answer) {
          clearTimeout(opening)
          worker.state = 'failure' in answer ? { refusal: answer } : 'idle'
          if ('failure' in answer) refuse(answer.failure, reject)
          else resolve(answer.result.executionProvider)
          dispatch()
        },
        answered(answer) {
          const job = free(worker)
          modelFails = 'failure' in answer && isOfModel(answer.failure.code)
          job?.settle(answer)
          dispatch()
        },
        ended(how) {
          const wasOpening = worker.state === 'opening'
          const job = drop(worker)
          workerEnded?.({ processId: worker.process.id, how, during: wasOpening ? 'opening' : job ? 'a photo' : 'idleness' })
          reject(notReady(`Expected a worker that opens but it ended (${how})`))
          job?.fail(new ScreeningError('ERR_PHOTO_CORRUPT', `Expected to read the photo but its process ended (${how}); the photo is not tried again`))
          if (!wasOpening) fill()
          failIfNobodyIsLeft()
        }
      })
    }
    workers.add(worker)
    return promise
  }

  const refuse = ({ code, message }: { readonly code: ErrorCode; readonly message: string }, reject: (error: ScreeningError) => void) => {
    modelFails = isOfModel(code)
    reject(new ScreeningError(code, message))
  }

  const fill = () => {
    while (!closed && workers.size < size) void start()
  }

  /** Takes the job from a worker. */
  function free(worker: Worker): Job | undefined {
    if (typeof worker.state === 'string' || 'refusal' in worker.state) return undefined
    const { job, deadline } = worker.state
    clearTimeout(deadline)
    worker.state = 'idle'
    return job
  }

  function drop(worker: Worker): Job | undefined {
    const job = free(worker)
    clearTimeout(worker.opening)
    workers.delete(worker)
    const gone = worker.process.kill().finally(() => dying.delete(gone))
    dying.add(gone)
    return job
  }

  function dispatch(): void {
    for (const worker of workers) {
      if (typeof worker.state === 'object' && 'refusal' in worker.state) {
        for (const job of waiting.splice(0)) job.settle(worker.state.refusal)
        return
      }
      if (worker.state !== 'idle') continue
      const job = waiting.shift()
      if (!job) return
      const deadline = setTimeout(() => {
        drop(worker)
        job.fail(new ScreeningError('ERR_PHOTO_TIMEOUT', `Expected to read the photo within ${photoTimeoutMs} ms but its worker had to be stopped`))
        fill()
      }, photoTimeoutMs)
      worker.state = { job, deadline }
      worker.process.send(job.task)
    }
  }

  const failIfNobodyIsLeft = () => {
    if (workers.size > 0) return
    for (const job of waiting.splice(0)) job.fail(notReady('Expected workers that open but none does'))
  }

  const close = async () => {
    closed = true
    const jobs = [...waiting.splice(0), ...[...workers].flatMap((worker) => drop(worker) ?? [])]
    for (const job of jobs) job.fail(notReady('Expected a running engine but it was closed'))
    await Promise.all(dying)
  }

  const isBusy = () => [...workers].filter(({ state }) => state === 'idle').length === 0 && waiting.length >= maxQueue

  async function run<Task extends WorkerTask>(task: Task, signal?: AbortSignal): Promise<WorkerResults[Task['kind']]> {
    signal?.throwIfAborted()
    if (closed) throw notReady('Expected a running engine but it was closed')
    if (isBusy()) throw new ScreeningError('ERR_ENGINE_BUSY', `Expected at most ${maxQueue} photos waiting but the queue is full; try again later`)
    const { promise, resolve, reject } = Promise.withResolvers<WorkerAnswer<never>>()
    const job: Job = { task, settle: resolve, fail: reject }
    const giveUp = () => {
      const place = waiting.indexOf(job)
      if (place >= 0) waiting.splice(place, 1)
      reject(signal?.reason as Error)
    }
    signal?.addEventListener('abort', giveUp, { once: true })
    waiting.push(job)
    fill()
    dispatch()
    try {
      return fromAnswer(await promise)
    } finally {
      signal?.removeEventListener('abort', giveUp)
    }
  }

  try {
    const [executionProvider = ''] = await Promise.all(Array.from({ length: size }, () => start()))
    return { executionProvider, run, isReady: () => !closed && !modelFails && workers.size > 0, queued: () => waiting.length, close }
  } catch (error) {
    await close()
    throw error
  }
}

const isOfModel = (code: ErrorCode) => code.startsWith('ERR_MODEL_')
const notReady = (message: string) => new ScreeningError('ERR_NOT_READY', message)
