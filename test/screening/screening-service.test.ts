import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Consent, Observation } from '@medplum/fhirtypes'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { outcomeOf } from '../../src/screening/previsit.ts'
import { openQueue } from '../../src/screening/queue.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { emptyStore, openHouse, openTestEngine, type ScreeningHouse } from '../support/screening-house.ts'
import { openTestStore } from '../support/test-store.ts'

let engine: InferenceEngine
let store: Store
let house: ScreeningHouse

beforeAll(async () => {
  engine = await openTestEngine()
  store = await openTestStore()
})
afterAll(async () => {
  await engine.close()
  await store.close()
})
afterEach(async () => {
  await house.close()
  await emptyStore(store)
})

const writing = { mode: 'assist', write: 'preliminary', calibrationFile: 'site.json' } as const
const observations = async () => (await house.ehr.repository.searchResources<Observation>({ resourceType: 'Observation', count: 1000 }))

async function screen(patientId: string) {
  await house.service.request('clinic', patientId, 'command')
  while (await house.service.runOnce());
  return house.service.status('clinic', patientId)
}

describe('a screening', () => {
  test('reads both hands, stores 22 findings and writes nothing where the site has not decided so', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    await house.addPhoto('pat-1', 'demo-1-right')
    const { latest, pending } = await screen('pat-1')
    expect(pending).toBe(false)
    expect(latest?.findings).toHaveLength(22)
    expect(latest?.count).toMatchObject({ of: 22, assessable: 22 })
    expect(latest?.photos.map(({ assessment }) => assessment.hands[0]?.side).sort()).toEqual(['left', 'right'])
    expect(await observations()).toHaveLength(0)
  })

  test('that was asked for three times is done once, and photos are not read again', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    for (let time = 0; time < 3; time++) await house.service.request('clinic', 'pat-1', 'hook')
    expect(await house.service.runOnce()).toBe(true)
    expect(await house.service.runOnce()).toBe(false)
    await screen('pat-1')
    expect(await house.service.history('clinic', 'pat-1')).toHaveLength(1)
    expect(house.ehr.seen.filter(({ path }) => path.startsWith('/Binary/'))).toHaveLength(1)
  })

  test('writes preliminary Observations once where the site decided so, however often it runs', async () => {
    house = await openHouse(engine, writing, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    const first = await screen('pat-1')
    expect(first.latest?.written.length).toBeGreaterThan(20)
    const before = await observations()
    await screen('pat-1')
    expect(await observations()).toHaveLength(before.length)
    expect(before.every(({ status }) => status === 'preliminary')).toBe(true)
  })

  test('of a patient without photos says so and keeps nothing', async () => {
    house = await openHouse(engine, {}, { store })
    expect(await screen('pat-1')).toMatchObject({ pending: false, failure: { code: 'no-photos' } })
  })

  test('gives a hand without a photo its reason and no probability', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    const { latest } = await screen('pat-1')
    const right = latest?.findings.filter(({ side }) => side === 'right') ?? []
    expect(right).toHaveLength(11)
    expect(right.every((one) => one.kind === 'not-assessed' && one.reason === 'no-photo')).toBe(true)
  })

  test('calls no joint of a photo whose hand is not the side the record says', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left', { bodySite: { text: 'Right hand' } })
    const { latest } = await screen('pat-1')
    expect(latest?.count.assessable).toBe(0)
    expect(latest?.findings.some((one) => one.kind === 'not-assessed' && one.reason === 'uncertain-side')).toBe(true)
  })

  test('keeps one result for each visit, newest first, for the trend', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-5', 'demo-5-2026-06-left', { createdDateTime: '2026-06-10T08:00:00Z' })
    await house.addPhoto('pat-5', 'demo-5-2026-11-left', { createdDateTime: '2026-11-10T08:00:00Z' })
    await screen('pat-5')
    const history = await house.service.history('clinic', 'pat-5')
    expect(history.map(({ photoTime }) => photoTime.slice(0, 7))).toEqual(['2026-11', '2026-06'])
  })

  test('compares with the visit before that had a joint that could be assessed, for each of many who are asked for at once', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-5', 'demo-5-2026-06-left', { createdDateTime: '2026-06-10T08:00:00Z' })
    await house.addPhoto('pat-5', 'demo-1-left', { createdDateTime: '2026-08-10T08:00:00Z', bodySite: { text: 'Right hand' } })
    await house.addPhoto('pat-5', 'demo-5-2026-11-left', { createdDateTime: '2026-11-10T08:00:00Z' })
    await house.addPhoto('pat-1', 'demo-1-left')
    await screen('pat-5')
    await screen('pat-1')
    const asked = ['pat-5', 'pat-1', 'pat-2', 'pat-5']
    const answers = await Promise.all(asked.map((patientId) => house.service.status('clinic', patientId)))
    expect(answers.map(({ latest }) => latest?.patientId)).toEqual(['pat-5', 'pat-1', undefined, 'pat-5'])
    expect(answers.map(({ latest, before }) => [latest, before].map((one) => one?.photoTime.slice(0, 7)))).toEqual([
      ['2026-11', '2026-06'], [expect.any(String), undefined], [undefined, undefined], ['2026-11', '2026-06']
    ])
  })

  test('is answered anew once anything about it was written, however often it was asked before', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    expect(await house.service.status('clinic', 'pat-1')).toEqual({ pending: false })
    await house.service.request('clinic', 'pat-1', 'hook')
    expect(await house.service.status('clinic', 'pat-1')).toEqual({ pending: true })
    await house.service.runOnce()
    const read = await house.service.status('clinic', 'pat-1')
    expect(read).toMatchObject({ pending: false, latest: { patientId: 'pat-1' } })
    expect(await house.service.status('clinic', 'pat-1')).toBe(read)
    await store.query("delete from screening where patient_id = 'pat-1'")
    expect((await house.service.status('clinic', 'pat-1')).latest).toBeUndefined()
  })

  test('never reads a photo of another patient, and tenants never see each other', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    expect((await screen('pat-2')).latest).toBeUndefined()
    await screen('pat-1')
    expect((await house.service.status('another', 'pat-1')).latest).toBeUndefined()
  })

  describe('of a patient whose record says when they were born', () => {
    const scoped = { ...writing, backend: { clientId: 'x', key: { kty: 'EC' as const, kid: 'x', alg: 'ES384' as const, d: 'x' }, scope: 'system/Patient.r system/*.cruds' } }
    const daysFromNow = (days: number, years: number) => {
      const day = new Date(Date.now() + days * 86_400_000)
      return `${day.getUTCFullYear() - years}${day.toISOString().slice(4, 10)}`
    }
    const born = async (birthDate: string | undefined) => {
      house = await openHouse(engine, scoped, { store, readBackDelaysMs: [0] })
      await house.addPhoto('pat-1', 'demo-1-left')
      house.ehr.raw.set('/Patient/pat-1', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Patient', id: 'pat-1', ...(birthDate ? { birthDate } : {}) })) })
    }

    test.each([[daysFromNow(2, 18)], [daysFromNow(-400, 10)], [String(new Date().getUTCFullYear() - 18)]])('%s, and who may be a child, writes nothing, shows nothing and says why', async (birthDate) => {
      await born(birthDate)
      const status = await screen('pat-1')
      expect(status).toEqual({ pending: false, failure: { code: 'ERR_PATIENT_MINOR', at: expect.any(String) as unknown } })
      expect([await observations(), await house.service.history('clinic', 'pat-1')]).toEqual([[], []])
      expect(outcomeOf(status, house.tenant, '2026-12-01T09:00:00Z')).toEqual({ status: 'failed', reason: 'ERR_PATIENT_MINOR' })
      // Nor at the next look.
      expect((await screen('pat-1')).failure?.code).toBe('ERR_PATIENT_MINOR')
      expect([(await observations()).length, (await house.service.status('clinic', 'pat-1')).latest]).toEqual([0, undefined])
    })

    test('as a child’s when it is corrected is written like any other', async () => {
      await born(daysFromNow(2, 18))
      await screen('pat-1')
      house.ehr.raw.set('/Patient/pat-1', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Patient', id: 'pat-1', birthDate: '1970-01-01' })) })
      const { latest, failure } = await screen('pat-1')
      expect([failure, latest?.state, (await observations()).length]).toEqual([undefined, 'done', 23])
    })

    test.each([[daysFromNow(-2, 18)], ['1950'], [undefined]])('%s, of an adult or nobody knows, asks the record for nothing more', async (birthDate) => {
      await born(birthDate)
      expect((await screen('pat-1')).latest?.written.length).toBeGreaterThan(20)
      expect(house.ehr.seen.filter(({ path }) => path.startsWith('/Patient'))).toHaveLength(1)
    })
  })

  describe('of a patient whose record may hold a refusal', () => {
    const scoped = { backend: { clientId: 'x', key: { kty: 'EC' as const, kid: 'x', alg: 'ES384' as const, d: 'x' }, scope: 'system/Media.rs system/Consent.rs' } }
    const consent = (change: Partial<Consent> = {}): Consent => ({
      resourceType: 'Consent', status: 'active', patient: { reference: 'Patient/pat-1' }, policyRule: { text: 'opt-out' },
      scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
      category: [{ text: 'privacy' }], provision: { type: 'deny' }, ...change
    })
    const json = (value: object) => ({ type: 'application/fhir+json', body: Buffer.from(JSON.stringify(value)) })
    const say = (ehr: TestFhirServer, ...resources: readonly Consent[]) =>
      ehr.raw.set('/Consent', json({ resourceType: 'Bundle', type: 'searchset', entry: resources.map((resource) => ({ resource })) }))
    async function houseWith(settings: Parameters<typeof openHouse>[1]) {
      const rest = everything()
      const ehr = await startFhirServer({ ...rest, resource: [...(rest.resource ?? []), { type: 'Consent', interaction: [{ code: 'search-type' }, { code: 'read' }], searchParam: [{ name: 'patient', type: 'reference' }] }] })
      house = await openHouse(engine, settings, { store, ehr })
      await house.addPhoto('pat-1', 'demo-1-left')
      return ehr
    }

    test('reads no photo and shows nothing that was read before', async () => {
      const ehr = await houseWith(scoped)
      expect((await screen('pat-1')).latest).toBeDefined()
      say(ehr, consent())
      const before = ehr.seen.length
      expect(await screen('pat-1')).toMatchObject({ pending: false, failure: { code: 'ERR_FORBIDDEN' } })
      expect((await house.service.status('clinic', 'pat-1')).latest).toBeUndefined()
      expect(ehr.seen.slice(before).filter(({ path }) => !path.startsWith('/Consent'))).toEqual([])
      await ehr.close()
    })

    test.each([
      ['inactive', { status: 'inactive' as const }], ['a permission', { provision: { type: 'permit' as const } }],
      ['over since last year', { provision: { type: 'deny' as const, period: { end: '2025-11-01' } } }],
      ['about other data', { provision: { type: 'deny' as const, class: [{ system: 'http://hl7.org/fhir/resource-types', code: 'Claim' }] } }]
    ])('goes on where it is %s', async (_name, change) => {
      const ehr = await houseWith(scoped)
      say(ehr, consent(change))
      expect((await screen('pat-1')).latest).toBeDefined()
      await ehr.close()
    })

    const ofAnother = consent({ id: 'c9', patient: { reference: 'Patient/pat-9' } })
    const permitted = consent({ provision: { type: 'permit' } })

    test.each<[string, string, Consent]>([
      ['goes on where a denial beside it is another patient\'s, and is so when asked again', 'read', ofAnother],
      ['waits, unread, where a denial is another patient\'s by one answer and this one\'s by the next', 'ERR_EHR_ANSWER', consent({ id: 'c9' })]
    ])('%s', async (_what, expected, again) => {
      const ehr = await houseWith(scoped)
      say(ehr, permitted, ofAnother)
      ehr.raw.set('/Consent/c9', json(again))
      const { latest, failure } = await screen('pat-1')
      expect(latest ? 'read' : failure?.code).toBe(expected)
      await ehr.close()
    })

    test.each<[string, readonly Consent[], string]>([
      ['another patient\'s alone: that answers another question', [ofAnother], 'ERR_EHR_ANSWER'],
      ['a denial that names nobody', [consent({ patient: undefined as never })], 'ERR_FORBIDDEN'],
      ['a denial of the patient by an address elsewhere', [permitted, consent({ patient: { reference: 'https://elsewhere.example/fhir/Patient/7' } })], 'ERR_FORBIDDEN'],
      ['this patient\'s denial beside another\'s permission', [consent({ id: 'c8', patient: { reference: 'Patient/pat-9' }, provision: { type: 'permit' } }), consent()], 'ERR_FORBIDDEN']
    ])('is not read where the record answers %s', async (_what, answers, expected) => {
      const ehr = await houseWith(scoped)
      say(ehr, ...answers)
      expect(await screen('pat-1')).toMatchObject({ failure: { code: expected } })
      expect(ehr.seen.filter(({ path }) => /Media|Binary/.test(path))).toEqual([])
      await ehr.close()
    })

    const permit = (...below: readonly object[]) => ({ provision: { type: 'permit' as const, provision: below } as Consent['provision'] & object })
    const about = (...classes: readonly string[]) => ({ class: classes.map((code) => ({ system: 'http://hl7.org/fhir/resource-types', code })) })
    test.each([
      ['photos', permit({ type: 'deny', ...about('Media') })], ['everything', permit({ type: 'deny' })],
      ['photos, two levels down', permit({ type: 'permit', provision: [{ type: 'deny', ...about('DocumentReference') }] })]
    ])('is refused by an exception to a permission that denies %s', async (_name, change) => {
      const ehr = await houseWith(scoped)
      say(ehr, consent(change))
      expect(await screen('pat-1')).toMatchObject({ failure: { code: 'ERR_FORBIDDEN' } })
      await ehr.close()
    })

    test.each([
      ['other data', permit({ type: 'deny', ...about('Claim') })], ['nothing any more', permit({ type: 'deny', period: { end: '2025-11-01' } })],
      ['a part of what else is permitted', { provision: { type: 'permit' as const, ...about('Immunization'), provision: [{ type: 'deny' as const }] } }]
    ])('is not refused by an exception that denies %s', async (_name, change) => {
      const ehr = await houseWith(scoped)
      say(ehr, consent(change))
      expect((await screen('pat-1')).latest).toBeDefined()
      await ehr.close()
    })

    test.each([[403, 'ERR_EHR_UNAUTHORIZED'], [404, 'ERR_EHR_REFUSED'], [400, 'ERR_EHR_REFUSED']])(
      'waits, unread, while the record answers %d when it is asked for consent', async (status, expected) => {
        const ehr = await houseWith(scoped)
        say(ehr, consent())
        ehr.refuse = ({ path }) => path === '/Consent' ? { status, why: 'no scope' } : undefined
        const found = await screen('pat-1')
        expect(found).toMatchObject({ failure: { code: expected }, dueAt: expect.any(String) })
        expect(found.latest).toBeUndefined()
        expect(ehr.seen.filter(({ path }) => /Media|Binary/.test(path))).toEqual([])
        await ehr.close()
      })

    test('is not asked for it where the site was not granted to read it', async () => {
      const ehr = await houseWith({ backend: { ...scoped.backend, scope: 'system/Media.rs' } })
      await screen('pat-1')
      expect(ehr.seen.filter(({ path }) => path.startsWith('/Consent'))).toEqual([])
      await ehr.close()
    })
  })

  test('after which a file that is no photo is refused with its code, and is not tried again', async () => {
    house = await openHouse(engine, {}, { store })
    const binary = await house.ehr.repository.createResource({ resourceType: 'Binary', contentType: 'image/jpeg', data: Buffer.from('GIF89a, not a photo').toString('base64') })
    await house.addPhoto('pat-1', 'demo-1-left', { content: { contentType: 'image/jpeg', url: `${house.ehr.base}/Binary/${binary.id}` } })
    expect(await screen('pat-1')).toMatchObject({ pending: false, failure: { code: 'ERR_PHOTO_FORMAT' } })
    expect(await house.service.runOnce()).toBe(false)
  })
})

