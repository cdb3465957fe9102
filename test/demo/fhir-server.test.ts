import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { fhirJson, startDemoSite, type DemoSite } from './demo-site.ts'
import type { Binary, Bundle, CapabilityStatement, Media, Observation } from 'fhir/r4.js'

let site: DemoSite
let token: string
beforeAll(async () => {
  site = await startDemoSite()
  token = await site.backendToken()
})
afterAll(() => site.close())

const observation = (value: string, patient = 'demo-1') => ({
  resourceType: 'Observation', status: 'preliminary', code: { text: 'A test' }, subject: { reference: `Patient/${patient}` },
  identifier: [{ system: 'urn:test', value }]
})
const identified = (value: string) => `Observation?identifier=urn:test%7C${value}`

describe('the demo FHIR server', () => {
  test('shows its capabilities and its SMART configuration to anybody', async () => {
    const statement = await fhirJson<CapabilityStatement>(await site.get('/fhir/metadata'))
    expect(statement.fhirVersion).toBe('4.0.1')
    expect(statement.rest?.[0]?.resource?.map(({ type }) => type)).toEqual(expect.arrayContaining(['Patient', 'Media', 'Observation', 'Provenance']))
    const smart = await fhirJson<Record<string, unknown>>(await site.get('/fhir/.well-known/smart-configuration'))
    expect(smart).toMatchObject({ issuer: `${site.ehr.url}/auth`, code_challenge_methods_supported: ['S256'], token_endpoint_auth_methods_supported: ['private_key_jwt'] })
  })

  test('every search parameter that it lists finds its own resources', async () => {
    const media = async (query: string) => (await fhirJson<Bundle>(await site.get(`/fhir/Media?${query}`, token))).total
    expect(await media('patient=demo-1')).toBe(2)
    expect(await media('subject=Patient/demo-1')).toBe(2)
    expect(await media('patient=Patient/demo-5')).toBe(4)
    expect(await media('patient=demo-4')).toBe(0)
    expect(await media('patient=demo-1&site=http://snomed.info/sct%7C789218009')).toBe(1)
    expect(await media('patient=demo-5&created=gt2999-01-01')).toBe(0)
  })

  test.each(['/fhir/Patient', '/fhir/Patient/demo-1', '/fhir/Binary/demo-1-left', '/fhir/Media?patient=demo-1'])('gives %s to nobody without a token', async (path) => {
    const response = await site.get(path)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('Bearer')
    expect(await response.text()).not.toContain('demo-1')
  })

  test('a token that someone else signed opens nothing', async () => {
    expect((await site.get('/fhir/Patient', `${token.slice(0, -8)}AAAAAAAA`)).status).toBe(401)
  })

  test('a backend service reads patients and photos, and writes what its scopes allow', async () => {
    const bundle = await fhirJson<Bundle>(await site.get('/fhir/Patient', token))
    expect(bundle.entry?.map(({ resource }) => resource?.id)).toEqual(['demo-1', 'demo-2', 'demo-3', 'demo-4', 'demo-5'])
    expect((await site.post('/fhir/Observation', observation('scoped'), token)).status).toBe(201)
    expect((await site.post('/fhir/Patient', { resourceType: 'Patient' }, token)).status).toBe(403)
    const readOnly = await site.backendToken('system/Media.rs')
    expect((await site.get('/fhir/Media', readOnly)).status).toBe(200)
    expect((await site.get('/fhir/Patient', readOnly)).status).toBe(403)
    expect((await site.post('/fhir/Observation', observation('no'), readOnly)).status).toBe(403)
  })

  test('a photo comes raw to who asks for pictures and as a Binary to who asks for FHIR, as large and the same as Media says', async () => {
    const bundle = await fhirJson<Bundle>(await site.get('/fhir/Media?patient=demo-1', token))
    for (const { resource } of bundle.entry ?? []) {
      const { content } = resource as Media
      expect(content.url).toMatch(`${site.ehr.url}/fhir/Binary/`)
      const raw = await fetch(content.url ?? '', { headers: { authorization: `Bearer ${token}`, accept: 'image/jpeg, application/fhir+json;q=0.5' } })
      expect(raw.headers.get('content-type')).toBe('image/jpeg')
      const bytes = Buffer.from(await raw.arrayBuffer())
      expect(bytes.length).toBe(content.size)
      expect(createHash('sha1').update(bytes).digest('base64')).toBe(content.hash)
      const json = await fetch(content.url ?? '', { headers: { authorization: `Bearer ${token}`, accept: 'application/fhir+json' } })
      expect(Buffer.from((await fhirJson<Binary>(json)).data ?? '', 'base64').equals(bytes)).toBe(true)
    }
  })

  test('a conditional create makes one, and one only', async () => {
    const create = () => fetch(`${site.ehr.url}/fhir/Observation`, {
      method: 'POST', body: JSON.stringify(observation('once')),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json', 'if-none-exist': 'identifier=urn:test|once' }
    })
    const answers = await Promise.all([create(), create(), create()])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 201])
    expect((await fhirJson<Bundle>(await site.get(`/fhir/${identified('once')}`, token))).total).toBe(1)
  })

  test('a transaction resolves its own references, and leaves nothing behind when one entry is not valid', async () => {
    const entry = (value: string, more: object = {}) => ({
      fullUrl: `urn:uuid:00000000-0000-4000-8000-00000000000${value.length}`, resource: { ...observation(value), ...more }, request: { method: 'POST', url: 'Observation' }
    })
    const member = { hasMember: [{ reference: 'urn:uuid:00000000-0000-4000-8000-000000000001' }] }
    const good = await site.post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry: [entry('a'), entry('bb', member)] }, token)
    expect(good.status).toBe(200)
    const [first, second] = await Promise.all(['a', 'bb'].map(async (value) =>
      (await fhirJson<Bundle<Observation>>(await site.get(`/fhir/${identified(value)}`, token))).entry?.[0]?.resource))
    expect(second?.hasMember?.[0]?.reference).toBe(`Observation/${first?.id}`)
    const bad = await site.post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry: [entry('ccc'), entry('dddd', { status: undefined })] }, token)
    expect(bad.status).toBe(400)
    expect((await fhirJson<Bundle>(await site.get(`/fhir/${identified('ccc')}`, token))).total).toBe(0)
  })

  test('an update with an old version is refused', async () => {
    const created = await fhirJson<Observation>(await site.post('/fhir/Observation', observation('versions'), token))
    const update = (version: string) => fetch(`${site.ehr.url}/fhir/Observation/${created.id}`, {
      method: 'PUT', body: JSON.stringify({ ...created, note: [{ text: version }] }),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json', 'if-match': `W/"${version}"` }
    })
    expect((await update('another')).status).toBe(412)
    expect((await update(created.meta?.versionId ?? '')).status).toBe(200)
  })

  test('a client cannot choose the id of what it creates', async () => {
    const created = await fhirJson<Observation>(await site.post('/fhir/Observation', { ...observation('named'), id: 'demo-1' }, token))
    expect(created.id).not.toBe('demo-1')
  })

  test('pages lead on until everything was shown once', async () => {
    const seen: (string | undefined)[] = []
    for (let next: string | undefined = `${site.ehr.url}/fhir/Appointment?_count=3`; next;) {
      const page: Bundle = await fhirJson<Bundle>(await fetch(next, { headers: { authorization: `Bearer ${await site.backendToken()}` } }))
      seen.push(...(page.entry ?? []).map(({ resource }) => resource?.id))
      next = page.link?.find(({ relation }) => relation === 'next')?.url
    }
    expect(seen).toHaveLength(10)
    expect(new Set(seen).size).toBe(10)
  })

  test('a photo that is missing on disk ends the start and is named', async () => {
    const { startDemoEhr } = await import('../../demo/ehr.ts')
    await expect(startDemoEhr({ port: 0, host: '127.0.0.1', jointlensUrl: site.service.url, photoDir: '/nowhere' })).rejects.toThrow(/demo-1-left\.jpg in \/nowhere/)
  })

  test('answers only to its own name, so that no page from elsewhere reads the chart', async () => {
    const { request } = await import('node:http')
    const status = await new Promise<number | undefined>((resolve) => {
      request(`${site.ehr.url}/demo/patients`, { headers: { host: 'evil.example' } }, (response) => {
        response.resume()
        resolve(response.statusCode)
      }).end()
    })
    expect(status).toBe(421)
  })
})
