import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT } from 'jose'
import pino from 'pino'
import { makeConfig, type SigningKey, type TenantConfig } from '../../src/config.ts'
import { lastResort } from '../../src/last-resort.ts'
import { openTenantDoors, type TenantDoors } from '../../src/tenant-doors.ts'
import { openSmartRouter, type SmartDeps } from '../../smart-launch/server/open-smart-router.ts'
import type { AppSession, SessionStore } from '../../smart-launch/server/app-session.ts'
import { openMemorySessions } from '../support/memory-sessions.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

/**
 * The launch over real HTTP, against authorization servers with a will of their own: the FHIR server is one origin, the authorization
 * server another, as at athenahealth. Nothing between the browser and the token endpoint is replaced.
 */
const app = await generateKeyPair('ES384', { extractable: true })
const appKey = { ...(await exportJWK(app.privateKey)), kid: 'app', alg: 'ES384' } as unknown as SigningKey
const provider = await generateKeyPair('RS256', { extractable: true })
const stranger = await generateKeyPair('RS256', { extractable: true })
const publicKey = async ({ publicKey: key }: { readonly publicKey: CryptoKey }, kid: string) => ({ ...(await exportJWK(key)), kid, alg: 'RS256' })
const [ownKey, otherKey] = [await publicKey(provider, 'op'), await publicKey(stranger, 'stranger')]

interface Persona {
  /** Changes to `.well-known/smart-configuration`; a text is sent as it is. */
  configuration?: Record<string, unknown> | string
  /** Members of the token answer beside the usual ones. */
  token?: Record<string, unknown>
  tokenStatus?: number
  /** Claims of the id_token, and who signs it. */
  claims?: Record<string, unknown>
  header?: Record<string, unknown>
  /** Signed by hand, whatever the header asks for. */
  byHand?: boolean
  signer?: CryptoKey | Uint8Array
  /** FHIR reads are refused with this token. */
  revoked?: Set<string>
  revocationStatus?: number
  /** Sent for the SMART configuration, the OpenID configuration or the keys, instead of what they are. */
  raw?: ((path: string, response: ServerResponse) => boolean) | undefined
  keys?: readonly object[]
  openId?: Record<string, unknown>
}

let persona: Persona
let ehr: Server
let auth: Server
let jointlens: Server
let fhirBase: string
let issuer: string
let base: string
let nonce: string
let calls: { path: string; form: Record<string, string>; authorization?: string }[]
let tenant: TenantConfig
let doors: TenantDoors
let sessions: SessionStore
let issued: number

