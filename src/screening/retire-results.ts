import type { Audit } from '../audit.ts'
import { REPORT_ID, RESULT_ID } from '../fhir/codes.ts'
import { findOwn } from '../fhir/own-observations.ts'
import { retire } from '../fhir/retire.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { Lease } from './lease.ts'
import type { ResultStore } from './result-store.ts'

export interface Retiring {
  readonly session: FhirSession
  readonly results: ResultStore
  readonly audit: Audit
  readonly lease: Pick<Lease, 'hold'>
  readonly tenant: string
  readonly patientId: string
}

/**
 * Takes back in the record what no longer holds: results of photos that left the patient's record become `entered-in-error`, those that
 * a newer photo or model replaced `cancelled`; also where the record has moved them together with their photos. It is asked for in the store before, so that a crash forgets none; doing it again is
 * harmless. Where the record takes no updates that is kept, and `jointlens reconcile` tells it. Throws ERR_EHR_*, ERR_WRITE_AMBIGUOUS,
 * ERR_LEASE_LOST.
 */
export async function retireResults(retiring: Retiring): Promise<void> {
  const { session, results, audit, lease, tenant, patientId } = retiring
  const wanted = await results.retirements(tenant, patientId)
  if (wanted.length === 0) return
  const places = await placesOf(retiring, wanted.map(({ identifier }) => identifier))
  for (const { identifier, status } of wanted) {
    const reference = places.get(identifier)
    const outcome = reference === undefined ? 'gone' : await retire(session, {
      reference, identifier, patientId, status, fence: () => lease.hold(), photos: () => results.photosBehind(tenant, patientId, identifier)
    })
    await results.retired(tenant, identifier, outcome)
    if (reference === undefined || outcome === 'gone') continue
    const failed = outcome === 'no-updates'
    await audit.record({
      tenant, action: 'retire', actor: 'system', patientId, entity: reference, outcome: failed ? 'failure' : 'success',
      ...(failed ? { code: 'ERR_EHR_REFUSED' } : {})
    })
  }
}

/** By our ledger; what it does not know (an answer that was lost, a suggestion that the EHR wrote itself) by asking the record. */
async function placesOf({ session, results, tenant, patientId }: Retiring, identifiers: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const places = new Map(await results.ledger(tenant, patientId).places(identifiers))
  const unknown = identifiers.filter((one) => !places.has(one))
  for (const [type, system] of [['Observation', RESULT_ID], ['DiagnosticReport', REPORT_ID]] as const)
    for (const [identifier, found] of await findOwn(session, type, patientId, unknown, { system, thorough: true })) places.set(identifier, `${type}/${found.id}`)
  return places
}
