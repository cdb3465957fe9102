import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { compareVisit, type ComparedVisit, type PhotoReadings } from '../joints/compare-readings.ts'
import type { PhotoAssessment } from '../joints/finding.ts'
import type { Laterality } from '../joints/hand-joint.ts'
import { onRecordedSide } from '../joints/recorded-side.ts'
import type { Calibration, InferenceEngine } from './engine/inference-engine.ts'
import { withOtherHand } from './with-other-hand.ts'

/** A model with the calibration that its answers are read with. */
export interface Reader {
  readonly engine: Pick<InferenceEngine, 'assess'>
  readonly calibration: Calibration
}

export interface BothReaders { readonly old: Reader; readonly new: Reader }

/** The photos of one visit, or one photo by itself. */
export interface VisitPhotos {
  /** Who it is about: a patient, or a photo where patients are not known. */
  readonly group: string
  readonly photos: readonly VisitPhoto[]
}

export type VisitPhoto = {
  /** What people know it by. */
  readonly photo: string
  /** As the record says; absent when it does not. */
  readonly side?: Laterality
  readonly labels?: PhotoReadings['labels']
} & ({ readonly bytes: Uint8Array } | { /** Why there is nothing to read. */ readonly refused: ErrorCode })

/** A photo that is in no figure, and which of the two could not read it. */
export interface RefusedPhoto { readonly photo: string; readonly code: ErrorCode; readonly by: 'both' | 'old' | 'new' }

export interface BothRead {
  /** Without a photo that either could not read: what only one saw cannot be compared. */
  readonly visit: ComparedVisit
  readonly photosRead: number
  readonly refused: readonly RefusedPhoto[]
}

/**
 * One visit read twice, each model with its own calibration and, where that says so, with the other hand. A refused photo is a
 * result. Throws ERR_MODEL_* and whatever else is not about a photo.
 */
export async function readWithBoth({ group, photos }: VisitPhotos, readers: BothReaders): Promise<BothRead> {
  const read = await Promise.all(photos.map((photo) => readPhoto(photo, readers)))
  const both = read.flatMap((one) => 'old' in one ? [one] : [])
  const [old, fresh] = (['old', 'new'] as const).map((model) => withOtherHand(both.map((one) => one[model]), readers[model].calibration))
  const readings = both.map(({ photo, labels }, index): PhotoReadings =>
    ({ photo, old: old?.[index]?.hands ?? [], new: fresh?.[index]?.hands ?? [], ...(labels ? { labels } : {}) }))
  return { visit: compareVisit(group, readings), photosRead: both.length, refused: read.flatMap((one) => 'code' in one ? [one] : []) }
}

type ReadTwice = Pick<VisitPhoto, 'photo' | 'labels'> & { readonly old: PhotoAssessment; readonly new: PhotoAssessment }

async function readPhoto(photo: VisitPhoto, readers: BothReaders): Promise<ReadTwice | RefusedPhoto> {
  const { photo: name } = photo
  if ('refused' in photo) return { photo: name, code: photo.refused, by: 'both' }
  const [old, fresh] = await Promise.all([assess(photo, readers.old), assess(photo, readers.new)])
  if (typeof old !== 'string' && typeof fresh !== 'string')
    return { photo: name, old, new: fresh, ...(photo.labels ? { labels: photo.labels } : {}) }
  if (typeof old !== 'string') return { photo: name, code: fresh as ErrorCode, by: 'new' }
  return { photo: name, code: old, by: typeof fresh === 'string' ? 'both' : 'old' }
}

async function assess({ photo, bytes, side }: VisitPhoto & { bytes: Uint8Array }, { engine, calibration }: Reader): Promise<PhotoAssessment | ErrorCode> {
  try {
    const assessment = await engine.assess(bytes, { calibration })
    return { ...assessment, hands: onRecordedSide(assessment.hands, side) }
  } catch (cause) {
    if (!isScreeningError(cause)) throw cause
    if (cause.code.startsWith('ERR_PHOTO_')) return cause.code
    throw new ScreeningError(cause.code, `${photo}: ${cause.message}`, { cause })
  }
}
