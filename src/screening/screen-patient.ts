import { setTimeout as wait } from 'node:timers/promises'
import type { Audit, AuditedEvent } from '../audit.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { isConsented } from '../fhir/consent.ts'
import { findHandPhotos, photoStanding, type HandPhoto } from '../fhir/photo-sources.ts'
import { readIfThere } from '../fhir/read-if-there.ts'
import { unwritable, writeScreening, type Settling } from '../fhir/record-writer.ts'
import { screeningResources } from '../fhir/resources/screening-resources.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import { handJointCount } from '../joints/hand-joint-count.ts'
import type { Failpoint } from './failpoint.ts'
import { MAX_ATTEMPTS, type Job, type Queue } from './queue.ts'
import { readVisit } from './read-visit.ts'
import type { Guard, ResultPlace, ResultStore } from './result-store.ts'
import { retireResults } from './retire-results.ts'
import type { Lease } from './lease.ts'
import { screeningInput, writtenIds } from './screening-input.ts'
import { photoName } from './screened-photo.ts'
import { isOlderModel } from './model-order.ts'
import type { PhotoReference, Screening } from './screening.ts'
import { dayOf, screeningId, visitKey, visitsOf, type Visit } from './visits.ts'

export type ScreenOutcome = { readonly kind: 'done' } | { readonly kind: 'refused'; readonly code: ErrorCode | 'no-photos' }

/** One leased patient and everything it takes. */
export interface Work {
  readonly job: Job
  readonly lease: Lease
  readonly queue: Queue
  readonly session: FhirSession
  readonly engine: InferenceEngine
  /** The site's own; without it nothing is written. */
  readonly calibration: Calibration | undefined
  readonly results: ResultStore
  readonly audit: Audit
  /** Aborted when the lease is lost or the process stops. */
  readonly signal: AbortSignal
  readonly now: () => Date
  readonly failpoint: Failpoint
  readonly readBackDelaysMs?: readonly number[]
  readonly settling?: Settling
}

/** A patient who comes weekly for years does not make the first screening long. */
const MAX_VISITS = 6

/**
 * Photos in the record → visits → one stored result per visit that has none yet → the newest written to the record where the
 * site allows it. Repeating it, at any point, continues where it stopped and makes nothing twice.
 *
 * An earlier visit whose photo cannot be fetched does not keep the others from being read; the failure is raised at the end, so that it is
 * looked for again, but not for ever: records purge old files and go on listing them.
 * Throws ERR_WRONG_PATIENT, ERR_PATIENT_MINOR, ERR_PHOTO_UNDATED, ERR_PHOTO_UNREACHABLE, ERR_LEASE_LOST, ERR_EHR_*, ERR_MODEL_*, ERR_ENGINE_BUSY,
 * ERR_WRITE_AMBIGUOUS, ERR_STORE.
 */
export async function screenPatient(work: Work): Promise<ScreenOutcome> {
  const { session, job } = work
  if (!await isConsented(session, job.patientId, work.now())) return withdrawAll(work, 'ERR_FORBIDDEN')
  const first = await photosNow(work)
  await work.failpoint('photos-found')
  // What left out a photo that is there may have left out others.
  const photos = await withdrawOrphans(work, first) ? await photosNow(work) : first
  await lookAtFormerPatients(work, photos)
  let late = await retireOld(work)
  if (photos.length === 0) return ended({ kind: 'refused', code: 'no-photos' }, late)
  const visits = visitsOf(photos, work.session.tenant.timeZone, work.now().getTime())
  if (visits.length === 0)
    throw new ScreeningError('ERR_PHOTO_UNDATED', `Expected a date on at least one of ${photos.length} photos but there is none`)

  let newest: Screening | undefined
  let unreachable: ScreeningError | undefined
  for (const [index, visit] of visits.slice(0, MAX_VISITS).entries()) {
    try {
      const screening = await screenVisit(work, visit)
      if (index > 0) continue
      newest = screening
      await write(work, screening)
      late = await retireOld(work)
    } catch (error) {
      if (!isScreeningError(error) || error.code !== 'ERR_PHOTO_UNREACHABLE') throw error
      unreachable ??= error
    }
  }
  if (unreachable && (!newest || job.parked < LOOKS_FOR_EARLIER)) throw unreachable
  const fault = newest && faultOf(newest)
  return ended(fault ? { kind: 'refused', code: fault } : { kind: 'done' }, late)
}

/** Where the newest visit is done. */
const LOOKS_FOR_EARLIER = 3
const LOOK_AGAIN_MS = 60_000

/** What is to be taken back and may show yet is looked for once more, until then. */
function ended(outcome: ScreenOutcome, late: number | undefined): ScreenOutcome {
  if (late === undefined) return outcome
  throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected an outcome of results that were sent a moment ago and are to be taken back', { retryAt: Math.min(late, Date.now() + LOOK_AGAIN_MS) })
}

/** That there is none is believed when it is said twice: one empty answer may be a replica's that is behind, or stand beside a gateway's refusal. */
async function photosNow({ session, results, job }: Work): Promise<readonly HandPhoto[]> {
  const handedOver = await results.handedOver(job.tenant, job.patientId)
  const photos = await findHandPhotos(session, job.patientId, handedOver)
  return photos.length > 0 ? photos : findHandPhotos(session, job.patientId, handedOver)
}

