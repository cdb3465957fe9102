import type { Observation } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import { COUNTS_28 } from '../joints/activity-scores.ts'
import { HAND_JOINTS, LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import { outgoingFaults } from './invariants.ts'
import { dayBefore, ownObservations, ownObservationsEver } from './own-observations.ts'
import { unwritable } from './record-writer.ts'
import {
  clinicianResources, countId, jointsOf28, previewOf, signables, type ClinicianInput, type ClinicianResources, type Signable, type StandingJoints
} from './resources/clinician-resources.ts'
import { correctedObservation, madeBy } from './resources/corrected-observation.ts'
import { resultIds } from './resources/result-ids.ts'
import { bodyOf, carryOut, heldOf, referenceOf, type Held, type ReviewStep } from './review-steps.ts'
import type { FhirSession } from './session.ts'
import { callOf, isSigned, saysOtherwise } from './signed-calls.ts'
import { isOfExaminationAt } from './standing-review.ts'

export type ReviewInput = Omit<ClinicianInput, 'aiObservation' | 'standing'>

/**
 * What a signature would write, as it would be written but for the ids that the server gives: with the AI's Observations where they lie
 * now. What was withdrawn in the record stands again as a new version; what says the same already is left as it is, whoever signed it.
 * Throws ERR_CONFLICT when something else stands signed, or a 28-joint count is not that of the joints, ERR_FORBIDDEN where the record
 * takes it not, ERR_EHR_*.
 */
export async function preparedReview(session: FhirSession, input: ReviewInput): Promise<ClinicianResources> {
  return (await firstSteps(session, input)).resources
}

/**
 * Writes a clinician's review with the clinician's own token: each Observation once (conditional create on its identifier
 * where the server has it), then the Provenance over all of them. Signing again after a dropped connection continues where
 * it stopped and writes nothing twice. Resolves with the references of what the record now holds.
 * Throws as `preparedReview`, ERR_CONFLICT when `agreed` says no to what would be written (nothing is written then), ERR_WRITE_PARTIAL.
 */
export async function signReview(session: FhirSession, input: ReviewInput, agreed: (resources: ClinicianResources) => boolean = () => true): Promise<readonly string[]> {
  const { resources, steps } = await firstSteps(session, input)
  if (!agreed(resources)) throw new ScreeningError('ERR_CONFLICT', 'The record has changed since the preview, so something else would be written. Nothing was written; look at the new preview.')
  if (resources.observations.length === 0) return []
  return carryOut(session, steps, resources.provenance, async () => (await firstSteps(session, input)).steps)
}

/** How much of a signature whose answer was lost the record holds: `input` as it was sent. Throws as `preparedReview`. */
export async function reviewHeld(session: FhirSession, input: ReviewInput): Promise<Held> {
  const { resources, steps } = await firstSteps(session, input)
  return heldOf(session, steps, resources.provenance)
}

async function firstSteps(session: FhirSession, input: ReviewInput): Promise<{ readonly resources: ClinicianResources; readonly steps: readonly ReviewStep[] }> {
  const capabilities = await session.capabilities()
  const why = unwritable(capabilities)
  if (why) throw new ScreeningError('ERR_FORBIDDEN', `Expected a record that takes the review but ${why}. Nothing was written.`)
  const ai = await aiObservations(session, input)
  const there = await signedThere(session, input)
  const standing = standingJoints(there, input)
  const made = clinicianResources({ ...input, standing, aiObservation: (side, joint) => ai.get(`${side}-${joint}`) })
  refuseFaultsOf(made, [...ai.values(), ...[...standing.calls, ...standing.tender, ...standing.swollen].map(({ reference }) => reference)], input)
  refuseSignedOtherwise(made, there, { ...input, standing })
  refuseOtherCounts({ ...input, standing })
  const steps = made.observations.map((one) => firstStep(one, there.get(one.id ?? ''), input))
  if (steps.some(({ done, there: before }) => before && !done) && !capabilities.can('Observation', 'update'))
    throw new ScreeningError('ERR_FORBIDDEN', 'Expected a record that takes updates, since some of this lies there already and would have to change. Nothing was written; correct it in the EHR.')
  return { resources: { ...made, observations: observationsOf(steps) }, steps }
}

/** As the record will hold them: what stands already is referred to where it lies. */
function observationsOf(steps: readonly ReviewStep[]): readonly Observation[] {
  const places = new Map(steps.flatMap(({ ours, signed, there }) => (!signed && there ? [[ours, referenceOf(there)] as const] : [])))
  return steps.filter(({ signed }) => signed).map(({ ours, body, there }): Observation => ({ ...bodyOf(body, places), id: body.status === 'final' ? ours : there?.id ?? '' }))
}

/**
 * What was ever signed of all that this signature is about, by our id. The tender and large joints are asked for only where a 28-joint count is signed
 * or stands: six searches then, three otherwise.
 */
async function signedThere(session: FhirSession, input: ReviewInput): Promise<ReadonlyMap<string, Observation>> {
  const all = signables(input)
  const ask = (some: readonly Signable[]) => ownObservationsEver(session, input.patientId, some.map(({ id }) => id), photosSince(input))
  const isConcerned = (one: Signable) => {
    if (one.kind === 'joint' || one.kind === 'count') return input.decisions.length > 0
    if (one.kind === 'tender' || one.kind === 'swollen') return input.examined?.[one.kind].some(({ side, joint }) => side === one.side && joint === one.joint) ?? false
    return input.activity !== undefined || isCount28(one)
  }
  const concerned = all.filter(isConcerned)
  const there = await ask(concerned)
  const isCounted = concerned.filter(isCount28).some(({ id, name }) => input.activity?.[name] !== undefined || isSigned(there.get(id)))
  return isCounted ? new Map([...there, ...await ask(all.filter((one) => ['joint', 'tender', 'swollen'].includes(one.kind) && !concerned.includes(one)))]) : there
}

type Count28 = Signable & { readonly kind: 'entered'; readonly name: (typeof COUNTS_28)[number] }
const isCount28 = (one: Signable): one is Count28 => one.kind === 'entered' && (COUNTS_28 as readonly string[]).includes(one.name)

function standingJoints(there: ReadonlyMap<string, Observation>, input: ReviewInput): StandingJoints {
  const standing = signables(input).flatMap((one) => {
    const observation = there.get(one.id)
    return observation && isSigned(observation) && isOfExaminationAt(observation, Date.parse(input.signed)) ? [{ one, observation, reference: referenceOf(observation) }] : []
  })
  const found = (kind: 'tender' | 'swollen') => standing.flatMap(({ one, reference }) => (one.kind === kind ? [{ side: one.side, joint: one.joint, reference }] : []))
  return {
    calls: standing.flatMap(({ one, observation, reference }) => {
      const call = callOf(observation)
      return one.kind === 'joint' && call ? [{ side: one.side, joint: one.joint, call, reference }] : []
    }),
    tender: found('tender'), swollen: found('swollen')
  }
}

/** A new Observation, or a new version of one that was withdrawn, or of a count that is another one now: an id of ours is used once. */
function firstStep(wanted: Observation, there: Observation | undefined, input: ReviewInput): ReviewStep {
  const ours = wanted.id ?? ''
  const mine = there !== undefined && madeBy(there, input)
  if (isSigned(there) && !mine && !saysOtherwise(wanted, there)) return { ours, body: wanted, there, done: true, signed: false }
  const standing = isSigned(there) && !(ours === countId(input) && !mine)
  const again = there !== undefined && (!standing || (there.status === 'corrected' && mine))
  return { ours, body: again ? correctedObservation(there, wanted, input) : wanted, there, done: standing, signed: true }
}

/** Where the AI's Observations of these photos lie, by `side-joint`. */
export async function aiObservations(session: FhirSession, input: ReviewInput): Promise<ReadonlyMap<string, string>> {
  const ids = resultIds(input, input.photos, input.model)
  const wanted = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ key: `${side}-${joint}`, id: ids.joint(input.photoOf(side), side, joint) })))
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
  return Number.isFinite(oldest) ? dayBefore(new Date(oldest).toISOString()) : undefined
}

