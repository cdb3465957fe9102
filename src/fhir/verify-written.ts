import { setTimeout as wait } from 'node:timers/promises'
import type { FhirResource } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import { askTogether } from './ask-together.ts'
import { foundAs, isOurProvenance, keptIdentifiers, look, mayBeOurs, questionsOf, refuseOther } from './look-up.ts'
import { readIfThere } from './read-if-there.ts'
import { relativeTo } from './references.ts'
import { withReferences } from './resources/inner-references.ts'
import { identifierOf } from './resources/screening-bundle.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { ambiguous, identifierKey, ourId, record, resolver, type Found, type Writer } from './write-state.ts'

/**
 * Asks the record for everything that is believed written and that it has not shown yet: a server may name another id than it
 * used, answer in another order, or answer without having written at all. What lies elsewhere is noted; what refers to
 * nothing is put right. Throws ERR_WRITE_AMBIGUOUS when something is not there; it is looked for again before it is written again.
 */
export async function verify(writer: Writer, delaysMs: readonly number[]): Promise<void> {
  const { before } = writer
  // The model is shared by all patients, and was looked for when it was written.
  const unseen = writer.wanted.filter((one) => !writer.seen.has(ourId(one)) && !(one.resourceType === 'Device' && before.has(ourId(one))))
  const shown = new Map<string, Found>()
  const absent = () => unseen.filter((one) => !shown.has(ourId(one)))
  for (const [time, delayMs] of delaysMs.entries()) {
    await wait(delayMs)
    // What is not shown at once is asked for again one by one, and not from any memory of the server's.
    const session = time === 0 ? await askTogether(writer.session, questionsOf(writer, absent())) : writer.session
    for (const one of await look({ ...writer, session }, absent())) shown.set(one.id, one)
    if (time === 0) await noteIndex(writer, unseen.filter((one) => !before.has(ourId(one))), shown)
    for (const one of absent()) {
      const found = await read(writer, one)
      if (found) shown.set(found.id, found)
    }
    if (absent().length === 0) break
  }
  const nowhere = new Set(writer.wanted.map((one) => `urn:uuid:${ourId(one)}`))
  for (const { id, reference } of shown.values()) {
    const said = writer.places.get(id)
    if (said === reference) continue
    nowhere.add(said ?? '')
    await record(writer, [[id, reference]])
  }
  for (const one of absent()) {
    writer.places.delete(ourId(one))
    await writer.options.ledger.disbelieve(ourId(one))
  }
  if (absent().length > 0) throw ambiguous(`${writer.wanted.length} resources in the record but ${absent().length} are not where the server said`)
  for (const reference of writer.places.values()) nowhere.delete(reference)
  for (const one of writer.wanted) {
    const refersTo = [...writer.seen.get(ourId(one))?.refersTo ?? []]
    const others = othersAmong(writer, one, refersTo)
    if (refersTo.some((reference) => nowhere.has(reference)) || (others.length > 0 && !await staysAsItWas(writer, one, others))) await putRight(writer, one)
  }
}

/** Count, report and Provenance refer to results of this set and to no others, whoever put the others there. */
function othersAmong(writer: Writer, one: ScreeningResource, refersTo: readonly string[]): readonly string[] {
  const { tenant } = writer.session
  const meant = new Set([...writer.places.values()])
  const isResult = (reference: string) => /^(Observation|DiagnosticReport)\//.test(reference)
  if (one.resourceType === 'Observation' && one.hasMember === undefined) return []
  return refersTo.map((reference) => relativeTo(tenant, reference)).filter((reference) => isResult(reference) && !meant.has(reference))
}

/** What was written before some of the results were lost and written anew, in a record that takes no update of it, refers to what is gone and to nobody else's. */
async function staysAsItWas({ session, capabilities, before }: Writer, one: ScreeningResource, others: readonly string[]): Promise<boolean> {
  if (capabilities.can(one.resourceType, 'update') || !before.has(ourId(one))) return false
  for (const [type, id = ''] of others.map((reference) => reference.split('/')))
    if (await readIfThere(session, type as 'Observation' | 'DiagnosticReport', id)) return false
  return true
}

/** How long an empty look means nothing depends on whether this server shows at once what was written. */
export async function noteIndex({ options, unasked }: Writer, fresh: readonly ScreeningResource[], shown: ReadonlyMap<string, Found>): Promise<void> {
  const askable = fresh.filter((one) => one.resourceType === 'Observation' && !unasked.has(ourId(one)))
  if (askable.length > 0) await options.ledger.showed(askable.every((one) => shown.has(ourId(one))))
}

/**
 * By its reference: what a search does not find yet, or cannot find. A type that cannot be read is believed. An answer in another
 * order gives one of ours the place of another: then it is that other one that was found.
 */
async function read(writer: Writer, one: ScreeningResource): Promise<Found | undefined> {
  const reference = writer.places.get(ourId(one)) ?? ''
  if (!writer.capabilities.can(one.resourceType, 'read')) return { id: ourId(one), reference, refersTo: new Set() }
  try {
    const there = await writer.session.read(one.resourceType, reference.split('/')[1] ?? '')
    const whose = whichOfOurs(writer, one, there)
    if (!whose) return undefined
    await refuseOther(writer, there)
    const found = foundAs(whose, there)
    writer.seen.set(found.id, found)
    return found
  } catch (error) {
    if (isScreeningError(error) && error.code === 'ERR_NOT_FOUND') return undefined
    throw error
  }
}

/** By the identifier it kept; without one, the one that was expected there, unless it agrees with that in nothing. */
function whichOfOurs(writer: Writer, expected: ScreeningResource, there: FhirResource): ScreeningResource | undefined {
  const { wanted } = writer
  if (there.resourceType === 'Provenance') return isOurProvenance(writer, there) ? expected : undefined
  const kept = keptIdentifiers(there).map(identifierKey)
  if (kept.length === 0) return mayBeOurs(expected, there) ? expected : undefined
  return wanted.find((one) => identifierOf(one) !== undefined && kept.includes(identifierKey(identifierOf(one))))
}

/** On the version that was seen, so that nobody's change is undone; what somebody has judged by now stays as it is. */
async function putRight(writer: Writer, one: ScreeningResource): Promise<void> {
  const { version, status } = writer.seen.get(ourId(one)) ?? {}
  if (status !== undefined && 'status' in one && status !== one.status) return
  const [, id] = (writer.places.get(ourId(one)) ?? '').split('/')
  if (!id || !writer.capabilities.can(one.resourceType, 'update'))
    throw ambiguous('references that lead somewhere but the server left some open and takes no updates')
  await writer.options.fence()
  await writer.session.update({ ...withReferences(one, resolver(writer, (ours) => writer.places.get(ours))), id }, version ? { ifMatch: version } : {})
}
