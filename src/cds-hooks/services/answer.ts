import type { FhirResource } from 'fhir/r4.js'
import type { TenantConfig } from '../../config.ts'
import { isScreeningError, ScreeningError } from '../../errors.ts'
import type { HandPhoto } from '../../fhir/photo-sources.ts'
import { mayBeMinor } from '../../joints/adult.ts'
import { UNTOUCHED, type Screening, type ScreeningService, type ScreeningStatus, type SetAside } from '../../screening/screening.ts'
import { dayOf, visitsOf } from '../../screening/visits.ts'
import { askForPhotoCard, failedCard, isOwnReason, pendingCard, resultCard, type CardContext, type ResultCardInput } from '../cards.ts'
import { cohortOf, type Cohort } from '../cohort.ts'
import type { Card, HookContext, HookRequest } from '../protocol.ts'
import { isRecorded } from '../recorded.ts'
import { SERVICES } from './definitions.ts'
import { isJointOrder } from './orders.ts'
import { appointmentStart, photoRequest } from './photo-request.ts'

/** The record as this call lets us see it. `undefined`: there is no way to know. */
export interface HookRecord {
  readonly photos: readonly HandPhoto[] | undefined
  /** All of them were seen, not only a first page. */
  readonly photosComplete?: boolean
  readonly conditions: readonly unknown[] | undefined
  /** All conditions were seen, not only a first page. */
  readonly conditionsComplete: boolean
  /** FHIR date, where the call brought the patient; nothing is read for it. */
  readonly birthDate?: string
  /** Observations of results that the call brought; where it brought none, nothing is read for it. */
  readonly results?: readonly unknown[]
  /** False where the record's /metadata lists no Observation create: then there is nothing to offer for recording. Asked when it matters. */
  takesObservations?(): Promise<boolean>
}

export interface AnswerDeps {
  readonly screenings: ScreeningService
  /** What a suggestion would create. */
  resourcesFor(tenant: TenantConfig, screening: Screening, context: { encounterId?: string | undefined }): readonly FhirResource[]
  recordFor(tenant: TenantConfig, request: HookRequest, needs: { conditions: boolean }): Promise<HookRecord>
  /** What a tenant's calibration was made from. */
  calibrationOf(tenant: TenantConfig): string | undefined
}

export interface Answer {
  readonly cards: readonly Card[]
  readonly screening?: Screening
}

interface Visits {
  readonly latest: Screening
  readonly before?: Screening
}

const NOTHING: Answer = { cards: [] }
/** A photo set that could not be read is tried again after this long, not at every look at the chart. */
const RETRY_MS = 10 * 60_000
/** Who was found to be under 18 where the call brings no birth date. */
const MINOR_MS = 24 * 3_600_000

/**
 * One hook call → cards. Silence is a feature: no diagnosis, no adult, no photo, shadow mode or another kind of order gives none. Work that
 * is missing is started, never waited for. Throws ERR_PREFETCH_UNAVAILABLE (412) when required data cannot be had.
 */
export async function answer(request: HookRequest, context: CardContext, deps: AnswerDeps): Promise<Answer> {
  const { tenant } = context
  const { patientId } = request.context
  if (request.hook === 'order-select' && !isJointOrder(request.context as HookContext<'order-select'>)) return NOTHING
  const booking = request.hook === 'appointment-book' ? appointmentStart(request.context as HookContext<'appointment-book'>, tenant) : undefined
  if (request.hook === 'appointment-book' && !booking) return NOTHING

  const [record, status] = await Promise.all([
    deps.recordFor(tenant, request, { conditions: tenant.requireDiagnosis }),
    deps.screenings.status(tenant.id, patientId)
  ])
  if (mayBeMinor(record.birthDate, today(context))) return NOTHING
  const cohort: Cohort = tenant.requireDiagnosis ? cohortOf(record.conditions, record.conditionsComplete, { fhirBase: tenant.fhirBase, patientId }) : 'in'
  if (cohort === 'out') return NOTHING
  if (cohort === 'unknown') throw unavailable('the conditions of the patient')
  if (booking) return askForPhoto(record, booking.start, request, context)
  return showResult(request, record, status, context, deps)
}

const QUARTER_MS = 15 * 60_000

/** At the site. No zone's day begins but at a quarter of an hour; which day a quarter is of is known once it was asked. */
function today({ tenant, now }: CardContext): string {
  return dayOf(new Date(Math.floor(now / QUARTER_MS) * QUARTER_MS).toISOString(), tenant.timeZone)
}

function askForPhoto({ photos }: HookRecord, start: string | undefined, { context: { patientId } }: HookRequest, context: CardContext): Answer {
  if (photos === undefined) throw unavailable('the hand photos of the patient')
  if (context.tenant.mode === 'shadow') return NOTHING
  const newest = visitsOf(photos, context.tenant.timeZone, context.now)[0]?.photos[0]?.created
  const days = newest === undefined ? Infinity : (context.now - Date.parse(newest)) / 86_400_000
  if (days <= context.tenant.currentPhotoDays) return NOTHING
  return { cards: [askForPhotoCard(newest, photoRequest(patientId, start, context.wording, context.now), context)] }
}

