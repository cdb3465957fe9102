import type { Observation } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import { HAND_JOINTS, LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import { RESULT_ID } from './codes.ts'
import { outgoingFaults } from './invariants.ts'
import { ownObservations } from './own-observations.ts'
import { clinicianResources, previewOf, type ClinicianInput, type ClinicianResources } from './resources/clinician-resources.ts'
import { unwritable } from './record-writer.ts'
import { resultIds } from './resources/result-ids.ts'
import type { FhirSession } from './session.ts'
import { withReferences } from './resources/inner-references.ts'

export type ReviewInput = Omit<ClinicianInput, 'aiObservation'>

/**
 * What a signature would write, as it would be written but for the ids that the server gives: with the AI's Observations where they lie
 * now. Throws ERR_FORBIDDEN where the record takes no Observations, ERR_EHR_*.
 */
export async function preparedReview(session: FhirSession, input: ReviewInput): Promise<ClinicianResources> {
  const why = unwritable(await session.capabilities())
  if (why) throw new ScreeningError('ERR_FORBIDDEN', `Expected a record that takes the review but ${why}. Nothing was written.`)
  const ai = await aiObservations(session, input)
  const resources = clinicianResources({ ...input, aiObservation: (side, joint) => ai.get(`${side}-${joint}`) })
  refuseFaults(previewOf(resources), new Set(ai.values()), input.patientId)
  return resources
}

/**
 * Writes a clinician's review with the clinician's own token: each Observation once (conditional create on its identifier
 * where the server has it), then the Provenance over all of them. Signing again after a dropped connection continues where
 * it stopped and writes nothing twice. Resolves with the references of what the record now holds.
 * Throws ERR_CONFLICT when another answer for one of the joints was signed meanwhile, or when `agreed` says no to what would be
 * written (nothing is written then), ERR_EHR_*.
 */
export async function signReview(session: FhirSession, input: ReviewInput, agreed: (resources: ClinicianResources) => boolean = () => true): Promise<readonly string[]> {
  const resources = await preparedReview(session, input)
  if (!agreed(resources)) throw new ScreeningError('ERR_CONFLICT', 'The record has changed since the preview, so something else would be written. Nothing was written; look at the new preview.')
  const there = await ownObservations(session, input.patientId, resources.observations.map(({ id }) => id ?? ''), photosSince(input))
  refuseConflicts(resources.observations, there)
  const capabilities = await session.capabilities()
  const places = new Map<string, string>()
  for (const observation of resources.observations) {
    const id = observation.id ?? ''
    const existing = there.get(id)
    const reference = existing ? `Observation/${existing.id}` : await session.create(
      bodyOf(observation, places),
      capabilities.conditionalCreate('Observation') ? { ifNoneExist: `identifier=${encodeURIComponent(`${RESULT_ID}|${id}`)}` } : {}
    )
    places.set(id, reference)
  }
  const provenance = await writeProvenance(session, resources.provenance([...places.values()]))
  return [...places.values(), ...provenance]
}

/** Inner references (the count's members) become the places the server gave. */
function bodyOf(observation: Observation, places: ReadonlyMap<string, string>): Observation {
  const { id: _ours, ...body } = withReferences(observation, (_type, id, was) => {
    const reference = places.get(id)
    return reference ? { ...was, reference } : undefined
  })
  return body
}

async function writeProvenance(session: FhirSession, provenance: ReturnType<ReturnType<typeof clinicianResources>['provenance']>): Promise<readonly string[]> {
  const capabilities = await session.capabilities()
  if (!capabilities.can('Provenance', 'create')) return []
  if (capabilities.canSearch('Provenance', 'target')) {
    const target = provenance.target[0]?.reference ?? ''
    const existing = (await session.search('Provenance', { target })).find((one) =>
      provenance.target.every((wanted) => one.target.some(({ reference }) => reference === wanted.reference)))
    if (existing) return [`Provenance/${existing.id}`]
  }
  return [await session.create(provenance)]
}

/** Where the AI's Observations of these photos lie, by `side-joint`. */
async function aiObservations(session: FhirSession, input: ReviewInput): Promise<ReadonlyMap<string, string>> {
  const ids = resultIds(input, input.photos, input.model)
  const wanted = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ key: `${side}-${joint}`, id: ids.joint(input.photoOf(side), side, joint) })))
  const found = await ownObservations(session, input.patientId, wanted.map(({ id }) => id), photosSince(input))
  return new Map(wanted.flatMap(({ key, id }) => {
    const one = found.get(id)
    return one ? [[key, `Observation/${one.id}`] as const] : []
  }))
}

/** The day before the oldest photo: no result of ours is effective earlier, in any time zone. */
function photosSince({ photos }: ReviewInput): string | undefined {
  const times = photos.map(({ created }) => Date.parse(created ?? ''))
  const oldest = Math.min(...times)
  return Number.isFinite(oldest) ? new Date(oldest - 86_400_000).toISOString().slice(0, 10) : undefined
}

function refuseConflicts(wanted: readonly Observation[], there: ReadonlyMap<string, Observation>): void {
  const different = wanted.filter((one) => {
    const existing = there.get(one.id ?? '')
    return existing !== undefined && answerOf(existing) !== answerOf(one)
  })
  if (different.length === 0) return
  const names = different.map((one) => one.bodySite?.text ?? 'the count').join('; ')
  throw new ScreeningError('ERR_CONFLICT', `Someone signed another answer meanwhile for: ${names}. Nothing was written; reload to see it.`)
}

function answerOf({ valueCodeableConcept, valueQuantity, performer }: Observation): string {
  return JSON.stringify([valueCodeableConcept?.coding?.[0]?.code, valueQuantity?.value, performer?.[0]?.reference])
}

function refuseFaults(resources: Parameters<typeof outgoingFaults>[0], outside: ReadonlySet<string>, patientId: string): void {
  const placed = [...outside].map((reference): Observation => ({
    resourceType: 'Observation', id: reference.split('/')[1] ?? '', status: 'preliminary', code: { text: 'AI' },
    subject: { reference: `Patient/${patientId}` }
  }))
  const [fault] = outgoingFaults([...resources, ...placed], patientId)
  if (fault !== undefined) throw new Error(`Expected resources that may be written but ${fault}`)
}

/** Side and joint of a review that holds each joint at most once; ERR_REQUEST_INVALID otherwise. */
export function onceEach<T extends { side: Laterality; joint: string }>(decisions: readonly T[]): readonly T[] {
  const keys = decisions.map(({ side, joint }) => `${side} ${joint}`)
  const twice = keys.find((key, index) => keys.indexOf(key) !== index)
  if (twice) throw new ScreeningError('ERR_REQUEST_INVALID', `Expected each joint once but received ${twice} twice`)
  return decisions
}
