import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { validateResource } from '@medplum/core'
import type { Observation as MedplumObservation } from '@medplum/fhirtypes'
import { Fhir } from 'fhir/fhir.js'
import type { CapabilityStatementRest, Observation } from 'fhir/r4.js'
import { ScreeningError } from '../../src/errors.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { writeScreening } from '../../src/fhir/record-writer.ts'
import { clinicianResources, previewOf, type JointDecision } from '../../src/fhir/resources/clinician-resources.ts'
import { screeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { onceEach, preparedReview, reviewHeld, signReview, type ReviewInput } from '../../src/fhir/sign-review.ts'
import { signedFindings } from '../../src/fhir/standing-review.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { memoryLedger } from '../support/memory-ledger.ts'
import { refusalWithout } from '../support/persona.ts'
import { schemaFaults } from '../support/json-schema.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'

let server: TestFhirServer
let egress: Egress
let session: FhirSession
let input: ReviewInput

const swollen: JointDecision = { side: 'left', joint: 'mcp2', call: 'swollen' }
const corrected: JointDecision = { side: 'right', joint: 'pip3', call: 'swollen' }
const unseen: JointDecision = { side: 'left', joint: 'ip1', call: 'not-assessable' }

beforeEach(() => open(everything()))

/** A record with the model's results of one photo. */
async function open(rest: CapabilityStatementRest): Promise<void> {
  await close()
  server = await startFhirServer(rest)
  const tenant = loopbackTenant(server.base)
  egress = egressForTenant(tenant)
  isOpen = true
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  const media = await server.repository.createResource({
    resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-1' }, content: { contentType: 'image/jpeg' }
  })
  const photo = { resourceType: 'Media' as const, id: media.id, versionId: '1' }
  const sample = sampleScreening({ photos: [photo], photoOf: () => photo })
  await writeScreening(session, screeningResources(sample), { ledger: memoryLedger(), fence: () => Promise.resolve() })
  input = {
    tenant: 'clinic', patientId: 'pat-1', performer: 'Practitioner/doc-1', screeningId: 'screening-1', photos: [photo], photoOf: () => photo,
    findings: sample.findings, model: sample.model, decisions: [swollen, corrected, unseen], signed: '2026-11-23T10:41:30.000Z'
  }
}
afterEach(close)

/** What a colleague does between our last look and our first write. */
function inTheSameInstant(act: () => Promise<unknown>): FhirSession {
  let once = async () => { once = () => Promise.resolve(); await act() }
  return {
    ...session,
    transaction: async (bundle) => { await once(); return session.transaction(bundle) },
    create: async (resource, options) => { await once(); return session.create(resource, options) }
  }
}

let isOpen = false
async function close(): Promise<void> {
  if (isOpen) await Promise.all([egress.close(), server.close()])
  isOpen = false
}

describe('a signed review', () => {
  test('becomes final Observations of the clinician beside the untouched AI ones, with a Provenance', async () => {
    const references = await signReview(session, input)
    expect(references.map((one) => one.split('/')[0])).toEqual(['Observation', 'Observation', 'Observation', 'Provenance'])
    const all = (await search()).filter(({ status }) => status === 'final')
    expect(all.map((one) => [one.bodySite?.coding?.[0]?.code, one.method?.coding?.[0]?.code, one.performer?.[0]?.reference])).toEqual([
      ['L-MCP2', 'ai-assisted-confirmed', 'Practitioner/doc-1'],
      ['R-PIP3', 'ai-assisted-corrected', 'Practitioner/doc-1'],
      ['L-IP1', 'clinician-exam', 'Practitioner/doc-1']
    ])
    expect((await search()).filter(({ status }) => status === 'preliminary')).toHaveLength(23)
    const derived = all[0]?.derivedFrom?.map(({ reference }) => reference?.split('/')[0])
    expect(derived).toEqual(['Media', 'Observation'])
    expect(all[2]?.dataAbsentReason?.coding?.[0]?.code).toBe('not-performed')
  })

  test('writes nothing twice when it is sent again', async () => {
    const first = await signReview(session, input)
    expect(await signReview(session, input)).toEqual(first)
    expect((await search()).filter(({ status }) => status === 'final')).toHaveLength(3)
  })

  test.each([
    ['one by one', (): CapabilityStatementRest => ({ ...everything(), interaction: [{ code: 'batch' }] }), '/Observation', 1],
    ['in one transaction', everything, '/', 0]
  ])('continues after the connection dropped behind a committed write (%s)', async (_how, rest, dropped, after) => {
    await open(rest())
    let faults = 0
    server.fault = ({ method, path }) => method === 'POST' && path === dropped && faults++ === after ? 'commit-then-reset' : undefined
    await expect(signReview(session, input)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    server.fault = () => undefined
    await signReview(session, input)
    expect((await search()).filter(({ status }) => status === 'final')).toHaveLength(3)
    expect(server.lost).toBe(1)
  })

  test('can be looked for as it was sent, without writing: how much of it is there, its Provenance too', async () => {
    await open({ ...everything(), interaction: [] })
    const writes = () => server.seen.filter(({ method }) => method !== 'GET').length
    expect(await reviewHeld(session, input)).toEqual({ there: 0, of: 4 })
    let sent = 0
    server.fault = ({ method, path }) => (method === 'POST' && (path === '/Provenance' || (path === '/Observation' && ++sent === 3)) ? '500-before-commit' : undefined)
    await expect(signReview(session, input)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    expect(await reviewHeld(session, input)).toEqual({ there: 2, of: 4 })
    await expect(signReview(session, input)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    expect(await reviewHeld(session, input)).toEqual({ there: 3, of: 4 })
    server.fault = () => undefined
    await signReview(session, input)
    const before = writes()
    expect(await reviewHeld(session, input)).toEqual({ there: 4, of: 4 })
    expect(writes()).toBe(before)
  })

  test('is one transaction where the record takes it: a record that fails in the middle of it holds nothing of it', async () => {
    const { length } = server.seen
    await signReview(session, { ...input, decisions: [swollen] })
    expect(server.seen.slice(length).filter(({ method }) => method !== 'GET').map(({ path }) => path)).toEqual(['/'])
    const create = server.repository.createResource.bind(server.repository)
    server.repository.createResource = (resource, ...rest) => { if (resource.resourceType === 'Provenance') throw new Error('disk full'); return create(resource, ...rest) }
    await expect(signReview(session, { ...input, decisions: [corrected, unseen] })).rejects.toMatchObject({ code: 'ERR_EHR_REFUSED' })
    expect((await search()).filter(({ status }) => status === 'final')).toHaveLength(1)
  })

  test('writes nothing again when the second look, after a refused transaction, does not show what the first one did', async () => {
    await signReview(session, { ...input, decisions: [swollen] })
    const observations = () => server.repository.searchResources<MedplumObservation>({ resourceType: 'Observation', count: 1000, filters: [{ code: 'status', operator: 'equals' as never, value: 'final' }] })
    const before = (await observations()).length
    let refused = false
    const behind: FhirSession = {
      ...session,
      transaction: () => { refused = true; return Promise.reject(new ScreeningError('ERR_EHR_UNAUTHORIZED', 'a gateway refuses', { answered: 403 })) },
      search: async (type, parameters, options) => (refused && type === 'Observation' ? [] : session.search(type, parameters, options)),
      capabilities: async () => ({ ...await session.capabilities(), conditionalCreate: () => false })
    }
    await expect(signReview(behind, input)).rejects.toMatchObject({ code: 'ERR_EHR_ANSWER' })
    expect(await observations()).toHaveLength(before)
  })

  test('is refused whole when a colleague signed another answer meanwhile', async () => {
    await signReview(session, { ...input, decisions: [{ ...swollen, call: 'not-swollen' }], performer: 'Practitioner/doc-2' })
    for (const refused of [preparedReview(session, input), signReview(session, input)])
      await expect(refused).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringContaining('Left hand, index finger, MCP joint (MCP 2): Absent stands, here Present') })
    expect((await search()).filter(({ status }) => status === 'final')).toHaveLength(1)
  })

  test.each([
    ['in one transaction', everything], ['one by one', (): CapabilityStatementRest => ({ ...everything(), interaction: [{ code: 'batch' }] })]
  ])('does not take for its own what a colleague signs in the same instant (%s): another answer is said, and nobody vouches for it; the same is the same', async (_how, rest) => {
    for (const [call, isOther] of [['not-swollen', true], ['swollen', false]] as const) {
      await open(rest())
      const colleague = { ...input, performer: 'Practitioner/doc-2', decisions: [{ ...swollen, call }] }
      const racing = inTheSameInstant(() => signReview(session, colleague))
      const signing = signReview(racing, input)
      if (isOther) await expect(signing).rejects.toMatchObject({ code: 'ERR_WRITE_PARTIAL', message: expect.stringContaining('Someone signed another answer for Left hand, index finger, MCP joint (MCP 2) in the same instant') })
      else await signing
      const joints = (await search()).filter(({ status }) => status === 'final')
      expect(joints.map(({ performer }) => performer?.[0]?.reference).sort()).toEqual(['Practitioner/doc-1', 'Practitioner/doc-1', 'Practitioner/doc-2'])
      const theirs = joints.find(({ performer }) => performer?.[0]?.reference === 'Practitioner/doc-2')
      const vouching = (await session.search('Provenance', { target: `Observation/${theirs?.id}` })).flatMap(({ agent }) => agent.map(({ who }) => who.reference)).filter((who) => who === 'Practitioner/doc-1')
      expect([call, vouching]).toEqual([call, isOther ? [] : ['Practitioner/doc-1']])
      if (isOther) await expect(signReview(session, input)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    }
  })

  test('leaves a joint as it is that a colleague signed with the same answer, and signs the rest', async () => {
    await signReview(session, { ...input, decisions: [swollen], performer: 'Practitioner/doc-2' })
    expect((await preparedReview(session, input)).observations).toHaveLength(2)
    expect(await signReview(session, input)).toHaveLength(3)
    const joints = (await search()).filter(({ status }) => status === 'final')
    expect(joints.map(({ performer }) => performer?.[0]?.reference).sort()).toEqual(['Practitioner/doc-1', 'Practitioner/doc-1', 'Practitioner/doc-2'])
    const later = { ...input, signed: '2026-11-23T10:50:00.000Z' }
    expect(previewOf(await preparedReview(session, later))).toEqual([])
    expect(await signReview(session, later)).toEqual([])
  })

  test('of all 22 joints also holds the count of the hands, never coded as a 28-joint count', async () => {
    const decisions = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint): JointDecision =>
      ({ side, joint, call: joint === 'mcp2' ? 'swollen' : joint === 'ip1' ? 'not-assessable' : 'not-swollen' })))
    await signReview(session, { ...input, decisions })
    const count = (await search()).find(({ code }) => code.coding?.[0]?.code === 'hand-sjc-22-exam')
    expect(count?.valueQuantity?.value).toBe(2)
    expect(count?.hasMember).toHaveLength(22)
    expect(JSON.stringify(await search())).not.toContain('88980-8')
  })
})

