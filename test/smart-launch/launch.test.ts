import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import pino from 'pino'
import { makeConfig, makeTenant, type Config, type TenantConfig } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import { lastResort } from '../../src/last-resort.ts'
import type { TokenAnswer } from '../../src/fhir/token-request.ts'
import type { AuditedEvent } from '../../src/audit.ts'
import { openSmartRouter } from '../../smart-launch/server/open-smart-router.ts'
import { openMemorySessions } from '../support/memory-sessions.ts'
import type { AppSession, SessionStore } from '../../smart-launch/server/app-session.ts'
import type { Draft } from '../../smart-launch/server/drafts.ts'
import type { Previewed, ReviewDesk, SignedReview } from '../../smart-launch/server/review-desk.ts'

const provider = await generateKeyPair('RS384', { extractable: true })
const foreign = await generateKeyPair('RS384')
const jwks = { keys: [{ ...(await exportJWK(provider.publicKey)), kid: 'op', alg: 'RS384' }] }
const FHIR = 'https://ehr.example/fhir'

let server: Server
let config: Config
let base: string
let now: number
let granted: (form: Record<string, string>) => Promise<TokenAnswer>
let requests: Record<string, string>[]
let signed: unknown[]
let saved: unknown[]
let discovered: number
let handedOver: unknown[]
let audited: AuditedEvent[]
let revoked: unknown[]
let drafted: unknown[]
let sessions: SessionStore

beforeEach(async () => {
  now = Date.now()
  requests = []
  signed = []
  saved = []
  discovered = 0
  handedOver = []
  audited = []
  revoked = []
  drafted = []
  const app = express()
  server = createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const tenant = makeTenant({
    id: 'clinic', name: 'Clinic', fhirBase: FHIR, allowedOrigins: ['https://chart.example'],
    smart: { clientId: 'jointlens', key: { kty: 'EC', kid: 'k', alg: 'ES384', d: 'x' }, scope: 'launch openid fhirUser patient/*.rs' }
  })
  config = makeConfig({ host: '127.0.0.1', port: 0, publicUrl: base, dataDir: 'data', modelDir: 'm', device: 'cpu', profile: 'development', logLevel: 'silent', tenants: [tenant] })
  sessions = openMemorySessions()
  granted = async () => answer({ patient: 'pat-1', id_token: await idToken() })
  app.use('/smart', openSmartRouter({
    audit: { record: (event) => Promise.resolve(void audited.push(event)) },
    config,
    sessions,
    revokeTokens: (_tenant, { accessToken, refreshToken }) => Promise.resolve(void revoked.push([accessToken, refreshToken])).then(() => true),
    discover: () => Promise.resolve(void discovered++).then(() => ({ authorizationEndpoint: 'https://ehr.example/authorize', tokenEndpoint: 'https://ehr.example/token', issuer: 'https://ehr.example' })),
    requestToken: (_tenant, _endpoint, form) => {
      requests.push(form)
      return granted(form)
    },
    openIdKeys: () => Promise.resolve({ issuer: 'https://ehr.example', keys: jwks }),
    handOver: (...photos) => Promise.resolve(void handedOver.push(photos)),
    now: () => now,
    capture: {
      saved: () => Promise.resolve(['left']),
      check: (photo) => Promise.resolve({ usable: true, readable: photo.bytes.length, problems: [] }),
      save: (session, _tenant, { bytes, ageMs, camera, side }) => {
        saved.push({ patient: session.patientId, bytes: bytes.length, ageMs, camera, side })
        return Promise.resolve({ reference: 'Media/1' })
      }
    },
    desk: {
      newestPhotos: () => Promise.resolve(['left hand', 'right']),
      describe: (session: AppSession) => Promise.resolve({ patientId: session.patientId, fhirUser: session.fhirUser, token: session.accessToken.length > 0 }),
      review: (session: AppSession) => Promise.resolve({ patientId: session.patientId }),
      map: (session: AppSession, _tenant: TenantConfig, photo: string, at: object) => Promise.resolve({ patientId: session.patientId, photo, ...at }),
      keepDraft: (session: AppSession, draft: Draft) => Promise.resolve(void drafted.push([session.patientId, draft])),
      sign: (_session: AppSession, _tenant: TenantConfig, review: SignedReview, previewed: Previewed) => {
        signed.push([review, previewed])
        return Promise.resolve({ written: [] })
      }
    } as unknown as ReviewDesk
  }))
  app.use(lastResort(pino({ level: 'silent' })))
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

const answer = (extra: Record<string, unknown>, more: Partial<TokenAnswer> = {}): TokenAnswer =>
  ({ accessToken: 'secret-token', expiresInSeconds: 300, scope: 'patient/*.rs', extra, ...more })

let nonce = ''
async function idToken(change: Record<string, unknown> & { iss?: string; aud?: string; exp?: number } = {}, key: CryptoKey = provider.privateKey) {
  const at = Math.floor(now / 1000)
  return new SignJWT({ nonce, fhirUser: `${FHIR}/Practitioner/doc-1`, ...change }).setProtectedHeader({ alg: 'RS384', kid: 'op' })
    .setIssuer(change.iss ?? 'https://ehr.example').setAudience(change.aud ?? 'jointlens').setSubject('s').setIssuedAt(at)
    .setExpirationTime(change.exp ?? at + 300).sign(key)
}

/** What a browser keeps between two requests. */
function browser() {
  const jar = new Map<string, string>()
  return async (address: string, init: RequestInit = {}, namesOrigin = true) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    // As browsers do with everything but GET and HEAD.
    const own = init.method === undefined || !namesOrigin ? {} : { origin: base }
    const response = await fetch(address, { redirect: 'manual', ...init, headers: { ...own, ...(init.headers as Record<string, string>), ...(cookie ? { cookie } : {}) } })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value) jar.set(name, value)
      else jar.delete(name)
    }
    return response
  }
}

