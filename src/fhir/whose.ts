import type { FhirResource } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import { isOf } from './references.ts'
import type { FhirSession } from './session.ts'

type OfPatient = Extract<FhirResource, { resourceType: 'Media' | 'DocumentReference' | 'Observation' | 'DiagnosticReport' | 'Consent' }>

/**
 * Whether the record keeps this for the patient. “For another one” is believed when it is said twice: what follows from it, a refusal or
 * results that are taken back, is too much for one answer that a cache or a proxy may have mixed up, or that fell into a merge.
 *
 * Throws ERR_EHR_ANSWER when the record contradicts itself, which is asked again later; ERR_NOT_FOUND when it is gone by now.
 */
export async function isKeptFor(session: FhirSession, found: OfPatient, patientId: string): Promise<boolean> {
  if (isOf(session.tenant, subjectOf(found), patientId)) return true
  if (found.id === undefined || !(await session.capabilities()).can(found.resourceType, 'read')) return false
  const again = await session.read(found.resourceType, found.id)
  if (!isOf(session.tenant, subjectOf(again), patientId)) return false
  throw new ScreeningError('ERR_EHR_ANSWER', `Expected the record to keep one ${found.resourceType} for one patient but two answers named two`)
}

function subjectOf(found: OfPatient): string | undefined {
  return (found.resourceType === 'Consent' ? found.patient : found.subject)?.reference
}
