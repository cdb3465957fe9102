import { ScreeningError } from '../errors.ts'
import type { Egress, EgressResponse } from './egress.ts'

/** A server that asks for more than this is asked again after it: nobody goes unseen for a typing error in a header. */
export const MAX_RETRY_AFTER_MS = 3_600_000

/**
 * When a server that answered 429 or 503 may be called again (RFC 9110 section 10.2.3), milliseconds since the epoch: seconds,
 * or a date, which is read against the server's own clock where it sends one, or Azure's milliseconds. Undefined for any other answer, and for junk.
 */
export function retryAtOf({ status, headers }: Pick<EgressResponse, 'status' | 'headers'>, now: number = Date.now()): number | undefined {
  if (status !== 429 && status !== 503) return undefined
  const value = headers.get('retry-after')?.trim() ?? ''
  const said = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : dateOf(value) - (dateOf(headers.get('date') ?? '') || now)
  const waitMs = Number.isNaN(said) ? azureMs(headers) : said
  if (Number.isNaN(waitMs)) return undefined
  return now + Math.min(MAX_RETRY_AFTER_MS, Math.max(0, waitMs))
}

/** Azure API for FHIR said it only so, in milliseconds, before it also sent Retry-After. */
function azureMs(headers: Headers): number {
  const value = headers.get('x-ms-retry-after-ms')?.trim() ?? ''
  return /^\d{1,12}(\.\d+)?$/.test(value) ? Number(value) : NaN
}

/** IMF-fixdate, the one form that is still sent. Others are junk: Date.parse would make a date of almost anything. */
function dateOf(value: string): number {
  return /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(value) ? Date.parse(value) : NaN
}

/** What each server asked for, kept with its egress: all sessions of this process wait together. */
const asked = new WeakMap<Egress, number>()

/** The time that is still to come, if any. */
export function askedUntil(egress: Egress, now: number = Date.now()): number | undefined {
  const retryAt = asked.get(egress)
  // Further away than anyone may ask for, our clock was set back since.
  return retryAt !== undefined && retryAt > now && retryAt <= now + MAX_RETRY_AFTER_MS ? retryAt : undefined
}

/** Throws ERR_EHR_UNREACHABLE, with the time, while the server wants to be left alone; nothing is sent then. */
export function refuseEarly(egress: Egress, now: number = Date.now()): void {
  const retryAt = askedUntil(egress, now)
  if (retryAt === undefined) return
  throw new ScreeningError('ERR_EHR_UNREACHABLE', 'Expected to call the FHIR server now but it asked to be left alone for a while', { retryAt })
}

/** Remembers what an answer asked for and returns it. */
export function heed(egress: Egress, answer: Pick<EgressResponse, 'status' | 'headers'>): number | undefined {
  const retryAt = retryAtOf(answer)
  if (retryAt !== undefined) asked.set(egress, Math.max(retryAt, asked.get(egress) ?? 0))
  return retryAt
}
