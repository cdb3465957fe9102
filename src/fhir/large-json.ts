import { Worker } from 'node:worker_threads'
import { parseJson } from './smart-configuration.ts'

export interface ParseCall { readonly id: number; readonly body: Uint8Array }
export interface ParseAnswer { readonly id: number; readonly value: unknown }

/** Below this, parsing takes less than what a thread costs. */
const LARGE_BYTES = 256 * 1024

let thread: Worker | undefined
let calls = 0
const waiting = new Map<number, (value: unknown) => void>()

/**
 * The JSON of a body as a value; undefined when it is none. A photo that lies inline makes a body of many megabytes, and the
 * thread that answers hooks must not parse it: a large body is given away to a thread of its own (and is empty afterwards), and
 * its base64 `data` come back as Uint8Array.
 */
export async function parseBody(body: Uint8Array): Promise<unknown> {
  if (body.byteLength < LARGE_BYTES) return parseJson(body)
  const id = ++calls
  const { promise, resolve } = Promise.withResolvers<unknown>()
  waiting.set(id, resolve)
  const worker = running()
  worker.ref()
  worker.postMessage({ id, body } satisfies ParseCall, body.buffer instanceof ArrayBuffer ? [body.buffer] : [])
  return promise
}

/** One for the process, started when first needed; it keeps nobody from ending. */
function running(): Worker {
  if (thread) return thread
  const started = new Worker(new URL('large-json-thread.ts', import.meta.url), { execArgv: ['--disable-warning=ExperimentalWarning'], env: {} })
  started.on('message', ({ id, value }: ParseAnswer) => {
    waiting.get(id)?.(value)
    waiting.delete(id)
    if (waiting.size === 0) started.unref()
  })
  // What a thread that died would have parsed is no JSON; the next body gets another thread.
  const gone = () => {
    if (thread === started) thread = undefined
    for (const resolve of waiting.values()) resolve(undefined)
    waiting.clear()
  }
  started.on('error', gone)
  started.on('exit', gone)
  thread = started
  return started
}
