import type { DiagnosticReport, Observation } from 'fhir/r4.js'
import type { Capabilities } from './capabilities.ts'
import { RESULT_ID, statusTerm } from './codes.ts'
import { isOf } from './references.ts'
import { searchInOneWay, type SearchWays } from './search-ways.ts'
import type { FhirSession } from './session.ts'

type ResultType = 'Observation' | 'DiagnosticReport'
type Result<T extends ResultType> = T extends 'Observation' ? Observation : DiagnosticReport

/** Identifiers in one search: some servers take no query of more than 2,048 characters. */
export const TOKENS = 12

/** The patient's Observations that carry these identifiers of ours; where the server cannot search by identifier, we compare. */
export async function ownObservations(session: FhirSession, patientId: string, ids: readonly string[], since?: string): Promise<ReadonlyMap<string, Observation>> {
  return findOwn(session, 'Observation', patientId, ids, { system: RESULT_ID, ...(since ? { since } : {}) })
}

/** Results of this patient that carry one of our identifiers and are not entered in error, by that identifier. Throws ERR_EHR_*. */
export async function findOwn<T extends ResultType>(
  session: FhirSession, type: T, patientId: string, ids: readonly string[], options: Omit<Parameters<typeof findAllOwn>[4], 'withdrawn'>
): Promise<ReadonlyMap<string, Result<T>>> {
  const found = await findAllOwn(session, type, patientId, ids, options)
  return new Map([...found].flatMap(([id, [one]]) => one ? [[id, one] as const] : []))
}

/** The same of Observations, those that were entered in error among them; one that stands comes before one that was withdrawn. */
export async function ownObservationsEver(session: FhirSession, patientId: string, ids: readonly string[], since?: string): Promise<ReadonlyMap<string, Observation>> {
  const found = await findAllOwn(session, 'Observation', patientId, ids, { system: RESULT_ID, withdrawn: true, ...(since ? { since } : {}) })
  return new Map([...found].flatMap(([id, all]) => {
    const one = all.find(({ status }) => status !== 'entered-in-error') ?? all[0]
    return one ? [[id, one] as const] : []
  }))
}

/** The same, all of them where one identifier is there more than once; oldest first, as far as the server dates them. */
export async function findAllOwn<T extends ResultType>(
  session: FhirSession, type: T, patientId: string, ids: readonly string[],
  { system, since, withdrawn = false, thorough = false }: {
    readonly system: string; readonly since?: string; readonly withdrawn?: boolean
    /** Where identifiers find nothing at all, the patient's results are looked through: some servers take no comma between identifiers. */
    readonly thorough?: boolean
  }
): Promise<ReadonlyMap<string, readonly Result<T>[]>> {
  const capabilities = await session.capabilities()
  const byPatient = ofThePatient(capabilities, type, patientId, { ...(since ? { since } : {}) })
  const byIdentifier = capabilities.canSearch(type, 'identifier') ? [chunks(ids, TOKENS).map((some) => ({ identifier: some.map((id) => `${system}|${id}`).join(',') }))] : []
  if (ids.length === 0) return new Map()
  const listed = await searchInOneWay(session, type, [...byIdentifier, ...byPatient])
  const found = (thorough && listed.length === 0 && ids.length > 1 && byIdentifier.length > 0 ? await searchInOneWay(session, type, byPatient) : listed) as unknown as readonly Result<T>[]
  const idOf = (one: Result<T>) => one.identifier?.find((identifier) => identifier.system === system)?.value ?? ''
  const mine = found.filter((one) => isOf(session.tenant, one.subject?.reference, patientId) && ids.includes(idOf(one)) && (withdrawn || one.status !== 'entered-in-error'))
  return Map.groupBy([...new Map(mine.map((one) => [one.id, one])).values()].sort(olderFirst), idOf)
}

/** The patient's results since a day; last by our categories, for servers that want a category beside the patient (Epic). */
export function ofThePatient(
  capabilities: Capabilities, type: ResultType, patientId: string, { since, codes = [] }: { readonly since?: string; readonly codes?: readonly string[] }
): SearchWays {
  const may = (name: string) => capabilities.canSearch(type, name)
  if (!may('patient')) return []
  const patient = { patient: patientId, ...(since && may('date') ? { date: `ge${since}` } : {}) }
  const narrower = codes.length > 0 && may('code') ? { ...patient, code: codes.join(',') } : patient
  return [[narrower], ...(may('category') ? [[{ ...patient, category: CATEGORIES[type] }]] : [])]
}

const tokensOf = (...codes: readonly string[]) => codes.map(statusTerm).map(({ system, code }) => `${system}|${code}`).join(',')
/** Under what our results stand, the AI's and what clinicians sign. */
const CATEGORIES: Readonly<Record<ResultType, string>> = { Observation: tokensOf('imaging', 'exam'), DiagnosticReport: tokensOf('IMG') }

function olderFirst(one: Observation | DiagnosticReport, other: Observation | DiagnosticReport): number {
  const [a = '', b = ''] = [one.meta?.lastUpdated, other.meta?.lastUpdated]
  return a.localeCompare(b) || (one.id ?? '').localeCompare(other.id ?? '')
}

export function chunks<T>(values: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, index) => values.slice(index * size, (index + 1) * size))
}

/** For `since`: in no time zone is a result of then effective earlier. A date that cannot be read stays as it is. */
export function dayBefore(dateTime: string): string {
  const time = Date.parse(dateTime)
  return Number.isNaN(time) ? dateTime : new Date(time - 86_400_000).toISOString().slice(0, 10)
}
