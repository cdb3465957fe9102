import { setTimeout as wait } from 'node:timers/promises'
import type { Audit } from '../audit.ts'
import { REPORT_ID, RESULT_ID } from '../fhir/codes.ts'
import { findOwn } from '../fhir/own-observations.ts'
import { settleMs, type Settling } from '../fhir/record-writer.ts'
import { retire, type Retired } from '../fhir/retire.ts'
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
  /** Waits before each look at what seems to be gone: a replica may be behind. */
  readonly looksMs: readonly number[]
  readonly settling?: Settling
}

/**
 * Takes back in the record what no longer holds: results of photos that left the patient's record become `entered-in-error`, those that
 * a newer photo or model replaced `cancelled`; also where the record has moved them together with their photos. It is asked for in the store before, so that a crash forgets none; doing it again is
 * harmless. Where the record takes no updates that is kept, and `jointlens reconcile` tells it. What was sent without a known outcome and is
 * not shown may come yet: resolves with when it will have, ms since the epoch, if anything is left so. Throws ERR_EHR_*, ERR_WRITE_AMBIGUOUS,
 * ERR_LEASE_LOST.
 */
export async function retireResults(retiring: Retiring): Promise<number | undefined> {
  const { session, results, lease, tenant, patientId, looksMs } = retiring
  const wanted = await results.retirements(tenant, patientId)
  if (wanted.length === 0) return undefined
  const places = await placesOf(retiring, wanted.map(({ identifier }) => identifier))
  const unshown = wanted.map(({ identifier }) => identifier).filter((one) => !places.has(one))
  const late = await lateOnes(retiring, unshown)
  for (const identifier of unshown) if (!late.has(identifier)) await results.retired(tenant, identifier, 'gone')
  let left = wanted.flatMap(({ identifier, status }) => {
    const reference = places.get(identifier)
    return reference === undefined ? [] : [{ identifier, status, reference }]
  })
  for (const [look, delayMs] of looksMs.entries()) {
    if (left.length > 0) await wait(delayMs)
    const gone: typeof left = []
    for (const one of left) {
      const outcome = await retire(session, {
        ...one, patientId, fence: () => lease.hold(), photos: () => results.photosBehind(tenant, patientId, one.identifier)
      })
      if (outcome === 'gone' && look < looksMs.length - 1) gone.push(one)
      else await keep(retiring, one, outcome)
    }
    left = gone
  }
  return late.size > 0 ? Math.max(...late.values()) : undefined
}

async function keep({ results, audit, tenant, patientId }: Retiring, { identifier, reference }: { readonly identifier: string; readonly reference: string }, outcome: Retired): Promise<void> {
  await results.retired(tenant, identifier, outcome)
  if (outcome === 'gone') return
  const failed = outcome === 'no-updates'
  await audit.record({
    tenant, action: 'retire', actor: 'system', patientId, entity: reference, outcome: failed ? 'failure' : 'success',
    ...(failed ? { code: 'ERR_EHR_REFUSED' } : {})
  })
}

/** Of those that no search shows, the ones that were sent so short a time ago that it may do so yet, with when it will have. */
async function lateOnes({ results, tenant, patientId, settling }: Retiring, identifiers: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const ledger = results.ledger(tenant, patientId)
  const unanswered = identifiers.length > 0 ? await ledger.unanswered(identifiers) : new Map<string, number>()
  if (unanswered.size === 0) return unanswered
  const settlesAfterMs = await settleMs(ledger, settling)
  return new Map([...unanswered].flatMap(([identifier, agoMs]) => agoMs < settlesAfterMs ? [[identifier, Date.now() + settlesAfterMs - agoMs]] : []))
}

/** By our ledger; what it does not know (an answer that was lost, a suggestion that the EHR wrote itself) by asking the record. */
async function placesOf({ session, results, tenant, patientId }: Retiring, identifiers: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const places = new Map(await results.ledger(tenant, patientId).places(identifiers))
  const unknown = identifiers.filter((one) => !places.has(one))
  for (const [type, system] of [['Observation', RESULT_ID], ['DiagnosticReport', REPORT_ID]] as const)
    for (const [identifier, found] of await findOwn(session, type, patientId, unknown, { system, thorough: true })) places.set(identifier, `${type}/${found.id}`)
  return places
}