beforeEach(async () => {
  persona = {}
  calls = []
  issued = 0
  ehr = await listening(answerAsFhirServer)
  auth = await listening(answerAsAuthorizationServer)
  fhirBase = `${originOf(ehr)}/fhir/r4`
  issuer = `${originOf(auth)}/oauth2`
  tenant = loopbackTenant(fhirBase, { smart: { clientId: 'jointlens', key: appKey, scope: 'launch openid fhirUser offline_access patient/*.cruds', sendNonce: true } })
  sessions = openMemorySessions()
  const web = express()
  jointlens = createServer(web)
  jointlens.listen(0, '127.0.0.1')
  await once(jointlens, 'listening')
  base = originOf(jointlens)
  const config = makeConfig({ host: '127.0.0.1', port: 0, publicUrl: base, dataDir: 'd', modelDir: 'm', device: 'cpu', profile: 'development', logLevel: 'silent', tenants: [tenant] })
  doors = openTenantDoors(config)
  web.use('/smart', openSmartRouter({
    config, sessions, now: () => Date.now(), audit: { record: () => Promise.resolve() },
    discover: doors.discover, requestToken: doors.requestToken, openIdKeys: doors.openIdKeys, revokeTokens: doors.revokeTokens,
    capture: {} as SmartDeps['capture'],
    desk: { describe: async (session: AppSession, of: TenantConfig) => ({ name: (await doors.reviewRecord.patient(session, of)).id, canSign: session.fhirUser !== undefined }) } as unknown as SmartDeps['desk']
  }))
  web.use(lastResort(pino({ level: 'silent' })))
})
afterEach(async () => {
  await doors.close()
  for (const server of [ehr, auth, jointlens]) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

function answerAsFhirServer(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? ''
  calls.push({ path, form: {}, ...(request.headers.authorization ? { authorization: request.headers.authorization } : {}) })
  if (persona.raw?.(path, response)) return
  if (path.endsWith('/.well-known/smart-configuration')) {
    if (typeof persona.configuration === 'string') return void response.end(persona.configuration)
    return json(response, 200, { issuer, authorization_endpoint: `${issuer}/v1/authorize`, token_endpoint: `${issuer}/v1/token`, capabilities: [], ...persona.configuration })
  }
  if (path.includes('/Patient/')) {
    if (persona.revoked?.has(request.headers.authorization ?? '')) return json(response, 401, {})
    return json(response, 200, { resourceType: 'Patient', id: path.split('/').at(-1) })
  }
  json(response, 404, {})
}

function answerAsAuthorizationServer(request: IncomingMessage, response: ServerResponse): void {
  let body = ''
  request.on('data', (chunk: Buffer) => { body += chunk.toString() })
  request.on('end', () => void (async () => {
    const path = request.url ?? ''
    const form = Object.fromEntries(new URLSearchParams(body))
    calls.push({ path, form })
    if (persona.raw?.(path, response)) return
    if (path === '/oauth2/.well-known/openid-configuration') return json(response, 200, { issuer, jwks_uri: `${issuer}/v1/keys`, ...persona.openId })
    if (path === '/oauth2/v1/keys') return json(response, 200, { keys: persona.keys ?? [ownKey] })
    if (path === '/oauth2/v1/revoke') return json(response, persona.revocationStatus ?? 200, {})
    if (path !== '/oauth2/v1/token') return json(response, 404, {})
    if (persona.tokenStatus) return json(response, persona.tokenStatus, { error: 'invalid_grant' })
    issued++
    const answer = { access_token: `access-${issued}`, refresh_token: `refresh-${issued}`, token_type: 'bearer', expires_in: '3600', scope: 'patient/*.cruds', patient: 'pat-1', id_token: await idToken() }
    json(response, 200, { ...answer, ...persona.token })
  })())
}

async function idToken(): Promise<string> {
  const at = Math.floor(Date.now() / 1000)
  const claims = { sub: 's', nonce, iss: issuer, aud: 'jointlens', iat: at, exp: at + 300, fhirUser: `${fhirBase}/Practitioner/doc-1`, ...persona.claims }
  const header = { alg: 'RS256', kid: 'op', ...persona.header }
  if (!persona.byHand) return new SignJWT(claims).setProtectedHeader(header).sign(persona.signer ?? provider.privateKey)
  const text = `${encoded(header)}.${encoded(claims)}`
  return `${text}.${Buffer.from(await crypto.subtle.sign('RSASSA-PKCS1-v1_5', provider.privateKey, Buffer.from(text))).toString('base64url')}`
}

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

async function listening(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const originOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

/** What a browser keeps between two requests. */
function browser() {
  const jar = new Map<string, string>()
  return async (address: string, init: RequestInit = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const own = init.method === undefined ? {} : { origin: base }
    const response = await fetch(address, { redirect: 'manual', ...init, headers: { ...own, ...(init.headers as Record<string, string>), ...(cookie ? { cookie } : {}) } })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value) jar.set(name, value)
      else jar.delete(name)
    }
    return response
  }
}

async function begin(go = browser()) {
  const response = await go(`${base}/smart/launch?iss=${encodeURIComponent(fhirBase)}&launch=xyz`)
  const location = response.headers.get('location')
  const redirect = location ? new URL(location) : undefined
  nonce = redirect?.searchParams.get('nonce') ?? ''
  return { go, response, redirect, state: redirect?.searchParams.get('state') ?? '' }
}

async function back(started: Awaited<ReturnType<typeof begin>>, more = '') {
  return started.go(`${base}/smart/callback?code=c&state=${started.state}${more}`)
}

/** A finished launch, as its page sees it. */
async function launched() {
  const started = await begin()
  const response = await back(started)
  const handle = response.headers.get('location')?.split('/').at(-1) ?? ''
  const api = `${base}/smart/api/${handle}`
  const read = () => started.go(`${api}/session`)
  return { ...started, response, handle, api, read, session: await (await read()).json() as { name: string; canSign: boolean; csrf: string } }
}

describe('an authorization server on another host than the FHIR server', () => {
  test('opens the app: aud is the FHIR base, the assertion is for the token endpoint, and the token goes to the FHIR server alone', async () => {
    const { session, redirect } = await launched()
    expect(session).toMatchObject({ name: 'pat-1', canSign: true })
    expect(redirect?.href.startsWith(`${issuer}/v1/authorize?`)).toBe(true)
    expect(redirect?.searchParams.get('aud')).toBe(fhirBase)
    const [asked] = calls.filter(({ path }) => path === '/oauth2/v1/token')
    const { payload } = await jwtVerify(asked?.form['client_assertion'] ?? '', await importJWK(doors.publicKeys[0] ?? {}, 'ES384'), { audience: `${issuer}/v1/token`, issuer: 'jointlens', subject: 'jointlens' })
    expect(payload.jti).toBeDefined()
    expect(createHash('sha256').update(asked?.form['code_verifier'] ?? '').digest('base64url')).toBe(redirect?.searchParams.get('code_challenge'))
    expect(calls.filter(({ authorization }) => authorization !== undefined).map(({ path }) => path)).toEqual(['/fhir/r4/Patient/pat-1'])
  })

  test.each<[string, Record<string, unknown>]>([
    ['members nobody asked for', { resource_server: 'x', appContext: 7, smart_style_url: 'javascript:alert(1)', __epic: { dstu2: true } }],
    ['an encounter that is null', { encounter: null }], ['a banner wish in quotes', { need_patient_banner: 'true' }],
    ['an encounter that climbs', { encounter: '../x' }], ['an expiry as text', { expires_in: '300' }], ['no expiry', { expires_in: undefined }],
    ['an expiry of null', { expires_in: null }], ['an expiry in words', { expires_in: 'soon' }], ['an expiry of nothing', { expires_in: 0 }], ['an expiry in a month', { expires_in: 2_592_000 }],
    ['no refresh token but null', { refresh_token: null }], ['a scope of null', { scope: null }], ['scopes nobody asked for', { scope: 'patient/*.cruds system/*.cruds admin launch/patient' }],
    ['the bearer in capitals', { token_type: 'BEARER' }], ['no scope', { scope: undefined }], ['version 1 scopes', { scope: 'launch patient/*.read' }],
    ['a patient’s context in fhirContext as text', { fhirContext: 'Media/1' }]
  ])('that answers the token request with %s opens the app for the same patient', async (_name, token) => {
    persona = { token }
    expect((await launched()).session.name).toBe('pat-1')
  })

  test.each<[string, Record<string, unknown>]>([
    ['no patient', { patient: undefined }], ['a patient that is no id', { patient: ['pat-1'] }], ['a token for something else than bearers', { token_type: 'dpop' }],
    ['no token', { access_token: undefined }], ['a token that is empty', { access_token: '' }],
    ['a patient with its type', { patient: 'Patient/pat-1' }], ['a patient by its address', { patient: 'https://ehr.example/fhir/Patient/pat-1' }], ['a patient as a number', { patient: 1 }],
    ['a patient that is empty', { patient: '' }], ['a patient of dots', { patient: '..' }], ['a Practitioner for a patient', { patient: undefined, practitioner: 'doc-1' }]
  ])('that answers the token request with %s opens nothing', async (_name, token) => {
    persona = { token }
    expect((await back(await begin())).status).toBe(400)
  })

  test.each([undefined, null, 7])('that sends %s for an identity opens it read-only', async (id_token) => {
    persona = { token: { id_token } }
    expect((await launched()).session).toMatchObject({ name: 'pat-1', canSign: false })
  })

  test('that names no scope has granted what was asked for (RFC 6749 section 5.1), and one that names an empty one nothing', async () => {
    const scopeOf = async () => ((await sessions.get(`smart:${(await launched()).handle}`)) as AppSession).scope
    persona = { token: { scope: undefined } }
    expect(await scopeOf()).toBe('launch openid fhirUser offline_access patient/*.cruds')
    persona = { token: { scope: '' } }
    expect(await scopeOf()).toBe('')
  })

  test('that says without a patient to whom it belongs leads to a page that says what to do', async () => {
    persona = { token: { patient: undefined } }
    const response = await back(await begin())
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining('Choose a patient there and open JointLens again.')])
  })

  test('names a style: it is not fetched, nor is anything else that the answer names', async () => {
    persona = { token: { smart_style_url: `${issuer}/style.json`, appContext: `${issuer}/context`, fhirContext: [{ reference: `${issuer}/Media/1` }] } }
    expect((await launched()).session.name).toBe('pat-1')
    expect(calls.map(({ path }) => path).filter((path) => /style|context|Media/.test(path))).toEqual([])
  })

  test('that refuses the code is said, and nothing is kept', async () => {
    persona = { tokenStatus: 400 }
    const started = await begin()
    const response = await back(started)
    expect([response.status, response.headers.get('location')]).toEqual([400, null])
    expect(response.headers.getSetCookie().every((line) => /Max-Age=0/.test(line))).toBe(true)
  })
})

