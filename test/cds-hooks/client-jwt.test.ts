import { createHmac, randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'
import { KEYS, NOW, openCdsHouse, patientView, signed } from '../support/cds-house.ts'

let store: Store
let cds: Awaited<ReturnType<typeof openCdsHouse>>
let url: string

beforeAll(async () => { store = await openStore({ memory: true }) })
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

  test('an unknown kid does not make us fetch with every call', async () => {
    for (let time = 0; time < 20; time++) await status(await signed(url, { header: { kid: `other-${time}` } }))
    expect(cds.house.keyFetches).toBe(1)
  })
})