describe('two signatures that decide all 22 joints together', () => {
  const all = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint): JointDecision => ({ side, joint, call: joint === 'mcp2' ? 'swollen' : 'not-swollen' })))
  const counts = async () => (await search()).filter(({ code }) => code.coding?.[0]?.code === 'hand-sjc-22-exam')

  test('make the count of the hands with the second one, of the Observations that lie there', async () => {
    await signReview(session, { ...input, decisions: all.slice(0, 9) })
    expect(await counts()).toEqual([])
    const second = { ...input, decisions: all.slice(9), performer: 'Practitioner/doc-2', signed: '2026-11-23T10:55:00.000Z' }
    const preview = await preparedReview(session, second)
    await signReview(session, second)
    await signReview(session, second)
    const [count, ...more] = await counts()
    expect(more).toEqual([])
    expect([count?.valueQuantity?.value, count?.performer?.[0]?.reference]).toEqual([2, 'Practitioner/doc-2'])
    expect(count?.note?.at(-1)?.text).toBe('9 of the 22 joints were signed earlier, by whoever each names.')
    const lying = (await search()).filter(({ status, bodySite }) => status === 'final' && bodySite).map(({ id }) => `Observation/${id}`)
    expect(new Set(count?.hasMember?.map(({ reference }) => reference))).toEqual(new Set(lying))
    expect(lying).toHaveLength(22)
    expect(preview.observations).toHaveLength(14)
  })

  test('make none when the first is of another day', async () => {
    await signReview(session, { ...input, decisions: all.slice(0, 9) })
    await signReview(session, { ...input, decisions: all.slice(9), signed: '2026-11-25T08:00:00.000Z' })
    expect(await counts()).toEqual([])
  })

  test('make none when one of the joints was withdrawn meanwhile', async () => {
    const [first = ''] = await signReview(session, { ...input, decisions: all.slice(0, 9) })
    const there = await session.read('Observation', first.split('/')[1] ?? '')
    await session.update({ ...there, id: there.id ?? '', status: 'entered-in-error' })
    await signReview(session, { ...input, decisions: all.slice(9) })
    expect(await counts()).toEqual([])
  })
})

