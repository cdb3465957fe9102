import { afterEach, describe, expect, test } from '@jest/globals'
import type { Observation } from 'fhir/r4.js'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { openClaimedCreates } from '../../src/fhir/claimed-creates.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openOwnWrites } from '../../src/fhir/own-writes.ts'
import { writePhoto, type PhotoPlaces } from '../../src/fhir/photo-writer.ts'
import type { TakenPhoto } from '../../src/fhir/resources/photo-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { reviewHeld, signReview, type ReviewInput } from '../../src/fhir/sign-review.ts'
import type { Rule } from '../faults/witness/modes.ts'
import type { ProfileName } from '../faults/witness/profiles.ts'
import { startWitness, type Witness } from '../faults/witness/witness.ts'
import { openMemorySessions } from '../support/memory-sessions.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'

let witness: Witness
let egress: Egress
/** The session of one process of several that share the store of claims. */
let inProcess: (known?: ReturnType<typeof index>) => () => FhirSession
let input: ReviewInput

afterEach(async () => {
  await egress.close()
  await witness.close()
})

async function open(profile: ProfileName, indexLagMs: number): Promise<void> {
  witness = await startWitness({ profile, indexLagMs })
  const tenant = loopbackTenant(witness.base)
  egress = egressForTenant(tenant)
  const claims = openMemorySessions()
  inProcess = (known = index(false)) => {
    const [knowing, claiming] = [openOwnWrites(), openClaimedCreates(claims, () => known)]
    return () => knowing(claiming(openFhirSession({ tenant, egress, tokens: fixedToken('t') })))
  }
  const photo = { resourceType: 'Media' as const, id: 'photo-1', versionId: '1' }
  const sample = sampleScreening({ photos: [photo], photoOf: () => photo })
  input = {
    tenant: 'clinic', patientId: 'pat-1', performer: 'Practitioner/doc-1', screeningId: 'screening-1', photos: [photo], photoOf: () => photo,
    findings: sample.findings, model: sample.model,
    decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }, { side: 'left', joint: 'mcp3', call: 'not-swollen' }], signed: '2026-11-23T10:41:30.000Z'
  }
}

const all = (type: string) => witness.memory.all().filter(({ resourceType }) => resourceType === type) as unknown as Observation[]
const codeOf = (error: unknown) => (error as { code?: string }).code
const LOST: readonly (readonly [string, Rule])[] = [
  ['500', { mode: 'commit-then-500', method: 'POST' }],
  ['no answer', { mode: 'commit-then-reset', method: 'POST' }]
]

