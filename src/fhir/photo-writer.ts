import { isScreeningError, ScreeningError } from '../errors.ts'
import { isOf } from './references.ts'
import { PHOTO_ID, photoBinary, photoDocument, photoIdentifier, photoMedia, type TakenPhoto } from './resources/photo-resources.ts'
import { identifierQuery } from './resources/screening-bundle.ts'
import type { FhirSession } from './session.ts'

/** What was already written for a photo, so that a dropped connection makes nothing twice. */
export interface PhotoLedger {
  get(identifier: string): Promise<PhotoPlaces | undefined>
  put(identifier: string, places: PhotoPlaces): Promise<void>
}
export interface PhotoPlaces { readonly binary?: string; readonly photo?: string }

type PhotoType = 'Media' | 'DocumentReference'

/**
 * Writes a photo into the record as `/metadata` allows: Media where it can be created, otherwise DocumentReference; the bytes in
 * a Binary, otherwise inside. Sending the same photo again finds what is there: by our ledger, by identifier, or among the
 * patient's photos. Resolves with the reference. Throws ERR_EHR_REFUSED when the record takes no photos, ERR_EHR_*,
 * ERR_WRITE_AMBIGUOUS when nobody can say whether it was written.
 */
export async function writePhoto(session: FhirSession, photo: TakenPhoto, ledger: PhotoLedger): Promise<string> {
  const identifier = photoIdentifier(photo)
  const known = await ledger.get(identifier)
  if (known?.photo) return known.photo
  const type = await photoType(session)
  const already = await findWritten(session, type, photo.patientId, identifier)
  const reference = already ?? await create(session, type, photo, ledger, known)
  await ledger.put(identifier, { ...known, photo: reference })
  return reference
}

async function photoType(session: FhirSession): Promise<PhotoType> {
  const capabilities = await session.capabilities()
  const type = (['Media', 'DocumentReference'] as const).find((one) => capabilities.can(one, 'create'))
  if (!type) throw new ScreeningError('ERR_EHR_REFUSED', 'Expected a record that takes photos, but its /metadata lets neither Media nor DocumentReference be created. Nothing was saved.')
  return type
}

async function create(session: FhirSession, type: PhotoType, photo: TakenPhoto, ledger: PhotoLedger, known: PhotoPlaces | undefined): Promise<string> {
  const identifier = photoIdentifier(photo)
  const capabilities = await session.capabilities()
  const binary = known?.binary ?? (capabilities.can('Binary', 'create') ? await session.create(photoBinary(photo)) : undefined)
  if (binary) await ledger.put(identifier, { ...known, binary })
  const url = binary && `${session.tenant.fhirBase}/${binary}`
  const resource = type === 'Media' ? photoMedia(photo, url) : photoDocument(photo, url)
  const once = capabilities.conditionalCreate(type) ? { ifNoneExist: identifierQuery({ system: PHOTO_ID, value: identifier }) } : {}
  try {
    return await session.create(resource, once)
  } catch (error) {
    const unsure = isScreeningError(error) && error.code === 'ERR_WRITE_AMBIGUOUS'
    const written = unsure ? await findWritten(session, type, photo.patientId, identifier) : undefined
    if (written) return written
    throw error
  }
}

/** The photo with our identifier, if the record can be asked for it. */
async function findWritten(session: FhirSession, type: PhotoType, patientId: string, identifier: string): Promise<string | undefined> {
  const capabilities = await session.capabilities()
  const query = capabilities.canSearch(type, 'identifier') ? { identifier: `${PHOTO_ID}|${identifier}` }
    : capabilities.canSearch(type, 'patient') ? { patient: patientId } : undefined
  if (!query) return undefined
  const found = await session.search(type, query)
  const mine = found.find((one) => isOf(session.tenant, one.subject?.reference, patientId) && one.status !== 'entered-in-error' &&
    one.identifier?.some(({ system, value }) => system === PHOTO_ID && value === identifier))
  return mine && `${type}/${mine.id}`
}
