import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { openAudit } from '../../src/audit.ts'
import type { ScreeningError } from '../../src/errors.ts'
import { openQueue } from '../../src/screening/queue.ts'
import { openResultStore } from '../../src/screening/result-store.ts'
import type { SignedAnswers } from '../../src/screening/screening.ts'
import { openCardStore } from '../../src/screening/store/card-store.ts'
import { openFeedbackStore, type FeedbackEntry } from '../../src/screening/store/feedback-store.ts'
import { openJtiStore } from '../../src/screening/store/jti-store.ts'
import { keptWhileUnchanged } from '../../src/screening/store/kept-while-unchanged.ts'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'
import { openSessionStore } from '../../src/screening/store/session-store.ts'
import { emptyTables, openTestStore } from '../support/test-store.ts'

let store: Store
beforeAll(async () => { store = await openTestStore() })
afterEach(async () => {
  const tables = await store.query<{ name: string }>("select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migration'")
  await emptyTables(store, tables.map(({ name }) => name))
})
afterAll(() => store.close())

describe('the embedded store', () => {
  test('has one owner: a second process is refused, a dead owner is not', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'jointlens-store-'))
    const owner = await openStore({ dataDir })
    await expect(openStore({ dataDir })).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await owner.query("insert into session (id, data, expires_at) values ('kept', '1', now() + interval '1 hour')")
    await owner.close()
    writeFileSync(join(dataDir, 'owner.pid'), '4194303')
    const again = await openStore({ dataDir })
    expect(await again.query('select id from session')).toEqual([{ id: 'kept' }])
    await again.close()
    rmSync(dataDir, { recursive: true })
  })

  test('keeps nothing of a transaction that failed', async () => {
    await expect(store.transaction(async ({ query }) => {
      await query("insert into session (id, data, expires_at) values ('x', '1', now())")
      throw new Error('no')
    })).rejects.toThrow('no')
    expect(await store.query('select 1 from session')).toEqual([])
  })
})

describe('a statement of the embedded store', () => {
  const put = (id: string, queries: Pick<Store, 'query'> = store) => queries.query("insert into session (id, data, expires_at) values ($1, $2, now() + interval '1 hour') returning id", [id, JSON.stringify({ id })])

  test('that failed spoils neither the next of its kind nor what is rolled back with it', async () => {
    await put('a')
    await expect(put('a')).rejects.toMatchObject({ code: 'ERR_STORE' })
    await expect(store.query('select no_such_column from session')).rejects.toMatchObject({ code: 'ERR_STORE' })
    await expect(store.transaction(async (queries) => {
      await put('b', queries)
      await put('a', queries)
    })).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect(await put('c')).toEqual([{ id: 'c' }])
    expect(await store.query('select id from session order by id')).toEqual([{ id: 'a' }, { id: 'c' }])
  })

  test('waits for a transaction that is open, also the same one', async () => {
    const seen = store.transaction(async (queries) => {
      await put('first', queries)
      const outside = put('second')
      const [counted] = await queries.query<{ rows: number }>('select count(*)::int as rows from session')
      return [counted?.rows, outside] as const
    })
    expect((await seen)[0]).toBe(1)
    expect(await (await seen)[1]).toEqual([{ id: 'second' }])
  })

  test('gives the same each time, whatever kinds of values it takes and gives, and however many others there are', async () => {
    const sql = `select $1::text as word, $2::int as number, $3::int8 as large, $4::jsonb as json, $5::text[] as words, $6::timestamptz as time, $7::boolean as truth,
      $8::uuid as id, $9::text as nothing, ($4::jsonb ->> 'a')::float8 as part`
    const at = new Date('2026-11-24T08:00:00.123Z')
    const given = ['ä"\'', -7, 2 ** 40, JSON.stringify({ a: 1.5, b: [null] }), ['x,y', '"', ''], at.toISOString(), true, '6f9619ff-8b86-d011-b42d-00cf4fc964ff', null]
    const row = { word: 'ä"\'', number: -7, large: 2 ** 40, json: { a: 1.5, b: [null] }, words: ['x,y', '"', ''], time: at, truth: true, id: given[7], nothing: null, part: 1.5 }
    for (let time = 0; time < 8; time++) expect(await store.query(sql, given)).toEqual([row])
    for (let other = 0; other < 600; other++) expect(await store.query(`select $1::int + ${other} as sum`, [1])).toEqual([{ sum: other + 1 }])
    expect(await store.query(sql, given)).toEqual([row])
  })
})

