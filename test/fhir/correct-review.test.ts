import { isDeepStrictEqual } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { validateResource } from '@medplum/core'
import type { Observation as MedplumObservation } from '@medplum/fhirtypes'
import { Fhir } from 'fhir/fhir.js'
import type { Bundle, CapabilityStatementRest, FhirResource, Observation, Provenance } from 'fhir/r4.js'
import { ScreeningError } from '../../src/errors.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { correctionHeld, correctReview, preparedCorrection, signedForCorrection, type CorrectionInput } from '../../src/fhir/correct-review.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { previewOf, type JointDecision } from '../../src/fhir/resources/clinician-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { signedFindings } from '../../src/fhir/standing-review.ts'
import { preparedReview, signReview, type ReviewInput } from '../../src/fhir/sign-review.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { everything, startFhirServer, type SeenRequest, type TestFhirServer } from '../support/fhir-server.ts'
import { personaOf, refusalOf } from '../support/persona.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'

let server: TestFhirServer
let egress: Egress
let session: FhirSession
let signed: ReviewInput

const decisions = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint): JointDecision => ({ side, joint, call: joint === 'mcp2' ? 'swollen' : 'not-swollen' })))
const tender = [{ side: 'left' as const, joint: 'mcp2' as const }, { side: 'right' as const, joint: 'knee' as const }]
const activity = { tenderJointCount28: 2, swollenJointCount28: 2, patientGlobal: 5, physicianGlobal: 4, crpMgPerL: 20 }
const photo = { resourceType: 'Media' as const, id: 'photo-1', versionId: '1', created: '2026-11-22T08:00:00Z' }

afterEach(async () => {
  await egress.close()
  await server.close()
})

