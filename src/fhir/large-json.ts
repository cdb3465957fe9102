import { Worker } from 'node:worker_threads'
import { parseJson } from './smart-configuration.ts'

/** To the thread: a piece of the body `id`, its end, or that nobody wants it any more. */
export type ParseCall = { readonly id: number } & ({ readonly piece: Uint8Array } | { readonly end: 'whole' | 'broken' })
export interface ParseAnswer { readonly id: number; readonly value: unknown }

/** Below this, parsing takes less than what a thread costs. */
export const LARGE_BYTES = 256 * 1024

/** A large JSON body on its way to the thread that parses it. */
export interface JsonAside {
  /** Gives a piece away: it is empty afterwards, unless it shares its memory with others. */
  add(piece: Uint8Array): void
  /** The body as a value; undefined when it is no JSON. Ends it. */
  value(): Promise<unknown>
  /** Breaks it off. */
  drop(): void
}

interface ParseThread {
  readonly worker: Worker
  readonly waiting: Map<number, (value: unknown) => void>
}

let thread: ParseThread | undefined
let calls = 0

/**
 * A photo that lies inline makes a body of many megabytes, and the thread that answers hooks must neither gather nor parse it:
 * what V8 holds outside its heap makes it collect garbage, and fresh memory has to be faulted in. So each piece goes to a thread
 * of its own as it arrives. Base64 `data` of a photo's size come back as Uint8Array; those of a Bundle are left out, since a photo
 * that a search found is read again when it is wanted.
 */
export function parseAside(): JsonAside {
  const id = ++calls
  const { worker, waiting } = running()
  const { promise, resolve } = Promise.withResolvers<unknown>()
  waiting.set(id, resolve)
  worker.ref()
  return {
    add(piece) {
      const whole = ownMemory(piece)
      worker.postMessage({ id, piece: whole } satisfies ParseCall, [whole.buffer])
    },
    value() {
      worker.postMessage({ id, end: 'whole' } satisfies ParseCall)
      return promise
    },
    drop() {
      worker.postMessage({ id, end: 'broken' } satisfies ParseCall)
    }
  }
}

/** The JSON of a body that is already here; a large one is given away and is empty afterwards. */
export async function parseBody(body: Uint8Array): Promise<unknown> {
  if (body.byteLength < LARGE_BYTES) return parseJson(body)
  const aside = parseAside()
  aside.add(body)
  return aside.value()
}

/** Only what is alone in its memory can be given away with it. */
function ownMemory(piece: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = piece
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? piece as Uint8Array<ArrayBuffer> : new Uint8Array(piece)
}

/** One for the process, started when first needed; it keeps nobody from ending. */
function running(): ParseThread {
  if (thread) return thread
  const worker = new Worker(new URL('large-json-thread.ts', import.meta.url), { execArgv: ['--disable-warning=ExperimentalWarning'], env: {} })
  const started: ParseThread = { worker, waiting: new Map() }
  const { waiting } = started
  worker.on('message', ({ id, value }: ParseAnswer) => {
    waiting.get(id)?.(value)
    waiting.delete(id)
    if (waiting.size === 0) worker.unref()
  })
  // What a thread that died would have parsed is no JSON; the next body gets another thread.
  const gone = () => {
    if (thread === started) thread = undefined
    for (const resolve of waiting.values()) resolve(undefined)
    waiting.clear()
  }
  worker.on('error', gone)
  worker.on('exit', gone)
  thread = started
  return started
}