describe.each(['embedded', 'server'] as const)('token ids in a store of kind %s', (kind) => {
  const jtiStore = () => openJtiStore({ ...store, kind })

  test('a token id works once, and another client may use the same one', async () => {
    const jti = jtiStore()
    const soon = Date.now() + 60_000
    expect(await jti.use('clinic', 'ehr', 'a', soon)).toBe(true)
    expect(await jti.use('clinic', 'ehr', 'a', soon + 1_200_000)).toBe(false)
    expect(await jti.use('clinic', 'other', 'a', soon)).toBe(true)
  })

  test('of one token id that comes fifty times at once, among others, one is let in', async () => {
    const jti = jtiStore()
    const until = Date.now() + 60_000
    const uses = Array.from({ length: 150 }, (_, index) => jti.use('clinic', 'https://ehr.example', index % 3 === 0 ? 'the same' : `another ${index}`, until))
    const letIn = await Promise.all(uses)
    expect(letIn.filter((one, index) => one && index % 3 === 0)).toHaveLength(1)
    expect(letIn.filter((one, index) => one && index % 3 !== 0)).toHaveLength(100)
  })
})

describe('token ids beside an embedded store', () => {
  let folder: string
  let now: number
  const reopened = () => openJtiStore({ ...store, folder }, () => now)
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'jointlens-token-ids-'))
    now = Date.parse('2026-11-24T08:00:00Z')
  })
  afterEach(() => { rmSync(folder, { recursive: true, force: true }) })

  test('are known after a restart, however the process ended', async () => {
    expect(await reopened().use('clinic', 'ehr', 'a', now + 900_000)).toBe(true)
    const [file = ''] = readdirSync(folder)
    appendFileSync(join(folder, file), '\n0123456789')
    expect(await reopened().use('clinic', 'ehr', 'a', now + 900_000)).toBe(false)
    expect(await reopened().use('clinic', 'ehr', 'b', now + 900_000)).toBe(true)
    expect(await reopened().use('clinic', 'ehr', 'b', now + 900_000)).toBe(false)
  })

  test('are forgotten once their token has long expired, and not before', async () => {
    const jti = reopened()
    const started = now
    for (let minute = 0; minute <= 120; minute += 5) {
      now = started + minute * 60_000
      expect(await jti.use('clinic', 'ehr', `at ${minute}`, now + 960_000)).toBe(true)
      expect(await reopened().use('clinic', 'ehr', `at ${Math.max(0, minute - 15)}`, now)).toBe(false)
    }
    expect(readdirSync(folder).length).toBeLessThanOrEqual(3)
  })

  test('that cannot be written let nobody in', async () => {
    const jti = reopened()
    rmSync(folder, { recursive: true })
    await expect(jti.use('clinic', 'ehr', 'a', now + 900_000)).rejects.toMatchObject({ code: 'ERR_STORE' })
  })
})

test('cards that are kept at once are each found under their own tenant', async () => {
  const cards = openCardStore(store)
  const card = (index: number) => ({
    uuid: `card-${index}`, tenant: index % 2 === 0 ? 'clinic' : 'another', serviceId: 'hand-joints', patientId: `pat-${index}`,
    suggestions: [`suggestion-${index}`], createdAt: '2026-11-24T08:00:00.000Z', ...(index === 3 ? { screeningId: 'screening-3', modelDigest: 'digest' } : {})
  })
  await Promise.all(Array.from({ length: 20 }, (_, index) => cards.put(card(index))))
  expect(await cards.get('another', 'card-3')).toEqual(card(3))
  expect(await cards.get('clinic', 'card-4')).toEqual(card(4))
  expect(await cards.get('clinic', 'card-3')).toBeUndefined()
})

test('a card is known from the moment it is sent, before it is stored', async () => {
  const cards = openCardStore(store)
  const card = { uuid: 'card-1', tenant: 'clinic', serviceId: 'hand-joints', patientId: 'pat-1', suggestions: [], createdAt: '2026-11-24T08:00:00.000Z' }
  const stored = cards.put(card)
  expect(await cards.get('clinic', 'card-1')).toBe(card)
  expect(await cards.get('another', 'card-1')).toBeUndefined()
  await stored
  expect(await openCardStore(store).get('clinic', 'card-1')).toEqual(card)
})

