import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { dayIn, previsit, worklistCsv, type WorklistOfDay } from '../../src/screening/previsit.ts'
import { reconcile } from '../../src/screening/reconcile.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { emptyStore, openHouse, openTestEngine, type ScreeningHouse } from '../support/screening-house.ts'
import { openTestStore } from '../support/test-store.ts'

let engine: InferenceEngine
let store: Store
let house: ScreeningHouse
let egress: Egress

beforeAll(async () => {
  engine = await openTestEngine()
  store = await openTestStore()
})
afterAll(async () => {
  await engine.close()
  await store.close()
})
afterEach(async () => {
  await egress.close()
  await house.close()
  await emptyStore(store)
})

async function open(settings: Parameters<typeof openHouse>[1] = {}, more: Parameters<typeof openHouse>[2] = {}) {
  house = await openHouse(engine, settings, { store, ...more })
  egress = egressForTenant(house.tenant)
  return () => openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') })
}

const appointment = (patientId: string, start: string, status = 'booked', reference = `Patient/${patientId}`) => house.ehr.repository.createResource({
  resourceType: 'Appointment', status: status as 'booked', start, end: new Date(Date.parse(start) + 900_000).toISOString(), participant: [{ actor: { reference }, status: 'accepted' }]
})

describe('screening before the visit', () => {
  test('makes a list of who has results, who needs a better photo and who has none', async () => {
    const sessionFor = await open({ timeZone: 'Europe/Berlin' })
    await house.addPhoto('pat-1', 'demo-1-left')
    await house.addPhoto('pat-3', 'demo-1-left', { bodySite: { text: 'Right hand' } })
    // 00:30 in Berlin is still the day before in UTC
    await appointment('pat-1', '2026-11-24T23:30:00Z')
    await appointment('pat-3', '2026-11-25T09:00:00Z')
    await appointment('pat-4', '2026-11-25T10:00:00Z')
    await appointment('pat-5', '2026-11-25T11:00:00Z', 'cancelled')
    await appointment('pat-6', '2026-11-25T23:30:00Z')
    // A patient of another record who happens to have the same number.
    await appointment('pat-1', '2026-11-25T07:00:00Z', 'booked', 'https://elsewhere.example/fhir/Patient/pat-7')
    await appointment('pat-8', '2026-11-25T12:00:00Z', 'booked', `${house.ehr.base}/Patient/pat-8`)
    house.service.start()
    const seen: number[] = []
    const { rows, withoutPatient } = await previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25', onProgress: (done) => seen.push(done) })
    expect(rows.map(({ patientId, status, reason }) => [patientId, status, reason])).toEqual([
      ['pat-1', 'results', undefined], ['pat-3', 'needs-photo', 'uncertain-side'], ['pat-4', 'no-photo', 'no-photos'],
      ['pat-8', 'no-photo', 'no-photos']
    ])
    expect(seen).toEqual([0, 1, 2, 3, 4])
    // The one of another record, told so that someone looks.
    expect(withoutPatient).toBe(1)
  })

  test('counts appointments that name no patient we can look at, and makes the list all the same', async () => {
    const sessionFor = await open()
    await appointment('pat-4', '2026-11-25T09:00:00Z')
    const slots: readonly unknown[] = [
      undefined, null, [null], [{ actor: null }], [{ actor: { reference: 7 } }],
      [{ actor: { type: 'Patient', identifier: { system: 'urn:mrn', value: '77' }, display: 'B' }, status: 'accepted' }]
    ]
    const entry = slots.map((participant, n) => ({ resource: { resourceType: 'Appointment', id: `slot-${n}`, status: 'booked', start: `2026-11-25T1${n}:00:00Z`, participant } }))
    const day = new URLSearchParams({ date: '2026-11-26', _count: '100' })
    house.ehr.raw.set(`/Appointment?${day.toString()}`, { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry })) })
    house.service.start()
    const { rows, withoutPatient } = await previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25' })
    expect(rows.map(({ patientId }) => patientId)).toEqual(['pat-4'])
    expect(withoutPatient).toBe(slots.length)
  })

  test('asks again for a list that cannot be read now, when the server says so', async () => {
    const sessionFor = await open()
    await appointment('pat-4', '2026-11-25T10:00:00Z')
    let times = 0
    house.ehr.refuse = ({ path }) => path === '/Appointment' && ++times === 1 ? { status: 429, why: 'too many' } : undefined
    house.service.start()
    const { rows: [row] } = await previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25' })
    expect(row).toMatchObject({ patientId: 'pat-4', status: 'no-photo' })
    expect(times).toBeGreaterThan(1)
    house.ehr.refuse = ({ path }) => path === '/Appointment' ? { status: 403, why: 'no scope' } : undefined
    await expect(previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25' })).rejects.toMatchObject({ code: 'ERR_EHR_UNAUTHORIZED' })
  })

  test('misses nobody whom the first answer left out, and sees who was given an appointment meanwhile', async () => {
    const sessionFor = await open()
    await appointment('pat-4', '2026-11-25T10:00:00Z')
    const nobody = { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total: 0 })) }
    let times = 0
    house.ehr.refuse = ({ path }) => {
      if (path !== '/Appointment') return undefined
      if (++times <= 3) house.ehr.raw.set('/Appointment', nobody)
      else house.ehr.raw.delete('/Appointment')
      return undefined
    }
    house.service.start()
    const first = await previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25' })
    expect(first.rows).toMatchObject([{ patientId: 'pat-4', status: 'no-photo' }])
    let booked = false
    const { rows } = await previsit({
      service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25',
      onProgress: (done) => { if (done > 0 && !booked) { booked = true; void appointment('pat-5', '2026-11-25T09:00:00Z') } }
    })
    expect(rows.map(({ patientId }) => patientId)).toEqual(['pat-5', 'pat-4'])
  })

  test('asks again when a gateway refuses the list in passing, and keeps a list whose second look fails', async () => {
    const sessionFor = await open()
    await appointment('pat-4', '2026-11-25T10:00:00Z')
    let times = 0
    house.ehr.refuse = ({ path }) => path === '/Appointment' && (++times === 1 || times > 4) ? { status: 403, why: 'a gateway' } : undefined
    house.service.start()
    const { rows } = await previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25', patienceMs: 2_000 })
    expect(rows).toMatchObject([{ patientId: 'pat-4', status: 'no-photo' }])
  })

  test('asks again for a list that a gateway answered with a page of its own', async () => {
    const sessionFor = await open()
    await appointment('pat-4', '2026-11-25T10:00:00Z')
    let times = 0
    house.ehr.fault = ({ path }) => path === '/Appointment' && ++times === 2 ? 'html-200' : undefined
    house.service.start()
    const { rows } = await previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25' })
    expect(rows.map(({ patientId }) => patientId)).toEqual(['pat-4'])
    expect(times).toBe(8)
    house.ehr.fault = ({ path }) => path === '/Appointment' ? 'html-200' : undefined
    await expect(previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25', patienceMs: 400 })).rejects.toMatchObject({ code: 'ERR_EHR_ANSWER' })
  })

  test('says of a result that is not in the record yet that it is not, and waits for a server that stumbles', async () => {
    // Of two at once the second may meet the first while that sends the model, and wait for it.
    const sessionFor = await open({ mode: 'assist', write: 'preliminary', calibrationFile: 'site.json' }, { atOnce: 1 })
    for (const patientId of ['pat-1', 'pat-2']) {
      await house.addPhoto(patientId, 'demo-1-left')
      await appointment(patientId, '2026-11-25T09:00:00Z')
    }
    house.ehr.refuse = ({ method, path }) => method === 'POST' && path === '/' ? { status: 403, why: 'no scope' } : undefined
    house.service.start()
    const list = (patienceMs: number) => previsit({ service: house.service, sessionFor, tenant: house.tenant, date: '2026-11-25', patienceMs })
    const words = ({ rows }: WorklistOfDay) => rows.map(({ status, notWritten }) => [status, notWritten])
    expect(words(await list(0))).toEqual([['results', 'ERR_EHR_UNAUTHORIZED'], ['results', 'ERR_EHR_UNAUTHORIZED']])
    house.ehr.refuse = () => undefined
    expect(words(await list(60_000))).toEqual([['results', undefined], ['results', undefined]])
  }, 120_000)

  test('reports what disappeared from the record or was withdrawn there', async () => {
    const sessionFor = await open({ mode: 'assist', write: 'preliminary', calibrationFile: 'site.json' })
    await house.addPhoto('pat-1', 'demo-1-left')
    await house.service.request('clinic', 'pat-1', 'command')
    await house.service.runOnce()
    const { latest } = await house.service.status('clinic', 'pat-1')
    const [gone = '', withdrawn = ''] = latest?.written.filter((one) => one.startsWith('Observation/')) ?? []
    await house.ehr.repository.deleteResource('Observation', gone.split('/')[1] ?? '')
    const resource = await house.ehr.repository.readResource('Observation', withdrawn.split('/')[1] ?? '')
    await house.ehr.repository.updateResource({ ...resource, status: 'entered-in-error' } as typeof resource)
    const report = await reconcile({ store: house.store, sessionFor, tenant: house.tenant })
    expect(report.missing).toEqual([gone])
    expect(report.changed).toEqual([{ reference: withdrawn, what: 'status entered-in-error' }])
    expect(report.checked).toBe(latest?.written.length)
  })
})

