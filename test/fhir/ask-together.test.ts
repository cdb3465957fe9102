import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { askTogether, type Question } from '../../src/fhir/ask-together.ts'
import { fixedToken, type TokenSource } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: TestFhirServer
let egress: Egress
let session: FhirSession
let ids: readonly [left: string, right: string]

beforeEach(() => open())
afterEach(close)

async function open(rest = everything()): Promise<void> {
  server = await startFhirServer(rest)
  egress = egressForTenant(loopbackTenant(server.base))
  session = openFhirSession({ tenant: loopbackTenant(server.base), egress, tokens: fixedToken('t') })
  ids = [await put('left'), await put('right')]
}

async function close(): Promise<void> {
  await egress.close()
  await server.close()
}

async function put(side: string): Promise<string> {
  const { id = '' } = await server.repository.createResource({
    resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-1' }, bodySite: { text: `${side} hand` }, content: { contentType: 'image/jpeg' }
  })
  return id
}

const questions = (): readonly Question[] => [...ids.map((id) => ({ type: 'Media' as const, id })), { type: 'Media', parameters: { patient: 'pat-1' } }]
const asked = () => server.seen.map(({ method, path, query }) => `${method} ${path}${query}`).filter((one) => one !== 'GET /metadata')

/** What a caller learns: both photos, and how many a search finds. */
async function learnt(from: FhirSession): Promise<readonly unknown[]> {
  const read = async (id: string) => (await from.read('Media', id)).bodySite?.text
  return [await read(ids[0]), await read(ids[1]), (await from.search('Media', { patient: 'pat-1' })).length]
}
const RIGHT = ['left hand', 'right hand', 2]
const oneByOne = () => [...ids.map((id) => `GET /Media/${id}`), 'GET /Media?patient=pat-1']

test('several questions are asked in one request, and each answer is given once', async () => {
  const together = await askTogether(session, questions())
  expect(await learnt(together)).toEqual(RIGHT)
  expect(asked()).toEqual(['POST /'])
  expect(server.seen.at(-1)?.headers['cache-control']).toBe('no-cache')
  expect(await learnt(together)).toEqual(RIGHT)
  expect(asked()).toEqual(['POST /', ...oneByOne()])
})

test('nothing is asked together of a server that lists no batches', async () => {
  await close()
  await open({ ...everything(), interaction: [{ code: 'transaction' }] })
  expect(await learnt(await askTogether(session, questions()))).toEqual(RIGHT)
  expect(asked()).toEqual(oneByOne())
})

const refused = { response: { status: '405 Method Not Allowed' } }
const bundle = (entry: readonly unknown[]) => JSON.stringify({ resourceType: 'Bundle', type: 'batch-response', entry })
test.each<[string, number | string]>([
  ['refuses them', 405], ['fails over them', 500], ['takes no such bodies', 400], ['answers in another format', '<html>'], ['answers nothing', ''],
  ['refuses each', bundle([refused, refused, refused])], ['answers fewer', bundle([])], ['answers null', bundle([null, null, null])]
])('a server that lists batches of questions and %s is asked one by one, and not together again', async (_what, answer) => {
  server.refuse = ({ path }) => typeof answer === 'number' && path === '/' ? { status: answer, why: 'no' } : undefined
  if (typeof answer === 'string') server.raw.set('/', { type: 'application/fhir+json', body: Buffer.from(answer) })
  for (let time = 0; time < 2; time++) expect(await learnt(await askTogether(session, questions()))).toEqual(RIGHT)
  expect(asked()).toEqual(['POST /', ...oneByOne(), ...oneByOne()])
})

test('what is answered in another order, by something else or in part is not believed', async () => {
  const found = await Promise.all(ids.map((id) => session.read('Media', id)))
  const page = (entry: readonly object[], more: object = {}) => ({ resourceType: 'Bundle', type: 'searchset', entry, ...more })
  const ok = (resource: object | undefined) => ({ resource, response: { status: '200 OK' } })
  const next = { link: [{ relation: 'next', url: `${server.base}/Media?page=2` }] }
  const wrong = [
    [ok(found[1]), ok(found[0]), ok(page([], next))], [ok(page([])), ok(undefined), ok(found[0])], [ok({ ...found[0], resourceType: 'Basic' }), ok(page([])), ok(page([{ resource: { resourceType: 'Patient', id: 'p' } }]))]
  ]
  for (const answer of wrong) {
    server.raw.set('/', { type: 'application/fhir+json', body: Buffer.from(bundle([...answer])) })
    const fresh = egressForTenant(loopbackTenant(server.base))
    const asking = openFhirSession({ tenant: loopbackTenant(server.base), egress: fresh, tokens: fixedToken('t') })
    expect(await learnt(await askTogether(asking, questions()))).toEqual(RIGHT)
    await fresh.close()
  }
})

test('what is gone is asked for by itself, so that the server says so, and the rest is believed', async () => {
  await server.repository.deleteResource('Media', ids[1])
  const together = await askTogether(session, questions())
  await expect(together.read('Media', ids[1])).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  expect((await together.read('Media', ids[0])).bodySite?.text).toBe('left hand')
  expect(asked()).toEqual(['POST /', `GET /Media/${ids[1]}`])
})

test('a token that is over is renewed, as for any question, and nothing counts as a write', async () => {
  let renewed = 0
  const tokens: TokenSource = { token: () => Promise.resolve(`t${renewed}`), invalidate: () => { renewed++ } }
  server.refuse = ({ headers }) => headers.authorization === 'Bearer t0' ? { status: 401, why: 'expired' } : undefined
  const written: string[] = []
  const asking = openFhirSession({ tenant: loopbackTenant(server.base), egress, tokens, repeatCreates: false, beforeWrite: () => written.push('write') })
  renewed = 1
  await asking.capabilities()
  renewed = 0
  expect(await learnt(await askTogether(asking, questions()))).toEqual(RIGHT)
  expect([asked(), written]).toEqual([['POST /', 'POST /'], []])
})