describe('cards beside an embedded store', () => {
  let folder: string
  const card = (uuid: string) => ({ uuid, tenant: 'clinic', serviceId: 'hand-joints', patientId: 'pat-1', suggestions: ['s'], createdAt: '2026-11-24T08:00:00.000Z' })
  const inTable = async () => (await store.query<{ uuid: string }>('select uuid from card order by uuid')).map(({ uuid }) => uuid)
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'jointlens-cards-')) })
  afterEach(() => { rmSync(folder, { recursive: true, force: true }) })

  test('are in a file before their answer goes out, and a process that was killed stores them when it starts again', async () => {
    const never = { ...store, folder, query: () => new Promise<never>(() => undefined) }
    const killed = openCardStore(never)
    await Promise.all([killed.put(card('a')), killed.put(card('b'))])
    for (const file of readdirSync(folder)) appendFileSync(join(folder, file), '\n{"uuid":"half')
    expect(await inTable()).toEqual([])
    const again = openCardStore({ ...store, folder })
    await again.stored()
    expect(await inTable()).toEqual(['a', 'b'])
    expect(readdirSync(folder)).toEqual([])
    await again.close()
  })

  test('are stored together, each once, and their files go', async () => {
    const cards = openCardStore({ ...store, folder })
    await Promise.all(['a', 'b', 'c'].map((uuid) => cards.put(card(uuid))))
    expect(await inTable()).toEqual([])
    const first = cards.stored()
    await cards.put(card('d'))
    await first
    await cards.close()
    expect(await inTable()).toEqual(['a', 'b', 'c', 'd'])
    expect(readdirSync(folder)).toEqual([])
  })

  test('leave no file behind where the store answers sooner than the file is written', async () => {
    const cards = openCardStore({ ...store, folder, query: () => Promise.resolve([]) })
    const put = cards.put(card('a'))
    await cards.stored()
    await put
    await new Promise((resolve) => setImmediate(resolve))
    expect(readdirSync(folder)).toEqual([])
    await cards.close()
  })

  test('are kept and known while the store fails, and stored once it answers', async () => {
    let fails = true
    const heard: unknown[] = []
    const cards = openCardStore({ ...store, folder, query: (sql, parameters) => fails ? Promise.reject(new Error('away')) : store.query(sql, parameters) }, (error) => heard.push(error))
    await cards.put(card('a'))
    await expect(cards.stored()).rejects.toThrow('away')
    expect([await cards.get('clinic', 'a'), readdirSync(folder).length, heard]).toEqual([card('a'), 1, [new Error('away')]])
    fails = false
    await cards.stored()
    expect([await inTable(), readdirSync(folder)]).toEqual([['a'], []])
    await cards.close()
  })

  test('that cannot be kept say so', async () => {
    const cards = openCardStore({ ...store, folder })
    rmSync(folder, { recursive: true })
    await expect(cards.put(card('a'))).rejects.toMatchObject({ code: 'ERR_STORE' })
    await cards.close()
  })
})

test('feedback is stored once each and counted by service, model and month', async () => {
  const cards = openCardStore(store)
  const feedback = openFeedbackStore(store)
  const uuid = '3fa85f64-5717-4562-b3fc-2c963f66afa6'
  await cards.put({ uuid, tenant: 'clinic', serviceId: 'hand-joints', patientId: 'pat-1', modelDigest: 'ab', suggestions: ['s'], createdAt: '2026-11-20T08:00:00Z' })
  expect(await cards.get('clinic', uuid)).toMatchObject({ patientId: 'pat-1', suggestions: ['s'] })
  expect(await cards.get('another', uuid)).toBeUndefined()
  const entry: FeedbackEntry = { tenant: 'clinic', serviceId: 'hand-joints', cardUuid: uuid, outcome: 'accepted', acceptedSuggestions: ['s'], outcomeTimestamp: '2026-11-20T08:05:00Z' }
  expect(await feedback.knows(entry)).toBe(false)
  await feedback.record(entry)
  await feedback.record(entry)
  expect([await feedback.knows(entry), await feedback.knows({ ...entry, tenant: 'another' })]).toEqual([true, false])
  await feedback.record({ ...entry, outcome: 'overridden', acceptedSuggestions: [], overrideReason: { code: 'photo-quality' } })
  expect(await feedback.rates('clinic')).toEqual([
    { serviceId: 'hand-joints', modelDigest: 'ab', month: '2026-11-01', accepted: 1, overridden: 1, reasons: { 'photo-quality': 1 } }
  ])
  expect(await feedback.rates('another')).toEqual([])
})

