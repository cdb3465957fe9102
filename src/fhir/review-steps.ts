import { randomUUID } from 'node:crypto'
import type { Bundle, BundleEntry, Observation, Provenance } from 'fhir/r4.js'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { outcomesOf } from './bundle-outcomes.ts'
import { RESULT_ID } from './codes.ts'
import { withReferences } from './resources/inner-references.ts'
import { createEntry, identifierQuery } from './resources/screening-bundle.ts'
import type { FhirSession } from './session.ts'
import { saysOtherwise } from './signed-calls.ts'
import { tokenOf } from './standing-review.ts'
import { isNotOffered } from './transport.ts'

/** One Observation of a signature on its way into the record. Its references to others of the set carry our ids. */
export interface ReviewStep {
  /** Our id. */
  readonly ours: string
  readonly body: Observation
  /** What lies there: it is updated; undefined where nothing is. */
  readonly there?: Observation | undefined
  /** It says already what it shall say. */
  readonly done: boolean
  /** This signature says it, so that its Provenance is over it; one that another signature says is only referred to. */
  readonly signed: boolean
}

/** What stands in the transaction or after it: the Provenance over the places of all that this signature says. */
type ProvenanceOf = (places: readonly string[]) => Provenance

/**
 * Carries out the steps and then puts the Provenance over what this signature says: in one transaction where the record takes it, so that all of it is
 * there or nothing; else one by one in their order. Everything that is updated is read again before anything is sent, since some servers take
 * no note of If-Match (specs/conformance.md section 5, point 4). After a transaction that was refused `again` tells what is left, as some do what they
 * deny. Resolves with where each thing lies that this signature says. Throws ERR_CONFLICT when one of them has changed, ERR_WRITE_PARTIAL when the
 * record refused one after it had taken others, ERR_EHR_*, ERR_WRITE_AMBIGUOUS.
 */
export async function carryOut(
  session: FhirSession, steps: readonly ReviewStep[], provenanceOf: ProvenanceOf, again: () => Promise<readonly ReviewStep[]>
): Promise<readonly string[]> {
  const capabilities = await session.capabilities()
  if (!capabilities.transaction) return oneByOne(session, steps, provenanceOf)
  const conditions = capabilities.conditionalCreate('Observation') && steps.some(({ there, done }) => !there && !done)
  try {
    return await asOne(session, steps, provenanceOf, conditions)
  } catch (error) {
    if (isWithout(error)) return oneByOne(session, notFewer(steps, await again()), provenanceOf)
    if (!conditions || !isScreeningError(error) || error.code !== 'ERR_EHR_REFUSED') throw error
    // Some take conditions only in small transactions (Medplum: eight entries). What was signed meanwhile `again` has just seen.
    return asOne(session, notFewer(steps, await again()), provenanceOf, false)
  }
}

/** What lay there a moment ago does so still: a look that does not show it would have it written again. Throws ERR_EHR_ANSWER. */
function notFewer(before: readonly ReviewStep[], now: readonly ReviewStep[]): readonly ReviewStep[] {
  const lying = new Set(now.flatMap(({ ours, there }) => (there ? [ours] : [])))
  const unseen = before.filter(({ ours, there }) => there && !lying.has(ours))
  if (unseen.length === 0) return now
  throw new ScreeningError('ERR_EHR_ANSWER', `Expected to see again what the record showed a moment ago but ${unseen.length} of it are not there. Nothing more was written; sign again.`)
}

/** There are no transactions, or none for this sign-in: no SMART scope speaks of them. */
function isWithout(error: unknown): boolean {
  return isNotOffered(error) || (isScreeningError(error) && error.code === 'ERR_EHR_UNAUTHORIZED')
}

