import type { Observation } from 'fhir/r4.js'
import { RESULT_ID } from './codes.ts'
import type { FhirSession } from './session.ts'

/** The patient's Observations that carry these identifiers of ours; where the server cannot search by identifier, we compare. */
export async function ownObservations(session: FhirSession, patientId: string, ids: readonly string[], since?: string): Promise<ReadonlyMap<string, Observation>> {
  const capabilities = await session.capabilities()
  const may = (name: string) => capabilities.canSearch('Observation', name)
  if (!may('identifier') && !may('patient')) return new Map()
  const found = await session.search('Observation', may('identifier')
    ? { identifier: ids.map((id) => `${RESULT_ID}|${id}`).join(',') }
    : { patient: patientId, ...(may('date') && since ? { date: `ge${since}` } : {}) })
  return new Map(found.filter(({ subject }) => subject?.reference === `Patient/${patientId}`).flatMap((one) => {
    const value = one.identifier?.find(({ system }) => system === RESULT_ID)?.value
    return value && ids.includes(value) && one.status !== 'entered-in-error' ? [[value, one] as const] : []
  }))
}
