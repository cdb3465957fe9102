import { createHash, randomUUID } from 'node:crypto'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { findHandPhotos, readPhotoBytes, type HandPhoto } from '../fhir/photo-sources.ts'
import { writeScreening } from '../fhir/record-writer.ts'
import { screeningResources } from '../fhir/resources/screening-resources.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import type { HandAssessment, JointFinding, NotAssessedReason, PhotoAssessment, PhotoRefusal } from '../joints/finding.ts'
import { handJointCount, visitFindings } from '../joints/hand-joint-count.ts'
import { LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import { digestOf, type ResultStore } from './result-store.ts'
import { screeningInput } from './screening-input.ts'
import type { ScreenedPhoto, Screening } from './screening.ts'

/** Photos of one day; older visits are read once for the trend. */
const MAX_VISITS = 6
const MAX_PHOTOS_PER_VISIT = 8
/** The picture itself is at fault: said once, not tried again. */
const PHOTO_FAULTS: readonly ErrorCode[] = ['ERR_PHOTO_TOO_LARGE', 'ERR_PHOTO_FORMAT', 'ERR_PHOTO_HEIC', 'ERR_PHOTO_CORRUPT', 'ERR_PHOTO_TIMEOUT']

export interface ScreenTools {
  readonly session: FhirSession
  readonly engine: InferenceEngine
  /** The site's own calibration; the model's otherwise, and then nothing is written. */
  readonly calibration?: Calibration
  readonly results: ResultStore
  /** Throws ERR_LEASE_LOST when another worker took over. */
  fence(): Promise<void>
  readonly failpoint?: (name: string) => void | Promise<void>
}

export type ScreenOutcome = { readonly kind: 'screened'; readonly made: number; readonly written: number } | { readonly kind: 'refused'; readonly code: string }

/**
 * One patient's photos → findings → stored result → (where the site decided so) preliminary record. The result is stored
 * before anything is written; each step looks first whether it was done, so that running it again after any crash completes it.
 */
export async function screenPatient(patientId: string, tools: ScreenTools): Promise<ScreenOutcome> {
  const { session, results } = tools
  const photos = await findHandPhotos(session, patientId)
  if (photos.length === 0) return { kind: 'refused', code: 'no-photos' }
  const visits = visitsOf(photos)
  let made = 0
  let fault: string | undefined
  for (const [index, visit] of visits.entries()) {
    const known = await results.ofPhotoSet(session.tenant.id, patientId, photoSetOf(visit, tools))
    if (known) continue
    await tools.fence()
    const outcome = await screenVisit(patientId, visit, tools)
    if (typeof outcome !== 'string') made++
    else if (index === 0) fault = outcome
  }
  if (fault) return { kind: 'refused', code: fault }
  return { kind: 'screened', made, written: await writeNewest(patientId, visits[0] ?? [], tools) }
}

/** Groups by the calendar day the record gives, newest first; photos without a date are one group of their own, the oldest. */
export function visitsOf(photos: readonly HandPhoto[]): readonly (readonly HandPhoto[])[] {
  const days = Map.groupBy(photos, ({ created }) => created?.slice(0, 10) ?? '')
  return [...days].sort(([a], [b]) => (a < b ? 1 : -1)).slice(0, MAX_VISITS).map(([, day]) => day.slice(0, MAX_PHOTOS_PER_VISIT))
}

/** Names the photos with their versions, the model and the calibration: any change makes a new screening. */
function photoSetOf(visit: readonly HandPhoto[], { engine, calibration }: ScreenTools): string {
  const names = visit.map(({ resourceType, id, versionId, created }) => [resourceType, id, versionId ?? created ?? ''].join('/')).sort()
  return digestOf([names, engine.model.digest, calibration ?? null])
}

/** Reads the photos of one day and stores the result; the code of the fault when none of them could be read. */
async function screenVisit(patientId: string, visit: readonly HandPhoto[], tools: ScreenTools): Promise<Screening | string> {
  const { session, engine, results } = tools
  const calibration = tools.calibration ?? engine.calibration
  const read: { photo: HandPhoto; screened: ScreenedPhoto }[] = []
  let fault: string | undefined
  for (const photo of visit) {
    try {
      const assessment = await assess(photo, tools)
      const { resourceType, id, versionId, created } = photo
      read.push({
        photo,
        screened: {
          resourceType, id, ...(versionId ? { versionId } : {}), ...(created ? { created } : {}),
          sha256: assessment.photoSha256,
          assessment: photo.side ? withRecordedSide(assessment, photo.side) : assessment
        }
      })
    } catch (error) {
      if (!isScreeningError(error) || !PHOTO_FAULTS.includes(error.code)) throw error
      fault = error.code
    }
  }
  if (read.length === 0) return fault ?? 'ERR_PHOTO_UNREACHABLE'
  await tools.failpoint?.('inferred')

  const findings = findingsOf(read)
  const now = new Date().toISOString()
  const screening: Screening = {
    id: randomUUID(),
    tenant: session.tenant.id,
    patientId,
    state: 'done',
    photos: read.map(({ screened }) => screened),
    findings,
    count: handJointCount(findings, calibration.interval),
    model: engine.model,
    photoTime: newestTime(visit) ?? now,
    completedAt: now,
    written: []
  }
  await results.add(screening, photoSetOf(visit, tools))
  await tools.failpoint?.('stored')
  return screening
}

async function assess(photo: HandPhoto, { session, engine, calibration, results }: ScreenTools): Promise<PhotoAssessment> {
  const bytes = await readPhotoBytes(session, photo)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const reader = digestOf([engine.model.digest, calibration ?? null])
  const known = await results.assessment(session.tenant.id, sha256, reader)
  if (known) return known
  const assessment = await engine.assess(bytes, calibration ? { calibration } : {})
  await results.keep(session.tenant.id, assessment, reader)
  return assessment
}

/**
 * The record says which hand a photo shows. Where one hand is seen and it looks like the other one (a mirrored or mislabelled
 * photo), nobody's joints are called: a finding on the wrong side is worse than none.
 */
export function withRecordedSide(assessment: PhotoAssessment, side: Laterality): PhotoAssessment {
  const [hand] = assessment.hands
  if (assessment.hands.length !== 1 || !hand || hand.side === side) return assessment
  const joints = hand.joints.map(({ joint }): JointFinding => ({ joint, side, kind: 'not-assessed', reason: 'uncertain-side' }))
  return { ...assessment, hands: [{ ...hand, side, joints }] }
}

/** 22 findings; a side without a located hand says why, as far as its photo tells. */
function findingsOf(read: readonly { photo: HandPhoto; screened: ScreenedPhoto }[]): readonly JointFinding[] {
  const hands: readonly HandAssessment[] = read.flatMap(({ screened }) => screened.assessment.hands)
  return LATERALITIES.flatMap((side) => {
    const refused = read.find(({ photo, screened }) => photo.side === side && screened.assessment.refusal)?.screened.assessment.refusal
    return visitFindings(hands, refused ? REFUSED_HAND[refused] : 'no-photo').filter((finding) => finding.side === side)
  })
}

const REFUSED_HAND: Readonly<Record<PhotoRefusal, NotAssessedReason>> = {
  'no-hand': 'not-located', 'too-small': 'too-small', 'too-dark': 'too-dark', blurred: 'blurred'
}

function newestTime(visit: readonly HandPhoto[]): string | undefined {
  const times = visit.flatMap(({ created }) => (created ? [created] : [])).sort((a, b) => Date.parse(b) - Date.parse(a))
  return times[0]
}

/** Preliminary Observations of the newest visit, where the site writes them without waiting for an accepted suggestion. */
async function writeNewest(patientId: string, visit: readonly HandPhoto[], tools: ScreenTools): Promise<number> {
  const { session, results, calibration } = tools
  const { id: tenant, mode, write } = session.tenant
  if (mode !== 'assist' || write !== 'preliminary') return 0
  if (!calibration) throw new ScreeningError('ERR_CONFIG', `Expected a calibration for tenant ${tenant} before anything is written`)
  const screening = await results.ofPhotoSet(tenant, patientId, photoSetOf(visit, tools))
  if (!screening || screening.count.assessable === 0) return 0
  const { written } = await writeScreening(session, screeningResources(screeningInput(screening, calibration)), {
    ledger: results.ledger(tenant, patientId),
    fence: tools.fence,
    ...(tools.failpoint ? { failpoint: tools.failpoint } : {})
  })
  if (written.length > 0) await results.wrote(screening.id, [...screening.written, ...written])
  return written.length
}