async function begin(go = browser(), query = `iss=${encodeURIComponent(FHIR)}&launch=abc`) {
  const response = await go(`${base}/smart/launch?${query}`)
  const redirect = new URL(response.headers.get('location') ?? 'about:blank')
  nonce = redirect.searchParams.get('nonce') ?? ''
  return { go, response, redirect, state: redirect.searchParams.get('state') ?? '' }
}

async function finish(started: Awaited<ReturnType<typeof begin>>, query = `code=c&state=${started.state}`) {
  return started.go(`${base}/smart/callback?${query}`)
}

async function launched() {
  const started = await begin()
  const handle = (await finish(started)).headers.get('location')?.split('/').at(-1) ?? ''
  const session = await (await started.go(`${base}/smart/api/${handle}/session`)).json() as { csrf: string; patientId: string; fhirUser?: string }
  return { ...started, handle, session }
}

describe('who sees findings', () => {
  const standalone = () => begin(browser(), `iss=${encodeURIComponent(FHIR)}`)
  const landing = async (started: Awaited<ReturnType<typeof begin>>) => (await finish(started)).headers.get('location')

  test.each([
    ['a patient', `${FHIR}/Patient/pat-1`], ['a patient of another server', 'https://other.example/Patient/9'], ['a relative', 'RelatedPerson/mum'], ['a person', `${FHIR}/Person/7`]
  ])('%s lands on the page that takes photos, however they launched', async (_name, fhirUser) => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ fhirUser }) })
    expect(await landing(await begin())).toMatch(/^\/smart\/capture\//)
    expect(await landing(await standalone())).toMatch(/^\/smart\/capture\//)
  })

  test('whoever launches outside an EHR without an identity may be a patient; from within an EHR it is somebody whom that has signed in', async () => {
    granted = () => Promise.resolve(answer({ patient: 'pat-1' }))
    const started = await standalone()
    const location = await landing(started)
    expect(location).toMatch(/^\/smart\/capture\//)
    const handle = location?.split('/').at(-1) ?? ''
    expect((await started.go(`${base}/smart/api/${handle}/review`)).status).toBe(403)
    expect(await landing(await begin())).toMatch(/^\/smart\/app\//)
  })

  test('a clinician whom the EHR names by another server’s address is one', async () => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ fhirUser: 'https://hr.example/Practitioner/doc-1' }) })
    expect(await landing(await standalone())).toMatch(/^\/smart\/app\//)
  })

  test('a refusal is written down like what was done, and so is a launch that fails', async () => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ fhirUser: `${FHIR}/Patient/pat-1` }) })
    const started = await begin()
    const handle = (await finish(started)).headers.get('location')?.split('/').at(-1) ?? ''
    await started.go(`${base}/smart/api/${handle}/review`)
    expect(audited.at(-1)).toEqual({ tenant: 'clinic', patientId: 'pat-1', actor: 'Patient/pat-1', action: 'refuse', outcome: 'failure', code: 'ERR_FORBIDDEN' })
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken({}, foreign.privateKey) })
    await finish(await begin())
    expect(audited.at(-1)).toEqual({ tenant: 'clinic', actor: 'unknown user', action: 'launch', outcome: 'failure', code: 'ERR_LAUNCH_REFUSED' })
  })
})

