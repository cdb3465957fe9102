import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError } from '../../src/errors.ts'
import type { Laboratory, SignedScore, TreatmentStart } from '../../src/fhir/clinical-context.ts'
import type { AppSession } from './app-session.ts'
import { granted } from './granted.ts'

/** Why a part of the record is not on the page. */
export type Absence = 'not-granted' | 'failed'

export interface VisitContext {
  readonly treatments?: readonly TreatmentStart[]
  readonly laboratory?: Laboratory
  readonly scores?: readonly SignedScore[]
  readonly absent: { readonly treatments?: Absence; readonly laboratory?: Absence }
}

export interface ContextRecord {
  treatments(session: AppSession, tenant: TenantConfig): Promise<readonly TreatmentStart[]>
  laboratoryAndScores(session: AppSession, tenant: TenantConfig): Promise<{ readonly laboratory: Laboratory; readonly scores: readonly SignedScore[] }>
}

/** Treatment, laboratory and earlier scores beside the photos. What was not granted is not asked for; what fails leaves the rest. */
export async function visitContext(record: ContextRecord, session: AppSession, tenant: TenantConfig): Promise<VisitContext> {
  const [treatments, observations] = await Promise.all([
    part(session, 'MedicationRequest', () => record.treatments(session, tenant)),
    part(session, 'Observation', () => record.laboratoryAndScores(session, tenant))
  ])
  return {
    ...('value' in treatments ? { treatments: treatments.value } : {}),
    ...('value' in observations ? observations.value : {}),
    absent: {
      ...('absent' in treatments ? { treatments: treatments.absent } : {}),
      ...('absent' in observations ? { laboratory: observations.absent } : {})
    }
  }
}

async function part<Value>(session: AppSession, type: string, read: () => Promise<Value>): Promise<{ value: Value } | { absent: Absence }> {
  if (!granted(session.scope, type, 's')) return { absent: 'not-granted' }
  try {
    return { value: await read() }
  } catch (error) {
    if (!isScreeningError(error)) throw error
    return { absent: 'failed' }
  }
}
