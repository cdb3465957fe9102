import { parentPort } from 'node:worker_threads'
import type { ParseAnswer, ParseCall } from './large-json.ts'

/** Parses the JSON of one body after the other. Each `data` of a photo's size is decoded and handed over as bytes. */
const DATA_CHARACTERS = 64 * 1024
const port = parentPort
if (!port) throw new Error('Expected to run as a thread')

port.on('message', ({ id, body }: ParseCall) => {
  const bytes: ArrayBuffer[] = []
  const value = parsed(body, bytes)
  port.postMessage({ id, value } satisfies ParseAnswer, bytes)
})

function parsed(body: Uint8Array, bytes: ArrayBuffer[]): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body), (key, value: unknown) => {
      if (key !== 'data' || typeof value !== 'string' || value.length < DATA_CHARACTERS || !isBase64(value)) return value
      const decoded = new Uint8Array(Buffer.from(value, 'base64'))
      bytes.push(decoded.buffer)
      return decoded
    })
  } catch {
    return undefined
  }
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)
}
