import { setTimeout as wait } from 'node:timers/promises'
import type { Bundle, BundleEntry } from 'fhir/r4.js'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { mayBeMinor } from '../joints/adult.ts'
import { askTogether } from './ask-together.ts'
import { outcomesOf } from './bundle-outcomes.ts'
import type { Capabilities } from './capabilities.ts'
import { outgoingFaults } from './invariants.ts'
import { look, lookAlike } from './look-up.ts'
import { TOKENS } from './own-observations.ts'
import { withReferences } from './resources/inner-references.ts'
import { createEntry, inWritingOrder, ownQuery } from './resources/screening-bundle.ts'
import type { ScreeningResource, ScreeningResources } from './resources/screening-resources.ts'
import { isGranted } from './scopes.ts'
import type { FhirSession } from './session.ts'
import { isNotOffered } from './transport.ts'
import { noteIndex, verify } from './verify-written.ts'
import { isKeptFor } from './whose.ts'
import {
  ambiguous, LATE_MS, missing, ourId, record, resolver, wrongPatient, type Found, type Settling, type WriteLedger, type WriteOptions, type Writer
} from './write-state.ts'

export type { Settling, WriteLedger, WriteOptions } from './write-state.ts'

export interface Written {
  /** References this call wrote or, after an unknown outcome, found written: `Type/id`. */
  readonly written: readonly string[]
  readonly alreadyThere: number
}

/**
 * Writes one screening, once in effect, by the strongest means `/metadata` offers (specs/reliability.md section 3). What is
 * there already, by our ledger or by the server's own account, is not sent again; after an unknown outcome the server is
 * asked before anyone sends again. It is written when the record shows it, not when the server said so. Calling it again
 * continues where the last call stopped.
 *
 * Throws ERR_WRONG_PATIENT, ERR_PATIENT_MINOR, ERR_PHOTO_UNREACHABLE (photo gone or entered in error), ERR_LEASE_LOST, ERR_EHR_REFUSED,
 * ERR_WRITE_AMBIGUOUS (look again later), ERR_EHR_*.
 */
export async function writeScreening(session: FhirSession, resources: ScreeningResources, options: WriteOptions): Promise<Written> {
  refuseFaults(resources)
  await checkSources(session, resources, options)
  const capabilities = await session.capabilities()
  const wanted = inWritingOrder(resources).filter(({ resourceType }) => capabilities.can(resourceType, 'create') && mayWrite(session, resourceType))
  const why = unwritable(capabilities)
  if (why) throw new ScreeningError('ERR_EHR_REFUSED', why)

  const writer: Writer = { session, resources, options, capabilities, wanted, places: new Map(), inDoubt: [], unasked: new Set(), seen: new Map(), before: new Set() }
  const unanswered = await options.ledger.unanswered(wanted.map(ourId))
  await lookUp(writer)
  await settle(writer, unanswered)
  writer.before = new Set(writer.places.keys())
  for (let refusals = 0; missing(writer).length > 0;) {
    try {
      await send(writer)
    } catch (cause) {
      if (cause instanceof Overtaken) continue
      // With another token the same may be allowed; and some refuse what they have done.
      if (isScreeningError(cause) && cause.code === 'ERR_EHR_UNAUTHORIZED' && refusals++ === 0) await lookUp(writer)
      else await readBack(writer, cause)
    }
  }
  await point(writer, 'before-verify')
  await verify(writer, looksMs(options))
  const written = [...writer.places].flatMap(([id, reference]) => (writer.before.has(id) ? [] : [reference]))
  return { written, alreadyThere: writer.before.size }
}

/** What the registration was granted, where we know it: a model, report or Provenance that it may not write is left out, as where there is no such thing. */
function mayWrite({ tenant: { backend } }: FhirSession, type: ScreeningResource['resourceType']): boolean {
  return type === 'Observation' || backend === undefined || isGranted(backend.scope, type, 'c')
}

/** Why nothing can be written to this record; undefined where it can. Some vendors offer no Observation create at all. */
export function unwritable(capabilities: Capabilities): string | undefined {
  return capabilities.can('Observation', 'create') ? undefined : 'the record cannot be written: its /metadata does not list Observation create'
}

const SETTLING: Settling = { promptMs: 180_000, soonMs: 300_000, lateMs: LATE_MS }
/** Longer than this the worker does something else meanwhile. */
const WAIT_MS = 5_000
const LOOK_AGAIN_AT_MOST_MS = 60_000

/** When to look again for what was sent so long ago: soon at first, then later each time. */
function lookAgainMs(sentAgoMs: number): number {
  return Math.min(LOOK_AGAIN_AT_MOST_MS, Math.max(WAIT_MS, sentAgoMs))
}