test.each([
  ['Europe/Berlin', '2026-03-29', '2026-03-28T23:00:00.000Z', 23],
  ['Europe/Berlin', '2026-10-25', '2026-10-24T22:00:00.000Z', 25],
  ['America/Los_Angeles', '2026-11-24', '2026-11-24T08:00:00.000Z', 24],
  ['Asia/Kolkata', '2026-11-24', '2026-11-23T18:30:00.000Z', 24],
  // Days without a midnight, with two, and one that was left out.
  ['Africa/Cairo', '2026-04-24', '2026-04-23T22:00:00.000Z', 23],
  ['Asia/Beirut', '2026-03-29', '2026-03-28T22:00:00.000Z', 23],
  ['Asia/Beirut', '2026-03-28', '2026-03-27T22:00:00.000Z', 24],
  ['Asia/Beirut', '2026-10-24', '2026-10-23T21:00:00.000Z', 25],
  ['America/Havana', '2026-03-08', '2026-03-08T05:00:00.000Z', 23],
  ['America/Havana', '2026-11-01', '2026-11-01T04:00:00.000Z', 25],
  ['America/Santiago', '2026-09-06', '2026-09-06T04:00:00.000Z', 23],
  ['America/Santiago', '2026-04-04', '2026-04-04T03:00:00.000Z', 25],
  ['Pacific/Apia', '2011-12-30', '2011-12-30T10:00:00.000Z', 0]
])('a day in %s on %s begins at %s and has %d hours', async (timeZone, date, start, hours) => {
  await open()
  const [from, until] = dayIn(timeZone, date)
  expect([from.toISOString(), (until.getTime() - from.getTime()) / 3_600_000]).toEqual([start, hours])
})

test('no cell of the worklist becomes a formula in a spreadsheet', async () => {
  await open()
  expect(worklistCsv({ rows: [{ patientId: '=1+1', appointment: '2026-11-25T09:00:00Z', status: 'failed', reason: 'a "b", c' }], withoutPatient: 0 }).split('\r\n')[1])
    .toBe('2026-11-25T09:00:00Z,\'=1+1,,failed,"a ""b"", c",,,,,,')
})
