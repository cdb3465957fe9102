import type { Observation } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import { clinicianResources, type ClinicianResources } from './resources/clinician-resources.ts'
import { correctedObservation, correctionProvenance, madeBy, withdrawnObservation } from './resources/corrected-observation.ts'
import { bodyOf, carryOut, heldOf, referenceOf, type Held, type ReviewStep } from './review-steps.ts'
import type { FhirSession } from './session.ts'
import { aiObservations, photosSince, refuseFaultsOf, refuseOtherCounts, type ReviewInput } from './sign-review.ts'
import { callOf, isSigned, type ReviewedScreening } from './signed-calls.ts'
import { answerOf, standingReview, tokenOf, type StandingReview } from './standing-review.ts'

/** The whole review as it shall stand, and what the clinician saw when the correction began. */
export type CorrectionInput = ReviewInput & {
  /** Tokens of the signed Observations by our id (`seenOf`). */
  readonly seen: Readonly<Record<string, string>>
}

/** What was signed, for a person who is about to correct it. */
export type SignedForCorrection = Omit<StandingReview, 'observations'> & {
  readonly seen: Readonly<Record<string, string>>
  /** Why the record takes no corrections from us, in words. */
  readonly uncorrectable?: string
  /** Where each lies in the record: for whoever has to correct it there. */
  readonly entries: readonly { readonly reference: string; readonly words: string; readonly performer?: string; readonly at?: string }[]
}

/** Reads what was signed for a screening. Throws ERR_EHR_*. */
export async function signedForCorrection(session: FhirSession, screening: ReviewedScreening): Promise<SignedForCorrection> {
  const { observations, ...standing } = await standingReview(session, screening, photosSince(screening))
  const why = uncorrectable(await session.capabilities())
  return { ...standing, seen: seenOf(session, observations), ...(why ? { uncorrectable: why } : {}), entries: [...observations.values()].filter(isSigned).map(entryOf) }
}

/** Why this server takes no corrections of Observations; undefined where it does. */
export function uncorrectable(capabilities: Capabilities): string | undefined {
  const missing = ['update', 'read'].filter((interaction) => !capabilities.can('Observation', interaction))
  return missing.length > 0 ? `its /metadata lists no Observation ${missing.join(' and no Observation ')}` : undefined
}

/**
 * What a correction would write: a new version for each signed Observation whose answer is another one (`corrected`) or that shall not stand
 * any more (`entered-in-error`), new ones where something was added, counts and scores with them, and a Provenance of the revision.
 * What stays as it was signed stays untouched. Throws ERR_FORBIDDEN where the record takes no corrections, ERR_CONFLICT when anything
 * was signed or changed since the correction began, ERR_REQUEST_INVALID when nothing would change, ERR_EHR_*.
 */
export async function preparedCorrection(session: FhirSession, input: CorrectionInput): Promise<ClinicianResources> {
  return previewOfSteps(input, await correctionSteps(session, input))
}

/**
 * Writes a correction with the clinician's own token, each new version only over the one that was seen. Sent again after a lost answer it
 * finds what it has written and writes the rest. Resolves with the references of what it wrote. Throws as `preparedCorrection`, ERR_CONFLICT when
 * `agreed` says no, ERR_WRITE_PARTIAL, ERR_WRITE_AMBIGUOUS.
 */
export async function correctReview(session: FhirSession, input: CorrectionInput, agreed: (resources: ClinicianResources) => boolean = () => true): Promise<readonly string[]> {
  const steps = await correctionSteps(session, input)
  const resources = previewOfSteps(input, steps)
  if (!agreed(resources)) throw new ScreeningError('ERR_CONFLICT', 'The record has changed since the preview, so something else would be written. Nothing was written; look at the new preview.')
  return carryOut(session, steps, resources.provenance, () => correctionSteps(session, input))
}

/** How much of a correction whose answer was lost the record holds: `input` as it was sent. Throws as `preparedCorrection`. */
export async function correctionHeld(session: FhirSession, input: CorrectionInput): Promise<Held> {
  const steps = await correctionSteps(session, input)
  return heldOf(session, steps, previewOfSteps(input, steps).provenance)
}