function refuseFaults(resources: ScreeningResources): void {
  const faults = outgoingFaults(inWritingOrder(resources), resources.patientId)
  const [first] = faults
  if (faults.some((fault) => fault.includes('another patient')))
    throw wrongPatient('every resource to be about the patient of the screening')
  if (first !== undefined) throw new Error(`Expected resources that may be written but ${first}`)
}

/** Photo still there, of this patient, and not withdrawn, and the patient still one of their own, before the first byte is sent (I3). */
async function checkSources(unasked: FhirSession, { photos, patientId }: ScreeningResources, options: WriteOptions): Promise<void> {
  const sources = [...new Map(photos.map(({ resourceType, id }) => [`${resourceType}/${id}`, { type: resourceType, id }])).values()]
  const readsPatient = await mayReadPatient(unasked)
  const session = await askTogether(unasked, [...sources, ...readsPatient ? [{ type: 'Patient' as const, id: patientId }] : []])
  for (const { type, id } of sources) {
    const photo = await session.read(type, id).catch(goneMeanwhile)
    if (photo.status === 'entered-in-error')
      throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected a valid photo but it is entered in error; nothing was written')
    if (!await isKeptFor(session, photo, patientId).catch(goneMeanwhile))
      throw wrongPatient('a photo of the patient of the screening')
  }
  if (readsPatient) await checkPatient(session, patientId, options)
}

function goneMeanwhile(cause: unknown): never {
  if (!isScreeningError(cause) || cause.code !== 'ERR_NOT_FOUND') throw cause
  throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected the photo in the record but it is gone; nothing was written', { cause })
}

/**
 * A patient whose record was merged into another's, or deleted, gets no results: they would be filed where nobody looks, or with
 * somebody else. Nor does a child. A 404 may mean that we may not read it, and a 410 is believed when it is said at every look.
 */
async function checkPatient(session: FhirSession, patientId: string, options: WriteOptions): Promise<void> {
  const { today = new Date().toISOString().slice(0, 10) } = options
  for (const delayMs of [0, ...looksMs(options)]) {
    await wait(delayMs)
    try {
      const { link, birthDate } = await session.read('Patient', patientId)
      if (mayBeMinor(birthDate, today)) throw new ScreeningError('ERR_PATIENT_MINOR', 'Expected a patient of 18 years or more but the record says otherwise; nothing was written')
      if (link?.some(({ type }) => type === 'replaced-by')) throw wrongPatient('a patient of its own but the record says that another one replaces it')
      return
    } catch (error) {
      if (!isScreeningError(error) || !NOT_FOR_US.includes(error.code)) throw error
      if (error.answered !== 410) return
    }
  }
  throw new ScreeningError('ERR_NOT_FOUND', 'Expected the patient in the record but it was deleted; nothing was written')
}

async function mayReadPatient(session: FhirSession): Promise<boolean> {
  return isGranted(session.tenant.backend?.scope, 'Patient', 'r') && (await session.capabilities()).can('Patient', 'read')
}

const NOT_FOR_US: readonly ErrorCode[] = ['ERR_NOT_FOUND', 'ERR_EHR_UNAUTHORIZED', 'ERR_EHR_REFUSED']

/** Ledger first; then the server, for what the ledger does not know. */
async function lookUp(writer: Writer): Promise<void> {
  const { options, wanted, places } = writer
  for (const [id, reference] of await options.ledger.places(wanted.map(ourId))) places.set(id, reference)
  await lookForTraces(writer)
}

/**
 * Where neither ledger nor announcement knows of any write, there is seldom anything to be found: an EHR that applied a card's
 * suggestion itself, a ledger that was erased. One search over the first joints and the count, which are written first and last, shows
 * whether there is; only then everything is asked for.
 */
async function lookForTraces(writer: Writer): Promise<void> {
  const { options, wanted, resources, places } = writer
  const patients = wanted.filter(({ resourceType }) => resourceType !== 'Device')
  const isNew = patients.every((one) => !places.has(ourId(one))) && (await options.ledger.unanswered(patients.map(ourId))).size === 0
  if (!isNew) return record(writer, placesIn(await look(writer, missing(writer))))
  const traces = [...resources.observations.slice(0, TOKENS - 1), resources.count].filter((one) => wanted.includes(one))
  const found = await look(writer, [...missing(writer).filter(({ resourceType }) => resourceType === 'Device'), ...traces])
  await record(writer, placesIn(found))
  if (traces.some((one) => places.has(ourId(one)))) await record(writer, placesIn(await look(writer, missing(writer))))
}

