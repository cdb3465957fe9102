import type { FhirResource } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import { aiTerm } from './codes.ts'
import { chunks, TOKENS } from './own-observations.ts'
import { isOf } from './references.ts'
import { identifierOf } from './resources/screening-bundle.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { identifierKey, ourId, wrongPatient, type Found, type Writer } from './write-state.ts'

/** Those the server has: by identifier, or by patient, code and date with identifiers compared by us. Throws ERR_WRONG_PATIENT, ERR_EHR_*. */
export async function look(writer: Writer, looked: readonly ScreeningResource[]): Promise<readonly Found[]> {
  const found: Found[] = []
  for (const type of ['Device', 'Observation', 'DiagnosticReport'] as const) {
    const ours = new Map(looked.filter((one) => one.resourceType === type).map((one) => [identifierKey(identifierOf(one)), one]))
    if (ours.size === 0) continue
    const queries = searches(writer, type, [...ours.values()])
    if (queries.length === 0) for (const one of ours.values()) writer.unasked.add(ourId(one))
    for (const parameters of queries) {
      for (const one of await asked(writer, type, parameters, [...ours.values()])) {
        const match = (one.identifier ?? []).map((identifier) => ours.get(identifierKey(identifier))).find(Boolean)
        if (!match) continue
        refuseOther(writer, one)
        found.push(foundAs(match, one))
      }
    }
  }
  const provenance = looked.find(({ resourceType }) => resourceType === 'Provenance')
  if (provenance && !writer.capabilities.canSearch('Provenance', 'target')) writer.unasked.add(ourId(provenance))
  const target = writer.places.get(writer.resources.count.id ?? '') ?? found.find(({ id }) => id === writer.resources.count.id)?.reference
  if (provenance && target && writer.capabilities.canSearch('Provenance', 'target')) {
    const ai = aiTerm('AIAST').code
    // A server that did not take a transaction as one left references as they were on their way.
    const unresolved = found.some(({ refersTo }) => [...refersTo].some((one) => one.startsWith('urn:uuid:')))
    const candidates = await writer.session.search('Provenance', { target })
    const more = candidates.length === 0 && unresolved ? await writer.session.search('Provenance', { target: `urn:uuid:${writer.resources.count.id}` }) : []
    const there = [...candidates, ...more].find(({ reason }) => reason?.some(({ coding }) => coding?.some(({ code }) => code === ai)))
    if (there) found.push(foundAs(provenance, there))
  }
  for (const one of found) writer.seen.set(one.id, one)
  return found
}

export function foundAs(ours: ScreeningResource, there: FhirResource): Found {
  const refersTo = new Set([...JSON.stringify(there).matchAll(/"reference":"([^"]+)"/g)].map(([, reference]) => reference ?? ''))
  const { versionId } = there.meta ?? {}
  const status = 'status' in there && typeof there.status === 'string' ? there.status : undefined
  return {
    id: ourId(ours), reference: `${there.resourceType}/${there.id}`, refersTo,
    ...(versionId ? { version: versionId } : {}), ...(status === undefined ? {} : { status })
  }
}

/** A server may refuse a search that it does not rule out: then it cannot be asked. */
async function asked<T extends 'Device' | 'Observation' | 'DiagnosticReport'>(
  writer: Writer, type: T, parameters: Readonly<Record<string, string>>, ours: readonly ScreeningResource[]
) {
  try {
    return await writer.session.search(type, parameters)
  } catch (error) {
    if (!isScreeningError(error) || error.code !== 'ERR_EHR_REFUSED') throw error
    for (const one of ours) writer.unasked.add(ourId(one))
    return []
  }
}

function searches(
  { capabilities, resources }: Writer, type: 'Device' | 'Observation' | 'DiagnosticReport', ours: readonly ScreeningResource[]
): readonly Record<string, string>[] {
  const token = (system: string | undefined, value: string | undefined) => `${system}|${value}`
  if (capabilities.canSearch(type, 'identifier')) {
    const tokens = ours.map((one) => token(identifierOf(one)?.system, identifierOf(one)?.value))
    return chunks([...new Set(tokens)], TOKENS).map((some) => ({ identifier: some.join(',') }))
  }
  if (type === 'Device' || !capabilities.canSearch(type, 'patient')) return []
  const codings = ours.flatMap((one) => 'code' in one ? (one.code?.coding ?? []) : [])
  const codes = [...new Set(codings.map(({ system, code }) => token(system, code)))]
  const day = resources.count.effectiveDateTime?.slice(0, 10)
  return [{
    patient: resources.patientId,
    ...(capabilities.canSearch(type, 'code') ? { code: codes.join(',') } : {}),
    ...(day && capabilities.canSearch(type, 'date') ? { date: `ge${dayBefore(day)}` } : {})
  }]
}

export function refuseOther({ session, resources }: Writer, found: FhirResource): void {
  if (found.resourceType !== 'Observation' && found.resourceType !== 'DiagnosticReport') return
  if (!isOf(session.tenant, found.subject?.reference, resources.patientId))
    throw wrongPatient('our earlier result to be about this patient')
}

function dayBefore(day: string): string {
  const time = Date.parse(day)
  return Number.isNaN(time) ? day : new Date(time - 86_400_000).toISOString().slice(0, 10)
}
