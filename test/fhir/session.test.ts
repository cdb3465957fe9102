import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { CapabilityStatementRest, Media, Observation } from 'fhir/r4.js'
import { fixedToken, type TokenSource } from '../../src/fhir/backend-auth.ts'
import { ScreeningError } from '../../src/errors.ts'
import { readCapabilities } from '../../src/fhir/capabilities.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { findHandPhotos, photosFromBundle, readPhotoBytes, type HandPhoto } from '../../src/fhir/photo-sources.ts'
import { isOf } from '../../src/fhir/references.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: TestFhirServer
let canary: TestFhirServer
let egress: Egress
let session: FhirSession
const code = (name: string) => expect.objectContaining({ code: name })
const pixels = Buffer.from('not decoded here')

function open(tokens: TokenSource = fixedToken('secret-token'), more = {}): FhirSession {
  const tenant = loopbackTenant(server.base, more)
  egress = egressForTenant(tenant)
  return openFhirSession({ tenant, egress, tokens })
}

beforeEach(async () => {
  server = await startFhirServer()
  canary = await startFhirServer()
  session = open()
})
afterEach(async () => {
  await egress.close()
  await server.close()
  await canary.close()
})

const observation = (n: number): Observation => ({
  resourceType: 'Observation', status: 'preliminary', code: { text: 'test' }, subject: { reference: 'Patient/pat-1' },
  identifier: [{ system: 'urn:test', value: String(n) }]
})

