import { setTimeout as wait } from 'node:timers/promises'
import type { Bundle, BundleEntry, FhirResource, Reference } from 'fhir/r4.js'
import { isScreeningError, ScreeningError } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import { aiTerm } from './codes.ts'
import { outgoingFaults } from './invariants.ts'
import { isOf } from './photo-sources.ts'
import { withReferences, type Resolved } from './resources/inner-references.ts'
import { createEntry, identifierOf, identifierQuery, inWritingOrder, logical } from './resources/screening-bundle.ts'
import type { ScreeningResource, ScreeningResources } from './resources/screening-resources.ts'
import { referenceIn, type FhirSession } from './session.ts'

/** What we wrote, kept by us: no EHR can be trusted to find it again (specs/conformance.md section 5, point 3). */
export interface WriteLedger {
  /** The reference that this deterministic id was written as. */
  has(identifier: string): Promise<string | undefined>
  record(identifier: string, reference: string): Promise<void>
}

export interface WriteOptions {
  readonly ledger: WriteLedger
  /** Called immediately before each send; throws ERR_LEASE_LOST when another worker took over. */
  fence(): Promise<void>
  /** Named points for crash tests. */
  readonly failpoint?: (name: string) => void | Promise<void>
  /** Waits before each look after an unknown outcome: servers index late (specs/reliability.md section 7). */
  readonly readBackDelaysMs?: readonly number[]
}

export interface Written {
  /** References this call wrote or, after an unknown outcome, found written: `Type/id`. */
  readonly written: readonly string[]
  readonly alreadyThere: number
}

/**
 * Writes one screening, once in effect, by the strongest means `/metadata` offers (specs/reliability.md section 3). What is
 * there already, by our ledger or by the server's own account, is not sent again; after an unknown outcome the server is
 * asked before anyone sends again. Calling it again continues where the last call stopped.
 *
 * Throws ERR_WRONG_PATIENT, ERR_PHOTO_UNREACHABLE (photo gone or entered in error), ERR_LEASE_LOST, ERR_EHR_REFUSED,
 * ERR_WRITE_AMBIGUOUS (look again later), ERR_EHR_*.
 */
export async function writeScreening(session: FhirSession, resources: ScreeningResources, options: WriteOptions): Promise<Written> {
  refuseFaults(resources)
  await checkPhotos(session, resources)
  const capabilities = await session.capabilities()
  const wanted = inWritingOrder(resources).filter(({ resourceType }) => capabilities.can(resourceType, 'create'))
  const why = unwritable(capabilities)
  if (why) throw new ScreeningError('ERR_EHR_REFUSED', why)

  const writer: Writer = { session, resources, options, capabilities, wanted, places: new Map(), inDoubt: [] }
  await lookUp(writer)
  const before = new Set(writer.places.keys())
  while (missing(writer).length > 0) await send(writer).catch((cause: unknown) => readBack(writer, cause))
  const written = [...writer.places].flatMap(([id, reference]) => (before.has(id) ? [] : [reference]))
  return { written, alreadyThere: before.size }
}

/** Why nothing can be written to this record; undefined where it can. Some vendors offer no Observation create at all. */
export function unwritable(capabilities: Capabilities): string | undefined {
  return capabilities.can('Observation', 'create') ? undefined : 'the record cannot be written: its /metadata does not list Observation create'
}

interface Writer {
  readonly session: FhirSession
  readonly resources: ScreeningResources
  readonly options: WriteOptions
  readonly capabilities: Capabilities
  readonly wanted: readonly ScreeningResource[]
  /** Where each of our resources lies in the record: deterministic id → `Type/id`. */
  readonly places: Map<string, string>
  /** What the send under way carries. */
  inDoubt: readonly ScreeningResource[]
}

function wrongPatient(expected: string): ScreeningError {
  return new ScreeningError('ERR_WRONG_PATIENT', `Expected ${expected}; nothing was written`)
}

function missing({ wanted, places }: Writer): readonly ScreeningResource[] {
  return wanted.filter((one) => !places.has(ourId(one)))
}

