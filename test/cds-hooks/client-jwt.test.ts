import { createHmac, KeyObject, randomUUID, sign } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { CompactSign, createLocalJWKSet, exportJWK, exportSPKI, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { openClientVerifier } from '../../src/cds-hooks/client-jwt.ts'
import { makeConfig, makeTenant, type TenantConfig } from '../../src/config.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { KEYS, NOW, openCdsHouse, patientView, publicKeys, signed } from '../support/cds-house.ts'
import { openTestStore } from '../support/test-store.ts'

let store: Store
let cds: Awaited<ReturnType<typeof openCdsHouse>>
let url: string

beforeAll(async () => { store = await openTestStore() })
afterAll(() => store.close())
beforeEach(async () => {
  cds = await openCdsHouse(store)
  url = `${cds.publicUrl}/cds-services/hand-joints`
})
afterEach(() => cds.close())

const status = async (token: string) => (await cds.post('/hand-joints', patientView(), { token })).status
const at = Math.floor(NOW / 1000)
const encode = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const claims = () => ({ iss: 'https://ehr.example', aud: url, iat: at, exp: at + 300, jti: randomUUID() })

describe('tokens that are accepted', () => {
  test.each(['ES384', 'RS384'] as const)('signed with %s', async (alg) => {
    expect(await status(await signed(url, { alg }))).toBe(200)
  })
  test('of Epic: 900 seconds, nbf and sub beside, aud as a list', async () => {
    expect(await status(await signed(url, { alg: 'RS384', claims: { aud: ['other', url], exp: at + 870, iat: at - 20, nbf: at - 20, sub: 'x' } }))).toBe(200)
  })
  test('with an audience that the site typed in by hand', async () => {
    await cds.close()
    cds = await openCdsHouse(store, { cdsClients: [{ issuer: 'https://ehr.example', jku: 'https://ehr.example/jwks', audiences: ['jointlens'], algorithms: ['ES384'] }] })
    expect(await status(await signed('jointlens'))).toBe(200)
  })
  test('a few seconds past their end, for clocks that differ', async () => {
    expect(await status(await signed(url, { claims: { exp: at - 10, iat: at - 310 } }))).toBe(200)
  })
})

describe('hostile tokens get one and the same 401', () => {
  const hostile: Record<string, () => Promise<string> | string> = {
    'no signature (alg none)': () => `${encode({ alg: 'none', typ: 'JWT', kid: 'es' })}.${encode(claims())}.x`,
    'HS256 with the public key as secret': async () => {
      const head = `${encode({ alg: 'HS256', typ: 'JWT', kid: 'rs' })}.${encode(claims())}`
      return `${head}.${createHmac('sha256', await exportSPKI(KEYS.RS384.publicKey)).update(head).digest('base64url')}`
    },
    'HS384 with the public key as secret': async () => {
      const head = `${encode({ alg: 'HS384', typ: 'JWT', kid: 'rs' })}.${encode(claims())}`
      return `${head}.${createHmac('sha384', await exportSPKI(KEYS.RS384.publicKey)).update(head).digest('base64url')}`
    },
    'an unlisted algorithm': async () => new SignJWT(claims()).setProtectedHeader({ alg: 'RS256', kid: 'rs', typ: 'JWT' }).sign((await generateKeyPair('RS256')).privateKey),
    'another key': async () => new SignJWT(claims()).setProtectedHeader({ alg: 'ES384', kid: 'es', typ: 'JWT' }).sign((await generateKeyPair('ES384')).privateKey),
    'its own key in the header (jwk)': async () => {
      const pair = await generateKeyPair('ES384', { extractable: true })
      return new SignJWT(claims()).setProtectedHeader({ alg: 'ES384', kid: 'es', typ: 'JWT', jwk: await exportJWK(pair.publicKey) }).sign(pair.privateKey)
    },
    'a foreign jku': () => signed(url, { header: { jku: 'https://evil.example/jwks' } }),
    'a jku that begins like ours': () => signed(url, { header: { jku: 'https://ehr.example/jwks/../evil' } }),
    'crit': () => `${encode({ alg: 'ES384', kid: 'es', typ: 'JWT', crit: ['exp'] })}.${encode(claims())}.AAAA`,
    'b64': () => `${encode({ alg: 'ES384', kid: 'es', typ: 'JWT', b64: false })}.${encode(claims())}.AAAA`,
    'alg twice': () => `${encode('{"alg":"none","alg":"ES384","kid":"es","typ":"JWT"}')}.${encode(claims())}.AAAA`,
    'alg twice, once in escapes': () => {
      const head = `${encode('{"al\\u0067":"none","alg":"RS384","kid":"rs","typ":"JWT"}')}.${encode(claims())}`
      return `${head}.${sign('sha384', Buffer.from(head), KeyObject.from(KEYS.RS384.privateKey)).toString('base64url')}`
    },
    'a kid that is a path': () => signed(url, { header: { kid: '../../etc/passwd' } }),
    'a kid with SQL': () => signed(url, { header: { kid: "es' or 1=1 --" } }),
    'an unknown kid': () => signed(url, { header: { kid: 'other' } }),
    'no kid': () => signed(url, { header: { kid: undefined } }),
    'typ at+jwt': () => signed(url, { header: { typ: 'at+jwt' } }),
    'no typ': () => signed(url, { header: { typ: undefined } }),
    'an unknown issuer': () => signed(url, { claims: { iss: 'https://evil.example' } }),
    'an issuer that ends with a slash': () => signed(url, { claims: { iss: 'https://ehr.example/' } }),
    'another audience': () => signed(`${cds.publicUrl}/cds-services/hand-joints-order`),
    'an audience that is only a beginning': () => signed(cds.publicUrl),
    'an audience with a slash behind': () => signed(`${url}/`),
    'no exp': () => signed(url, { omit: ['exp'] }),
    'no iat': () => signed(url, { omit: ['iat'] }),
    'no jti': () => signed(url, { omit: ['jti'] }),
    'no aud': () => signed(url, { omit: ['aud'] }),
    'expired': () => signed(url, { claims: { exp: at - 60, iat: at - 400 } }),
    'iat of an hour ago with a far exp': () => signed(url, { claims: { iat: at - 3600, exp: at + 315_360_000 } }),
    'iat in the future': () => signed(url, { claims: { iat: at + 3600, exp: at + 3900 } }),
    'nbf in the future': () => signed(url, { claims: { nbf: at + 3600 } }),
    'exp as text': () => signed(url, { claims: { exp: String(at + 300) as unknown as number } }),
    'a jti that is too long': () => signed(url, { claims: { jti: 'x'.repeat(201) } }),
    '16 kB': () => signed(url, { claims: { padding: 'x'.repeat(16_400) } }),
    'a JWE': () => 'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d',
    'a signature that was changed': async () => (await signed(url)).replace(/.{6}$/, 'AAAAAA'),
    'claims that were changed': async () => (await signed(url)).split('.').map((part, index) => (index === 1 ? encode({ ...claims(), iss: 'https://ehr.example', sub: 'me' }) : part)).join('.'),
    'words': () => 'not a token'
  }
  test.each(Object.entries(hostile))('%s', async (_name, make) => {
    const { status: code, text } = await cds.post('/hand-joints', patientView(), { token: await make() })
    expect([code, text]).toEqual([401, expect.stringContaining('"ERR_UNAUTHORIZED"')])
    expect(text).toBe((await cds.post('/hand-joints', patientView(), { token: 'x' })).text)
  })

  test('no token at all', async () => {
    expect((await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).status).toBe(401)
  })

  test('a token that was used before', async () => {
    const token = await signed(url)
    expect([await status(token), await status(token)]).toEqual([200, 401])
  })

  test('a token used a hundred times at once works once', async () => {
    const token = await signed(url)
    const all = await Promise.all(Array.from({ length: 100 }, () => status(token)))
    expect(all.filter((code) => code === 200)).toHaveLength(1)
  })
})

describe('an issuer that calls for several organisations', () => {
  const client = { issuer: 'https://ehr.example', jku: 'https://ehr.example/jwks' }
  const north = makeTenant({ id: 'north', name: 'North', fhirBase: 'https://ehr.example/north', cdsClients: [{ ...client, tenant: 'Org|North 7' }] })
  const south = makeTenant({ id: 'south', name: 'South', fhirBase: 'https://ehr.example/south', cdsClients: [client] })
  const calledFor = async (tenants: readonly TenantConfig[], tenant?: unknown) => {
    const verifier = openClientVerifier({ tenants, fetchKeys: publicKeys, jti: { use: () => Promise.resolve(true) }, clock: () => NOW })
    const token = await signed('here', { claims: tenant === undefined ? {} : { tenant } })
    return verifier.verify(`Bearer ${token}`, 'here', 'anywhere').then((found) => found.tenant.id, ({ code }: { code: string }) => code)
  }

  test.each([
    ['Org|North 7', 'north'], ['north', 'ERR_UNAUTHORIZED'], ['south', 'south'], ['another', 'ERR_UNAUTHORIZED'], [undefined, 'ERR_UNAUTHORIZED'], [['south'], 'ERR_UNAUTHORIZED']
  ])('is known by the claim of its token: %j is %s', async (claim, found) => {
    expect(await calledFor([north, south], claim)).toBe(found)
  })

  test('is let in for the one that the site named, and for no other, also where it is the only one', async () => {
    expect([await calledFor([north], 'Org|North 7'), await calledFor([north], 'Org|West 1'), await calledFor([north])]).toEqual(['north', 'ERR_UNAUTHORIZED', 'ERR_UNAUTHORIZED'])
    expect([await calledFor([south]), await calledFor([south], 'whatever it says')]).toEqual(['south', 'south'])
  })

  test('stands once in the settings for each of them: two would shut each other out', () => {
    const config = { host: 'h', port: 0, publicUrl: 'http://h', dataDir: 'd', modelDir: 'm', device: 'cpu', profile: 'development', logLevel: 'silent' } as const
    expect(makeConfig({ ...config, tenants: [north, south] }).tenants).toHaveLength(2)
    expect(() => makeConfig({ ...config, tenants: [{ ...south, cdsClients: [...south.cdsClients, ...south.cdsClients] }] })).toThrow(/cdsClients once but received \["https:\/\/ehr.example","south"\] twice/)
  })
})

describe('keys', () => {
  test('that are rotated are fetched again, once, however many tokens name the new one', async () => {
    expect(await status(await signed(url))).toBe(200)
    const fresh = await generateKeyPair('ES384', { extractable: true })
    cds.house.keys = { keys: [...cds.house.keys.keys, { ...(await exportJWK(fresh.publicKey)), kid: 'new', alg: 'ES384' }] }
    cds.house.now += 31_000
    const token = () => new SignJWT({ ...claims(), iat: at + 31, exp: at + 331 }).setProtectedHeader({ alg: 'ES384', kid: 'new', typ: 'JWT' }).sign(fresh.privateKey)
    expect(await Promise.all([token(), token(), token()].map(async (one) => status(await one)))).toEqual([200, 200, 200])
    expect(cds.house.keyFetches).toBe(2)
  })

  test('that cannot be fetched for a while stay known', async () => {
    expect(await status(await signed(url))).toBe(200)
    cds.house.now += 3_600_000
    cds.house.keysAnswer = false
    expect(await status(await signed(url, { claims: { iat: at + 3600, exp: at + 3900 } }))).toBe(200)
  })

  test('that are known are looked after beside the call: a key set that hangs makes nobody wait', async () => {
    expect(await status(await signed(url))).toBe(200)
    cds.house.now += 660_000
    cds.house.keysHang = true
    expect(await status(await signed(url, { claims: { iat: at + 660, exp: at + 960 } }))).toBe(200)
    expect(cds.house.keyFetches).toBe(2)
  })

  test('an unknown kid does not make us fetch with every call', async () => {
    for (let time = 0; time < 20; time++) await status(await signed(url, { header: { kid: `other-${time}` } }))
    expect(cds.house.keyFetches).toBe(1)
  })
})

/** The settings of security.md for jose, a second reader of the same token. */
const asJoseReads = {
  algorithms: ['RS384', 'ES384'], issuer: 'https://ehr.example', audience: ['here', 'typed'],
  requiredClaims: ['iss', 'aud', 'exp', 'iat', 'jti'], maxTokenAge: 900, clockTolerance: 30, typ: 'JWT', currentDate: new Date(NOW)
}
const times = fc.constantFrom(undefined, null, 'x', 0, ...[-100_000, -931, -930, -929, -31, -30, -29, 0, 29, 30, 31, 100_000].map((seconds) => at + seconds))
const mostly = <T>(usual: T, others: fc.Arbitrary<unknown>) => fc.oneof({ weight: 6, arbitrary: fc.constant<unknown>(usual) }, { weight: 1, arbitrary: others })
const anyToken = fc.record({
  alg: fc.constantFrom('ES384' as const, 'RS384' as const),
  kid: mostly('own', fc.constantFrom('es', 'rs', 'twice', 'for-encryption', 'short', 'no such')),
  typ: mostly('JWT', fc.constantFrom('jwt', 'at+jwt', undefined)),
  aud: mostly('here', fc.constantFrom('typed', 'her', 'here/', ['other', 'here'], [], ['other'], [['here']], null, 1, { here: true }, undefined)),
  iss: mostly('https://ehr.example', fc.constantFrom('https://ehr.example/', undefined)),
  exp: mostly(at + 300, times), iat: mostly(at, times), nbf: mostly(undefined, times),
  jti: mostly('fresh', fc.constantFrom(undefined, '', 'a', 7)),
  broken: mostly('', fc.constantFrom('signature', 'claims'))
})

test('whatever a token says: it is let in exactly when jose, under the settings of the specification, takes it too, and its id is text', async () => {
  const short = await generateKeyPair('RS384', { modulusLength: 2048, extractable: true })
  const { keys: [es, rs] } = await publicKeys()
  const weak = { kty: 'RSA', n: (await exportJWK(short.publicKey)).n?.slice(0, 171), e: 'AQAB', kid: 'short' }
  const keys = { keys: [es, rs, { ...es, kid: 'twice' }, { ...es, kid: 'twice' }, { ...rs, kid: 'for-encryption', use: 'enc' }, weak].filter((one) => one !== undefined) } as Parameters<typeof createLocalJWKSet>[0]
  const tenant = makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', cdsClients: [{ issuer: 'https://ehr.example', jku: 'https://ehr.example/jwks', audiences: ['typed'] }] })
  const verifier = openClientVerifier({ tenants: [tenant], fetchKeys: () => Promise.resolve(keys), jti: { use: () => Promise.resolve(true) }, clock: () => NOW, refusedPerSecond: 100_000 })
  const known = createLocalJWKSet(keys)
  let taken = 0
  await fc.assert(fc.asyncProperty(anyToken, async ({ alg, kid, typ, broken, jti, ...claims }) => {
    const payload = { ...claims, jti: jti === 'fresh' ? randomUUID() : jti }
    const header = { alg, kid: kid === 'own' ? alg.slice(0, 2).toLowerCase() : kid as string, ...(typ === undefined ? {} : { typ: typ as string }) }
    const whole = await new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader(header).sign(KEYS[alg].privateKey)
    const token = broken === '' ? whole : broken === 'signature' ? `${whole.slice(0, -8)}AAAAAAAA` : whole.replace(/\.[\w-]+\./, `.${encode({ ...payload, more: 1 })}.`)
    const ours = await verifier.verify(`Bearer ${token}`, 'here', 'anywhere').then(() => true, () => false)
    const theirs = await jwtVerify(token, known, asJoseReads).then(({ payload: read }) => read, () => undefined)
    const soundId = typeof theirs?.jti === 'string' && theirs.jti.length > 0
    const exact = typ === 'JWT'
    expect([ours, payload, header]).toEqual([theirs !== undefined && soundId && exact, payload, header])
    if (ours) taken++
  }), { numRuns: 300, seed: 20_261_126 })
  expect(taken).toBeGreaterThan(25)
})