test('row 31: of callbacks with one state that come at once, one sends the code', async () => {
  const started = await begin()
  const answers = await Promise.all(Array.from({ length: 4 }, () => finish(started)))
  expect(answers.map(({ status }) => status).sort()).toEqual([302, 400, 400, 400])
  expect(requests).toHaveLength(1)
})

describe('the launch', () => {
  test('rows 31 and 32: asks with PKCE S256, state, nonce and the EHR as audience', async () => {
    const { redirect, response } = await begin()
    const asked = Object.fromEntries(redirect.searchParams)
    expect(asked).toMatchObject({ response_type: 'code', client_id: 'jointlens', aud: FHIR, launch: 'abc', code_challenge_method: 'S256', redirect_uri: `${base}/smart/callback` })
    expect(asked['state']).toMatch(/^[\w-]{43}$/)
    expect(response.headers.getSetCookie()[0]).toMatch(/^__Host-jl-launch-[\w-]{12}=[\w-]{43}; .*Path=\/; Secure; HttpOnly; SameSite=None; Partitioned$/)
  })

  test('row 29: standalone asks for a patient instead of handing over a launch', async () => {
    const { redirect } = await begin(browser(), `iss=${encodeURIComponent(FHIR)}`)
    expect(redirect.searchParams.get('scope')).toBe('launch/patient openid fhirUser patient/*.rs')
    expect(redirect.searchParams.has('launch')).toBe(false)
  })

  test('row 30: from our EHR is taken with slashes at its end, and the audience is the iss that it gave', async () => {
    for (const [slashes, aud] of [['', FHIR], ['/', `${FHIR}/`], ['///', FHIR]] as const) expect((await begin(browser(), `iss=${encodeURIComponent(FHIR + slashes)}&launch=x`)).redirect.searchParams.get('aud')).toBe(aud)
  })

  test('takes a launch as long as the SMART launcher makes it with a key set inside, as it came', async () => {
    const launch = `${'a'.repeat(6000)}-_=+/`
    expect((await begin(browser(), `iss=${encodeURIComponent(FHIR)}&launch=${encodeURIComponent(launch)}`)).redirect.searchParams.get('launch')).toBe(launch)
    expect((await browser()(`${base}/smart/launch?iss=${encodeURIComponent(FHIR)}&launch=${'a'.repeat(8193)}`)).status).toBe(400)
  })

  test.each([
    ['an unknown EHR', 'iss=https://evil.example/fhir&launch=x'], ['no EHR', 'launch=x'], ['two EHRs', `iss=${FHIR}&iss=https://evil.example&launch=x`],
    ['an EHR that begins like ours', `iss=${FHIR}.evil.example&launch=x`], ['a launch with spaces', `iss=${FHIR}&launch=a%20b`],
    ['another path of our EHR', `iss=${FHIR}/other&launch=x`], ['another port of our EHR', 'iss=https://ehr.example:8443/fhir&launch=x'],
    ['http instead of https', 'iss=http://ehr.example/fhir&launch=x'],
    ['our EHR in capitals', 'iss=HTTPS://EHR.EXAMPLE/fhir&launch=x'], ['our EHR’s path in capitals', 'iss=https://ehr.example/FHIR&launch=x'], ['our EHR with a user name', 'iss=https://evil@ehr.example/fhir&launch=x'],
    ['our EHR as a user name', 'iss=https://ehr.example%2Ffhir@evil.example/fhir&launch=x'], ['an EHR in letters that look like ours', `iss=${encodeURIComponent('https://еhr.example/fhir')}&launch=x`],
    ['an EHR with another full stop', `iss=${encodeURIComponent('https://ehr。example/fhir')}&launch=x`], ['our EHR with a query', 'iss=https://ehr.example/fhir%3Fa%3Db&launch=x'],
    ['our EHR with a fragment', 'iss=https://ehr.example/fhir%23a&launch=x'], ['our EHR and a line more', 'iss=https://ehr.example/fhir%0d%0aevil&launch=x'],
    ['our EHR after a climb', 'iss=https://ehr.example/x/../fhir&launch=x'], ['our EHR with its port said', 'iss=https://ehr.example:443/fhir&launch=x'], ['our EHR with a space before', 'iss=%20https://ehr.example/fhir&launch=x'],
    ['an EHR in a list', 'iss[]=https://ehr.example/fhir&launch=x'], ['an EHR of slashes', `iss=${'/'.repeat(7000)}x&launch=x`], ['an empty launch', `iss=${FHIR}&launch=`]
  ])('row 30: from %s is refused with a page and no request', async (_name, query) => {
    const response = await browser()(`${base}/smart/launch?${query}`)
    expect(response.status).toBe(400)
    expect(await response.text()).not.toContain('evil')
    expect([requests, discovered]).toEqual([[], 0])
  })
})

