import type { FhirResource } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import { aiTerm, MODEL_SHA256, REPORT_ID, RESULT_ID } from './codes.ts'
import { chunks, TOKENS } from './own-observations.ts'
import { isOf } from './references.ts'
import { identifierOf } from './resources/screening-bundle.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { isKeptFor } from './whose.ts'
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
        await refuseOther(writer, one)
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

/**
 * Those that lie there without an identifier of ours, by what they say: some servers keep none. `issued` is the moment of this very
 * result, so nobody else's says the same of the same joint. Throws ERR_EHR_*.
 */
export async function lookAlike(writer: Writer, looked: readonly ScreeningResource[]): Promise<readonly Found[]> {
  const { capabilities, session, resources } = writer
  const found: Found[] = []
  for (const type of ['Observation', 'DiagnosticReport'] as const) {
    const ours = looked.filter((one) => one.resourceType === type)
    if (ours.length === 0 || !capabilities.canSearch(type, 'patient')) continue
    const there = (await asked(writer, type, ofThePatient(writer, type, ours), [])).filter((one) =>
      isOf(session.tenant, one.subject?.reference, resources.patientId) && !keptIdentifiers(one).length)
    for (const one of ours) {
      const same = there.find((candidate) => saysTheSame(one, candidate))
      if (same) found.push(foundAs(one, same))
    }
  }
  for (const one of found) writer.seen.set(one.id, one)
  return found
}

/** What a server kept of our own identifiers. */
export function keptIdentifiers(there: object): readonly { readonly system?: string; readonly value?: string }[] {
  const kept = 'identifier' in there && Array.isArray(there.identifier) ? there.identifier as { system?: string; value?: string }[] : []
  return kept.filter(({ system }) => system !== undefined && OUR_SYSTEMS.includes(system))
}

const OUR_SYSTEMS: readonly string[] = [RESULT_ID, REPORT_ID, MODEL_SHA256]

function saysTheSame(ours: ScreeningResource, there: object): boolean {
  return likeness(ours, there, 'issued') === true && likeness(ours, there, 'code') === true && likeness(ours, there, 'bodySite') !== false
}

/**
 * Whether something without an identifier of ours can be what we wrote: a server may drop or round what it likes, but something that
 * agrees in nothing is something else, whatever a Location said.
 */
export function mayBeOurs(ours: ScreeningResource, there: object): boolean {
  if (ours.resourceType === 'Provenance') return true
  const said = (['code', 'issued', 'effectiveDateTime', 'modelNumber', 'deviceName'] as const).map((member) => likeness(ours, there, member))
  return said.includes(true) || said.every((one) => one === undefined)
}

/** Undefined where one of them does not say. Times to the second, as servers round; concepts by a coding or the words they share. */
function likeness(ours: object, there: object, member: string): boolean | undefined {
  const [a, b] = [ours, there].map((one) => (one as Record<string, unknown>)[member])
  if (a === undefined || b === undefined) return undefined
  if (typeof a === 'string' && typeof b === 'string') return a === b || Math.abs(Date.parse(a) - Date.parse(b)) < 1_000
  const [words, theirs] = [a, b].map(wordsOf)
  return words?.some((word) => theirs?.includes(word))
}

function wordsOf(value: unknown): readonly string[] {
  const { coding = [], text } = value as { coding?: readonly { system?: string; code?: string }[]; text?: string }
  const names = Array.isArray(value) ? (value as { name?: string }[]).map(({ name }) => name) : []
  return [...coding.map(({ system, code }) => `${system}|${code}`), text, ...names].filter((one) => one !== undefined)
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
  writer: Writer, type: 'Device' | 'Observation' | 'DiagnosticReport', ours: readonly ScreeningResource[]
): readonly Record<string, string>[] {
  const { capabilities } = writer
  if (capabilities.canSearch(type, 'identifier')) {
    const tokens = ours.map((one) => token(identifierOf(one)?.system, identifierOf(one)?.value))
    return chunks([...new Set(tokens)], TOKENS).map((some) => ({ identifier: some.join(',') }))
  }
  return type === 'Device' || !capabilities.canSearch(type, 'patient') ? [] : [ofThePatient(writer, type, ours)]
}

/** The patient's results of the same kind and day, for servers that cannot be asked by identifier. */
function ofThePatient(
  { capabilities, resources }: Writer, type: 'Observation' | 'DiagnosticReport', ours: readonly ScreeningResource[]
): Record<string, string> {
  const codings = ours.flatMap((one) => 'code' in one ? (one.code?.coding ?? []) : [])
  const codes = [...new Set(codings.map(({ system, code }) => token(system, code)))]
  const day = resources.count.effectiveDateTime?.slice(0, 10)
  return {
    patient: resources.patientId,
    ...(capabilities.canSearch(type, 'code') ? { code: codes.join(',') } : {}),
    ...(day && capabilities.canSearch(type, 'date') ? { date: `ge${dayBefore(day)}` } : {})
  }
}

function token(system: string | undefined, value: string | undefined): string {
  return `${system}|${value}`
}

/** Throws ERR_WRONG_PATIENT when what we wrote is kept for another patient, ERR_EHR_ANSWER when the record is not of one mind. */
export async function refuseOther({ session, resources }: Writer, found: FhirResource): Promise<void> {
  if (found.resourceType !== 'Observation' && found.resourceType !== 'DiagnosticReport') return
  if (!await isKeptFor(session, found, resources.patientId))
    throw wrongPatient('our earlier result to be about this patient')
}

function dayBefore(day: string): string {
  const time = Date.parse(day)
  return Number.isNaN(time) ? day : new Date(time - 86_400_000).toISOString().slice(0, 10)
}
