import { createHash } from 'node:crypto'
import type { TenantConfig } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import { LOGICAL_ID } from '../../src/fhir/logical-id.ts'
import type { PhotoLedger, PhotoPlaces } from '../../src/fhir/photo-writer.ts'
import type { TakenPhoto } from '../../src/fhir/resources/photo-resources.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { LATERALITIES, type Laterality } from '../../src/joints/hand-joint.ts'
import { photoVerdict, type PhotoVerdict } from '../../src/joints/photo-verdict.ts'
import { CONSENT_VERSION, OLDEST_PHOTO_MS } from '../consent.ts'
import { SESSION_SECONDS, sha256, type AppSession, type SessionStore } from './app-session.ts'
import { granted } from './granted.ts'

/** A photo as the page sends it, after the person agreed. */
export interface SentPhoto {
  readonly bytes: Uint8Array
  readonly side: Laterality
  /** How long ago it was taken, by the device's own clock: a clock that is wrong does no harm. */
  readonly ageMs: number
  readonly camera: string
  readonly consent: string
}

export interface CaptureRecord {
  writePhoto(session: AppSession, tenant: TenantConfig, photo: TakenPhoto, ledger: PhotoLedger): Promise<string>
}

export interface CaptureDeps {
  readonly engine: InferenceEngine
  readonly record: CaptureRecord
  readonly sessions: SessionStore
  /** Tells screening of a photo that it may not be able to find by itself. */
  handOver?(tenant: string, patientId: string, references: readonly string[]): Promise<void>
  readonly now: () => number
}

export type CaptureDesk = ReturnType<typeof openCaptureDesk>

/** Enough for every joint at the distance the guidance asks for, at a tenth of the bytes of a phone's original. */
const SAVED_SIDE_PX = 3000

/** The capture page's work: is this photo good enough, and into the record with it. A photo that is only checked is kept nowhere. */
export function openCaptureDesk({ engine, record, sessions, handOver, now }: CaptureDeps) {
  const saving = new Map<string, Promise<string>>()

  async function save(session: AppSession, tenant: TenantConfig, photo: SentPhoto): Promise<string> {
    const { width, height } = await engine.assess(photo.bytes)
    const jpeg = await engine.renderPhoto(photo.bytes, { maxSidePx: SAVED_SIDE_PX })
    const reference = await record.writePhoto(session, tenant, takenPhoto(session, tenant, photo, jpeg, { width, height }, now()), ledgerOf(sessions, session))
    await handOver?.(tenant.id, session.patientId, [reference])
    await sessions.put(savedName(session, photo.side), true, SESSION_SECONDS)
    return reference
  }

  return {
    async check(photo: Omit<SentPhoto, 'ageMs' | 'camera'>): Promise<PhotoVerdict> {
      refuseWithoutConsent(photo)
      return photoVerdict(await engine.assess(photo.bytes), photo.side)
    },

    /** Hands whose photo this session has saved: a page that is loaded again goes on where it was. */
    async saved(session: AppSession): Promise<readonly Laterality[]> {
      const known = await Promise.all(LATERALITIES.map((side) => sessions.get(savedName(session, side))))
      return LATERALITIES.filter((_side, at) => known[at] !== undefined)
    },

    /** The same photo sent twice at once, or again after a dropped connection, is saved once. */
    async save(session: AppSession, tenant: TenantConfig, photo: SentPhoto): Promise<{ reference: string }> {
      refuseWithoutConsent(photo)
      if (!maySavePhotos(session)) throw new ScreeningError('ERR_FORBIDDEN', 'Your EHR sign-in does not allow saving photos; nothing was saved.')
      if (photo.ageMs > OLDEST_PHOTO_MS) throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected a photo of the last 24 hours; take a new one.')
      const name = JSON.stringify([tenant.id, session.patientId, photo.side, digestOf(photo.bytes)])
      const mine = saving.get(name) ?? save(session, tenant, photo).finally(() => saving.delete(name))
      saving.set(name, mine)
      return { reference: await mine }
    }
  }
}

/** By the session's own secret, so that another sitting begins anew. */
const savedName = ({ csrf }: AppSession, side: Laterality) => `captured:${sha256(`${csrf} ${side}`)}`

/**
 * A patient or a relative sees the capture page and nothing of what a model says. Whoever launches outside an EHR without being known as a
 * clinician may be one; a launch from within an EHR comes from somebody whom that has signed in.
 */
export function isPatientLaunch({ fhirUser = '', role = roleOf(fhirUser), standalone = false }: AppSession): boolean {
  return role === 'patient' || (standalone && role !== 'clinician')
}

const USER = new RegExp(`(?:^|/)(Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/${LOGICAL_ID}$`)

/** By `fhirUser` in any form: relative, absolute, also of another server. */
export function roleOf(fhirUser: unknown): AppSession['role'] {
  const [, type = ''] = USER.exec(typeof fhirUser === 'string' ? fhirUser : '') ?? []
  return type === '' ? undefined : type.startsWith('Practitioner') ? 'clinician' : 'patient'
}

export function maySavePhotos({ scope }: AppSession): boolean {
  return granted(scope, 'Media', 'c') || granted(scope, 'DocumentReference', 'c')
}

function refuseWithoutConsent({ consent }: Pick<SentPhoto, 'consent'>): void {
  if (consent !== CONSENT_VERSION)
    throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected the person’s agreement to the words that are on the page now; the photo was not looked at.')
}

function takenPhoto(
  session: AppSession, tenant: TenantConfig, { bytes, side, ageMs, camera, consent }: SentPhoto, jpeg: Uint8Array, upright: { width: number; height: number }, now: number
): TakenPhoto {
  const scale = Math.min(1, SAVED_SIDE_PX / Math.max(upright.width, upright.height))
  return {
    tenant: tenant.id,
    patientId: session.patientId,
    ...(session.encounterId ? { encounterId: session.encounterId } : {}),
    side,
    sentSha256: digestOf(bytes),
    jpeg,
    width: Math.round(upright.width * scale),
    height: Math.round(upright.height * scale),
    takenAt: new Date(now - ageMs).toISOString(),
    sentAt: new Date(now).toISOString(),
    ...(session.fhirUser ? { operator: session.fhirUser } : {}),
    deviceName: camera,
    consent
  }
}

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Kept as long as a session may last; by patient, so that a new launch after a crash finds it too. */
function ledgerOf(sessions: SessionStore, { tenant, patientId }: AppSession): PhotoLedger {
  const name = (identifier: string) => `capture:${sha256(JSON.stringify([tenant, patientId, identifier]))}`
  return {
    get: async (identifier) => (await sessions.get(name(identifier))) as PhotoPlaces | undefined,
    put: (identifier, places) => sessions.put(name(identifier), places, SESSION_SECONDS)
  }
}