const places = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint })))

describe('activity scores that a clinician signs', () => {
  const activity = { tenderJointCount28: 4, swollenJointCount28: 9, patientGlobal: 5, physicianGlobal: 4, crpMgPerL: 20 }
  const examination = () => ({ ...input, decisions: places.slice(0, 9).map((at): JointDecision => ({ ...at, call: 'swollen' })), examined: { tender: places.slice(0, 4), swollen: [] }, activity })

  test('are written with what they were made of; a score without its inputs is not written', async () => {
    await signReview(session, examination())
    const numbers = (await search()).filter(({ status, valueQuantity }) => status === 'final' && valueQuantity)
    expect(Object.fromEntries(numbers.map(({ code, valueQuantity }) => [code.coding?.[0]?.code, valueQuantity?.value]))).toEqual({
      '88980-8': 9, '88981-6': 4, '75894-6': 5, '75846-6': 4, '75847-4': 22, '75845-8': 24, 'das28-crp': 4.72
    })
    const cdai = numbers.find(({ code }) => code.coding?.[0]?.code === '75847-4')
    expect(cdai?.derivedFrom).toHaveLength(4)
    const written = new Set(numbers.map(({ id }) => `Observation/${id}`))
    expect(cdai?.derivedFrom?.every(({ reference }) => written.has(reference ?? ''))).toBe(true)
  })

  test('are each derived from their own inputs: a DAS28 knows nothing of the physician’s global', async () => {
    await signReview(session, { ...examination(), activity: { ...activity, esrMmPerH: 12 } })
    const all = await search()
    const codeOf = ({ code }: Observation) => code.coding?.[0]?.code ?? ''
    const inputsOf = (score: string) => all.find((one) => codeOf(one) === score)?.derivedFrom?.map(({ reference }) => codeOf(all.find(({ id }) => `Observation/${id}` === reference) as Observation)).sort()
    const [counts, patient, physician] = [['88980-8', '88981-6'], '75894-6', '75846-6']
    expect(inputsOf('75847-4')).toEqual([...counts, patient, physician].sort())
    expect(inputsOf('75845-8')).toEqual([...counts, patient, physician].sort())
    expect(inputsOf('das28-crp')).toEqual([...counts, patient].sort())
    expect(inputsOf('das28-esr')).toEqual([...counts, patient].sort())
    const laboratory = (score: string) => all.find((one) => codeOf(one) === score)?.component?.map(({ valueQuantity }) => valueQuantity?.unit)
    expect(['75847-4', '75845-8', 'das28-crp', 'das28-esr'].map(laboratory)).toEqual([undefined, ['mg/L'], ['mg/L'], ['mm/h']])
  })

  test('and the joints behind them do not say that no AI suggestion was shown', async () => {
    await signReview(session, { ...examination(), decisions: examination().decisions.slice(0, 8), examined: { tender: places.slice(0, 4), swollen: [{ side: 'left', joint: 'knee' }] } })
    const beyond = (await search()).filter(({ status, bodySite }) => status === 'final' && !bodySite)
    expect(beyond.map(({ method }) => method)).toEqual(beyond.map(() => undefined))
    expect(beyond).toHaveLength(12)
  })

  test('no 28-joint count comes from a review of the hands alone', async () => {
    await signReview(session, { ...input, activity: { patientGlobal: 5 } })
    expect(JSON.stringify(await search())).not.toMatch(/88980-8|75847-4|das28/)
  })
})

