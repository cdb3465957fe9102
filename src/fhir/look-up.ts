import type { DiagnosticReport, FhirResource, Observation, Provenance } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import type { Question } from './ask-together.ts'
import { aiTerm, JOINT_SYSTEM, MODEL_SHA256, REPORT_ID, RESULT_ID } from './codes.ts'
import { chunks, dayBefore, ofThePatient, TOKENS } from './own-observations.ts'
import { isOf, referencesIn, relativeTo } from './references.ts'
import { identifierOf } from './resources/screening-bundle.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { searchInOneWay, waysLeft, type SearchWays } from './search-ways.ts'
import { isKeptFor } from './whose.ts'
import { identifierKey, ourId, wrongPatient, type Found, type Writer } from './write-state.ts'

const ASKED_FOR = ['Device', 'Observation', 'DiagnosticReport'] as const

/** What `look` asks first of all, for whoever asks it together. */
export function questionsOf(writer: Writer, looked: readonly ScreeningResource[]): readonly Question[] {
  const results = ASKED_FOR.flatMap((type) => {
    const ours = looked.filter((one) => one.resourceType === type)
    const [first = []] = ours.length === 0 ? [] : waysLeft(writer.capabilities, type, searches(writer, type, ours))
    return first.map((parameters) => ({ type, parameters }))
  })
  const target = writer.places.get(writer.resources.count.id ?? '')
  const asksProvenance = looked.some(({ resourceType }) => resourceType === 'Provenance') && writer.capabilities.canSearch('Provenance', 'target')
  return [...results, ...target && asksProvenance ? [{ type: 'Provenance' as const, parameters: { target } }] : []]
}

/** Those the server has: by identifier, or by patient, code and date with identifiers compared by us. Throws ERR_WRONG_PATIENT, ERR_EHR_*. */
export async function look(writer: Writer, looked: readonly ScreeningResource[]): Promise<readonly Found[]> {
  const found: Found[] = []
  for (const type of ASKED_FOR) {
    const ours = new Map(looked.filter((one) => one.resourceType === type).map((one) => [identifierKey(identifierOf(one)), one]))
    if (ours.size === 0) continue
    const matches: { readonly ours: ScreeningResource; readonly there: FhirResource }[] = []
    for (const there of await asked(writer, type, searches(writer, type, [...ours.values()]), [...ours.values()])) {
      const match = identifiersOf(there).map((identifier) => ours.get(identifierKey(identifier))).find(Boolean)
      if (match) matches.push({ ours: match, there })
    }
    for (const same of Map.groupBy(matches, ({ ours: one }) => one).values()) found.push(...await ofThisPatient(writer, same))
  }
  const provenance = looked.find(({ resourceType }) => resourceType === 'Provenance')
  if (provenance && !writer.capabilities.canSearch('Provenance', 'target')) writer.unasked.add(ourId(provenance))
  // What the record shows goes before what an answer of it claimed.
  const target = found.find(({ id }) => id === writer.resources.count.id)?.reference ?? writer.places.get(writer.resources.count.id ?? '')
  for (const one of found) writer.seen.set(one.id, one)
  if (provenance && target && writer.capabilities.canSearch('Provenance', 'target')) {
    // A server that did not take a transaction as one left references as they were on their way.
    const unresolved = found.some(({ refersTo }) => [...refersTo].some((one) => one.startsWith('urn:uuid:')))
    const candidates = await writer.session.search('Provenance', { target })
    const more = candidates.length === 0 && unresolved ? await writer.session.search('Provenance', { target: `urn:uuid:${writer.resources.count.id}` }) : []
    const there = [...candidates, ...more].find((one) => isOurProvenance(writer, one))
    if (there) {
      const ours = foundAs(provenance, there)
      writer.seen.set(ours.id, ours)
      found.push(ours)
    }
  }
  return found
}