/** All that shall stand in its order, then what is withdrawn; what stays as it is comes last, so that references to it are known. */
async function correctionSteps(session: FhirSession, input: CorrectionInput): Promise<readonly ReviewStep[]> {
  const why = uncorrectable(await session.capabilities())
  if (why) throw new ScreeningError('ERR_FORBIDDEN', `Expected a record that takes corrections but ${why}. Nothing was written; correct it in the EHR.`)
  const { observations } = await standingReview(session, input, photosSince(input))
  refuseUnseen(session, observations, input)
  refuseOtherCounts(input)
  const ai = await aiObservations(session, input)
  const wanted = clinicianResources({ ...input, aiObservation: (side, joint) => ai.get(`${side}-${joint}`) })
  refuseFaultsOf(wanted, [...ai.values()], input)
  const places = new Map([...observations].map(([id, one]) => [id, referenceOf(one)]))
  const steps = [
    ...wanted.observations.map((one) => stepTo(session, one, observations.get(one.id ?? ''), places, input)),
    ...[...observations].flatMap(([ours, there]) => (wanted.observations.some(({ id }) => id === ours) ? [] : withdrawal(ours, there, input)))
  ]
  if (!steps.some(({ signed }) => signed)) throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected a change to what was signed but received the same again. Nothing was written.')
  return [...steps.filter(({ signed }) => signed), ...steps.filter(({ signed }) => !signed)]
}

function stepTo(session: FhirSession, wanted: Observation, there: Observation | undefined, places: ReadonlyMap<string, string>, input: CorrectionInput): ReviewStep {
  const ours = wanted.id ?? ''
  // Written by this very signature before its answer was lost: as a new one, or as a new version.
  const mine = there !== undefined && isSigned(there) && madeBy(there, input)
  if (there === undefined || (mine && there.status === 'final')) return { ours, body: wanted, there, done: there !== undefined, signed: true }
  const same = isSigned(there) && answerOf(session, there) === answerOf(session, bodyOf(wanted, places))
  return { ours, body: correctedObservation(there, wanted, input), there, done: same, signed: mine || !same }
}

function withdrawal(ours: string, there: Observation, input: CorrectionInput): readonly ReviewStep[] {
  const done = !isSigned(there)
  if (done && !madeBy(there, input)) return []
  return [{ ours, body: withdrawnObservation(there, input), there, done, signed: true }]
}

/** As the record will hold it: an update under the record's id, what is new under ours. */
function previewOfSteps(input: CorrectionInput, steps: readonly ReviewStep[]): ClinicianResources {
  const places = new Map(steps.flatMap(({ ours, there, body }) => (there && body.status !== 'final' ? [[ours, referenceOf(there)] as const] : [])))
  const observations = steps.filter(({ signed }) => signed).map(({ ours, body }): Observation => ({ ...bodyOf(body, places), id: places.get(ours)?.split('/')[1] ?? ours }))
  const { provenance } = clinicianResources({ ...input, aiObservation: () => undefined })
  return { patientId: input.patientId, observations, provenance: (targets) => correctionProvenance(provenance(targets), observations.filter(({ status }) => status !== 'final')) }
}

/** Nobody's signature is corrected who had not been seen when the correction began. */
function refuseUnseen(session: FhirSession, observations: ReadonlyMap<string, Observation>, input: CorrectionInput): void {
  const ids = new Set([...observations.keys(), ...Object.keys(input.seen)])
  const changed = [...ids].filter((id) => {
    const there = observations.get(id)
    return !(there && (input.seen[id] === tokenOf(session, there) || madeBy(there, input)))
  })
  if (changed.length > 0) throw new ScreeningError('ERR_CONFLICT', 'What was signed has changed since this correction began. Nothing was written; look at what stands now.')
}

function seenOf(session: FhirSession, observations: ReadonlyMap<string, Observation>): Record<string, string> {
  return Object.fromEntries([...observations].map(([id, one]) => [id, tokenOf(session, one)]))
}

function entryOf(observation: Observation) {
  const { code, bodySite, valueCodeableConcept, valueQuantity, performer, issued } = observation
  const call = bodySite && callOf(observation)
  const value = valueQuantity ? [valueQuantity.value, valueQuantity.unit].join(' ').trim() : valueCodeableConcept?.text ?? call ?? ''
  const by = performer?.[0]?.reference
  return {
    reference: referenceOf(observation), words: [code.text ?? code.coding?.[0]?.display, bodySite?.text, value].filter(Boolean).join(', '),
    ...(by ? { performer: by } : {}), ...(issued ? { at: issued } : {})
  }
}