describe('joints found on examination', () => {
  const examined = {
    tender: [{ side: 'left' as const, joint: 'mcp2' as const }, { side: 'right' as const, joint: 'knee' as const }],
    swollen: [{ side: 'right' as const, joint: 'elbow' as const }]
  }
  const codesOf = async () => (await search()).filter(({ status }) => status === 'final').map(({ code, valueCodeableConcept }) => `${code.coding?.[0]?.code} ${valueCodeableConcept?.text}`)

  test('are written one by one, the joint as the value and its side in words', async () => {
    await signReview(session, { ...input, examined })
    expect(await codesOf()).toEqual(expect.arrayContaining([
      '88983-2 Left hand, index finger, MCP joint (MCP 2)', '88983-2 Right knee', '88984-0 Right elbow'
    ]))
    expect(JSON.stringify(await search())).not.toContain('88981-6')
  })

  test('are the members of the counts', async () => {
    await signReview(session, { ...input, decisions: [swollen, corrected], examined, activity: { tenderJointCount28: 2, swollenJointCount28: 3 } })
    const all = await search()
    const countOf = (wanted: string) => all.find(({ code }) => code.coding?.[0]?.code === wanted)
    expect(countOf('88981-6')?.hasMember?.map(({ reference }) => all.find(({ id }) => `Observation/${id}` === reference)?.valueCodeableConcept?.text)).toHaveLength(2)
    expect(countOf('88980-8')?.hasMember).toHaveLength(3)
  })

  test('signed twice are written once', async () => {
    await signReview(session, { ...input, examined })
    const before = (await search()).length
    await signReview(session, { ...input, examined })
    expect((await search()).length).toBe(before)
  })
})

