import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Appointment } from '@medplum/fhirtypes'
import pino from 'pino'
import { makeTenant, type TenantConfig } from '../../src/config.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { dueBy, openErrandRunner, type ErrandDeps, type ErrandRunner } from '../../src/screening/errand-runner.ts'
import { openErrands } from '../../src/screening/errands.ts'
import type { WorklistRow } from '../../src/screening/previsit.ts'
import { DERIVED } from '../../src/screening/retention.ts'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { emptyStore, openHouse, type ScreeningHouse } from '../support/screening-house.ts'
import { copyTestStore, openTestStore } from '../support/test-store.ts'

let store: Store
beforeAll(async () => {
  store = await openTestStore()
})
afterAll(() => store.close())
afterEach(() => emptyStore(store))

const site = (change: Partial<TenantConfig> = {}) => makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', ...change })
const waiting = async () => (await store.query<{ what: string }>('select what from errand where done_at is null order by what')).map(({ what }) => what)

describe('an errand', () => {
  test('is taken by one, and done once however many asked', async () => {
    const errands = openErrands(store)
    for (let time = 0; time < 3; time++) await errands.ask('clinic', 'look Media/1')
    const taken = await Promise.all(Array.from({ length: 5 }, () => errands.take(['clinic', 'other'], 'short')))
    const [mine, ...others] = taken.filter((one) => one !== undefined)
    expect(others).toEqual([])
    if (mine) await errands.done(mine)
    expect(await errands.take(['clinic'], 'short')).toBeUndefined()
    expect(await waiting()).toEqual([])
  })

  test('asked for while it is done is done again', async () => {
    const errands = openErrands(store)
    await errands.ask('clinic', 'poll')
    const first = await errands.take(['clinic'], 'short')
    await errands.ask('clinic', 'poll')
    expect(await errands.take(['clinic'], 'short')).toBeUndefined()
    if (first) await errands.done(first)
    expect(await errands.take(['clinic'], 'short')).toMatchObject({ what: 'poll', attempts: 1 })
  })

  test('of one who died is taken over when the lease ends', async () => {
    const errands = openErrands(store, { leaseMs: 0 })
    await errands.ask('clinic', 'poll')
    expect((await errands.take(['clinic'], 'short'))?.attempts).toBe(1)
    expect((await errands.take(['clinic'], 'short'))?.attempts).toBe(2)
  })

  test('of one who died is taken at once by who opens the same folder again', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'errands-'))
    await copyTestStore(dataDir)
    const before = await openStore({ dataDir })
    const errands = openErrands(before)
    await errands.ask('clinic', 'poll')
    await errands.take(['clinic'], 'short')
    expect(await openErrands(before).take(['clinic'], 'short')).toBeUndefined()
    await before.close()
    const after = await openStore({ dataDir })
    expect(await openErrands(after).take(['clinic'], 'short')).toMatchObject({ what: 'poll', attempts: 2 })
    await after.close()
    await rm(dataDir, { recursive: true })
  })

  test('that fails comes back later, is given up after a day, and starts anew when someone asks', async () => {
    const errands = openErrands(store)
    await errands.ask('clinic', 'look Media/1')
    const ends: string[] = []
    for (let time = 0; time < 40; time++) {
      await store.query('update errand set run_after = clock_timestamp()')
      const one = await errands.take(['clinic'], 'short')
      if (one) ends.push(await errands.failed(one, 'ERR_EHR_UNREACHABLE'))
      expect(await errands.take(['clinic'], 'short')).toBeUndefined()
    }
    expect([ends.indexOf('given-up'), ends.length]).toEqual([39, 40])
    await errands.ask('clinic', 'look Media/1')
    expect((await errands.take(['clinic'], 'short'))?.attempts).toBe(1)
  })

  test('of another site, or of the other lane, is left to others', async () => {
    const errands = openErrands(store)
    await errands.ask('other', 'poll')
    await errands.askOnce('clinic', 'previsit 2026-11-25')
    expect(await errands.take(['clinic'], 'short')).toBeUndefined()
    expect((await errands.take(['clinic'], 'long'))?.what).toBe('previsit 2026-11-25')
    expect(await errands.askOnce('clinic', 'previsit 2026-11-25')).toBe(false)
  })
})

