import { Worker } from 'node:worker_threads'
import type { Outcome, ThreadAnswer, ThreadCall, ThreadPlace } from './embedded-protocol.ts'

/** A failed statement, by its SQLSTATE; `no code` when the database itself is gone. */
export class DatabaseFailure extends Error {
  readonly code: string
  constructor(code: string) {
    super(`SQLSTATE ${code}`)
    this.code = code
  }
}

export interface EmbeddedDatabase {
  query(sql: string, parameters: readonly unknown[]): Promise<Outcome>
  /** Others wait until it has ended. */
  transaction<T>(work: (query: EmbeddedDatabase['query']) => Promise<T>): Promise<T>
  /** Waits until everything that was committed is on the disk. */
  flush(): Promise<void>
  close(): Promise<void>
}

type Call = ThreadCall extends infer One ? One extends ThreadCall ? Omit<One, 'id'> : never : never
interface Waiting { resolve(outcome: Outcome): void; reject(error: DatabaseFailure): void }

/** PGlite in its thread. All methods throw DatabaseFailure. */
export async function openEmbeddedDatabase(place: ThreadPlace): Promise<EmbeddedDatabase> {
  const thread = new Worker(new URL('embedded-thread.ts', import.meta.url), {
    workerData: place, execArgv: ['--disable-warning=ExperimentalWarning'], env: {}
  })
  const waiting = new Map<number, Waiting>()
  let calls = 0
  let gone = false

  thread.on('message', (answer: ThreadAnswer) => {
    const call = waiting.get(answer.id)
    waiting.delete(answer.id)
    // A program that waits for nothing else may end.
    if (waiting.size === 0) thread.unref()
    if ('failed' in answer) call?.reject(new DatabaseFailure(answer.failed))
    else call?.resolve(answer)
  })
  const fail = () => {
    gone = true
    for (const { reject } of waiting.values()) reject(new DatabaseFailure('no code'))
    waiting.clear()
  }
  thread.on('error', fail)
  thread.on('exit', fail)

  function answerTo(id: number, message?: ThreadCall): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    if (gone) reject(new DatabaseFailure('no code'))
    else {
      waiting.set(id, { resolve, reject })
      thread.ref()
      if (message) thread.postMessage(message)
    }
    return promise
  }

  function call(one: Call): { readonly id: number; readonly outcome: Promise<Outcome> } {
    const id = ++calls
    return { id, outcome: answerTo(id, { ...one, id }) }
  }

  const database: EmbeddedDatabase = {
    query: (sql, parameters) => call({ kind: 'query', sql, parameters }).outcome,

    async transaction(work) {
      const { id: transaction, outcome: begun } = call({ kind: 'begin' })
      // Not waited for: what is asked first goes to the thread together with it, and fails if it does.
      begun.catch(() => undefined)
      let result
      try {
        result = await work((sql, parameters) => call({ kind: 'query', sql, parameters, transaction }).outcome)
      } catch (error) {
        await call({ kind: 'end', transaction, how: 'rollback' }).outcome.catch(() => undefined)
        throw error
      }
      await call({ kind: 'end', transaction, how: 'commit' }).outcome
      return result
    },

    async flush() {
      await call({ kind: 'flush' }).outcome
    },

    async close() {
      await call({ kind: 'close' }).outcome.catch(() => undefined)
      await thread.terminate()
    }
  }
  try {
    await answerTo(0)
    return database
  } catch (error) {
    await thread.terminate()
    throw error
  }
}