/** A record in which Dr A has signed all 22 joints, two tender ones, globals and scores. */
async function open(rest: CapabilityStatementRest = everything()): Promise<void> {
  server = await startFhirServer(rest)
  server.refuse = (request) => refusalOf(rest, request)
  const tenant = loopbackTenant(server.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  const sample = sampleScreening({ photos: [photo], photoOf: () => photo })
  signed = {
    tenant: 'clinic', patientId: 'pat-1', performer: 'Practitioner/doc-a', screeningId: 'screening-1', photos: [photo], photoOf: () => photo, findings: sample.findings,
    model: sample.model, decisions, activity, examined: { tender, swollen: [] }, signed: '2026-11-23T10:02:00.000Z'
  }
  await signReview(session, signed)
}

/** Dr B’s correction: the left MCP 2 was not swollen, and the knee was not tender; 13 minutes later. */
async function correction(change: Partial<ReviewInput> = {}): Promise<CorrectionInput> {
  const { seen } = await signedForCorrection(session, signed)
  return {
    ...signed, performer: 'Practitioner/doc-b', signed: '2026-11-23T10:15:00.000Z', seen,
    decisions: decisions.map((one) => (one.side === 'left' && one.joint === 'mcp2' ? { ...one, call: 'not-swollen' } : one)),
    examined: { tender: tender.slice(0, 1), swollen: [] }, activity: { ...activity, tenderJointCount28: 1, swollenJointCount28: 1 }, ...change
  }
}

const all = async (): Promise<readonly Observation[]> => session.search('Observation', { patient: 'pat-1' })
const said = ({ code, bodySite, valueCodeableConcept, valueQuantity }: Observation) =>
  `${bodySite?.coding?.[0]?.code ?? code.coding?.[0]?.code} ${valueCodeableConcept?.text ?? valueQuantity?.value}`
const signedJoints = async (of: FhirSession, screening: ReviewInput) => (await signedFindings(of, screening, Date.parse(screening.signed))).joints
/** Each write as the record saw it, those of a transaction one by one. */
const writes = () => server.seen.flatMap((one): readonly Pick<SeenRequest, 'method' | 'path' | 'headers' | 'body'>[] => {
  if (one.path !== '/') return one.method === 'GET' ? [] : [one]
  return ((one.body as Bundle).entry ?? []).map(({ request, resource }) => ({
    method: request?.method ?? '', path: `/${request?.url}`, headers: request?.ifMatch ? { 'if-match': request.ifMatch } : {}, body: resource
  }))
})
const puts = () => writes().filter(({ method }) => method === 'PUT')
/** A record that takes no transactions. */
const singly = (): CapabilityStatementRest => ({ ...everything(), interaction: [{ code: 'batch' }] })

describe('a correction of what was signed', () => {
  beforeEach(() => open())

  test('becomes a new version of each Observation that changes, with its count and scores; the rest stays as it was', async () => {
    const before = await all()
    await correctReview(session, await correction())
    const after = await all()
    expect(after).toHaveLength(before.length)
    const changed = after.filter(({ status }) => status !== 'final')
    expect(changed.map((one) => `${one.status}: ${said(one)}`).sort()).toEqual([
      'corrected: 75845-8 13', 'corrected: 75847-4 11', 'corrected: 88980-8 1', 'corrected: 88981-6 1', 'corrected: L-MCP2 Absent', 'corrected: das28-crp 3.6',
      'corrected: hand-sjc-22-exam 1', 'entered-in-error: 88983-2 Right knee'
    ].sort())
    for (const one of changed) {
      expect([one.performer?.[0]?.reference, one.issued, one.effectiveDateTime, one.meta?.versionId !== '1']).toEqual(
        ['Practitioner/doc-b', '2026-11-23T10:15:00.000Z', '2026-11-23T10:02:00.000Z', true])
    }
    const untouched = (id: string | undefined) => after.find((one) => one.id === id)
    for (const one of before.filter(({ id }) => !changed.some((other) => other.id === id))) expect(untouched(one.id)).toEqual(one)
    const tenderCount = after.find((one) => said(one) === '88981-6 1')
    expect(tenderCount?.hasMember?.map(({ reference }) => after.find(({ id }) => `Observation/${id}` === reference)?.valueCodeableConcept?.text)).toEqual(['Left hand, index finger, MCP joint (MCP 2)'])
  })

  test('leaves what stood there, who said it and when, in the Observation and in the history, with a Provenance of the revision', async () => {
    await correctReview(session, await correction())
    const [joint] = (await signedJoints(session, signed)).filter(({ earlier }) => earlier)
    expect(joint).toEqual({
      side: 'left', joint: 'mcp2', call: 'not-swollen', performer: 'Practitioner/doc-b', at: '2026-11-23T10:15:00.000Z', sameExamination: true,
      earlier: [{ call: 'swollen', performer: 'Practitioner/doc-a', at: '2026-11-23T10:02:00.000Z' }]
    })
    const observation = (await all()).find((one) => said(one) === 'L-MCP2 Absent')
    const history = (await server.repository.readHistory('Observation', observation?.id ?? '')).entry ?? []
    expect(history.map(({ resource }) => said(resource as Observation))).toEqual(['L-MCP2 Absent', 'L-MCP2 Present'])
    const provenance = (await session.search('Provenance', { target: `Observation/${observation?.id}` })).find(({ recorded }) => recorded === '2026-11-23T10:15:00.000Z')
    expect(provenance).toMatchObject({ activity: { coding: [{ code: 'UPDATE' }] }, agent: [{ who: { reference: 'Practitioner/doc-b' } }] })
    const [first] = history.slice(-1)
    expect(revisions(provenance)).toContain(`Observation/${observation?.id}/_history/${first?.resource?.meta?.versionId}`)
    expect(revisions(provenance)).toHaveLength(8)
  })

  test('is previewed as it is then written', async () => {
    const input = await correction()
    const previewed = previewOf(await preparedCorrection(session, input))
    await correctReview(session, input)
    const written = [...puts().map(({ body }) => body), ...writes().filter(({ method, path, body }) => method === 'POST' && path === '/Provenance' && (body as Provenance).recorded === input.signed).map(({ body }) => body)]
    expect(written.map(bare)).toEqual(previewed.map(bare))
  })

  test('is sent over the version that was seen; what a colleague signed or corrected meanwhile is never overwritten', async () => {
    const input = await correction()
    await correctReview(session, await correction({ performer: 'Practitioner/doc-c', signed: '2026-11-23T10:14:00.000Z' }))
    expect(puts().every(({ headers }) => /^W\/".+"$/.test(String(headers['if-match'])))).toBe(true)
    const before = puts().length
    await expect(correctReview(session, input)).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringContaining('Nothing was written') })
    expect(puts()).toHaveLength(before)
  })

  test('that changes nothing is refused, and so is one that nobody agreed to', async () => {
    const input = await correction()
    const same = { decisions, activity, examined: signed.examined ?? { tender: [], swollen: [] } }
    await expect(correctReview(session, { ...input, ...same })).rejects.toMatchObject({ code: 'ERR_REQUEST_INVALID' })
    await expect(correctReview(session, input, () => false)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    expect(puts()).toEqual([])
  })

  test('adds what was forgotten, and what was withdrawn can be signed again, as a further version of the same Observation', async () => {
    await correctReview(session, await correction())
    const before = await all()
    const examined = { tender: [...tender, { side: 'right' as const, joint: 'wrist' as const }], swollen: [] }
    await correctReview(session, await correction({ examined, activity: { ...activity, tenderJointCount28: 3, swollenJointCount28: 1 }, signed: '2026-11-23T11:00:00.000Z' }))
    const after = await all()
    expect(after).toHaveLength(before.length + 1)
    expect(after.filter(({ code }) => code.coding?.[0]?.code === '88983-2').map((one) => [one.status, one.valueCodeableConcept?.text]).sort()).toEqual([
      ['corrected', 'Right knee'], ['final', 'Left hand, index finger, MCP joint (MCP 2)'], ['final', 'Right wrist']
    ])
  })

  test('a joint whose Observation was entered in error in the EHR is signed again as its next version, and the preview says so', async () => {
    const [joint] = (await all()).filter((one) => said(one) === 'L-MCP2 Present')
    await server.repository.updateResource({ ...joint, status: 'entered-in-error' } as never)
    const again = { ...signed, performer: 'Practitioner/doc-b', decisions: decisions.slice(2, 3), signed: '2026-11-23T12:00:00.000Z' }
    const { activity: _scores, examined: _found, ...only } = again
    expect((await preparedReview(session, only)).observations.map(({ id, status }) => [id, status])).toEqual([[joint?.id, 'corrected']])
    await signReview(session, only)
    await signReview(session, only)
    expect((await all()).filter((one) => one.bodySite?.coding?.[0]?.code === 'L-MCP2').map(({ status, performer }) => [status, performer?.[0]?.reference])).toEqual([['corrected', 'Practitioner/doc-b']])
  })

  test('a joint that was entered in error and is signed again with another answer changes the count of the hands with it', async () => {
    const { activity: _scores, examined: _found, ...again } = { ...signed, performer: 'Practitioner/doc-b', decisions: [{ side: 'left' as const, joint: 'mcp2' as const, call: 'not-swollen' as const }], signed: '2026-11-23T12:00:00.000Z' }
    const [joint] = (await all()).filter((one) => said(one) === 'L-MCP2 Present')
    const countNow = async () => (await all()).find((one) => one.code.coding?.[0]?.code === 'hand-sjc-22-exam')
    const before = (await countNow())?.valueQuantity?.value ?? 0
    await server.repository.updateResource({ ...joint, status: 'entered-in-error' } as never)
    const count28 = (await all()).find((one) => one.code.coding?.[0]?.code === '88980-8')
    await expect(preparedReview(session, again)).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringContaining('2 stands, with these joints 1') })
    await server.repository.updateResource({ ...count28, status: 'entered-in-error' } as never)
        expect((await preparedReview(session, again)).observations.map(({ status }) => status)).toEqual(['corrected', 'corrected'])
    await signReview(session, again)
    await signReview(session, again)
    const count = await countNow()
    expect([count?.status, count?.valueQuantity?.value, count?.performer?.[0]?.reference]).toEqual(['corrected', before - 1, 'Practitioner/doc-b'])
    expect(count?.note?.some(({ text }) => text.startsWith('Earlier version'))).toBe(true)
  })

  test('whose 28-joint count is not that of its joints is refused', async () => {
    await expect(preparedCorrection(session, await correction({ activity: { ...activity, tenderJointCount28: 1 } }))).rejects.toMatchObject({ code: 'ERR_CONFLICT', message: expect.stringContaining('Expected 1 as the count of the swollen joints (28)') })
  })

  test('may take back all of it: nothing is deleted, and nothing of it stands', async () => {
    const { activity: _scores, examined: _found, ...rest } = await correction({ decisions: [] })
    await correctReview(session, rest)
    const after = await all()
    expect(new Set(after.map(({ status }) => status))).toEqual(new Set(['entered-in-error']))
    const { decisions: standing, examined, entries } = await signedForCorrection(session, signed)
    expect([standing, examined, entries]).toEqual([[], { tender: [], swollen: [] }, []])
  })

  test('is valid R4 for two validators', async () => {
    const fhir = new Fhir()
    for (const one of previewOf(await preparedCorrection(session, await correction()))) {
      expect(validateResource(one as MedplumObservation).filter(({ severity }) => severity === 'error')).toEqual([])
      const { messages } = fhir.validate(one, { skipCodeValidation: true })
      expect(messages.filter(({ severity }) => ['error', 'fatal'].includes(String(severity)))).toEqual([])
    }
  })
})

