import '../demo/sandbox.ts'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Media } from '@medplum/fhirtypes'
import fc from 'fast-check'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { marked } from 'marked'
import { startDemoEhr, type DemoEhr } from '../../demo/ehr.ts'
import type { Card } from '../../src/cds-hooks/protocol.ts'
import { answerFaults, emptyMembers, serviceFaults } from '../support/cds-rules.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { freePort } from '../support/free-port.ts'
import { startServiceProcess, type ServiceProcess } from '../support/service-process.ts'

/*
 * The rows of docs/conformance.md that concern CDS Hooks, against `jointlens serve` in a process of its own. Two EHRs: the demo
 * EHR, whose photos are really read, and a witness that writes down every request it gets.
 */
let ehr: DemoEhr
let witness: TestFhirServer
let canary: Server & { hits: number; origin: string }
let keyServer: Server & { hits: number; origin: string }
let service: ServiceProcess

const es384 = await generateKeyPair('ES384', { extractable: true })
const rs384 = await generateKeyPair('RS384', { extractable: true })
const keys = [{ ...(await exportJWK(es384.publicKey)), kid: 'ES384' }, { ...(await exportJWK(rs384.publicKey)), kid: 'RS384' }] as { kty: 'EC' | 'RSA'; kid: string }[]
const DEMO = 'https://demo-client.example'
const ROTATING = 'https://rotating-client.example'
const REDIRECTED = 'https://redirected-client.example'
const WITNESS = 'https://witness-client.example'
/** A CDS client in a browser: it names an address of its keys that nobody can reach, so that the site has them by hand. */
const BROWSER = { issuer: 'https://browser-client.example', jku: 'https://browser-client.example/.well-known/jwks.json', origin: 'https://chart.example' }
const FEEDBACK_SECRET = 's'.repeat(40)
const METRICS_SECRET = 'm'.repeat(40)
const MARK = `marker-${randomUUID()}`

beforeAll(async () => {
  const port = await freePort()
  canary = await startServer((_request, response) => { response.end('{}') })
  keyServer = await startServer(({ url }, response) => {
    if (url === '/jwks') return void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }))
    response.writeHead(302, { location: `${canary.origin}/jwks` }).end()
  })
  const rest = everything()
  witness = await startFhirServer({ ...rest, resource: [...(rest.resource ?? []), { type: 'Condition', interaction: [{ code: 'search-type' }], searchParam: [{ name: 'patient', type: 'reference' }] }] })
  ehr = await startDemoEhr({ port: 0, host: '127.0.0.1', jointlensUrl: `http://127.0.0.1:${port}` })
  const assisting = { mode: 'assist' as const, calibrationFile: 'demo/calibration.json', allowHttp: true, allowPrivateNetwork: true }
  service = await startServiceProcess(port, [
    { ...ehr.tenant, ...assisting, allowedOrigins: ['https://chart.example'], cdsClients: [...(ehr.tenant.cdsClients ?? []), { issuer: DEMO, keys }, { issuer: BROWSER.issuer, jku: BROWSER.jku, keys }] },
    { ...assisting, id: 'witness', name: 'Witness', fhirBase: witness.base, currentPhotoDays: 30, feedbackPage: { secretEnv: 'WITNESS_FEEDBACK' }, cdsClients: [
      { issuer: WITNESS, keys, audiences: ['typed-in-by-hand'] }, { issuer: ROTATING, jku: `${keyServer.origin}/jwks` }, { issuer: REDIRECTED, jku: `${keyServer.origin}/moved` }
    ] }
  ], { WITNESS_FEEDBACK: FEEDBACK_SECRET, METRICS_SECRET })
  await cardOf('demo-1')
}, 120_000)
afterAll(async () => {
  await service.close()
  await ehr.close()
  await witness.close()
  canary.close()
  keyServer.close()
})

