import { afterEach, describe, expect, test } from '@jest/globals'
import { setTimeout as sleep } from 'node:timers/promises'
import { startWitness, type Witness, type WitnessOptions } from './witness/witness.ts'
import type { Mode, Rule } from './witness/modes.ts'

let witness: Witness
afterEach(() => witness.close())

const observation = { resourceType: 'Observation', status: 'preliminary', identifier: [{ system: 'urn:s', value: 'one' }], subject: { reference: 'Patient/pat-1' } }

async function open(rules: readonly Rule[] = [], options: WitnessOptions = {}) {
  witness = await startWitness(options)
  witness.faults(rules)
}

async function call(path: string, init: RequestInit = {}) {
  return fetch(`${witness.base}${path}`, { redirect: 'manual', ...init })
}

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  call(path, { method: 'POST', body: JSON.stringify(body), headers })

const bundle = (type: 'batch' | 'transaction', count: number) => ({
  resourceType: 'Bundle', type,
  entry: Array.from({ length: count }, (_, index) => ({
    fullUrl: `urn:uuid:${index}`, resource: { ...observation, identifier: [{ system: 'urn:s', value: `${index}` }], hasMember: [{ reference: 'urn:uuid:0' }] },
    request: { method: 'POST', url: 'Observation' }
  }))
})

const live = () => witness.finalState().statements.length
const last = () => witness.events.at(-1)

describe('without a fault', () => {
  test('creates, reads, updates, finds and keeps the versions of a resource', async () => {
    await open()
    const created = await post('/Observation', observation)
    const { id } = await created.json() as { id: string }
    expect([created.status, created.headers.get('location')]).toEqual([201, `${witness.base}/Observation/${id}/_history/1`])
    const updated = await call(`/Observation/${id}`, { method: 'PUT', body: JSON.stringify({ ...observation, id, status: 'cancelled' }), headers: { 'if-match': 'W/"1"' } })
    expect(updated.status).toBe(200)
    expect((await call(`/Observation/${id}`, { method: 'PUT', body: JSON.stringify({ ...observation, id }), headers: { 'if-match': 'W/"1"' } })).status).toBe(412)
    expect(await (await call(`/Observation/${id}/_history/1`)).json()).toMatchObject({ status: 'preliminary' })
    expect(await (await call('/Observation?identifier=urn:s|one,urn:s|two')).json()).toMatchObject({ total: 1, entry: [{ resource: { id, status: 'cancelled' } }] })
    expect(await (await call('/Observation?patient=another')).json()).toMatchObject({ total: 0 })
    expect(last()).toMatchObject({ decision: 'answered', status: 200, path: '/Observation' })
    expect(witness.events.filter(({ decision }) => decision === 'committed').map(({ commits }) => commits[0]?.version)).toEqual([1, 2])
  })

  test('a condition on create holds where it is offered, and is ignored where it is not', async () => {
    await open()
    const condition = { 'if-none-exist': 'identifier=urn:s|one' }
    expect([(await post('/Observation', observation, condition)).status, (await post('/Observation', observation, condition)).status]).toEqual([201, 200])
    await witness.close()
    await open([], { profile: 'single' })
    await post('/Observation', observation, condition)
    await post('/Observation', observation, condition)
    expect(live()).toBe(2)
  })

  test('a transaction resolves references inside it, and is refused where it is not offered', async () => {
    await open()
    await post('/', bundle('transaction', 3))
    const { statements } = witness.finalState()
    expect(statements.map(({ members }) => members)).toEqual(Array(3).fill([`Observation/${statements[0]?.id}`]))
    await witness.close()
    await open([], { profile: 'batch' })
    expect((await post('/', bundle('transaction', 3))).status).toBe(400)
  })

  test('a batch of questions is answered entry by entry, and rules for such questions act on theirs', async () => {
    await open([{ mode: 'wrong-subject', method: 'GET', path: '/Observation', from: 3 }])
    const { id } = await (await post('/Observation', observation)).json() as { id: string }
    const asked = { resourceType: 'Bundle', type: 'batch', entry: [`Observation/${id}`, 'Observation/gone', 'Observation?patient=pat-1'].map((url) => ({ request: { method: 'GET', url } })) }
    const answer = await (await post('/', asked)).json() as { entry: unknown[] }
    expect(answer.entry).toMatchObject([
      { resource: { id, subject: { reference: 'Patient/pat-1' } }, response: { status: '200' } }, { response: { status: '404' } },
      { resource: { type: 'searchset', total: 1, entry: [{ resource: { subject: { reference: 'Patient/somebody-else' } } }] }, response: { status: '200' } }
    ])
    expect([last()?.commits, witness.acted.get('wrong-subject')]).toEqual([[], 1])
    witness.faults([{ mode: '503', method: 'GET', path: '/' }, { mode: '500', method: 'POST', path: '/' }])
    expect((await post('/', asked)).status).toBe(503)
  })

  test('answers in pages, and refuses a search parameter that /metadata does not list', async () => {
    await open([], { pageSize: 2, profile: 'patient-search' })
    for (let one = 0; one < 3; one++) await post('/Observation', observation)
    const page = await (await call('/Observation?patient=pat-1')).json() as { entry: unknown[]; link: { url: string }[] }
    expect(page.entry).toHaveLength(2)
    expect(await (await fetch(page.link[0]?.url ?? '')).json()).toMatchObject({ entry: [{}] })
    expect((await call('/Observation?identifier=urn:s|one')).status).toBe(400)
  })

  test('a search finds a new resource only after the index lag; a read finds it at once', async () => {
    await open([], { indexLagMs: 1_000 })
    const { id } = await (await post('/Observation', observation)).json() as { id: string }
    expect(await (await call('/Observation?patient=pat-1')).json()).toMatchObject({ total: 0 })
    expect((await call(`/Observation/${id}`)).status).toBe(200)
    await sleep(1_050)
    expect(await (await call('/Observation?patient=pat-1')).json()).toMatchObject({ total: 1 })
  })

  test('a token is good for so many requests', async () => {
    await open([], { requestsPerToken: 2 })
    const token = async () => ((await (await post('/token', {})).json()) as { access_token: string }).access_token
    const ask = async (bearer: string) => (await call('/Observation', { headers: { authorization: `Bearer ${bearer}` } })).status
    const first = await token()
    expect([await ask(first), await ask(first), await ask(first)]).toEqual([200, 200, 401])
    expect(await ask(await token())).toBe(200)
    expect(await ask(first)).toBe(401)
  })
})