describe('the clock of a site', () => {
  const due = (at: string, more: Parameters<typeof site>[0]) => dueBy(site(more), new Date(at)).filter((what) => what.startsWith('previsit'))
  const at0230 = { timeZone: 'Europe/Berlin', previsit: { at: '02:30', daysAhead: 1 } }

  test.each([
    ['a minute before', '2026-11-24T01:29:00Z', []], ['on time', '2026-11-24T01:30:00Z', ['previsit 2026-11-25']],
    ['late in the evening, after a restart', '2026-11-24T22:59:00Z', ['previsit 2026-11-25']], ['after midnight', '2026-11-24T23:00:00Z', []],
    ['the night clocks go forward, before', '2026-03-29T00:59:00Z', []], ['the night clocks go forward, when 02:30 never comes', '2026-03-29T01:00:00Z', ['previsit 2026-03-30']],
    ['the night clocks go back, at the first 02:30', '2026-10-25T00:30:00Z', ['previsit 2026-10-26']], ['the night clocks go back, at the second 02:30', '2026-10-25T01:30:00Z', ['previsit 2026-10-26']],
    ['the night clocks go back, at the second 02:10', '2026-10-25T01:10:00Z', []]
  ])('asks for the list %s (%s): %j', (_name, at, expected) => {
    expect(due(at, at0230)).toEqual(expected)
  })

  test('is the site\'s own, and may ask for the same day', () => {
    expect(due('2026-11-24T12:00:00Z', { timeZone: 'Pacific/Auckland', previsit: { at: '01:00', daysAhead: 0 } })).toEqual(['previsit 2026-11-25'])
    expect(due('2026-11-24T12:00:00Z', { timeZone: 'America/Los_Angeles', previsit: { at: '18:00', daysAhead: 1 } })).toEqual([])
    expect(due('2026-11-24T12:00:00Z', {})).toEqual([])
  })

  test.each([{ previsit: { at: '24:00', daysAhead: 1 } }, { previsit: { at: '2:30', daysAhead: 1 } }, { timeZone: 'Europe/Atlantis' }, { retentionDays: 0 }])('refuses %j', (wrong) => {
    expect(() => site(wrong)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }))
  })
})

describe('the night\'s list', () => {
  let house: ScreeningHouse
  let egress: Egress
  let lists: { date: string; rows: readonly WorklistRow[] }[]
  let now: string
  const runners: ErrandRunner[] = []

  beforeEach(async () => {
    house = await openHouse(openByteEngine(), { timeZone: 'Europe/Berlin', previsit: { at: '02:00', daysAhead: 1 } }, { store })
    egress = egressForTenant(house.tenant)
    lists = []
    now = '2026-11-24T01:30:00Z'
    house.service.start()
    const start = '2026-11-25T09:00:00Z'
    await house.ehr.repository.createResource<Appointment>({
      resourceType: 'Appointment', status: 'booked', start, end: start, participant: [{ actor: { reference: 'Patient/pat-1' }, status: 'accepted' }]
    })
  })
  afterEach(async () => {
    for (const one of runners.splice(0)) await one.stop()
    await egress.close()
    await house.close()
  })

  const runner = (more: Partial<ErrandDeps> = {}) => {
    const one = openErrandRunner({
      store, tenants: [house.tenant], screenings: house.service, log: pino({ level: 'silent' }), now: () => new Date(now), tickMs: 20,
      sessionFor: () => openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') }),
      keepWorklist: (_tenant, date, { rows }) => { lists.push({ date, rows }) }, ...more
    })
    runners.push(one)
    return one
  }
  const looks = () => house.ehr.seen.filter(({ path }) => path === '/Appointment').length

  test('is made once per date, by one of two workers, and again for the next date', async () => {
    const both = [runner(), runner()]
    expect((await Promise.all(both.map((one) => one.runOnce('long')))).sort()).toEqual([false, true])
    expect(lists).toEqual([{ date: '2026-11-25', rows: [{ patientId: 'pat-1', appointment: '2026-11-25T09:00:00Z', status: 'no-photo', reason: 'no-photos' }] }])
    for (const one of [...both, runner()]) expect(await one.runOnce('long')).toBe(false)
    expect(looks()).toBe(6)
    now = '2026-11-25T01:30:00Z'
    for (const one of both) await one.runOnce('long')
    expect(lists.map(({ date }) => date)).toEqual(['2026-11-25', '2026-11-26'])
  })

  test('that a stopped worker left is made by the next one', async () => {
    const entered = Promise.withResolvers<void>()
    const stuck = runner({
      leaseMs: 300,
      screenings: { request: () => Promise.resolve(), settled: () => { entered.resolve(); return new Promise(() => undefined) } }
    })
    stuck.start()
    await entered.promise
    await stuck.stop()
    expect(lists).toEqual([])
    const next = runner({ leaseMs: 300 })
    while (!await next.runOnce('long')) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(lists).toHaveLength(1)
  })

  test('that could not be read or written is made later', async () => {
    house.ehr.fault = () => '401'
    const one = runner()
    await one.runOnce('long')
    expect([lists, await waiting()]).toEqual([[], expect.arrayContaining(['previsit 2026-11-25'])])
    house.ehr.fault = () => undefined
    await store.query('update errand set run_after = clock_timestamp()')
    await one.runOnce('long')
    expect(lists).toHaveLength(1)
  })

  test('does not keep a notified photo waiting', async () => {
    const entered = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<string>()
    const media = await house.addPhoto('pat-2', 'demo-1-left')
    const one = runner({ screenings: {
      request: (_tenant, patientId, reason) => { if (reason === 'notification') asked.resolve(patientId); return Promise.resolve() },
      settled: () => { entered.resolve(); return new Promise(() => undefined) }
    } })
    one.start()
    await entered.promise
    await openErrands(store).ask('clinic', `look Media/${media}`)
    expect(await asked.promise).toBe('pat-2')
  })
})

