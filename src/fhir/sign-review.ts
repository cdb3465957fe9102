import type { Observation } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import { HAND_JOINTS, LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import { outgoingFaults } from './invariants.ts'
import { ownObservations, ownObservationsEver } from './own-observations.ts'
import { unwritable } from './record-writer.ts'
import { clinicianId, clinicianResources, countId, previewOf, type ClinicianInput, type ClinicianResources, type StandingCall } from './resources/clinician-resources.ts'
import { correctedObservation, madeBy } from './resources/corrected-observation.ts'
import { resultIds } from './resources/result-ids.ts'
import { carryOut, referenceOf, type ReviewStep } from './review-steps.ts'
import type { FhirSession } from './session.ts'
import { callOf, isSigned } from './signed-calls.ts'

export type ReviewInput = Omit<ClinicianInput, 'aiObservation' | 'standing'>

/**
 * What a signature would write, as it would be written but for the ids that the server gives: with the AI's Observations where they lie
 * now. What was withdrawn in the record stands again as a new version. Throws ERR_FORBIDDEN where the record takes it not, ERR_EHR_*.
 */
export async function preparedReview(session: FhirSession, input: ReviewInput): Promise<ClinicianResources> {
  return (await firstSteps(session, input)).resources
}

/**
 * Writes a clinician's review with the clinician's own token: each Observation once (conditional create on its identifier
 * where the server has it), then the Provenance over all of them. Signing again after a dropped connection continues where
 * it stopped and writes nothing twice. Resolves with the references of what the record now holds.
 * Throws ERR_CONFLICT when another answer for one of the joints was signed meanwhile, or when `agreed` says no to what would be
 * written (nothing is written then), ERR_WRITE_PARTIAL, ERR_EHR_*.
 */
export async function signReview(session: FhirSession, input: ReviewInput, agreed: (resources: ClinicianResources) => boolean = () => true): Promise<readonly string[]> {
  const { resources, steps, different } = await firstSteps(session, input)
  if (!agreed(resources)) throw new ScreeningError('ERR_CONFLICT', 'The record has changed since the preview, so something else would be written. Nothing was written; look at the new preview.')
  if (different.length > 0) throw signedOtherwise(different)
  const places = await carryOut(session, steps)
  return [...places, ...await writeProvenance(session, resources.provenance(places))]
}

async function firstSteps(session: FhirSession, input: ReviewInput): Promise<{
  readonly resources: ClinicianResources; readonly steps: readonly ReviewStep[]
  /** Signed with another answer meanwhile. */
  readonly different: readonly Observation[]
}> {
  const capabilities = await session.capabilities()
  const why = unwritable(capabilities)
  if (why) throw new ScreeningError('ERR_FORBIDDEN', `Expected a record that takes the review but ${why}. Nothing was written.`)
  const ai = await aiObservations(session, input)
  const joints = await jointsThere(session, input)
  const standing = standingCalls(joints, input)
  const made = clinicianResources({ ...input, standing, aiObservation: (side, joint) => ai.get(`${side}-${joint}`) })
  refuseFaultsOf(made, [...ai.values(), ...standing.map(({ reference }) => reference)], input)
  const others = made.observations.map(({ id }) => id ?? '').filter((id) => !joints.has(id))
  const there = new Map([...joints, ...await ownObservationsEver(session, input.patientId, others, photosSince(input))])
  const stands = (one: Observation) => one.id === countId(input) && standsAlready(one, there.get(one.id), input)
  const steps = made.observations.filter((one) => !stands(one)).map((one) => firstStep(one, there.get(one.id ?? ''), input))
  if (steps.some(({ done, there: before }) => before && !done) && !capabilities.can('Observation', 'update'))
    throw new ScreeningError('ERR_FORBIDDEN', 'Expected a record that takes updates, since some of this lies there already and would have to change. Nothing was written; correct it in the EHR.')
  const observations = steps.map(({ body, there: before }) => (body.status === 'final' ? body : { ...body, id: before?.id ?? '' }))
  return { resources: { ...made, observations }, steps, different: made.observations.filter((one) => one.id !== countId(input) && isSignedOtherwise(one, there.get(one.id ?? ''))) }
}

/** What was ever signed of the 22 joints for these photos, by our id; nothing is asked where no joint is decided. */
async function jointsThere(session: FhirSession, input: ReviewInput): Promise<ReadonlyMap<string, Observation>> {
  const ids = input.decisions.length > 0 ? HAND_PLACES.map(({ side, joint }) => clinicianId(input, side, joint)) : []
  return ownObservationsEver(session, input.patientId, ids, photosSince(input))
}

/** A count is of one examination: what was signed longer ago is of another one. */
const ONE_EXAMINATION_MS = 86_400_000

function standingCalls(joints: ReadonlyMap<string, Observation>, input: ReviewInput): readonly StandingCall[] {
  return HAND_PLACES.flatMap(({ side, joint }) => {
    const there = joints.get(clinicianId(input, side, joint))
    const call = callOf(there)
    const isOfNow = Date.parse(input.signed) - Date.parse(there?.effectiveDateTime ?? '') < ONE_EXAMINATION_MS
    return there && call && isOfNow ? [{ side, joint, call, reference: referenceOf(there) }] : []
  })
}

const HAND_PLACES = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint })))