describe.each<ProfileName>(['transaction', 'batch', 'single', 'patient-search'])('on a server that offers %s, keeps nothing from being there twice and shows writes late', (profile) => {
  test.each(LOST)('a signature that was answered with %s is not written again by who signs again', async (_, rule) => {
    await open(profile, 3_600_000)
    const session = inProcess()
    witness.faults([rule])
    expect(await signReview(session(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
    expect(await signReview(session(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
    expect(await signReview(session(), { ...input, performer: 'Practitioner/doc-2' }).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
    const said = all('Observation').map(({ identifier }) => identifier?.[0]?.value)
    expect(said).toHaveLength(new Set(said).size)
    expect(said.length).toBeGreaterThan(0)
  })

  test('what one process wrote, another that cannot see it yet does not write again', async () => {
    await open(profile, 3_600_000)
    await signReview(inProcess()(), input)
    expect(await signReview(inProcess()(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
    expect(all('Observation')).toHaveLength(2)
  })

  test('two who sign in the same instant write each joint once', async () => {
    await open(profile, 0)
    const processes = [inProcess(), inProcess()]
    await Promise.all(processes.map((session) => signReview(session(), input).catch(codeOf)))
    expect(all('Observation')).toHaveLength(2)
  })
})

describe('what was certainly not written is written when it is signed again', () => {
  test.each<[ProfileName, Rule]>([
    ['transaction', { mode: '429', method: 'POST' }], ['single', { mode: '422', method: 'POST', path: '/Observation' }], ['single', { mode: '429', method: 'POST', path: '/Observation' }]
  ])('on %s after %o', async (profile, rule) => {
    await open(profile, 0)
    const session = inProcess()
    witness.faults([rule])
    expect(codeOf(await signReview(session(), input).catch((error: unknown) => error))).toBeDefined()
    await signReview(session(), input).catch(() => signReview(session(), input))
    expect(all('Observation')).toHaveLength(2)
  })
})

test('a lost answer that the record shows is found, and the rest is written', async () => {
  await open('single', 0)
  const session = inProcess()
  witness.faults([{ mode: 'commit-then-reset', method: 'POST', path: '/Observation' }])
  expect(await signReview(session(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
  expect(await reviewHeld(session(), input)).toMatchObject({ there: 1 })
  await signReview(session(), input)
  expect(all('Observation')).toHaveLength(2)
})

const index = (showsAtOnce: boolean, showsSoon = showsAtOnce) => ({ showsAtOnce: () => Promise.resolve(showsAtOnce), showsSoon: () => Promise.resolve(showsSoon) })

test('where a condition keeps one from being there twice, and searches are known to show at once what was written, nobody waits', async () => {
  await open('conditional', 0)
  const session = inProcess(index(true))
  witness.faults([{ mode: 'drop-before-commit', method: 'POST' }])
  expect(await signReview(session(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
  await signReview(session(), input)
  expect(all('Observation')).toHaveLength(2)
})

test('a condition that is answered from a late index keeps nothing from being there twice, and is not relied on', async () => {
  await open('conditional', 3_600_000)
  const session = inProcess(index(false))
  witness.faults([{ mode: 'commit-then-reset', method: 'POST' }])
  expect(await signReview(session(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
  expect(await signReview(session(), input).catch(codeOf)).toBe('ERR_WRITE_AMBIGUOUS')
  expect(all('Observation')).toHaveLength(2)
})

test.each([[180, index(true)], [300, index(false, true)], [900, index(false)]] as const)('for as long as a search of this record may be late: %d s', async (seconds, known) => {
  await open('single', 0)
  const asked: [string, number][] = []
  const claiming = openClaimedCreates({ claim: (name, time) => { asked.push([name, time]); return Promise.resolve(true) }, delete: () => Promise.resolve() }, (tenant) => tenant === 'clinic' ? known : index(false))
  await signReview(claiming(openFhirSession({ tenant: loopbackTenant(witness.base), egress, tokens: fixedToken('t') })), input)
  expect(asked).toEqual(all('Observation').map(({ identifier }) => [`create:clinic:${identifier?.[0]?.value}`, seconds]))
})

test('a photo whose answer was lost is not saved twice by a condition that is answered from a late index', async () => {
  await open('conditional', 3_600_000)
  const session = inProcess()
  const photo: TakenPhoto = {
    tenant: 'clinic', patientId: 'pat-1', side: 'left', sentSha256: 'a'.repeat(64), jpeg: Buffer.from('bytes'), width: 900, height: 900, takenAt: '2026-11-24T08:00:00.000Z',
    sentAt: '2026-11-24T08:00:30.000Z', deviceName: 'back camera', consent: '2026-11'
  }
  const kept = new Map<string, PhotoPlaces>()
  const save = () => writePhoto(session(), photo, { get: (id) => Promise.resolve(kept.get(id)), put: (id, places) => Promise.resolve(void kept.set(id, places)) }, [0]).catch(codeOf)
  witness.faults([{ mode: 'commit-then-reset', method: 'POST', path: '/Media' }])
  expect([await save(), await save()]).toEqual(['ERR_WRITE_AMBIGUOUS', 'ERR_WRITE_AMBIGUOUS'])
  expect([all('Media').length, all('Binary').length]).toEqual([1, 1])
})