test('feedback that is sent again with its reason keeps the reason, and one reason beside both outcomes is counted in both', async () => {
  const feedback = openFeedbackStore(store)
  const entry: FeedbackEntry = { tenant: 'clinic', serviceId: 'hand-joints', cardUuid: '3fa85f64-5717-4562-b3fc-2c963f66afa7', outcome: 'overridden', acceptedSuggestions: [], outcomeTimestamp: '2026-11-20T08:05:00Z' }
  await feedback.record(entry)
  await feedback.record({ ...entry, overrideReason: { code: 'poor-photo' }, userComment: 'blurred' })
  await feedback.record({ ...entry, overrideReason: { code: 'another' } })
  expect(await store.query('select 1 from feedback')).toHaveLength(1)
  await feedback.record({ ...entry, outcome: 'accepted', acceptedSuggestions: ['s'], overrideReason: { code: 'poor-photo' } })
  expect((await feedback.rates('clinic')).map(({ reasons }) => reasons)).toEqual([{ 'poor-photo': 2 }])
  expect(await store.query("select user_comment from feedback where outcome = 'overridden'")).toEqual([{ user_comment: 'blurred' }])
})

/** Results of three patients, named as their ids: two of ours and one of another site. */
async function putResults() {
  const ids = { ours: '11111111-2222-4333-8444-555555555555', others: '99999999-2222-4333-8444-555555555555', late: '77777777-2222-4333-8444-555555555555' }
  for (const [name, id] of Object.entries(ids))
    await store.query(
      `insert into screening (id, tenant, patient_id, day, photo_set, photo_time, state, data, completed_at)
       values ($1, $2, $3, '2026-11-20', 'photos', now(), 'done', '{}', now())`, [id, name === 'others' ? 'another' : 'clinic', name])
  return ids
}

test('a result knows when its suggestion was first accepted, and of no other card, site, or time that is still to come', async () => {
  const [cards, feedback, results] = [openCardStore(store), openFeedbackStore(store), openResultStore(store)]
  const ids = await putResults()
  const put = (uuid: string, tenant: string, screeningId: string, suggestions: readonly string[] = ['s']) =>
    cards.put({ uuid, tenant, serviceId: 'hand-joints', patientId: 'p', screeningId, suggestions, createdAt: '2026-11-20T08:00:00Z' })
  await Promise.all([put('first', 'clinic', ids.ours), put('second', 'clinic', ids.ours), put('bare', 'clinic', ids.ours, []), put('late', 'clinic', ids.late), put('other', 'another', ids.others)])
  const report = (cardUuid: string, outcomeTimestamp: string, outcome: 'accepted' | 'overridden' = 'accepted') =>
    feedback.record({ tenant: 'clinic', serviceId: 'hand-joints', cardUuid, outcome, acceptedSuggestions: outcome === 'accepted' ? ['s'] : [], outcomeTimestamp })
  const accepted = async (tenant: string, patientId: string) => (await results.newest(tenant, patientId)).latest?.accepted

  for (const [card, outcome] of [['first', 'overridden'], ['bare', 'accepted'], ['other', 'accepted'], ['unknown', 'accepted']] as const) await report(card, '2026-11-20T08:05:00Z', outcome)
  expect([await accepted('clinic', 'ours'), await accepted('another', 'others')]).toEqual([undefined, undefined])
  await report('second', '2026-11-20T09:00:00Z')
  await report('first', '2026-11-20T08:30:00Z')
  await report('second', '2026-11-20T09:00:00Z')
  await report('second', '2026-11-20T10:00:00Z')
  expect(await accepted('clinic', 'ours')).toBe('2026-11-20T08:30:00.000Z')
  await report('late', '2999-01-01T00:00:00Z')
  expect(Date.parse(await accepted('clinic', 'late') ?? '')).toBeLessThanOrEqual(Date.now() + 1_000)
})