async function startServer(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<typeof canary> {
  const server = Object.assign(createServer((request, response) => {
    server.hits++
    answer(request, response)
  }), { hits: 0, origin: '' })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return server
}

/** The call that the demo chart makes, with its prefetch. */
async function chartCall(patient: string, hook = 'hand-joints'): Promise<{ cards: Card[]; request: Record<string, unknown>; status: number }> {
  const { request, response, status } = await (await fetch(`${ehr.url}/demo/cds/${hook}?patient=${patient}`)).json() as { request: Record<string, unknown>; response: { cards: Card[] }; status: number }
  return { cards: response.cards, request, status }
}

/** The card with a result, once the photos were read. */
async function cardOf(patient: string): Promise<Card | undefined> {
  for (let time = 0; time < 240; time++) {
    const [card] = (await chartCall(patient)).cards
    if (card?.suggestions) return card
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  throw new Error(`Expected a result of ${patient} within a minute`)
}

/** Of all photos, by the service's own metrics. */
async function photosRead(): Promise<number> {
  const text = await (await fetch(`${service.url}/metrics`, { headers: { authorization: `Bearer ${METRICS_SECRET}` } })).text()
  return [...text.matchAll(/^jointlens_photo_read_seconds_count\{.*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
}

async function token(path: string, { issuer = WITNESS, alg = 'ES384', audience = service.url + path, jku }: { issuer?: string; alg?: 'ES384' | 'RS384'; audience?: string; jku?: string } = {}): Promise<string> {
  const at = Math.floor(Date.now() / 1000)
  return new SignJWT({ jti: randomUUID() }).setProtectedHeader({ alg, kid: alg, typ: 'JWT', ...(jku ? { jku } : {}) })
    .setIssuer(issuer).setAudience(audience).setIssuedAt(at).setExpirationTime(at + 300).sign((alg === 'ES384' ? es384 : rs384).privateKey)
}

async function post(path: string, body: unknown, { authorization, headers = {} }: { authorization?: string; headers?: Record<string, string> } = {}) {
  const response = await fetch(service.url + path, {
    method: 'POST', body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', authorization: `Bearer ${authorization ?? await token(path)}`, ...headers }
  })
  const text = await response.text()
  return { status: response.status, text, body: (text ? JSON.parse(text) : {}) as { cards: Card[]; resourceType?: string } }
}

const HOOK = '/cds-services/hand-joints'
const patientView = (change: Record<string, unknown> = {}) => ({
  hook: 'patient-view', hookInstance: randomUUID(), fhirServer: witness.base,
  context: { userId: 'Practitioner/example', patientId: 'pat-1' }, ...change
})
const authorization = (change: Record<string, unknown> = {}) => ({
  fhirAuthorization: { access_token: MARK, token_type: 'Bearer', expires_in: 300, scope: 'patient/*.rs', subject: 'jointlens', patient: 'pat-1', ...change }
})
const diagnosis = {
  resourceType: 'Condition', id: 'ra', subject: { reference: 'Patient/pat-1' }, clinicalStatus: { coding: [{ code: 'active' }] },
  code: { coding: [{ system: 'http://hl7.org/fhir/sid/icd-10-cm', code: 'M05.79' }] }
}
const photo = (change: Partial<Media> = {}): Media => ({
  resourceType: 'Media', id: 'm-1', status: 'completed', subject: { reference: 'Patient/pat-1' }, createdDateTime: new Date().toISOString(),
  bodySite: { text: 'Left hand' }, content: { contentType: 'image/jpeg', url: `${witness.base}/Binary/b-1` }, ...change
})
const searchset = (...resources: object[]) => ({ resourceType: 'Bundle', type: 'searchset', entry: resources.map((resource) => ({ resource })) })
const outcome = { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'forbidden' }] }

test('row 26: fifty calls at once for one patient start one reading of each photo', async () => {
  const before = await photosRead()
  const { request } = await chartCall('demo-5')
  const calls = Array.from({ length: 50 }, async () => post(HOOK, { ...request, hookInstance: randomUUID() }, { authorization: await token(HOOK, { issuer: DEMO }) }))
  expect(new Set((await Promise.all(calls)).map(({ status }) => status))).toEqual(new Set([200]))
  await cardOf('demo-5')
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(await photosRead() - before).toBe(4)
})

describe('discovery and JSON', () => {
  test('row 1: discovery lists the services with what the specification requires, and no member outside it', async () => {
    const discovery = await (await fetch(`${service.url}/cds-services`)).json() as { services: { id: string }[] }
    expect(serviceFaults(discovery)).toEqual([])
    expect(discovery.services.map(({ id }) => id)).toEqual(['hand-joints', 'hand-joints-encounter-start', 'hand-photo-request', 'hand-joints-order'])
  })

  test('row 2: nothing null and nothing empty in any answer', async () => {
    const answers: unknown[] = [await (await fetch(`${service.url}/cds-services`)).json()]
    for (const patient of ['demo-1', 'demo-2', 'demo-3', 'demo-4', 'demo-5']) answers.push({ cards: (await chartCall(patient)).cards })
    answers.push((await post(HOOK, patientView())).body, (await post('/cds-services/nothing', {})).body, (await post(HOOK, {})).body, (await post(HOOK, patientView(), { authorization: 'a.b.c' })).body)
    for (const answer of answers) expect(emptyMembers(answer)).toEqual([])
  })

  test('row 3: prefetch templates hold 2.0 tokens only and repeat no parameter', async () => {
    const { services } = await (await fetch(`${service.url}/cds-services`)).json() as { services: { prefetch: Record<string, string> }[] }
    for (const template of services.flatMap(({ prefetch }) => Object.values(prefetch))) {
      const names = [...new URLSearchParams(template.split('?')[1]).keys()]
      expect(new Set(names).size).toBe(names.length)
      expect([...template.matchAll(/\{\{(.+?)\}\}/g)].map(([, name]) => name)).toEqual(['context.patientId'])
    }
  })

  test('row 21: browsers of configured origins only, and never with credentials', async () => {
    const preflight = async (origin: string) => (await fetch(service.url + HOOK, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } })).headers
    expect((await preflight('https://chart.example')).get('access-control-allow-origin')).toBe('https://chart.example')
    for (const origin of ['https://evil.example', 'null', 'https://chart.example.evil.example', 'http://chart.example']) {
      const headers = await preflight(origin)
      expect(headers.get('access-control-allow-origin')).toBeNull()
      expect(headers.get('access-control-allow-credentials')).toBeNull()
    }
  })

  test('row 34: our public keys, and no private member', async () => {
    const response = await fetch(`${service.url}/.well-known/jwks.json`)
    const { keys: shown } = await response.json() as { keys: Record<string, string>[] }
    expect(shown.map(({ kid }) => kid)).toEqual([ehr.tenant.backend?.key.kid, ehr.tenant.smart?.key.kid])
    for (const key of shown) {
      expect([['EC', 'RSA'].includes(key['kty'] ?? ''), key['use']]).toEqual([true, 'sig'])
      expect(Object.keys(key).filter((name) => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].includes(name))).toEqual([])
    }
    expect(response.headers.get('cache-control')).toBe('public, max-age=300')
  })

  test('row 65: nothing of the 3.0 ballot in 2.0 mode', async () => {
    const text = JSON.stringify([await (await fetch(`${service.url}/cds-services`)).json(), await chartCall('demo-1')])
    expect(text).not.toMatch(/"(version|hookVersion|actionSelectionBehavior)"/)
  })
})