/** Of those that carry one identifier of ours, the ones of this patient; where there are only others', that is the matter of a person. */
async function ofThisPatient(writer: Writer, same: readonly { readonly ours: ScreeningResource; readonly there: FhirResource }[]): Promise<readonly Found[]> {
  const { session, resources: { patientId } } = writer
  const mine = same.filter(({ there }) => !hasSubject(there) || isOf(session.tenant, there.subject?.reference, patientId))
  // A copy that somebody filed under another patient says nothing of ours.
  if (mine.length > 0) return mine.map(({ ours, there }) => foundAs(ours, there))
  for (const { there } of same) {
    try {
      await refuseOther(writer, there)
    } catch (error) {
      // Gone since the search: then it is not there.
      if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND') throw error
    }
  }
  return []
}

function hasSubject(resource: FhirResource): resource is Observation | DiagnosticReport {
  return resource.resourceType === 'Observation' || resource.resourceType === 'DiagnosticReport'
}

/**
 * A Provenance carries no identifier in R4. Ours is made by an AI and names our photos, or results that the record has shown to be ours:
 * where an answer merely claimed a place, somebody else's may lie.
 */
export function isOurProvenance({ session: { tenant }, resources, seen }: Writer, { target, entity, reason }: Provenance): boolean {
  const ai = aiTerm('AIAST').code
  if (!reason?.some(({ coding }) => coding?.some(({ code }) => code === ai))) return false
  const ours = new Set([
    ...[...seen.values()].map(({ reference }) => reference), ...resources.photos.map(({ resourceType, id }) => `${resourceType}/${id}`),
    ...[...resources.observations, resources.count, resources.report].flatMap(({ resourceType, id }) => [`urn:uuid:${id}`, `${resourceType}/${id}`])
  ])
  const named = [...target, ...(entity ?? []).map(({ what }) => what)]
  return named.some(({ reference }) => reference !== undefined && ours.has(relativeTo(tenant, reference)))
}

/**
 * The patient's results of that kind and day, compared by us: by the identifier that they kept, without one by what they say, since some
 * servers keep none. `issued` is the moment of this very result, so nobody else's says the same of the same joint. Throws ERR_EHR_*.
 */
export async function lookAlike(writer: Writer, looked: readonly ScreeningResource[]): Promise<readonly Found[]> {
  const { session, resources } = writer
  const found: Found[] = []
  for (const type of ['Observation', 'DiagnosticReport'] as const) {
    const ours = looked.filter((one) => one.resourceType === type)
    const ways = alike(writer, type, ours)
    if (ours.length === 0 || ways.length === 0) continue
    const there = (await asked(writer, type, ways, [])).filter((one) => isOf(session.tenant, one.subject?.reference, resources.patientId))
    // What is known as one of ours is no other one.
    const taken = new Set(writer.places.values())
    for (const one of ours) {
      const key = identifierKey(identifierOf(one))
      const free = there.filter(({ id }) => !taken.has(`${type}/${id}`))
      const alikes = free.filter((candidate) => keptIdentifiers(candidate).length === 0 && saysTheSame(one, candidate))
      // Some find nothing by several identifiers at once, or by any, and keep them all the same.
      const same = there.find((candidate) => keptIdentifiers(candidate).some((kept) => identifierKey(kept) === key)) ??
        alikes.find((candidate) => siteOf(candidate)?.text === siteOf(one)?.text) ?? alikes[0]
      if (!same) continue
      taken.add(`${type}/${same.id}`)
      found.push(foundAs(one, same))
    }
  }
  for (const one of found) writer.seen.set(one.id, one)
  return found
}

/** What a server kept of our own identifiers. */
export function keptIdentifiers(there: object): readonly { readonly system?: string; readonly value?: string }[] {
  return identifiersOf(there).filter(({ system }) => system !== undefined && OUR_SYSTEMS.includes(system))
}

/** A server may answer in another shape than R4's list: then it has none that we can read. */
function identifiersOf(there: object): readonly { readonly system?: string; readonly value?: string }[] {
  return 'identifier' in there && Array.isArray(there.identifier) ? there.identifier.filter((one): one is object => typeof one === 'object' && one !== null) : []
}

const OUR_SYSTEMS: readonly string[] = [RESULT_ID, REPORT_ID, MODEL_SHA256]