describe('when something fails', () => {
  test('an EHR that is down parks the screening, which completes when asked again', async () => {
    house = await openHouse(engine, writing, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    house.ehr.fault = () => '500-before-commit'
    expect((await screen('pat-1')).failure?.code).toMatch(/^ERR_EHR_/)
    house.ehr.fault = () => undefined
    await house.store.query("update job set run_after = now() where state = 'parked'")
    expect((await screen('pat-1')).latest?.written.length).toBeGreaterThan(20)
  })

  test.each(['inferred', 'stored'])('a crash at "%s" loses nothing and doubles nothing', async (place) => {
    let crashes = 1
    house = await openHouse(engine, writing, {
      store,
      failpoint: (name) => {
        if (name === place && crashes-- > 0) throw new Error('killed here')
      }
    })
    await house.addPhoto('pat-1', 'demo-1-left')
    await screen('pat-1')
    await house.store.query('update job set run_after = now()')
    const { latest } = await screen('pat-1')
    expect(latest?.written.length).toBeGreaterThan(20)
    expect(await house.service.history('clinic', 'pat-1')).toHaveLength(1)
    const joints = (await observations()).map(({ bodySite }) => bodySite?.coding?.[0]?.code).filter(Boolean)
    expect(new Set(joints).size).toBe(joints.length)
  })

  test('a lease that ran out is taken over, and the late worker can no longer write', async () => {
    let stalled = true
    house = await openHouse(engine, writing, {
      store,
      failpoint: async (name) => {
        if (name !== 'stored' || !stalled) return
        stalled = false
        await house.store.query("update job set lease_until = now() - interval '1 second'")
        await house.service.runOnce()
      }
    })
    await house.addPhoto('pat-1', 'demo-1-left')
    await screen('pat-1')
    const joints = (await observations()).filter(({ bodySite }) => bodySite).length
    expect(joints).toBe(22)
    expect(await house.audit.verify()).toBe(true)
  })

  test('several patients are screened side by side, as many as the site allows', async () => {
    const all = ['pat-1', 'pat-2', 'pat-3', 'pat-4', 'pat-5']
    let begun = 0
    const gate = Promise.withResolvers<void>()
    house = await openHouse(engine, {}, {
      store, atOnce: 3,
      failpoint: async (name) => {
        if (name !== 'leased') return
        begun++
        await gate.promise
      }
    })
    for (const patientId of all) {
      await house.addPhoto(patientId, 'demo-1-left')
      await house.service.request('clinic', patientId, 'previsit')
    }
    house.service.start()
    while (begun < 3) await sleep(5)
    await sleep(50)
    expect(begun).toBe(3)
    expect(await house.service.counts()).toEqual({ accepted: 2, leased: 3 })
    gate.resolve()
    for (const patientId of all) expect((await house.service.settled('clinic', patientId)).latest?.findings).toHaveLength(22)
    expect(begun).toBe(5)
  })

  test('what was begun before, and may have ended its worker, runs when nothing else does', async () => {
    const running = new Set<string>()
    const beside: Record<string, string[]> = {}
    house = await openHouse(engine, {}, {
      store,
      failpoint: async (name) => {
        if (name !== 'leased') return
        const leased = await house.store.query<{ patient_id: string }>("select patient_id from job where state = 'leased'")
        const fresh = leased.map((row) => row.patient_id).find((patientId) => !running.has(patientId)) ?? ''
        running.add(fresh)
        await sleep(30)
        beside[fresh] = (await house.store.query<{ patient_id: string }>("select patient_id from job where state = 'leased'")).map((row) => row.patient_id)
      }
    })
    for (const patientId of ['pat-1', 'pat-2', 'pat-3', 'pat-4']) await house.service.request('clinic', patientId, 'previsit')
    await house.store.query("update job set attempts = 1 where patient_id = 'pat-2'")
    house.service.start()
    for (const patientId of ['pat-1', 'pat-2', 'pat-3', 'pat-4']) await house.service.settled('clinic', patientId)
    expect(beside['pat-2']).toEqual(['pat-2'])
    expect(await house.store.query("select attempts from job where patient_id = 'pat-2'")).toEqual([{ attempts: 2 }])
    expect(beside['pat-3']).toContain('pat-4')
  })

  test('a server that keeps failing is asked by one at a time whether it is back', async () => {
    house = await openHouse(engine, {}, { store })
    for (const patientId of ['pat-1', 'pat-2']) await house.service.request('clinic', patientId, 'previsit')
    // The store's clock counts milliseconds: both may have come in one.
    await house.store.query("update job set created_at = created_at - interval '1 second' where patient_id = 'pat-1'")
    await house.store.query("insert into pause (tenant, failures, until) values ('clinic', 3, now())")
    const queue = openQueue(house.store)
    const trying = await queue.claim(['clinic'])
    expect(trying).toMatchObject({ patientId: 'pat-1' })
    expect(await queue.claim(['clinic'])).toBeUndefined()
    if (trying) await queue.end(trying, { kind: 'done' })
    expect(await queue.claim(['clinic'])).toMatchObject({ patientId: 'pat-2' })
  })

  test('a job whose workers keep dying is put aside instead of being tried for ever', async () => {
    house = await openHouse(engine, {}, { store })
    await house.service.request('clinic', 'pat-1', 'hook')
    const queue = openQueue(house.store)
    for (let time = 0; time < 3; time++) {
      expect(await queue.claim(['clinic'])).toMatchObject({ attempts: time + 1 })
      await house.store.query("update job set lease_until = now() - interval '1 second'")
    }
    expect(await house.service.runOnce()).toBe(false)
    expect((await house.store.query<{ state: string }>('select state from job'))[0]?.state).toBe('dead-letter')
    expect(await house.service.status('clinic', 'pat-1')).toMatchObject({ pending: false, failure: { code: 'ERR_INTERNAL' } })
  })

  test('erasing a patient removes everything that was derived from the photos', async () => {
    house = await openHouse(engine, {}, { store })
    await house.addPhoto('pat-1', 'demo-1-left')
    await screen('pat-1')
    await house.service.erase('clinic', 'pat-1')
    expect(await house.service.history('clinic', 'pat-1')).toEqual([])
    expect(await house.store.query('select 1 from assessment')).toEqual([])
  })
})
