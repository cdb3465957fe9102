import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose'
import type { SigningKey } from '../../src/config.ts'
import { openBackendTokens } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: Server
let origin: string
let egress: Egress
let forms: URLSearchParams[]
let refuse: boolean
let lifeSeconds: number
/** Tokens that the FHIR server takes, and those it saw. */
let accepts: (token: string) => boolean
let shown: string[]
let discoveries: number

beforeEach(async () => {
  forms = []
  discoveries = 0
  refuse = false
  lifeSeconds = 300
  accepts = () => true
  shown = []
  server = createServer((request, response) => {
    void (async () => {
      response.setHeader('content-type', 'application/json')
      if (request.url === '/fhir/.well-known/smart-configuration') {
        discoveries++
        return response.end(JSON.stringify({ token_endpoint: `${origin}/token`, authorization_endpoint: `${origin}/authorize` }))
      }
      if (request.url?.startsWith('/fhir/Patient/')) {
        const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
        shown.push(token)
        if (!accepts(token)) return response.writeHead(401).end('{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"login"}]}')
        return response.end('{"resourceType":"Patient","id":"pat-1"}')
      }
      let body = ''
      for await (const chunk of request) body += String(chunk)
      forms.push(new URLSearchParams(body))
      if (refuse) return response.writeHead(400).end('{"error":"invalid_client"}')
      response.end(JSON.stringify({ access_token: `token-${forms.length}`, token_type: 'bearer', expires_in: lifeSeconds, scope: 'system/*.rs' }))
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  await egress.close()
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

async function tokensFor(alg: 'RS384' | 'ES384', clock: () => number) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const key = { ...(await exportJWK(privateKey)), kid: 'k1', alg } as unknown as SigningKey
  const tenant = loopbackTenant(`${origin}/fhir`, { backend: { clientId: 'jointlens', key, scope: 'system/Media.rs' } })
  egress = egressForTenant(tenant)
  const tokens = openBackendTokens(tenant, egress, clock)
  return { tokens, session: openFhirSession({ tenant, egress, tokens }), publicKey: await exportJWK(publicKey) }
}

describe.each(['RS384', 'ES384'] as const)('a backend client that signs %s', (alg) => {
  test('rows 33 and 42: proves itself with a short-lived assertion for the token endpoint', async () => {
    const { tokens, publicKey } = await tokensFor(alg, () => Date.now())
    expect(await tokens.token()).toBe('token-1')
    const [form] = forms
    const assertion = form?.get('client_assertion') ?? ''
    expect(decodeProtectedHeader(assertion)).toEqual({ alg, kid: 'k1', typ: 'JWT' })
    const { payload } = await jwtVerify(assertion, await importJWK(publicKey, alg), {
      issuer: 'jointlens', subject: 'jointlens', audience: `${origin}/token`, requiredClaims: ['jti'], maxTokenAge: 300
    })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeLessThanOrEqual(300)
    expect([form?.get('grant_type'), form?.get('scope')]).toEqual(['client_credentials', 'system/Media.rs'])
  })

  test('reads with its token, and asks for one token for many reads', async () => {
    const { session } = await tokensFor(alg, () => Date.now())
    for (let time = 0; time < 3; time++) await session.read('Patient', 'pat-1')
    expect([shown, forms.length]).toEqual([['token-1', 'token-1', 'token-1'], 1])
  })

  test('row 42: whose token is refused asks for another once, and repeats the read with it once', async () => {
    const { session } = await tokensFor(alg, () => Date.now())
    accepts = (token) => token !== 'token-1'
    expect((await session.read('Patient', 'pat-1')).id).toBe('pat-1')
    expect([shown, forms.length]).toEqual([['token-1', 'token-2'], 2])
  })

  test('whose every token is refused gives up after two', async () => {
    const { session } = await tokensFor(alg, () => Date.now())
    accepts = () => false
    await expect(session.read('Patient', 'pat-1')).rejects.toMatchObject({ code: 'ERR_EHR_UNAUTHORIZED' })
    expect([shown, forms.length]).toEqual([['token-1', 'token-2'], 2])
  })

  test('asks for one new token however many reads are refused at once', async () => {
    const { session } = await tokensFor(alg, () => Date.now())
    await session.read('Patient', 'pat-1')
    accepts = (token) => token !== 'token-1'
    await Promise.all(Array.from({ length: 20 }, () => session.read('Patient', 'pat-1')))
    expect(forms).toHaveLength(2)
  })
})

describe('a token', () => {
  test('row 42: is asked for once and kept until a minute before it ends', async () => {
    let now = Date.now()
    const { tokens } = await tokensFor('ES384', () => now)
    const all = await Promise.all(Array.from({ length: 20 }, () => tokens.token()))
    expect(new Set(all)).toEqual(new Set(['token-1']))
    now += 239_000
    expect(await tokens.token()).toBe('token-1')
    now += 2_000
    expect(await tokens.token()).toBe('token-2')
    const ids = forms.map((form) => JSON.parse(Buffer.from((form.get('client_assertion') ?? '').split('.')[1] ?? '', 'base64url').toString()) as { jti: string })
    expect(new Set(ids.map(({ jti }) => jti)).size).toBe(2)
  })

  test('of one minute is kept for half of it', async () => {
    let now = Date.now()
    lifeSeconds = 60
    const { tokens } = await tokensFor('RS384', () => now)
    await tokens.token()
    now += 29_000
    expect(await tokens.token()).toBe('token-1')
    now += 2_000
    expect(await tokens.token()).toBe('token-2')
  })

  test('that was refused is forgotten once, not the one that came after it', async () => {
    const { tokens } = await tokensFor('ES384', () => Date.now())
    await tokens.token()
    tokens.invalidate('token-1')
    expect(await tokens.token()).toBe('token-2')
    tokens.invalidate('token-1')
    expect(await tokens.token()).toBe('token-2')
  })

  test('is renewed where the last one came from, without looking that up again for a minute; where it is refused, it is looked up', async () => {
    let now = Date.now()
    const { tokens } = await tokensFor('ES384', () => now)
    for (let time = 0; time < 3; time++) {
      await tokens.token()
      tokens.invalidate()
    }
    expect([forms.length, discoveries]).toEqual([3, 1])
    refuse = true
    await expect(tokens.token()).rejects.toMatchObject({ code: 'ERR_EHR_UNAUTHORIZED' })
    refuse = false
    await tokens.token()
    tokens.invalidate()
    expect(discoveries).toBe(2)
    now += 61_000
    await tokens.token()
    expect(discoveries).toBe(3)
  })

  test('that the server does not give is an error of its own', async () => {
    const { tokens } = await tokensFor('ES384', () => Date.now())
    refuse = true
    await expect(tokens.token()).rejects.toMatchObject({ code: 'ERR_EHR_UNAUTHORIZED' })
    refuse = false
    expect(await tokens.token()).toBe('token-2')
  })

  test('needs a registration', async () => {
    const tenant = loopbackTenant(`${origin}/fhir`)
    egress = egressForTenant(tenant)
    await expect(openBackendTokens(tenant, egress).token()).rejects.toMatchObject({ code: 'ERR_CONFIG' })
  })
})