describe('a 28-joint count in a second sitting', () => {
  const tender = [{ side: 'left' as const, joint: 'mcp2' as const }, { side: 'right' as const, joint: 'pip3' as const }, { side: 'left' as const, joint: 'knee' as const }]
  const knee = { side: 'left' as const, joint: 'knee' as const }
  /** A swollen hand joint, three tender joints and a swollen knee are signed; later all 28 are said to be examined. */
  const first = () => ({ ...input, decisions: [swollen], examined: { tender, swollen: [knee] } })
  const second = (activity: object, change: Partial<ReviewInput> = {}): ReviewInput => ({ ...input, decisions: [], activity, signed: '2026-11-23T11:30:00.000Z', ...change })
  const globals = { patientGlobal: 5, physicianGlobal: 4 }
  const valueOf = async (code: string) => (await search()).find((one) => one.code.coding?.[0]?.code === code)?.valueQuantity?.value

  test('takes in what stands signed, each joint a member where it lies, and another count is refused before anything is written', async () => {
    await signReview(session, first())
    for (const wrong of [{ swollenJointCount28: 2, tenderJointCount28: 0 }, { swollenJointCount28: 1, tenderJointCount28: 3 }]) {
      const refused = { code: 'ERR_CONFLICT', message: expect.stringMatching(/^Expected [23] as the count of the (swollen|tender) joints \(28\)/) }
      await expect(preparedReview(session, second({ ...wrong, ...globals }))).rejects.toMatchObject(refused)
      await expect(signReview(session, second({ ...wrong, ...globals }))).rejects.toMatchObject(refused)
    }
    expect(await valueOf('75894-6')).toBeUndefined()
    await signReview(session, second({ swollenJointCount28: 2, tenderJointCount28: 3, ...globals }, { performer: 'Practitioner/doc-2' }))
    expect([await valueOf('88980-8'), await valueOf('88981-6'), await valueOf('75847-4')]).toEqual([2, 3, 14])
    const lying = new Map((await search()).map((one) => [`Observation/${one.id}`, one.valueCodeableConcept?.text]))
    const membersOf = async (code: string) => (await search()).find((one) => one.code.coding?.[0]?.code === code)?.hasMember?.map(({ reference }) => lying.get(reference ?? ''))
    expect(await membersOf('88980-8')).toEqual(['Present', 'Left knee'])
    expect(await membersOf('88981-6')).toHaveLength(3)
  })

  test('counts a joint once that is signed in both, and adds what is new', async () => {
    await signReview(session, first())
    await signReview(session, second({ swollenJointCount28: 3, tenderJointCount28: 4 }, { decisions: [swollen, corrected], examined: { tender: [knee, { side: 'right', joint: 'knee' }], swollen: [knee] } }))
    expect([await valueOf('88980-8'), await valueOf('88981-6')]).toEqual([3, 4])
  })

  test('leaves out what was signed in another examination, the day before', async () => {
    await signReview(session, first())
    const nextDay = { signed: '2026-11-24T11:30:00.000Z' }
    await expect(preparedReview(session, second({ swollenJointCount28: 2, tenderJointCount28: 3 }, nextDay))).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    await signReview(session, second({ swollenJointCount28: 0, tenderJointCount28: 0 }, nextDay))
    expect([await valueOf('88980-8'), await valueOf('88981-6')]).toEqual([0, 0])
  })

  test('is none where a hand joint was called not assessable', async () => {
    await signReview(session, { ...first(), decisions: [swollen, unseen] })
    await expect(preparedReview(session, second({ swollenJointCount28: 2 }))).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringContaining('not assessable') })
  })

  test('that stands is not left behind by joints that are signed after it: it is corrected with them', async () => {
    await signReview(session, { ...first(), activity: { swollenJointCount28: 2, tenderJointCount28: 3 } })
    await expect(signReview(session, { ...input, decisions: [corrected], signed: '2026-11-23T11:30:00.000Z' })).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringContaining('2 stands, with these joints 3') })
    await signReview(session, { ...input, decisions: [{ ...corrected, call: 'not-swollen' }], signed: '2026-11-23T11:30:00.000Z' })
  })

  test('costs no more than six searches, and signing joints alone three, besides two for the AI’s', async () => {
    const searches = async (one: ReviewInput) => {
      const before = server.seen.length
      await preparedReview(session, one)
      return server.seen.slice(before).filter(({ method, path }) => method === 'GET' && path.startsWith('/Observation')).length - 2
    }
    expect(await searches(input)).toBe(3)
    expect(await searches({ ...input, decisions: [swollen], examined: { tender, swollen: [] }, activity: { swollenJointCount28: 1, tenderJointCount28: 3 } })).toBeLessThanOrEqual(6)
  })
})

