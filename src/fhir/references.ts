import type { TenantConfig } from '../config.ts'
import { LOGICAL_ID, referenceTo } from './logical-id.ts'

const VERSION = new RegExp(`/_history/${LOGICAL_ID}$`)
const PATIENT = referenceTo('Patient')

type Base = Pick<TenantConfig, 'fhirBase'>

/**
 * `Type/id` of this FHIR server, whether it is written relative or absolute, with or without a version; anything else as it is. Behind a
 * proxy a server may write http for the https that it is reached by.
 */
export function relativeTo({ fhirBase }: Base, reference: string): string {
  const named = fhirBase.startsWith('https:') ? reference.replace(/^http:/, 'https:') : reference
  const relative = named.startsWith(`${fhirBase}/`) ? named.slice(fhirBase.length + 1) : reference
  return relative.replace(VERSION, '')
}

/** Which patient of this record it names. `Patient/12` of another server is another person. */
export function patientIn(base: Base, reference: string | undefined): string | undefined {
  return PATIENT.exec(relativeTo(base, reference ?? ''))?.[2]
}

/** Names this patient of this record. */
export function isOf(base: Base, reference: string | undefined, patientId: string): boolean {
  return patientIn(base, reference) === patientId
}

/** What a resource refers to, as it is written there. */
export function referencesIn(resource: object): readonly string[] {
  return [...JSON.stringify(resource).matchAll(/"reference":"([^"]+)"/g)].map(([, reference]) => reference ?? '')
}