function refuseFaults(resources: ScreeningResources): void {
  const faults = outgoingFaults(inWritingOrder(resources), resources.patientId)
  const [first] = faults
  if (faults.some((fault) => fault.includes('another patient')))
    throw wrongPatient('every resource to be about the patient of the screening')
  if (first !== undefined) throw new Error(`Expected resources that may be written but ${first}`)
}

/** Photo still there, of this patient, and not withdrawn, before the first byte is sent (I3). */
async function checkPhotos(session: FhirSession, { photos, patientId }: ScreeningResources): Promise<void> {
  for (const { resourceType, id } of photos) {
    const photo = await session.read(resourceType, id).catch((cause: unknown) => {
      if (!isScreeningError(cause) || cause.code !== 'ERR_NOT_FOUND') throw cause
      throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected the photo in the record but it is gone; nothing was written', { cause })
    })
    if (photo.status === 'entered-in-error')
      throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected a valid photo but it is entered in error; nothing was written')
    if (!isOf(photo.subject?.reference, patientId))
      throw wrongPatient('a photo of the patient of the screening')
  }
}

/** Ledger first; then the server, for what the ledger does not know. */
async function lookUp(writer: Writer): Promise<void> {
  const { options, wanted, places } = writer
  for (const one of wanted) {
    const reference = await options.ledger.has(ourId(one))
    if (reference) places.set(ourId(one), reference)
  }
  for (const found of await findOnServer(writer, missing(writer))) await record(writer, ...found)
}

/** `[our id, reference]` of those the server has: by identifier, or by patient, code and date with identifiers compared by us. */
async function findOnServer(writer: Writer, looked: readonly ScreeningResource[]): Promise<readonly (readonly [string, string])[]> {
  const found: (readonly [string, string])[] = []
  for (const type of ['Device', 'Observation', 'DiagnosticReport'] as const) {
    const ours = new Map(looked.filter((one) => one.resourceType === type).map((one) => [identifierKey(identifierOf(one)), one]))
    if (ours.size === 0) continue
    for (const parameters of searches(writer, type, [...ours.values()])) {
      for (const one of await writer.session.search(type, parameters)) {
        const match = (one.identifier ?? []).map((identifier) => ours.get(identifierKey(identifier))).find(Boolean)
        if (!match) continue
        refuseOther(one, writer.resources.patientId)
        found.push([ourId(match), `${type}/${one.id}`])
      }
    }
  }
  const provenance = looked.find(({ resourceType }) => resourceType === 'Provenance')
  const target = writer.places.get(writer.resources.count.id ?? '') ?? found.find(([id]) => id === writer.resources.count.id)?.[1]
  if (provenance && target && writer.capabilities.canSearch('Provenance', 'target')) {
    const ai = aiTerm('AIAST').code
    const there = (await writer.session.search('Provenance', { target }))
      .find(({ reason }) => reason?.some(({ coding }) => coding?.some(({ code }) => code === ai)))
    if (there) found.push([ourId(provenance), `Provenance/${there.id}`])
  }
  return found
}