describe('a correction in a record that takes no transactions', () => {
  beforeEach(() => open(singly()))

  test('stops at a version that came between the last look and the send, and says that a part is written', async () => {
    const input = await correction()
    const count = (await all()).find((one) => one.code.coding?.[0]?.code === 'hand-sjc-22-exam')
    let raced = false
    server.fault = ({ method, path }) => {
      if (method === 'PUT' && !raced) {
        raced = true
        // The EHR itself changes the count while we write the joint before it.
        void server.repository.updateResource({ ...count, note: [{ text: 'seen' }] } as never)
        expect(path).not.toContain(count?.id)
      }
      return undefined
    }
    await expect(correctReview(session, input)).rejects.toMatchObject({ code: 'ERR_WRITE_PARTIAL', message: expect.stringContaining('took 1') })
    expect(puts()).toHaveLength(2)
    server.fault = () => undefined
    await correctReview(session, input)
    expect((await all()).filter(({ status }) => status === 'corrected')).toHaveLength(7)
  })

  test.each(['commit-then-reset', 'commit-then-500'] as const)('goes on after an answer that was lost (%s): every version is written once', async (fault) => {
    const input = await correction()
    const agreed = previewOf(await preparedCorrection(session, input))
    let sent = 0
    server.fault = ({ method }) => (method === 'PUT' && ++sent === 3 ? fault : undefined)
    await expect(correctReview(session, input)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    server.fault = () => undefined
    await correctReview(session, input, (resources) => isDeepStrictEqual(previewOf(resources), agreed))
    await correctReview(session, input)
    const changed = (await all()).filter(({ status }) => status !== 'final')
    expect(changed).toHaveLength(8)
    for (const { id, note } of changed) {
      expect((await server.repository.readHistory('Observation', id ?? '')).entry).toHaveLength(2)
      expect(note?.filter(({ text }) => text.startsWith('Earlier version'))).toHaveLength(1)
    }
    expect((await session.search('Provenance', { target: `Observation/${changed[0]?.id}` }))).toHaveLength(2)
  })
})

describe('a correction in a record that takes transactions', () => {
  beforeEach(() => open())
  const changed = async () => (await all()).filter(({ status }) => status !== 'final')
  const sent = () => server.seen.filter(({ method }) => method !== 'GET')

  test('is one of them, with its Provenance, and is sent without conditions where a record takes none in so large a one', async () => {
    const input = await correction({ examined: { tender: [...tender.slice(0, 1), { side: 'right', joint: 'wrist' }], swollen: [] }, activity: { ...activity, tenderJointCount28: 2, swollenJointCount28: 1 } })
    const before = sent().length
    const written = await correctReview(session, input)
    expect(sent().slice(before).map(({ path, body }) => `${path} ${(body as Bundle).entry?.some(({ request }) => request?.ifNoneExist)}`)).toEqual(['/ true', '/ false'])
    expect(new Set(written)).toEqual(new Set([...(await changed()).map(({ id }) => `Observation/${id}`), ...(await all()).filter((one) => said(one) === '88983-2 Right wrist').map(({ id }) => `Observation/${id}`), written.at(-1)]))
    const provenance = await session.read('Provenance', written.at(-1)?.split('/')[1] ?? '')
    expect(provenance.target.map(({ reference }) => reference)).toEqual(written.slice(0, -1))
    expect(JSON.stringify(await all())).not.toContain('urn:uuid')
  })

  test('stops whole at a version that came between the last look and the send', async () => {
    const input = await correction()
    const [count] = (await all()).filter((one) => one.code.coding?.[0]?.code === 'hand-sjc-22-exam')
    server.fault = ({ path }) => {
      if (path === '/') void server.repository.updateResource({ ...count, note: [{ text: 'seen' }] } as never)
      return undefined
    }
    await expect(correctReview(session, input)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    expect(await changed()).toEqual([])
    server.fault = () => undefined
    await correctReview(session, input)
    expect(await changed()).toHaveLength(8)
  })

  test.each(['commit-then-reset', 'commit-then-500'] as const)('goes on after an answer that was lost (%s): every version is written once', async (fault) => {
    const input = await correction()
    server.fault = ({ path }) => (path === '/' ? fault : undefined)
    expect(await correctionHeld(session, input)).toEqual({ there: 0, of: 9 })
    await expect(correctReview(session, input)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    server.fault = () => undefined
    const before = sent().length
    expect(await correctionHeld(session, input)).toEqual({ there: 9, of: 9 })
    await correctReview(session, input)
    expect(sent()).toHaveLength(before)
    for (const { id } of await changed()) expect((await server.repository.readHistory('Observation', id ?? '')).entry).toHaveLength(2)
    expect((await session.search('Provenance', { target: `Observation/${(await changed())[0]?.id}` }))).toHaveLength(2)
  })

  test.each([403, 404])('and refuses this one (%d) is written one by one', async (status) => {
    const input = await correction()
    server.refuse = ({ path }) => (path === '/' ? { status, why: 'no bundles' } : undefined)
    expect(await correctReview(session, input)).toHaveLength(9)
    expect(await changed()).toHaveLength(8)
  })

  test('and refuses what is in it gets nothing of it', async () => {
    const input = await correction()
    server.refuse = ({ path }) => (path === '/' ? { status: 422, why: 'not so' } : undefined)
    await expect(correctReview(session, input)).rejects.toMatchObject({ code: 'ERR_EHR_REFUSED' })
    expect(await changed()).toEqual([])
  })

  test('and denies one that it has done is not sent it again', async () => {
    const input = await correction()
    const denying: FhirSession = { ...session, transaction: async (bundle) => { await session.transaction(bundle); throw new ScreeningError('ERR_EHR_REFUSED', 'Expected it to be accepted but the FHIR server answered 404', { answered: 404 }) } }
    expect(await correctReview(denying, input)).toHaveLength(9)
    for (const { id } of await changed()) expect((await server.repository.readHistory('Observation', id ?? '')).entry).toHaveLength(2)
  })

  test('but treats one as a batch says how much it took, and signing again writes the rest', async () => {
    const input = await correction()
    const [count] = (await all()).filter((one) => one.code.coding?.[0]?.code === 'hand-sjc-22-exam')
    const loose: FhirSession = { ...session, transaction: (bundle) => { void server.repository.updateResource({ ...count, note: [{ text: 'seen' }] } as never); return session.batch(bundle) } }
    await expect(correctReview(loose, input)).rejects.toMatchObject({ code: 'ERR_WRITE_PARTIAL', message: expect.stringContaining('took 8') })
    await correctReview(session, input)
    expect(await changed()).toHaveLength(8)
  })
})

describe('a correction in a record', () => {
  test('that takes no updates is refused before anything is sent, and it is told where each finding lies', async () => {
    const rest = everything()
    await open({ ...rest, resource: (rest.resource ?? []).map((one) => ({ ...one, interaction: (one.interaction ?? []).filter(({ code }) => one.type !== 'Observation' || code !== 'update') })) })
    const { uncorrectable, entries } = await signedForCorrection(session, signed)
    expect(uncorrectable).toBe('its /metadata lists no Observation update')
    expect(entries.find(({ words }) => /Present/.test(words))).toMatchObject({ reference: expect.stringMatching(/^Observation\//), words: expect.stringContaining('MCP 2'), performer: 'Practitioner/doc-a', at: signed.signed })
    await expect(correctReview(session, await correction())).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
    expect(puts()).toEqual([])
  })

  test.each(['epic', 'cerner'] as const)('of %s asks nothing that is not offered', async (vendor) => {
    await open(personaOf(vendor))
    const written = await correctReview(session, await correction())
    const sent = puts().length
    expect([await correctReview(session, await correction()), puts().length]).toEqual([written, sent])
    expect((await signedJoints(session, signed)).filter(({ earlier }) => earlier).map(({ joint }) => joint)).toEqual(['mcp2'])
    expect(server.refused).toEqual([])
  })
})

function revisions(provenance: Provenance | undefined): (string | undefined)[] {
  return (provenance?.entity ?? []).filter(({ role }) => role === 'revision').map(({ what }) => what.reference)
}

/** Without what only the record knows: the id of a Provenance that it made. */
function bare(value: unknown): unknown {
  const { id: _id, ...rest } = value as FhirResource
  return rest
}
