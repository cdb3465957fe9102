import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Media, Resource } from '@medplum/fhirtypes'
import express from 'express'
import pino from 'pino'
import { makeConfig, makeTenant, readConfig, type TenantConfig } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { lastResort } from '../../src/last-resort.ts'
import { openErrandRunner, type ErrandRunner } from '../../src/screening/errand-runner.ts'
import { openInbox, type Inbox } from '../../src/screening/notifications/inbox.ts'
import { createNotificationRouter } from '../../src/screening/notifications/router.ts'
import { openResultStore } from '../../src/screening/result-store.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { emptyStore } from '../support/screening-house.ts'
import { loopbackTenant } from '../support/screening-sample.ts'
import { openTestStore } from '../support/test-store.ts'
import { openAudit } from '../../src/audit.ts'

const SECRET = 'f'.repeat(32)
let store: Store
let ehr: TestFhirServer
let egress: Egress
let tenant: TenantConfig
let server: Server
let base: string
let runner: ErrandRunner
let inbox: Inbox
let asked: string[]
let logged: string

beforeAll(async () => {
  store = await openTestStore()
})
afterAll(() => store.close())

beforeEach(() => open())
afterEach(async () => {
  await close()
  await emptyStore(store)
})

/** JointLens with its notification address, an EHR, and a runner that is turned by hand. */
async function open(settings: Parameters<typeof loopbackTenant>[1] = {}, listed = ['_lastUpdated', '_count'], types: readonly string[] = ['Media']) {
  const rest = everything()
  ehr = await startFhirServer({ ...rest, resource: (rest.resource ?? []).map((one) =>
    types.includes(one.type ?? '') ? { ...one, searchParam: [...(one.searchParam ?? []), ...listed.map((name) => ({ name, type: 'date' as const }))] } : one) })
  tenant = loopbackTenant(ehr.base, { notifications: { secretEnv: 'CLINIC_SECRET', header: 'Authorization' }, ...settings })
  egress = egressForTenant(tenant)
  asked = []
  inbox = openInbox(store)
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => { logged = (lines.push(line), lines.join('')) } })
  logged = ''
  runner = openErrandRunner({
    store, tenants: [tenant], log, now: () => new Date('2026-11-24T10:00:00Z'),
    screenings: {
      request: (...[id, patient, reason]) => Promise.resolve(void asked.push(`${id} ${patient} ${reason}`)), settled: () => Promise.resolve({ pending: false })
    },
    sessionFor: () => openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  })
  const app = express().use('/fhir/notifications', createNotificationRouter({
    tenants: [tenant, makeTenant({ id: 'silent', name: 'Takes none', fhirBase: 'https://other.example' })], secrets: { clinic: SECRET, silent: SECRET },
    inbox: { accept: (...call) => inbox.accept(...call) }, audit: openAudit(store), heard: () => undefined
  })).use(lastResort(log))
  server = createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir/notifications`
}

async function close() {
  await runner.stop()
  server.closeAllConnections()
  server.close()
  await egress.close()
  await ehr.close()
}

async function reopen(...given: Parameters<typeof open>) {
  await close()
  await open(...given)
}

interface Sent { readonly method?: string; readonly path?: string; readonly headers?: Record<string, string | undefined>; readonly body?: string | Uint8Array | object }

async function send({ method = 'POST', path = '/clinic', headers = {}, body }: Sent = {}) {
  const all = { authorization: `Bearer ${SECRET}`, ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }), ...headers }
  const given = Object.fromEntries(Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined))
  const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  const response = await fetch(`${base}${path}`, { method, headers: given, ...(raw === undefined ? {} : { body: raw as string }) })
  return { status: response.status, text: await response.text() }
}

async function work() {
  while (await runner.runOnce());
  return asked.splice(0)
}

async function media(patientId: string, change: Partial<Media> = {}): Promise<string> {
  const { id } = await ehr.repository.createResource<Resource>({
    resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, content: { contentType: 'image/jpeg', url: 'Binary/1' }, ...change
  })
  return `Media/${id}`
}

type Backport = 'R4' | 'R5'

/** A Subscriptions Backport notification, with its status as R4 Parameters or as R5 SubscriptionStatus. */
function notification(as: Backport, type: string, { since, events = [], resources = [], subscription = 'sub-1' }: {
  since?: number; events?: readonly { number?: number; focus?: string }[]; resources?: readonly object[]; subscription?: string
} = {}) {
  const numbered = events.map(({ number, focus }) => ({ ...(number === undefined ? {} : { eventNumber: String(number) }), ...(focus ? { focus: { reference: focus } } : {}) }))
  const status = as === 'R5'
    ? { resourceType: 'SubscriptionStatus', status: 'active', type, subscription: { reference: `Subscription/${subscription}` }, ...(since === undefined ? {} : { eventsSinceSubscriptionStart: String(since) }), notificationEvent: numbered }
    : {
        resourceType: 'Parameters', parameter: [
          { name: 'subscription', valueReference: { reference: `${ehr.base}/Subscription/${subscription}` } }, { name: 'topic', valueCanonical: 'http://topic.example' },
          { name: 'status', valueCode: 'active' }, { name: 'type', valueCode: type },
          ...(since === undefined ? [] : [{ name: 'events-since-subscription-start', valueString: String(since) }]),
          ...events.map(({ number, focus }) => ({ name: 'notification-event', part: [
            ...(number === undefined ? [] : [{ name: 'event-number', valueString: String(number) }]), { name: 'timestamp', valueInstant: '2026-11-24T09:00:00Z' },
            ...(focus ? [{ name: 'focus', valueReference: { reference: focus } }] : [])
          ] }))
        ]
      }
  return {
    resourceType: 'Bundle', type: as === 'R5' ? 'subscription-notification' : 'history', timestamp: '2026-11-24T09:00:00Z',
    entry: [{ fullUrl: 'urn:uuid:1', resource: status, request: { method: 'GET', url: `Subscription/${subscription}/$status` }, response: { status: '200' } }, ...resources.map((resource) => ({ resource }))]
  }
}

const waiting = async () => (await store.query<{ what: string }>("select what from errand where done_at is null and what not like 'upkeep %' order by what")).map(({ what }) => what)

describe('who may notify', () => {
  test.each<[string, Sent]>([
    ['no secret', { headers: { authorization: undefined } }],
    ['a wrong secret', { headers: { authorization: `Bearer ${SECRET.slice(1)}e` } }],
    ['the beginning of the secret', { headers: { authorization: `Bearer ${SECRET.slice(0, -1)}` } }],
    ['an unknown tenant', { path: '/nobody' }],
    ['a tenant that takes none', { path: '/silent' }],
    ['the secret in another header', { headers: { authorization: undefined, 'x-secret': SECRET } }]
  ])('%s is 401 with one fixed answer, whatever the body', async (_name, how) => {
    const plain = await send({ headers: { authorization: undefined } })
    for (const body of ['{', JSON.stringify({ resourceType: 'Media', id: '1' }), 'x'.repeat(3_000_000)]) {
      const { status, text } = await send({ ...how, body })
      expect([status, text]).toEqual([401, plain.text])
    }
    expect(await waiting()).toEqual([])
  })

  test('a site may choose the header, and the plain secret is enough', async () => {
    await reopen({ notifications: { secretEnv: 'CLINIC_SECRET', header: 'X-Clinic-Key' } })
    expect((await send()).status).toBe(401)
    expect((await send({ headers: { 'x-clinic-key': SECRET } })).status).toBe(200)
  })

  test('a Subscription that the site does not list is 404', async () => {
    await reopen({ notifications: { secretEnv: 'CLINIC_SECRET', header: 'Authorization', subscriptions: ['sub-1'] } })
    expect((await send({ body: notification('R4', 'handshake') })).status).toBe(200)
    expect((await send({ body: notification('R4', 'handshake', { subscription: 'sub-2' }) })).status).toBe(404)
  })
})

describe('what is refused', () => {
  test.each<[string, number, Sent]>([
    ['broken JSON', 400, { body: '{"resourceType":' }],
    ['a number', 400, { body: '7' }],
    ['another kind of Bundle', 400, { body: { resourceType: 'Bundle', type: 'transaction', entry: [{}] } }],
    ['a Bundle without status', 400, { body: { resourceType: 'Bundle', type: 'history', entry: [{ resource: { resourceType: 'Media', id: '1' } }] } }],
    ['a type nobody knows', 400, { body: { resourceType: 'Bundle', type: 'history', entry: [{ resource: { resourceType: 'SubscriptionStatus', type: 'party', subscription: { reference: 'Subscription/1' } } }] } }],
    ['a Subscription with a path for an id', 400, { body: { resourceType: 'Bundle', type: 'history', entry: [{ resource: { resourceType: 'SubscriptionStatus', type: 'handshake', subscription: { reference: 'Subscription/a b' } } }] } }],
    ['a resource without id', 400, { body: { resourceType: 'Media' } }],
    ['more than 2 MB', 413, { body: { resourceType: 'Media', id: '1', note: 'x'.repeat(2_200_000) } }],
    ['a gzip bomb', 413, { body: gzipSync(JSON.stringify({ resourceType: 'Media', id: '1', note: ' '.repeat(50_000_000) })), headers: { 'content-encoding': 'gzip' } }],
    ['broken gzip', 400, { body: Buffer.from('no gzip'), headers: { 'content-encoding': 'gzip' } }],
    ['an encoding nobody knows', 415, { body: 'x', headers: { 'content-encoding': 'zz' } }],
    ['XML', 415, { body: '<Bundle/>', headers: { 'content-type': 'application/fhir+xml' } }],
    ['GET', 405, { method: 'GET' }]
  ])('%s is %d, as OperationOutcome, and nothing is kept', async (_name, status, how) => {
    const answer = await send(how)
    expect([answer.status, (JSON.parse(answer.text) as { resourceType: string }).resourceType]).toEqual([status, 'OperationOutcome'])
    expect(await waiting()).toEqual([])
  })

  test('what cannot be kept is not answered with 200, so that the EHR sends it again', async () => {
    inbox = { accept: () => Promise.reject(new ScreeningError('ERR_STORE', 'Expected a store')) }
    expect((await send({ body: { resourceType: 'Media', id: '1' } })).status).toBe(503)
  })
})

describe('an R4 rest-hook', () => {
  test('without a body asks what changed; the second look finds nothing new', async () => {
    await media('pat-1')
    expect((await send()).status).toBe(200)
    expect(await waiting()).toEqual(['poll'])
    expect(await work()).toEqual(['clinic pat-1 notification'])
    await send()
    expect(await work()).toEqual([])
    await media('pat-2')
    await send()
    expect(await work()).toEqual(['clinic pat-2 notification'])
  })

  test.each(['POST', 'PUT'])('with the resource (%s) screens the patient that the record names, never the one in the payload', async (method) => {
    const reference = await media('pat-1')
    const id = reference.split('/')[1]
    const path = method === 'PUT' ? `/clinic/${reference}` : '/clinic'
    const { status } = await send({ method, path, body: { resourceType: 'Media', id, status: 'completed', subject: { reference: 'Patient/pat-2' }, content: { contentType: 'image/jpeg', url: 'https://evil.example/x' } } })
    expect(status).toBe(200)
    expect(await work()).toEqual(['clinic pat-1 notification'])
  })

  test('about a photo that is gone looks at the patient whose result rests on it', async () => {
    await store.query(
      `insert into screening (id, tenant, patient_id, day, photo_set, photo_time, state, data, completed_at)
       values ('11111111-2222-4333-8444-555555555555', 'clinic', 'pat-9', '2026-11-20', 'x', now(), 'done', $1, now())`,
      [JSON.stringify({ photos: [{ resourceType: 'Media', id: 'gone' }] })])
    await store.query("insert into read_photo (tenant, reference, patient_id) values ('clinic', 'Media/gone', 'pat-9')")
    await send({ method: 'DELETE', path: '/clinic/Media/gone' })
    expect(await work()).toEqual(['clinic pat-9 notification'])
  })

  test('about a photo that a replica does not know yet is looked for again', async () => {
    const reference = await media('pat-1')
    await send({ method: 'PUT', path: `/clinic/${reference}` })
    ehr.refuse = ({ path }) => path === `/${reference}` ? { status: 404, why: 'a replica that is behind' } : undefined
    const later = () => store.query('update errand set run_after = clock_timestamp() where done_at is null').then(work)
    for (let time = 0; time < 3; time++) expect(await later()).toEqual([])
    ehr.refuse = () => undefined
    expect(await later()).toEqual(['clinic pat-1 notification'])
  })

  test('about a photo that never comes is given up after some minutes', async () => {
    await send({ method: 'PUT', path: '/clinic/Media/never' })
    let looks = 0
    ehr.refuse = ({ path }) => path === '/Media/never' ? (looks++, { status: 404, why: 'not there' }) : undefined
    for (let time = 0; time < 12; time++) await store.query('update errand set run_after = clock_timestamp() where done_at is null').then(work)
    expect([looks, await waiting()]).toEqual([7, []])
  })

  test('about something that is no picture starts nothing', async () => {
    const letter = await ehr.repository.createResource<Resource>({
      resourceType: 'DocumentReference', status: 'current', subject: { reference: 'Patient/pat-1' }, content: [{ attachment: { contentType: 'application/pdf', url: 'Binary/2' } }]
    })
    for (const body of [{ resourceType: 'DocumentReference', id: letter.id }, { resourceType: 'Observation', id: '1' }, { resourceType: 'Media', id: '..' }])
      expect((await send({ body })).status).toBe(200)
    expect(await work()).toEqual([])
  })
})

describe.each<Backport>(['R4', 'R5'])('a Subscriptions Backport notification with its status as in %s', (as) => {
  const handshake = () => send({ body: notification(as, 'handshake', { since: 0 }) })
  const event = (number: number, focus: string, more: { since?: number; resources?: object[] } = {}) =>
    send({ body: notification(as, 'event-notification', { since: number, events: [{ number, focus }], ...more }) })

  test('begins with a handshake and lives by heartbeats, which start nothing', async () => {
    expect((await handshake()).status).toBe(200)
    expect((await send({ body: notification(as, 'heartbeat', { since: 0 }) })).status).toBe(200)
    expect(await waiting()).toEqual([])
  })

  test('that begins again after an outage asks for what it counted meanwhile, once', async () => {
    await handshake()
    const [first, missed] = [await media('pat-1'), await media('pat-2')]
    await event(1, first)
    await work()
    const again = (since: number) => send({ body: notification(as, 'handshake', { since }) })
    await again(1)
    expect(await waiting()).toEqual([])
    await again(3)
    expect(await waiting()).toEqual(['poll'])
    expect(new Set(await work())).toEqual(new Set(['clinic pat-1 notification', 'clinic pat-2 notification']))
    await send({ body: notification(as, 'heartbeat', { since: 3 }) })
    expect(await waiting()).toEqual([])
    await event(4, missed)
    expect(await waiting()).toEqual([`look ${missed}`])
    // Counted from nothing again; and one of which nothing was ever heard.
    await work()
    await again(0)
    expect(await waiting()).toEqual([])
    await send({ body: notification(as, 'handshake', { since: 2, subscription: 'sub-2' }) })
    expect(await waiting()).toEqual(['poll'])
  })

  test('id-only screens the patient once, however often it is sent', async () => {
    const reference = await media('pat-1')
    await handshake()
    for (let time = 0; time < 3; time++) expect((await event(1, reference)).status).toBe(200)
    expect(await work()).toEqual(['clinic pat-1 notification'])
    await event(1, reference)
    expect(await work()).toEqual([])
    await event(2, `${ehr.base}/${reference}`)
    expect(await work()).toEqual(['clinic pat-1 notification'])
  })

  test('full-resource is believed in nothing but its id', async () => {
    const reference = await media('pat-1')
    await handshake()
    const lie = { resourceType: 'Media', id: reference.split('/')[1], status: 'completed', subject: { reference: 'Patient/pat-2' }, content: { contentType: 'image/jpeg', data: 'AAAA' } }
    await event(1, reference, { resources: [lie] })
    expect(await work()).toEqual(['clinic pat-1 notification'])
    expect(ehr.seen.map(({ path }) => path)).toEqual([`/${reference}`])
  })

  test('that names photos only in its entries is understood', async () => {
    const reference = await media('pat-1')
    await handshake()
    await send({ body: notification(as, 'event-notification', { resources: [{ resourceType: 'Media', id: reference.split('/')[1] }] }) })
    expect(await work()).toEqual(['clinic pat-1 notification'])
  })

  test('without a focus asks what changed', async () => {
    await handshake()
    await media('pat-1')
    await send({ body: notification(as, 'event-notification', { since: 1, events: [{ number: 1 }] }) })
    expect(await work()).toEqual(['clinic pat-1 notification'])
  })

  test('about a photo on another server is not looked at there', async () => {
    await handshake()
    await event(1, 'https://evil.example/fhir/Media/1')
    expect(await work()).toEqual([])
    expect(ehr.seen).toEqual([])
  })

  test('that skips a number makes us ask what we missed, once', async () => {
    const [first, missed, third] = [await media('pat-1'), await media('pat-2'), await media('pat-3')]
    await handshake()
    await event(1, first)
    await event(3, third)
    expect(await waiting()).toEqual([`look ${first}`, `look ${third}`, 'poll'].sort())
    expect(new Set(await work())).toEqual(new Set(['clinic pat-1 notification', 'clinic pat-2 notification', 'clinic pat-3 notification']))
    // Late, and not lost: it only looks again.
    await event(2, missed, { since: 3 })
    expect(await waiting()).toEqual([`look ${missed}`])
    await work()
    await event(4, first)
    expect(await waiting()).toEqual([`look ${first}`])
  })

  test('of a server that counts anew without a handshake, as after a restart, is not taken for a repeated one', async () => {
    await handshake()
    const [first, second, third, late] = [await media('pat-1'), await media('pat-2'), await media('pat-3'), await media('pat-4')]
    await event(1, first)
    await event(2, second)
    await work()
    await event(1, third)
    expect(await waiting()).toEqual([`look ${third}`, 'poll'])
    await work()
    await event(1, third)
    expect(await waiting()).toEqual([])
    // Counted on from there: a number that is missing is missed.
    await event(3, late)
    expect(await waiting()).toEqual([`look ${late}`, 'poll'])
  })

  test('a heartbeat that counts more events than were heard makes us ask, once', async () => {
    await handshake()
    await media('pat-1')
    for (let time = 0; time < 2; time++) await send({ body: notification(as, 'heartbeat', { since: 2 }) })
    expect(await work()).toEqual(['clinic pat-1 notification'])
    await send({ body: notification(as, 'heartbeat', { since: 2 }) })
    expect(await waiting()).toEqual([])
  })

  test('a first event that is not the first makes us ask', async () => {
    const reference = await media('pat-1')
    await event(1, reference)
    expect(await waiting()).toEqual([`look ${reference}`])
    await send({ body: notification(as, 'event-notification', { since: 7, events: [{ number: 7, focus: reference }], subscription: 'sub-2' }) })
    expect(await waiting()).toEqual([`look ${reference}`, 'poll'])
  })

  test('forty at once, in any order and each twice, count once each', async () => {
    const references = await Promise.all(Array.from({ length: 20 }, (_, n) => media(`pat-${n}`)))
    await handshake()
    const order = [...references.keys(), ...references.keys()].sort((a, b) => ((a * 7919) % 31) - ((b * 7919) % 31))
    const answers = await Promise.all(order.map((n) => event(n + 1, references[n] ?? '', { since: 20 })))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect((await waiting()).filter((what) => what.startsWith('look'))).toHaveLength(20)
    const screened = await work()
    expect(new Set(screened).size).toBe(20)
  })
})

describe('polling', () => {
  test('by the clock finds each changed photo once, with an overlap for late ones', async () => {
    await reopen({ pollMinutes: 10 })
    await media('pat-1')
    await media('pat-1')
    await media('pat-2', { content: { contentType: 'video/mp4', url: 'Binary/v' } })
    expect(await work()).toEqual(['clinic pat-1 notification'])
    expect(await waiting()).toEqual(['poll'])
    await store.query('update errand set run_after = clock_timestamp()')
    expect(await work()).toEqual([])
    const since = ehr.seen.filter(({ path }) => path === '/Media').map(({ query }) => new URLSearchParams(query).get('_lastUpdated')?.slice(2) ?? '')
    expect(since[0]).toBe('2026-11-23T10:00:00.000Z')
    expect(Date.parse(since[1] ?? '')).toBeGreaterThan(Date.parse(since[0] ?? ''))
  })

  test('is not blinded by a photo that the record dates a year ahead, nor by such a mark of before', async () => {
    await reopen({ pollMinutes: 10 })
    // What the server searches by is its own date; it lists everything since the time it is asked for.
    const changed: { resourceType: string; id: string; meta: object; subject: object; content: object }[] = []
    const dated = (patientId: string, lastUpdated: string) => changed.push({
      resourceType: 'Media', id: `m${changed.length}`, meta: { versionId: 7, lastUpdated }, subject: { reference: `Patient/${patientId}` }, content: { url: 'Binary/1' }
    })
    const sinceWhen: string[] = []
    ehr.refuse = ({ path, query }) => {
      const since = new URLSearchParams(query).get('_lastUpdated')?.slice(2)
      if (path !== '/Media' || since === undefined) return undefined
      sinceWhen.push(since)
      const entry = changed.filter(({ meta }) => (meta as { lastUpdated: string }).lastUpdated >= since).map((resource) => ({ resource }))
      ehr.raw.set('/Media', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry })) })
      return undefined
    }
    const poll = () => store.query('update errand set run_after = clock_timestamp()').then(work)
    dated('pat-1', '2026-11-24T09:50:00Z')
    dated('pat-2', '2027-11-20T00:00:00Z')
    expect(await poll()).toEqual(['clinic pat-1 notification', 'clinic pat-2 notification'])
    dated('pat-3', '2026-11-24T09:58:00Z')
    expect(await poll()).toEqual(['clinic pat-3 notification'])
    expect(sinceWhen.at(-1)).toBe('2026-11-24T09:45:00.000Z')
    await store.query("update watermark set until = '2027-11-20T00:00:00Z'")
    dated('pat-4', '2026-11-24T09:10:00Z')
    expect(await poll()).toEqual(['clinic pat-4 notification'])
    expect(await store.query('select until from watermark')).toEqual([{ until: new Date('2026-11-24T10:00:00Z') }])
  })

  test('gets on over documents that are no pictures: they are not looked through again and again', async () => {
    await reopen({ pollMinutes: 10 })
    const entry = [{ resource: { resourceType: 'Media', id: 'scan', meta: { lastUpdated: '2026-11-24T09:40:00Z' }, subject: { reference: 'Patient/pat-1' }, content: { contentType: 'application/pdf' } } }]
    ehr.raw.set('/Media', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry })) })
    expect(await work()).toEqual([])
    expect(await store.query('select until from watermark')).toEqual([{ until: new Date('2026-11-24T09:40:00Z') }])
  })

  test('of a record with more changes than one search gives takes them part by part, each once', async () => {
    await reopen({ pollMinutes: 10 })
    const changes = Array.from({ length: 24 }, (_, hour) => ({
      resourceType: 'Media', id: `m${hour}`, meta: { versionId: '1', lastUpdated: new Date(Date.parse('2026-11-23T10:30:00Z') + hour * 3_600_000).toISOString() },
      subject: { reference: `Patient/pat-${hour}` }, content: { url: 'Binary/1' }
    }))
    ehr.refuse = ({ path, query }) => {
      const [from = '', until = 'lt9'] = new URLSearchParams(query).getAll('_lastUpdated')
      if (path !== '/Media') return undefined
      const found = changes.filter(({ meta }) => meta.lastUpdated >= from.slice(2) && meta.lastUpdated < until.slice(2))
      const endless = found.length > 7 ? [{ relation: 'next', url: `${ehr.base}${path}${query}` }] : []
      ehr.raw.set('/Media', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', link: endless, entry: found.map((resource) => ({ resource })) })) })
      return undefined
    }
    expect((await work()).sort()).toEqual(changes.map(({ subject }) => `clinic ${subject.reference.slice(8)} notification`).sort())
    expect(await store.query('select until from watermark')).toEqual([{ until: new Date('2026-11-24T09:30:00Z') }])
  })

  test('asks again for what was refused to a token, so that no photo is passed over', async () => {
    await reopen({ pollMinutes: 10 })
    await media('pat-1')
    let refusals = 0
    ehr.refuse = ({ path }) => path === '/Media' && refusals++ === 0 ? { status: 401, why: 'taken back' } : undefined
    expect(await work()).toEqual(['clinic pat-1 notification'])
    expect(refusals).toBe(2)
  })

  test('catches up with a type that a gateway refused once while the other one was answered', async () => {
    await reopen({ pollMinutes: 10 }, ['_lastUpdated', '_count'], ['Media', 'DocumentReference'])
    const changed = (type: 'Media' | 'DocumentReference', patientId: string, lastUpdated: string) => ({
      resourceType: type, id: `${type}-${patientId}`, meta: { versionId: '1', lastUpdated }, subject: { reference: `Patient/${patientId}` },
      content: type === 'Media' ? { url: 'Binary/1' } : [{ attachment: { url: 'Binary/1' } }]
    })
    const all = [changed('DocumentReference', 'pat-1', '2026-11-24T08:00:00Z'), changed('Media', 'pat-2', '2026-11-24T09:59:00Z')]
    let documents = 0
    ehr.refuse = ({ path, query }) => {
      const [from = '', until = 'lt9'] = new URLSearchParams(query).getAll('_lastUpdated')
      if (!from) return undefined
      const found = all.filter(({ resourceType, meta }) => path === `/${resourceType}` && meta.lastUpdated >= from.slice(2) && meta.lastUpdated < until.slice(2))
      ehr.raw.set(path, { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry: found.map((resource) => ({ resource })) })) })
      return path === '/DocumentReference' && documents++ === 0 ? { status: 403, why: 'a gateway' } : undefined
    }
    const poll = () => store.query('update errand set run_after = clock_timestamp()').then(work)
    expect(await poll()).toEqual(['clinic pat-2 notification'])
    expect(await poll()).toEqual(['clinic pat-1 notification'])
    expect(await poll()).toEqual([])
    expect(await store.query('select 1 from poll_gap')).toEqual([])
  })

  test('hands on what it found, for a while: a patient’s own search may show it later', async () => {
    await reopen({ pollMinutes: 10 })
    const reference = await media('pat-1')
    await work()
    const results = openResultStore(store)
    expect(await results.handedOver('clinic', 'pat-1')).toEqual([reference])
    await store.query("update handed_photo set until = until - interval '15 minutes'")
    expect(await results.handedOver('clinic', 'pat-1')).toEqual([])
  })

  test('that fails is tried at its next time, and no screening is lost', async () => {
    await reopen({ pollMinutes: 10 })
    await media('pat-1')
    ehr.fault = () => '500-before-commit'
    expect(await work()).toEqual([])
    ehr.fault = () => undefined
    await store.query('update errand set run_after = clock_timestamp()')
    expect(await work()).toEqual(['clinic pat-1 notification'])
  })

  test('of a record that cannot say what changed looks at who comes today and tomorrow', async () => {
    await reopen({ pollMinutes: 10, timeZone: 'Pacific/Auckland' }, [])
    const appointment = (patient: string, start: string) => ehr.repository.createResource<Resource>({
      resourceType: 'Appointment', status: 'booked', start, end: start, participant: [{ actor: { reference: `Patient/${patient}` }, status: 'accepted' }]
    })
    // 10:00 UTC on the 24th is 23:00 in Auckland: today is the 24th there, which begins at 11:00 UTC on the 23rd.
    await appointment('pat-yesterday', '2026-11-23T10:30:00Z')
    await appointment('pat-today', '2026-11-23T11:30:00Z')
    await appointment('pat-tomorrow', '2026-11-24T11:30:00Z')
    await appointment('pat-later', '2026-11-25T11:30:00Z')
    expect(await work()).toEqual(['clinic pat-today notification', 'clinic pat-tomorrow notification'])
    expect(ehr.seen.filter(({ path }) => path === '/Media')).toEqual([])
  })

  test('is done by one of two workers', async () => {
    await work()
    await media('pat-1')
    await send()
    const both = await Promise.all([runner.runOnce(), runner.runOnce()])
    expect(both.sort()).toEqual([false, true])
    expect(asked).toEqual(['clinic pat-1 notification'])
  })
})

test('no log holds a patient, a photo or the secret', async () => {
  const reference = await media('pat-secret')
  await send({ body: { resourceType: 'Media', id: reference.split('/')[1] } })
  ehr.fault = () => '500-before-commit'
  await work()
  await send({ headers: { authorization: 'Bearer wrong-secret' } })
  expect(logged).toContain('errand put off')
  expect(logged).not.toMatch(new RegExp(`pat-secret|${reference.split('/')[1]}|${SECRET}|wrong-secret`))
})

test('the secret is what the named variable holds; missing or short it is a configuration error that does not show it', () => {
  const config = { host: 'h', port: 0, publicUrl: 'http://h', dataDir: 'd', modelDir: 'm', device: 'cpu', profile: 'development', logLevel: 'silent', tenants: [tenant] } as const
  for (const secret of [undefined, 'short-secret'])
    expect(() => makeConfig({ ...config, ...(secret ? { notificationSecrets: { clinic: secret } } : {}) }))
      .toThrow(expect.objectContaining({ code: 'ERR_CONFIG', message: expect.not.stringContaining('short-secret') }))
  expect(makeConfig({ ...config, notificationSecrets: { clinic: SECRET } }).tenants).toHaveLength(1)
  const file = join(mkdtempSync(join(tmpdir(), 'jointlens-')), 'site.yaml')
  writeFileSync(file, 'tenants: [{ id: clinic, name: Clinic, fhirBase: "https://ehr.example/fhir", notifications: { secretEnv: CLINIC_SECRET } }]')
  expect(readConfig({ JOINTLENS_CONFIG: file, CLINIC_SECRET: SECRET }).notificationSecrets).toEqual({ clinic: SECRET })
  expect(() => readConfig({ JOINTLENS_CONFIG: file })).toThrow(/CLINIC_SECRET/)
  writeFileSync(file, 'tenants: [{ id: clinic, name: Clinic, fhirBase: "https://ehr.example/fhir", feedbackPage: { secretEnv: CLINIC_SECRET } }]')
  expect(readConfig({ JOINTLENS_CONFIG: file, CLINIC_SECRET: SECRET })).toMatchObject({ feedbackSecrets: { clinic: SECRET }, notificationSecrets: {} })
  for (const CLINIC_SECRET of ['', 'short-secret'])
    expect(() => readConfig({ JOINTLENS_CONFIG: file, CLINIC_SECRET })).toThrow(/feedbackPage\.secretEnv(?!.*short-secret)/)
  expect(readConfig({ METRICS_SECRET: SECRET })).toMatchObject({ metricsSecret: SECRET })
  expect(() => readConfig({ METRICS_SECRET: 'short-secret' })).toThrow(/METRICS_SECRET: Expected a secret of at least 32 characters(?!.*short-secret)/)
})