async function asOne(session: FhirSession, steps: readonly ReviewStep[], provenanceOf: ProvenanceOf, conditions: boolean): Promise<readonly string[]> {
  const open = steps.filter(({ done }) => !done)
  if (open.length === 0) return oneByOne(session, steps, provenanceOf)
  const versions = await versionsNow(session, open)
  const places = new Map(steps.map(({ ours, there }) => [ours, there ? referenceOf(there) : `urn:uuid:${ours}`] as const))
  const entries = open.map(({ ours, body, there }) => {
    const resource = bodyOf(body, places)
    return there ? updateEntry(session, { ...resource, id: there.id ?? '' }, versions.get(ours)) : createEntry({ ...resource, id: ours }, conditions ? queryOf(ours) : undefined)
  })
  const mayProve = (await session.capabilities()).can('Provenance', 'create')
  const all = mayProve ? [...entries, createEntry({ ...provenanceOf(placesOf(steps, places)), id: randomUUID() })] : entries
  const answer = await session.transaction({ resourceType: 'Bundle', type: 'transaction', entry: [...all] })
  const written = placesIn(answer, all, open)
  const now = new Map([...places, ...open.map(({ ours }, at) => [ours, written[at] ?? ''] as const)])
  const [provenance] = written.slice(open.length)
  if (conditions) {
    // Answered with 200 where 201 says that something was created (FHIR R4 http.html#ccreate).
    const met = open.filter(({ there }, at) => !there && !answer.entry?.[at]?.response?.status?.startsWith('201'))
    const foreign = await saidOtherwise(session, met, now)
    if (foreign.length > 0) {
      if (provenance) await withoutTargets(session, { ...provenanceOf(placesOf(steps, now)), id: provenance.split('/')[1] ?? '' }, foreign.map(({ ours }) => now.get(ours) ?? ''))
      throw metByAnother(foreign)
    }
  }
  return [...placesOf(steps, now), ...(provenance ? [provenance] : [])]
}

/**
 * Whose condition was met by what a colleague signed in the same instant, with another answer: theirs lies there, and ours was not written. The identifier
 * is the same for both of them, so that a joint never has two answers.
 */
async function saidOtherwise(session: FhirSession, met: readonly ReviewStep[], places: ReadonlyMap<string, string>): Promise<readonly ReviewStep[]> {
  const said = await Promise.all(met.map(async (step) => saysOtherwise(step.body, await session.read('Observation', places.get(step.ours)?.split('/')[1] ?? ''))))
  return met.filter((_step, at) => said[at])
}

/** Nobody has verified what a colleague says otherwise. A record that keeps our Provenance as it was written says so until somebody corrects it there. */
async function withoutTargets(session: FhirSession, provenance: Provenance & { readonly id: string }, foreign: readonly string[]): Promise<void> {
  const target = provenance.target.filter(({ reference }) => !foreign.includes(reference ?? ''))
  if (target.length === 0 || !(await session.capabilities()).can('Provenance', 'update')) return
  await session.update({ ...provenance, target }).catch((error: unknown) => { if (!isScreeningError(error)) throw error })
}

function metByAnother(foreign: readonly ReviewStep[]): ScreeningError {
  const names = foreign.map(({ body }) => body.bodySite?.text ?? body.code.text ?? 'a finding').join(', ')
  return new ScreeningError('ERR_WRITE_PARTIAL', `Someone signed another answer for ${names} in the same instant, and yours was not written; the rest is. Look at what stands before you sign again.`)
}

function updateEntry({ tenant }: FhirSession, resource: Observation, version: string | undefined): BundleEntry {
  return {
    fullUrl: `${tenant.fhirBase}/${referenceOf(resource)}`, resource,
    request: { method: 'PUT', url: referenceOf(resource), ...(version === undefined ? {} : { ifMatch: `W/"${version}"` }) }
  }
}

/** Some servers take a transaction for a batch: then what was taken stands, and signing again writes the rest. */
function placesIn(answer: Bundle, sent: readonly BundleEntry[], open: readonly ReviewStep[]): readonly string[] {
  const outcomes = outcomesOf(sent.map(({ resource }) => resource as Observation | Provenance), answer, open.map(({ there }) => there && referenceOf(there)))
  const written = outcomes.flatMap((one) => (one.kind === 'written' ? [one.reference] : []))
  if (outcomes.some(({ kind }) => kind === 'unknown')) throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected an outcome for every entry')
  const [refused] = outcomes.flatMap((one) => (one.kind === 'refused' ? [one.status] : []))
  if (refused === undefined) return written
  const conflict = refused === 409 || refused === 412
  const cause = new ScreeningError(conflict ? 'ERR_CONFLICT' : 'ERR_EHR_REFUSED', `Expected every resource to be accepted but one was answered ${refused}`, { answered: refused })
  throw written.length > 0 ? partly(cause, written.length, sent.length) : cause
}

async function oneByOne(session: FhirSession, steps: readonly ReviewStep[], provenanceOf: ProvenanceOf): Promise<readonly string[]> {
  const open = steps.filter(({ done }) => !done)
  const versions = await versionsNow(session, open)
  const places = new Map(steps.flatMap(({ ours, there }) => (there ? [[ours, referenceOf(there)] as const] : [])))
  const conditions = (await session.capabilities()).conditionalCreate('Observation')
  let sent = 0
  for (const { ours, body, there } of open) {
    const resource = bodyOf(body, places)
    const version = versions.get(ours)
    try {
      places.set(ours, there
        ? await session.update({ ...resource, id: there.id ?? '' }, version === undefined ? {} : { ifMatch: version })
        : await session.create(resource, conditions ? { ifNoneExist: queryOf(ours) } : {}))
    } catch (error) {
      throw sent > 0 ? partly(error, sent, open.length) : error
    }
    sent++
  }
  const foreign = conditions ? await saidOtherwise(session, open.filter(({ there }) => !there), places) : []
  if (foreign.length > 0) throw metByAnother(foreign)
  const said = placesOf(steps, places)
  return [...said, ...await writeProvenance(session, provenanceOf(said))]
}