describe('row 4: prefetch that is whole, missing, null, an error or a first page', () => {
  const conditions = searchset(diagnosis)
  const photos = () => searchset(photo())
  const cases: [string, () => Record<string, unknown> | undefined, string[]][] = [
    ['all of it: nothing is read', () => ({ conditions, photos: photos() }), []],
    ['none: both are read', () => undefined, ['Condition', 'Media']],
    ['one: the other is read', () => ({ conditions }), ['Media']],
    ['null is no data', () => ({ conditions, photos: null }), ['Media']],
    ['an OperationOutcome is no data', () => ({ conditions: outcome, photos: photos() }), ['Condition']],
    ['a first page of conditions: the rest is read', () => ({ conditions: { ...searchset(), link: [{ relation: 'next', url: `${witness.base}/Condition?page=2` }] }, photos: photos() }), ['Condition']],
    ['something that is no FHIR at all', () => ({ conditions: 'yes', photos: 7 }), ['Condition', 'Media']]
  ]
  beforeAll(async () => {
    await witness.repository.createResource(diagnosis as never)
    await witness.repository.createResource(photo())
  })

  test.each(cases)('%s', async (_name, prefetch, read) => {
    const before = witness.seen.length
    const { status, body } = await post(HOOK, patientView({ ...authorization(), ...(prefetch() ? { prefetch: prefetch() } : {}) }))
    expect(status).toBe(200)
    expect(answerFaults(body)).toEqual([])
    expect(body.cards).toHaveLength(1)
    const asked = witness.seen.slice(before).filter(({ path, headers }) => path !== '/metadata' && headers.authorization === `Bearer ${MARK}`).map(({ path }) => path.slice(1))
    expect([...new Set(asked)].sort()).toEqual(read)
  })

  test.each<[string, () => Record<string, unknown>]>([
    ['a condition that is none', () => ({ conditions: searchset({ resourceType: 'Condition', id: 7, code: 'RA', subject: 'pat-1' }, diagnosis), photos: photos() })],
    ['codes that are null and numbers', () => ({ conditions: searchset({ ...diagnosis, code: { coding: [null, { system: null, code: 714 }, ...diagnosis.code.coding] } }), photos: photos() })],
    ['times without seconds or zone', () => ({ conditions: searchset({ ...diagnosis, onsetDateTime: '2011-03-04 10:00', recordedDate: '2011-03-04T10:00' }), photos: searchset(photo({ id: 'm-3', createdDateTime: '2026-11-20T08:12' }), photo()) })],
    ['entries that are null or hold nothing', () => ({ conditions: { ...conditions, entry: [null, {}, ...conditions.entry] }, photos: { ...photos(), entry: [null, { resource: null }, ...photos().entry] } })],
    ['a link without a relation', () => ({ conditions: { ...conditions, link: [null, { url: 'x' }] }, photos: photos() })]
  ])('one odd thing in it neither silences nor fails the hook: %s', async (_name, prefetch) => {
    const { status, body } = await post(HOOK, patientView({ prefetch: prefetch() }))
    expect([status, answerFaults(body), body.cards?.length]).toEqual([200, [], 1])
  })

  test.each([
    ['a child', { resourceType: 'Patient', id: 'pat-1', birthDate: '2015-05-05' }, 0], ['an adult', { resourceType: 'Patient', id: 'pat-1', birthDate: '1970-05-05' }, 1],
    ['another patient', { resourceType: 'Patient', id: 'pat-2', birthDate: '2015-05-05' }, 1], ['nobody', { resourceType: 'Patient', id: 'pat-1', birthDate: null }, 1], ['an error', outcome, 1]
  ])('of the patient it looks at the age alone, and asks for nothing: %s', async (_name, patient, cards) => {
    const before = witness.seen.length
    const { status, body } = await post(HOOK, patientView({ ...authorization(), prefetch: { conditions, photos: photos(), patient } }))
    expect([status, body.cards.length, witness.seen.slice(before).filter(({ path, headers }) => path !== '/metadata' && headers.authorization === `Bearer ${MARK}`)]).toEqual([200, cards, []])
  })

  test('pages are followed on the FHIR server alone: the token never goes elsewhere (row 24)', async () => {
    witness.pageSize = 1
    witness.next = (url) => url.replace(witness.base, `${canary.origin}/fhir`)
    await witness.repository.createResource(photo({ id: 'm-2' }))
    const { status } = await post(HOOK, patientView({ ...authorization(), prefetch: { conditions } }))
    witness.pageSize = undefined
    witness.next = (url) => url
    expect([200, 412]).toContain(status)
    expect(canary.hits).toBe(0)
  })
})

