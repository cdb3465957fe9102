import type { CapabilityStatement } from 'fhir/r4.js'
import { RECORD_TYPES, type RecordType } from './r4-definitions.ts'

const SEARCH: Readonly<Record<RecordType, readonly string[]>> = {
  Appointment: ['patient', 'date', 'status', 'identifier'],
  Binary: [],
  Condition: ['patient', 'subject', 'code', 'clinical-status', 'category'],
  Device: ['identifier', 'patient'],
  DiagnosticReport: ['patient', 'subject', 'code', 'date', 'status', 'identifier'],
  DocumentReference: ['patient', 'subject', 'type', 'date', 'status', 'identifier'],
  Encounter: ['patient', 'subject', 'date', 'status'],
  Media: ['patient', 'subject', 'created', 'status', 'site', 'identifier'],
  MedicationRequest: ['patient', 'subject', 'status', 'intent', 'code'],
  Observation: ['patient', 'subject', 'code', 'date', 'status', 'identifier', 'category'],
  Patient: ['_id', 'identifier', 'name', 'birthdate'],
  Practitioner: ['identifier', 'name'],
  Provenance: ['target', 'recorded'],
  Task: ['patient', 'subject', 'status', 'identifier']
}
const KINDS: Readonly<Record<string, 'date' | 'reference' | 'string'>> = {
  patient: 'reference', subject: 'reference', target: 'reference', date: 'date', created: 'date', recorded: 'date', birthdate: 'date', name: 'string'
}

/** What this server does, neither more nor less. */
export function capabilityStatement(base: string, oauth: { readonly authorize: string; readonly token: string }): CapabilityStatement {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: '2026-11-24',
    kind: 'instance',
    fhirVersion: '4.0.1',
    format: ['json'],
    software: { name: 'JointLens demo EHR' },
    implementation: { description: 'Synthetic patients in memory; gone when it stops', url: base },
    rest: [{
      mode: 'server',
      security: {
        service: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' }] }],
        extension: [{
          url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
          extension: [{ url: 'authorize', valueUri: oauth.authorize }, { url: 'token', valueUri: oauth.token }]
        }]
      },
      interaction: [{ code: 'transaction' }, { code: 'batch' }],
      resource: RECORD_TYPES.map((type) => ({
        type,
        versioning: 'versioned-update' as const,
        interaction: (['read', 'vread', 'create', 'update', 'delete', 'patch', 'search-type', 'history-instance'] as const).map((code) => ({ code })),
        conditionalCreate: true,
        conditionalUpdate: true,
        searchParam: SEARCH[type].map((name) => ({ name, type: KINDS[name] ?? 'token' }))
      }))
    }]
  }
}
