import { afterEach, describe, expect, test } from '@jest/globals'
import type { Observation } from 'fhir/r4.js'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { correctReview, signedForCorrection } from '../../src/fhir/correct-review.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openOwnWrites } from '../../src/fhir/own-writes.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { signReview, type ReviewInput } from '../../src/fhir/sign-review.ts'
import type { ProfileName } from '../faults/witness/profiles.ts'
import { startWitness, type Witness } from '../faults/witness/witness.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'

let witness: Witness
let egress: Egress
let time: number
/** A session as each request to the app has one: all of them together know what was written. */
let session: () => FhirSession
let input: ReviewInput

afterEach(async () => {
  await egress.close()
  await witness.close()
})

/** What was heard of how soon searches show what was written. */
let heard: boolean[]

/** Writes are shown by searches an hour later, if nothing else is said. */
async function open(profile: ProfileName, indexLagMs = 3_600_000): Promise<void> {
  witness = await startWitness({ profile, indexLagMs })
  const tenant = loopbackTenant(witness.base)
  egress = egressForTenant(tenant)
  time = 0
  heard = []
  const knowing = openOwnWrites(() => time, (atOnce) => {
    heard.push(atOnce)
    return Promise.resolve()
  })
  session = () => knowing(openFhirSession({ tenant, egress, tokens: fixedToken('t') }))
  const photo = { resourceType: 'Media' as const, id: 'photo-1', versionId: '1' }
  const sample = sampleScreening({ photos: [photo], photoOf: () => photo })
  input = {
    tenant: 'clinic', patientId: 'pat-1', performer: 'Practitioner/doc-1', screeningId: 'screening-1', photos: [photo], photoOf: () => photo,
    findings: sample.findings, model: sample.model, decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }], signed: '2026-11-23T10:41:30.000Z'
  }
}
const all = (type: string) => witness.memory.all().filter(({ resourceType }) => resourceType === type) as unknown as Observation[]

describe.each<ProfileName>(['transaction', 'batch', 'single', 'patient-search'])('on a server that offers %s and shows writes late', (profile) => {
  test('what was signed is found by who signs again, and is not written twice', async () => {
    await open(profile)
    const first = await signReview(session(), input)
    expect(await signReview(session(), input)).toEqual(first)
    expect(await signReview(session(), { ...input, signed: '2026-11-23T10:45:00.000Z', performer: 'Practitioner/doc-2' })).toEqual([])
    expect([all('Observation').length, all('Provenance').length]).toEqual([1, 1])
  })

  test('a correction is seen by the next one', async () => {
    await open(profile)
    await signReview(session(), input)
    const correct = async (call: 'not-swollen' | 'not-assessable', signed: string) => {
      const { seen } = await signedForCorrection(session(), input)
      return correctReview(session(), { ...input, decisions: [{ side: 'left', joint: 'mcp2', call }], signed, seen })
    }
    await correct('not-swollen', '2026-11-23T11:00:00.000Z')
    await correct('not-assessable', '2026-11-23T11:05:00.000Z')
    const [one, ...more] = all('Observation')
    expect([more, one?.meta?.versionId, one?.dataAbsentReason !== undefined]).toEqual([[], '3', true])
  })
})

test('nothing is read that was not asked for or kept for longer than a quarter of an hour, and what is gone is not found', async () => {
  await open('single')
  const observation: Observation = { resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'urn:c', code: '1' }] }, subject: { reference: 'Patient/pat-1' } }
  const reference = await session().create(observation)
  await session().create({ ...observation, subject: { reference: 'Patient/pat-2' } })
  const found = async () => (await session().search('Observation', { patient: 'pat-1' })).map(({ id }) => `Observation/${id}`)
  expect(await found()).toEqual([reference])
  const before = witness.events.length
  expect(await session().search('Observation', { patient: 'pat-1', code: 'urn:c|2,urn:c|3' })).toEqual([])
  expect(await session().search('Observation', { patient: 'pat-1', code: 'urn:c|2,urn:c|1' })).toHaveLength(1)
  expect(witness.events).toHaveLength(before + 3)
  time = 900_001
  expect(await found()).toEqual([])
  time = 0
  witness.memory.remove('Observation', reference.split('/')[1] ?? '')
  expect(await found()).toEqual([])
})

test.each([
  ['late, asked by identifier', 'transaction', 3_600_000, 0, [false]], ['late, asked by patient: the search may leave it out for another reason', 'patient-search', 3_600_000, 0, []],
  ['at once', 'transaction', 0, 0, [true]], ['at some time, when it is asked a minute later', 'transaction', 0, 60_000, []]
] as const)('a record that shows a signature %s is known for that', async (_how, profile, lagMs, laterMs, said) => {
  await open(profile, lagMs)
  await signReview(session(), input)
  time += laterMs
  await signReview(session(), input)
  expect([...new Set(heard)]).toEqual(said)
})
