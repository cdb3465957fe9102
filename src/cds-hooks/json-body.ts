import type { IncomingMessage } from 'node:http'
import express, { type Request, type RequestHandler, type Response } from 'express'
import { ScreeningError } from '../errors.ts'

export type JsonBody = (request: Request, response: Response) => Promise<unknown>

/**
 * Reads the JSON of a request of at most `limitBytes`, also where a client calls it by the name that FHIR has for its resources. Nearly
 * every body is plain UTF-8: its bytes are gathered and read at once. What is packed, or says another charset, goes the longer way of Express. Throws ERR_MEDIA_TYPE, ERR_BODY_TOO_LARGE,
 * ERR_REQUEST_INVALID, or what Express throws.
 */
export function openJsonBody(limitBytes: number): JsonBody {
  const longWay: RequestHandler = express.json({ limit: limitBytes, type: TYPES })
  return async (request, response) => {
    const { 'content-type': type = '', 'content-encoding': encoding } = request.headers
    if (!JSON_TYPE.test(type)) throw new ScreeningError('ERR_MEDIA_TYPE', 'Expected application/json')
    if (encoding === undefined && PLAIN.test(type)) return parsed(await gathered(request, limitBytes))
    await new Promise<void>((resolve, reject) => {
      void longWay(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error instanceof Error ? error : new Error('body'))))
    })
    return request.body as unknown
  }
}

const TYPES = ['application/json', 'application/fhir+json']
const JSON_TYPE = /^application\/(?:fhir\+)?json *(;|$)/i
const PLAIN = /^application\/(?:fhir\+)?json *(?:; *charset="?utf-8"? *)?$/i

/** RFC 8259 section 8.1: UTF-8, and what is none is refused, not repaired. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes)) as unknown
  } catch (cause) {
    throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected a body of JSON', { cause })
  }
}

function gathered(request: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const tooLarge = () => { reject(new ScreeningError('ERR_BODY_TOO_LARGE', `Expected a body of at most ${limitBytes} bytes`)) }
    if (Number(request.headers['content-length'] ?? 0) > limitBytes) return tooLarge()
    const take = (chunk: Buffer) => {
      size += chunk.length
      chunks.push(chunk)
      if (size <= limitBytes) return
      request.off('data', take)
      tooLarge()
    }
    request.on('data', take)
    request.on('end', () => { resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)) })
    request.on('close', () => {
      if (!request.readableEnded) reject(new ScreeningError('ERR_REQUEST_INVALID', 'Expected the whole body but the connection broke'))
    })
  })
}
