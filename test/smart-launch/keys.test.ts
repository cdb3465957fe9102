import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose'
import { makeConfig, makeTenant, type SigningKey, type TenantConfig } from '../../src/config.ts'
import { openTenantDoors } from '../../src/tenant-doors.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: Server
let origin: string
let assertions: string[]

beforeEach(async () => {
  assertions = []
  server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      if (request.url === '/jwks') return void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [SANDBOX_KEY, { ...SANDBOX_KEY, kid: 'own', x: SANDBOX_KEY.y }] }))
      assertions.push(new URLSearchParams(body).get('client_assertion') ?? '')
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ access_token: 't', token_type: 'bearer', expires_in: 300, patient: 'pat-1' }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

async function keyOf(alg: 'RS384' | 'ES384', kid: string): Promise<SigningKey> {
  return { ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)), kid, alg } as unknown as SigningKey
}

const configOf = (tenants: readonly TenantConfig[]) => makeConfig({
  host: '127.0.0.1', port: 0, publicUrl: 'http://127.0.0.1:1', dataDir: 'd', modelDir: 'm', device: 'cpu', profile: 'development', logLevel: 'silent', tenants
})

test.each(['RS384', 'ES384'] as const)('row 33: the app proves itself with %s: five minutes at most, a new jti each time, for the token endpoint alone', async (alg) => {
  const key = await keyOf(alg, 'app')
  const tenant = loopbackTenant(`${origin}/fhir`, { smart: { clientId: 'jointlens-app', key, scope: 'launch', sendNonce: true } })
  const doors = openTenantDoors(configOf([tenant]))
  try {
    const form = { grant_type: 'authorization_code', code: 'c', redirect_uri: 'r', code_verifier: 'v' }
    const answer = await doors.requestToken(tenant, `${origin}/token`, form)
    await doors.requestToken(tenant, `${origin}/token`, form)
    expect(answer).toMatchObject({ accessToken: 't', extra: { patient: 'pat-1' } })
    const [published] = doors.publicKeys
    const seen = await Promise.all(assertions.map(async (assertion) => {
      expect(decodeProtectedHeader(assertion)).toEqual({ alg, kid: 'app', typ: 'JWT' })
      return (await jwtVerify(assertion, await importJWK(published ?? {}, alg), {
        issuer: 'jointlens-app', subject: 'jointlens-app', audience: `${origin}/token`, requiredClaims: ['jti', 'exp', 'iat'], maxTokenAge: 300
      })).payload
    }))
    expect(seen.every(({ exp = 0, iat = 0 }) => exp - iat <= 300)).toBe(true)
    expect(new Set(seen.map(({ jti }) => jti)).size).toBe(2)
  } finally {
    await doors.close()
  }
})

/** Signs what the public sandbox sends: its private half is in a public repository. */
const SANDBOX_KEY = {
  kty: 'EC' as const, crv: 'P-384', kid: '44823f3d-0b01-4a6c-a80e-b9d3e8a7226f', alg: 'ES384', use: 'sig',
  x: 'dw_JGR8nB2I6XveNxUOl2qk699ZPLM2nYI5STSdiEl9avAkrm3CkfYMbrrjr8laB', y: 'Sm3mLE-n1zYNla_aiE3cb3nZsL51RbC7ysw3q8aJLxGm-hx79RPMYpITDjp7kgzy'
}

test('in production a client’s key that anybody can sign with is none, by whatever address it comes; in development it serves', async () => {
  const tenant = loopbackTenant(`${origin}/fhir`, { cdsClients: [{ issuer: 'https://sandbox.example', jku: `${origin}/jwks`, audiences: [], algorithms: ['ES384'] }] })
  const kidsIn = async (profile: 'development' | 'production') => {
    const doors = openTenantDoors({ ...configOf([tenant]), profile })
    try {
      return (await doors.clientKeys(tenant, `${origin}/jwks`)).keys.map(({ kid }) => kid)
    } finally {
      await doors.close()
    }
  }
  expect(await kidsIn('development')).toEqual([SANDBOX_KEY.kid, 'own'])
  expect(await kidsIn('production')).toEqual(['own'])
  const atSite = { ...tenant, fhirBase: 'https://ehr.example/fhir', allowHttp: false, cdsClients: [{ issuer: 'https://sandbox.example', keys: [{ ...SANDBOX_KEY, kid: 'renamed' }], audiences: [], algorithms: ['ES384' as const] }] }
  expect(() => makeConfig({ ...configOf([atSite]), profile: 'production' })).toThrow(/keys of tenants\.\w+\.cdsClients that only the client can sign with/)
})

test('row 34: the key set holds public members only, and two keys of one registration while they are exchanged', async () => {
  const [signing, next] = [await keyOf('ES384', '2026-11'), await keyOf('ES384', '2026-12')]
  const backend = await keyOf('RS384', 'backend')
  const tenant = makeTenant({
    id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', smart: { clientId: 'app', key: signing, scope: 'launch' },
    backend: { clientId: 'b', key: backend, scope: 's' }, publishedKeys: [next, signing]
  })
  const doors = openTenantDoors(configOf([tenant]))
  await doors.close()
  expect(doors.publicKeys.map(({ kid }) => kid).sort()).toEqual(['2026-11', '2026-12', 'backend'])
  for (const key of doors.publicKeys) {
    expect(key).toMatchObject({ use: 'sig', alg: key.kid === 'backend' ? 'RS384' : 'ES384' })
    expect(Object.keys(key).filter((name) => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth'].includes(name))).toEqual([])
  }
})
