import type { DiagnosticReport, Observation } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import { aiTerm, REPORT_ID, RESULT_ID } from './codes.ts'
import type { HandPhoto } from './photo-sources.ts'
import { readIfThere } from './read-if-there.ts'
import { isOf, patientIn } from './references.ts'
import type { FhirSession } from './session.ts'
import { isOfToken } from './transport.ts'
import { isKeptFor } from './whose.ts'

/** `cancelled`: superseded by a newer photo or model. `entered-in-error`: wrong patient, side or photo (DESIGN section 7). */
export type RetiredStatus = 'cancelled' | 'entered-in-error'

/**
 * What became of one of our results: it has the status now; it is not in the record; it is somebody else's by now (a clinician
 * changed its status, it was filed under another patient without its photos, it is not ours), and was left alone; or this record takes no updates.
 */
export type Retired = 'retired' | 'gone' | 'left' | 'no-updates'

export interface Retirement {
  /** Observation or DiagnosticReport, `Type/id`. */
  readonly reference: string
  /** Our deterministic id, which it carries as identifier. */
  readonly identifier: string
  readonly patientId: string
  readonly status: RetiredStatus
  /** What it was read from. Asked for where it lies with another patient: if these do as well, they were moved together. */
  readonly photos?: () => Promise<readonly Pick<HandPhoto, 'resourceType' | 'id'>[]>
  /** Called right before the send; throws ERR_LEASE_LOST. */
  fence(): Promise<void>
}

/**
 * Takes back one result of ours that lies in the record: never deleted, only its status changes, on the version that was read.
 * What anyone else has touched stays as it is. Throws ERR_EHR_*, ERR_WRITE_AMBIGUOUS (doing it again is harmless), ERR_LEASE_LOST.
 */
export async function retire(session: FhirSession, retirement: Retirement): Promise<Retired> {
  const [type, id = ''] = retirement.reference.split('/')
  if (type !== 'Observation' && type !== 'DiagnosticReport') return 'left'
  const capabilities = await session.capabilities()
  if (!capabilities.can(type, 'update') || !capabilities.can(type, 'read')) return 'no-updates'
  for (let time = 0; time < TRIES; time++) {
    const there = await readIfThere(session, type, id)
    if (!there) return 'gone'
    if (there.status === retirement.status) return 'retired'
    if (!isOursToRetire(there, retirement) || !await isWhereItBelongs(session, there, retirement).catch(goneIsElsewhere)) return 'left'
    await retirement.fence()
    try {
      await session.update({ ...there, status: retirement.status }, there.meta?.versionId ? { ifMatch: there.meta.versionId } : {})
    } catch (error) {
      if (!isScreeningError(error)) throw error
      // It could be read with the same token: what is not allowed is the update, unless that was a gateway's word or the token was taken back just then.
      const refused = error.code === 'ERR_EHR_REFUSED' || error.code === 'ERR_EHR_UNAUTHORIZED'
      if (refused && time < (isOfToken(error) ? TRIES - 1 : 1)) continue
      if (refused) return 'no-updates'
      // Someone was faster: what they made of it decides.
      if (error.code !== 'ERR_CONFLICT') throw error
    }
    // Read again, also after a success: a server without versions may have taken it and kept another.
  }
  return 'left'
}

const TRIES = 3

/**
 * With its patient, or with another one and its photos too, as in a record that merges two patients: that one's photos are read anew, and
 * what was said of them before would stand beside it. Filed under another patient is believed when it is said twice.
 */
async function isWhereItBelongs(session: FhirSession, there: Observation | DiagnosticReport, { patientId, photos }: Retirement): Promise<boolean> {
  if (await isKeptFor(session, there, patientId)) return true
  const other = patientIn(session.tenant, there.subject?.reference)
  const sources = await photos?.() ?? []
  if (other === undefined || sources.length === 0) return false
  for (const { resourceType, id } of sources)
    if (!isOf(session.tenant, (await session.read(resourceType, id)).subject?.reference, other)) return false
  return true
}

function goneIsElsewhere(error: unknown): false {
  if (isScreeningError(error) && error.code === 'ERR_NOT_FOUND') return false
  throw error
}

/** As we wrote it: labelled AI-asserted, without a performer, and still preliminary. */
function isOursToRetire(there: Observation | DiagnosticReport, { identifier, status }: Retirement): boolean {
  const ai = aiTerm('AIAST')
  const labelled = there.meta?.security?.some(({ system, code }) => system === ai.system && code === ai.code) ?? false
  const carried = (there.identifier ?? []).filter(({ system }) => system === RESULT_ID || system === REPORT_ID)
  const ours = carried.length > 0 ? carried.some(({ value }) => value === identifier) : labelled
  const from = status === 'entered-in-error' ? ['preliminary', 'cancelled'] : ['preliminary']
  return ours && there.performer === undefined && from.includes(there.status)
}