describe('the way back', () => {
  test('row 32: exchanges the code with the verifier of this launch, and the page gets no token', async () => {
    const started = await begin()
    const response = await finish(started)
    const [form] = requests
    expect(createHash('sha256').update(form?.['code_verifier'] ?? '').digest('base64url')).toBe(started.redirect.searchParams.get('code_challenge'))
    expect(form).toMatchObject({ grant_type: 'authorization_code', code: 'c', redirect_uri: `${base}/smart/callback` })
    expect(response.headers.get('location')).toMatch(/^\/smart\/app\/[\w-]{43}$/)
    const { session } = await launched()
    expect(JSON.stringify(session)).not.toContain('secret-token')
    expect(session).toMatchObject({ patientId: 'pat-1', fhirUser: 'Practitioner/doc-1' })
  })

  const hostile: Record<string, () => Promise<Response>> = {
    'without a state': async () => finish(await begin(), 'code=c'),
    'with a state that was never given': async () => finish(await begin(), `code=c&state=${'A'.repeat(43)}`),
    'in another browser': async () => { const started = await begin(); return finish({ ...started, go: browser() }) },
    'a second time': async () => { const started = await begin(); await finish(started); return finish(started) },
    'with the error of the EHR': async () => { const started = await begin(); return finish(started, `error=access_denied&state=${started.state}`) },
    'from another authorization server (RFC 9207)': async () => { const started = await begin(); return finish(started, `code=c&state=${started.state}&iss=https://evil.example`) },
    'without a patient': async () => { const started = await begin(); granted = async () => answer({ id_token: await idToken() }); return finish(started) },
    'with a patient id that climbs': async () => { const started = await begin(); granted = async () => answer({ patient: '..', id_token: await idToken() }); return finish(started) },
    'with an identity for another launch': async () => { const started = await begin(); granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ nonce: 'other' }) }); return finish(started) },
    'with an identity signed by someone else': async () => { const started = await begin(); granted = async () => answer({ patient: 'pat-1', id_token: await idToken({}, foreign.privateKey) }); return finish(started) },
    'with an identity for another app': async () => { const started = await begin(); granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ aud: 'other' }) }); return finish(started) },
    'with an identity of yesterday': async () => { const started = await begin(); granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ exp: Math.floor(now / 1000) - 3600 }) }); return finish(started) },
    'with an identity of another issuer': async () => { const started = await begin(); granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ iss: 'https://evil.example' }) }); return finish(started) },
    'with an unsigned identity': async () => {
      const started = await begin()
      const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
      granted = () => Promise.resolve(answer({ patient: 'pat-1', id_token: `${encode({ alg: 'none' })}.${encode({ iss: 'https://ehr.example', aud: 'jointlens', nonce, exp: 9e9, iat: 1 })}.` }))
      return finish(started)
    }
  }
  test.each(Object.entries(hostile))('rows 31 and 35: %s opens nothing', async (_name, act) => {
    const response = await act()
    expect(response.status).toBe(400)
    expect(response.headers.get('location')).toBeNull()
  })
})

