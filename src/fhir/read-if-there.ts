import { setTimeout as wait } from 'node:timers/promises'
import type { FhirResource } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import type { FhirSession } from './session.ts'

/**
 * What is there, or undefined where it is gone at every look: one 404 or 410 may be a gateway's, or that of a replica that is behind.
 * `looksMs` are the waits before each. Throws ERR_EHR_*.
 */
export async function readIfThere<T extends FhirResource['resourceType']>(
  session: FhirSession, type: T, id: string, looksMs: readonly number[] = [0, 0]
): Promise<Extract<FhirResource, { resourceType: T }> | undefined> {
  for (const delayMs of looksMs) {
    await wait(delayMs)
    const there = await session.read(type, id).catch(notThere)
    if (there) return there
  }
  return undefined
}

function notThere(error: unknown): undefined {
  if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND') throw error
}