test('a result knows how it was last set aside with a reason, by the service of the card, and of no other card, site, or time that is still to come', async () => {
  const [cards, feedback, results] = [openCardStore(store), openFeedbackStore(store), openResultStore(store)]
  const ids = await putResults()
  const put = (uuid: string, tenant: string, serviceId: string, screeningId?: string) =>
    cards.put({ uuid, tenant, serviceId, patientId: 'p', ...(screeningId ? { screeningId } : {}), suggestions: [], createdAt: '2026-11-20T08:00:00Z' })
  await Promise.all([put('view', 'clinic', 'hand-joints', ids.ours), put('order', 'clinic', 'hand-joints-order', ids.ours), put('none', 'clinic', 'hand-joints'), put('late', 'clinic', 'hand-joints', ids.late), put('other', 'another', 'hand-joints', ids.others)])
  const report = (cardUuid: string, at: string, said: Pick<FeedbackEntry, 'overrideReason' | 'userComment'> = {}, outcome: FeedbackEntry['outcome'] = 'overridden') =>
    feedback.record({ tenant: 'clinic', serviceId: 'hand-joints', cardUuid, outcome, acceptedSuggestions: [], outcomeTimestamp: `2026-11-20T${at}:00Z`, ...said })
  const setAside = async (tenant = 'clinic', patientId = 'ours') => (await results.newest(tenant, patientId)).latest?.setAside
  const reason = { code: 'other-cause', system: 'urn:reasons', display: 'Old <b>injury</b>' }

  await report('view', '08:00')
  for (const card of ['other', 'none', 'unknown']) await report(card, '08:00', { overrideReason: reason })
  await report('view', '08:00', { overrideReason: reason }, 'accepted')
  expect([await setAside(), await setAside('another', 'others')]).toEqual([undefined, undefined])
  await report('view', '08:00', { overrideReason: reason })
  await report('order', '08:30', { userComment: 'looked at it' })
  await report('view', '07:00', { overrideReason: { code: 'poor-photo' } })
  await report('view', '09:00')
  expect(await setAside()).toEqual({
    'hand-joints': { at: '2026-11-20T08:00:00+00:00', reason: { code: 'other-cause', system: 'urn:reasons' } }, 'hand-joints-order': { at: '2026-11-20T08:30:00+00:00' }
  })
  await report('view', '10:00', { overrideReason: { code: 'poor-photo' } })
  expect((await results.history('clinic', 'ours'))[0]?.setAside?.['hand-joints']).toEqual({ at: '2026-11-20T10:00:00+00:00', reason: { code: 'poor-photo' } })
  await feedback.record({ tenant: 'clinic', serviceId: 'hand-joints', cardUuid: 'late', outcome: 'overridden', acceptedSuggestions: [], outcomeTimestamp: '2999-01-01T00:00:00Z', overrideReason: reason })
  expect(Date.parse((await setAside('clinic', 'late'))?.['hand-joints']?.at ?? '')).toBeLessThanOrEqual(Date.now() + 1_000)
})

describe('what was read of the screenings is kept', () => {
  const changedBy = async (work: () => Promise<unknown>) => {
    const before = store.changes?.()
    await work()
    return store.changes?.() !== before
  }
  const job = (patient: string) => `insert into job (id, tenant, patient_id, reason, priority, state) values (gen_random_uuid(), 'clinic', '${patient}', 'hook', 1, 'accepted')`

  test('while an idle worker asks for work, and no longer once it finds some', async () => {
    const queue = openQueue(store)
    await queue.claim(['clinic'])
    expect(await changedBy(() => queue.claim(['clinic']))).toBe(false)
    expect(await changedBy(() => queue.add('clinic', 'pat-1', 'hook'))).toBe(true)
    expect(await changedBy(async () => expect(await queue.claim(['clinic'])).toBeDefined())).toBe(true)
  })

  test('while a worker only says that it is alive, keeps word of what it sends, and of what it was answered', async () => {
    const queue = openQueue(store)
    await queue.add('clinic', 'pat-6', 'hook')
    let leased = await queue.claim(['clinic'])
    while (leased && leased.patientId !== 'pat-6') leased = await queue.claim(['clinic'])
    if (!leased) throw new Error('Expected the job that was added')
    const mine = leased
    const ledger = openResultStore(store).ledger('clinic', 'pat-6', mine)
    expect(await changedBy(() => queue.hold(mine))).toBe(false)
    expect(await changedBy(() => ledger.sending(['id-1'], 1_000))).toBe(false)
    expect(await changedBy(() => ledger.record(new Map([['id-1', 'Observation/1']])))).toBe(false)
    expect(await changedBy(() => ledger.showed(true))).toBe(false)
    expect(await changedBy(() => queue.end(mine, { kind: 'done' }))).toBe(true)
  })

  test.each<[boolean, string, () => Promise<unknown>]>([
    [false, 'a write that finds nothing', () => store.query("update screening set written = '[]' where tenant = 'nobody'")],
    [false, 'a transaction that only reads', () => store.transaction(({ query }) => query('select 1 from job'))],
    [false, 'the audit', () => openAudit(store).record({ tenant: 'clinic', action: 'launch', actor: 'system', outcome: 'success' })],
    [true, 'a write', () => store.query(job('pat-2'))],
    [true, 'a write in a transaction', () => store.transaction(({ query }) => query(job('pat-3')))],
    [true, 'a write beside one of the worker’s own', () => store.query("with kept as (delete from shown returning 1) update job set parked = parked + 1")],
    [true, 'a write within a statement that itself finds nothing', () => store.query("with gone as (delete from job returning 1) delete from screening where tenant = 'nobody'")],
    [true, 'a transaction of which nobody knows how it ended', () => store.transaction(() => Promise.reject(new Error('mine'))).catch(() => undefined)]
  ])('or not: %s, after %s', async (changed, _name, work) => {
    expect(await changedBy(work)).toBe(changed)
  })

  test('until it changes, for each patient by itself', async () => {
    let reads = 0
    const status = keptWhileUnchanged(store, async (tenant, patientId) => {
      reads++
      return (await store.query('select 1 from job where tenant = $1 and patient_id = $2', [tenant, patientId])).length
    })
    const asked = async () => [await status('clinic', 'pat-4'), await status('clinic', 'pat-5')]
    expect([await asked(), await asked(), reads]).toEqual([[0, 0], [0, 0], 2])
    const [during] = await Promise.all([status('clinic', 'pat-4'), store.query(job('pat-4'))])
    expect([during, await asked(), reads]).toEqual([0, [1, 0], 4])
  })
})

