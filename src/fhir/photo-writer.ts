import { setTimeout as wait } from 'node:timers/promises'
import { isScreeningError, ScreeningError } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import { isOf } from './references.ts'
import { PHOTO_ID, photoBinary, photoDocument, photoIdentifier, photoMedia, type TakenPhoto } from './resources/photo-resources.ts'
import { identifierQuery } from './resources/screening-bundle.ts'
import type { FhirSession, SearchParameters } from './session.ts'
import { LATE_MS } from './write-state.ts'

/** What was already written for a photo, so that a dropped connection makes nothing twice. */
export interface PhotoLedger {
  get(identifier: string): Promise<PhotoPlaces | undefined>
  put(identifier: string, places: PhotoPlaces): Promise<void>
}
export interface PhotoPlaces {
  readonly binary?: string
  readonly photo?: string
  /** When it was sent, FHIR instant, while nobody knows whether it was written. */
  readonly sentAt?: string
}

type PhotoType = 'Media' | 'DocumentReference'

/** A photo whose answer was lost is looked for so often before the person hears of it: most searches show late by seconds. */
const LOOKS_MS: readonly number[] = [0, 1_000, 3_000]

/**
 * Writes a photo into the record as `/metadata` allows: Media where it can be created, otherwise DocumentReference; the bytes in
 * a Binary, otherwise inside. Sending the same photo again finds what is there: by our ledger, by identifier, or among the
 * patient's photos. One whose answer was lost is not sent again before a search could show it, unless the server itself keeps it from being
 * there twice, and never where it cannot be searched for: another photo can be taken, and the record be looked at. Resolves with the reference.
 * Throws ERR_EHR_REFUSED when the record takes no photos, ERR_EHR_*, ERR_WRITE_AMBIGUOUS when nobody can say whether it was written.
 */
export async function writePhoto(session: FhirSession, photo: TakenPhoto, ledger: PhotoLedger, looksMs = LOOKS_MS): Promise<string> {
  const identifier = photoIdentifier(photo)
  const known = await ledger.get(identifier)
  if (known?.photo) return known.photo
  const type = await photoType(session)
  const find = () => findWritten(session, type, photo.patientId, identifier)
  // That one that was sent is not there is believed when it is said twice.
  const reference = await find() ?? (known?.sentAt === undefined ? undefined : await find()) ?? await send(session, type, photo, ledger, known, looksMs)
  await ledger.put(identifier, { photo: reference })
  return reference
}

async function send(
  session: FhirSession, type: PhotoType, photo: TakenPhoto, ledger: PhotoLedger, known: PhotoPlaces | undefined, looksMs: readonly number[]
): Promise<string> {
  const identifier = photoIdentifier(photo)
  const capabilities = await session.capabilities()
  const shown = known?.sentAt === undefined || (Date.parse(photo.sentAt) - Date.parse(known.sentAt) > LATE_MS && searchFor(capabilities, type, photo.patientId, identifier) !== undefined)
  if (!shown && !capabilities.conditionalCreate(type))
    throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected to find a photo that was sent before but the record does not show it, or not yet; it was not sent again')
  const binary = known?.binary ?? await createBinary(session, photo)
  const places = binary === undefined ? {} : { binary }
  await ledger.put(identifier, { ...places, sentAt: photo.sentAt })
  try {
    return await create(session, type, photo, binary)
  } catch (error) {
    if (isScreeningError(error) && error.code === 'ERR_WRITE_AMBIGUOUS') {
      for (const delayMs of looksMs) {
        await wait(delayMs)
        const written = await findWritten(session, type, photo.patientId, identifier).catch(passOver)
        if (written) return written
      }
    } else await ledger.put(identifier, places)
    throw error
  }
}

/** Whoever cannot be asked now is asked at the next look. */
function passOver(error: unknown): undefined {
  if (!isScreeningError(error)) throw error
}

async function photoType(session: FhirSession): Promise<PhotoType> {
  const capabilities = await session.capabilities()
  const type = (['Media', 'DocumentReference'] as const).find((one) => capabilities.can(one, 'create'))
  if (!type) throw new ScreeningError('ERR_EHR_REFUSED', 'Expected a record that takes photos, but its /metadata lets neither Media nor DocumentReference be created. Nothing was saved.')
  return type
}

/**
 * Undefined where the bytes go inside: the record takes no Binary, or the answer to it was lost. Nobody can search for a Binary, and another one
 * would leave a picture behind that nothing refers to; under an id of ours it is the same one, however often it is sent.
 */
async function createBinary(session: FhirSession, photo: TakenPhoto): Promise<string | undefined> {
  const capabilities = await session.capabilities()
  if (!capabilities.can('Binary', 'create')) return undefined
  const binary = photoBinary(photo)
  try {
    return capabilities.updateCreate('Binary') ? await session.update({ ...binary, id: photoIdentifier(photo) }).catch(refusedById(() => session.create(binary))) : await session.create(binary)
  } catch (error) {
    if (isScreeningError(error) && error.code === 'ERR_WRITE_AMBIGUOUS') return undefined
    throw error
  }
}

/** Ids of ours may be refused by a server that lists them, or by a sign-in that may create and not update. */
function refusedById<T>(otherwise: () => Promise<T>) {
  return (error: unknown): Promise<T> => {
    if (isScreeningError(error) && (error.code === 'ERR_EHR_REFUSED' || error.code === 'ERR_EHR_UNAUTHORIZED')) return otherwise()
    throw error
  }
}

async function create(session: FhirSession, type: PhotoType, photo: TakenPhoto, binary: string | undefined): Promise<string> {
  const capabilities = await session.capabilities()
  const url = binary && `${session.tenant.fhirBase}/${binary}`
  const resource = type === 'Media' ? photoMedia(photo, url) : photoDocument(photo, url)
  const value = photoIdentifier(photo)
  return session.create(resource, capabilities.conditionalCreate(type) ? { ifNoneExist: identifierQuery({ system: PHOTO_ID, value }) } : {})
}

/** How the record can be asked for a photo; undefined where it cannot. */
function searchFor(capabilities: Capabilities, type: PhotoType, patientId: string, identifier: string): SearchParameters | undefined {
  if (capabilities.canSearch(type, 'identifier')) return { identifier: `${PHOTO_ID}|${identifier}` }
  return capabilities.canSearch(type, 'patient') ? { patient: patientId } : undefined
}

/** The photo with our identifier, if the record can be asked for it. */
async function findWritten(session: FhirSession, type: PhotoType, patientId: string, identifier: string): Promise<string | undefined> {
  const query = searchFor(await session.capabilities(), type, patientId, identifier)
  if (!query) return undefined
  const found = await session.search(type, query)
  const mine = found.find((one) => isOf(session.tenant, one.subject?.reference, patientId) && one.status !== 'entered-in-error' &&
    one.identifier?.some(({ system, value }) => system === PHOTO_ID && value === identifier))
  return mine && `${type}/${mine.id}`
}