async function showResult(request: HookRequest, record: HookRecord, status: ScreeningStatus, context: CardContext, deps: AnswerDeps): Promise<Answer> {
  const { photos } = record
  const { tenant } = context
  if (photos === undefined && !status.latest) throw unavailable('the hand photos of the patient')
  const latest = status.latest && isOfPhotosThatLeft(record, status.latest) ? undefined : status.latest
  const covered = photos === undefined || isCovered(photos, latest, tenant.timeZone, context.now)
  const failure = isRecent(status.failure, record, context.now) ? status.failure : undefined
  const started = !covered && !status.pending && !failure && await start(request, deps, tenant, latest !== undefined)
  if (tenant.mode === 'shadow' || !isByClinician(request)) return NOTHING

  const reading = !covered && (status.pending || started)
  const newer = reading ? 'reading' : covered ? undefined : 'unread'
  if (latest && (photos === undefined || photos.length > 0)) return showLatest(request, record, { latest, ...(status.before ? { before: status.before } : {}) }, newer, context, deps)
  if (photos?.length === 0) return NOTHING
  if (reading) return { cards: [pendingCard(context)] }
  return failure && !UNTOUCHED.includes(failure.code) ? { cards: [failedCard(failure.code, context)] } : NOTHING
}

function isRecent(failure: ScreeningStatus['failure'], { birthDate }: HookRecord, now: number): boolean {
  if (!failure) return false
  const isMinor = failure.code === 'ERR_PATIENT_MINOR'
  return now - Date.parse(failure.at) < (isMinor ? MINOR_MS : RETRY_MS) && !(isMinor && birthDate !== undefined)
}

/** What the model suggests is shown to clinicians only; a portal that opens the chart for a patient or a relative gets nothing. */
function isByClinician({ context: { userId } }: HookRequest): boolean {
  return !/^(Patient|RelatedPerson)\//.test(userId)
}

/** False when it cannot be accepted now although there is a result to show meanwhile. */
async function start({ context: { patientId } }: HookRequest, { screenings }: AnswerDeps, tenant: TenantConfig, hasResult: boolean): Promise<boolean> {
  try {
    await screenings.request(tenant.id, patientId, 'hook')
    return true
  } catch (error) {
    if (!hasResult || !isScreeningError(error)) throw error
    return false
  }
}

/**
 * The photos of this result are in the record no more: withdrawn, or given to another patient. A worker takes the result back; until
 * then it is not shown. Only a list that is whole, and of the same kind, tells.
 */
function isOfPhotosThatLeft({ photos = [], photosComplete = false }: HookRecord, latest: Screening): boolean {
  const kinds = new Set(photos.map(({ resourceType }) => resourceType))
  return photosComplete && latest.photos.length > 0 && latest.photos.every((read) =>
    kinds.has(read.resourceType) && !photos.some((photo) => photo.resourceType === read.resourceType && photo.id === read.id))
}

async function showLatest(
  request: HookRequest, record: HookRecord, { latest, before }: Visits, newer: ResultCardInput['newer'], context: CardContext, deps: AnswerDeps
): Promise<Answer> {
  const { tenant } = context
  const { encounterId } = request.context
  // Many EHRs compare no identifiers: what lies there, or was accepted, would be written again.
  const recorded = latest.written.length > 0 || isRecorded(latest, record.results ?? [], { fhirBase: tenant.fhirBase, patientId: latest.patientId })
  const setAside = setAsideHere(latest, request, context)
  const decided = recorded || latest.accepted !== undefined || latest.signed !== undefined || setAside !== undefined
  const suggest = request.hook !== 'order-select' && !decided && latest.count.assessable > 0
  const unwritable = suggest && await record.takesObservations?.() === false
  const calibration = deps.calibrationOf(tenant)
  const card = resultCard({
    screening: latest,
    ...(before ? { before } : {}),
    resources: suggest && !unwritable ? deps.resourcesFor(tenant, latest, { encounterId }) : [],
    newer,
    unwritable,
    recorded,
    ...(setAside ? { setAside } : {}),
    ...(calibration ? { calibration } : {})
  }, context)
  return { cards: [card], screening: latest }
}

/** In the service that is asked, so that a check-in desk sets nothing aside for the physician. What is not useful now is so today. */
function setAsideHere({ setAside }: Screening, { hook }: HookRequest, context: CardContext): SetAside | undefined {
  const found = setAside?.[SERVICES.find((service) => service.hook === hook)?.id ?? '']
  const isOver = found && isOwnReason(found.reason, 'not-now') && dayOf(new Date(found.at).toISOString(), context.tenant.timeZone) !== today(context)
  return isOver ? undefined : found
}

/** Every photo of the newest day was read, in the version the record has now, or the result is of a later day. No photos: nothing to read. */
export function isCovered(photos: readonly HandPhoto[], latest: Screening | undefined, timeZone: string, now: number): boolean {
  const [newest] = visitsOf(photos, timeZone, now)
  if (!newest) return true
  if (latest && newest.day < dayOf(latest.photoTime, timeZone)) return true
  const known = latest?.photos.flatMap((read) => [read, ...read.copies ?? []]) ?? []
  return newest.photos.every((photo) => known.some((read) =>
    read.resourceType === photo.resourceType && read.id === photo.id && read.part === photo.part && (photo.versionId === undefined || read.versionId === undefined || read.versionId === photo.versionId)))
}

function unavailable(what: string): ScreeningError {
  return new ScreeningError('ERR_PREFETCH_UNAVAILABLE', `Expected ${what} as prefetch, or a token to read it, but received neither`)
}