/** Every place in a JSON value, as the names that lead there. */
function placesIn(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  return [at, ...(typeof value === 'object' && value !== null ? Object.entries(value).flatMap(([name, inner]) => placesIn(inner, [...at, name])) : [])]
}

/** The value with another one, or none, at a place. */
function changedAt(value: unknown, [name, ...rest]: readonly string[], to: unknown): unknown {
  if (name === undefined || typeof value !== 'object' || value === null) return name === undefined ? to : value
  const copy = (Array.isArray(value) ? [...value as unknown[]] : { ...value }) as Record<string, unknown>
  copy[name] = changedAt(copy[name], rest, to)
  return copy
}

test('row 4: whatever prefetch holds, the answer is a good card or a clear refusal, and never of another patient', async () => {
  const { request } = await chartCall('demo-1')
  const places = placesIn(request['prefetch'])
  const odd = fc.constantFrom<unknown>(
    undefined, null, [], {}, [null], '', 'demo-2', 'Patient/demo-2', 'https://evil.example/fhir/Patient/demo-1', -1, 1e308, true, '\u0000', '\ud800', '<script>alert(1)</script>',
    { constructor: { prototype: 1 } }, 'x'.repeat(5_000), '9999-99-99T99:99:99Z', '+275760-09-13T00:00:00Z', '0001-01-01', outcome, searchset(), { resourceType: 'Bundle', entry: [{}, { resource: null }] }
  )
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(...places), odd), { minLength: 1, maxLength: 3 }), fc.boolean(), async (changes, authorized) => {
    const prefetch = changes.reduce<unknown>((value, [place, to]) => changedAt(value, place, to), request['prefetch'])
    const { fhirAuthorization: _token, ...bare } = request
    const { status, body, text } = await post(HOOK, { ...(authorized ? request : bare), prefetch, hookInstance: randomUUID() }, { authorization: await token(HOOK, { issuer: DEMO, alg: 'RS384' }) })
    expect([200, 400, 412]).toContain(status)
    if (status === 200) expect([...answerFaults(body), ...emptyMembers(body)]).toEqual([])
    else expect(body.resourceType).toBe('OperationOutcome')
    expect(text).not.toMatch(/demo-2|<script/)
  }), { numRuns: 150 })
}, 120_000)

describe('row 5: what is required and cannot be had is 412 with an OperationOutcome and nothing of our insides', () => {
  test.each([
    ['no prefetch, no token', () => ({})],
    ['a token that was revoked', () => {
      witness.fault = ({ path }) => path === '/metadata' ? undefined : '401'
      return authorization()
    }],
    ['a token without the scopes (row 23)', () => {
      witness.refuse = ({ path }) => path === '/Media' || path === '/DocumentReference' || path === '/DiagnosticReport' ? { status: 403, why: 'no scope' } : undefined
      return { ...authorization({ scope: 'patient/Condition.read' }), prefetch: { conditions: searchset(diagnosis) } }
    }],
    ['a FHIR server that answers nonsense', () => {
      witness.fault = ({ path }) => path === '/metadata' ? undefined : 'html-200'
      return authorization()
    }]
  ])('%s', async (_name, change) => {
    const { status, body, text } = await post(HOOK, patientView(change()))
    witness.fault = () => undefined
    witness.refuse = () => undefined
    expect([status, body.resourceType]).toEqual([412, 'OperationOutcome'])
    expect(text).not.toMatch(/\bat \S+\.ts|node_modules|127\.0\.0\.1/)
  })
})