describe('row 35: an identity', () => {
  test.each<[string, Partial<Persona>]>([
    ['signed by a stranger', { signer: stranger.privateKey }],
    ['that names its keys itself', { signer: stranger.privateKey, header: { jku: 'https://evil.example/keys', jwk: { kty: 'RSA' } } }],
    ['for several apps that was made for another', { claims: { aud: ['jointlens', 'other'], azp: 'other' } }],
    ['for several apps that does not say for whom it was made', { claims: { aud: ['jointlens', 'other'] } }],
    ['made for another app', { claims: { azp: 'other' } }],
    ['without a subject', { claims: { sub: undefined } }],
    ['of an issuer with another path', { claims: { iss: 'http://127.0.0.1/oauth2' } }],
    ['signed with our key set’s public key as a secret', { header: { alg: 'HS256' }, signer: new TextEncoder().encode(JSON.stringify(ownKey)) }],
    ['with a key that is not in the set', { header: { kid: 'other' } }],
    ['that says nothing of its key while the set has several', { header: { kid: undefined }, keys: [ownKey, otherKey] }],
    ['signed with a secret that the key set gives away', { header: { alg: 'HS256', kid: 'oct' }, signer: new TextEncoder().encode('s'.repeat(32)), keys: [{ kty: 'oct', k: Buffer.from('s'.repeat(32)).toString('base64url'), kid: 'oct' }] }],
    ['without an expiry', { claims: { exp: undefined } }], ['that is not valid yet', { claims: { nbf: 9e9 } }], ['without a nonce', { claims: { nonce: undefined } }],
    ['for an app whose name begins like ours', { claims: { aud: 'jointlens-2' } }], ['for nobody', { claims: { aud: [] } }],
    ['whose issuer’s configuration names another issuer', { openId: { issuer: 'https://evil.example' } }],
    ['whose issuer keeps its keys where no https leads', { openId: { jwks_uri: 'file:///etc/passwd' } }],
    ['with the nonce of another launch', { claims: { nonce: 'n' } }],
    ['with a nonce in a list', { claims: { nonce: ['n'] } }]
  ])('%s opens nothing', async (_name, change) => {
    persona = change
    const response = await back(await begin())
    expect([response.status, response.headers.get('location')]).toEqual([400, null])
  })

  test('opens the app before, while and after the server exchanges its keys, and one of its old key no more', async () => {
    const opens = async () => (await back(await begin())).status === 302
    const next = await generateKeyPair('RS256', { extractable: true })
    const [now, then] = [ownKey, await publicKey(next, 'next')]
    const junk = { kty: 'AKP', kid: 'op', alg: 'ML-DSA-44', pub: 'AA' }
    const seen: boolean[] = []
    for (const change of [
      { keys: [now] }, { keys: [junk, then, now] }, { keys: [then, now], signer: next.privateKey, header: { kid: 'next' } },
      { keys: [then], signer: next.privateKey, header: { kid: 'next' } }, { keys: [then] }
    ] as Persona[]) {
      persona = change
      seen.push(await opens())
    }
    expect(seen).toEqual([true, true, true, true, false])
  })

  test('for several apps that was made for us opens the app', async () => {
    persona = { claims: { aud: ['jointlens', 'other'], azp: 'jointlens' } }
    expect((await launched()).session.canSign).toBe(true)
  })
})

