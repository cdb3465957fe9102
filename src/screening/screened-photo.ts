import { ScreeningError } from '../errors.ts'
import { photosFromBundle, readPhotoBytes, type HandPhoto } from '../fhir/photo-sources.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { PhotoReference, ScreenedPhoto } from './screening.ts'

/** A name that no other photo of the patient has: a document may hold several. `~` is in no FHIR id and needs no escape in an address. */
export function photoName({ id, part }: Pick<PhotoReference, 'id' | 'part'>): string {
  return part === undefined ? id : `${id}~${part}`
}

/** The photo again, by the reference that was screened; it must still be this patient's. */
export async function readScreenedPhoto(session: FhirSession, patientId: string, screened: ScreenedPhoto): Promise<Uint8Array> {
  return readPhotoBytes(session, await findScreenedPhoto(session, patientId, screened), patientId)
}

/** What the record says of it now, with the side that it calls it. */
export async function findScreenedPhoto(session: FhirSession, patientId: string, { resourceType, id, part }: ScreenedPhoto): Promise<HandPhoto> {
  const resource = await session.read(resourceType, id)
  const photo = photosFromBundle({ entry: [{ resource }] }, { patientId, fhirBase: session.tenant.fhirBase }).find((one) => one.part === part)
  if (!photo) throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected the photo that was read, of this patient; it has been withdrawn or moved')
  return photo
}
