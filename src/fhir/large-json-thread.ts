import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import type { ParseAnswer, ParseCall } from './large-json.ts'

/** Parses the JSON of bodies that come in pieces. Each `data` of a photo's size is decoded and handed over as bytes, or left out. */
const DATA_CHARACTERS = 64 * 1024
const LOW_PRIORITY = 5

const port = parentPort
if (!port) throw new Error('Expected to run as a thread')
// Linux counts priority by thread: where the cores are few, the thread that answers hooks goes first.
if (process.platform === 'linux') setPriority(LOW_PRIORITY)

interface Body {
  readonly decoder: TextDecoder
  text: string
}
const bodies = new Map<number, Body>()

port.on('message', (call: ParseCall) => {
  if ('piece' in call) return take(call.id, call.piece)
  const body = bodies.get(call.id)
  bodies.delete(call.id)
  const bytes: ArrayBuffer[] = []
  const value = call.end === 'whole' && body ? parsed(body, bytes) : undefined
  port.postMessage({ id: call.id, value } satisfies ParseAnswer, bytes)
})

function take(id: number, piece: Uint8Array): void {
  const body = bodies.get(id) ?? { decoder: new TextDecoder(), text: '' }
  bodies.set(id, body)
  body.text += body.decoder.decode(piece, { stream: true })
  // Given back at once, for the next piece to be put there.
  if (piece.buffer instanceof ArrayBuffer) piece.buffer.transfer(0)
}

function parsed({ text, decoder }: Body, bytes: ArrayBuffer[]): unknown {
  try {
    const value: unknown = JSON.parse(text + decoder.decode())
    return withoutText(value, isBundle(value) ? () => undefined : (data) => decoded(data, bytes))
  } catch {
    return undefined
  }
}

function isBundle(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'resourceType' in value && value.resourceType === 'Bundle'
}

/** The value with each long `data` replaced, in place. Too deep a nesting throws, as it does in JSON.parse. */
function withoutText(value: unknown, replaced: (data: string) => unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const members = value as Record<string, unknown>
  for (const name of Object.keys(members)) {
    const inner = members[name]
    if (name === 'data' && typeof inner === 'string' && inner.length >= DATA_CHARACTERS) members[name] = replaced(inner)
    else withoutText(inner, replaced)
  }
  return value
}

/** As bytes, with line breaks in it or without (R4 base64Binary); what is no base64 stays as it is. */
function decoded(text: string, bytes: ArrayBuffer[]): string | Uint8Array {
  const data = /\s/.test(text) ? text.replace(/\s+/g, '') : text
  if (data.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(data)) return text
  const found = new Uint8Array(Buffer.from(data, 'base64'))
  bytes.push(found.buffer)
  return found
}
