import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Bundle, Observation } from 'fhir/r4.js'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { authorizeUrl, fhirJson, openBrowser, redeem, startDemoSite, type DemoSite } from './demo-site.ts'
import { freshKey } from '../../demo/keys.ts'

let site: DemoSite
beforeAll(async () => { site = await startDemoSite() })
afterAll(() => site.close())

/** From the chart to the token, as one browser. */
async function launched(patient: string, browser = openBrowser(site.ehr.url), change: Record<string, string | undefined> = {}) {
  const opened = await browser.go(`${site.ehr.url}/demo/launch?patient=${patient}&appContext=from-a-card`)
  expect(opened.url.startsWith(`${site.service.url}/smart/launch?iss=${encodeURIComponent(site.ehr.tenant.fhirBase)}&launch=`)).toBe(true)
  const launch = new URL(opened.url).searchParams.get('launch') ?? ''
  return browser.go(authorizeUrl(site, { launch, ...change }))
}

describe('a SMART launch from the demo chart', () => {
  test('brings the patient, the visit and who is signed in', async () => {
    const { url } = await launched('demo-1')
    expect(new URL(url).searchParams.get('state')).toBe('the-state')
    expect(new URL(url).searchParams.get('iss')).toBe(`${site.ehr.url}/auth`)
    const { status, body } = await redeem(site, url)
    expect(status).toBe(200)
    expect(body).toMatchObject({ token_type: 'Bearer', patient: 'demo-1', encounter: 'demo-1-encounter', appContext: 'from-a-card', need_patient_banner: true })
    const { payload } = await jwtVerify(String(body['id_token']), createRemoteJWKSet(new URL(`${site.ehr.url}/auth/jwks`)), {
      issuer: `${site.ehr.url}/auth`, audience: site.app.clientId
    })
    expect(payload).toMatchObject({ nonce: 'the-nonce', fhirUser: `${site.ehr.tenant.fhirBase}/Practitioner/demo-clinician` })
  })

  test('gives a token that sees its own patient and nobody else', async () => {
    const token = String((await redeem(site, (await launched('demo-1')).url)).body['access_token'])
    expect((await site.get('/fhir/Patient/demo-1', token)).status).toBe(200)
    expect((await site.get('/fhir/Binary/demo-1-left', token)).status).toBe(200)
    for (const path of ['Patient/demo-2', 'Media/demo-2-left', 'Binary/demo-2-left', 'Condition/demo-2-ra'])
      expect((await site.get(`/fhir/${path}`, token)).status).toBe(403)
    for (const path of ['Media?patient=demo-2', 'Patient?_id=demo-2'])
      expect((await fhirJson<Bundle>(await site.get(`/fhir/${path}`, token))).total).toBe(0)
    expect((await fhirJson<Bundle>(await site.get('/fhir/Patient', token))).entry?.map(({ resource }) => resource?.id)).toEqual(['demo-1'])
    expect((await fhirJson<Bundle>(await site.get('/fhir/Media?patient=demo-1&_include=Media:subject', token))).entry).toHaveLength(3)
  })

  test('gives a token that writes for its own patient and nobody else', async () => {
    const token = String((await redeem(site, (await launched('demo-1')).url)).body['access_token'])
    const observation = (patient: string) => ({ resourceType: 'Observation', status: 'final', code: { text: 'A test' }, subject: { reference: `Patient/${patient}` } })
    const written = await site.post('/fhir/Observation', observation('demo-1'), token)
    expect(written.status).toBe(201)
    const { id } = await fhirJson<Observation>(written)
    expect((await site.post('/fhir/Observation', observation('demo-2'), token)).status).toBe(403)
    const moved = await fetch(`${site.ehr.url}/fhir/Observation/${id}`, {
      method: 'PUT', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, body: JSON.stringify({ ...observation('demo-2'), id })
    })
    expect(moved.status).toBe(403)
    const provenance = (target: string) => ({ resourceType: 'Provenance', target: [{ reference: target }], recorded: '2026-11-24T08:00:00Z', agent: [{ who: { reference: 'Practitioner/demo-clinician' } }] })
    expect((await site.post('/fhir/Provenance', provenance(`Observation/${id}`), token)).status).toBe(201)
    expect((await site.post('/fhir/Provenance', provenance('Media/demo-2-left'), token)).status).toBe(403)
  })

  test('keeps two charts of one browser apart', async () => {
    const browser = openBrowser(site.ehr.url)
    const [first, second] = [await launched('demo-1', browser), await launched('demo-2', browser)]
    expect((await redeem(site, second.url)).body['patient']).toBe('demo-2')
    expect((await redeem(site, first.url)).body['patient']).toBe('demo-1')
  })

  test('can be renewed, for the same patient, with each refresh token once', async () => {
    const { body } = await redeem(site, (await launched('demo-5')).url)
    const refresh = () => site.token(site.app, { grant_type: 'refresh_token', refresh_token: String(body['refresh_token']) })
    const renewed = await refresh()
    expect(renewed.body).toMatchObject({ patient: 'demo-5' })
    expect((await site.get('/fhir/Patient/demo-5', String(renewed.body['access_token']))).status).toBe(200)
    expect((await refresh()).status).toBe(400)
  })

  test('is refused without PKCE, with a wrong verifier, for another FHIR server, and with a launch that nobody began', async () => {
    const errorOf = ({ url }: { url: string }) => new URL(url).searchParams.get('error')
    expect(errorOf(await launched('demo-1', undefined, { code_challenge: undefined, code_challenge_method: undefined }))).toBe('invalid_request')
    expect((await redeem(site, (await launched('demo-1')).url, 'another-verifier-that-is-long-enough-to-be-one-really')).status).toBe(400)
    expect(errorOf(await launched('demo-1', undefined, { aud: 'http://elsewhere.example/fhir' }))).toBe('invalid_request')
    expect(errorOf(await openBrowser(site.ehr.url).go(authorizeUrl(site, { launch: 'made-up' })))).toBe('invalid_request')
  })

  test('is good once', async () => {
    const browser = openBrowser(site.ehr.url)
    const launch = new URL((await browser.go(`${site.ehr.url}/demo/launch?patient=demo-1`)).url).searchParams.get('launch') ?? ''
    expect(new URL((await browser.go(authorizeUrl(site, { launch }))).url).searchParams.has('code')).toBe(true)
    expect(new URL((await browser.go(authorizeUrl(site, { launch }))).url).searchParams.get('error')).toBe('invalid_request')
  })

  test('does not redirect to an address that is not registered', async () => {
    const { page, status } = await openBrowser(site.ehr.url).go(authorizeUrl(site, { redirect_uri: 'http://127.0.0.1:1/steal' }))
    expect(status).toBe(400)
    expect(page).toContain('cannot accept the request')
  })
})