/** Why no photo of a visit could be decoded: the patient has to send others. Its result is stored all the same, without a finding. */
function faultOf({ photos }: Screening): ErrorCode | undefined {
  return photos.every(({ refused }) => refused !== undefined) ? photos[0]?.refused : undefined
}

/** The stored result of this photo set, or a new one. */
async function screenVisit(work: Work, visit: Visit): Promise<Screening> {
  const { engine, results, job } = work
  const calibration = work.calibration ?? engine.calibration
  const place: ResultPlace = { day: visit.day, photoSet: visitKey(visit, engine.model, calibration) }
  const known = await results.find(job.tenant, job.patientId, place)
  if (known) return known
  const standing = await results.ofDay(job.tenant, job.patientId, visit.day)
  if (standing && isOlderModel(engine.model, standing.model) && restsOn(standing, visit)) return ofNewerModel(standing)

  const { photos, findings } = await readVisit(visit, {
    ...work, calibration, lastTry: job.attempts >= MAX_ATTEMPTS, progress: () => progress(work),
    photoWasRead: (photo, code) => record(work, 'read-photo', referenceOf(photo), code)
  })
  await work.failpoint('inferred')
  const id = screeningId(job.tenant, job.patientId, place.photoSet)
  const screening = await results.save({
    id, tenant: job.tenant, patientId: job.patientId, photos, findings,
    count: handJointCount(findings, calibration.interval),
    model: engine.model,
    photoTime: timeOf(visit),
    completedAt: work.now().toISOString()
  }, place, writesAllowed(work) ? 'inferred' : 'done', guardOf(work))
  await progress(work)
  await work.failpoint('stored')
  await record(work, 'screen', `Screening/${id}`)
  return screening
}

/**
 * While a new version is rolled out, workers with the model before it are still at work: what the newer one said stays (I7). Only a
 * worker that has that model can go on writing it.
 */
function ofNewerModel(standing: Screening): Screening {
  if (standing.state === 'done') return standing
  throw new ScreeningError('ERR_NOT_READY', `Expected model ${standing.model.version}, which began this screening, but this worker has an older one`)
}

/** The day has no photo that the result was not read from, and none that changed. */
function restsOn({ photos, photoTime }: Screening, visit: Visit): boolean {
  const versionOf = (photo: PhotoReference) => `${photo.resourceType}/${photoName(photo)} ${photo.versionId ?? ''}`
  const there = new Set(visit.photos.map(versionOf))
  return photos.every((photo) => there.has(versionOf(photo))) && timeOf(visit) === photoTime
}

/** Our own preliminary results, only where the site decided so and calibrated the model for its photos. */
async function write(work: Work, stored: Screening): Promise<void> {
  const { session, results, job, calibration, failpoint } = work
  if (!calibration || !writesAllowed(work) || faultOf(stored)) return
  const screening = await freshEdition(work, stored)
  if (screening === stored && screening.state === 'done' && screening.written.length > 0) return
  const guard = guardOf(work)
  if (unwritable(await session.capabilities())) {
    if (await results.hasWritten(job.tenant))
      throw new ScreeningError('ERR_EHR_REFUSED', 'Expected a record that takes results, as it did before, but its /metadata lists no Observation create any more')
    if (screening.state !== 'done') await record(work, 'write', `Screening/${screening.id}`, 'ERR_EHR_REFUSED')
    return results.end(screening, guard)
  }
  if (!await isConsented(session, job.patientId, work.now()))
    throw new ScreeningError('ERR_FORBIDDEN', 'Expected consent to go on but it was withdrawn meanwhile; nothing was written')
  await results.begin(screening, guard)

  const ledger = results.ledger(job.tenant, job.patientId, job)
  const places = new Map<string, string>()
  const keep = (found: ReadonlyMap<string, string>) => {
    for (const [id, reference] of found) places.set(id, reference)
    return found
  }
  try {
    await writeScreening(session, screeningResources(screeningInput(screening, calibration)), {
      ledger: {
        ...ledger,
        async sending(ids, settleMs) {
          const first = work.job.attempts > 1 && (await ledger.unanswered(ids)).size === 0
          const kept = await ledger.sending(ids, settleMs)
          if (kept && first) await progress(work)
          return kept
        },
        places: async (ids) => keep(await ledger.places(ids)),
        async record(found) {
          await failpoint('before-ledger')
          await ledger.record(found)
          await progress(work)
          keep(found)
        }
      },
      fence: () => work.lease.hold(),
      failpoint,
      today: dayOf(work.now().toISOString(), session.tenant.timeZone),
      ...(work.readBackDelaysMs ? { readBackDelaysMs: work.readBackDelaysMs } : {}),
      ...(work.settling ? { settling: work.settling } : {})
    })
  } catch (error) {
    if (isScreeningError(error) && error.code === 'ERR_WRONG_PATIENT') {
      await results.withdraw(job.tenant, screening.id, error.code, guard)
      await retireOld(work)
    }
    if (isScreeningError(error) && error.code === 'ERR_PATIENT_MINOR') await withdrawAll(work, error.code)
    throw error
  }
  await failpoint('written')
  await results.endWritten(screening, [...places.values()], guard)
  await record(work, 'write', `Screening/${screening.id}`)
}