test('all that stands signed is read with who signed it, when, and whether in the examination that is going on', async () => {
  await signReview(session, { ...input, decisions: [swollen], examined: { tender: [{ side: 'left', joint: 'knee' }], swollen: [{ side: 'left', joint: 'knee' }] }, activity: { swollenJointCount28: 2, patientGlobal: 5 } })
  const by = { performer: 'Practitioner/doc-1', at: input.signed }
  const standing = async (time: string) => signedFindings(session, input, Date.parse(time))
  const now = { ...by, sameExamination: true }
  expect(await standing('2026-11-23T18:00:00Z')).toEqual({
    joints: [{ ...swollen, ...now }], tender: [{ side: 'left', joint: 'knee', ...now }], swollen: [{ side: 'left', joint: 'knee', ...now }],
    numbers: [{ name: 'swollenJointCount28', value: 2, ...now }, { name: 'patientGlobal', value: 5, ...now }]
  })
  expect((await standing('2026-11-24T18:00:00Z')).tender).toEqual([{ side: 'left', joint: 'knee', ...by, sameExamination: false }])
})

test('what was signed is not taken for unsigned where the record cannot be asked for it', async () => {
  const mute = { ...session, capabilities: async () => ({ ...await session.capabilities(), canSearch: () => false }) } as FhirSession
  await expect(signedFindings(mute, input, Date.now())).rejects.toMatchObject({ code: 'ERR_EHR_REFUSED' })
})