/** Each of these is the word of a server that is ours by its address and hostile or broken in what it says. */
describe('a token answer', () => {
  const answering = (answer: (response: ServerResponse) => void): Persona => ({ raw: (path, response) => { if (path !== '/oauth2/v1/token') return false; answer(response); return true } })
  const whole = { access_token: 'access-1', token_type: 'bearer', expires_in: 300, scope: 'patient/*.cruds', patient: 'pat-1' }

  test.each<[string, Persona | (() => Persona)]>([
    ['with a line break in its token', { token: { access_token: 'access-1\r\nx-evil: 1' } }], ['with a token that is no header', { token: { access_token: 'access-\u{1F600}' } }],
    ['with a token of 20,000 characters', { token: { access_token: 'a'.repeat(20_000) } }], ['with a token in a list', { token: { access_token: ['access-1'] } }],
    ['of a patient with a line more', { token: { patient: 'pat-1\n' } }], ['of a patient in letters that look like ours', { token: { patient: 'p\u0430t-1' } }],
    ['whose patient is inherited', answering((response) => { response.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":"access-1","token_type":"bearer","__proto__":{"patient":"pat-1"}}') })],
    ['with an identity that is encrypted', { token: { id_token: `${encoded({ alg: 'dir', enc: 'A256GCM' })}..a.b.c` } }], ['with an identity of two parts', { token: { id_token: 'a.b' } }],
    ['with an identity whose header asks for what nobody knows', { byHand: true, header: { crit: ['x'], x: 1 } }], ['with an identity whose signature covers no text', { byHand: true, header: { b64: false, crit: ['b64'] } }],
    ['with an identity signed in another way than its key is for', { byHand: true, header: { alg: 'PS256' } }],
    ['that leads elsewhere', answering((response) => { response.writeHead(307, { location: `${originOf(ehr)}/fhir/r4/stolen` }).end() })],
    ['that is a page', answering((response) => { response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sign in</html>') })],
    ['that is cut off', answering((response) => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole).slice(0, -1)) })],
    ['that is two answers', answering((response) => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole).repeat(2)) })],
    ['that comes with status 201', answering((response) => { json(response, 201, whole) })], ['that says 200 to an error', answering((response) => { json(response, 200, { error: 'invalid_grant' }) })],
    ['of 20 MB', answering((response) => { json(response, 200, { ...whole, more: 'x'.repeat(20_000_000) }) })]
  ])('%s opens nothing, and is sent to nobody else', async (_name, change) => {
    persona = typeof change === 'function' ? change() : change
    const response = await back(await begin())
    expect([response.status, response.headers.get('location'), response.headers.get('content-type')]).toEqual([400, null, 'text/html; charset=utf-8'])
    expect(response.headers.getSetCookie().every((line) => /Max-Age=0/.test(line))).toBe(true)
    expect(calls.filter(({ path }) => path.startsWith('/fhir') && !path.includes('.well-known'))).toEqual([])
  })

  test('of a depth that overruns recursive code opens the app or nothing, and the server lives on', async () => {
    const deep = '['.repeat(50_000) + ']'.repeat(50_000)
    persona = answering((response) => { response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(whole).slice(0, -1)},"fhirContext":${deep},"x":${deep}}`) })
    expect([302, 400]).toContain((await back(await begin())).status)
    persona = {}
    expect((await launched()).session.name).toBe('pat-1')
  })

  test.each(['Practitioner/..', 'Practitioner/.', 'Practitioner/a/_history/1', 'Practitioner/doc-1\n', 'practitioner/doc-1', ' Practitioner/doc-1', 'Practitioner/%2e%2e'])(
    'whose user is %j names nobody: nothing can be signed in such a name', async (fhirUser) => {
      for (const user of [fhirUser, `${fhirBase}/${fhirUser}`]) {
        persona = { claims: { fhirUser: user } }
        const handle = (await back(await begin())).headers.get('location')?.split('/').at(-1) ?? ''
        expect([user, ((await sessions.get(`smart:${handle}`)) as AppSession).fhirUser]).toEqual([user, undefined])
      }
    })
})

describe('a SMART configuration', () => {
  test.each<[string, Persona['configuration']]>([
    ['with a script for an authorization endpoint', { authorization_endpoint: 'javascript:alert(1)//' }],
    ['with a file for an authorization endpoint', { authorization_endpoint: 'file:///etc/passwd' }],
    ['with a user name in the authorization endpoint', { authorization_endpoint: 'http://ehr@evil.example/authorize' }],
    ['with a fragment in the authorization endpoint', { authorization_endpoint: 'http://127.0.0.1/authorize#x' }],
    ['without an authorization endpoint', { authorization_endpoint: undefined }],
    ['with a token endpoint that is no web address', { token_endpoint: 'ftp://127.0.0.1/token' }],
    ['that is no JSON', '<html>sign in</html>'], ['that is a list', '[]'], ['that is larger than a megabyte', `{"issuer":"${'x'.repeat(1_100_000)}"}`]
  ])('%s sends nobody anywhere', async (_name, configuration) => {
    if (configuration !== undefined) persona = { configuration }
    const { response } = await begin()
    expect([response.status, response.headers.get('location')]).toEqual([400, null])
    expect(response.headers.getSetCookie()).toEqual([])
  })

  test.each<[string, (path: string, response: ServerResponse) => boolean]>([
    ['that leads elsewhere', (_path, response) => { response.writeHead(302, { location: 'https://evil.example/' }).end(); return true }],
    ['that comes with an error', (_path, response) => { json(response, 500, {}); return true }],
    ['that breaks off', (_path, response) => { response.writeHead(200, { 'content-length': '999' }).write('{'); response.destroy(); return true }],
    ['that never comes', () => true],
    ['that drips', (_path, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const drip = setInterval(() => { response.write(' ') }, 200)
      response.once('close', () => { clearInterval(drip) })
      return true
    }]
  ])('%s sends nobody anywhere, and is given up in time', async (_name, raw) => {
    persona = { raw: (path, response) => path.endsWith('smart-configuration') && raw(path, response) }
    const began = performance.now()
    const { response } = await begin()
    expect([response.status, response.headers.get('location'), response.headers.getSetCookie()]).toEqual([400, null, []])
    // Five seconds for the document, and room for a machine that is busy.
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  test('is read once for launches that come together, so that nobody can make us ask the EHR at every request', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => begin()))
    expect(all.every(({ response }) => response.status === 302)).toBe(true)
    expect(calls.filter(({ path }) => path.endsWith('smart-configuration'))).toHaveLength(1)
  })

  test('that could not be read is read again by the next launch', async () => {
    persona = { configuration: '<html>' }
    expect((await begin()).response.status).toBe(400)
    persona = {}
    expect((await begin()).response.status).toBe(302)
  })

  test('of a tenant that asks for https sends nobody to http', async () => {
    Object.assign(tenant, { allowHttp: false })
    expect((await begin()).response.headers.get('location')).toBeNull()
  })

  test('that puts a nonce, a state or a challenge of its own into the authorization endpoint changes none of ours', async () => {
    persona = { configuration: { code_challenge_methods_supported: ['S256'], authorization_endpoint: `${issuer}/v1/authorize?nonce=fixed&code_challenge=fixed&code_challenge_method=plain&response_type=token&aud=https://evil.example` } }
    const asked = [...(await begin()).redirect?.searchParams ?? []]
    const of = (name: string) => asked.filter(([one]) => one === name).map(([, value]) => value)
    expect([of('code_challenge_method'), of('response_type'), of('aud'), of('nonce').length, of('code_challenge').length]).toEqual([['S256'], ['code'], [fhirBase], 1, 1])
    expect(asked.map(([, value]) => value)).not.toContain('fixed')
    expect((await launched()).session.canSign).toBe(true)
  })

  test('with a query in the authorization endpoint keeps it and overrides what is ours', async () => {
    persona = { configuration: { authorization_endpoint: `${issuer}/v1/authorize?tenant=7&redirect_uri=https://evil.example&state=fixed` } }
    const { redirect } = await begin()
    expect(redirect?.searchParams.getAll('redirect_uri')).toEqual([`${base}/smart/callback`])
    expect(redirect?.searchParams.getAll('state')).toHaveLength(1)
    expect(redirect?.searchParams.get('tenant')).toBe('7')
  })
})

