import { once } from 'node:events'
import { MessageChannel, type Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { isScreeningError, ScreeningError } from '../../errors.ts'
import { fromAnswer, type WorkerAnswer, type WorkerResults, type WorkerSettings, type WorkerTask } from './worker-protocol.ts'

type Kind = keyof WorkerResults
type TaskOf<K extends Kind> = Extract<WorkerTask, { kind: K }> & { readonly photo?: Uint8Array<ArrayBuffer> }

export interface WorkerPool {
  readonly executionProvider: string
  /** Throws what the worker answered, ERR_ENGINE_BUSY, ERR_PHOTO_TIMEOUT, ERR_NOT_READY, or the signal's own reason. */
  run<K extends Kind>(kind: K, task: TaskOf<K>, signal?: AbortSignal): Promise<WorkerResults[K]>
  isReady(): boolean
  /** Tasks that wait for a thread. */
  queued(): number
  /** Ends every thread, running photos included, and waits until they are gone. */
  close(): Promise<void>
}

export interface PoolOptions {
  readonly settings: WorkerSettings
  readonly threads: number
  readonly maxQueue: number
  readonly photoTimeoutMs: number
}

/** Reading the bundle and converting the landmark networks takes a second or two; a loaded machine needs patience. */
const START_MS = 120_000

/**
 * Threads that can be killed. A task waits, then works, then is done; its working time begins with the thread's own word that
 * it has started. Past `photoTimeoutMs` the thread is killed and another started. A caller who gives up while the photo waits
 * frees its place at once; while it is being read the caller is answered at once and the thread finishes for itself, so that
 * impatient callers cannot make threads load the model over and over.
 */
export async function openWorkerPool({ settings, threads, maxQueue, photoTimeoutMs }: PoolOptions): Promise<WorkerPool> {
  const piscina = new Piscina({
    filename: new URL('worker.ts', import.meta.url).href,
    workerData: settings,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
    // Waiting with Atomics would hold back what sharp and the runtime finish in the thread between two photos.
    atomics: 'disabled',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    recordTiming: false
  })
  const dying = new Set<Promise<unknown>>()
  const pending = new Set<AbortController>()
  let modelFails = false
  let lost: unknown
  let closed = false

  /** Aborting a running task kills its thread; remember it until it is gone. */
  const kill = (task: AbortController) => {
    const before = new Set<Worker>(piscina.threads)
    task.abort()
    for (const thread of before) {
      if (piscina.threads.includes(thread)) continue
      const exit = once(thread, 'exit').finally(() => dying.delete(exit))
      dying.add(exit)
    }
  }

  // A thread that dies while it starts is not replaced: its tasks would wait for ever.
  piscina.on('error', (error: unknown) => {
    if (piscina.threads.length > 0) return
    lost = error
    for (const task of pending) task.abort()
  })

  async function work<K extends Kind>(task: TaskOf<K>, signal?: AbortSignal): Promise<WorkerResults[K]> {
    const abort = new AbortController()
    const { port1, port2 } = new MessageChannel()
    let timer: NodeJS.Timeout | undefined
    let timedOut = false
    port1.once('message', () => {
      signal?.removeEventListener('abort', giveUp)
      timer = setTimeout(() => {
        timedOut = true
        kill(abort)
      }, photoTimeoutMs)
    })
    const giveUp = () => kill(abort)
    signal?.addEventListener('abort', giveUp, { once: true })
    pending.add(abort)
    try {
      const answer = await piscina.run({ ...task, started: port2 }, {
        signal: abort.signal, transferList: task.photo ? [port2, task.photo.buffer] : [port2]
      }) as WorkerAnswer<WorkerResults[K]>
      modelFails = 'failure' in answer && answer.failure.code.startsWith('ERR_MODEL_')
      return fromAnswer(answer)
    } catch (error) {
      if (isScreeningError(error)) throw error
      if (timedOut) throw new ScreeningError('ERR_PHOTO_TIMEOUT', `Expected to read the photo within ${photoTimeoutMs} ms but its thread had to be stopped`)
      signal?.throwIfAborted()
      if (closed) throw notReady('Expected a running engine but it was closed')
      if (lost) throw new ScreeningError('ERR_NOT_READY', 'Expected inference threads that start but they end at once', { cause: lost })
      throw new ScreeningError('ERR_PHOTO_CORRUPT', 'Expected to read the photo but its thread ended; the photo is not tried again', { cause: error })
    } finally {
      pending.delete(abort)
      clearTimeout(timer)
      port1.close()
      signal?.removeEventListener('abort', giveUp)
    }
  }

  const close = async () => {
    closed = true
    await piscina.destroy()
    await Promise.all(dying)
  }

  try {
    const warm = await Promise.all(Array.from({ length: threads }, () => work<'warm-up'>({ kind: 'warm-up' }, AbortSignal.timeout(START_MS))))
    return {
      executionProvider: warm[0]?.executionProvider ?? '',
      async run(_kind, task, signal) {
        signal?.throwIfAborted()
        if (closed) throw notReady('Expected a running engine but it was closed')
        if (pending.size >= threads + maxQueue)
          throw new ScreeningError('ERR_ENGINE_BUSY', `Expected at most ${maxQueue} photos waiting but the queue is full; try again later`)
        return answeredOrGivenUp(work(task, signal), signal)
      },
      isReady: () => !closed && !modelFails && lost === undefined,
      queued: () => Math.max(0, pending.size - threads),
      close
    }
  } catch (error) {
    await close()
    if (error instanceof Error && error.name === 'TimeoutError')
      throw new ScreeningError('ERR_NOT_READY', `Expected inference threads that start within ${START_MS / 1000} s but they took longer`, { cause: error })
    throw error
  }
}

/** The answer, or the signal's reason as soon as the caller gives up. */
async function answeredOrGivenUp<Result>(answer: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (!signal) return answer
  const { promise: givenUp, reject } = Promise.withResolvers<never>()
  const listen = () => reject(signal.reason as Error)
  signal.addEventListener('abort', listen, { once: true })
  answer.catch(() => undefined)
  try {
    return await Promise.race([answer, givenUp])
  } finally {
    signal.removeEventListener('abort', listen)
  }
}

const notReady = (message: string) => new ScreeningError('ERR_NOT_READY', message)