describe('retention', () => {
  test('knows every table that names a patient', async () => {
    const named = await store.query<{ table_name: string }>("select table_name from information_schema.columns where column_name = 'patient_id' order by 1")
    expect(named.map((one) => one.table_name)).toEqual([...DERIVED.map(([table]) => table as string), 'job'].filter((table) => table !== 'assessment').sort())
  })

  test('erases what was derived, so many days after it was made, of this site alone', async () => {
    const made = async (tenant: string, patient: string, at: string) => {
      await store.query(
        `insert into screening (id, tenant, patient_id, day, photo_set, photo_time, state, data, completed_at)
         values (gen_random_uuid(), $1, $2, '2026-01-01', $2, $3, 'done', '{}', $3)`, [tenant, patient, at])
      await store.query("insert into assessment (tenant, photo_sha256, reader, data, made_at) values ($1, $2, 'r', '{}', $3)", [tenant, patient, at])
      await store.query('insert into ledger (tenant, identifier, reference, patient_id, recorded_at) values ($1, $2, $2, $2, $3)', [tenant, patient, at])
      await store.query("insert into card (tenant, uuid, service_id, patient_id, suggestions, created_at) values ($1, $2, 's', $2, '[]', $3)", [tenant, patient, at])
      await store.query('insert into handed_photo (tenant, patient_id, reference, handed_at) values ($1, $2, $2, $3)', [tenant, patient, at])
      for (const state of ['done', 'accepted'])
        await store.query("insert into job (id, tenant, patient_id, reason, priority, state, updated_at) values (gen_random_uuid(), $1, $2, 'hook', 1, $4, $3)", [tenant, patient, at, state])
      await store.query(
        "insert into feedback (tenant, card_uuid, outcome, outcome_at, service_id, accepted, user_comment, received_at) values ($1, $2, 'overridden', $3, 's', '[]', 'about her', $3)", [tenant, patient, at])
    }
    for (const tenant of ['clinic', 'other'])
      for (const [patient, at] of [['old', '2026-08-20T00:00:00Z'], ['new', '2026-09-01T00:00:00Z']] as const) await made(tenant, patient, at)
    const egress = egressForTenant(site())
    const tenants = [site({ retentionDays: 90 }), site({ id: 'other', fhirBase: 'https://other.example' })]
    const runner = openErrandRunner({
      store, tenants, log: pino({ level: 'silent' }), now: () => new Date('2026-11-24T03:00:00Z'),
      screenings: { request: () => Promise.reject(new Error('Expected no screening')), settled: () => Promise.resolve({ pending: false }) },
      sessionFor: () => openFhirSession({ tenant: site(), egress, tokens: fixedToken('t') })
    })
    while (await runner.runOnce());
    await egress.close()
    for (const table of ['screening', 'ledger', 'card', 'handed_photo'])
      expect([table, await store.query(`select tenant, patient_id from ${table} order by 1, 2`)]).toEqual([table, [
        { tenant: 'clinic', patient_id: 'new' }, { tenant: 'other', patient_id: 'new' }, { tenant: 'other', patient_id: 'old' }
      ]])
    expect(await store.query('select count(*)::int as count from assessment')).toEqual([{ count: 3 }])
    // What is still to be done is no result.
    expect(await store.query("select state from job where tenant = 'clinic' and patient_id = 'old'")).toEqual([{ state: 'accepted' }])
    expect(await store.query("select tenant, card_uuid from feedback where user_comment is null")).toEqual([{ tenant: 'clinic', card_uuid: 'old' }])
    expect(await runner.runOnce()).toBe(false)
  })
})