describe('mix-up (RFC 9207)', () => {
  test('the answer of a server that says it names itself is refused without the name, with two names and with another one', async () => {
    persona = { configuration: { authorization_response_iss_parameter_supported: true } }
    const iss = encodeURIComponent(issuer)
    for (const more of ['', `&iss=${iss}&iss=${iss}`, '&iss=https://evil.example', `&iss=${iss}/`, '&iss='])
      expect([more, (await back(await begin(), more)).status]).toEqual([more, 400])
    expect(calls.filter(({ path }) => path === '/oauth2/v1/token')).toEqual([])
    expect((await back(await begin(), `&iss=${iss}`)).status).toBe(302)
  })
})

describe('a code that was meant for another launch', () => {
  test('goes to the token endpoint with the verifier of the launch that it came to, so that the server can refuse it; ours alone is no session', async () => {
    const [victim, attacker] = [await begin(), await begin()]
    // The attacker’s code on the victim’s state: the server knows another challenge for it (RFC 7636 section 4.6).
    const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url')
    const issuedFor = attacker.redirect?.searchParams.get('code_challenge')
    persona = { raw: (path, response) => {
      const form = calls.at(-1)?.form ?? {}
      if (path !== '/oauth2/v1/token' || challengeOf(form['code_verifier'] ?? '') === issuedFor) return false
      json(response, 400, { error: 'invalid_grant' })
      return true
    } }
    expect((await back(victim)).status).toBe(400)
    expect((await back(victim)).status).toBe(400)
    nonce = attacker.redirect?.searchParams.get('nonce') ?? ''
    expect((await back(attacker)).status).toBe(302)
    // The state of one browser in another one opens nothing, and is spent.
    const third = await begin()
    expect((await back({ ...third, go: browser() })).status).toBe(400)
    expect((await back(third)).status).toBe(400)
  })

  test('or a state or code that came twice, or none, opens nothing and asks the server nothing', async () => {
    for (const query of ['code=a&code=b&state=S', 'code=a&state=S&state=S', 'state=S', 'code=&state=S', `code=${'x'.repeat(5000)}&state=S`]) {
      const { go, state } = await begin()
      expect([query.slice(0, 30), (await go(`${base}/smart/callback?${query.replaceAll('S', state)}`)).status]).toEqual([query.slice(0, 30), 400])
    }
    expect(calls.filter(({ path }) => path === '/oauth2/v1/token')).toEqual([])
  })

  test.each([['access_denied', ' (access_denied)'], ['invalid_scope', ' (invalid_scope)'], ['invalid_client', ' (invalid_client)'], ['call 555', ''], ['', '']])(
    'an error that the server sends (%j) is told to whoever looks after the installation when it is one of the standard’s; its words are not echoed', async (error, reason) => {
      const { go, state } = await begin()
      const response = await go(`${base}/smart/callback?error=${encodeURIComponent(error)}&error_description=${encodeURIComponent('<b>call 555</b>')}&error_uri=https://evil.example&state=${state}`)
      const text = await response.text()
      expect([response.status, /555|evil/.test(text)]).toEqual([400, false])
      expect(text).toContain(`The EHR did not grant access${reason}. Open JointLens again from the patient record. (ERR_LAUNCH_REFUSED)`)
    })
})

/**
 * As two public test servers answer a client: the mock server of Inferno’s SMART App Launch client suite (2.2) and the SMART launcher, version 2. What they check
 * of a client beyond the standard’s words: `typ: JWT` and `kid` of the assertion, `aud` to the letter, one usable key for `kid` and `alg` that may not sign.
 */
