import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError } from '../../src/errors.ts'
import type { Laboratory, SignedScore, TreatmentStart } from '../../src/fhir/clinical-context.ts'
import type { AppSession } from './app-session.ts'
import { granted } from './granted.ts'
import type { SignedFindings } from '../../src/fhir/standing-review.ts'

/** Why a part of the record is not on the page. */
export type Absence = 'not-granted' | 'failed'

/** Instead of a reference to who signed: whether whoever looks did, and someone else's name, where the record lets us read it. */
type Named<One> = Omit<One, 'performer'> & { readonly own: boolean; readonly by?: string }

/** What clinicians have signed for one screening: joints, tender and large joints, and numbers. */
export interface SignedByClinicians {
  readonly joints: readonly (Named<Omit<SignedFindings['joints'][number], 'earlier'>> & {
    readonly earlier?: readonly Named<NonNullable<SignedFindings['joints'][number]['earlier']>[number]>[]
  })[]
  readonly tender: readonly Named<SignedFindings['tender'][number]>[]
  readonly swollen: readonly Named<SignedFindings['swollen'][number]>[]
  readonly numbers: readonly Named<SignedFindings['numbers'][number]>[]
}

export interface VisitContext {
  readonly treatments?: readonly TreatmentStart[]
  readonly laboratory?: Laboratory
  readonly scores?: readonly SignedScore[]
  /** For the photos that are shown. */
  readonly signed?: SignedByClinicians
  readonly absent: { readonly treatments?: Absence; readonly laboratory?: Absence; readonly signed?: Absence }
}

export interface ContextRecord {
  treatments(session: AppSession, tenant: TenantConfig): Promise<readonly TreatmentStart[]>
  laboratoryAndScores(session: AppSession, tenant: TenantConfig): Promise<{ readonly laboratory: Laboratory; readonly scores: readonly SignedScore[] }>
}

export type ContextParts = ContextRecord & { readonly signedFor?: (() => Promise<SignedByClinicians>) | undefined }

/** Treatment, laboratory and earlier scores beside the photos. What was not granted is not asked for; what fails leaves the rest. */
export async function visitContext(record: ContextParts, session: AppSession, tenant: TenantConfig): Promise<VisitContext> {
  const [treatments, observations, signed] = await Promise.all([
    part(session, 'MedicationRequest', () => record.treatments(session, tenant)),
    part(session, 'Observation', () => record.laboratoryAndScores(session, tenant)),
    record.signedFor && part(session, 'Observation', record.signedFor)
  ])
  return {
    ...('value' in treatments ? { treatments: treatments.value } : {}),
    ...('value' in observations ? observations.value : {}),
    ...(signed && 'value' in signed ? { signed: signed.value } : {}),
    absent: {
      ...('absent' in treatments ? { treatments: treatments.absent } : {}),
      ...('absent' in observations ? { laboratory: observations.absent } : {}),
      ...(signed && 'absent' in signed ? { signed: signed.absent } : {})
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