/** What was retired in the record, or is to be, is never written again under its ids: a photo that comes back speaks anew. */
async function freshEdition({ results }: Work, stored: Screening): Promise<Screening> {
  const retired = await results.retiredIds(stored.tenant, stored.patientId)
  const isRetired = (one: Screening) => writtenIds(one).some((id) => retired.has(id))
  let screening = stored
  while (retired.size > 0 && isRetired(screening)) screening = { ...screening, edition: (screening.edition ?? 0) + 1, written: [] }
  return screening
}

/** Only where the site lets us write; elsewhere it stays asked for. Resolves as retireResults. */
async function retireOld(work: Work): Promise<number | undefined> {
  const { session, results, audit, lease, job, readBackDelaysMs: looksMs = LOOKS_MS, settling } = work
  if (!writesAllowed(work) || unwritable(await session.capabilities())) return undefined
  return retireResults({ session, results, audit, lease, tenant: job.tenant, patientId: job.patientId, looksMs, ...(settling ? { settling } : {}) })
}

/**
 * Results whose photo has left the patient's record (deleted, entered in error, given to another patient) are withdrawn, after
 * the photo itself was asked for: a search that finds too little proves nothing. True where one did.
 */
async function withdrawOrphans(work: Work, photos: readonly HandPhoto[]): Promise<boolean> {
  const { results, job } = work
  const listed = new Set(photos.map(referenceOf))
  let tooLittle = false
  for (const { id, photos: sources } of await results.everShown(job.tenant, job.patientId)) {
    const unlisted = sources.filter((photo) => !listed.has(referenceOf(photo)))
    for (const photo of unlisted) {
      if (await isStillOf(work, photo)) {
        tooLittle = true
        continue
      }
      await results.withdraw(job.tenant, id, 'ERR_PHOTO_UNREACHABLE', guardOf(work))
      await record(work, 'withdraw', `Screening/${id}`)
      break
    }
  }
  return tooLittle
}

/** A photo that was read as somebody else's was filed wrongly, then or now: what was said of them is looked at again. */
async function lookAtFormerPatients({ results, queue, job }: Work, photos: readonly HandPhoto[]): Promise<void> {
  for (const patientId of await results.patientsOf(job.tenant, photos))
    if (patientId !== job.patientId) await queue.add(job.tenant, patientId, 'notification')
}

/** Nothing of a patient who does not consent, or is a child, is shown or written any more; what lies in the record is the record's. */
async function withdrawAll(work: Work, code: 'ERR_FORBIDDEN' | 'ERR_PATIENT_MINOR'): Promise<ScreenOutcome> {
  const { results, job } = work
  for (const { id } of await results.history(job.tenant, job.patientId)) {
    await results.withdraw(job.tenant, id, code, guardOf(work))
    await record(work, 'withdraw', `Screening/${id}`)
  }
  return { kind: 'refused', code }
}

/** Before each look at what seems to be gone, or another patient's: a replica may be behind, and an answer be mixed up. */
const LOOKS_MS: readonly number[] = [0, 1_000, 5_000]

async function isStillOf({ session, job, readBackDelaysMs: looks = LOOKS_MS }: Work, { resourceType, id }: PhotoReference): Promise<boolean> {
  for (const delayMs of looks) {
    await wait(delayMs)
    const there = await readIfThere(session, resourceType, id, [0])
    const standing = there && photoStanding(there, { patientId: job.patientId, fhirBase: session.tenant.fhirBase })
    if (standing === 'stands' || standing === 'taken-back') return standing === 'stands'
  }
  return false
}

/** Workers that were killed at one place of the way after the other had no part in it; only a job that never gets further has. */
async function progress({ queue, job }: Work): Promise<void> {
  if (job.attempts > 1) await queue.progress(job)
}

/** For the store's own steps: refused when the job went to another worker. */
function guardOf({ queue, job }: Work): Guard {
  return (queries) => queue.guard(queries, job)
}

function writesAllowed({ session, calibration }: Work): boolean {
  const { mode, write: how } = session.tenant
  return mode === 'assist' && how === 'preliminary' && calibration !== undefined
}

/** Photos are sorted newest first by what the record says; the effective time of the result is the newest. */
function timeOf({ photos }: Visit): string {
  const [first] = photos
  if (!first) throw new Error('Expected a visit to have a photo')
  return first.created
}

function referenceOf({ resourceType, id }: Pick<PhotoReference, 'resourceType' | 'id'>): string {
  return `${resourceType}/${id}`
}

function record({ audit, job }: Work, action: string, entity: string, code?: AuditedEvent['code']): Promise<void> {
  return audit.record({
    tenant: job.tenant, action, actor: 'system', patientId: job.patientId, entity,
    outcome: code ? 'failure' : 'success', ...(code ? { code } : {})
  })
}