/** What the client sees and how many resources are there afterwards; `cut` when the connection ended without an answer. */
const WRITES: readonly [Mode, { status: number | 'cut'; committed: number; body?: RegExp }][] = [
  ['commit-then-500', { status: 500, committed: 1 }],
  ['commit-then-reset', { status: 'cut', committed: 1 }],
  ['commit-then-hang', { status: 'cut', committed: 1 }],
  ['drop-before-commit', { status: 'cut', committed: 0 }],
  ['401', { status: 401, committed: 0 }], ['403', { status: 403, committed: 0 }], ['409', { status: 409, committed: 0 }],
  ['412', { status: 412, committed: 0 }], ['422', { status: 422, committed: 0 }], ['500', { status: 500, committed: 0 }],
  ['502', { status: 502, committed: 0 }], ['entry-422', { status: 422, committed: 0 }],
  ['redirect', { status: 307, committed: 0 }],
  ['truncated', { status: 201, committed: 1, body: /^\{[^}]*$/ }],
  ['empty', { status: 201, committed: 1, body: /^$/ }],
  ['null', { status: 201, committed: 1, body: /^null$/ }],
  ['number', { status: 201, committed: 1, body: /^42$/ }],
  ['html', { status: 201, committed: 1, body: /^<html>/ }],
  ['wrong-type', { status: 201, committed: 1, body: /Basic/ }],
  ['wrong-id', { status: 201, committed: 1, body: /"id":"another"/ }],
  ['wrong-subject', { status: 201, committed: 1, body: /somebody-else/ }]
]

