import type { Observation } from 'fhir/r4.js'
import type { ModelIdentity } from '../joints/finding.ts'
import { HAND_JOINTS, LATERALITIES, type HandJoint, type Laterality } from '../joints/hand-joint.ts'
import { ownObservations } from './own-observations.ts'
import { clinicianId, isPresentIn, type JointCall } from './resources/clinician-resources.ts'
import type { SourcePhoto } from './resources/result-ids.ts'
import type { FhirSession } from './session.ts'

/** What a clinician signed about one joint. */
export interface SignedCall {
  readonly side: Laterality
  readonly joint: HandJoint
  readonly swollen: boolean
  /** Code of the method: ai-assisted-confirmed, ai-assisted-corrected, clinician-exam. */
  readonly how: string
}

export interface ReviewedScreening {
  readonly tenant: string
  readonly patientId: string
  readonly screeningId: string
  readonly photos: readonly SourcePhoto[]
  readonly model: ModelIdentity
}

/**
 * The final Observations that a clinician signed for one screening, as the record holds them now. A joint that the clinician
 * could not assess, or whose Observation was withdrawn, is not among them. Throws ERR_EHR_*.
 */
export async function signedCalls(session: FhirSession, screening: ReviewedScreening): Promise<readonly SignedCall[]> {
  const wanted = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint, id: clinicianId(screening, side, joint) })))
  const found = await ownObservations(session, screening.patientId, wanted.map(({ id }) => id))
  return wanted.flatMap(({ side, joint, id }) => {
    const call = callOf(found.get(id))
    return call === undefined || call === 'not-assessable' ? [] : [{ side, joint, swollen: call === 'swollen', how: found.get(id)?.method?.coding?.[0]?.code ?? '' }]
  })
}

const SIGNED: readonly Observation['status'][] = ['final', 'amended', 'corrected']

/** It stands: neither withdrawn nor on its way. */
export function isSigned(observation: Observation | undefined): boolean {
  return observation !== undefined && SIGNED.includes(observation.status)
}

/** What a standing Observation says of its joint; undefined for one that does not stand. */
export function callOf(observation: Observation | undefined): JointCall | undefined {
  if (!isSigned(observation)) return undefined
  const swollen = observation && isPresentIn(observation)
  return swollen === undefined ? 'not-assessable' : swollen ? 'swollen' : 'not-swollen'
}

/** Another answer to the same question. */
export function saysOtherwise(wanted: Observation, there: Observation | undefined): boolean {
  return answerOf(there) !== answerOf(wanted)
}

function answerOf(observation: Observation | undefined): string {
  return JSON.stringify([observation?.valueCodeableConcept?.coding?.[0]?.code, observation?.valueQuantity?.value])
}
