import type { FhirResource } from 'fhir/r4.js'
import { referenceTo } from './logical-id.ts'

/**
 * What three R4 validators let pass and we never send (specs/conformance.md section 4.4): empty members, two values, a Device
 * as performer, AI results called final, references that lead nowhere, and a second patient. Returns faults in words, without values.
 */
export function outgoingFaults(resources: readonly FhirResource[], patientId: string): readonly string[] {
  const inside = new Set(resources.map(({ resourceType, id }) => `${resourceType}/${id}`))
  return resources.flatMap((one) => [
    ...memberFaults(one, one.resourceType, (path, reference) => [...referenceFault(path, reference, inside, one), ...patientFault(path, reference, patientId)]),
    ...subjectFault(one),
    ...performerFault(one),
    ...statusFault(one)
  ])
}

type ReferenceRule = (path: string, reference: string) => readonly string[]

/** Of a value and everything inside it. */
function memberFaults(value: unknown, path: string, faultOf: ReferenceRule): readonly string[] {
  if (typeof value !== 'object' || value === null) {
    const faults = isEmpty(value) ? [`${path} is empty`] : []
    return typeof value === 'string' && path.endsWith('.reference') ? [...faults, ...faultOf(path, value)] : faults
  }
  const members = Object.entries(value)
  if (members.length === 0) return [`${path} is empty`]
  const inside = members.flatMap(([name, member]) => memberFaults(member, `${path}.${name}`, faultOf))
  return Array.isArray(value) ? inside : [...twoValues(members.map(([name]) => name), path), ...inside]
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === '' || (typeof value === 'number' && !Number.isFinite(value))
}

const CHOICES = ['value', 'effective', 'onset', 'occurred'].map((name) => ({ name, member: new RegExp(`^${name}[A-Z]`) }))

function twoValues(names: readonly string[], path: string): readonly string[] {
  return CHOICES.flatMap(({ name, member }) => names.filter((one) => member.test(one)).length > 1 ? [`${path} has more than one ${name}[x]`] : [])
}

const TYPE_AND_ID = referenceTo('[A-Z][A-Za-z]+')

/** Ours resolve inside the set (they carry our uuid) or name something of the record as `Type/id`. */
function referenceFault(path: string, reference: string, inside: ReadonlySet<string>, owner: FhirResource): string[] {
  if (reference.startsWith('#')) {
    const contained = 'contained' in owner ? (owner.contained ?? []) : []
    return contained.some(({ id }) => `#${id}` === reference) ? [] : [`${path} leads to nothing contained`]
  }
  if (!TYPE_AND_ID.test(reference)) return [`${path} is not Type/id`]
  const ours = /^(Observation|DiagnosticReport|Provenance|Device)\/[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{21}$/.test(reference)
  return ours && !inside.has(reference) ? [`${path} leads outside the set`] : []
}

function patientFault(path: string, reference: string, patientId: string): string[] {
  return /(^|\/)Patient\//.test(reference) && reference !== `Patient/${patientId}` ? [`${path} is another patient`] : []
}

function subjectFault(resource: FhirResource): string[] {
  const needed = resource.resourceType === 'Observation' || resource.resourceType === 'DiagnosticReport'
  return needed && resource.subject?.reference === undefined ? [`${resource.resourceType}.subject is missing`] : []
}

function performerFault(resource: FhirResource): string[] {
  const performers = 'performer' in resource && Array.isArray(resource.performer) ? resource.performer : []
  const devices = performers.filter((one) => 'reference' in one && /^Device\//.test(String(one.reference)))
  return devices.map(() => `${resource.resourceType}.performer is a Device`)
}

/** What a device asserted is never final. */
function statusFault(resource: FhirResource): string[] {
  const byDevice = resource.resourceType === 'Observation' && resource.device !== undefined && resource.performer === undefined
  return byDevice && !['preliminary', 'cancelled', 'entered-in-error'].includes(resource.status)
    ? [`${resource.resourceType}.status is ${resource.status} without a performer`] : []
}