describe('each fault does what it says', () => {
  test.each(WRITES)('%s', async (mode, { status, committed, body }) => {
    await open([{ mode, method: 'POST', path: '/Observation', delayMs: 20 }])
    const answer = await post('/Observation', observation).catch(() => undefined)
    expect(answer?.status ?? 'cut').toBe(status)
    if (body) expect(await answer?.text()).toMatch(body)
    expect(live()).toBe(committed)
    expect(last()).toMatchObject({ mode, decision: committed ? 'committed' : status === 'cut' ? 'dropped' : 'refused' })
    expect(witness.acted.get(mode)).toBe(1)
    expect((await post('/Observation', observation)).status).toBe(201)
  })

  test('commit-late commits after the client has gone', async () => {
    await open([{ mode: 'commit-late', method: 'POST', path: '/Observation', delayMs: 100 }])
    await expect(call('/Observation', { method: 'POST', body: JSON.stringify(observation), signal: AbortSignal.timeout(20) })).rejects.toThrow()
    expect(live()).toBe(0)
    while (live() === 0) await sleep(20)
    expect(live()).toBe(1)
  })

  test.each<[string, boolean]>([['2', true], ['date', true], ['soon', false]])('429 with Retry-After %s says when to come again: %s', async (form, said) => {
    const retryAfter = form === 'date' ? new Date(Date.now() + 2_000).toUTCString() : form
    await open([{ mode: '429', retryAfter }])
    const answer = await call('/Observation')
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, retryAfter])
    expect((last()?.notBefore ?? 0) > Date.now()).toBe(said)
  })

  test('redirect and a foreign next lead to the canary, which writes down who follows', async () => {
    await open([{ mode: 'redirect' }, { mode: 'next-elsewhere' }])
    await fetch((await call('/Media')).headers.get('location') ?? '')
    expect(last()).toMatchObject({ decision: 'canary' })
    const page = await (await call('/Media')).json() as { link: { url: string }[] }
    await fetch(page.link[0]?.url ?? '')
    expect(witness.events.filter(({ decision }) => decision === 'canary')).toHaveLength(2)
  })

  test('next-self names the page that was asked for', async () => {
    await open([{ mode: 'next-self' }])
    expect(await (await call('/Media?patient=a')).json()).toMatchObject({ link: [{ url: `${witness.base}/Media?patient=a` }] })
  })

  test('next-missing gives a first page without the way to the second, and no-entries an answer in which nothing was found', async () => {
    await open([{ mode: 'next-missing' }, { mode: 'no-entries' }], { pageSize: 1 })
    for (let time = 0; time < 2; time++) await post('/Observation', observation)
    witness.faults([{ mode: 'next-missing' }])
    expect(await (await call('/Observation?patient=pat-1')).json()).toMatchObject({ entry: [{}], link: [] })
    witness.faults([{ mode: 'no-entries' }])
    expect(await (await call('/Observation?patient=pat-1')).json()).toEqual({ resourceType: 'Bundle', type: 'searchset', total: 0 })
    expect(await (await call('/Observation?patient=pat-1')).json()).toMatchObject({ entry: [{}], link: [{ relation: 'next' }] })
  })

  test('entry-422 undoes a whole transaction, and one entry of a batch', async () => {
    await open([{ mode: 'entry-422', times: 2 }])
    expect((await post('/', bundle('transaction', 6))).status).toBe(422)
    expect(live()).toBe(0)
    expect(await (await post('/', bundle('batch', 6))).json()).toMatchObject({ entry: [{}, {}, {}, {}, {}, { response: { status: '422' } }] })
    expect(live()).toBe(5)
  })

  test('batch-answer keeps what a transaction would have undone', async () => {
    await open([{ mode: 'batch-answer' }])
    expect(await (await post('/', bundle('transaction', 7))).json()).toMatchObject({ type: 'batch-response' })
    expect(live()).toBe(6)
  })

  test('reordered answers the entries back to front', async () => {
    await open([{ mode: 'reordered' }])
    const { entry } = await (await post('/', bundle('transaction', 2))).json() as { entry: { response: { location: string } }[] }
    expect(entry.map(({ response }) => response.location)).toEqual(['Observation/w2/_history/1', 'Observation/w1/_history/1'])
  })

  test('wrong-content-type, slow-bytes and gzip-bomb', async () => {
    await open([{ mode: 'wrong-content-type' }, { mode: 'slow-bytes' }, { mode: 'gzip-bomb' }])
    expect((await call('/Media')).headers.get('content-type')).toBe('application/fhir+xml')
    await expect(call('/Media', { signal: AbortSignal.timeout(100) }).then((answer) => answer.text())).rejects.toThrow()
    const bomb = await call('/Media')
    expect([bomb.headers.get('content-encoding'), last()?.bytes ?? 0]).toEqual(['gzip', expect.any(Number)])
    expect(last()?.bytes).toBeLessThan(1_000_000)
    await bomb.body?.cancel()
  })
})

test('a naive writer makes duplicates: at once on a racy server, and by repeating what it lost the answer of', async () => {
  await open([], { racy: true })
  const condition = { 'if-none-exist': 'identifier=urn:s|one' }
  await Promise.all(Array.from({ length: 8 }, () => post('/Observation', observation, condition)))
  expect(live()).toBeGreaterThan(1)
  await witness.close()
  await open([{ mode: 'commit-then-500' }], { profile: 'transaction' })
  const naive = async (): Promise<void> => {
    if ((await post('/', bundle('transaction', 23))).status >= 500) await naive()
  }
  await naive()
  expect(live()).toBe(46)
})