describe('a result knows what of it was signed', () => {
  const id = '55555555-2222-4333-8444-555555555555'
  const [mcp2, pip3, wrist] = [{ side: 'left', joint: 'mcp2' }, { side: 'right', joint: 'pip3' }, { side: 'left', joint: 'wrist' }] as const
  const findings = [{ ...mcp2, kind: 'assessed', inflamed: true }, { ...pip3, kind: 'assessed', inflamed: true }, { ...wrist, kind: 'assessed', inflamed: false }, { side: 'right', joint: 'wrist', kind: 'not-assessed' }]
  const signed = (time: string, joints: SignedAnswers['joints'], { isAll = false, tenant = 'clinic' } = {}) =>
    openResultStore(store).signed(tenant, id, { at: `2026-11-20T${time}:00Z`, joints, isAll })
  const known = async () => {
    const results = openResultStore(store)
    const { latest } = await results.newest('clinic', 'reviewed')
    const [again] = await results.history('clinic', 'reviewed')
    expect([again?.signed, again?.answered]).toEqual([latest?.signed, latest?.answered])
    return { signed: latest?.signed?.slice(11, 16), at: latest?.answered?.at.slice(11, 16), joints: latest?.answered?.joints.map(({ side, joint }) => `${side} ${joint}`).sort() }
  }

  beforeEach(async () => {
    await store.query(
      `insert into screening (id, tenant, patient_id, day, photo_set, photo_time, state, data, completed_at)
       values ($1, 'clinic', 'reviewed', '2026-11-20', 'photos', now(), 'done', $2, now())`, [id, JSON.stringify({ findings })])
  })

  test('last, and of no other site', async () => {
    await signed('08:30', [mcp2, pip3], { tenant: 'another' })
    expect(await known()).toEqual({ signed: undefined, at: undefined, joints: undefined })
    for (const time of ['08:30', '09:00', '08:00']) await signed(time, [mcp2, pip3])
    expect(await known()).toMatchObject({ signed: '09:00', at: '09:00' })
  })

  test('in parts: together they answer all that is flagged, and a correction may open some of it again', async () => {
    await signed('08:30', [wrist, mcp2])
    expect(await known()).toEqual({ signed: undefined, at: '08:30', joints: ['left mcp2', 'left wrist'] })
    await signed('09:00', [pip3, mcp2])
    expect(await known()).toEqual({ signed: '09:00', at: '09:00', joints: ['left mcp2', 'left wrist', 'right pip3'] })
    await signed('09:30', [mcp2], { isAll: true })
    expect(await known()).toEqual({ signed: undefined, at: '09:30', joints: ['left mcp2'] })
    await Promise.all([signed('10:00', [pip3]), signed('10:01', [wrist])])
    expect(await known()).toEqual({ signed: expect.stringMatching(/^10:0[01]$/) as unknown, at: '10:01', joints: ['left mcp2', 'left wrist', 'right pip3'] })
  })
})

