import { createHash } from 'node:crypto'
import type { Observation } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import type { ActivityIndex, ActivityInputs } from '../joints/activity-scores.ts'
import type { JointOf28, LargeJoint, Laterality } from '../joints/hand-joint.ts'
import { ownObservationsEver } from './own-observations.ts'
import { signables, type ExaminedJoints, type JointDecision, type Signable } from './resources/clinician-resources.ts'
import { earlierVersions, type EarlierVersion } from './resources/corrected-observation.ts'
import { relativeTo } from './references.ts'
import type { FhirSession } from './session.ts'
import { callOf, isSigned, type ReviewedScreening } from './signed-calls.ts'

/** All that clinicians have signed for one screening, as it stands in the record now. */
export interface StandingReview {
  readonly decisions: readonly JointDecision[]
  readonly examined: ExaminedJoints
  /** As entered, with the laboratory values that signed scores were made of. */
  readonly activity: ActivityInputs
  /** By our id; those that were withdrawn among them. */
  readonly observations: ReadonlyMap<string, Observation>
}

/** Who signed it and when, and whether in the examination that is going on, of which things are counted together. */
export interface SignedBy {
  /** `Practitioner/…` */
  readonly performer?: string
  readonly at?: string
  readonly sameExamination: boolean
}

/** A joint that someone signed: the call, and what stood there before a correction, oldest first. */
export type SignedJoint = JointDecision & SignedBy & { readonly earlier?: readonly EarlierVersion[] }

/** What stands signed for one screening and by whom: joints called not assessable among it, tender and large joints, and every number. */
export interface SignedFindings {
  readonly joints: readonly SignedJoint[]
  readonly tender: readonly (JointOf28 & SignedBy)[]
  readonly swollen: readonly (JointOf28 & SignedBy)[]
  readonly numbers: readonly ({ readonly name: keyof ActivityInputs | ActivityIndex; readonly value: number } & SignedBy)[]
}

/** Reads it as `standingReview` does: what nobody can look for is not taken for unsigned. Throws ERR_EHR_*. */
export async function signedFindings(session: FhirSession, screening: ReviewedScreening, now: number, since?: string): Promise<SignedFindings> {
  const capabilities = await session.capabilities()
  if (!['identifier', 'patient'].some((name) => capabilities.canSearch('Observation', name)))
    throw new ScreeningError('ERR_EHR_REFUSED', 'Expected a server that searches Observation by identifier or patient but its /metadata lists neither')
  const { observations } = await standingReview(session, screening, since)
  const standing = signables(screening).flatMap((one) => {
    const observation = observations.get(one.id)
    return observation && isSigned(observation) ? [{ one, observation, by: signedBy(observation, now) }] : []
  })
  return {
    joints: standing.flatMap(({ one, observation, by }): SignedJoint[] => {
      const [call, earlier] = [callOf(observation), earlierVersions(observation)]
      return one.kind === 'joint' && call ? [{ ...place(one), call, ...by, ...(earlier.length > 0 ? { earlier } : {}) }] : []
    }),
    tender: standing.flatMap(({ one, by }) => (one.kind === 'tender' ? [{ ...place(one), ...by }] : [])),
    swollen: standing.flatMap(({ one, by }) => (one.kind === 'swollen' ? [{ ...place(one), ...by }] : [])),
    numbers: standing.flatMap(({ one, observation: { valueQuantity }, by }) => {
      const name = one.kind === 'entered' ? one.name : one.kind === 'score' ? one.index : undefined
      return name !== undefined && valueQuantity?.value !== undefined ? [{ name, value: valueQuantity.value, ...by }] : []
    })
  }
}

function signedBy(observation: Observation, now: number): SignedBy {
  const performer = observation.performer?.[0]?.reference
  const at = observation.issued ?? observation.effectiveDateTime
  return { ...(performer ? { performer } : {}), ...(at ? { at } : {}), sameExamination: isOfExaminationAt(observation, now) }
}

/** Reads it by our identifiers, or, where the server cannot be asked by them, among the patient's Observations since `since`. Throws ERR_EHR_*. */
export async function standingReview(session: FhirSession, screening: ReviewedScreening, since?: string): Promise<StandingReview> {
  const all = signables(screening)
  const observations = await ownObservationsEver(session, screening.patientId, all.map(({ id }) => id), since)
  const standing = all.filter(({ id }) => isSigned(observations.get(id)))
  return {
    observations,
    decisions: standing.flatMap((one) => {
      const call = one.kind === 'joint' ? callOf(observations.get(one.id)) : undefined
      return one.kind === 'joint' && call ? [{ side: one.side, joint: one.joint, call }] : []
    }),
    examined: {
      tender: standing.flatMap((one) => (one.kind === 'tender' ? [place<JointOf28['joint']>(one)] : [])),
      swollen: standing.flatMap((one) => (one.kind === 'swollen' ? [place<LargeJoint>(one)] : []))
    },
    activity: Object.fromEntries(standing.flatMap((one) => numbersIn(one, observations.get(one.id))))
  }
}

/** What is counted together was found in one examination: what was signed longer ago is of another one. */
const ONE_EXAMINATION_MS = 86_400_000

export function isOfExaminationAt(observation: Observation | undefined, now: number): boolean {
  return now - Date.parse(observation?.effectiveDateTime ?? '') < ONE_EXAMINATION_MS
}

/** Tells whether an Observation is still the one that somebody saw: its status, answer, author and time. */
export function tokenOf(session: FhirSession, { status, performer, issued = '', ...observation }: Observation): string {
  const text = JSON.stringify([status, answerOf(session, observation), performer?.[0]?.reference, Date.parse(issued) || issued])
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

/** What an Observation says, whoever says it: equal for two that say the same. */
export function answerOf({ tenant }: FhirSession, { valueCodeableConcept, valueQuantity, dataAbsentReason, component, hasMember }: Partial<Observation>): string {
  const code = valueCodeableConcept?.coding?.[0]?.code ?? valueCodeableConcept?.text
  const members = hasMember?.map(({ reference }) => relativeTo(tenant, reference ?? '')).sort()
  return JSON.stringify([code, valueQuantity?.value, dataAbsentReason !== undefined, component?.map((one) => one.valueQuantity?.value), members])
}

const place = <Joint extends string>({ side, joint }: { readonly side: Laterality; readonly joint: Joint }) => ({ side, joint })

function numbersIn(signable: Signable, observation: Observation | undefined): readonly (readonly [keyof ActivityInputs, number])[] {
  const value = signable.kind === 'entered' ? observation?.valueQuantity?.value : observation?.component?.[0]?.valueQuantity?.value
  if (value === undefined || (signable.kind !== 'entered' && signable.kind !== 'score')) return []
  return [[signable.kind === 'entered' ? signable.name : signable.index === 'DAS28-ESR' ? 'esrMmPerH' : 'crpMgPerL', value]]
}