describe('a number that stands signed', () => {
  const later = { signed: '2026-11-23T11:30:00.000Z', decisions: [] as readonly JointDecision[] }

  test('is not written over: the preview already refuses another one and names both', async () => {
    await signReview(session, { ...input, activity: { patientGlobal: 5 } })
    for (const again of [preparedReview, signReview])
      await expect(again(session, { ...input, ...later, activity: { patientGlobal: 6 } })).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringMatching(/: 5 stands, here 6\. Nothing was written; correct what was signed/) })
  })

  test('is what a score is derived from that a colleague makes with it', async () => {
    await signReview(session, { ...input, decisions: [swollen], activity: { patientGlobal: 5 } })
    const [global] = (await search()).filter(({ code }) => code.coding?.[0]?.code === '75894-6')
    const scored = { ...input, ...later, performer: 'Practitioner/doc-2', activity: { swollenJointCount28: 1, tenderJointCount28: 0, patientGlobal: 5, physicianGlobal: 4 } }
    const previewed = (await preparedReview(session, scored)).observations
    expect(previewed.map(({ valueQuantity }) => valueQuantity?.value)).toEqual([1, 0, 4, 10])
    await signReview(session, scored)
    const all = await search()
    expect(all.filter(({ code }) => code.coding?.[0]?.code === '75894-6')).toEqual([global])
    expect(all.find(({ code }) => code.coding?.[0]?.code === '75847-4')?.derivedFrom).toContainEqual({ reference: `Observation/${global?.id}` })
    const [provenance] = await session.search('Provenance', { target: `Observation/${all.find(({ code }) => code.coding?.[0]?.code === '75847-4')?.id}` })
    expect(provenance?.target.map(({ reference }) => reference)).not.toContain(`Observation/${global?.id}`)
  })
})

test('what is signed is valid R4 for three validators', () => {
  const fhir = new Fhir()
  for (const one of previewOf(clinicianResources({
    ...input, aiObservation: () => 'Observation/ai-1', activity: { tenderJointCount28: 1, swollenJointCount28: 2, patientGlobal: 3, physicianGlobal: 2, crpMgPerL: 4, esrMmPerH: 9 },
    examined: { tender: [{ side: 'left', joint: 'shoulder' }], swollen: [{ side: 'left', joint: 'knee' }] }
  }))) {
    expect(validateResource(one as MedplumObservation).filter(({ severity }) => severity === 'error')).toEqual([])
    const { messages } = fhir.validate(one, { skipCodeValidation: true })
    expect(messages.filter(({ severity }) => ['error', 'fatal'].includes(String(severity)))).toEqual([])
    expect(schemaFaults(one)).toEqual([])
  }
})

test('a review that names one joint twice is refused', () => {
  expect(() => onceEach([swollen, { ...swollen, call: 'not-swollen' }])).toThrow('left mcp2 twice')
})

async function search(): Promise<readonly Observation[]> {
  return session.search('Observation', { patient: 'pat-1' })
}

/** An empty record without conditional create, whose Observations can be searched by more. */
async function reopen(...parameters: readonly string[]): Promise<void> {
  await egress.close()
  await server.close()
  const more = parameters.map((name) => ({ name, type: 'token' as const }))
  const rest = everything()
  server = await startFhirServer({
    ...rest, resource: (rest.resource ?? []).map((one) => ({ ...one, conditionalCreate: false, searchParam: [...(one.searchParam ?? []), ...(one.type === 'Observation' ? more : [])] }))
  })
  const tenant = loopbackTenant(server.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
}

describe('a review signed twice', () => {
  test.each([[['category', 'code']], [['category']]] as const)('is written once to a server that searches Observations by patient with %j alone', async (wanted) => {
    await reopen('category')
    server.refuse = (request) => refusalWithout(wanted, request)
    const first = await signReview(session, input)
    expect(await signReview(session, input)).toEqual(first)
    server.refuse = () => undefined
    expect((await search()).filter(({ status }) => status === 'final')).toHaveLength(3)
  })

  test('is written once to a server that answers the searches of the last minute as it did then', async () => {
    await reopen()
    server.cachesSearches = true
    const first = await signReview(session, input)
    expect(await signReview(session, input)).toEqual(first)
  })
})