describe('cards', () => {
  test('row 6: nothing to say is an empty list of cards', async () => {
    expect((await chartCall('demo-4')).cards).toEqual([])
    expect((await post(HOOK, patientView({ prefetch: { conditions: searchset(), photos: searchset() } }))).body).toEqual({ cards: [] })
  })

  test.each(['demo-1', 'demo-2', 'demo-3', 'demo-5'])('row 9: the card of %s keeps every rule of the specification', async (patient) => {
    for (const hook of ['hand-joints', 'hand-joints-encounter-start', 'hand-joints-order']) {
      const { cards, status } = await chartCall(patient, hook)
      expect([status, answerFaults({ cards })]).toEqual([200, []])
    }
  })

  test('row 10: a renderer that lets HTML through shows text and our table, and nothing of what the record says becomes markup', async () => {
    const { cards } = await chartCall('demo-1')
    const html = await marked.parse(cards[0]?.detail ?? '', { gfm: true })
    expect(html).toContain('<table>')
    const tags = [...html.matchAll(/<\/?([a-z0-9]+)([^>]*)>/gi)]
    expect([...new Set(tags.map(([, name]) => name))].filter((name) => !['p', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'strong', 'em', 'ul', 'li'].includes(name ?? ''))).toEqual([])
    expect(tags.filter(([, , attributes]) => /\bon\w+=|javascript:/i.test(attributes ?? ''))).toEqual([])
  })

  test('row 12: the link to the app reveals no patient', async () => {
    const { cards } = await chartCall('demo-1')
    const [link] = cards[0]?.links ?? []
    expect(link).toMatchObject({ type: 'smart', url: `${service.url}/smart/launch` })
    expect(JSON.stringify(link)).not.toMatch(/demo-1|Patient|One/)
  })

  test('row 15: a suggestion that was accepted and reported is in the record once', async () => {
    const card = await cardOf('demo-2')
    const accept = () => fetch(`${ehr.url}/demo/accept`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ patient: 'demo-2', card: card?.uuid, suggestion: card?.suggestions?.[0]?.uuid })
    })
    const first = await (await accept()).json() as { status: string; resources: { resourceType: string; id: string }[] }
    expect(first.resources.filter(({ resourceType }) => resourceType === 'Observation')).toHaveLength(23)
    const again = await (await accept()).json() as typeof first
    expect([first.status, again.status]).toEqual(['written', 'already'])
    expect(again.resources.map(({ id }) => id)).toEqual(first.resources.map(({ id }) => id))
    // An EHR that compares no identifiers would write another set.
    for (const hook of ['hand-joints', 'hand-joints-encounter-start']) {
      const [next] = (await chartCall('demo-2', hook)).cards
      expect([next?.suggestions, next?.links.length]).toEqual([undefined, 1])
      expect(next?.detail).toMatch(/The suggestion was accepted on \d+ \w+, as the EHR reports/)
    }
    await service.restart('SIGKILL')
    expect((await chartCall('demo-2')).cards[0]?.suggestions).toBeUndefined()
  })

  test('row 15: what the record shows is not offered for recording, though nobody reported that it was accepted', async () => {
    const { cards: [card], request } = await chartCall('demo-5')
    const results = (card?.suggestions?.[0]?.actions ?? []).map(({ resource }) => resource).filter((one) => one.resourceType === 'Observation' && one.code.coding?.some(({ code }) => code === 'hand-sjc-22-suggestion'))
    expect([results.length, request['prefetch']]).toEqual([1, expect.objectContaining({ results: expect.objectContaining({ resourceType: 'Bundle' }) as unknown })])
    const call = async (resources: readonly object[]) => {
      const prefetch = { ...request['prefetch'] as object, results: searchset(...resources) }
      return (await post(HOOK, { ...request, prefetch, fhirAuthorization: undefined, hookInstance: randomUUID() }, { authorization: await token(HOOK, { issuer: DEMO }) })).body.cards[0]
    }
    expect((await call([]))?.suggestions).toHaveLength(1)
    const next = await call(results)
    expect([next?.suggestions, next?.links.length]).toEqual([undefined, 1])
    expect(next?.detail).toContain('This suggestion is in the record already.')
  })

  test('row 27: the day of the photos is shown', async () => {
    const { cards } = await chartCall('demo-5')
    expect(cards[0]?.detail).toMatch(/Photos taken .+ \((today|yesterday|\d+ days? ago)\)/)
  })
})