/** The count follows from the joints: one that says the same, whoever signed it, stays as it is. */
function standsAlready(count: Observation, there: Observation | undefined, input: ReviewInput): boolean {
  return isSigned(there) && there?.valueQuantity?.value === count.valueQuantity?.value && !(there && madeBy(there, input))
}

/** A new Observation, or a new version of one that was withdrawn, or of a count that is another one now: an id of ours is used once. */
function firstStep(wanted: Observation, there: Observation | undefined, input: ReviewInput): ReviewStep {
  const ours = wanted.id ?? ''
  const mine = there !== undefined && madeBy(there, input)
  const standing = isSigned(there) && !(ours === countId(input) && !mine)
  const again = there !== undefined && (!standing || (there.status === 'corrected' && mine))
  return { ours, body: again ? correctedObservation(there, wanted, input) : wanted, there, done: standing }
}

/** Once for the same targets and time. Resolves with nothing where the record takes none. */
export async function writeProvenance(session: FhirSession, provenance: ReturnType<ClinicianResources['provenance']>): Promise<readonly string[]> {
  const capabilities = await session.capabilities()
  if (!capabilities.can('Provenance', 'create')) return []
  if (capabilities.canSearch('Provenance', 'target')) {
    const target = provenance.target[0]?.reference ?? ''
    const existing = (await session.search('Provenance', { target })).find((one) => Date.parse(one.recorded) === Date.parse(provenance.recorded) &&
      provenance.target.every((wanted) => one.target.some(({ reference }) => reference === wanted.reference)))
    if (existing) return [`Provenance/${existing.id}`]
  }
  return [await session.create(provenance)]
}

/** Where the AI's Observations of these photos lie, by `side-joint`. */
export async function aiObservations(session: FhirSession, input: ReviewInput): Promise<ReadonlyMap<string, string>> {
  const ids = resultIds(input, input.photos, input.model)
  const wanted = HAND_PLACES.map(({ side, joint }) => ({ key: `${side}-${joint}`, id: ids.joint(input.photoOf(side), side, joint) }))
  const found = await ownObservations(session, input.patientId, wanted.map(({ id }) => id), photosSince(input))
  return new Map(wanted.flatMap(({ key, id }) => {
    const one = found.get(id)
    return one ? [[key, `Observation/${one.id}`] as const] : []
  }))
}

/** The day before the oldest photo: no result of ours is effective earlier, in any time zone. */
export function photosSince({ photos }: Pick<ReviewInput, 'photos'>): string | undefined {
  const times = photos.map(({ created }) => Date.parse(created ?? ''))
  const oldest = Math.min(...times)
  return Number.isFinite(oldest) ? new Date(oldest - 86_400_000).toISOString().slice(0, 10) : undefined
}

function isSignedOtherwise(wanted: Observation, there: Observation | undefined): boolean {
  return there !== undefined && isSigned(there) && answerOf(there) !== answerOf(wanted)
}

function signedOtherwise(different: readonly Observation[]): ScreeningError {
  const names = different.map((one) => one.bodySite?.text ?? 'the count').join('; ')
  return new ScreeningError('ERR_CONFLICT', `Someone signed another answer meanwhile for: ${names}. Nothing was written; reload to see it.`)
}

function answerOf({ valueCodeableConcept, valueQuantity, performer }: Observation): string {
  return JSON.stringify([valueCodeableConcept?.coding?.[0]?.code, valueQuantity?.value, performer?.[0]?.reference])
}

/** A resource that breaks our own rules is our mistake; a review that leaves nothing standing makes none. `known` are Observations that it may refer to: those of the AI and those signed before, where they lie. */
export function refuseFaultsOf(resources: ClinicianResources, known: readonly string[], { patientId }: Pick<ReviewInput, 'patientId'>): void {
  const placed = [...new Set(known)].map((reference): Observation => ({
    resourceType: 'Observation', id: reference.split('/')[1] ?? '', status: 'preliminary', code: { text: 'known' },
    subject: { reference: `Patient/${patientId}` }
  }))
  if (resources.observations.length === 0) return
  const [fault] = outgoingFaults([...previewOf(resources), ...placed], patientId)
  if (fault !== undefined) throw new Error(`Expected resources that may be written but ${fault}`)
}

/** Side and joint of a review that holds each joint at most once; ERR_REQUEST_INVALID otherwise. */
export function onceEach<T extends { side: Laterality; joint: string }>(decisions: readonly T[]): readonly T[] {
  const keys = decisions.map(({ side, joint }) => `${side} ${joint}`)
  const twice = keys.find((key, index) => keys.indexOf(key) !== index)
  if (twice) throw new ScreeningError('ERR_REQUEST_INVALID', `Expected each joint once but received ${twice} twice`)
  return decisions
}