/**
 * What an earlier try, or another worker, sent without learning the outcome (a kill, a power cut): nothing is sent again
 * before the server has had the time to show it, and never where it cannot be asked at all; a person must look there.
 */
async function settle(writer: Writer, unanswered: ReadonlyMap<string, number>): Promise<void> {
  const lost = () => missing(writer).filter((one) => unanswered.has(ourId(one)))
  if (lost().length === 0) return
  if (lost().some((one) => writer.unasked.has(ourId(one))))
    throw ambiguous(`to ask for ${lost().length} resources that were sent earlier but this server cannot be searched for them`)
  const { ledger, settling } = writer.options
  const settlingMs = await settleMs(ledger, settling)
  leaveOutModel(writer, lost(), unanswered, settlingMs)
  if (lost().length === 0) return
  const sentAgoMs = Math.min(...lost().map((one) => unanswered.get(ourId(one)) ?? 0))
  const leftMs = settlingMs - sentAgoMs
  if (leftMs > WAIT_MS)
    throw ambiguous(`an outcome of ${lost().length} resources that were sent a moment ago`, { retryAt: Date.now() + Math.min(leftMs, lookAgainMs(sentAgoMs)) })
  if (leftMs > 0) {
    await wait(leftMs)
    await lookUp(writer)
  }
  // A server that keeps no identifiers, or takes but one of them in a question, shows nothing to who asks for them.
  await record(writer, placesIn(await lookAlike(writer, lost())))
  // Where the count lies its Provenance can be found.
  await record(writer, placesIn(await look(writer, lost().filter(({ resourceType }) => resourceType === 'Provenance'))))
}

/** The model is everybody's: nobody waits for word of it. Until there is some, results name it by its digest. */
function leaveOutModel(writer: Writer, lost: readonly ScreeningResource[], unanswered: ReadonlyMap<string, number>, settlingMs: number): void {
  const inDoubt = lost.every(({ resourceType }) => resourceType === 'Device') && lost.every((one) => (unanswered.get(ourId(one)) ?? 0) < settlingMs)
  if (inDoubt) writer.wanted = writer.wanted.filter(({ resourceType }) => resourceType !== 'Device')
}

/** How long what was sent without a known outcome may still show in this record. */
export async function settleMs(ledger: Pick<WriteLedger, 'showsAtOnce' | 'showsSoon'>, { promptMs, lateMs, soonMs = lateMs }: Settling = SETTLING): Promise<number> {
  if (await ledger.showsAtOnce()) return promptMs
  return await ledger.showsSoon() ? soonMs : lateMs
}

type Way = 'own-transaction' | 'own-batch' | 'own-single' | 'transaction' | 'batch' | 'single'

/** What a server lists and then does not offer. */
interface Refusals {
  /** Until when each is left out, by performance.now(). */
  readonly ways: Map<Way, number>
  /** Conditions on single creates. */
  conditions: boolean
  /** Entries of the smallest transaction that it did not take with conditions. */
  conditionsFrom: number
}

/** A refusal may be a gateway's, and what is left out is stronger than what is done instead: now and then it is tried again. */
const LEFT_OUT_MS = 60_000

/** Known as long as the server's statement is kept. */
const refusedWays = new WeakMap<Capabilities, Refusals>()

function refusedBy({ capabilities }: Writer): Refusals {
  const known = refusedWays.get(capabilities) ?? { ways: new Map(), conditions: false, conditionsFrom: Infinity }
  refusedWays.set(capabilities, known)
  return known
}

/**
 * Strongest first: PUT to our ids, transaction, batch by stages, single writes by stages. A way that the server lists and answers with
 * “no such thing” (404, 405, 501), or ids of ours that it does not take, is left out for a while once the next one worked; before that is tried the
 * record is asked, as some do what they deny.
 */
async function send(writer: Writer): Promise<void> {
  const ways = waysTo(writer)
  const known = refusedBy(writer).ways
  for (const [index, way] of ways.entries()) {
    try {
      await sendBy(writer, way)
      for (const refused of ways.slice(0, index)) known.set(refused, performance.now() + LEFT_OUT_MS)
      return
    } catch (cause) {
      if (!(isNotOffered(cause) || (way.startsWith('own-') && isRefusedAsItIs(cause))) || index === ways.length - 1) throw cause
      await lookUp(writer)
      if (missing(writer).length === 0) return
    }
  }
}

