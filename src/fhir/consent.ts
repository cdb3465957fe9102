import type { Consent } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import type { FhirSession } from './session.ts'

/** What our work is about; a refusal of other classes of data does not touch it. */
const OURS = ['Media', 'DocumentReference', 'Binary', 'DiagnosticReport', 'Observation']

/**
 * False when the record holds an active Consent of this patient that denies use of pictures or findings (FHIR R4 Consent,
 * specs/conformance.md row 57). Asked only where the site's registration may read Consent and the server can search it by
 * patient; elsewhere the record cannot tell us, and the site decides whom it screens. A denial with exceptions counts as one:
 * which of them would let software read a photo is not ours to guess. Throws ERR_EHR_*.
 */
export async function isConsented(session: FhirSession, patientId: string, now: Date): Promise<boolean> {
  if (!isGranted(session.tenant.backend?.scope, 'Consent', 's') || !(await session.capabilities()).canSearch('Consent', 'patient')) return true
  try {
    const consents = await session.search('Consent', { patient: patientId })
    return !consents.some((one) => denies(one, now))
  } catch (error) {
    // Listed, but not for us.
    if (isScreeningError(error) && (error.code === 'ERR_EHR_UNAUTHORIZED' || error.code === 'ERR_EHR_REFUSED' || error.code === 'ERR_NOT_FOUND')) return true
    throw error
  }
}

/**
 * What the registration may do: create (c), read (r), update (u) or search (s), in SMART 1 and 2: `system/Consent.read`, `system/Consent.rs`,
 * `system/*.rs`.
 */
export function isGranted(scope: string | undefined, type: string, how: 'c' | 'r' | 'u' | 's'): boolean {
  return scope?.split(/\s+/).some((one) => {
    const [, of, may = ''] = /^system\/([A-Za-z]+|\*)\.(read|write|\*|[cruds]+)(?:\?.*)?$/.exec(one) ?? []
    const whole = may === '*' || may === (how === 'r' || how === 's' ? 'read' : 'write')
    return (of === type || of === '*') && (whole || (/^[cruds]+$/.test(may) && may.includes(how)))
  }) ?? false
}

function denies({ status, provision }: Consent, now: Date): boolean {
  if (status !== 'active' || provision?.type !== 'deny') return false
  const { start, end } = provision.period ?? {}
  if ((start && Date.parse(start) > now.getTime()) || (end && endOf(end) < now.getTime())) return false
  return provision.class === undefined || provision.class.some(({ code }) => code !== undefined && OURS.includes(code))
}

/** A day lasts until its end, and a bit longer for zones: a refusal is rather honoured too long. */
function endOf(dateTime: string): number {
  return Date.parse(dateTime) + (dateTime.includes('T') ? 0 : 36 * 3_600_000)
}
