import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Bundle, DiagnosticReport, FhirResource, Observation, Provenance } from 'fhir/r4.js'
import { startDemoSite, type DemoSite } from './demo-site.ts'
import { filledTemplate } from '../../demo/prefetch.ts'

let site: DemoSite
beforeAll(async () => { site = await startDemoSite() })
afterAll(() => site.close())
beforeEach(() => {
  site.service.seen.length = 0
  site.service.cards = []
  site.service.feedbackStatus = 200
})

interface Call { status: number; ms: number; request: Record<string, unknown>; response: { cards: { uuid: string }[] } }
interface Accepted { status: string; resources: FhirResource[]; feedback?: { status: number } }

const uuid = (name: string, number: number) => `00000000-0000-4000-8000-${Buffer.from(name.slice(0, 4)).toString('hex')}${String(number).padStart(4, '0')}`
const identifier = (value: string) => [{ system: 'urn:small', value }]

/** Two Observations, a count over them, a report and a Provenance: actions that name each other as ours do. */
function suggestion(name: string, patient = 'demo-1') {
  const subject = { reference: `Patient/${patient}` }
  const [a, b, count, report, provenance] = [1, 2, 3, 4, 5].map((number) => uuid(name, number))
  const observation = (id: string | undefined, more: object = {}) => ({ resourceType: 'Observation', id, identifier: identifier(`${name}-${id}`), status: 'preliminary', code: { text: 'joint' }, subject, ...more })
  const resources = [
    observation(a), observation(b), observation(count, { hasMember: [{ reference: `Observation/${a}` }, { reference: `Observation/${b}` }] }),
    { resourceType: 'DiagnosticReport', id: report, identifier: identifier(`${name}-report`), status: 'preliminary', code: { text: 'report' }, subject, result: [{ reference: `Observation/${count}` }] },
    { resourceType: 'Provenance', id: provenance, target: [{ reference: `DiagnosticReport/${report}` }], recorded: '2026-11-24T08:00:00Z', agent: [{ who: { display: 'hand-joints' } }] }
  ]
  return { label: 'Record', uuid: uuid(name, 9), actions: resources.map((resource) => ({ type: 'create', description: 'x', resource })) }
}

function card(name: string, patient = 'demo-1') {
  return {
    uuid: uuid(name, 8), summary: 'A card', indicator: 'info', source: { label: 'Small' }, selectionBehavior: 'at-most-one', suggestions: [suggestion(name, patient)],
    overrideReasons: [{ code: 'disagree', system: 'urn:reasons', display: 'I see it differently' }]
  }
}

async function shown(name: string, patient = 'demo-1', about = patient) {
  site.service.cards = [card(name, about)]
  return (await (await site.get(`/demo/cds/small?patient=${patient}`)).json()) as Call
}
const accept = async (name: string, patient = 'demo-1') => {
  const response = await site.post('/demo/accept', { patient, card: uuid(name, 8), suggestion: uuid(name, 9) })
  return { http: response.status, body: await response.json() as Accepted }
}
const totalOf = async (type: string) => ((await (await site.get(`/fhir/${type}?_count=500`, await site.backendToken())).json()) as Bundle).total ?? 0

