import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError } from '../../src/errors.ts'
import type { Laboratory, SignedScore, TreatmentStart } from '../../src/fhir/clinical-context.ts'
import type { AppSession } from './app-session.ts'
import { granted } from './granted.ts'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import type { JointCall } from '../../src/fhir/resources/clinician-resources.ts'

/** Why a part of the record is not on the page. */
export type Absence = 'not-granted' | 'failed'

/** A joint that a clinician signed. */
export interface SignedByClinician {
  readonly side: Laterality
  readonly joint: HandJoint
  readonly call: JointCall
  readonly at?: string
  /** Whoever looks signed it. */
  readonly own: boolean
  /** Someone else's name, where the record lets us read it. */
  readonly by?: string
  /** What stood there before it was corrected, oldest first. */
  readonly earlier?: readonly { readonly call?: JointCall; readonly at?: string; readonly own: boolean; readonly by?: string }[]
}

export interface VisitContext {
  readonly treatments?: readonly TreatmentStart[]
  readonly laboratory?: Laboratory
  readonly scores?: readonly SignedScore[]
  /** For the newest photos. */
  readonly signed?: readonly SignedByClinician[]
  readonly absent: { readonly treatments?: Absence; readonly laboratory?: Absence; readonly signed?: Absence }
}

export interface ContextRecord {
  treatments(session: AppSession, tenant: TenantConfig): Promise<readonly TreatmentStart[]>
  laboratoryAndScores(session: AppSession, tenant: TenantConfig): Promise<{ readonly laboratory: Laboratory; readonly scores: readonly SignedScore[] }>
}

export type ContextParts = ContextRecord & { readonly signedFor?: (() => Promise<readonly SignedByClinician[]>) | undefined }

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