describe('a public test server', () => {
  const context = { need_patient_banner: false, smart_style_url: 'https://launch.example/smart-style.json', encounter: 'enc-1', intent: 'order-review', fhirContext: [{ reference: 'Encounter/enc-1' }] }

  test.each<[string, Persona]>([
    ['the SMART launcher', { token: { ...context, token_type: 'Bearer', expires_in: 3600, scope: 'launch openid fhirUser offline_access patient/*.cruds' }, claims: { profile: 'Practitioner/doc-1', fhirUser: 'Practitioner/doc-1' } }],
    ['Inferno’s client suite', {
      token: { ...context, token_type: 'Bearer', expires_in: 3600, scope: 'launch openid fhirUser offline_access patient/*.cruds' },
      configuration: { token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384'], capabilities: ['client-confidential-asymmetric', 'launch-ehr', 'permission-v1', 'permission-v2'], grant_types_supported: ['client_credentials', 'authorization_code'], scopes_supported: ['system/*.read', 'user/*.read', 'patient/*.read'] },
      keys: [otherKey, ownKey]
    }]
  ])('%s opens the app for its clinician', async (_name, change) => {
    persona = change
    const { session, redirect } = await launched()
    expect(session).toMatchObject({ name: 'pat-1', canSign: true })
    const asked = Object.fromEntries(redirect?.searchParams ?? [])
    expect(asked).toMatchObject({ response_type: 'code', client_id: 'jointlens', redirect_uri: `${base}/smart/callback`, launch: 'xyz', aud: fhirBase, code_challenge_method: 'S256', scope: 'launch openid fhirUser offline_access patient/*.cruds' })
    expect([asked['state']?.length, asked['code_challenge']?.length]).toEqual([43, 43])
    const [form] = calls.flatMap((one) => (one.path === '/oauth2/v1/token' ? [one.form] : []))
    expect(form).toMatchObject({ grant_type: 'authorization_code', code: 'c', redirect_uri: asked['redirect_uri'], client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' })
    const usable = doors.publicKeys.filter(({ kid, alg, key_ops, d }) => kid === 'app' && alg === 'ES384' && !key_ops?.includes('sign') && d === undefined)
    expect(usable).toHaveLength(1)
    const { payload, protectedHeader } = await jwtVerify(form?.['client_assertion'] ?? '', await importJWK(usable[0] ?? {}, 'ES384'), { typ: 'JWT' })
    expect(protectedHeader).toEqual({ alg: 'ES384', kid: 'app', typ: 'JWT' })
    expect(payload).toMatchObject({ iss: 'jointlens', sub: 'jointlens', aud: `${issuer}/v1/token`, jti: expect.stringMatching(/./) })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeLessThanOrEqual(300)
  })

  test('whose identity comes without the nonce that was sent opens nothing, and opens the app where the site has said that none is sent', async () => {
    const withoutNonce = { claims: { nonce: undefined }, configuration: { code_challenge_methods_supported: ['S256'] } }
    persona = withoutNonce
    const refused = await back(await begin())
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('The identity that the EHR sent lacks the nonce that was asked for. (ERR_LAUNCH_REFUSED)')])
    Object.assign(tenant.smart ?? {}, { sendNonce: false })
    const { session, redirect } = await launched()
    expect([session.canSign, redirect?.searchParams.has('nonce'), redirect?.searchParams.get('code_challenge_method')]).toEqual([true, false, 'S256'])
    for (const change of [{ claims: { nonce: 'n' } }, { claims: { nonce: '' } }, { claims: { nonce: null } }, { claims: { nonce: undefined, aud: 'other' } }, { claims: { nonce: undefined }, signer: stranger.privateKey }] as Persona[]) {
      persona = { ...withoutNonce, ...change }
      expect([change, (await back(await begin())).status]).toEqual([change, 400])
    }
  })

  test.each([undefined, [], ['plain'], 'S256', [['S256']]])('that names no S256 (%j) sends nobody anywhere without a nonce', async (code_challenge_methods_supported) => {
    persona = { configuration: { code_challenge_methods_supported } }
    Object.assign(tenant.smart ?? {}, { sendNonce: false })
    const { response } = await begin()
    expect([response.status, response.headers.get('location'), response.headers.getSetCookie()]).toEqual([400, null, []])
  })

  test('that finds the token expired, in words instead of FHIR, gets another try with a new one and the same refresh token where it gives no other', async () => {
    const { read } = await launched()
    const refuse = (...tokens: readonly string[]): Persona['raw'] => (path, response) => {
      if (!path.includes('/Patient/') || !tokens.includes(calls.at(-1)?.authorization ?? '')) return false
      response.writeHead(401, { 'content-type': 'text/plain' }).end('Token expired (simulated error)')
      return true
    }
    persona = { token: { refresh_token: undefined, id_token: undefined }, raw: refuse('Bearer access-1') }
    expect((await read()).status).toBe(200)
    persona = { token: { refresh_token: undefined }, raw: refuse('Bearer access-1', 'Bearer access-2') }
    expect((await read()).status).toBe(200)
    expect(calls.filter(({ form }) => form['grant_type'] === 'refresh_token').map(({ form }) => form['refresh_token'])).toEqual(['refresh-1', 'refresh-1'])
  })

  test.each([
    ['a gateway’s page', 403, '<html>Forbidden</html>'], ['nothing', 401, ''], ['a page to sign in at', 400, '<html>Sign in</html>'], ['JSON that is no OAuth error', 403, '{"message":"Forbidden"}'],
    ['an OAuth error that passes', 400, '{"error":"temporarily_unavailable"}']
  ])('before which %s (%d) refuses a renewal once does not end the session: the next request renews it', async (_name, status, body) => {
    const { read } = await launched()
    let times = 0
    persona = { revoked: new Set(['Bearer access-1']), raw: (path, response) => {
      if (path !== '/oauth2/v1/token' || times++ > 0) return false
      response.writeHead(status).end(body)
      return true
    } }
    expect([(await read()).status, (await read()).status]).toEqual([502, 200])
  })

  test('that gives no refresh token ends the session when the record refuses the access token twice, not when a gateway does once', async () => {
    persona = { token: { refresh_token: undefined } }
    const { read } = await launched()
    const refuses = (times: number): Persona['raw'] => (path, response) => {
      if (!path.includes('/Patient/') || times-- <= 0) return false
      response.writeHead(401, { 'content-type': 'text/html' }).end('<html>401</html>')
      return true
    }
    persona = { raw: refuses(1) }
    expect((await read()).status).toBe(200)
    persona = { raw: refuses(2) }
    expect((await read()).status).toBe(401)
  })

  test.each([401, 403])('that simulates an invalid client or an expired refresh token (%d) ends the launch or the session with a page that says so', async (tokenStatus) => {
    const one = await launched()
    persona = { tokenStatus, revoked: new Set(['Bearer access-1']) }
    expect((await one.read()).status).toBe(401)
    const response = await back(await begin())
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining('JointLens cannot open')])
  })
})

/**
 * As the documents of vendors and their servers show the token answer and the identity. Each opens the app for the clinician whom the identity names; what
 * its configuration does not vouch for opens nothing.
 */
describe('a vendor’s server', () => {
  /** The OpenID configuration of an issuer below ours, which names itself as it is told to. */
  const below = (path: string, named = `${issuer}${path}`): Persona['raw'] => (asked, response) => {
    if (asked !== `/oauth2${path.replace(/\/$/, '')}/.well-known/openid-configuration`) return false
    json(response, 200, { issuer: named, jwks_uri: `${issuer}/v1/keys`, id_token_signing_alg_values_supported: ['RS256'] })
    return true
  }
  const oracle = '/oidc/idsps/ec2458f2/'

  test.each<[string, () => Persona]>([
    ['Oracle Health', () => ({
      raw: below(oracle), claims: { iss: `${issuer}${oracle}`, profile: `${fhirBase}/Practitioner/doc-1`, name: 'Portal, Portal' },
      token: { token_type: 'Bearer', expires_in: 570, scope: 'launch openid fhirUser online_access patient/Media.read patient/Observation.read patient/Observation.write', user: '12742069', tenant: 'ec2458f2', username: 'portal', need_patient_banner: true, encounter: '97939518', refresh_token: undefined }
    })],
    ['Epic', () => ({
      token: {
        token_type: 'Bearer', expires_in: 3600, scope: 'user/ImagingStudy.Read user/Observation.read user/Observation.write fhirUser launch launch/encounter launch/patient openid', '__epic.dstu2.patient': 'T1wI5bk8n1YV', encounter: 'eUAW2-QkdwCE7KH7awS8sfw3', location: 'eweKBcq8ruM-1MzZAX-A', loginDepartment: 'e4W4rmGe9QzuGm2Dy4NBqVc0', state: 'abc123', refresh_token: undefined
      }
    })],
    ['eClinicalWorks', () => ({ claims: { aud: ['jointlens', fhirBase], azp: 'jointlens', vendorId: '1045' }, token: { encounter: '', scope: 'openid fhirUser launch user/Observation.write user/Patient.read' } })],
    ['Microsoft, which names no issuer,', () => ({ configuration: { issuer: undefined, capabilities: ['sso-openid-connect'] }, raw: below('/t1/v2.0'), claims: { iss: `${issuer}/t1/v2.0` } })],
    ['Auth0, whose issuer ends with a slash that the EHR leaves out,', () => ({ raw: below('/'), claims: { iss: `${issuer}/` } })],
    ['Okta, whose issuer the EHR ends with a slash,', () => ({ configuration: { issuer: `${issuer}/` } })],
    ['Medplum', () => ({ claims: { fhirUser: 'Practitioner/doc-1', login_id: 'l', aud: 'jointlens' }, token: { project: { reference: 'Project/1' }, profile: { reference: 'Practitioner/doc-1' }, smart_style_url: 'https://api.medplum.example/style.json' } })],
    ['Keycloak', () => ({ claims: { azp: 'jointlens', typ: 'ID', session_state: 's', acr: '1' }, token: { 'not-before-policy': 0, session_state: 's', refresh_expires_in: 1800 } })]
  ])('%s opens the app for its clinician', async (_name, answers) => {
    persona = answers()
    expect((await launched()).session).toMatchObject({ name: 'pat-1', canSign: true })
  })

  test.each<[string, () => Persona]>([
    ['is of an issuer above the one that is named', () => ({ raw: (asked, response) => { if (asked !== '/.well-known/openid-configuration') return false; json(response, 200, { issuer: originOf(auth), jwks_uri: `${issuer}/v1/keys` }); return true }, claims: { iss: originOf(auth) } })],
    ['climbs out of it', () => ({ raw: below('/../evil'), claims: { iss: `${issuer}/../evil` } })],
    ['is of an issuer whose name begins like ours', () => ({ claims: { iss: `${issuer}-evil` } })],
    ['hides its issuer in a query', () => ({ raw: below('/x?y=1'), claims: { iss: `${issuer}/x?y=1` } })],
    ['is of an issuer below ours that calls itself ours', () => ({ raw: below(oracle, issuer), claims: { iss: `${issuer}${oracle}` } })],
    ['is of an issuer below ours that has no configuration', () => ({ claims: { iss: `${issuer}${oracle}` } })],
    ['is of the FHIR server where no issuer is named', () => ({ configuration: { issuer: undefined }, claims: { iss: fhirBase } })],
    ['names no issuer', () => ({ claims: { iss: undefined } })], ['names a number', () => ({ claims: { iss: 7 } })],
    ['is of an issuer of another host', () => ({ claims: { iss: 'https://evil.example/oauth2' } })]
  ])('whose identity %s opens nothing, and nobody else is asked', async (_name, answers) => {
    persona = answers()
    expect((await back(await begin())).status).toBe(400)
    expect(calls.filter(({ path }) => path.startsWith('/evil') || path.includes('Patient'))).toEqual([])
  })

  test('says in quotes whether the patient’s banner is wanted, as Epic does', async () => {
    const bannerFor = async (need_patient_banner: unknown) => {
      persona = { token: { need_patient_banner } }
      return ((await sessions.get(`smart:${(await launched()).handle}`)) as AppSession).needPatientBanner
    }
    expect([await bannerFor('false'), await bannerFor('true'), await bannerFor(false), await bannerFor('no'), await bannerFor(undefined)]).toEqual([false, true, false, true, true])
  })
})

describe('two charts opened at once in one browser', () => {
  test('row 41: both arrive, each at its own patient, in whatever order the answers come', async () => {
    const go = browser()
    const [one, oneNonce] = [await begin(go), nonce]
    const [two, twoNonce] = [await begin(go), nonce]
    persona = { token: { patient: 'pat-2' } }
    nonce = twoNonce
    const second = (await back(two)).headers.get('location')?.split('/').at(-1) ?? ''
    persona = {}
    nonce = oneNonce
    const first = (await back(one)).headers.get('location')?.split('/').at(-1) ?? ''
    const patientOf = async (handle: string) => (await (await go(`${base}/smart/api/${handle}/session`)).json() as { name: string }).name
    expect([await patientOf(first), await patientOf(second)]).toEqual(['pat-1', 'pat-2'])
  })
})

describe('row 37: a token that the record refuses before its time', () => {
  test('is renewed once for all who wait, and the page goes on', async () => {
    const { read } = await launched()
    persona = { revoked: new Set(['Bearer access-1']) }
    const all = await Promise.all(Array.from({ length: 8 }, read))
    expect(all.map(({ status }) => status)).toEqual(Array(8).fill(200))
    expect(calls.filter(({ form }) => form['grant_type'] === 'refresh_token').map(({ form }) => form['refresh_token'])).toEqual(['refresh-1'])
  })

  test('and that the EHR does not renew ends the session, without a loop', async () => {
    const { read } = await launched()
    persona = { revoked: new Set(['Bearer access-1']), tokenStatus: 400 }
    const response = await read()
    expect([response.status, (await response.json() as { issue: { details: { text: string } }[] }).issue[0]?.details.text]).toEqual([401, 'ERR_SESSION'])
    expect(calls.filter(({ form }) => form['grant_type'] === 'refresh_token')).toHaveLength(1)
  })

  test('and its successor too is said as it is, after one try', async () => {
    const { read } = await launched()
    persona = { revoked: new Set(['Bearer access-1', 'Bearer access-2']) }
    expect((await read()).status).toBe(502)
    expect(calls.filter(({ form }) => form['grant_type'] === 'refresh_token')).toHaveLength(1)
  })

  test('whose renewal is for another patient, names one as nothing, or is no bearer token ends the session', async () => {
    for (const token of [{ patient: 'pat-2' }, { patient: null }, { patient: 'Patient/pat-1' }, { token_type: 'DPoP' }] as Record<string, unknown>[]) {
      persona = {}
      issued = 0
      const { read } = await launched()
      persona = { revoked: new Set(['Bearer access-1']), token }
      expect([token, (await read()).status >= 400]).toEqual([token, true])
      persona = {}
    }
  })

  test('gains no scope by being renewed, and keeps a narrower one', async () => {
    persona = { token: { scope: 'launch patient/*.rs' } }
    const { read, handle } = await launched()
    const scopeAfter = async (scope: string, refused: string) => {
      persona = { revoked: new Set([`Bearer ${refused}`]), token: { scope } }
      await read()
      return ((await sessions.get(`smart:${handle}`)) as AppSession).scope
    }
    expect(await scopeAfter('launch patient/*.cruds patient/Observation.rs', 'access-1')).toBe('launch patient/Observation.rs')
  })

  test('is asked for by one of several processes: the others take its answer from the store', async () => {
    const { read, handle } = await launched()
    const before = (await sessions.get(`smart:${handle}`)) as AppSession
    // Another process holds the claim, and finishes a moment later.
    await sessions.claim(`refresh:${createHash('sha256').update(before.accessToken).digest('base64url')}`, 15)
    persona = { revoked: new Set(['Bearer access-1']) }
    setTimeout(() => void sessions.put(`smart:${handle}`, { ...before, accessToken: 'of-the-other', refreshToken: 'refresh-9' }, 60), 250)
    expect((await read()).status).toBe(200)
    expect(calls.filter(({ form }) => form['grant_type'] === 'refresh_token')).toEqual([])
  })
})

describe('row 39: logout', () => {
  const logout = (one: Awaited<ReturnType<typeof launched>>) => one.go(`${one.api}/logout`, { method: 'POST', headers: { 'x-jointlens-csrf': one.session.csrf, origin: base } })

  test('gives both tokens back where the server takes them, with our proof', async () => {
    persona = { configuration: { revocation_endpoint: `${issuer}/v1/revoke` } }
    const one = await launched()
    expect((await logout(one)).status).toBe(204)
    const given = calls.filter(({ path }) => path === '/oauth2/v1/revoke').map(({ form }) => form)
    expect(given.map(({ token, token_type_hint }) => [token, token_type_hint]).sort()).toEqual([['access-1', 'access_token'], ['refresh-1', 'refresh_token']])
    expect(given.every(({ client_assertion }) => (client_assertion ?? '').split('.').length === 3)).toBe(true)
    expect((await one.read()).status).toBe(401)
  })

  test('ends the session here whatever the server answers', async () => {
    persona = { configuration: { revocation_endpoint: `${issuer}/v1/revoke` }, revocationStatus: 503 }
    const one = await launched()
    expect((await logout(one)).status).toBe(204)
    expect((await one.read()).status).toBe(401)
    persona = { configuration: '<html>' }
  })

  test('needs the page’s secret and our own origin', async () => {
    const one = await launched()
    for (const headers of [{}, { 'x-jointlens-csrf': one.session.csrf, origin: 'https://evil.example' }, { 'x-jointlens-csrf': one.session.csrf, origin: 'null' }] as Record<string, string>[])
      expect((await one.go(`${one.api}/logout`, { method: 'POST', headers })).status).toBe(403)
    expect((await one.read()).status).toBe(200)
  })
})

describe('a page that cannot open', () => {
  beforeEach(() => { Object.assign(tenant, { allowedOrigins: ['https://chart.example'] }) })
  const framers = (response: Response) => /frame-ancestors (.*)$/.exec(response.headers.get('content-security-policy') ?? '')?.[1]

  test('is shown in no frame when nobody knows whom it concerns: no tenant learns of another', async () => {
    const go = browser()
    for (const path of [`app/${'A'.repeat(43)}`, `capture/${'A'.repeat(43)}`, 'app/x', 'launch?iss=https://evil.example/fhir', 'launch', 'callback', `callback?state=${'A'.repeat(43)}`, 'callback?state=a&state=b']) {
      const response = await go(`${base}/smart/${path}`)
      expect([path, response.status >= 400, framers(response)]).toEqual([path, true, "'none'"])
    }
  })

  test('is shown in the frames of the EHR that it concerns: a refused launch, a callback that comes again, a session that is over', async () => {
    const go = browser()
    const ours = "'self' https://chart.example"
    expect(framers(await go(`${base}/smart/launch?iss=${encodeURIComponent(fhirBase)}&launch=a%20b`))).toBe(ours)
    const one = await launched()
    expect(framers(await back(one))).toBe(ours)
    await one.go(`${one.api}/logout`, { method: 'POST', headers: { 'x-jointlens-csrf': one.session.csrf } })
    expect(framers(await one.go(`${base}/smart/app/${one.handle}`))).toBe(ours)
    expect(framers(await go(`${base}/smart/app/${one.handle}`))).toBe(ours)
  })

  test('speaks the reader’s language and runs no script', async () => {
    const { handle } = await launched()
    const response = await browser()(`${base}/smart/app/${handle}`, { headers: { 'accept-language': 'de-CH,de;q=0.9' } })
    expect(response.status).toBe(401)
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; frame-ancestors 'self' https:\/\/chart\.example$/)
    expect(await response.text()).toMatch(/<html lang="de">.*<h1>Ihre Sitzung ist beendet<\/h1>/s)
  })
})
