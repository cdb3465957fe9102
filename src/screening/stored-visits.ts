import { isScreeningError } from '../errors.ts'
import { isConsented } from '../fhir/consent.ts'
import { readPhotoBytes } from '../fhir/photo-sources.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { VisitPhoto, VisitPhotos } from '../inference/read-with-both.ts'
import { openResultStore } from './result-store.ts'
import { findScreenedPhoto, photoName } from './screened-photo.ts'
import type { ScreenedPhoto, Screening } from './screening.ts'
import type { Store } from './store/open-store.ts'

/** Which stored screenings: all of some patients, or everyone's with photos taken since. */
export type StoredChoice = { readonly patients: ReadonlySet<string> } | { readonly since: Date }

export interface StoredCohort {
  readonly patients: number
  /** Of those named, nothing is stored of so many. */
  readonly withoutResult: number
  /** So many do not agree that their photos are read: none was fetched. */
  readonly withheld: number
}

interface Deps {
  readonly store: Store
  readonly session: FhirSession
  readonly tenant: string
  readonly choice: StoredChoice
  readonly now?: () => Date
  visit(photos: VisitPhotos): Promise<void>
  onProgress?(done: number, total: number): void
}

/**
 * The photos of stored screenings once more, visit by visit: from the store which, from the record the photos as they are now. The
 * store and the record are only read. A photo that is gone or is no longer this patient's has its code instead of bytes.
 * Throws ERR_EHR_*, ERR_STORE.
 */
export async function eachStoredVisit({ store, session, tenant, choice, now = () => new Date(), visit, onProgress }: Deps): Promise<StoredCohort> {
  const results = openResultStore(store)
  const chosen = 'since' in choice ? await results.since(tenant, choice.since) : new Map([...choice.patients].map((id) => [id, undefined]))
  const cohort = { patients: 0, withoutResult: 0, withheld: 0 }
  let done = 0
  for (const [patientId, ids] of chosen) {
    const screenings = (await results.history(tenant, patientId)).filter(({ id }) => ids?.has(id) ?? true)
    if (screenings.length === 0) cohort.withoutResult++
    else if (!await isConsented(session, patientId, now())) cohort.withheld++
    else {
      cohort.patients++
      for (const screening of screenings) await visit({ group: patientId, photos: await photosOf(screening, session) })
    }
    onProgress?.(++done, chosen.size)
  }
  return cohort
}

async function photosOf({ photos, patientId }: Screening, session: FhirSession): Promise<readonly VisitPhoto[]> {
  const read: VisitPhoto[] = []
  for (const photo of photos) read.push(await fetchPhoto(photo, patientId, session))
  return read
}

async function fetchPhoto(screened: ScreenedPhoto, patientId: string, session: FhirSession): Promise<VisitPhoto> {
  const name = `${screened.resourceType}/${photoName(screened)}`
  try {
    const found = await findScreenedPhoto(session, patientId, screened)
    return { photo: name, ...(found.side ? { side: found.side } : {}), bytes: await readPhotoBytes(session, found, patientId) }
  } catch (error) {
    if (isScreeningError(error) && (error.code.startsWith('ERR_PHOTO_') || error.code === 'ERR_NOT_FOUND' || error.code === 'ERR_WRONG_PATIENT')) return { photo: name, refused: error.code }
    throw error
  }
}