describe('the session', () => {
  test('creates, reads, finds and updates with its token', async () => {
    const reference = await session.create(observation(1))
    const [, id = ''] = reference.split('/')
    const found = await session.read('Observation', id)
    await session.update({ ...found, status: 'cancelled' }, { ifMatch: found.meta?.versionId ?? '' })
    const [one] = await session.search('Observation', { identifier: 'urn:test|1' })
    expect(one?.status).toBe('cancelled')
    expect(new Set(server.seen.map(({ headers }) => headers.authorization))).toEqual(new Set(['Bearer secret-token']))
  })

  test('creates once when the server is asked to look first', async () => {
    const first = await session.create(observation(1), { ifNoneExist: 'identifier=urn:test|1' })
    expect(await session.create(observation(1), { ifNoneExist: 'identifier=urn:test|1' })).toBe(first)
  })

  test('repeats a request once with a new token; a create only where nobody asks the record first', async () => {
    let renewed = 0
    const tokens: TokenSource = { token: () => Promise.resolve(`t${renewed}`), invalidate: () => { renewed++ } }
    server.refuse = ({ method, headers }) => method === 'POST' && headers.authorization === 'Bearer t0' ? { status: 401, why: 'expired' } : undefined
    await open(tokens).create(observation(1))
    expect(server.seen.filter(({ method }) => method === 'POST')).toHaveLength(2)
    renewed = 0
    const asking = openFhirSession({ tenant: loopbackTenant(server.base), egress, tokens, repeatCreates: false })
    await expect(asking.create(observation(2))).rejects.toEqual(code('ERR_EHR_UNAUTHORIZED'))
    await asking.create(observation(2))
    expect(server.seen.filter(({ method }) => method === 'POST')).toHaveLength(4)
  })

  test('takes 404 for an answer only where one thing is asked for: elsewhere it tells of the server', async () => {
    server.refuse = () => ({ status: 404, why: 'no such page' })
    await expect(session.read('Media', 'm1')).rejects.toEqual(code('ERR_NOT_FOUND'))
    await expect(session.search('Media', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EHR_REFUSED'))
    await expect(session.create(observation(1))).rejects.toEqual(code('ERR_EHR_REFUSED'))
    await expect(session.transaction({ resourceType: 'Bundle', type: 'transaction', entry: [] })).rejects.toEqual(code('ERR_EHR_REFUSED'))
  })

  test('reads every page', async () => {
    for (let n = 0; n < 7; n++) await session.create(observation(n))
    server.pageSize = 2
    expect(await session.search('Observation', { patient: 'pat-1' })).toHaveLength(7)
    expect(await session.search('Observation', { patient: 'pat-1' }, { maxPages: 1 })).toHaveLength(2)
  })

  test('does not follow a next page to another server, which never sees the token', async () => {
    for (let n = 0; n < 3; n++) await session.create(observation(n))
    server.pageSize = 2
    server.next = (url) => url.replace(server.base, canary.base)
    await expect(session.search('Observation', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    server.next = () => `${new URL(server.base).origin}/admin`
    await expect(session.search('Observation', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toEqual([])
  })

  test.each(['http://hapi.internal:8080/fhir', 'http://hapi.internal', 'https://localhost:8080/oauth/fhir'])('reads every page from a server that calls itself %s, at the address it is reached at', async (called) => {
    for (let n = 0; n < 5; n++) await session.create(observation(n))
    server.pageSize = 2
    server.called = called
    expect(await session.search('Observation', { patient: 'pat-1' })).toHaveLength(5)
    // As HAPI pages, at the base itself.
    server.next = () => `${called}?_getpages=2`
    server.raw.set('/?_getpages=2', { type: 'application/fhir+json', body: Buffer.from('{"resourceType":"Bundle","type":"searchset"}') })
    expect(await session.search('Observation', { patient: 'pat-1' })).toHaveLength(2)
    // What it calls itself is one name, and not two.
    server.next = (url) => url.replace(called, canary.base)
    await expect(session.search('Observation', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toEqual([])
  })

  test('does not leave the base by a link to what the server calls its own', async () => {
    for (let n = 0; n < 3; n++) await session.create(observation(n))
    server.pageSize = 2
    server.called = 'http://hapi.internal/fhir'
    for (const link of ['/../admin', '/%2e%2e/admin', '2/Media', '@elsewhere.example/Media', '/..%2fadmin']) {
      server.next = () => `${server.called}${link}`
      await expect(session.search('Observation', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    }
  })

  test('takes http for the https that it is reached by, in pages, addresses and references, and sends nothing unencrypted', async () => {
    const tenant = loopbackTenant('https://ehr.example/fhir', { allowHttp: false })
    const asked: string[] = []
    const page = (link: readonly object[]) => ({ resourceType: 'Bundle', type: 'searchset', link })
    const answers: Record<string, object> = {
      'https://ehr.example/fhir/Media?patient=pat-1': page([{ relation: 'next', url: 'http://ehr.example/fhir?_getpages=1' }]),
      'https://ehr.example/fhir?_getpages=1': page([{ relation: 'next', url: 'http://ehr.example:8080/fhir?_getpages=2' }]),
      'https://ehr.example/fhir/Binary/b1': { resourceType: 'Binary', id: 'b1', data: 'AAAA' }
    }
    const fetch = (url: string) => {
      asked.push(url)
      return Promise.resolve({ status: 200, headers: new Headers({ 'content-type': 'application/fhir+json' }), body: Buffer.from(JSON.stringify(answers[url])), url })
    }
    const secure = openFhirSession({ tenant, egress: { ...egress, fetch }, tokens: fixedToken('t') })
    expect(await secure.readAttachment('http://ehr.example/fhir/Binary/b1')).toHaveLength(3)
    await expect(secure.search('Media', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(asked).toEqual(['https://ehr.example/fhir/Binary/b1', 'https://ehr.example/fhir/Media?patient=pat-1', 'https://ehr.example/fhir?_getpages=1'])
    expect(isOf(tenant, 'http://ehr.example/fhir/Patient/pat-1', 'pat-1')).toBe(true)
    expect(isOf(tenant, 'http://ehr.example:8080/fhir/Patient/pat-1', 'pat-1')).toBe(false)
  })

  test.each([404, 410, 400])('does not take a page that is answered %d for the end of a search, nor for a refusal of it', async (status) => {
    for (let n = 0; n < 3; n++) await session.create(observation(n))
    server.pageSize = 2
    server.refuse = ({ query }) => query.includes('_page=1') ? { status, why: 'search expired' } : undefined
    await expect(session.search('Observation', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
  })

  test('sees what was written a moment after the same was asked for, also where searches are cached', async () => {
    server.cachesSearches = true
    expect(await session.search('Observation', { identifier: 'urn:test|1' })).toEqual([])
    await session.create(observation(1))
    expect(await session.search('Observation', { identifier: 'urn:test|1' })).toHaveLength(1)
  })

  test.each([['warning', true], ['information', true], ['error', false], ['fatal', false]])('a search that holds an OperationOutcome with a %s was done: %s', async (severity, done) => {
    const outcome = { resourceType: 'OperationOutcome', issue: [{ severity, code: 'required' }] }
    const entry = [{ resource: { ...observation(1), id: 'o1' }, search: { mode: 'match' } }, { resource: outcome, search: { mode: 'outcome' } }]
    server.raw.set('/Observation', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total: 1, entry })) })
    const found = session.search('Observation', { patient: 'pat-1' })
    if (done) expect(await found).toHaveLength(1)
    else await expect(found).rejects.toEqual(code('ERR_EHR_REFUSED'))
  })

  test('does not walk a circle of pages', async () => {
    for (let n = 0; n < 3; n++) await session.create(observation(n))
    server.pageSize = 2
    server.next = (url) => url.replace(/_page=\d+/, '_page=0')
    await expect(session.search('Observation', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test.each(['../../admin', '1?x=1', '..', '', 'a/b', 'x'.repeat(129)])('refuses the id %j', async (id) => {
    await expect(session.read('Patient', id)).rejects.toEqual(code('ERR_REQUEST_INVALID'))
    expect(server.seen).toEqual([])
  })

  test.each(['empty-200', 'html-200', 'null-200'] as const)('does not believe a read that answers %s', async (fault) => {
    server.fault = () => fault
    await expect(session.read('Patient', 'pat-1')).rejects.toEqual(code('ERR_EHR_ANSWER'))
    await expect(session.search('Media', { patient: 'pat-1' })).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test('does not believe another resource than the one asked for', async () => {
    server.raw.set('/Patient/pat-1', { type: 'application/fhir+json', body: Buffer.from('{"resourceType":"Patient","id":"pat-2"}') })
    await expect(session.read('Patient', 'pat-1')).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test.each(['commit-then-500', 'commit-then-reset', 'html-200', 'empty-200'] as const)('calls a write that ends in %s unknown', async (fault) => {
    server.fault = () => fault
    await expect(session.create(observation(1))).rejects.toEqual(code('ERR_WRITE_AMBIGUOUS'))
  })

  test('renews a refused token once, also when many wait for it', async () => {
    const reference = await session.create(observation(1))
    await egress.close()
    let current = 'old'
    const renewals: string[] = []
    server.token = 'new'
    session = open({
      token: () => Promise.resolve(current),
      invalidate: (used) => { if (used === current) { renewals.push(current); current = 'new' } }
    })
    await Promise.all(Array.from({ length: 5 }, () => session.read('Observation', reference.split('/')[1] ?? '')))
    expect(renewals).toEqual(['old'])
  })

  test('gives up when the new token is refused too, and names neither token nor address', async () => {
    server.token = 'other'
    const error: unknown = await session.read('Patient', 'pat-1').catch((one: unknown) => one)
    expect(error).toEqual(code('ERR_EHR_UNAUTHORIZED'))
    expect(String(error)).not.toMatch(/secret-token|127\.0\.0\.1|pat-1/)
  })

  describe('takes the answer to a search', () => {
    const [one, two] = ['1', '2'].map((id) => ({ resourceType: 'Observation', id, status: 'final' }))
    const patient = { resourceType: 'Patient', id: 'pat-1' }
    const outcome = { resourceType: 'OperationOutcome', issue: [{ severity: 'information', code: 'informational' }] }
    const found = async (bundle: object) => {
      server.raw.set('/Observation', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', ...bundle })) })
      return (await session.search('Observation', { patient: 'pat-1' })).map(({ id }) => id)
    }

    test.each<[string, object, readonly string[]]>([
      ['without entries', { entry: null, link: null, total: 0 }, []],
      ['with null for what is not there', { entry: [null, { resource: null, search: null }, { resource: one, search: null }, { resource: two, search: { mode: null } }] }, ['1', '2']],
      ['with what it refers to, and does not say so', { entry: [{ resource: patient }, { resource: one }, { resource: outcome }, { resource: two, search: { mode: 'match' } }] }, ['1', '2']],
      ['with nothing but an outcome', { entry: [{ resource: outcome }] }, []]
    ])('%s', async (_how, bundle, expected) => {
      expect(await found(bundle)).toEqual(expected)
    })

    test.each<[string, object]>([
      ['of another type alone', { entry: [{ resource: patient }] }],
      ['of another type that is called a match', { entry: [{ resource: one }, { resource: patient, search: { mode: 'match' } }] }],
      ['that names no type', { entry: [{ resource: one }, { resource: { id: '2' } }] }],
      ['with a next page of no address', { entry: [{ resource: one }], link: [{ relation: 'next', url: null }] }]
    ])('%s for none', async (_how, bundle) => {
      await expect(found(bundle)).rejects.toEqual(code('ERR_EHR_ANSWER'))
    })
  })

  test('asks for /metadata once', async () => {
    expect((await session.capabilities()).transaction).toBe(true)
    const known = await session.capabilities()
    expect([known.canSearch('Media', 'patient'), known.canSearch('Media', 'operator'), known.canSearch('Encounter', 'patient')]).toEqual([true, false, false])
  })

  test.each<[string, (all: CapabilityStatementRest) => CapabilityStatementRest['resource']]>([
    ['that lets nothing be written', ({ resource = [] }) => resource.map((one) => ({ ...one, interaction: [{ code: 'read' as const }] }))], ['that lists nothing', () => []]
  ])('asks twice for a statement %s, and believes it for a minute', async (_, poorer) => {
    let asked = 0
    let poor = 1
    const all = everything()
    await egress.close()
    await server.close()
    server = await startFhirServer({ ...all, get resource() { return ++asked <= poor ? poorer(all) ?? [] : all.resource ?? [] } })
    session = open()
    expect([(await session.capabilities()).can('Observation', 'create'), (await session.capabilities()).lists, asked]).toEqual([true, true, 2])
    await egress.close()
    session = open()
    poor = 4
    await session.capabilities()
    await session.capabilities()
    expect(asked).toBe(4)
    const time = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 61_000)
    expect([(await session.capabilities()).conditionalCreate('Observation'), asked]).toEqual([true, 5])
    time.mockRestore()
  })
})

const media = (change: Partial<Media> = {}): Media => ({
  resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-1' }, createdDateTime: '2026-11-20T08:12:00+01:00',
  bodySite: { coding: [{ system: 'http://snomed.info/sct', code: '85151006' }] },
  content: { contentType: 'image/jpeg', url: 'Binary/b1', size: pixels.length, hash: createHash('sha1').update(pixels).digest('base64') },
  ...change
})

test.each([['4.0.1', true], ['4.3.0', true], ['5.0.0', false], ['3.0.2', false]])('a server that says it speaks FHIR %s is spoken with: %s', (fhirVersion, spoken) => {
  const read = () => readCapabilities({ resourceType: 'CapabilityStatement', fhirVersion, rest: [everything()] })
  if (spoken) expect(read().fhirVersion).toBe(fhirVersion)
  else expect(read).toThrow('Expected a FHIR R4 server')
})

test('what /metadata lists in a form that cannot be read is not offered, and what stands beside it is', () => {
  const rest = everything()
  const odd = (type: string) => type === 'Media' ? { searchParam: [null, { name: 'patient' }], updateCreate: 'false' } : type === 'Binary' ? { interaction: null } : type === 'Device' ? { searchParam: [{}] } : {}
  const capabilities = readCapabilities({
    resourceType: 'CapabilityStatement', fhirVersion: '4.0.1',
    rest: [{ ...rest, operation: [{ definition: 'http://x/OperationDefinition/foo' }, { name: 'export' }], resource: [null, ...(rest.resource ?? []).map((one) => ({ ...one, ...odd(one.type) }))] }]
  })
  expect(['patient', 'identifier'].map((name) => capabilities.canSearch('Media', name))).toEqual([true, false])
  expect([capabilities.updateCreate('Media'), capabilities.can('Binary', 'read'), capabilities.canSearch('Device', 'identifier')]).toEqual([false, false, false])
  expect([capabilities.canSearch('Observation', 'identifier'), capabilities.transaction, capabilities.canExport('system')]).toEqual([true, true, true])
  // Everything unreadable is not the same as nothing listed.
  const unread = readCapabilities({ resourceType: 'CapabilityStatement', rest: [{ mode: 'server', resource: [null, { type: 3 }] }] })
  expect(unread.can('Media', 'read')).toBe(false)
})

describe('the hand photos of a patient', () => {
  test('are newest first, with the side the record gives', async () => {
    const right = { text: 'Right hand' }
    await session.create(media({ createdDateTime: '2026-10-01' }))
    const newest = await session.create(media({ bodySite: right, createdDateTime: '2026-11-21T10:00:00Z' }))
    const photos = await findHandPhotos(session, 'pat-1')
    expect(photos.map(({ side, created }) => [side, created])).toEqual([['right', '2026-11-21T10:00:00Z'], ['left', '2026-10-01']])
    expect(`Media/${photos[0]?.id}`).toBe(newest)
  })

  test('leave out what is withdrawn, not a hand, not an image, made by us, restricted, or of someone else', async () => {
    const aiast = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'AIAST' }
    const label = (code: string) => ({ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code })
    for (const change of [
      { status: 'entered-in-error' as const }, { status: 'not-done' as const }, { content: { contentType: 'video/mp4', url: 'Binary/v' } },
      { bodySite: { text: 'Left foot' } }, { subject: { reference: 'Patient/pat-2' } }, { meta: { security: [aiast] } },
      // Whoever has that number elsewhere is another person.
      { subject: { reference: 'https://elsewhere.example/fhir/Patient/pat-1' } }, { subject: { reference: `${server.base.replace('/fhir', '/fhir2')}/Patient/pat-1` } },
      { meta: { security: [label('R')] } }, { meta: { security: [label('V')] } }
    ]) await session.create(media(change))
    expect(await findHandPhotos(session, 'pat-1')).toEqual([])
    const entries = { resourceType: 'Bundle', entry: [null, {}, { resource: media({ id: 'm2', subject: { reference: 'Patient/pat-2' } }) }, { resource: { resourceType: 'Media' } }, { resource: media({ id: 'm1' }) },
      { resource: media({ id: 'm4', subject: { reference: `${server.base}/Patient/pat-1/_history/2` } }) }] }
    const whose = { patientId: 'pat-1', fhirBase: server.base }
    expect(photosFromBundle(entries, whose).map(({ id }) => id)).toEqual(['m1', 'm4'])
    expect(photosFromBundle({ entry: [{ resource: media({ id: 'm3', meta: { security: [label('N')] } }) }] }, whose)).toHaveLength(1)
    for (const odd of [null, 1, 'x', [], { entry: 3 }, { resourceType: 'OperationOutcome' }]) expect(photosFromBundle(odd, whose)).toEqual([])
  })

  test.each<[string, object, Partial<HandPhoto>]>([
    ['a number for the version', { meta: { versionId: 3, security: null } }, { versionId: '3' }],
    ['text for the size', { content: { contentType: 'image/jpeg', url: 'Binary/b1', size: '14' } }, { attachment: { contentType: 'image/jpeg', url: 'Binary/b1', size: 14 } }],
    ['a size of 0, which means unknown', { content: { contentType: 'image/jpeg', url: 'Binary/b1', size: 0 } }, { attachment: { contentType: 'image/jpeg', url: 'Binary/b1' } }],
    ['a size that is none', { content: { contentType: 'image/jpeg', url: 'Binary/b1', size: '14 kB', hash: 12 } }, { attachment: { contentType: 'image/jpeg', url: 'Binary/b1' } }],
    ['null for the body site', { bodySite: null }, {}],
    ['null where it knows nothing', { issued: null, note: null, createdPeriod: null, type: null, createdDateTime: 20261120 }, {}],
    ['null beside a code of the body site', { bodySite: { coding: [null, { system: null, code: 1 }], text: 'Left hand', extension: [null] } }, { side: 'left' }],
    ['no contentType beside an address', { content: { url: 'Binary/b1' } }, { attachment: { url: 'Binary/b1' } }],
    ['octet-stream', { content: { contentType: 'application/octet-stream', url: 'Binary/b1' } }, { attachment: { contentType: 'application/octet-stream', url: 'Binary/b1' } }]
  ])('are read where the record sends %s', (_form, change, expected) => {
    const resource = { ...media({ id: 'm1' }), ...change }
    expect(photosFromBundle({ entry: [null, { resource }] }, { patientId: 'pat-1', fhirBase: server.base })).toEqual([expect.objectContaining({ id: 'm1', ...expected })])
  })

  test.each<[string | number, string | undefined]>([
    ['2026-11-20T08:12:00+01:00', '2026-11-20T08:12:00+01:00'], ['2026-11-20', '2026-11-20'], ['2026-11', '2026-11'], ['2026', '2026'],
    ['2026-11-20T08:12Z', '2026-11-20T08:12:00Z'], ['2026-11-20T08:12:00.1234567+0100', '2026-11-20T08:12:00.1234567+01:00'], ['2026-11-20t08:12z', '2026-11-20T08:12:00Z'],
    // Nobody knows which moment it was, so the day is all that is said.
    ['2026-11-20T08:12:00', '2026-11-20'], ['2026-11-20T23:59', '2026-11-20'], ['2026-11-20 00:10', '2026-11-20'], ['2026-11-20T08', '2026-11-20'],
    ['2026-11-20T24:00:00Z', '2026-11-20'], ['2026-11-20T08:12:60Z', '2026-11-20'], ['2026-11-20T08:12:00+23:00', '2026-11-20'],
    // The 11th of December, or the 12th of November? No date is better than a wrong one.
    ['11/12/2026', undefined], ['20261120', undefined], [20261120, undefined], ['2026-02-30', undefined], ['2026-02-30T08:12:00Z', undefined], ['2026-13', undefined], ['0000-01-01', undefined], ['yesterday', undefined]
  ])('are dated as far as the record does it without doubt: %j is %s', (createdDateTime, created) => {
    const resource = { ...media({ id: 'm1', issued: '2026-11-25T10:00:00Z' }), createdDateTime }
    const [found] = photosFromBundle({ entry: [{ resource }, { resource: media({ id: 'm2', createdDateTime: '2020-01-01' }) }] }, { patientId: 'pat-1', fhirBase: server.base }).filter(({ id }) => id === 'm1')
    expect([found?.id, found?.created]).toEqual(['m1', created])
  })

  test('of one day without a zone keep the order of their times', async () => {
    const resources = Object.entries({ b: '2026-11-20T08:12', c: '2026-11-20T09:30', a: '2026-11-20T07:00' }).map(([id, createdDateTime]) => media({ id, createdDateTime }))
    const page = { resourceType: 'Bundle', type: 'searchset', entry: resources.map((resource) => ({ resource })) }
    server.raw.set('/Media?patient=pat-1', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify(page)) })
    expect((await findHandPhotos(session, 'pat-1')).map(({ id, created }) => [id, created])).toEqual([['c', '2026-11-20'], ['b', '2026-11-20'], ['a', '2026-11-20']])
  })

  test.each<[string, object]>([
    ['a film', { content: { contentType: 'application/octet-stream', url: 'Binary/b1' }, type: { coding: [{ code: 'video' }] } }],
    ['of no known body site and kind', { content: { url: 'Binary/b1' }, bodySite: undefined }],
    ['without address and kind', { content: {} }],
    ['labelled in a form that cannot be read', { meta: { security: [3] } }],
    ['of a body site that cannot be read', { bodySite: ['Left foot'] }]
  ])('are not what is %s', (_form, change) => {
    expect(photosFromBundle({ entry: [{ resource: { ...media({ id: 'm1' }), ...change } }] }, { patientId: 'pat-1', fhirBase: server.base })).toEqual([])
  })

  test('come from the best of a document\'s attachments: JPEG before HEIC, a picture before what may be one', async () => {
    const heic = { contentType: 'image/heic', url: 'Binary/heic' }
    const jpeg = { contentType: 'image/jpeg', url: 'Binary/jpeg' }
    const unnamed = { url: 'Binary/unnamed', size: null }
    const bare = { contentType: 'text/plain', url: null }
    const chosen = (description: string, ...attachments: readonly unknown[]) => photosFromBundle({
      entry: [{ resource: {
        resourceType: 'DocumentReference', id: 'd1', status: 'current', subject: { reference: 'Patient/pat-1' }, date: '2026-11-20T08:12:00Z', description,
        content: [null, ...attachments.map((attachment) => ({ attachment }))]
      } }]
    }, { patientId: 'pat-1', fhirBase: server.base }).map(({ attachment }) => attachment.url)
    expect(chosen('Photo of left hand', heic, jpeg)).toEqual(['Binary/jpeg'])
    expect(chosen('Photo of left hand', bare, unnamed, heic)).toEqual(['Binary/heic'])
    expect(chosen('Photo of left hand', bare, unnamed)).toEqual(['Binary/unnamed'])
    expect(chosen('Left hand surgery, consent', bare, unnamed)).toEqual([])
    // What lies in the document itself is chosen the same way.
    server.raw.set('/DocumentReference/d1', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({
      resourceType: 'DocumentReference', id: 'd1', status: 'current', subject: { reference: 'Patient/pat-1' },
      content: [{ attachment: { contentType: 'image/heic', data: 'AAAA' } }, { attachment: { contentType: 'image/png', data: pixels.toString('base64') } }]
    })) })
    expect(Buffer.from(await readPhotoBytes(session, { resourceType: 'DocumentReference', id: 'd1', attachment: {} }))).toEqual(pixels)
  })

  test('are all the pictures of a document that can be read, each with the side that its own title tells; what else lies there is passed over', () => {
    const [left, right, foot] = ['left', 'right', 'foot'].map((name) => ({ contentType: 'image/jpeg', url: `Binary/${name}`, title: `${name}.jpg` }))
    const letter = { contentType: 'application/pdf', url: 'Binary/letter' }
    const heic = { contentType: 'image/heic', url: 'Binary/heic' }
    const photos = (members: object, ...attachments: readonly unknown[]) => photosFromBundle({
      entry: [{ resource: {
        resourceType: 'DocumentReference', id: 'd1', meta: { versionId: '1' }, status: 'current', subject: { reference: 'Patient/pat-1' }, date: '2026-11-20T08:12:00Z',
        content: attachments.map((attachment) => ({ attachment })), ...members
      } }]
    }, { patientId: 'pat-1', fhirBase: server.base }).map(({ attachment: { url }, side, part }) => [url, side, part])
    const both = { description: 'Photos of the left and right hand' }
    expect(photos(both, letter, left, heic, right)).toEqual([['Binary/left', 'left', undefined], ['Binary/right', 'right', 3]])
    expect(photos({ description: 'Photos of both hands' }, left, right)).toEqual([['Binary/left', 'left', undefined], ['Binary/right', 'right', 1]])
    expect(photos({ description: 'Left hand' }, { ...left, title: undefined }, right)).toEqual([['Binary/left', 'left', undefined], ['Binary/right', undefined, 1]])
    // Each has to be of a hand, by its own title where the document does not say so.
    expect(photos({ description: 'Photos' }, foot, { ...left, title: 'left hand.jpg' })).toEqual([['Binary/left', 'left', 1]])
    expect(photos(both, letter, heic, { url: 'Binary/unnamed' })).toEqual([['Binary/heic', undefined, undefined]])
    const called = (title: string) => photos({ description: 'Photos' }, { ...left, title }).map(([, side]) => side)
    expect(['left_hand2.jpg', 'Linke Hand', 'Handrücken rechts', 'IMG_rechte_Hand.JPG', 'Handout_left.jpg', 'Leftover.jpg'].map(called)).toEqual([['left'], ['left'], ['right'], ['right'], [], []])
  })

  test('come from documents where Media cannot be searched', async () => {
    const rest = everything()
    await server.close()
    server = await startFhirServer({ ...rest, resource: (rest.resource ?? []).map((one) => one.type === 'Media' ? { ...one, searchParam: [{ name: '_id', type: 'token' }] } : one) })
    await egress.close()
    session = open()
    const document = {
      resourceType: 'DocumentReference' as const, status: 'current' as const, subject: { reference: 'Patient/pat-1' }, date: '2026-11-20T08:12:00Z'
    }
    const jpeg = { contentType: 'image/jpeg', url: 'Binary/b1' }
    await session.create({ ...document, description: 'Left hand, back', content: [{ attachment: jpeg }] })
    await session.create({ ...document, description: 'Insurance card', content: [{ attachment: jpeg }] })
    await session.create({ ...document, description: 'Hand therapy letter', content: [{ attachment: { contentType: 'application/pdf', url: 'Binary/b2' } }] })
    const photos = await findHandPhotos(session, 'pat-1')
    expect(photos.map(({ resourceType, side }) => [resourceType, side])).toEqual([['DocumentReference', 'left']])
    expect(server.seen.filter(({ path, method }) => method === 'GET' && path === '/Media')).toEqual([])
  })

  test('are looked for a hundred documents or reports at a time where that can be asked for: a patient of many years has thousands', async () => {
    const rest = everything()
    await server.close()
    server = await startFhirServer({ ...rest, resource: (rest.resource ?? []).map((one) => ({ ...one, searchParam: [...(one.searchParam ?? []), { name: '_count', type: 'number' }] })) })
    await egress.close()
    session = open()
    expect(await findHandPhotos(session, 'pat-1')).toEqual([])
    expect(server.seen.map(({ path, query }) => path + query)).toEqual(['/Media?patient=pat-1', '/DocumentReference?patient=pat-1&_count=100', '/DiagnosticReport?patient=pat-1&_count=100'])
    // Where that is too much, as many as the server likes, then one by one.
    const asked: unknown[] = []
    const small = (most: number): FhirSession => ({ ...session, search: (type, parameters, options) => {
      if (type !== 'DocumentReference') return session.search(type, parameters, options)
      asked.push(parameters['_count'])
      return Number(parameters['_count'] ?? 20) > most ? Promise.reject(new ScreeningError('ERR_PHOTO_TOO_LARGE', 'x')) : session.search(type, parameters, options)
    } })
    expect(await findHandPhotos(small(20), 'pat-1')).toEqual([])
    expect(await findHandPhotos(small(1), 'pat-1')).toEqual([])
    expect(asked).toEqual([100, undefined, 100, undefined, 1])
  })

  test('are found one by one where a page of them is too large to be read at once; one that is too large itself is said to be', async () => {
    const inline = (id: string, megabytes: number) => media({ id, content: { contentType: 'image/jpeg', data: Buffer.alloc(megabytes * 1_000_000).toString('base64') } })
    const page = (photos: readonly Media[], next?: string) => ({
      type: 'application/fhir+json',
      body: Buffer.from(JSON.stringify({
        resourceType: 'Bundle', type: 'searchset', entry: photos.map((resource) => ({ resource })),
        ...(next ? { link: [{ relation: 'next', url: server.base + next }] } : {})
      }))
    })
    const [one, two, three] = [inline('one', 15), inline('two', 15), inline('three', 15)]
    server.raw.set('/Media?patient=pat-1', page([one, two, three]))
    server.raw.set('/Media?patient=pat-1&_count=1', page([one], '/Media?page=2'))
    server.raw.set('/Media?page=2', page([two], '/Media?page=3'))
    server.raw.set('/Media?page=3', page([three]))
    expect((await findHandPhotos(session, 'pat-1')).map(({ id }) => id).sort()).toEqual(['one', 'three', 'two'])
    // A later page, at the base itself as HAPI pages.
    server.raw.set('/Media?patient=pat-1', page([], '?_getpages=2'))
    server.raw.set('/?_getpages=2', page([one, two, three]))
    expect(await findHandPhotos(session, 'pat-1')).toHaveLength(3)
    server.raw.set('/Media?page=3', page([inline('four', 40)]))
    await expect(findHandPhotos(session, 'pat-1')).rejects.toEqual(code('ERR_PHOTO_TOO_LARGE'))
  }, 60_000)
})

describe('the bytes of a photo', () => {
  const photo = (attachment: HandPhoto['attachment'], id = 'm1'): HandPhoto => ({ resourceType: 'Media', id, attachment })
  beforeEach(() => {
    server.raw.set('/Binary/b1', { type: 'image/jpeg', body: pixels })
    server.raw.set('/Binary/b2', {
      type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Binary', contentType: 'image/jpeg', data: pixels.toString('base64') }))
    })
  })

  test.each(['Binary/b1', 'Binary/b2'])('come raw or in FHIR JSON (%s), by relative and by full address', async (url) => {
    for (const address of [url, `${server.base}/${url}`])
      expect(Buffer.from(await readPhotoBytes(session, photo({ url: address, size: pixels.length })))).toEqual(pixels)
  })

  test('come from a server that takes the type of FHIR alone and no list of types', async () => {
    server.refuse = ({ path, headers }) => path === '/Binary/b2' && headers.accept !== 'application/fhir+json' ? { status: 406, why: String(headers.accept) } : undefined
    expect(Buffer.from(await readPhotoBytes(session, photo({ url: 'Binary/b2' })))).toEqual(pixels)
  })

  test('are not this patient\'s where the record keeps them for another one', async () => {
    const kept = (reference: string) => ({
      type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Binary', contentType: 'image/jpeg', securityContext: { reference }, data: pixels.toString('base64') }))
    })
    server.raw.set('/Binary/b1', kept('Patient/pat-1'))
    server.raw.set('/Binary/b2', kept('Patient/pat-2'))
    server.raw.set('/Binary/b3', kept('Media/m1'))
    for (const url of ['Binary/b1', 'Binary/b3']) expect(Buffer.from(await readPhotoBytes(session, photo({ url }), 'pat-1'))).toEqual(pixels)
    await expect(readPhotoBytes(session, photo({ url: 'Binary/b2' }), 'pat-1')).rejects.toEqual(code('ERR_WRONG_PATIENT'))
  })

  test('in FHIR JSON may have line breaks, and are not taken from another Binary than the one that was asked for', async () => {
    const long = Buffer.alloc(200_000, 'a photo')
    const wrapped = (bytes: Buffer) => bytes.toString('base64').replace(/(.{76})/g, '$1\r\n')
    const answered = (path: string, members: object) => server.raw.set(path, { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Binary', contentType: 'image/jpeg', ...members })) })
    for (const bytes of [pixels, long]) {
      answered('/Binary/b1', { id: 'b1', securityContext: null, data: wrapped(bytes) })
      expect(Buffer.from(await readPhotoBytes(session, photo({ url: 'Binary/b1' }), 'pat-1')).equals(bytes)).toBe(true)
    }
    answered('/Binary/b1/_history/2', { id: 'b1', data: wrapped(pixels) })
    expect(Buffer.from(await readPhotoBytes(session, photo({ url: 'Binary/b1/_history/2' })))).toEqual(pixels)
    answered('/Binary/b1', { id: 'b9', data: wrapped(pixels) })
    await expect(readPhotoBytes(session, photo({ url: 'Binary/b1' }))).rejects.toEqual(code('ERR_EHR_ANSWER'))
    await expect(session.readBinary('b1')).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test('come out of the resource itself', async () => {
    const reference = await session.create(media({ content: { contentType: 'image/jpeg', data: pixels.toString('base64') } }))
    const [found] = await findHandPhotos(session, 'pat-1')
    expect(`Media/${found?.id}`).toBe(reference)
    expect(Buffer.from(await readPhotoBytes(session, found as HandPhoto))).toEqual(pixels)
  })

  test('come out of a resource of many megabytes, and a broken one is no photo', async () => {
    const photoBytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251))
    const body = (data: string) => Buffer.from(JSON.stringify(media({ id: 'large', content: { contentType: 'image/jpeg', data } })))
    server.raw.set('/Media/large', { type: 'application/fhir+json', body: body(photoBytes.toString('base64')) })
    expect(Buffer.from(await readPhotoBytes(session, { ...photo({}), id: 'large' })).equals(photoBytes)).toBe(true)
    server.raw.set('/Binary/large', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Binary', contentType: 'image/jpeg', data: photoBytes.toString('base64') })) })
    expect(Buffer.from(await readPhotoBytes(session, photo({ url: 'Binary/large' }))).equals(photoBytes)).toBe(true)
    server.raw.set('/Binary/large', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Binary', data: `${'A'.repeat(400_000)}*` })) })
    await expect(readPhotoBytes(session, photo({ url: 'Binary/large' }))).rejects.toEqual(code('ERR_EHR_ANSWER'))
    server.raw.set('/Media/large', { type: 'application/fhir+json', body: body(photoBytes.toString('base64')).subarray(0, 2_000_000) })
    await expect(readPhotoBytes(session, { ...photo({}), id: 'large' })).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test('are refused when size or hash differ from the record', async () => {
    await expect(readPhotoBytes(session, photo({ url: 'Binary/b1', size: 3 }))).rejects.toEqual(code('ERR_PHOTO_CORRUPT'))
    await expect(readPhotoBytes(session, photo({ url: 'Binary/b1', hash: 'AAAA' }))).rejects.toEqual(code('ERR_PHOTO_CORRUPT'))
  })

  test('are refused above 25 MB, announced or not', async () => {
    server.raw.set('/Binary/huge', { type: 'image/jpeg', body: Buffer.alloc(25_000_001) })
    await expect(readPhotoBytes(session, photo({ url: 'Binary/huge' }))).rejects.toEqual(code('ERR_PHOTO_TOO_LARGE'))
    const before = server.seen.length
    await expect(readPhotoBytes(session, photo({ url: 'Binary/b1', size: 25_000_001 }))).rejects.toEqual(code('ERR_PHOTO_TOO_LARGE'))
    expect(server.seen.length).toBe(before)
  })

  test('are not fetched from another server, unless the site lists it, and then without the token', async () => {
    canary.raw.set('/photo.jpg', { type: 'image/jpeg', body: pixels })
    const elsewhere = photo({ url: `${canary.base}/photo.jpg` })
    await expect(readPhotoBytes(session, elsewhere)).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    await expect(readPhotoBytes(session, photo({ url: '/../admin' }))).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toEqual([])
    await egress.close()
    session = open(fixedToken('secret-token'), { photoOrigins: [new URL(canary.base).origin] })
    expect(Buffer.from(await readPhotoBytes(session, elsewhere))).toEqual(pixels)
    expect(canary.seen.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })

  test('that are gone are an answer of their own', async () => {
    await expect(readPhotoBytes(session, photo({ url: 'Binary/gone' }))).rejects.toEqual(code('ERR_PHOTO_UNREACHABLE'))
  })
})