test('feedback is counted by the joints that a card called swollen', async () => {
  const [cards, feedback] = [openCardStore(store), openFeedbackStore(store)]
  const findings = [
    { side: 'left', joint: 'mcp2', kind: 'assessed', probability: 0.8, inflamed: true }, { side: 'left', joint: 'pip3', kind: 'assessed', probability: 0.1, inflamed: false },
    { side: 'right', joint: 'wrist', kind: 'not-assessed', reason: 'no-photo' }
  ]
  await store.query(
    `insert into screening (id, tenant, patient_id, day, photo_set, photo_time, state, data, completed_at)
     values ('11111111-2222-4333-8444-555555555555', 'clinic', 'pat-1', '2026-11-20', 'photos', now(), 'done', $1, now())`, [JSON.stringify({ findings })])
  for (const [uuid, outcome] of [['a', 'accepted'], ['b', 'overridden'], ['c', 'overridden']] as const) {
    await cards.put({ uuid, tenant: 'clinic', serviceId: 'hand-joints', patientId: 'pat-1', screeningId: '11111111-2222-4333-8444-555555555555', modelDigest: 'ab', suggestions: ['s'], createdAt: '2026-11-20T08:00:00Z' })
    await feedback.record({ tenant: 'clinic', serviceId: 'hand-joints', cardUuid: uuid, outcome, acceptedSuggestions: [], outcomeTimestamp: '2026-11-20T08:05:00Z' })
  }
  expect(await feedback.jointRates('clinic')).toEqual([{ side: 'left', joint: 'mcp2', modelDigest: 'ab', accepted: 1, overridden: 2 }])
  expect(await feedback.jointRates('another')).toEqual([])
})

test('a session is gone when its time is over', async () => {
  const sessions = openSessionStore(store)
  await sessions.put('a', { x: 1 }, 60)
  expect(await sessions.get('a')).toEqual({ x: 1 })
  await sessions.put('a', { x: 2 }, -1)
  expect(await sessions.get('a')).toBeUndefined()
})

test('the audit chain shows a row that was changed, and one that was removed', async () => {
  const audit = openAudit(store)
  for (const action of ['launch', 'sign', 'write']) await audit.record({ tenant: 'clinic', action, actor: 'Practitioner/1', outcome: 'success' })
  expect(await audit.verify()).toBe(true)
  await store.query(`update audit set event = jsonb_set(event, '{action}', '"read"') where seq = 2`)
  expect(await audit.verify()).toBe(false)
  await store.query(`update audit set event = jsonb_set(event, '{action}', '"sign"') where seq = 2`)
  expect(await audit.verify()).toBe(true)
  await store.query('delete from audit where seq = 2')
  expect(await audit.verify()).toBe(false)
})

test('the audit chain holds whoever writes at the same time, in the order in which they came, and goes on where it was cut', async () => {
  const event = (action: string) => ({ tenant: 'clinic', action, actor: 'system', outcome: 'success' as const })
  const actions = async () => {
    const found: string[] = []
    for await (const { action } of openAudit(store).events()) found.push(action)
    return found
  }
  const names = Array.from({ length: 30 }, (_, index) => `e${index}`)
  await openAudit(store).record(event('first'))
  await Promise.all(names.map((name) => openAudit(store).record(event(name))))
  expect(await actions()).toEqual(['first', ...names])
  expect(await openAudit(store).verify()).toBe(true)
  await store.query('delete from audit where seq > 10')
  await openAudit(store).record(event('after the cut'))
  expect((await actions()).at(-1)).toBe('after the cut')
  expect(await openAudit(store).verify()).toBe(true)
})

