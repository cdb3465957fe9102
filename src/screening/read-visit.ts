import { createHash } from 'node:crypto'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { readPhotoBytes } from '../fhir/photo-sources.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import { withOtherHand } from '../inference/with-other-hand.ts'
import type { JointFinding, ModelIdentity, NotAssessedReason, PhotoAssessment } from '../joints/finding.ts'
import { visitFindings } from '../joints/hand-joint-count.ts'
import { LATERALITIES } from '../joints/hand-joint.ts'
import { onRecordedSide } from '../joints/recorded-side.ts'
import type { Job } from './queue.ts'
import type { PhotoReference, ScreenedPhoto } from './screening.ts'
import type { ResultStore } from './result-store.ts'
import { digest, type DatedPhoto, type Visit } from './visits.ts'

export interface VisitReader {
  readonly job: Job
  readonly session: FhirSession
  readonly engine: InferenceEngine
  readonly calibration: Calibration
  readonly results: ResultStore
  readonly signal: AbortSignal
  /** The last try: what could not be read in time now never will. */
  readonly lastTry: boolean
  /** Something durable came of this try. */
  progress(): Promise<void>
  photoWasRead(photo: DatedPhoto, code?: ErrorCode): Promise<void>
}

export interface ReadVisit {
  readonly photos: readonly ScreenedPhoto[]
  /** 22, left then right, HAND_JOINTS order. */
  readonly findings: readonly JointFinding[]
}

/** The file itself cannot be read: a fact about the photo, which another try would not change. */
const FILE_FAULTS: readonly ErrorCode[] = ['ERR_PHOTO_TOO_LARGE', 'ERR_PHOTO_FORMAT', 'ERR_PHOTO_HEIC', 'ERR_PHOTO_CORRUPT']

/**
 * Reads every photo of a visit. A photo that cannot be decoded, or that shows no hand, leaves its joints not assessed; the
 * same picture twice is read and counted once. Throws what the record or the model fails with: ERR_EHR_*, ERR_PHOTO_UNREACHABLE,
 * ERR_ENGINE_BUSY, ERR_MODEL_*.
 */
export async function readVisit(visit: Visit, reader: VisitReader): Promise<ReadVisit> {
  const read = new Map<string, ReadPhoto>()
  const fetching = fetchedAhead(visit.photos, reader)
  for (const photo of visit.photos) {
    const screened = await readPhoto(photo, fetching(), reader)
    const same = read.get(screened.sha256)
    read.set(screened.sha256, same ? { ...same, screened: withCopy(same.screened, photo) } : { photo, screened })
  }
  const photos = bothHands([...read.values()], reader.calibration)
  return { photos: photos.map(({ screened }) => screened), findings: findingsOf(photos) }
}

type ReadPhoto = { readonly photo: DatedPhoto; readonly screened: ScreenedPhoto }

function withCopy(screened: ScreenedPhoto, photo: DatedPhoto): ScreenedPhoto {
  return { ...screened, copies: [...screened.copies ?? [], named(photo)] }
}

/** Readings are kept hand by hand; what the two hands of a visit say together is worked out anew from them. */
function bothHands(photos: readonly ReadPhoto[], calibration: Calibration): readonly ReadPhoto[] {
  const weighed = withOtherHand(photos.map(({ screened }) => screened.assessment), calibration)
  return photos.map(({ photo, screened }, index) => ({ photo, screened: { ...screened, assessment: weighed[index] ?? screened.assessment } }))
}

/** The next photo comes while the model looks at this one; no more than two are held. Each call gives the next. */
function fetchedAhead(photos: readonly DatedPhoto[], { session, job: { patientId } }: VisitReader): () => Promise<Uint8Array> {
  let next = 0
  const fetch = () => {
    const photo = photos[next++]
    const bytes = photo && readPhotoBytes(session, photo, patientId)
    // Whoever never asks for it, because an earlier one failed, need not hear of it.
    bytes?.catch(() => undefined)
    return bytes
  }
  let coming: Promise<Uint8Array> | undefined
  return () => {
    const bytes = coming ?? fetch()
    if (!bytes) throw new Error('Expected no more photos to be asked for than there are')
    coming = fetch()
    return bytes
  }
}