/** Some list update-as-create and take no ids but their own (400, 422): the same without an id tells whether that was all. */
function isRefusedAsItIs(cause: unknown): boolean {
  return isScreeningError(cause) && cause.code === 'ERR_EHR_REFUSED' && (cause.answered === 400 || cause.answered === 422)
}

function waysTo(writer: Writer): readonly Way[] {
  const { capabilities } = writer
  const ownIds = missing(writer).every(({ resourceType }) => capabilities.updateCreate(resourceType))
  const kinds = [...capabilities.transaction ? ['transaction'] as const : [], ...capabilities.batch ? ['batch'] as const : [], 'single' as const]
  const ways: readonly Way[] = [...ownIds ? kinds.map((kind) => `own-${kind}` as const) : [], ...kinds]
  const offered = ways.filter((way) => (refusedBy(writer).ways.get(way) ?? 0) < performance.now())
  return offered.length > 0 ? offered : ['single']
}

async function sendBy(writer: Writer, way: Way): Promise<void> {
  const ownIds = way.startsWith('own-')
  if (way.endsWith('transaction')) return sendTransaction(writer, ownIds)
  for (const stage of stages(missing(writer))) {
    if (way.endsWith('batch') && stage.length > 1) await sendBatch(writer, stage, ownIds)
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
 * refuse the whole; then it goes without them, as one piece, under the lease and another look-up, and so do others as large.
 */
async function sendTransaction(writer: Writer, ownIds: boolean): Promise<void> {
  const sending = missing(writer)
  const known = refusedBy(writer)
  const conditions = !ownIds && sending.length < known.conditionsFrom && sending.some((one) => conditional(writer, one) !== undefined)
  try {
    await sendWhole(writer, sending, ownIds, conditions)
  } catch (cause) {
    if (!conditions || !isScreeningError(cause) || cause.code !== 'ERR_EHR_REFUSED' || isNotOffered(cause)) throw cause
    await lookUp(writer)
    const left = missing(writer)
    if (left.length === 0) return
    await sendWhole(writer, left, ownIds, false)
    known.conditionsFrom = sending.length
  }
}

async function sendWhole(writer: Writer, sending: readonly ScreeningResource[], ownIds: boolean, conditions: boolean): Promise<void> {
  const inside = new Set(sending.map(ourId))
  const bundle = bundleOf(writer, sending, { ownIds, conditions }, (id) =>
    inside.has(id) ? (ownIds ? undefined : `urn:uuid:${id}`) : writer.places.get(id))
  await announce(writer, 'before-transaction', sending, ownIds)
  const answer = await sent(writer, sending, writer.session.transaction(bundle))
  await point(writer, 'after-transaction')
  await judge(writer, sending, answer)
}

async function sendBatch(writer: Writer, stage: readonly ScreeningResource[], ownIds: boolean): Promise<void> {
  const bundle = bundleOf(writer, stage, { ownIds, conditions: true }, (id) => writer.places.get(id))
  await announce(writer, 'before-batch', stage, ownIds)
  const answer = await sent(writer, stage, writer.session.batch(bundle))
  await point(writer, 'after-batch')
  await judge(writer, stage, answer)
}

async function sendOne(writer: Writer, one: ScreeningResource, ownIds: boolean): Promise<void> {
  const body = withReferences(one, resolver(writer, (id) => writer.places.get(id)))
  const { id: _ours, ...unnamed } = body
  const query = refusedBy(writer).conditions ? undefined : conditional(writer, one)
  const create = async (ifNoneExist: string | undefined) => {
    await announce(writer, 'before-write', [one], ownIds)
    return sent(writer, [one], ownIds ? writer.session.update(body) : writer.session.create(unnamed, ifNoneExist ? { ifNoneExist } : {}))
  }
  const reference = await create(query).catch(async (cause: unknown) => {
    if (!query || ownIds || !isScreeningError(cause) || cause.code !== 'ERR_EHR_REFUSED' || isNotOffered(cause)) throw cause
    // It has one already, whether or not its search shows it yet.
    if (cause.answered === 304) throw ambiguous('to find what the record has already', { cause })
    await lookUp(writer)
    const there = writer.places.get(ourId(one))
    if (there) return there
    const placed = await create(undefined)
    refusedBy(writer).conditions = true
    return placed
  })
  await point(writer, 'after-write')
  await record(writer, [[ourId(one), reference]])
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

function conditional({ capabilities }: Writer, one: ScreeningResource): string | undefined {
  return capabilities.conditionalCreate(one.resourceType) ? ownQuery(one) : undefined
}

/** Each entry on its own. Successes are recorded before a refusal is raised. */
async function judge(writer: Writer, sent: readonly ScreeningResource[], answer: Bundle): Promise<void> {
  const outcomes = outcomesOf(sent, answer).map((outcome, at) => ({ ...outcome, id: ourId(sent[at] as ScreeningResource) }))
  const refused = outcomes.flatMap((one) => (one.kind === 'refused' ? [one] : []))
  for (const { id } of refused) await writer.options.ledger.refused([id])
  await record(writer, outcomes.flatMap((one) => (one.kind === 'written' ? [[one.id, one.reference] as const] : [])))
  if (outcomes.some(({ kind }) => kind === 'unknown')) throw ambiguous('an outcome for every entry')
  if (refused[0])
    throw new ScreeningError('ERR_EHR_REFUSED', `Expected every resource to be accepted but one was answered ${refused[0].status}`, { answered: refused[0].status })
}

/**
 * After an unknown outcome: ask until everything that was under way is found, then the rest may be sent. What is not found
 * stays unknown and ends this call, as an empty look right after a write is no proof of absence. How long it stays so depends on
 * whether the server shows at once what it writes: what it took a moment before, in this call, tells that of a server we do not know.
 */
async function readBack(writer: Writer, cause: unknown): Promise<void> {
  if (!isScreeningError(cause) || cause.code !== 'ERR_WRITE_AMBIGUOUS') throw cause
  const lost = () => writer.inDoubt.filter((one) => !writer.places.has(ourId(one)))
  const { retryAt } = cause
  if (retryAt !== undefined && retryAt > Date.now()) throw ambiguous('to ask for the outcome of a write but not before its time', { cause, retryAt })
  const { places, before, seen } = writer
  const fresh = writer.wanted.map((one) => [one, ourId(one)] as const).flatMap(([one, id]) => places.has(id) && !before.has(id) && !seen.has(id) ? [one] : [])
  for (const [time, delay] of looksMs(writer.options).entries()) {
    await wait(delay)
    await point(writer, 'read-back')
    const found = await look(writer, time === 0 ? [...missing(writer), ...fresh] : missing(writer)).catch(passOver)
    if (time === 0 && found) await noteIndex(writer, fresh, new Map(found.map((one) => [one.id, one])))
    await record(writer, placesIn(found ?? []))
    if (lost().length === 0) return
  }
  throw ambiguous(`${writer.inDoubt.length} written resources but ${lost().length} were not found`, { cause })
}

function looksMs({ readBackDelaysMs = [0, 1_000, 5_000] }: WriteOptions): readonly number[] {
  return readBackDelaysMs
}

function placesIn(found: readonly Found[]): readonly [string, string][] {
  return found.map(({ id, reference }) => [id, reference])
}

/** A server that cannot be asked now is asked again at the next look; a wrong patient is not passed over. */
function passOver(error: unknown): undefined {
  if (isScreeningError(error) && (error.code === 'ERR_EHR_UNREACHABLE' || error.code === 'ERR_EHR_ANSWER')) return undefined
  throw error
}

/** A place where a crash test may stop us. */
async function point(writer: Writer, name: string): Promise<void> {
  await writer.options.failpoint?.(name)
}

/** Nothing was sent: the model, which every screening names, lies in the record since a moment ago. */
class Overtaken extends Error {}

/** Before a send: word of it is kept, unless it may be repeated freely, and the screening must still be ours. Throws Overtaken, ERR_WRITE_AMBIGUOUS. */
async function announce(writer: Writer, name: string, sending: readonly ScreeningResource[], repeatable: boolean): Promise<void> {
  writer.inDoubt = sending
  const { ledger, settling } = writer.options
  if (!repeatable && !(await ledger.sending(sending.map(ourId), await settleMs(ledger, settling)))) {
    const left = missing(writer).length
    await lookUp(writer)
    if (missing(writer).length < left) throw new Overtaken()
    throw ambiguous('to be the only one who sends this but it was sent a moment ago', { retryAt: Date.now() + 1_000 })
  }
  await point(writer, name)
  await writer.options.fence()
}

/** A refusal, or a request that never left, is an outcome too. */
async function sent<T>(writer: Writer, sending: readonly ScreeningResource[], answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (isScreeningError(error) && NOTHING_DONE.includes(error.code)) await writer.options.ledger.refused(sending.map(ourId))
    throw error
  }
}

/** Where a write may have happened the session says ERR_WRITE_AMBIGUOUS. */
const NOTHING_DONE: readonly ErrorCode[] = [
  'ERR_EHR_REFUSED', 'ERR_EHR_UNAUTHORIZED', 'ERR_EHR_UNREACHABLE', 'ERR_CONFLICT', 'ERR_NOT_FOUND'
]
