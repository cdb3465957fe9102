import { createHash } from 'node:crypto'
import type { Patient } from 'fhir/r4.js'
import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../../src/errors.ts'
import type { SignedForCorrection } from '../../src/fhir/correct-review.ts'
import type { ExaminedJoints } from '../../src/fhir/resources/clinician-resources.ts'
import type { Held } from '../../src/fhir/review-steps.ts'
import { LATE_MS } from '../../src/fhir/write-state.ts'
import { COUNTS_28, type ActivityInputs } from '../../src/joints/activity-scores.ts'
import type { PhotoRegion } from '../../src/joints/finding.ts'
import { handThatSpeaks } from '../../src/joints/hand-joint-count.ts'
import { HAND_JOINTS, type HandJoint, type JointAt, type Laterality } from '../../src/joints/hand-joint.ts'
import type { Calibration, InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { mapWithOtherHand } from '../../src/inference/with-other-hand.ts'
import { photoName } from '../../src/screening/screened-photo.ts'
import type { ScreenedPhoto, Screening, ScreeningService } from '../../src/screening/screening.ts'
import type { AppSession, SessionStore } from './app-session.ts'
import { isPatientLaunch, maySavePhotos } from './capture-desk.ts'
import { openDrafts, type Draft, type SentSignature } from './drafts.ts'
import { granted } from './granted.ts'
import { openOcclusionMaps } from './occlusion-maps.ts'
import { visitContext, type ContextRecord, type SignedByClinicians } from './visit-context.ts'

export type ReviewCall = 'swollen' | 'not-swollen' | 'not-assessable'
export interface ReviewDecision { readonly side: Laterality; readonly joint: HandJoint; readonly call: ReviewCall }
/** What is previewed and signed: calls on hand joints and, if the clinician entered them, the inputs of the activity scores. */
export interface SignedReview {
  readonly screeningId: string
  readonly decisions: readonly ReviewDecision[]
  readonly activity?: ActivityInputs
  readonly examined?: ExaminedJoints
  /** A correction: all of the above is what shall stand, and this is what the clinician saw of what was signed (`SignedForCorrection.seen`). */
  readonly corrects?: Readonly<Record<string, string>>
}

/** What was signed for a screening, for whoever is about to correct it. */
export type CorrectableReview = Omit<SignedForCorrection, 'entries'> & {
  readonly entries: readonly (Omit<SignedForCorrection['entries'][number], 'performer'> & { readonly own: boolean; readonly by?: string })[]
}

/** The preview that a signature is for: its time is that of the signature, its digest that of what it showed. */
export interface Previewed { readonly at: string; readonly digest: string }

/** What the app needs of the record, with the launching clinician's own token. */
export interface ReviewRecord extends ContextRecord {
  patient(session: AppSession, tenant: TenantConfig): Promise<Patient>
  photoBytes(session: AppSession, tenant: TenantConfig, photo: ScreenedPhoto): Promise<Uint8Array>
  /** `signer` is the name of whoever signs, where the record lets us read it. */
  previewFinal(
    session: AppSession, tenant: TenantConfig, screening: Screening, review: SignedReview, signed: string
  ): Promise<{ readonly resources: readonly object[]; readonly signer?: string }>
  /** Writes only when `agreed` says yes to what would be written. */
  writeFinal(
    session: AppSession, tenant: TenantConfig, screening: Screening, review: SignedReview, signed: string, agreed: (resources: readonly object[]) => boolean
  ): Promise<readonly string[]>
  /** How much of what was signed at that time the record holds. */
  heldOf(session: AppSession, tenant: TenantConfig, screening: Screening, review: SignedReview, signed: string): Promise<Held>
  /** What clinicians have signed for a screening. */
  signed(session: AppSession, tenant: TenantConfig, screening: Screening): Promise<SignedByClinicians>
  /** The same, all of it, as a correction begins with it. */
  signedReview(session: AppSession, tenant: TenantConfig, screening: Screening): Promise<CorrectableReview>
}

export interface ReviewDeps {
  readonly screenings: ScreeningService
  readonly engine: InferenceEngine
  readonly record: ReviewRecord
  readonly sessions: SessionStore
  readonly now: () => number
  /** A tenant's own calibration, where it has one. */
  calibrationOf(tenant: TenantConfig): Calibration | undefined
}

/** The review page's work: show one patient's screening and turn a clinician's calls into final Observations. */
export type ReviewDesk = ReturnType<typeof openReviewDesk>

/** A preview that nobody signed for so long may show yesterday's record. */
const PREVIEW_MS = 30 * 60_000

/** A signature without an outcome after that long was sent by a process that is gone, or to a record for which nobody waits longer. */
const UNDER_WAY_MS = 60_000

/** Refusals that leave nothing to look for: none of it was written. */
const NOTHING_WRITTEN: readonly ErrorCode[] = ['ERR_CONFLICT', 'ERR_FORBIDDEN', 'ERR_EHR_REFUSED']

export function openReviewDesk({ screenings, engine, record, sessions, now, calibrationOf }: ReviewDeps) {
  const maps = openOcclusionMaps(engine)
  const drafts = openDrafts(sessions)
  const calibrationFor = (tenant: TenantConfig) => calibrationOf(tenant) ?? engine.calibration

  /** All of it lies in the record: nobody has to go on with it, and no card warns any more of what it answers. */
  async function noteSigned(session: AppSession, { review, ...rest }: Pick<SentSignature, 'review' | 'previewed' | 'entered'>): Promise<void> {
    const { screeningId, decisions, corrects } = review
    const joints = decisions.map(({ side, joint }) => ({ side, joint }))
    await screenings.signed(session.tenant, screeningId, { at: rest.previewed.at, joints, isAll: corrects !== undefined })
    await drafts.signed(session, { screeningId, review, ...rest })
  }

  const isUnderWay = ({ sentAt, isOver }: SentSignature) => !isOver && now() - sentAt < UNDER_WAY_MS

  return {
    async describe(session: AppSession, tenant: TenantConfig) {
      const patient = await record.patient(session, tenant)
      return {
        patient: { name: nameOf(patient), ...(patient.birthDate ? { birthDate: patient.birthDate } : {}), ...(patient.gender ? { gender: patient.gender } : {}), identifiers: identifiersOf(patient, now()) },
        needPatientBanner: session.needPatientBanner,
        canSign: canSign(session) && tenant.mode === 'assist',
        canSavePhotos: maySavePhotos(session),
        patientLaunch: isPatientLaunch(session),
        ...(session.standalone ? { signInAgain: `/smart/launch?${new URLSearchParams({ iss: tenant.fhirBase }).toString()}` } : {}),
        ehr: tenant.name,
        language: tenant.language,
        mode: tenant.mode,
        model: engine.model,
        calibration: calibrationFor(tenant).data,
        calibrated: calibrationOf(tenant) !== undefined,
        currentPhotoDays: tenant.currentPhotoDays
      }
    },

    /** Of the newest photos; of earlier ones where their screening is named and still there, for whoever goes on with what was begun for them. */
    async review(session: AppSession, tenant: TenantConfig, screeningId?: string) {
      const [status, all] = await Promise.all([
        screenings.status(tenant.id, session.patientId),
        screenings.history(tenant.id, session.patientId)
      ])
      const at = all.findIndex(({ id }) => id === screeningId && id !== status.latest?.id)
      const [latest, history] = at < 0 ? [status.latest, all] : [all[at], all.slice(at)]
      const draft = latest && await drafts.of(session, latest.id)
      const newestShown = at < 0 ? latest : undefined
      const earlierDraft = newestShown && !draft ? await drafts.ofOtherPhotos(session, newestShown.id) : undefined
      const earlierCalls = newestShown && await drafts.callsOnOtherPhotos(session, newestShown.id)
      const earlierCorrection = newestShown && await drafts.correctionOfOtherPhotos(session, newestShown.id)
      const sent = latest && await drafts.sent(session, latest.id)
      const newestSignature = latest && await drafts.newestSignature(session, latest.id)
      return withheldInShadow(tenant, {
        pending: status.pending,
        ...(status.failure ? { failure: status.failure } : {}),
        ...(latest ? { latest: shown(latest) } : {}),
        ...(at < 0 ? {} : { isEarlier: true }),
        ...(draft ? { draft } : {}),
        ...(sent ? { sent: { review: sent.review, previewed: sent.previewed, entered: sent.entered } } : {}),
        ...(newestSignature ? { newestSignature } : {}),
        ...(earlierDraft ? { earlierDraft } : {}),
        ...(earlierCalls ? { earlierCalls } : {}),
        ...(all.some(({ id }) => id === earlierCorrection) ? { earlierCorrection } : {}),
        history: history.map(earlierVisit),
        threshold: calibrationFor(tenant).thresholds.f1
      })
    },

    /** Addresses of the newest photos, so that a page can ask for them before its script runs. */
    async newestPhotos({ tenant, patientId }: AppSession): Promise<readonly string[]> {
      return (await screenings.status(tenant, patientId)).latest?.photos.map(photoName) ?? []
    },

    keepDraft: (session: AppSession, draft: Draft, knows?: string) => drafts.keep(session, draft, knows),

    /** What was signed is that of the screening on the page, or of the newest. */
    async context(session: AppSession, tenant: TenantConfig, screeningId?: string) {
      const screening = screeningId === undefined ? (await screenings.status(tenant.id, session.patientId)).latest : await screeningOf(screenings, session, tenant, screeningId)
      return visitContext({ ...record, signedFor: screening && (() => record.signed(session, tenant, screening)) }, session, tenant)
    },

    async photo(session: AppSession, tenant: TenantConfig, photoId: string, closeUp?: JointAt) {
      const photo = await screenedPhoto(screenings, session, tenant, photoId)
      const bytes = await record.photoBytes(session, tenant, photo)
      const region = closeUp ? regionOf(photo, closeUp) : undefined
      return engine.renderPhoto(bytes, region ? { maxSidePx: 480, region } : { maxSidePx: 1600 })
    },

    /** Where the model's answer for one joint rests; made when asked for and kept for the next look. */
    async map(session: AppSession, tenant: TenantConfig, photoId: string, at: JointAt) {
      refuseInShadow(tenant)
      const photo = await screenedPhoto(screenings, session, tenant, photoId)
      regionOf(photo, at)
      const calibration = calibrationFor(tenant)
      const map = await maps.of({ tenant: tenant.id, photoSha256: photo.sha256, ...at }, calibration, () => record.photoBytes(session, tenant, photo))
      return mapWithOtherHand(map, shownProbability(photo, at), calibration)
    },

    requestScreening: (session: AppSession, tenant: TenantConfig) => screenings.request(tenant.id, session.patientId, 'app'),

    /** What was signed and would be corrected; where the sign-in or the record allows no correction, why, and where each finding lies. */
    async signed(session: AppSession, tenant: TenantConfig, screeningId: string) {
      refuseInShadow(tenant)
      const { uncorrectable, ...standing } = await record.signedReview(session, tenant, await screeningOf(screenings, session, tenant, screeningId))
      const why = !canSign(session) || !granted(session.scope, 'Observation', 'u') ? 'not-granted' : uncorrectable ? 'no-updates' : undefined
      return { ...standing, ...(why ? { uncorrectable: why } : {}) }
    },

    /** What a signature of now would write, and by what the signature will know it again. */
    async preview(session: AppSession, tenant: TenantConfig, input: SignedReview) {
      refuseUnsigned(session, tenant, input)
      const screening = await screeningOf(screenings, session, tenant, input.screeningId)
      const at = new Date(now()).toISOString()
      const { resources, ...by } = await record.previewFinal(session, tenant, screening, input, at)
      return { resources, ...by, previewed: { at, digest: digestOf(resources) } }
    },

    /** Writes exactly what the preview showed, or nothing. `entered` is the draft that it signs; a page that does not tell has signed all of it. */
    async sign(session: AppSession, tenant: TenantConfig, input: SignedReview, previewed: Previewed, entered = draftOf(input)) {
      refuseUnsigned(session, tenant, input)
      const screening = await screeningOf(screenings, session, tenant, input.screeningId)
      const age = now() - Date.parse(previewed.at)
      if (!(age >= 0 && age <= PREVIEW_MS)) throw new ScreeningError('ERR_CONFLICT', 'The preview is older than half an hour. Nothing was written; look at a new one.')
      const sending = { screeningId: screening.id, review: input, previewed, entered, sentAt: now() }
      await drafts.send(session, sending)
      try {
        const written = await record.writeFinal(session, tenant, screening, input, previewed.at, (resources) => digestOf(resources) === previewed.digest)
        await noteSigned(session, sending)
        return { written }
      } catch (error) {
        if (isScreeningError(error) && NOTHING_WRITTEN.includes(error.code)) await drafts.unsent(session, screening.id, previewed.at)
        else await drafts.unanswered(session, sending)
        throw error
      }
    },

    /** After a signature whose answer was lost: how much of it the record holds, and whether it is still being written. Writes nothing. */
    async held(session: AppSession, tenant: TenantConfig, input: SignedReview, previewed: Previewed): Promise<Held & { readonly isUnderWay?: true }> {
      refuseUnsigned(session, tenant, input)
      const screening = await screeningOf(screenings, session, tenant, input.screeningId)
      const held = await record.heldOf(session, tenant, screening, input, previewed.at)
      const last = await drafts.sent(session, screening.id)
      const sent = last?.previewed.at === previewed.at ? last : undefined
      if (held.there === held.of) await noteSigned(session, { review: input, previewed, entered: sent?.entered ?? draftOf(input) })
      else if (sent && isUnderWay(sent)) return { ...held, isUnderWay: true }
      // What no search shows by then was not written: the next page needs not look for it again.
      else if (sent && held.there === 0 && now() - sent.sentAt >= LATE_MS) await drafts.unsent(session, screening.id, previewed.at)
      return held
    }
  }
}

/** The draft that a review was made of, as far as the review itself tells. */
function draftOf({ screeningId, decisions, examined, activity, corrects }: SignedReview): Draft {
  const typed = Object.entries(activity ?? {}).filter(([name]) => !COUNTS_28.some((count) => count === name)).map(([name, value]) => [name, String(value)])
  return {
    screeningId, decisions, tender: examined?.tender ?? [], swollen: examined?.swollen ?? [], examinedAll: activity?.swollenJointCount28 !== undefined,
    typed: Object.fromEntries(typed) as Draft['typed'], ...(corrects ? { corrects } : {})
  }
}

/** A person must be behind the signature. */
export function canSign(session: AppSession): boolean {
  return granted(session.scope, 'Observation', 'c') && /^Practitioner(Role)?\//.test(session.fhirUser ?? '')
}

function refuseUnsigned(session: AppSession, tenant: TenantConfig, { corrects }: Pick<SignedReview, 'corrects'>): void {
  refuseInShadow(tenant)
  if (!canSign(session)) throw new ScreeningError('ERR_FORBIDDEN', 'Your EHR sign-in does not allow writing Observations; nothing was written.')
  if (corrects && !granted(session.scope, 'Observation', 'u'))
    throw new ScreeningError('ERR_FORBIDDEN', 'Your EHR sign-in does not allow changing Observations; nothing was written.')
}

/** Until the site has decided, what the model says is stored and not shown, and nothing is written (DESIGN section 5). */
function refuseInShadow({ mode }: TenantConfig): void {
  if (mode === 'shadow') throw new ScreeningError('ERR_FORBIDDEN', 'This site runs JointLens in shadow mode: suggestions are not shown and nothing is written.')
}

/** The same for the same resources, in whatever order a server names their members. */
function digestOf(resources: readonly object[]): string {
  const ordered = (_name: string, value: unknown): unknown => typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value
  return createHash('sha256').update(JSON.stringify(resources, ordered)).digest('base64url')
}

type Shown = ReturnType<typeof shown>
type Visit = ReturnType<typeof earlierVisit>

/** In shadow mode the photos and where the joints lie, and of what the model said nothing: neither calls nor counts. */
function withheldInShadow<View extends { latest?: Shown; history: readonly Visit[] }>({ mode }: TenantConfig, view: View) {
  if (mode !== 'shadow') return view
  const photos = view.latest?.photos.map((photo) => ({ ...photo, hands: photo.hands.map((hand) => ({ ...hand, joints: [] })) }))
  return {
    ...view,
    ...(view.latest && photos ? { latest: { ...view.latest, findings: [], count: undefined, photos } } : {}),
    history: view.history.map((visit) => ({ ...visit, findings: [], count: undefined }))
  }
}

async function screenedPhoto(screenings: ScreeningService, session: AppSession, tenant: TenantConfig, photoId: string) {
  const history = await screenings.history(tenant.id, session.patientId)
  const photo = history.flatMap(({ photos }) => photos).find((one) => photoName(one) === photoId)
  if (!photo) throw new ScreeningError('ERR_NOT_FOUND', 'Expected a photo of this patient.')
  return photo
}

async function screeningOf(screenings: ScreeningService, session: AppSession, tenant: TenantConfig, id: string) {
  const history = await screenings.history(tenant.id, session.patientId)
  const screening = history.find((one) => one.id === id)
  if (!screening) throw new ScreeningError('ERR_CONFLICT', 'A newer result has replaced the one on your screen. Reload to see it.')
  return screening
}

function regionOf(photo: ScreenedPhoto, { side, joint }: JointAt): PhotoRegion {
  const hand = handThatSpeaks(photo.assessment.hands.filter((one) => one.side === side))
  const region = hand?.regions[HAND_JOINTS.indexOf(joint)]
  if (!region) throw new ScreeningError('ERR_NOT_FOUND', 'Expected a joint that this photo shows.')
  return region
}

/** What the page says of a joint that the map explains; the map itself knows its hand alone. */
function shownProbability(photo: ScreenedPhoto, { side, joint }: JointAt): number {
  const hand = handThatSpeaks(photo.assessment.hands.filter((one) => one.side === side))
  const finding = hand?.joints.find((one) => one.joint === joint)
  if (finding?.kind !== 'assessed') throw new ScreeningError('ERR_NOT_FOUND', 'Expected a joint that the model read in this photo.')
  return finding.probability
}

function shown({ id, photoTime, findings, count, model, photos, written }: Screening) {
  return {
    id, photoTime, findings, count, model, recorded: written.length > 0,
    photos: [...photos].sort((a, b) => sideOf(a).localeCompare(sideOf(b))).map((photo) => ({
      id: photoName(photo),
      ...(photo.created ? { created: photo.created } : {}),
      width: photo.assessment.width,
      height: photo.assessment.height,
      ...(photo.assessment.refusal ? { refusal: photo.assessment.refusal } : {}),
      hands: photo.assessment.hands
    }))
  }
}

/** What the trend and the look back at one joint need: findings, and which photo shows which hand. */
function earlierVisit({ id, photoTime, count, findings, photos }: Screening) {
  return { id, photoTime, count, findings, photos: photos.map((photo) => ({ id: photoName(photo), sides: photo.assessment.hands.map(({ side }) => side) })) }
}

/** Left before right, as on the desk in front of a person. */
function sideOf({ assessment }: ScreenedPhoto): string {
  return assessment.hands[0]?.side ?? 'unknown'
}

/** At most two numbers that people know a patient by, the medical record number first; none that has run out. */
function identifiersOf({ identifier = [] }: Patient, now: number): readonly { readonly label: string; readonly value: string }[] {
  const isRecordNumber = ({ type }: (typeof identifier)[number]) => type?.coding?.some(({ code }) => code === 'MR') ?? false
  return identifier
    .filter(({ use, value, period }) => value !== undefined && use !== 'old' && !(Date.parse(period?.end ?? '') < now))
    .sort((one, other) => Number(isRecordNumber(other)) - Number(isRecordNumber(one)))
    .slice(0, 2)
    .map(({ type, value = '' }) => ({ label: type?.text ?? type?.coding?.[0]?.display ?? '', value }))
}

function nameOf(patient: Patient): string {
  const name = patient.name?.find(({ use }) => use === 'official') ?? patient.name?.[0]
  return name?.text ?? [...(name?.given ?? []), name?.family].filter(Boolean).join(' ')
}
