import type { Request, Response } from 'express'
import { z } from 'zod'

/** How a record can be on a bad day: what happens to each write until the weather changes. */
export const weather = z.strictObject({
  /** Before the record takes a write, and between that and its answer. */
  beforeMs: z.number().int().min(0).max(30_000).default(0),
  afterMs: z.number().int().min(0).max(30_000).default(0),
  /** `lost`: written, and the connection breaks before the answer. `refused`: 422, `unavailable`: 503; of both nothing is written. */
  answer: z.enum(['given', 'lost', 'refused', 'unavailable']).default('given')
})
export type Weather = z.infer<typeof weather>

const FAIR: Weather = { beforeMs: 0, afterMs: 0, answer: 'given' }

/** For trying out what an app says when the record is slow or fails. Reads are always fair. */
export function openWeather() {
  let now = FAIR
  return {
    change(next: Weather): void { now = next },
    async middleware(request: Request, response: Response, next: () => void): Promise<void> {
      if (request.method === 'GET' || request.path.endsWith('/_search')) return next()
      const { beforeMs, afterMs, answer } = now
      await later(beforeMs)
      if (answer === 'refused') return void response.status(422).type('application/fhir+json').send(REFUSAL)
      if (answer === 'unavailable') return void response.status(503).end()
      const send = response.send.bind(response)
      response.send = (body: unknown) => {
        void later(afterMs).then(() => (answer === 'lost' ? request.socket.destroy() : send(body)))
        return response
      }
      next()
    }
  }
}

const REFUSAL = JSON.stringify({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'business-rule', diagnostics: 'The record takes nothing at the moment' }] })

const later = (ms: number) => new Promise<void>((resolve) => { setTimeout(resolve, ms) })