async function readPhoto(photo: DatedPhoto, fetching: Promise<Uint8Array>, reader: VisitReader): Promise<ScreenedPhoto> {
  const first = await readOnce(photo, fetching, reader)
  // That it took too long is no word of the record's.
  const { sha256, assessment, fault } = first.fault && first.fault.code !== 'ERR_PHOTO_TIMEOUT' ? await readAgain(photo, first, reader) : first
  await reader.photoWasRead(photo, fault?.code)
  if (!assessment) return { ...named(photo), sha256, ...(fault ? { refused: fault.code } : {}), assessment: unreadable(sha256, reader.engine.model) }
  return { ...named(photo), sha256, assessment: { ...assessment, hands: onRecordedSide(assessment.hands, photo.side) } }
}

interface Faulty { readonly sha256: string; readonly assessment?: undefined; readonly fault: ScreeningError }
type Reading = Faulty | { readonly sha256: string; readonly assessment: PhotoAssessment; readonly fault?: undefined }

/** What is known to be faulty is not looked at again. */
async function readOnce(photo: DatedPhoto, fetching: Promise<Uint8Array>, reader: VisitReader, known?: Faulty): Promise<Reading> {
  let sha256 = digest(['unread', named(photo)])
  try {
    const bytes = await fetching
    sha256 = createHash('sha256').update(bytes).digest('hex')
    return known?.sha256 === sha256 ? known : { sha256, assessment: await assess(bytes, sha256, reader) }
  } catch (error) {
    if (!isScreeningError(error) || !isOfFile(error, reader.lastTry)) throw error
    return { sha256, fault: error }
  }
}

/**
 * What is wrong with a file, or whose it is, is believed when the record says the same of it twice: the answer may have broken off, or have
 * been another's. Throws ERR_WRONG_PATIENT, ERR_EHR_ANSWER, ERR_PHOTO_UNREACHABLE, which are asked again later.
 */
async function readAgain(photo: DatedPhoto, first: Faulty, reader: VisitReader): Promise<Reading> {
  const { sha256, fault } = first
  const again = await readOnce(photo, readPhotoBytes(reader.session, photo, reader.job.patientId), reader, first)
  const same = again.sha256 === sha256 && again.fault?.message === fault.message
  if (fault.code === 'ERR_WRONG_PATIENT') throw same ? fault : new ScreeningError('ERR_EHR_ANSWER', 'Expected the record to keep a photo for one patient but two answers named two')
  if (!again.fault || same) return again
  throw again.fault.code === 'ERR_WRONG_PATIENT' ? new ScreeningError('ERR_EHR_ANSWER', 'Expected the same photo twice but received two', { cause: again.fault })
    : new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected the same photo twice but received two that cannot be read', { cause: again.fault })
}

function named({ resourceType, id, versionId, created, part }: DatedPhoto): PhotoReference {
  return { resourceType, id, ...(versionId ? { versionId } : {}), created, ...(part === undefined ? {} : { part }) }
}

async function assess(bytes: Uint8Array, sha256: string, { job, engine, calibration, results, session, signal, progress }: VisitReader): Promise<PhotoAssessment> {
  const tenant = session.tenant.id
  const key = digest([engine.model.digest, calibration])
  const known = await results.reading(tenant, sha256, key)
  if (known) return known
  const assessment = await engine.assess(bytes, { calibration, signal })
  if (assessment.photoSha256 !== sha256) throw new Error('Expected the reading of the photo that was given')
  await results.keepReading(tenant, key, assessment, job)
  await progress()
  return assessment
}

function findingsOf(photos: readonly ReadPhoto[]): readonly JointFinding[] {
  const hands = photos.flatMap(({ screened }) => screened.assessment.hands)
  return LATERALITIES.flatMap((side) => {
    const meant = photos.filter(({ photo }) => photo.side === side || photo.side === undefined)
    const reason = meant.map(({ screened }) => reasonOf(screened)).find(Boolean) ?? 'no-photo'
    return visitFindings(hands, reason).filter((finding) => finding.side === side)
  })
}

/** Why a photo without a hand shows none; undefined when it shows one. */
function reasonOf({ assessment }: ScreenedPhoto): NotAssessedReason | undefined {
  if (assessment.hands.length > 0) return undefined
  return assessment.refusal && assessment.refusal !== 'no-hand' ? assessment.refusal : 'not-located'
}

function isOfFile({ code }: ScreeningError, lastTry: boolean): boolean {
  return code === 'ERR_PHOTO_TIMEOUT' ? lastTry : code === 'ERR_WRONG_PATIENT' || FILE_FAULTS.includes(code)
}

/** No pixel was seen: no size and no hand. */
function unreadable(photoSha256: string, model: ModelIdentity): PhotoAssessment {
  return { photoSha256, width: 0, height: 0, model, hands: [] }
}