/**
 * Another answer that stands is never written over: it is corrected, or it stays. A 28-joint count that stands says something else when more of
 * the joints are signed after it. The count of the hands alone follows from its joints.
 */
function refuseSignedOtherwise({ observations }: ClinicianResources, there: ReadonlyMap<string, Observation>, input: ReviewInput & { readonly standing: StandingJoints }): void {
  const otherwise = observations.flatMap((one) => {
    const before = there.get(one.id ?? '')
    return one.id !== countId(input) && isSigned(before) && saysOtherwise(one, before) ? [`${nameOf(one)}: ${wordsOf(before)} stands, here ${wordsOf(one)}`] : []
  })
  const counted = countsOf28(input)
  const outdated = signables(input).filter(isCount28).flatMap(({ id, name }) => {
    const before = there.get(id)
    if (input.activity?.[name] !== undefined || !isSigned(before) || !isOfExaminationAt(before, Date.parse(input.signed))) return []
    return before?.valueQuantity?.value === counted[name] ? [] : [`${nameOf(before)}: ${wordsOf(before)} stands, with these joints ${counted[name] ?? 'none can be given'}`]
  })
  const names = [...otherwise, ...outdated].join('; ')
  if (names !== '') throw new ScreeningError('ERR_CONFLICT', `Another answer stands signed for: ${names}. Nothing was written; correct what was signed, or keep it.`)
}

/** A 28-joint count is that of the joints that stand signed for this examination with those of this signature, or it is not written. Throws ERR_CONFLICT. */
export function refuseOtherCounts(input: Omit<ClinicianInput, 'aiObservation'>): void {
  const counted = countsOf28(input)
  for (const name of COUNTS_28) {
    const given = input.activity?.[name]
    const words = name === 'swollenJointCount28' ? 'swollen' : 'tender'
    if (given === undefined || given === counted[name]) continue
    throw new ScreeningError('ERR_CONFLICT', counted[name] === undefined
      ? `Expected no count of the ${words} joints (28), since a joint of the hands was called not assessable, but received ${given}. Nothing was written.`
      : `Expected ${counted[name]} as the count of the ${words} joints (28), by what stands signed for this examination and what is signed now, but received ${given}. Nothing was written; look at the joints again.`)
  }
}

/** None where a joint of the hands could not be assessed: it is never taken for a healthy one. */
function countsOf28(input: Omit<ClinicianInput, 'aiObservation'>): Partial<Record<(typeof COUNTS_28)[number], number>> {
  const { swollen, tender, notAssessable } = jointsOf28(input)
  return notAssessable > 0 ? {} : { swollenJointCount28: swollen.length, tenderJointCount28: tender.length }
}

const nameOf = (one: Observation | undefined) => one?.bodySite?.text ?? one?.code.text ?? one?.code.coding?.[0]?.display ?? 'a finding'
const wordsOf = (one: Observation | undefined) => one?.valueQuantity?.value ?? one?.valueCodeableConcept?.text ?? 'not assessable'

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
