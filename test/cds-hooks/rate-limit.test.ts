import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { networkOf } from '../../src/cds-hooks/rate-limit.ts'
import { readConfig } from '../../src/config.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { ISSUER, JKU, openCdsHouse, patientView, signed, type Signing } from '../support/cds-house.ts'
import { openTestStore } from '../support/test-store.ts'

let store: Store
let cds: Awaited<ReturnType<typeof openCdsHouse>>

beforeAll(async () => { store = await openTestStore() })
afterAll(() => store.close())
afterEach(() => cds.close())

const PROXY = ['127.0.0.1']
const hook = () => `${cds.publicUrl}/cds-services/hand-joints`
const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })
const call = async (address: string) => cds.post('/hand-joints', patientView(), from(address))
/** A token in the honest client's name that somebody else signed. */
const forged = async () => (await signed(hook())).replace(/.{6}$/, 'AAAAAA')
const forge = async (address: string) => cds.post('/hand-joints', patientView(), { token: await forged(), ...from(address) })

async function flood(address: string, times = 100): Promise<readonly number[]> {
  const statuses: number[] = []
  for (let time = 0; time < times; time++) statuses.push((await forge(address)).status)
  return statuses
}

describe('who forges tokens in the name of an issuer', () => {
  test('is told to wait, before another signature is looked at, and the issuer goes on from elsewhere', async () => {
    cds = await openCdsHouse(store, {}, { trustedProxies: PROXY, callsPerSecond: 5 })
    const statuses = await flood('203.0.113.7')
    expect(statuses.slice(0, 60)).toEqual(Array(60).fill(401))
    expect(statuses.slice(60)).toEqual(Array(40).fill(429))
    const { status, headers, text } = await forge('203.0.113.7')
    expect([status, headers.get('retry-after'), text]).toEqual([429, '1', expect.stringContaining('ERR_RATE_LIMITED')])
    expect((await call('198.51.100.1')).status).toBe(200)
    cds.house.now += 3_000
    expect((await forge('203.0.113.7')).status).toBe(401)
  })

  test('owes every signature that we looked at, however many came at once', async () => {
    cds = await openCdsHouse(store, {}, { trustedProxies: PROXY })
    const tokens = await Promise.all(Array.from({ length: 200 }, forged))
    const answers = await Promise.all(tokens.map((token) => cds.post('/hand-joints', patientView(), { token, ...from('203.0.113.7') })))
    const looked = answers.filter(({ status }) => status === 401).length
    expect(looked).toBeGreaterThanOrEqual(60)
    const { headers } = await forge('203.0.113.7')
    expect(Number(headers.get('retry-after'))).toBe(Math.max(1, Math.ceil((looked - 59) / 20)))
  })

  test('gains nothing by another address of its IPv6 network, nor by a token that was used before', async () => {
    cds = await openCdsHouse(store, {}, { trustedProxies: PROXY })
    const used = await signed(hook())
    for (let time = 0; time < 61; time++) await cds.post('/hand-joints', patientView(), { token: used, ...from(`2001:db8:0:1::${time.toString(16)}`) })
    expect((await call('2001:db8:0:1:ffff::1')).status).toBe(429)
    expect((await call('2001:db8:0:2::1')).status).toBe(200)
  })

  test.each<[string, Signing]>([
    ['that nobody has', { claims: { iss: 'https://nobody.example' } }], ['of the client, with another key', { header: { kid: 'other' } }],
    ['of the client, with another key set', { header: { jku: 'https://evil.example/jwks' } }], ['of the client, by an algorithm that is not its own', { alg: 'RS384' }],
    ['of the client, for an organisation that is not ours', { claims: { tenant: 'elsewhere' } }]
  ])('cannot tell whose names are known here: a name %s', async (_name, signing) => {
    cds = await openCdsHouse(store, { cdsClients: [{ issuer: ISSUER, jku: JKU, audiences: [], algorithms: ['ES384'], tenant: 'clinic' }] }, { trustedProxies: PROXY })
    const answers: (readonly [number, string])[] = []
    for (let time = 0; time < 62; time++) {
      const { status, text } = await cds.post('/hand-joints', patientView(), { token: await signed(hook(), { ...signing, claims: { tenant: 'clinic', ...signing.claims } }), ...from('203.0.113.7') })
      answers.push([status, text])
    }
    expect(answers.map(([status]) => status)).toEqual([...Array<number>(60).fill(401), 429, 429])
    expect(new Set(answers.map(([, text]) => text)).size).toBe(2)
    const honest = async (address: string) => (await cds.post('/hand-joints', patientView(), { token: await signed(hook(), { claims: { tenant: 'clinic' } }), ...from(address) })).status
    expect(await honest('198.51.100.1')).toBe(200)
  })

  test('cannot choose its address where no proxy is trusted', async () => {
    cds = await openCdsHouse(store)
    for (let time = 0; time < 61; time++) await forge(`203.0.113.${time}`)
    expect((await forge('203.0.113.200')).status).toBe(429)
  })
})

test('an issuer that calls too often is told when to come again, and browsers may read it', async () => {
  cds = await openCdsHouse(store, {}, { callsPerSecond: 2 })
  const statuses: number[] = []
  for (let time = 0; time < 7; time++) statuses.push((await call('')).status)
  expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 429])
  const { headers } = await cds.post('/hand-joints', patientView(), { headers: { origin: 'https://chart.example' } })
  expect([headers.get('retry-after'), headers.get('access-control-expose-headers')]).toEqual(['1', 'retry-after'])
  cds.house.now += 1_000
  expect((await call('')).status).toBe(200)
})

test('an address that calls too often waits, whoever it says it is', async () => {
  cds = await openCdsHouse(store, {}, { trustedProxies: PROXY, callsPerAddress: 1 })
  const discover = async (address: string) => (await fetch(`${cds.publicUrl}/cds-services`, from(address))).status
  const statuses: number[] = []
  for (let time = 0; time < 4; time++) statuses.push(await discover('203.0.113.7'))
  expect([statuses, await discover('203.0.113.8')]).toEqual([[200, 200, 200, 429], 200])
})

test.each([
  ['203.0.113.7', '203.0.113.7'], ['::ffff:203.0.113.7', '203.0.113.7'], ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'], ['2001:db8:1:2::', '2001:db8:1:2'], ['::1', '0:0:0:0'], ['fe80::1%eth0', 'fe80:0:0:0'], ['', '']
])('the network of %j is %j', (address, network) => {
  cds = { close: () => Promise.resolve() } as typeof cds
  expect(networkOf(address)).toBe(network)
})

test('TRUSTED_PROXIES takes addresses and networks, and nothing else', () => {
  cds = { close: () => Promise.resolve() } as typeof cds
  expect(readConfig({ TRUSTED_PROXIES: '10.0.0.0/8, 127.0.0.1,2001:db8::/32' }).trustedProxies).toEqual(['10.0.0.0/8', '127.0.0.1', '2001:db8::/32'])
  expect(readConfig({}).trustedProxies).toEqual([])
  for (const wrong of ['all', '10.0.0.0/33', '10.0.0', 'true', '10.0.0.0/8/8'])
    expect(() => readConfig({ TRUSTED_PROXIES: wrong })).toThrow('TRUSTED_PROXIES')
})
