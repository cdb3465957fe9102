/** Servers by what their /metadata offers, strongest first; the weak ones are what vendors' sandboxes look like. */
export const PROFILES = {
  'update-create': { system: ['transaction', 'batch'], conditionalCreate: true, updateCreate: true, identifierSearch: true },
  'conditional': { system: ['transaction', 'batch'], conditionalCreate: true, updateCreate: false, identifierSearch: true },
  'transaction': { system: ['transaction', 'batch'], conditionalCreate: false, updateCreate: false, identifierSearch: true },
  'batch': { system: ['batch'], conditionalCreate: false, updateCreate: false, identifierSearch: true },
  'single': { system: [], conditionalCreate: false, updateCreate: false, identifierSearch: true },
  'patient-search': { system: [], conditionalCreate: false, updateCreate: false, identifierSearch: false }
} as const satisfies Record<string, Profile>

export type ProfileName = keyof typeof PROFILES

export interface Profile {
  readonly system: readonly string[]
  readonly conditionalCreate: boolean
  readonly updateCreate: boolean
  readonly identifierSearch: boolean
}

const SEARCH: Readonly<Record<string, readonly string[]>> = {
  Media: ['patient', 'subject', 'identifier'],
  Observation: ['patient', 'code', 'date', 'identifier'],
  DiagnosticReport: ['patient', 'code', 'date', 'identifier'],
  Provenance: ['target'],
  Device: ['identifier'],
  Appointment: ['date', 'patient', 'status'],
  Patient: ['identifier'],
  Binary: []
}

export function searchable({ identifierSearch }: Profile, type: string): readonly string[] {
  return (SEARCH[type] ?? []).filter((name) => name !== 'identifier' || identifierSearch)
}

export function knows(type: string): boolean {
  return type in SEARCH
}

export function capabilityStatement(profile: Profile): object {
  const interaction = ['read', 'vread', 'create', 'update', 'search-type', 'history-instance'].map((code) => ({ code }))
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
    rest: [{
      mode: 'server',
      interaction: profile.system.map((code) => ({ code })),
      resource: Object.keys(SEARCH).map((type) => ({
        type, interaction, conditionalCreate: profile.conditionalCreate, updateCreate: profile.updateCreate,
        searchParam: searchable(profile, type).map((name) => ({ name, type: name === 'date' ? 'date' : 'token' }))
      }))
    }]
  }
}