describe.each(['ES384', 'RS384'] as const)('a CDS client in a browser, with %s', (alg) => {
  const send = async (path: string, { method = 'POST', body }: { method?: string; body?: unknown } = {}) => {
    const response = await fetch(service.url + path, {
      method, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: {
        origin: BROWSER.origin, accept: 'application/json, text/plain, */*', authorization: `Bearer ${await token(path, { issuer: BROWSER.issuer, jku: BROWSER.jku, alg })}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json;charset=utf-8' })
      }
    })
    const text = await response.text()
    return { status: response.status, origin: response.headers.get('access-control-allow-origin'), body: (text ? JSON.parse(text) : {}) as { cards: Card[]; services: { id: string; hook: string }[] } }
  }
  const patientId = { ES384: 'demo-1', RS384: 'demo-5' }[alg]
  const view = async (change: object = {}) => {
    const { request: { prefetch, fhirServer } } = await chartCall(patientId)
    return { hookInstance: randomUUID(), hook: 'patient-view', fhirServer, context: { patientId, userId: 'Practitioner/COREPRACTITIONER1' }, prefetch, ...change }
  }

  test.each([['GET', '/cds-services', 'authorization'], ['POST', HOOK, 'authorization,content-type'], ['POST', `${HOOK}/feedback`, 'authorization,content-type']])(
    'asks before %s of %s, and is let in', async (method, path, headers) => {
      const answer = await fetch(service.url + path, { method: 'OPTIONS', headers: { origin: BROWSER.origin, 'access-control-request-method': method, 'access-control-request-headers': headers } })
      const allowed = (name: string) => (answer.headers.get(`access-control-allow-${name}`) ?? '').toLowerCase().split(/, */)
      expect([answer.status, allowed('origin')]).toEqual([204, [BROWSER.origin]])
      expect(allowed('methods')).toContain(method.toLowerCase())
      expect(allowed('headers')).toEqual(expect.arrayContaining(headers.split(',')))
    })

  test('finds the services, is given the card with all that its buttons need, and reports what became of it', async () => {
    const { body: { services }, ...discovery } = await send('/cds-services', { method: 'GET' })
    expect(discovery).toEqual({ status: 200, origin: BROWSER.origin })
    for (const { id } of services.filter(({ hook }) => hook === 'patient-view')) {
      const { status, origin, body } = await send(`/cds-services/${id}`, { body: await view() })
      expect([status, origin, answerFaults(body), body.cards.length]).toEqual([200, BROWSER.origin, [], 1])
      const [card] = body.cards
      const [suggestion, link] = [card?.suggestions?.[0], card?.links[0]]
      for (const one of [card?.uuid, card?.source.label, suggestion?.uuid, suggestion?.label, link?.type === 'smart' && link.appContext]) expect(one).toEqual(expect.any(String))
      expect(card?.selectionBehavior).toBe('at-most-one')
      const { code, system, display } = card?.overrideReasons?.[0] ?? {}
      const next = async (event: object) => {
        const feedback = [{ card: card?.uuid, outcome: 'overridden', outcomeTimestamp: new Date().toISOString(), ...event }]
        expect((await send(`/cds-services/${id}/feedback`, { body: { feedback } })).status).toBe(200)
        return (await send(`/cds-services/${id}`, { body: await view() })).body.cards[0]
      }
      // Dismissed without a word, it comes again as it was; with a reason it is calm.
      expect(await next({})).toMatchObject({ summary: card?.summary, indicator: card?.indicator, suggestions: [{}] })
      for (const event of [{ overrideReason: { reason: { code } } }, { overrideReason: { reason: { code, system } } }, { overrideReason: { reason: { code, system, display: null }, userComment: null }, acceptedSuggestions: null }]) {
        const calm = await next(event)
        expect([calm?.indicator, calm?.suggestions, calm?.links.length, answerFaults({ cards: [calm] })]).toEqual(['info', undefined, 1, []])
        expect(calm?.detail).toContain(`set this suggestion aside, as the EHR reports, and gave a reason: “${display}”`)
      }
    }
    // What was set aside beside the chart is not set aside at check-in.
    const [card] = (await chartCall(patientId, 'hand-joints-encounter-start')).cards
    expect([card?.suggestions?.length, card?.detail.includes('set this suggestion aside')]).toEqual([1, false])
  })

  test('can read why it is refused', async () => {
    const refused = await Promise.all([send('/cds-services/nothing', { body: {} }), send(HOOK, { body: {} }), send(HOOK, { method: 'GET' })])
    expect(refused.map(({ status, origin }) => [status, origin])).toEqual([404, 400, 405].map((status) => [status, BROWSER.origin]))
    const stranger = await fetch(service.url + HOOK, { method: 'POST', headers: { origin: BROWSER.origin, authorization: 'Bearer x' } })
    expect([stranger.status, stranger.headers.get('access-control-allow-origin')]).toEqual([401, BROWSER.origin])
  })

  test.each<[string, object]>([
    ['members that are not set are null', { fhirAuthorization: null, extension: null }],
    ['a token comes with less than the specification wants', { fhirAuthorization: { access_token: MARK, token_type: 'Bearer', patient: null } }],
    ['the encounter is null', { context: { patientId, userId: 'PractitionerRole/1', encounterId: null } }],
    ['the encounter is written as a reference', { context: { patientId, userId: 'Practitioner/1', encounterId: 'Encounter/1' } }]
  ])('is answered when %s', async (_name, change) => {
    const { status, body } = await send(HOOK, { body: await view(change) })
    expect([status, answerFaults(body), body.cards?.length]).toEqual([200, [], 1])
    for (const { resource } of body.cards[0]?.suggestions?.[0]?.actions ?? []) expect(JSON.stringify(resource)).not.toContain('Encounter/')
  })
})

describe('who calls', () => {
  test.each(['ES384', 'RS384'] as const)('row 17: %s on discovery, service and feedback', async (alg) => {
    const view = patientView({ prefetch: { conditions: searchset(), photos: searchset() } })
    expect((await post(HOOK, view, { authorization: await token(HOOK, { alg }) })).status).toBe(200)
    const feedback = { feedback: [{ card: randomUUID(), outcome: 'overridden', outcomeTimestamp: '2026-11-24T09:00:00Z' }] }
    expect((await post(`${HOOK}/feedback`, feedback, { authorization: await token(`${HOOK}/feedback`, { alg }) })).status).toBe(200)
  })

  test('row 18: the audience is our public address whatever the request calls itself, or what the site typed in', async () => {
    const spoofed = await token(HOOK, { audience: `https://evil.example${HOOK}` })
    for (const headers of [{ 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }, { forwarded: 'host=evil.example;proto=https' }])
      expect((await post(HOOK, patientView(), { authorization: spoofed, headers })).status).toBe(401)
    expect(await statusWithHost('evil.example', spoofed)).toBe(401)
    expect((await post(HOOK, patientView({ prefetch: { conditions: searchset(), photos: searchset() } }), { authorization: await token(HOOK, { audience: 'typed-in-by-hand' }) })).status).toBe(200)
  })

  test('row 19: keys come from the registered address alone: no other jku is asked, and no redirect followed', async () => {
    const view = patientView({ prefetch: { conditions: searchset(), photos: searchset() } })
    const status = async (change: Parameters<typeof token>[1]) => (await post(HOOK, view, { authorization: await token(HOOK, change) })).status
    expect(await status({ issuer: ROTATING, jku: `${keyServer.origin}/jwks` })).toBe(200)
    expect(await status({ issuer: ROTATING })).toBe(200)
    expect(keyServer.hits).toBe(1)
    expect(await status({ issuer: ROTATING, jku: `${canary.origin}/jwks` })).toBe(401)
    expect(await status({ issuer: WITNESS, jku: `${canary.origin}/jwks` })).toBe(401)
    expect(await status({ issuer: REDIRECTED, jku: `${keyServer.origin}/moved` })).toBe(401)
    expect(canary.hits).toBe(0)
  })

  test('row 16: of discovery, service and feedback a stranger gets the same 401 without a reason', async () => {
    const stranger = await token(HOOK, { issuer: 'https://stranger.example' })
    const answers = await Promise.all([post(HOOK, patientView(), { authorization: stranger }), post(`${HOOK}/feedback`, { feedback: [] }, { authorization: stranger }), post(HOOK, 'x', { authorization: 'x' })])
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(answers[0]?.status).toBe(401)
  })

  test("row 24: a client calls for its own tenant's FHIR server and no other", async () => {
    const { status } = await post(HOOK, patientView({ fhirServer: canary.origin, ...authorization() }))
    expect(status).toBe(400)
    expect(canary.hits).toBe(0)
  })

  test.each(['SIGTERM', 'SIGKILL'] as const)('row 20: a token that was used is refused after a restart by %s', async (signal) => {
    const used = await token(HOOK)
    const view = patientView({ prefetch: { conditions: searchset(), photos: searchset() } })
    expect((await post(HOOK, view, { authorization: used })).status).toBe(200)
    await service.restart(signal)
    expect((await post(HOOK, view, { authorization: used })).status).toBe(401)
    expect((await post(HOOK, view)).status).toBe(200)
  })
})

describe('what is called wrongly', () => {
  test.each<[string, string, Record<string, unknown>, number]>([
    ['an unknown service', '/cds-services/nothing', {}, 404],
    ['the hook of another service', HOOK, { hook: 'encounter-start', context: { userId: 'Practitioner/1', patientId: 'pat-1', encounterId: 'e' } }, 400],
    ['a booking without appointments', '/cds-services/hand-photo-request', { hook: 'appointment-book' }, 400],
    ['an order without orders', '/cds-services/hand-joints-order', { hook: 'order-select' }, 400],
    ['a visit without its encounter', '/cds-services/hand-joints-encounter-start', { hook: 'encounter-start' }, 400],
    ['a user of an unknown kind', HOOK, { context: { userId: 'Robot/1', patientId: 'pat-1' } }, 400]
  ])('row 25: %s', async (_name, path, change, expected) => {
    const { status, body } = await post(path, patientView(change))
    expect([status, body.resourceType]).toEqual([expected, 'OperationOutcome'])
  })

  test('row 64: an error is an OperationOutcome that shows nothing of what was sent', async () => {
    for (const body of ['{', '[]', 'null', `{"hook":"${MARK}"}`, JSON.stringify(patientView({ hookInstance: MARK })), '\u0000', '9'.repeat(400)]) {
      const response = await fetch(service.url + HOOK, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${await token(HOOK)}` }, body })
      const text = await response.text()
      expect(response.status).toBe(400)
      expect(JSON.parse(text)).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ severity: 'error' }] })
      expect(text).not.toContain(MARK)
    }
  })
})

test('row 14: feedback that was answered with 200 is there after the process is killed at once', async () => {
  const overridden = async () => {
    const { rates } = await (await feedbackOf('witness', `Bearer ${FEEDBACK_SECRET}`)).json() as { rates: { overridden: number; reasons: Record<string, number> }[] }
    return rates.reduce((sum, { reasons }) => sum + (reasons['other-cause'] ?? 0), 0)
  }
  const event = () => ({ card: randomUUID(), outcome: 'overridden', overrideReason: { reason: { code: 'other-cause' } }, outcomeTimestamp: new Date().toISOString() })
  expect(await overridden()).toBe(0)
  expect((await post(`${HOOK}/feedback`, { feedback: Array.from({ length: 5 }, event) })).status).toBe(200)
  await service.restart('SIGKILL')
  expect(await overridden()).toBe(5)
})

const feedbackOf = (tenant: string, authorization?: string, accept = 'application/json') =>
  fetch(`${service.url}/feedback/${tenant}`, { headers: { accept, ...(authorization ? { authorization } : {}) } })

test('what clinicians did with the cards is shown to whoever knows the secret of their site, and of no other', async () => {
  const basic = (password: string) => `Basic ${Buffer.from(`somebody:${password}`).toString('base64')}`
  for (const authorization of [basic(FEEDBACK_SECRET), `Bearer ${FEEDBACK_SECRET}`]) {
    const found = await feedbackOf('witness', authorization)
    expect([found.status, found.headers.get('www-authenticate')]).toEqual([200, null])
    expect(await found.json()).toMatchObject({ id: 'witness', rates: expect.any(Array) as unknown })
  }
  const page = await (await feedbackOf('witness', basic(FEEDBACK_SECRET), 'text/html')).text()
  expect(page).toContain('<h2>Witness</h2>')
  expect(page).not.toContain('Demo')
  const refusals = await Promise.all([
    ['witness'], ['witness', basic('x')], ['witness', `Bearer ${'x'.repeat(40)}`], ['witness', 'Basic ='], ['witness', `Bearer ${await token(HOOK)}`],
    ['demo', basic(FEEDBACK_SECRET)], ['demo', basic('')], ['nobody', basic(FEEDBACK_SECRET)], ['nobody']
  ].map(async ([tenant = '', authorization]) => {
    const { status, headers, ...answer } = await feedbackOf(tenant, authorization).then(async (found) => ({ status: found.status, headers: found.headers, text: await found.text() }))
    return JSON.stringify([status, headers.get('www-authenticate'), answer.text])
  }))
  expect(new Set(refusals).size).toBe(1)
  expect(refusals[0]).toContain('401')
  expect(refusals[0]).toContain('Basic realm')
  expect((await fetch(`${service.url}/feedback`)).status).toBe(404)
})

test('metrics are for whoever knows their secret, where there is one', async () => {
  const asked = async (authorization?: string) => {
    const { status, headers } = await fetch(`${service.url}/metrics`, { headers: authorization ? { authorization } : {} })
    return [status, headers.get('www-authenticate')]
  }
  expect(await asked(`Bearer ${METRICS_SECRET}`)).toEqual([200, null])
  for (const authorization of [undefined, `Bearer ${FEEDBACK_SECRET}`, `Bearer ${METRICS_SECRET}x`, METRICS_SECRET.slice(1)]) expect(await asked(authorization)).toEqual([401, 'Bearer'])
  for (const path of ['/livez', '/readyz']) expect((await fetch(service.url + path)).status).toBe(200)
})

test('row 22: no token of a call is in what the service writes, keeps or answers', async () => {
  const jwt = await token(HOOK)
  const { text } = await post(HOOK, patientView(authorization()), { authorization: jwt })
  await post(HOOK, { ...patientView(authorization()), context: {} })
  await service.restart('SIGTERM')
  const everything = [text, service.output(), service.kept()].join('\n')
  expect(everything).toContain('witness')
  expect(everything).not.toContain(MARK)
  expect(everything).not.toContain(FEEDBACK_SECRET)
  expect(everything).not.toContain(METRICS_SECRET)
  expect(everything).not.toContain(jwt.split('.')[2])
})

/** fetch sets Host itself. */
function statusWithHost(host: string, authorization: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(service.url + HOOK, { method: 'POST', headers: { host, 'content-type': 'application/json', authorization: `Bearer ${authorization}` } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(patientView()))
  })
}