describe('what the EHR says with the token', () => {
  test.each([
    ['Practitioner/doc-1', 'Practitioner/doc-1'], [`${FHIR}/Practitioner/doc-1`, 'Practitioner/doc-1'], ['https://evil.example/fhir/Practitioner/doc-1', undefined],
    ['Practitioner/../Patient/1', undefined], ['Device/d', undefined], [7, undefined]
  ])('row 35: the user %s is known as %s', async (fhirUser, expected) => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken({ fhirUser }) })
    expect((await launched()).session.fhirUser).toBe(expected)
  })

  test.each<[string, Record<string, unknown>]>([
    ['a style that is no address', { smart_style_url: 'javascript:alert(1)' }], ['a tenant', { tenant: 'other' }], ['an intent of another app', { intent: 'reconcile' }],
    ['no wish for a banner', { need_patient_banner: false }], ['members that nobody knows', { dateOfVisit: 'today', constructor: {} }]
  ])('row 38: with %s the app opens for the same patient', async (_name, extra) => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken(), ...extra })
    expect((await launched()).session.patientId).toBe('pat-1')
  })
})

describe('row 39: the browser', () => {
  test('gets no cookie of a session that it or a page chose itself: secret and handle are new with each launch', async () => {
    const go = browser()
    const first = await begin(go)
    const planted = { headers: { cookie: `__Host-jl-launch-${first.state.slice(0, 12)}=planted` } }
    expect((await fetch(`${base}/smart/callback?code=c&state=${first.state}`, { redirect: 'manual', ...planted })).status).toBe(400)
    const handles = new Set<string>()
    const cookies = new Set<string>()
    for (let launch = 0; launch < 3; launch++) {
      const response = await finish(await begin(go))
      handles.add(response.headers.get('location') ?? '')
      for (const line of response.headers.getSetCookie().filter((one) => !/Max-Age=0/.test(one))) {
        expect(line).toMatch(/^__Host-jl-[\w-]+=[\w-]{43}; .*Path=\/; Secure; HttpOnly; SameSite=None; Partitioned$/)
        cookies.add(line)
      }
    }
    expect([handles.size, cookies.size]).toEqual([3, 3])
  })
})

describe('row 40: every page and answer', () => {
  test('says who may frame it, and no address leads elsewhere', async () => {
    const { go, handle } = await launched()
    for (const path of [`app/${handle}`, `capture/${handle}`]) {
      const response = await go(`${base}/smart/${path}`)
      expect([path, response.status]).toEqual([path, 200])
      const policy = response.headers.get('content-security-policy') ?? ''
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("frame-ancestors 'self' https://chart.example")
      expect(policy).not.toMatch(/unsafe|\*/)
      expect((await response.text()).match(/href="\/smart\/api[^"]*"/g) ?? []).toEqual(
        path.startsWith('capture') ? [] : ['session', 'review', 'photos/left%20hand', 'photos/right'].map((one) => `href="/smart/api/${handle}/${one}"`))
    }
    for (const query of ['redirect=https://evil.example', 'next=//evil.example', 'redirect_uri=https://evil.example', 'fhirServiceUrl=https://evil.example&patientId=pat-2']) {
      const started = await begin(browser(), `iss=${encodeURIComponent(FHIR)}&launch=abc&${query}`)
      expect(started.redirect.origin).toBe('https://ehr.example')
      expect(started.redirect.searchParams.get('redirect_uri')).toBe(`${base}/smart/callback`)
      expect((await finish(started, `code=c&state=${started.state}&${query}`)).headers.get('location')).toMatch(/^\/smart\/app\//)
    }
  })
})

test('row 40: what the API answers is embedded by no page of another site, whether it is asked well or not', async () => {
  const { go, handle } = await launched()
  for (const path of [`${handle}/session`, `${handle}/review`, `${'A'.repeat(43)}/session`, `${handle}/nothing`])
    expect([path, (await go(`${base}/smart/api/${path}`)).headers.get('cross-origin-resource-policy')]).toEqual([path, 'same-origin'])
})

describe('photos that a launch names', () => {
  test('row 38: are handed over for its own patient, by fhirContext and by appContext, and nothing else of them is', async () => {
    granted = async () => answer({
      patient: 'pat-1', id_token: await idToken(), appContext: 'Media/c from-a-card',
      fhirContext: [{ reference: 'Media/a' }, { reference: `${FHIR}/DocumentReference/b`, role: 'launch' }, { reference: 'Observation/x' },
        { reference: 'https://evil.example/fhir/Media/y' }, { reference: 'Media/..' }, { canonical: 'http://q' }, null, 7]
    })
    await launched()
    expect(handedOver).toEqual([['clinic', 'pat-1', ['Media/a', 'DocumentReference/b', 'Media/c']]])
  })

  test('do not keep the app from opening when the context is no list', async () => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken(), fhirContext: 'Media/a' })
    expect((await launched()).session.patientId).toBe('pat-1')
    expect(handedOver).toEqual([['clinic', 'pat-1', []]])
  })
})

