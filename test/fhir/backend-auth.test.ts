import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose'
import type { SigningKey } from '../../src/config.ts'
import { openBackendTokens } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: Server
let origin: string
let egress: Egress
let forms: URLSearchParams[]
let refuse: boolean

beforeEach(async () => {
  forms = []
  refuse = false
  server = createServer((request, response) => {
    void (async () => {
      response.setHeader('content-type', 'application/json')
      if (request.url === '/fhir/.well-known/smart-configuration')
        return response.end(JSON.stringify({ token_endpoint: `${origin}/token`, authorization_endpoint: `${origin}/authorize` }))
      let body = ''
      for await (const chunk of request) body += String(chunk)
      forms.push(new URLSearchParams(body))
      if (refuse) return response.writeHead(400).end('{"error":"invalid_client"}')
      response.end(JSON.stringify({ access_token: `token-${forms.length}`, token_type: 'bearer', expires_in: 300, scope: 'system/*.rs' }))
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
  return { tokens: openBackendTokens(tenant, egress, clock), publicKey: await exportJWK(publicKey) }
}

describe.each(['RS384', 'ES384'] as const)('a backend client that signs %s', (alg) => {
  test('proves itself with a short-lived assertion for the token endpoint', async () => {
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
})

describe('a token', () => {
  test('is asked for once and kept until a minute before it ends', async () => {
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

  test('that was refused is forgotten once, not the one that came after it', async () => {
    const { tokens } = await tokensFor('ES384', () => Date.now())
    await tokens.token()
    tokens.invalidate('token-1')
    expect(await tokens.token()).toBe('token-2')
    tokens.invalidate('token-1')
    expect(await tokens.token()).toBe('token-2')
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
