import type { FhirResource } from 'fhir/r4.js'

/**
 * What three R4 validators let pass and we never send (specs/conformance.md section 4.4): empty members, two values, a Device
 * as performer, AI results called final, references that lead nowhere, and a second patient. Returns faults in words, without values.
 */
export function outgoingFaults(resources: readonly FhirResource[], patientId: string): readonly string[] {
  const inside = new Set(resources.map(({ resourceType, id }) => `${resourceType}/${id}`))
  return resources.flatMap((one) => [
    ...emptyMembers(one, one.resourceType),
    ...twoValues(one, one.resourceType),
    ...references(one).flatMap(({ path, reference }) => referenceFault(path, reference, inside, one)),
    ...subjectFault(one, patientId),
    ...performerFault(one),
    ...statusFault(one)
  ])
}

function* walk(value: unknown, path: string): Generator<{ path: string; value: unknown }> {
  yield { path, value }
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) yield* walk(member, `${path}.${name}`)
}

function emptyMembers(resource: FhirResource, root: string): string[] {
  return [...walk(resource, root)].flatMap(({ path, value }) => {
    const empty = value === null || value === undefined || value === '' || (typeof value === 'number' && !Number.isFinite(value)) ||
      (typeof value === 'object' && Object.keys(value).length === 0)
    return empty ? [`${path} is empty`] : []
  })
}

function twoValues(resource: FhirResource, root: string): string[] {
  return [...walk(resource, root)].flatMap(({ path, value }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
    return ['value', 'effective', 'onset', 'occurred'].flatMap((name) => {
      const set = Object.keys(value).filter((key) => new RegExp(`^${name}[A-Z]`).test(key))
      return set.length > 1 ? [`${path} has more than one ${name}[x]`] : []
    })
  })
}

function references(resource: FhirResource): { path: string; reference: string }[] {
  return [...walk(resource, resource.resourceType)].flatMap(({ path, value }) =>
    path.endsWith('.reference') && typeof value === 'string' ? [{ path, reference: value }] : [])
}

/** Ours resolve inside the set (they carry our uuid) or name something of the record as `Type/id`. */
function referenceFault(path: string, reference: string, inside: ReadonlySet<string>, owner: FhirResource): string[] {
  if (reference.startsWith('#')) {
    const contained = 'contained' in owner ? (owner.contained ?? []) : []
    return contained.some(({ id }) => `#${id}` === reference) ? [] : [`${path} leads to nothing contained`]
  }
  if (!/^[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/.test(reference)) return [`${path} is not Type/id`]
  const ours = /^(Observation|DiagnosticReport|Provenance|Device)\/[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{21}$/.test(reference)
  return ours && !inside.has(reference) ? [`${path} leads outside the set`] : []
}

function subjectFault(resource: FhirResource, patientId: string): string[] {
  const named = [...walk(resource, resource.resourceType)].filter(({ path, value }) =>
    path.endsWith('.reference') && typeof value === 'string' && /(^|\/)Patient\//.test(value))
  const wrong = named.filter(({ value }) => value !== `Patient/${patientId}`).map(({ path }) => `${path} is another patient`)
  const needed = resource.resourceType === 'Observation' || resource.resourceType === 'DiagnosticReport'
  return needed && resource.subject?.reference === undefined ? [...wrong, `${resource.resourceType}.subject is missing`] : wrong
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