describe('a launch from outside the chart', () => {
  test('lets the clinician choose the patient, and says that no password is asked', async () => {
    const browser = openBrowser(site.ehr.url)
    const scope = site.app.scope.replace(/\blaunch\b(?!\/)/, 'launch/patient')
    const picker = await browser.go(authorizeUrl(site, { scope }))
    expect(picker.page).toContain('asks for no password')
    const action = /action="([^"]+)"/.exec(picker.page ?? '')?.[1] ?? ''
    const nobody = await browser.go(action, { method: 'POST', body: new URLSearchParams({ patient: 'nobody' }) })
    expect(nobody.status).toBe(400)
    const chosen = await browser.go(action, { method: 'POST', body: new URLSearchParams({ patient: 'demo-3' }) })
    expect((await redeem(site, chosen.url)).body).toMatchObject({ patient: 'demo-3', encounter: 'demo-3-encounter' })
  })
})

describe('clients prove themselves with their keys', () => {
  test('RS384 and ES384 assertions are accepted; another key, another audience and a used assertion are not', async () => {
    const form = { grant_type: 'client_credentials', scope: 'system/Media.rs' }
    expect(site.backend.key.alg).toBe('RS384')
    expect((await site.token(site.backend, form)).status).toBe(200)
    const other = { ...(await freshKey('RS384')), kid: site.backend.key.kid }
    expect((await site.token(site.backend, form, { key: other })).status).toBe(401)
    expect((await site.token(site.backend, form, { audience: 'http://elsewhere.example/token' })).status).toBe(401)
    const nothing = await fetch(`${site.ehr.url}/auth/token`, { method: 'POST', body: new URLSearchParams({ ...form, client_id: site.backend.clientId }) })
    expect(nothing.status).toBe(401)
  })

  test('scopes that this server does not know are not granted', async () => {
    const { status, body } = await site.token(site.backend, { grant_type: 'client_credentials', scope: 'system/Media.rs system/Everything.cruds' })
    expect(status === 400 || body['scope'] === 'system/Media.rs').toBe(true)
  })
})