describe('the queue', () => {
  test('gives one job to one worker, and the fence turns with each lease', async () => {
    const [one, two] = [openQueue(store), openQueue(store)]
    await one.add('clinic', 'pat-1', 'hook')
    const job = await one.claim(['clinic'])
    expect(await two.claim(['clinic'])).toBeUndefined()
    await store.query("update job set lease_until = now() - interval '1 second'")
    const taken = await two.claim(['clinic'])
    expect(taken?.fence).toBe((job?.fence ?? 0) + 1)
    await expect(job && one.hold(job)).rejects.toMatchObject({ code: 'ERR_LEASE_LOST' })
    await expect(job && one.end(job, { kind: 'done' })).rejects.toMatchObject({ code: 'ERR_LEASE_LOST' })
    expect(await two.outcome('clinic', 'pat-1')).toMatchObject({ pending: true })
  })

  test('leaves a server alone for as long as it asked, across processes, and forgets that once something works again', async () => {
    const [one, two] = [openQueue(store, { parkMs: () => 0 }), openQueue(store)]
    for (const patient of ['pat-1', 'pat-2']) await one.add('clinic', patient, 'previsit')
    await one.add('another', 'pat-1', 'previsit')
    const job = await one.claim(['clinic'])
    await (job && one.end(job, { kind: 'parked', code: 'ERR_EHR_UNREACHABLE', waitMs: 30_000, pauseMs: 30_000 }))
    expect(await two.claim(['clinic'])).toBeUndefined()
    expect((await two.claim(['clinic', 'another']))?.tenant).toBe('another')
    await store.query("update pause set until = now() - interval '1 second'")
    const next = await two.claim(['clinic'])
    expect(next?.patientId).toBe('pat-2')
    await (next && two.end(next, { kind: 'done' }))
    expect(await store.query("select 1 from pause where tenant = 'clinic'")).toEqual([])
    const [parked] = await store.query<{ left: number }>("select extract(epoch from run_after - clock_timestamp())::float8 as left from job where patient_id = 'pat-1' and tenant = 'clinic'")
    expect(parked?.left).toBeGreaterThan(20)
  })

  test('a server that fails three times in a row is asked by one try at a time, later and later', async () => {
    const asked: number[] = []
    const queue = openQueue(store, { parkMs: () => 0, breakMs: (failures) => { asked.push(failures); return failures < 3 ? 0 : 60_000 } })
    for (const patient of ['pat-1', 'pat-2', 'pat-3', 'pat-4']) await queue.add('clinic', patient, 'previsit')
    for (let time = 0; time < 3; time++) {
      const job = await queue.claim(['clinic'])
      await (job && queue.end(job, { kind: 'parked', code: 'ERR_EHR_UNREACHABLE', serverFailed: true }))
    }
    expect(asked).toEqual([1, 2, 3])
    expect(await queue.claim(['clinic'])).toBeUndefined()
  })

  test('a job that gets further with each try is not the one that ends its workers', async () => {
    const queue = openQueue(store)
    await queue.add('clinic', 'pat-1', 'hook')
    for (let time = 0; time < 5; time++) {
      const job = await queue.claim(['clinic'])
      expect(job?.attempts).toBeLessThanOrEqual(2)
      await (job && queue.progress(job))
      await store.query("update job set lease_until = now() - interval '1 second'")
    }
  })

  test('a worker that dies with several at work has used up nobody\'s tries; they are then told to be tried one by one', async () => {
    const queue = openQueue(store)
    const die = () => store.query("update job set lease_until = now() - interval '1 second' where state = 'leased'")
    for (const patient of ['pat-1', 'pat-2', 'pat-3']) await queue.add('clinic', patient, 'previsit')
    const first = await queue.claim(['clinic'])
    const second = first && await queue.claim(['clinic'], [first])
    expect([first, second]).toEqual([expect.objectContaining({ attempts: 1, suspect: false }), expect.objectContaining({ attempts: 1, suspect: false })])
    await die()
    for (let time = 1; time <= 3; time++) {
      const suspect = await queue.claim(['clinic'])
      expect(suspect).toMatchObject({ patientId: 'pat-1', attempts: time, suspect: true })
      await (suspect && queue.alone(suspect))
      await die()
    }
    expect(await queue.claim(['clinic'])).toMatchObject({ patientId: 'pat-2', attempts: 1, suspect: true })
    expect(await queue.claim(['clinic'])).toMatchObject({ patientId: 'pat-3', attempts: 1, suspect: false })
    expect(await queue.counts()).toEqual({ 'dead-letter': 1, leased: 2 })
  })

  test('a full queue says when to come again, takes what is there already, and is each tenant\'s own', async () => {
    const queue = openQueue(store, { limit: 1 })
    await queue.add('clinic', 'pat-1', 'hook')
    const full = await queue.add('clinic', 'pat-2', 'hook').catch((error: unknown) => error) as ScreeningError
    expect(full.code).toBe('ERR_RATE_LIMITED')
    expect(full.retryAt).toBeGreaterThan(Date.now() + 20_000)
    await queue.add('clinic', 'pat-1', 'app')
    await queue.add('another', 'pat-2', 'hook')
    expect(await queue.counts()).toEqual({ accepted: 2 })
  })

  test('looks once for each tenant when it was last served, however many of its patients wait', async () => {
    const queue = openQueue(store)
    for (let one = 0; one < 30; one++) await queue.add('clinic', `pat-${one}`, 'previsit')
    const looked = async () => {
      await store.query('select pg_stat_force_next_flush()')
      const [row] = await store.query<{ idx_scan: number }>("select idx_scan from pg_stat_user_indexes where indexrelname = 'job_served'")
      return row?.idx_scan ?? NaN
    }
    const before = await looked()
    expect((await queue.claim(['clinic']))?.patientId).toBe('pat-0')
    expect(await looked() - before).toBe(1)
  })

  test('does not touch jobs of tenants it was not given', async () => {
    const queue = openQueue(store)
    await queue.add('another', 'pat-1', 'hook')
    expect(await queue.claim(['clinic'])).toBeUndefined()
  })
})