function searches(
  { capabilities, resources }: Writer, type: 'Device' | 'Observation' | 'DiagnosticReport', ours: readonly ScreeningResource[]
): readonly Record<string, string>[] {
  const token = (system: string | undefined, value: string | undefined) => `${system}|${value}`
  if (capabilities.canSearch(type, 'identifier')) {
    const tokens = ours.map((one) => token(identifierOf(one)?.system, identifierOf(one)?.value))
    return chunks([...new Set(tokens)], 8).map((some) => ({ identifier: some.join(',') }))
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

function refuseOther(found: FhirResource, patientId: string): void {
  if (found.resourceType !== 'Observation' && found.resourceType !== 'DiagnosticReport') return
  if (!isOf(found.subject?.reference, patientId))
    throw wrongPatient('our earlier result to be about this patient')
}

/** Strongest first: PUT to our ids, transaction, batch by stages, single writes by stages. */
async function send(writer: Writer): Promise<void> {
  const { capabilities } = writer
  const ownIds = missing(writer).every(({ resourceType }) => capabilities.updateCreate(resourceType))
  if (capabilities.transaction) return sendTransaction(writer, ownIds)
  for (const stage of stages(missing(writer))) {
    if (capabilities.batch && stage.length > 1) await sendBatch(writer, stage, ownIds)
    else for (const one of stage) await sendOne(writer, one, ownIds)
  }
}

/** Joints before the count, the count before the report, the report before Provenance: nothing dangles when it stops halfway. */
function stages(resources: readonly ScreeningResource[]): readonly (readonly ScreeningResource[])[] {
  const stage = (one: ScreeningResource) => one.resourceType === 'Device' ? 0
    : one.resourceType === 'Observation' ? (one.hasMember ? 2 : 1) : one.resourceType === 'DiagnosticReport' ? 3 : 4
  return [0, 1, 2, 3, 4].map((number) => resources.filter((one) => stage(one) === number)).filter(({ length }) => length > 0)
}

/**
 * With conditions where the server has them. Some take conditions only in small transactions (Medplum: eight entries) and
 * refuse the whole; then it goes without them, as one piece, under the lease and the look-up that came before.
 */
async function sendTransaction(writer: Writer, ownIds: boolean): Promise<void> {
  const sending = missing(writer)
  const conditions = !ownIds && sending.some((one) => conditional(writer, one) !== undefined)
  try {
    await sendWhole(writer, sending, ownIds, conditions)
  } catch (cause) {
    if (!conditions || !isScreeningError(cause) || cause.code !== 'ERR_EHR_REFUSED') throw cause
    await sendWhole(writer, missing(writer), ownIds, false)
  }
}

async function sendWhole(writer: Writer, sending: readonly ScreeningResource[], ownIds: boolean, conditions: boolean): Promise<void> {
  const inside = new Set(sending.map(ourId))
  const bundle = bundleOf(writer, sending, { ownIds, conditions }, (id) =>
    inside.has(id) ? (ownIds ? undefined : `urn:uuid:${id}`) : writer.places.get(id))
  await point(writer, 'before-transaction', sending)
  const answer = await writer.session.transaction(bundle)
  await point(writer, 'after-transaction')
  await judge(writer, sending, answer)
}

async function sendBatch(writer: Writer, stage: readonly ScreeningResource[], ownIds: boolean): Promise<void> {
  const bundle = bundleOf(writer, stage, { ownIds, conditions: true }, (id) => writer.places.get(id))
  await point(writer, 'before-batch', stage)
  const answer = await writer.session.batch(bundle)
  await point(writer, 'after-batch')
  await judge(writer, stage, answer)
}

async function sendOne(writer: Writer, one: ScreeningResource, ownIds: boolean): Promise<void> {
  const body = withReferences(one, resolver(writer, (id) => writer.places.get(id)))
  const { id: _ours, ...unnamed } = body
  const query = conditional(writer, one)
  await point(writer, 'before-write', [one])
  const reference = ownIds
    ? await writer.session.update(body)
    : await writer.session.create(unnamed, query ? { ifNoneExist: query } : {})
  await point(writer, 'after-write')
  await record(writer, ourId(one), reference)
}

function bundleOf(
  writer: Writer, sending: readonly ScreeningResource[], how: { readonly ownIds: boolean; readonly conditions: boolean },
  place: (id: string) => string | undefined
): Bundle {
  const resolve = resolver(writer, place)
  const put = (one: ScreeningResource): BundleEntry => ({
    fullUrl: `${writer.session.tenant.fhirBase}/${one.resourceType}/${one.id}`,
    resource: withReferences(one, resolve),
    request: { method: 'PUT', url: `${one.resourceType}/${one.id}` }
  })
  const post = (one: ScreeningResource) => createEntry(one, how.conditions ? conditional(writer, one) : undefined, resolve)
  return { resourceType: 'Bundle', type: 'transaction', entry: sending.map(how.ownIds ? put : post) }
}

/**
 * Inner references on their way out: where it lies, or will lie in this bundle; a Device that the server cannot hold is named
 * by its identifier; what is not written at all (a report where none can be created) is not referred to.
 */
function resolver(writer: Writer, place: (id: string) => string | undefined) {
  const wanted = new Map(writer.wanted.map((one) => [ourId(one), one]))
  const ours = new Set(inWritingOrder(writer.resources).map(ourId))
  return (type: string, id: string, was: Reference): Resolved | undefined => {
    if (!ours.has(id)) return undefined
    const reference = place(id)
    if (reference) return { ...was, reference }
    if (wanted.has(id)) return undefined
    return type === 'Device' ? logical(writer.resources, was) : 'drop'
  }
}

function conditional({ capabilities }: Writer, one: ScreeningResource): string | undefined {
  return capabilities.conditionalCreate(one.resourceType) ? identifierQuery(one) : undefined
}

/**
 * Each entry on its own, by position after the length was checked; entries that answer with another type are not trusted.
 * Successes are recorded before a refusal is raised.
 */
async function judge(writer: Writer, sent: readonly ScreeningResource[], answer: Bundle): Promise<void> {
  const entries = answer.entry ?? []
  if (entries.length !== sent.length)
    throw new ScreeningError('ERR_WRITE_AMBIGUOUS', `Expected ${sent.length} outcomes but received ${entries.length}`)
  let refused: string | undefined
  let unknown = false
  for (const [index, one] of sent.entries()) {
    const { status = '' } = entries[index]?.response ?? {}
    const reference = placed(one, entries[index])
    if (/^2/.test(status) && reference) await record(writer, ourId(one), reference)
    else if (/^4/.test(status)) refused ??= status.slice(0, 3)
    else unknown = true
  }
  if (unknown) throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected an outcome for every entry')
  if (refused !== undefined)
    throw new ScreeningError('ERR_EHR_REFUSED', `Expected every resource to be accepted but one was answered ${refused}`)
}

function placed(one: ScreeningResource, entry: BundleEntry | undefined): string | undefined {
  const type = one.resourceType
  const fromLocation = entry?.response?.location ? referenceIn(entry.response.location, type) : undefined
  const { resourceType, id } = entry?.resource ?? {}
  return fromLocation ?? (resourceType === type && id ? `${type}/${id}` : undefined)
}

/**
 * After an unknown outcome: ask until everything that was under way is found, then the rest may be sent. What is not found
 * stays unknown and ends this call, as an empty look right after a write is no proof of absence.
 */
async function readBack(writer: Writer, cause: unknown): Promise<void> {
  if (!isScreeningError(cause) || cause.code !== 'ERR_WRITE_AMBIGUOUS') throw cause
  const lost = () => writer.inDoubt.filter((one) => !writer.places.has(ourId(one)))
  for (const delay of writer.options.readBackDelaysMs ?? [0, 1_000, 5_000]) {
    await wait(delay)
    await point(writer, 'read-back')
    for (const found of await findOnServer(writer, missing(writer)).catch(passOver)) await record(writer, ...found)
    if (lost().length === 0) return
  }
  const words = `Expected ${writer.inDoubt.length} written resources but ${lost().length} were not found`
  throw new ScreeningError('ERR_WRITE_AMBIGUOUS', words, { cause })
}

/** A server that cannot be asked now is asked again at the next look; a wrong patient is not passed over. */
function passOver(error: unknown): [] {
  if (isScreeningError(error) && (error.code === 'ERR_EHR_UNREACHABLE' || error.code === 'ERR_EHR_ANSWER')) return []
  throw error
}

async function record({ options, places }: Writer, id: string, reference: string): Promise<void> {
  places.set(id, reference)
  await options.ledger.record(id, reference)
}

/** A place where a crash test may stop us; with something to send it also asks whether the screening is still ours. */
async function point(writer: Writer, name: string, sending?: readonly ScreeningResource[]): Promise<void> {
  await writer.options.failpoint?.(name)
  if (!sending) return
  await writer.options.fence()
  writer.inDoubt = sending
}

function ourId({ id }: ScreeningResource): string {
  if (id === undefined) throw new Error('Expected a deterministic id on every resource')
  return id
}

function identifierKey(identifier: { system?: string | undefined; value?: string | undefined } | undefined): string {
  return `${identifier?.system}|${identifier?.value}`
}

function dayBefore(day: string): string {
  const time = Date.parse(day)
  return Number.isNaN(time) ? day : new Date(time - 86_400_000).toISOString().slice(0, 10)
}

function chunks<T>(values: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, index) => values.slice(index * size, (index + 1) * size))
}