const previewed = { at: '2026-11-26T09:00:00.000Z', digest: 'd'.repeat(43) }

describe('a session', () => {
  test('row 39: belongs to the browser that launched it', async () => {
    const { handle } = await launched()
    expect((await browser()(`${base}/smart/api/${handle}/session`)).status).toBe(401)
  })

  test('row 41: of two launches in one browser never mixes patients', async () => {
    const one = await launched()
    const second = await begin(one.go)
    granted = async () => answer({ patient: 'pat-2', id_token: await idToken() })
    const handle = (await finish(second)).headers.get('location')?.split('/').at(-1) ?? ''
    const patientOf = async (id: string) => (await (await one.go(`${base}/smart/api/${id}/session`)).json() as { patientId: string }).patientId
    expect([await patientOf(one.handle), await patientOf(handle)]).toEqual(['pat-1', 'pat-2'])
  })

  test.each([
    ['without the page’s secret', {}], ['with another one', { 'x-jointlens-csrf': 'guess' }]
  ])('signs nothing %s', async (_name, headers) => {
    const { go, handle } = await launched()
    const response = await go(`${base}/smart/api/${handle}/sign`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: '{}' })
    expect([response.status, signed]).toEqual([403, []])
  })

  test('signs nothing for a page of another origin', async () => {
    const { go, handle, session } = await launched()
    const response = await go(`${base}/smart/api/${handle}/sign`, {
      method: 'POST', headers: { 'content-type': 'application/json', 'x-jointlens-csrf': session.csrf, origin: 'https://evil.example' },
      body: JSON.stringify({ review: { screeningId: 's', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] }, previewed })
    })
    expect([response.status, signed]).toEqual([403, []])
  })

  test.each([
    ['no origin at all', {}, 403], ['no origin, from another site', { 'sec-fetch-site': 'cross-site' }, 403], ['no origin, from a sibling of our site', { 'sec-fetch-site': 'same-site' }, 403],
    ['no origin, typed by the person', { 'sec-fetch-site': 'none' }, 403], ['an opaque origin', { origin: 'null', 'sec-fetch-site': 'same-origin' }, 403], ['an empty origin', { origin: '' }, 403],
    ['no origin, of our own page by the browser’s word', { 'sec-fetch-site': 'same-origin' }, 204], ['our own origin', { origin: 'ours' }, 204]
  ] as [string, Record<string, string>, number][])('row 39: a change that comes with %s', async (_name, headers, status) => {
    const { handle, session, go } = await launched()
    const { origin, ...others } = headers
    const sent = { 'content-type': 'application/json', 'x-jointlens-csrf': session.csrf, ...others, ...(origin === undefined ? {} : { origin: origin === 'ours' ? base : origin }) }
    const draft = { screeningId: 's', decisions: [], tender: [], swollen: [], examinedAll: false, typed: {} }
    expect((await go(`${base}/smart/api/${handle}/draft`, { method: 'PUT', headers: sent, body: JSON.stringify(draft) }, false)).status).toBe(status)
    expect(drafted.length).toBe(status === 204 ? 1 : 0)
  })

  test('signs what the form allows and nothing else', async () => {
    const { go, handle, session } = await launched()
    const send = (body: unknown) => go(`${base}/smart/api/${handle}/sign`, {
      method: 'POST', headers: { 'content-type': 'application/json', 'x-jointlens-csrf': session.csrf }, body: JSON.stringify(body)
    })
    const review = { screeningId: 's', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }], activity: { patientGlobal: 3 }, examined: { tender: [{ side: 'left', joint: 'knee' }], swollen: [] } }
    const refused: readonly object[] = [
      { review: { ...review, examined: { tender: [], swollen: [{ side: 'left', joint: 'mcp2' }] } }, previewed },
      { review: { ...review, decisions: [{ side: 'left', joint: 'mcp9', call: 'swollen' }] }, previewed },
      { review: { ...review, patientId: 'pat-2' }, previewed }, { review: { screeningId: 's', decisions: [] }, previewed },
      { review }, review, { review, previewed: { ...previewed, digest: 'short' } }, { review, previewed: { ...previewed, at: 'yesterday' } }
    ]
    for (const body of refused) expect((await send(body)).status).toBe(400)
    expect((await send({ review, previewed })).status).toBe(201)
    expect(signed).toEqual([[review, previewed]])
  })

  test('corrects what was seen, by our ids and their tokens and by nothing else, and that is written down as a correction', async () => {
    const { go, handle, session } = await launched()
    const send = (corrects: unknown) => go(`${base}/smart/api/${handle}/sign`, {
      method: 'POST', headers: { 'content-type': 'application/json', 'x-jointlens-csrf': session.csrf, origin: base }, body: JSON.stringify({ review: { screeningId: 's', decisions: [], corrects }, previewed })
    })
    const seen = { '6d795067-315f-5245-9f7a-af6a4031eeac': 'a'.repeat(16) }
    for (const wrong of [{ 'Observation/1': 'a'.repeat(16) }, { [Object.keys(seen)[0] ?? '']: 'W/"1"' }, [], 'all']) expect((await send(wrong)).status).toBe(400)
    expect((await send(seen)).status).toBe(201)
    expect(signed).toEqual([[{ screeningId: 's', decisions: [], corrects: seen }, previewed]])
    expect(audited.at(-1)).toMatchObject({ action: 'correct', entity: 'Screening/s', outcome: 'success' })
  })

  test('asks for the map of a joint with side and joint, and with nothing else', async () => {
    const { go, handle } = await launched()
    const ask = (query: string) => go(`${base}/smart/api/${handle}/photos/p1/map?${query}`)
    expect((await ask('side=left')).status).toBe(400)
    expect((await ask('side=left&joint=toe')).status).toBe(400)
    expect(await (await ask('side=left&joint=mcp2')).json()).toEqual({ patientId: 'pat-1', photo: 'p1', side: 'left', joint: 'mcp2' })
    expect((await browser()(`${base}/smart/api/${handle}/photos/p1/map?side=left&joint=mcp2`)).status).toBe(401)
  })

  describe('of a patient or for photos', () => {
    const asPatient = async () => answer({ patient: 'pat-1', id_token: await idToken({ fhirUser: `${FHIR}/Patient/pat-1` }) })
    const send = (go: ReturnType<typeof browser>, handle: string, csrf: string, query: string, type = 'image/jpeg', to = 'save') =>
      go(`${base}/smart/api/${handle}/capture/${to}?${query}`, { method: 'POST', headers: { 'content-type': type, 'x-jointlens-csrf': csrf }, body: 'bytes' })
    const good = 'side=left&consent=2026-11&age=1200&camera=back%20camera'

    test('lands on the capture page, and shows a patient nothing that the model says', async () => {
      granted = asPatient
      const started = await begin()
      const place = (await finish(started)).headers.get('location') ?? ''
      expect(place).toMatch(/^\/smart\/capture\/[\w-]{43}$/)
      const handle = place.split('/').at(-1) ?? ''
      expect((await started.go(`${base}/smart/app/${handle}`)).headers.get('location')).toBe(place)
      const { csrf } = await (await started.go(`${base}/smart/api/${handle}/session`)).json() as { csrf: string }
      for (const path of ['review', 'context', 'photos/p1', 'photos/p1/map?side=left&joint=mcp2'])
        expect([path, (await started.go(`${base}/smart/api/${handle}/${path}`)).status]).toEqual([path, 403])
      for (const path of ['preview', 'sign', 'held'])
        expect([path, (await started.go(`${base}/smart/api/${handle}/${path}`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-jointlens-csrf': csrf }, body: '{}' })).status]).toEqual([path, 403])
    })

    test('row 38: lands there too when the EHR names the intent, and on the review for any other', async () => {
      for (const [intent, page] of [['capture', 'capture'], ['reconcile-medications', 'app'], [7, 'app']] as const) {
        granted = async () => answer({ patient: 'pat-1', intent, id_token: await idToken() })
        expect((await finish(await begin())).headers.get('location')).toMatch(new RegExp(`^/smart/${page}/`))
      }
    })

    test('takes a picture with side, age and agreement, and nothing else', async () => {
      granted = asPatient
      const { go, handle, session } = await launched()
      expect((await send(go, handle, session.csrf, good)).status).toBe(201)
      expect(saved).toEqual([{ patient: 'pat-1', bytes: 5, ageMs: 1200, camera: 'back camera', side: 'left' }])
      expect((await send(go, handle, session.csrf, good, 'image/jpeg', 'check')).status).toBe(200)
      const refused = [['side=middle&consent=2026-11&age=1', 400], ['side=left&age=1', 400], ['side=left&consent=2026-11&age=-5', 400]] as const
      for (const [query, status] of refused) expect([query, (await send(go, handle, session.csrf, query)).status]).toEqual([query, status])
      expect((await send(go, handle, session.csrf, good, 'image/svg+xml')).status).toBe(415)
      expect((await send(go, handle, 'guess', good)).status).toBe(403)
      expect((await send(browser(), handle, session.csrf, good)).status).toBe(401)
      expect(saved.length).toBe(1)
    })

    test('does not write a camera’s name down that is more than a name', async () => {
      const { go, handle, session } = await launched()
      await send(go, handle, session.csrf, `side=left&consent=2026-11&age=1&camera=${encodeURIComponent('<script>')}`)
      expect(saved).toMatchObject([{ camera: 'camera not named' }])
    })
  })

  test('row 37: renews its token once for many requests, and sends a refresh token only once', async () => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken() }, { refreshToken: 'r1' })
    const { go, handle } = await launched()
    granted = () => Promise.resolve(answer({}, { accessToken: 'new', refreshToken: 'r2' }))
    now += 280_000
    requests = []
    const all = await Promise.all(Array.from({ length: 10 }, () => go(`${base}/smart/api/${handle}/review`)))
    expect(all.map(({ status }) => status)).toEqual(Array(10).fill(200))
    expect(requests).toEqual([{ grant_type: 'refresh_token', refresh_token: 'r1' }])
  })

  test('row 37: ends when the EHR renews no more, or names another patient', async () => {
    granted = async () => answer({ patient: 'pat-1', id_token: await idToken() }, { refreshToken: 'r1' })
    const { go, handle } = await launched()
    now += 280_000
    granted = () => Promise.resolve(answer({ patient: 'pat-2' }))
    expect((await go(`${base}/smart/api/${handle}/review`)).status).toBe(401)
    granted = () => Promise.reject(new ScreeningError('ERR_EHR_UNAUTHORIZED', 'no'))
    expect((await go(`${base}/smart/api/${handle}/review`)).status).toBe(401)
  })

  test('row 39: is gone after logout', async () => {
    const { go, handle, session } = await launched()
    expect((await go(`${base}/smart/api/${handle}/logout`, { method: 'POST', headers: { 'x-jointlens-csrf': session.csrf } })).status).toBe(204)
    expect((await go(`${base}/smart/api/${handle}/session`)).status).toBe(401)
  })

  test('is written down: who launched, looked and signed, for whom, and what failed (row 58)', async () => {
    const { go, handle, session } = await launched()
    const headers = { 'content-type': 'application/json', 'x-jointlens-csrf': session.csrf }
    await go(`${base}/smart/api/${handle}/review`)
    await go(`${base}/smart/api/${handle}/photos/p1`)
    await go(`${base}/smart/api/${handle}/sign`, { method: 'POST', headers, body: JSON.stringify({ review: { screeningId: 's', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] }, previewed }) })
    await go(`${base}/smart/api/${handle}/logout`, { method: 'POST', headers })
    expect(audited.map(({ action, entity, outcome }) => [action, entity, outcome])).toEqual([
      ['launch', undefined, 'success'], ['view-record', undefined, 'success'], ['view-findings', undefined, 'success'], ['view-photo', 'p1', 'failure'],
      ['sign', 'Screening/s', 'success'], ['logout', undefined, 'success']
    ])
    for (const event of audited) expect(event).toMatchObject({ tenant: 'clinic', patientId: 'pat-1', actor: 'Practitioner/doc-1' })
  })
})