function saysTheSame(ours: ScreeningResource, there: object): boolean {
  return likeness(ours, there, 'issued') === true && likeness(ours, there, 'code') === true && likeness(ours, there, 'bodySite') !== false && !isAnotherJoint(ours, there)
}

const siteOf = (resource: object) => (resource as Pick<Observation, 'bodySite'>).bodySite

/** The joints of both hands share words and codes (SNOMED CT names no side): our own codes, where both have them, tell them apart. */
function isAnotherJoint(ours: object, there: object): boolean {
  const [mine, theirs] = [ours, there].map((one) => siteOf(one)?.coding?.find(({ system }) => system === JOINT_SYSTEM)?.code)
  return mine !== undefined && theirs !== undefined && mine !== theirs
}

/**
 * Whether something without an identifier of ours can be what we wrote: a server may drop or round what it likes, but something that
 * agrees in nothing is something else, whatever a Location said.
 */
export function mayBeOurs(ours: ScreeningResource, there: object): boolean {
  const said = (['code', 'issued', 'effectiveDateTime', 'modelNumber', 'deviceName'] as const).map((member) => likeness(ours, there, member))
  return !isAnotherJoint(ours, there) && (said.includes(true) || said.every((one) => one === undefined))
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
  const refersTo = new Set(referencesIn(there))
  const { versionId } = there.meta ?? {}
  const status = 'status' in there && typeof there.status === 'string' ? there.status : undefined
  return {
    id: ourId(ours), reference: `${there.resourceType}/${there.id}`, refersTo,
    ...(versionId ? { version: versionId } : {}), ...(status === undefined ? {} : { status })
  }
}

/** A server may refuse a search that it does not rule out: where it refuses every way, it cannot be asked. */
async function asked<T extends 'Device' | 'Observation' | 'DiagnosticReport'>(writer: Writer, type: T, ways: SearchWays, ours: readonly ScreeningResource[]) {
  const cannot = () => {
    for (const one of ours) writer.unasked.add(ourId(one))
    return []
  }
  if (ways.length === 0) return cannot()
  try {
    return await searchInOneWay(writer.session, type, ways)
  } catch (error) {
    // The model is everybody's, and a registration may not be allowed to look for it.
    const refused = isScreeningError(error) && (error.code === 'ERR_EHR_REFUSED' || (type === 'Device' && error.code === 'ERR_EHR_UNAUTHORIZED'))
    if (!refused) throw error
    return cannot()
  }
}

/** By identifier; among the patient's results of the same kind and day where that is not offered, or refused as it stands. */
function searches(writer: Writer, type: 'Device' | 'Observation' | 'DiagnosticReport', ours: readonly ScreeningResource[]): SearchWays {
  const tokens = ours.map((one) => token(identifierOf(one)?.system, identifierOf(one)?.value))
  return [
    ...writer.capabilities.canSearch(type, 'identifier') ? [chunks([...new Set(tokens)], TOKENS).map((some) => ({ identifier: some.join(',') }))] : [],
    ...type === 'Device' ? [] : alike(writer, type, ours)
  ]
}

/** The patient's results of the same kind and day. */
function alike({ capabilities, resources }: Writer, type: 'Observation' | 'DiagnosticReport', ours: readonly ScreeningResource[]): SearchWays {
  const codings = ours.flatMap((one) => 'code' in one ? (one.code?.coding ?? []) : [])
  const codes = [...new Set(codings.map(({ system, code }) => token(system, code)))]
  const day = resources.count.effectiveDateTime?.slice(0, 10)
  return ofThePatient(capabilities, type, resources.patientId, { codes, ...(day ? { since: dayBefore(day) } : {}) })
}

function token(system: string | undefined, value: string | undefined): string {
  return `${system}|${value}`
}

/** Throws ERR_WRONG_PATIENT when what we wrote is kept for another patient, ERR_EHR_ANSWER when the record is not of one mind. */
export async function refuseOther({ session, resources }: Writer, found: FhirResource): Promise<void> {
  if (hasSubject(found) && !await isKeptFor(session, found, resources.patientId))
    throw wrongPatient('our earlier result to be about this patient')
}