describe('the call that a chart makes', () => {
  test('is signed, carries the filled prefetch and a token for this patient alone, and shows no token to scripts', async () => {
    const { status, ms, request, response } = await shown('call')
    expect({ status, cards: response.cards.length }).toEqual({ status: 200, cards: 1 })
    expect(ms).toBeGreaterThan(0)
    const [seen] = site.service.seen
    expect(seen?.claims).toMatchObject({ iss: site.ehr.tenant.fhirBase, aud: `${site.service.url}/cds-services/small` })
    expect(seen?.body).toMatchObject({
      hook: 'patient-view', fhirServer: site.ehr.tenant.fhirBase,
      context: { userId: 'Practitioner/demo-clinician', patientId: 'demo-1', encounterId: 'demo-1-encounter' },
      prefetch: { patient: { resourceType: 'Patient', id: 'demo-1' }, photos: { resourceType: 'Bundle', total: 2 }, clinician: { id: 'demo-clinician' } }
    })
    expect(Object.keys(seen?.body['prefetch'] as object)).toEqual(['patient', 'photos', 'clinician'])
    const { access_token, patient } = seen?.body['fhirAuthorization'] as { access_token: string; patient: string }
    expect(patient).toBe('demo-1')
    expect((await site.get('/fhir/Binary/demo-1-left', access_token)).status).toBe(200)
    expect((await site.get('/fhir/Binary/demo-2-left', access_token)).status).toBe(403)
    expect((await site.post('/fhir/Observation', { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/demo-1' } }, access_token)).status).toBe(403)
    expect(JSON.stringify(request)).not.toContain(access_token)
  })

  test('brings the draft order or the proposed appointment where the hook asks for them', async () => {
    await site.get('/demo/cds/small-order?patient=demo-5')
    await site.get('/demo/cds/small-booking?patient=demo-4')
    expect(site.service.seen[0]?.body).toMatchObject({ hook: 'order-select', context: { selections: ['MedicationRequest/draft-1'], draftOrders: { entry: [{ resource: { status: 'draft' } }] } } })
    expect(site.service.seen[1]?.body).toMatchObject({ hook: 'appointment-book', context: { appointments: { entry: [{ resource: { resourceType: 'Appointment', status: 'proposed' } }] } } })
  })

  test('is not made for unknown patients, services and hooks', async () => {
    for (const path of ['small?patient=nobody', 'small', 'unknown?patient=demo-1', 'small-other?patient=demo-1'])
      expect((await site.get(`/demo/cds/${path}`)).status).toBe(404)
    expect(site.service.seen).toEqual([])
  })

  test.each([
    ['Patient/{{context.patientId}}', 'Patient/p'],
    ['Observation?patient={{context.patientId}}&encounter={{ context.encounterId }}', 'Observation?patient=p&encounter=e'],
    ['Practitioner/{{userPractitionerId}}', 'Practitioner/u'],
    ['Patient/{{userPatientId}}', undefined],
    ['Encounter/{{context.absent}}', undefined],
    ['Encounter/{{context.draftOrders}}', undefined],
    ['Observation?date=gt{{today()}}', undefined]
  ])('the template %s is read as %s', (template, expected) => {
    expect(filledTemplate(template, { patientId: 'p', encounterId: 'e', userId: 'Practitioner/u', draftOrders: {} })).toBe(expected)
  })
})

describe('accepting a suggestion', () => {
  test('writes its resources in order, each pointing at where the others now lie, and reports it', async () => {
    await shown('first')
    const { http, body } = await accept('first')
    expect(http).toBe(200)
    expect(body.status).toBe('written')
    expect(body.resources.map(({ resourceType }) => resourceType)).toEqual(['Observation', 'Observation', 'Observation', 'DiagnosticReport', 'Provenance'])
    const [a, b, count, report, provenance] = body.resources as [Observation, Observation, Observation, DiagnosticReport, Provenance]
    expect(count.hasMember?.map(({ reference }) => reference)).toEqual([`Observation/${a.id}`, `Observation/${b.id}`])
    expect(report.result?.[0]?.reference).toBe(`Observation/${count.id}`)
    expect(provenance.target[0]?.reference).toBe(`DiagnosticReport/${report.id}`)
    const feedback = site.service.seen.at(-1)
    expect(feedback?.path).toBe('/cds-services/small/feedback')
    expect(feedback?.body['feedback']).toEqual([
      { card: uuid('first', 8), outcome: 'accepted', acceptedSuggestions: [{ id: uuid('first', 9) }], outcomeTimestamp: expect.stringMatching(/^\d{4}-.*Z$/) }
    ])
  })

  test('twice, or on a later card with the same results, writes nothing more and reports each card once', async () => {
    await shown('twice')
    const { body: first } = await accept('twice')
    const before = [await totalOf('Observation'), await totalOf('Provenance')]
    const { body: second } = await accept('twice')
    expect(second.status).toBe('already')
    expect(second.resources).toEqual(first.resources)
    expect(site.service.seen.filter(({ path }) => path.endsWith('/feedback'))).toHaveLength(1)

    const again = { ...card('twice'), uuid: uuid('other', 8) }
    site.service.cards = [again]
    await site.get('/demo/cds/small?patient=demo-1')
    const later = await site.post('/demo/accept', { patient: 'demo-1', card: again.uuid, suggestion: uuid('twice', 9) })
    const body = await later.json() as Accepted
    expect(body.status).toBe('already')
    expect(body.resources.map(({ id }) => id)).toEqual(first.resources.map(({ id }) => id))
    expect([await totalOf('Observation'), await totalOf('Provenance')]).toEqual(before)
  })

  test('by two people at once writes once', async () => {
    await shown('both')
    const before = await totalOf('Observation')
    const answers = await Promise.all([accept('both'), accept('both'), accept('both')])
    expect(answers.map(({ body }) => body.status).sort()).toEqual(['already', 'already', 'written'])
    expect(await totalOf('Observation')).toBe(before + 3)
  })

  test('is refused for an unknown card or suggestion, and for another patient, with nothing written', async () => {
    await shown('wrong')
    const before = await totalOf('Observation')
    expect((await accept('never')).http).toBe(404)
    expect((await site.post('/demo/accept', { patient: 'demo-1', card: uuid('wrong', 8), suggestion: uuid('wrong', 7) })).status).toBe(404)
    expect((await accept('wrong', 'demo-2')).http).toBe(409)
    expect((await site.post('/demo/accept', { patient: 'demo-1' })).status).toBe(400)
    await shown('stray', 'demo-1', 'demo-2')
    expect((await accept('stray')).http).toBe(409)
    expect(await totalOf('Observation')).toBe(before)
  })

  test('of resources that are not valid is refused as a whole, and can be tried again', async () => {
    const broken = card('broken')
    const before = await totalOf('Observation')
    delete (broken.suggestions[0]?.actions[3]?.resource as { status?: string }).status
    site.service.cards = [broken]
    await site.get('/demo/cds/small?patient=demo-1')
    expect((await accept('broken')).http).toBe(422)
    expect((await accept('broken')).http).toBe(422)
    expect(await totalOf('Observation')).toBe(before)
    expect(site.service.seen.filter(({ path }) => path.endsWith('/feedback'))).toEqual([])
  })

  test('still writes when JointLens cannot be told, and tells it the next time', async () => {
    await shown('untold')
    site.service.feedbackStatus = 500
    expect((await accept('untold')).body).toMatchObject({ status: 'written', feedback: { status: 500 } })
    site.service.feedbackStatus = 200
    expect((await accept('untold')).body).toMatchObject({ status: 'already', feedback: { status: 200 } })
  })
})

describe('setting a card aside', () => {
  test('tells JointLens the reason that the clinician chose', async () => {
    await shown('aside')
    const response = await site.post('/demo/override', { patient: 'demo-1', card: uuid('aside', 8), reason: 'disagree', comment: 'Old injury' })
    expect(await response.json()).toEqual({ status: 'overridden', feedback: { status: 200 } })
    expect(site.service.seen.at(-1)?.body['feedback']).toMatchObject([
      { card: uuid('aside', 8), outcome: 'overridden', overrideReason: { reason: { code: 'disagree', system: 'urn:reasons' }, userComment: 'Old injury' } }
    ])
    expect((await site.post('/demo/override', { patient: 'demo-1', card: uuid('aside', 8), reason: 'not-listed' })).status).toBe(400)
    expect((await site.post('/demo/override', { patient: 'demo-2', card: uuid('aside', 8), reason: 'disagree' })).status).toBe(409)
  })

  test('and accepting take no requests from other pages', async () => {
    for (const headers of [{ 'content-type': 'text/plain' }, { 'content-type': 'application/json', origin: 'http://evil.example' }]) {
      const response = await fetch(`${site.ehr.url}/demo/accept`, { method: 'POST', headers, body: '{}' })
      expect([403, 415]).toContain(response.status)
    }
  })
})

describe('the pages', () => {
  test.each(['/', '/patients/demo-1'])('%s says that the demo is synthetic and runs only its own scripts', async (path) => {
    const response = await site.get(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-security-policy')).toContain("script-src 'self'")
    expect(await response.text()).toContain('Synthetic demo: computer-made hands, demo calibration, research software')
  })

  test('an unknown patient has no chart', async () => {
    expect((await site.get('/patients/nobody')).status).toBe(404)
    expect((await site.get('/demo/patients/nobody')).status).toBe(404)
  })

  test('photos of the chart are pictures', async () => {
    const response = await site.get('/demo/photos/demo-5-2026-11-left')
    expect(response.headers.get('content-type')).toBe('image/jpeg')
    expect((await site.get('/demo/photos/nothing')).status).toBe(404)
  })
})
