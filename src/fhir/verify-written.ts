import { isScreeningError } from '../errors.ts'
import { foundAs, look, refuseOther } from './look-up.ts'
import { withReferences } from './resources/inner-references.ts'
import { identifierOf } from './resources/screening-bundle.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { ambiguous, identifierKey, ourId, record, resolver, type Found, type Writer } from './write-state.ts'

/**
 * Asks the record for everything that is believed written and that it has not shown yet: a server may name another id than it
 * used, answer in another order, or answer without having written at all. What lies elsewhere is noted; what refers to
 * nothing is put right. Throws ERR_WRITE_AMBIGUOUS when something is not there; the next call writes it.
 */
export async function verify(writer: Writer, before: ReadonlySet<string>): Promise<void> {
  // The model is shared by all patients, and was looked for when it was written.
  const unseen = writer.wanted.filter((one) => !writer.seen.has(ourId(one)) && !(one.resourceType === 'Device' && before.has(ourId(one))))
  const shown = new Map((await look(writer, unseen)).map((one) => [one.id, one]))
  const nowhere = new Set(writer.wanted.map((one) => `urn:uuid:${ourId(one)}`))
  let absent = 0
  for (const one of unseen) {
    const found = shown.get(ourId(one)) ?? await read(writer, one)
    if (!found) {
      absent++
      writer.places.delete(ourId(one))
      await writer.options.ledger.disbelieve(ourId(one))
    } else if (found.reference !== writer.places.get(found.id)) {
      nowhere.add(writer.places.get(found.id) ?? '')
      await record(writer, [[found.id, found.reference]])
    }
  }
  if (absent > 0) throw ambiguous(`${writer.wanted.length} resources in the record but ${absent} are not where the server said`)
  for (const reference of writer.places.values()) nowhere.delete(reference)
  for (const one of writer.wanted)
    if ([...writer.seen.get(ourId(one))?.refersTo ?? []].some((reference) => nowhere.has(reference))) await putRight(writer, one)
}

/** By its reference: what a search does not find yet, or cannot find. A type that cannot be read is believed. */
async function read(writer: Writer, one: ScreeningResource): Promise<Found | undefined> {
  const reference = writer.places.get(ourId(one)) ?? ''
  if (!writer.capabilities.can(one.resourceType, 'read')) return { id: ourId(one), reference, refersTo: new Set() }
  try {
    const there = await writer.session.read(one.resourceType, reference.split('/')[1] ?? '')
    if (!carriesOurIdentifier(one, there)) return undefined
    refuseOther(writer, there)
    const found = foundAs(one, there)
    writer.seen.set(found.id, found)
    return found
  } catch (error) {
    if (isScreeningError(error) && error.code === 'ERR_NOT_FOUND') return undefined
    throw error
  }
}

/** Some servers keep no identifier of ours; one that keeps another is another resource. */
function carriesOurIdentifier(one: ScreeningResource, there: object): boolean {
  const ours = identifierOf(one)
  const kept = 'identifier' in there && Array.isArray(there.identifier) ? there.identifier as { system?: string; value?: string }[] : []
  const sameSystem = kept.filter(({ system }) => system === ours?.system)
  return ours === undefined || sameSystem.length === 0 || sameSystem.some((identifier) => identifierKey(identifier) === identifierKey(ours))
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