/** How many of the resources of a signature the record holds. */
export interface Held { readonly there: number; readonly of: number }

/** Looks for a signature whose answer was lost: what it says, and its Provenance where the record keeps it and can be asked for it. Writes nothing. */
export async function heldOf(session: FhirSession, steps: readonly ReviewStep[], provenanceOf: ProvenanceOf): Promise<Held> {
  const signed = steps.filter((step) => step.signed)
  const there = signed.filter(({ done }) => done)
  const capabilities = await session.capabilities()
  if (signed.length === 0 || !capabilities.can('Provenance', 'create') || !capabilities.canSearch('Provenance', 'target')) return { there: there.length, of: signed.length }
  const places = new Map(there.map(({ ours, there: one }) => [ours, one ? referenceOf(one) : '']))
  const provenance = there.length === signed.length && await provenanceThere(session, provenanceOf(placesOf(steps, places)))
  return { there: there.length + (provenance ? 1 : 0), of: signed.length + 1 }
}

const placesOf = (steps: readonly ReviewStep[], places: ReadonlyMap<string, string>) => steps.flatMap(({ ours, signed }) => (signed ? [places.get(ours) ?? ''] : []))

/** Once for the same targets and time. Resolves with nothing where the record takes none. */
async function writeProvenance(session: FhirSession, provenance: Provenance): Promise<readonly string[]> {
  const capabilities = await session.capabilities()
  if (!capabilities.can('Provenance', 'create')) return []
  const existing = capabilities.canSearch('Provenance', 'target') ? await provenanceThere(session, provenance) : undefined
  return [existing ?? await session.create(provenance)]
}

async function provenanceThere(session: FhirSession, { target, recorded }: Provenance): Promise<string | undefined> {
  const found = await session.search('Provenance', { target: target[0]?.reference ?? '' })
  const existing = found.find((one) => Date.parse(one.recorded) === Date.parse(recorded) && target.every((wanted) => one.target.some(({ reference }) => reference === wanted.reference)))
  return existing && `Provenance/${existing.id}`
}

export const referenceOf = ({ id }: Observation): string => `Observation/${id}`

/** Inner references become the places the server gave; the id is the server's to give. */
export function bodyOf(observation: Observation, places: ReadonlyMap<string, string>): Observation {
  const { id: _ours, ...body } = withReferences(observation, (_type, id, was) => {
    const reference = places.get(id)
    return reference ? { ...was, reference } : undefined
  })
  return body
}

/** Of all that is updated, by our id. Throws ERR_CONFLICT where one is not any more what was seen. */
async function versionsNow(session: FhirSession, open: readonly ReviewStep[]): Promise<ReadonlyMap<string, string | undefined>> {
  return new Map(await Promise.all(open.flatMap(({ ours, there }) => (there ? [versionNow(session, ours, there)] : []))))
}

async function versionNow(session: FhirSession, ours: string, seen: Observation): Promise<readonly [string, string | undefined]> {
  const now = await session.read('Observation', seen.id ?? '')
  if (tokenOf(session, now) !== tokenOf(session, seen))
    throw new ScreeningError('ERR_CONFLICT', `Someone changed ${seen.bodySite?.text ?? seen.code.text ?? 'one of them'} just now. Nothing was written; reload to see it.`)
  return [ours, now.meta?.versionId]
}

const queryOf = (ours: string) => identifierQuery({ system: RESULT_ID, value: ours })

const REFUSALS: readonly ErrorCode[] = ['ERR_EHR_REFUSED', 'ERR_EHR_UNAUTHORIZED', 'ERR_EHR_UNREACHABLE', 'ERR_CONFLICT', 'ERR_NOT_FOUND', 'ERR_SESSION']

function partly(error: unknown, sent: number, of: number): unknown {
  if (!isScreeningError(error) || !REFUSALS.includes(error.code)) return error
  return new ScreeningError('ERR_WRITE_PARTIAL', `Expected ${of} resources to be written but the record took ${sent} and refused the next; sign again to write the rest`, { cause: error })
}
