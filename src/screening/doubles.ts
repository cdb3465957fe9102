import { REPORT_ID, RESULT_ID } from '../fhir/codes.ts'
import { dayBefore, findAllOwn } from '../fhir/own-observations.ts'
import { retire } from '../fhir/retire.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { ResultStore } from './result-store.ts'
import type { Screening } from './screening.ts'
import { writtenIds } from './screening-input.ts'

export interface Double {
  /** What stays: what our ledger knows, otherwise the oldest. */
  readonly kept: string
  readonly extra: string
  readonly identifier: string
}

/** What a search shows of one screening. */
export interface Swept {
  readonly doubles: readonly Double[]
  /** Every Observation that our ledger knows of was shown where it lies. */
  readonly showsAll: boolean
}

/**
 * Results of one screening that lie in the record more than once, live: a server that raced, or someone who copied. Our own writer
 * makes none that it knows of, and no server can be trusted to refuse one (specs/reliability.md section 3.7). Throws ERR_EHR_*.
 */
export async function findDoubles(session: FhirSession, results: ResultStore, screening: Screening): Promise<Swept> {
  const { tenant, patientId } = screening
  const ids = writtenIds(screening)
  const places = await results.ledger(tenant, patientId).places(ids)
  const doubles: Double[] = []
  const shown = new Set<string>()
  for (const [type, system] of [['Observation', RESULT_ID], ['DiagnosticReport', REPORT_ID]] as const) {
    for (const [identifier, found] of await findAllOwn(session, type, patientId, ids, { system, since: dayBefore(screening.photoTime), thorough: true })) {
      for (const { id } of found) shown.add(`${type}/${id}`)
      const live = found.filter(({ status }) => status !== 'cancelled').map(({ id }) => `${type}/${id}`)
      if (live.length < 2) continue
      const known = places.get(identifier)
      const kept = known !== undefined && live.includes(known) ? known : live[0] ?? ''
      doubles.push(...live.filter((one) => one !== kept).map((extra) => ({ kept, extra, identifier })))
    }
  }
  return { doubles, showsAll: [...places.values()].every((place) => shown.has(place) || !place.startsWith('Observation/')) }
}

/** Enters extras in error, as far as they are as we wrote them; resolves with those that are no longer live. Throws ERR_EHR_*, ERR_WRITE_AMBIGUOUS. */
export async function retireDoubles(
  session: FhirSession, patientId: string, doubles: readonly Double[], fence: () => Promise<void>
): Promise<readonly string[]> {
  const gone: string[] = []
  for (const { extra, identifier } of doubles) {
    const outcome = await retire(session, { reference: extra, identifier, patientId, status: 'entered-in-error', fence })
    if (outcome === 'retired' || outcome === 'gone') gone.push(extra)
  }
  return gone
}
