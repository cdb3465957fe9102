import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Observation } from 'fhir/r4.js'
import { handJointCount } from '../../src/joints/hand-joint-count.ts'
import { ScreeningError } from '../../src/errors.ts'
import { RESULT_ID } from '../../src/fhir/codes.ts'
import type { JointFinding } from '../../src/joints/finding.ts'
import type { JointAt } from '../../src/joints/hand-joint.ts'
import { writtenIds } from '../../src/screening/screening-input.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { NOW, openCdsHouse, PATIENT_WITH_RA, patientView, signed, storedScreening } from '../support/cds-house.ts'
import { LEFT_PHOTO, RIGHT_PHOTO, sampleFindings } from '../support/screening-sample.ts'
import { openTestStore } from '../support/test-store.ts'

let store: Store
let cds: Awaited<ReturnType<typeof openCdsHouse>>

beforeAll(async () => { store = await openTestStore() })
afterAll(() => store.close())
beforeEach(async () => { cds = await openCdsHouse(store) })
afterEach(() => cds.close())

const photos = [LEFT_PHOTO, RIGHT_PHOTO].map((photo) => ({ ...photo, attachment: {} }))

function withResult(change: Parameters<typeof storedScreening>[0] = {}) {
  const latest = storedScreening(change)
  cds.house.status = { latest, pending: false }
  cds.house.record = { ...cds.house.record, photos }
  return latest
}

describe('discovery', () => {
  test('lists the four services with prefetch in the recommended subset, and nothing beside', async () => {
    const { services } = await (await fetch(`${cds.publicUrl}/cds-services`)).json() as { services: Record<string, unknown>[] }
    expect(services.map(({ id, hook }) => [id, hook])).toEqual([
      ['hand-joints', 'patient-view'], ['hand-joints-encounter-start', 'encounter-start'],
      ['hand-photo-request', 'appointment-book'], ['hand-joints-order', 'order-select']
    ])
    for (const service of services) {
      expect(Object.keys(service).sort()).toEqual(['description', 'hook', 'id', 'prefetch', 'title'])
      const { patient, ...searches } = service['prefetch'] as Record<string, string>
      expect(patient).toBe('Patient/{{context.patientId}}')
      for (const query of Object.values(searches))
        expect(query).toMatch(/^[A-Z]\w+\?patient=\{\{context\.patientId\}\}(&(code|_sort|_count)=[-\w]+)*$/)
    }
  })

  test('answers browsers of configured origins only', async () => {
    const preflight = async (origin: string) => (await fetch(`${cds.publicUrl}/cds-services/hand-joints`, { method: 'OPTIONS', headers: { origin } })).headers.get('access-control-allow-origin')
    expect(await preflight('https://chart.example')).toBe('https://chart.example')
    expect(await preflight('https://evil.example')).toBeNull()
  })
})

describe('the card of a stored result', () => {
  test('says count, denominator and interval in under 140 characters, with table, suggestion, reasons and link', async () => {
    const latest = withResult()
    const [card] = await cds.call('hand-joints')
    expect(card?.summary).toBe('AI suggestion, photos of 22 Nov: 1 of 21 assessable hand joints swollen (90 % interval 0–6), 1 not assessable')
    expect(card?.detail).toContain('| MCP 2 | possible, 83 % | not flagged |')
    expect(card?.detail).toContain('Photos taken 22 Nov (2 days ago).')
    expect(card?.detail).toContain('Not assessable: left thumb IP')
    expect(card?.detail).toContain('never seen a patient')
    expect(card?.source).toMatchObject({ url: `${cds.publicUrl}/models/current`, topic: { code: 'hand-joints' } })
    expect(card?.selectionBehavior).toBe('at-most-one')
    expect(card?.overrideReasons?.map(({ code }) => code)).toContain('other-cause')
    expect(card?.links).toEqual([{ label: 'Review photos in JointLens', url: `${cds.publicUrl}/smart/launch`, type: 'smart', appContext: latest.id }])
  })

  test('suggests creating preliminary Observations of this patient that say an AI made them', async () => {
    withResult()
    const [card] = await cds.call('hand-joints')
    const resources = card?.suggestions?.[0]?.actions.map(({ resource }) => resource) ?? []
    const observations = resources.filter((one): one is Observation => one.resourceType === 'Observation')
    expect(observations).toHaveLength(23)
    expect(observations.every(({ status, subject, performer, meta }) =>
      status === 'preliminary' && subject?.reference === 'Patient/pat-1' && !performer && meta?.security?.[0]?.code === 'AIAST')).toBe(true)
  })

  test('offers nothing to record where the record takes no Observations, and says so', async () => {
    withResult()
    cds.house.record = { ...cds.house.record, takesObservations: () => Promise.resolve(false) }
    const [card] = await cds.call('hand-joints')
    expect([card?.suggestions, card?.selectionBehavior]).toEqual([undefined, undefined])
    expect(card?.detail).toContain('This record does not take results')
    cds.house.record = { ...cds.house.record, takesObservations: () => Promise.resolve(true) }
    expect((await cds.call('hand-joints'))[0]?.suggestions).toHaveLength(1)
  })

  test.each([[0, 'info'], [1, 'warning']])('warns only when the interval begins above zero: %d is %s', async (low, indicator) => {
    withResult({ count: { swollen: 3, assessable: 20, of: 22, low, high: 6 } })
    expect((await cds.call('hand-joints'))[0]?.indicator).toBe(indicator)
  })

  test('is never called an all-clear when nothing was flagged', async () => {
    const findings = sampleFindings().map((one): JointFinding => (one.kind === 'assessed' ? { ...one, probability: 0.1, inflamed: false } : one))
    withResult({ findings, count: handJointCount(findings, { factor: 1.6, level: 0.9 }) })
    const [card] = await cds.call('hand-joints')
    expect(card?.indicator).toBe('info')
    expect(card?.detail).toContain('That is no all-clear')
    expect(JSON.stringify(card)).not.toMatch(/\b(normal|healthy|remission)\b/i)
  })

  test('names what changed since the visit before', async () => {
    withResult()
    const findings = sampleFindings().map((one): JointFinding => one.kind === 'assessed' ? { ...one, inflamed: one.side === 'right' && one.joint === 'pip3' } : one)
    cds.house.status = { ...cds.house.status, before: storedScreening({ id: '99999999-2222-4333-8444-555555555555', photoTime: '2026-06-10T08:00:00Z', findings, count: handJointCount(findings, { factor: 1.6, level: 0.9 }) }) }
    const [card] = await cds.call('hand-joints')
    expect(card?.detail).toContain('Of 21 joints assessable now and on 10 Jun: 1 flagged then, 1 now')
    expect(card?.detail).toContain('newly flagged: left MCP 2')
    expect(card?.detail).toContain('no longer flagged: right PIP 3')
  })

  test.each([['2026-11', 'Photos taken Nov 2026.'], ['2026', 'Photos taken 2026.'], ['2026-11-22', 'Photos taken 22 Nov (2 days ago).']])(
    'of photos of %s counts no days that nobody knows', async (photoTime, words) => {
      withResult({ photoTime })
      expect((await cds.call('hand-joints'))[0]?.detail.split('\n')[0]).toBe(words)
    })

  test('says a reason once for all joints that it keeps from being assessed', async () => {
    const findings = sampleFindings().map((one): JointFinding => one.side === 'left' && ['pip4', 'pip5'].includes(one.joint) ? { side: one.side, joint: one.joint, kind: 'not-assessed', reason: 'occluded' } : one)
    withResult({ findings, count: handJointCount(findings, { factor: 1.6, level: 0.9 }) })
    expect((await cds.call('hand-joints'))[0]?.detail).toContain('Not assessable: left thumb IP (too little detail); left PIP 4, left PIP 5 (covered)')
  })

  test('of old photos says so first and does not warn', async () => {
    withResult({ photoTime: '2026-06-01T08:00:00Z' })
    const [card] = await cds.call('hand-joints')
    expect(card?.summary).toMatch(/^Old hand photos \(1 Jun\)/)
    expect(card?.indicator).toBe('info')
  })

  test('with nothing assessable asks for another photo and suggests nothing', async () => {
    const findings = sampleFindings().map(({ side, joint }): JointFinding => ({ side, joint, kind: 'not-assessed', reason: 'blurred' }))
    withResult({ findings, count: handJointCount(findings, { factor: 1.6, level: 0.9 }) })
    const [card] = await cds.call('hand-joints')
    expect(card?.summary).toBe('Hand photos of 22 Nov cannot be assessed; a new photo is needed')
    expect(card?.detail).toContain('left hand (photo is blurred); right hand (photo is blurred)')
    expect(card?.suggestions).toBeUndefined()
  })

  test.each<[string | undefined, string | null]>([
    ['gzip', 'gzip'], ['gzip, deflate, br, zstd', 'gzip'], ['br;q=1, GZIP;q=0.5', 'gzip'], ['gzip;q=0', null], ['gzip; q=0.000', null], ['identity', null], ['xgzip', null], [undefined, null]
  ])('comes packed where the client says so: %s', async (accepted, encoding) => {
    withResult()
    const url = `${cds.publicUrl}/cds-services/hand-joints`
    const sent = request(url, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${await signed(url)}`, ...(accepted === undefined ? {} : { 'accept-encoding': accepted }) }
    }).end(JSON.stringify(patientView()))
    const [response] = await once(sent, 'response') as [IncomingMessage]
    const bytes = await buffer(response)
    expect([response.headers['content-encoding'] ?? null, Number(response.headers['content-length'])]).toEqual([encoding, bytes.length])
    const { cards } = JSON.parse((encoding ? gunzipSync(bytes) : bytes).toString()) as { cards: unknown[] }
    expect(cards).toHaveLength(1)
    expect(bytes.length < 10_000).toBe(encoding === 'gzip')
  })

  test('that our own writer has recorded suggests nothing more', async () => {
    withResult({ written: ['Observation/1'] })
    const [card] = await cds.call('hand-joints')
    expect(card?.suggestions).toBeUndefined()
    expect(card?.detail).toContain('This suggestion is in the record already.')
  })

  test('that the record holds, by what came with the call, suggests nothing more', async () => {
    const latest = withResult()
    const [, count] = writtenIds(latest)
    const observation = { resourceType: 'Observation', status: 'preliminary', subject: { reference: 'Patient/pat-1' }, identifier: [null, { system: 'urn:x', value: 'y' }, { system: RESULT_ID, value: count }] }
    const offers = async (...results: readonly unknown[]) => {
      cds.house.record = { ...cds.house.record, results }
      return (await cds.call('hand-joints'))[0]?.suggestions?.length ?? 0
    }
    expect([await offers(), await offers(null, 7, observation), await offers({ ...observation, status: 'final' })]).toEqual([1, 0, 0])
    for (const change of [{ status: 'entered-in-error' }, { subject: { reference: 'Patient/pat-2' } }, { subject: { reference: 'https://evil.example/fhir/Patient/pat-1' } }, { identifier: undefined }, { identifier: [{ system: RESULT_ID, value: 'another' }] }, { identifier: [{ system: 'urn:x', value: count }] }])
      expect(await offers({ ...observation, ...change })).toBe(1)
  })

  test.each([['en', 'The suggestion was accepted on 24 Nov'], ['de', 'Der Vorschlag wurde am 24. Nov. angenommen']])(
    'whose suggestion was accepted does not offer it again, and says since when, with the way to the app: %s', async (language, words) => {
      withResult({ accepted: '2026-11-24T08:59:00.000Z' })
      for (const service of ['hand-joints', 'hand-joints-encounter-start']) {
        const context = { userId: 'Practitioner/example', patientId: 'pat-1', encounterId: 'e-1' }
        const hook = service === 'hand-joints' ? 'patient-view' : 'encounter-start'
        const [card] = await cds.call(service, patientView({ hook, context }), { 'accept-language': language })
        expect([card?.suggestions, card?.selectionBehavior, card?.links.length]).toEqual([undefined, undefined, 1])
        expect(card?.detail).toContain(words)
      }
    })

  describe('that clinicians have signed in part', () => {
    const flagged = [{ side: 'left', joint: 'mcp2' }, { side: 'left', joint: 'pip3' }, { side: 'right', joint: 'pip3' }] as const
    const findings = sampleFindings().map((one): JointFinding => one.kind === 'assessed' ? { ...one, probability: 0.8, inflamed: flagged.some(({ side, joint }) => side === one.side && joint === one.joint) } : one)
    const signedIn = (joints: readonly JointAt[], low: number) =>
      withResult({ findings, count: { swollen: 3, assessable: 21, of: 22, low, high: 6 }, answered: { at: '2026-11-24T08:59:00.000Z', joints } })

    test.each([
      ['en', 'Signed in part: hand photos of 22 Nov; AI had suggested 3 of 21 assessable joints swollen (90 % interval 2–6), 1 still open', 'On 24 Nov a clinician signed findings of these photos, and of joints flagged here: left MCP 2, left PIP 3.', 'still open: right PIP 3.', 'PIP 3 | signed | possible, 80 %'],
      ['de', 'Teils signiert: Handfotos vom 22. Nov.; KI-Vorschlag war 3 von 21 Gelenken geschwollen (90-%-Intervall 2–6), noch offen: 1', 'Am 24. Nov. wurden Befunde zu diesen Fotos signiert', 'noch offen: PIP 3 rechts.', 'PIP 3 | signiert | möglich, 80 %']
    ])('says of which joints, and offers what is open alone: %s', async (language, summary, words, open, row) => {
      signedIn([flagged[0], flagged[1], { side: 'right', joint: 'wrist' }], 2)
      const [card] = await cds.call('hand-joints', patientView(), { 'accept-language': language })
      expect([card?.summary, card?.indicator]).toEqual([summary, 'info'])
      for (const one of [words, open, row]) expect(card?.detail).toContain(one)
      expect(card?.detail).not.toMatch(/MCP 2 \||not reviewed|nicht geprüft/)
      const resources = card?.suggestions?.[0]?.actions.map(({ resource }) => resource) ?? []
      expect(card?.suggestions?.[0]?.label).toContain(String(resources.length))
      const sites = resources.flatMap((one) => one.resourceType === 'Observation' && one.bodySite?.text ? [one.bodySite.text] : [])
      expect([sites.length, sites.filter((site) => /left.*(MCP 2|PIP 3)|right.*wrist/i.test(site))]).toEqual([19, []])
      const kept = resources.map(({ id }) => id)
      const named = [...JSON.stringify(resources).matchAll(/"reference":"(?:Observation|DiagnosticReport)\/([0-9a-f-]{36})"/g)].map(([, id]) => id)
      expect([named.length > 0, named.filter((id) => !kept.includes(id))]).toEqual([true, []])
    })

    test.each([[3, 'warning'], [2, 'info'], [0, 'info']])('warns while more are swollen at least than were signed: %d of 2 is %s', async (low, indicator) => {
      signedIn([flagged[0], flagged[1]], low)
      expect((await cds.call('hand-joints'))[0]?.indicator).toBe(indicator)
    })

    test('but of no joint that is flagged, warns as before', async () => {
      signedIn([{ side: 'right', joint: 'wrist' }], 2)
      const [card] = await cds.call('hand-joints')
      expect(card).toMatchObject({ indicator: 'warning', summary: expect.stringMatching(/^AI suggestion/) as unknown, detail: expect.stringContaining('not reviewed') as unknown })
    })
  })

  describe('that a clinician has set aside with a reason', () => {
    const count = { swollen: 4, assessable: 21, of: 22, low: 2, high: 6 }
    const atCheckIn = patientView({ hook: 'encounter-start', context: { userId: 'Practitioner/example', patientId: 'pat-1', encounterId: 'e-1' } })
    const setAside = (reason: object | undefined, at = '2026-11-24T08:59:00+00:00') => withResult({ count, setAside: { 'hand-joints': { at, ...(reason ? { reason } : {}) } } })

    test.each([
      ['en', 'Set aside by a clinician: hand photos of 22 Nov', 'On 24 Nov a clinician set this suggestion aside', 'gave a reason: “Examined: the flagged joints are not swollen”'],
      ['de', 'Zur Seite gelegt: Handfotos vom 22. Nov.', 'Am 24. Nov. wurde dieser Vorschlag zur Seite gelegt', 'mit einem Grund: „Untersucht: die markierten Gelenke sind nicht geschwollen“']
    ])('is calm there and hides nothing, and warns as before elsewhere: %s', async (language, summary, detail, reason) => {
      setAside({ code: 'not-swollen' })
      const [card] = await cds.call('hand-joints', patientView(), { 'accept-language': language })
      expect(card).toMatchObject({ indicator: 'info', summary: expect.stringContaining(summary) as unknown, links: [{ type: 'smart' }] })
      for (const words of [detail, reason, '| MCP 2 |', '83 %']) expect(card?.detail).toContain(words)
      expect([card?.suggestions, card?.selectionBehavior]).toEqual([undefined, undefined])
      const [other] = await cds.call('hand-joints-encounter-start', atCheckIn, { 'accept-language': language })
      expect(other).toMatchObject({ indicator: 'warning', suggestions: [{}], detail: expect.not.stringContaining(reason) as unknown })
      expect(await cds.call('hand-joints', patientView(), { 'accept-language': language })).toMatchObject([{ indicator: 'info', summary: card?.summary }])
    })

    test.each([[undefined], [{ code: 'ours-not' }], [{ code: 'not-swollen', system: 'urn:epic:reasons' }], [{ code: 'constructor' }], [{ system: 'urn:x' }]])('of the EHR’s own says that there was one: %j', async (reason) => {
      setAside(reason)
      expect((await cds.call('hand-joints'))[0]?.detail).toContain('as the EHR reports, and gave a reason. It is not offered')
    })

    test.each([['2026-11-23T22:59:00Z', 'warning', 1], ['2026-11-23T23:00:00Z', 'info', 0]])('that it was not useful at that moment, %s, is of that day at the site: %s', async (at, indicator, suggestions) => {
      await cds.close()
      cds = await openCdsHouse(store, { timeZone: 'Europe/Berlin' })
      setAside({ code: 'not-now' }, at)
      const [card] = await cds.call('hand-joints')
      expect([card?.indicator, card?.suggestions?.length ?? 0]).toEqual([indicator, suggestions])
      setAside({ code: 'other-cause' }, at)
      expect((await cds.call('hand-joints'))[0]?.indicator).toBe('info')
    })

    test('says when there are newer photos, and what was signed stands before it', async () => {
      setAside({ code: 'not-swollen' })
      cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'left-2', created: '2026-11-24T07:00:00Z', attachment: {} }, ...photos] }
      expect((await cds.call('hand-joints'))[0]?.detail).toContain('A newer photo is being read now')
      withResult({ count, signed: '2026-11-24T08:59:00.000Z', setAside: { 'hand-joints': { at: '2026-11-24T08:30:00Z' } } })
      const [card] = await cds.call('hand-joints')
      expect([card?.summary.startsWith('Signed by a clinician'), card?.detail.includes('set this suggestion aside')]).toEqual([true, false])
    })
  })

  test.each([
    ['en', 'Signed by a clinician: hand photos of 22 Nov', 'On 24 Nov a clinician signed findings of these photos', 'not reviewed'],
    ['de', 'Ärztlich signiert: Handfotos vom 22. Nov.', 'Am 24. Nov. wurden Befunde zu diesen Fotos signiert', 'nicht geprüft']
  ])('that a clinician has signed warns of nothing any more, says so, and offers nothing of the AI’s: %s', async (language, summary, detail, unreviewed) => {
    const card = async () => (await cds.call('hand-joints', patientView(), { 'accept-language': language }))[0]
    const count = { swollen: 4, assessable: 21, of: 22, low: 2, high: 6 }
    withResult({ count })
    expect(await card()).toMatchObject({ indicator: 'warning', suggestions: [{}], detail: expect.stringContaining(unreviewed) as unknown })
    withResult({ count, signed: '2026-11-24T08:59:00.000Z', accepted: '2026-11-24T08:58:00.000Z' })
    expect(await card()).toMatchObject({ indicator: 'info', summary: expect.stringContaining(summary) as unknown, detail: expect.stringContaining(detail) as unknown })
    expect((await card())?.suggestions).toBeUndefined()
    expect((await card())?.detail).not.toContain(unreviewed)
  })

  test.each([['de', 'KI-Vorschlag, Fotos vom 22. Nov.'], ['de-CH, en;q=0.5', 'KI-Vorschlag'], ['fr, en;q=0.2', 'AI suggestion'], ['de ; q=0.9, en;q=0.1', 'KI-Vorschlag'], ['de;q=0, en;q=0.1', 'AI suggestion'], ['', 'AI suggestion'], ['constructor, __proto__', 'AI suggestion']])(
    'speaks the language asked for: %s', async (language, words) => {
      withResult()
      const [card] = await cds.call('hand-joints', patientView(), { 'accept-language': language })
      expect(card?.summary).toContain(words)
    })

  test('shows nothing of the record that could be markup', async () => {
    withResult()
    const all = JSON.stringify(await cds.call('hand-joints'))
    expect(all).not.toMatch(/<(script|img|a)\b|javascript:/i)
  })
})

describe('the hook never waits', () => {
  test('a photo that was not read is accepted and the card says that it is being read', async () => {
    cds.house.record = { ...cds.house.record, photos }
    const [card] = await cds.call('hand-joints')
    expect(card?.summary).toBe('Hand photos are being read; findings follow in a moment')
    expect(cds.house.requested).toEqual(['pat-1'])
  })

  test('a newer photo leaves the stored result and says that a newer one is being read', async () => {
    withResult()
    cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'left-2', created: '2026-11-24T07:00:00Z', attachment: {} }, ...photos] }
    const [card] = await cds.call('hand-joints')
    expect(card?.detail).toContain('A newer photo is being read now')
    expect(cds.house.requested).toEqual(['pat-1'])
  })

  test('a pending screening is not asked for again', async () => {
    cds.house.record = { ...cds.house.record, photos }
    cds.house.status = { pending: true }
    expect((await cds.call('hand-joints'))[0]?.summary).toContain('being read')
    expect(cds.house.requested).toEqual([])
  })

  test('photos that just failed are not tried at every look, and the card says what to do', async () => {
    cds.house.record = { ...cds.house.record, photos }
    cds.house.status = { pending: false, failure: { code: 'ERR_PHOTO_CORRUPT', at: new Date(NOW - 60_000).toISOString() } }
    expect((await cds.call('hand-joints'))[0]?.summary).toContain('could not be read')
    expect(cds.house.requested).toEqual([])
  })
})

describe('photos without a result', () => {
  const failed = (code: string) => ({ pending: false, failure: { code, at: new Date(NOW - 60_000).toISOString() } })

  test.each(['ERR_EHR_UNREACHABLE', 'ERR_EHR_UNAUTHORIZED', 'ERR_ENGINE_BUSY', 'ERR_STORE', 'ERR_CONFIG', 'ERR_WRONG_PATIENT', 'ERR_INTERNAL'])(
    'are not called bad when %s was at fault: nobody is asked for new ones', async (code) => {
      cds.house.record = { ...cds.house.record, photos }
      cds.house.status = failed(code)
      const [card] = await cds.call('hand-joints')
      expect(card?.summary).toBe('The newest hand photos have not been read yet; JointLens tries again')
      expect(card?.detail).toContain('not the photos: no new ones are needed')
      expect(card?.detail).not.toMatch(/JPEG|Ask for/)
    })

  test('without a date ask for the date', async () => {
    cds.house.record = { ...cds.house.record, photos }
    cds.house.status = failed('ERR_PHOTO_UNDATED')
    expect((await cds.call('hand-joints'))[0]?.summary).toContain('no date')
  })

  test('that are newer than the result are said to be missing from it', async () => {
    withResult()
    cds.house.status = { ...cds.house.status, ...failed('ERR_EHR_UNREACHABLE') }
    cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'left-2', created: '2026-11-24T07:00:00Z', attachment: {} }, ...photos] }
    const [card] = await cds.call('hand-joints')
    expect(card?.detail).toContain('newer photos that could not be read yet')
    expect(card?.detail).not.toContain('being read now')
  })

  test('that cannot be accepted now leave the result on the screen', async () => {
    withResult()
    cds.house.refuses = new ScreeningError('ERR_RATE_LIMITED', 'Expected fewer')
    cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'left-2', created: '2026-11-24T07:00:00Z', attachment: {} }, ...photos] }
    expect((await cds.call('hand-joints'))[0]?.detail).toContain('newer photos that could not be read yet')
  })
})

describe('the list of photos at hand', () => {
  test('that is whole and has none of the result’s photos shows no result of them', async () => {
    withResult()
    cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'older', created: '2026-09-01T07:00:00Z', attachment: {} }], photosComplete: true }
    const [card] = await cds.call('hand-joints')
    expect(card?.summary).toBe('Hand photos are being read; findings follow in a moment')
    expect(card?.suggestions).toBeUndefined()
  })

  test('that is a first page of older ones starts nothing and calls none of them newer', async () => {
    withResult()
    cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'older', created: '2026-09-01T07:00:00Z', attachment: {} }], photosComplete: false }
    const [card] = await cds.call('hand-joints')
    expect(card?.summary).toContain('photos of 22 Nov')
    expect(card?.detail).not.toMatch(/newer photo/i)
    expect(cds.house.requested).toEqual([])
  })

  test('with a year that is still to come does not keep today’s photo from being the newest', async () => {
    withResult()
    cds.house.record = { ...cds.house.record, photos: [{ ...LEFT_PHOTO, id: 'typo', created: '2062-11-20T07:00:00Z', attachment: {} }, ...photos] }
    expect((await cds.call('hand-joints'))[0]?.detail).not.toMatch(/newer photo/i)
    expect(cds.house.requested).toEqual([])
  })
})

describe('who looks', () => {
  test.each(['Patient/pat-1', 'RelatedPerson/mum'])('a portal that opens the chart for %s is shown nothing of the model', async (userId) => {
    withResult()
    expect(await cds.call('hand-joints', { ...patientView(), context: { userId, patientId: 'pat-1' } })).toEqual([])
  })
})

describe('the change since the visit before', () => {
  test('is told of the joints that were assessed both times only, and when another model read the earlier photos', async () => {
    const oneHand = sampleFindings().map(({ side, joint, ...one }): JointFinding => side === 'right' ? { side, joint, kind: 'not-assessed', reason: 'no-photo' } : { side, joint, ...one })
    const flagged = sampleFindings().map((one): JointFinding => one.kind === 'assessed' ? { ...one, inflamed: true } : one)
    withResult({ findings: oneHand, count: handJointCount(oneHand, { factor: 1.6, level: 0.9 }) })
    const { model } = storedScreening()
    cds.house.status = { ...cds.house.status, before: storedScreening({ id: '99999999-2222-4333-8444-555555555555', photoTime: '2026-09-01T08:00:00Z', findings: flagged, model: { ...model, digest: 'another' } }) }
    const [card] = await cds.call('hand-joints')
    expect(card?.detail).toContain('Of 10 joints assessable now and on 1 Sept: 10 flagged then, 1 now')
    expect(card?.detail).toContain('another version of the model')
    expect(card?.detail).not.toContain('no longer flagged: right')
  })
})

describe('silence is a feature', () => {
  test('no photos, no card', async () => {
    expect(await cds.call('hand-joints')).toEqual([])
  })

  test.each([
    ['no diagnosis', []],
    ['a refuted one', [{ ...PATIENT_WITH_RA, verificationStatus: { coding: [{ code: 'refuted' }] } }]],
    ['a resolved one', [{ ...PATIENT_WITH_RA, clinicalStatus: { coding: [{ code: 'resolved' }] } }]],
    ['another patient’s', [{ ...PATIENT_WITH_RA, subject: { reference: 'Patient/pat-2' } }]],
    ['one of another server', [{ ...PATIENT_WITH_RA, subject: { reference: 'https://evil.example/fhir/Patient/pat-1' } }]],
    ['one that only ends like it', [{ ...PATIENT_WITH_RA, subject: { reference: 'Patient/pat-2,Patient/pat-1' } }]],
    ['inflammatory polyarthropathy (M06.4)', [{ ...PATIENT_WITH_RA, code: { coding: [{ system: 'http://hl7.org/fhir/sid/icd-10-cm', code: 'M06.4' }] } }]],
    ['only words', [{ ...PATIENT_WITH_RA, code: { text: 'Rheumatoid arthritis' } }]]
  ])('%s, no card and no screening', async (_name, conditions) => {
    withResult()
    cds.house.record = { ...cds.house.record, conditions }
    expect(await cds.call('hand-joints')).toEqual([])
    expect(cds.house.requested).toEqual([])
  })

  test.each([
    ['2015-05-05', 0], ['2008-11-25', 0], ['2008-11-24', 1], ['2008-11', 0], ['2008-10', 1], ['2008', 0], ['2007', 1], ['1950-01-01', 1], ['', 1], [undefined, 1], ['unknown', 1]
  ])('the model is not known to be valid for children: born %s, %i card on 24 November 2026, and a screening no sooner', async (birthDate, cards) => {
    cds.house.record = { ...cds.house.record, photos, ...(birthDate === undefined ? {} : { birthDate }) }
    expect(await cds.call('hand-joints')).toHaveLength(cards)
    expect(cds.house.requested).toHaveLength(cards)
  })

  test.each([[20, undefined, 0], [25, undefined, 1], [1, '1970-05-05', 1]])('whom the record called a child %i hours ago is left in peace for a day, unless the call says that they were born %s', async (hours, birthDate, requests) => {
    cds.house.record = { ...cds.house.record, photos, ...(birthDate === undefined ? {} : { birthDate }) }
    cds.house.status = { pending: false, failure: { code: 'ERR_PATIENT_MINOR', at: new Date(NOW - hours * 3_600_000).toISOString() } }
    expect(await cds.call('hand-joints')).toHaveLength(requests)
    expect(cds.house.requested).toHaveLength(requests)
  })

  test.each(['https://ehr.example/fhir/Patient/pat-1', 'Patient/pat-1/_history/3'])('but a diagnosis of %s is one', async (reference) => {
    withResult()
    cds.house.record = { ...cds.house.record, conditions: [{ ...PATIENT_WITH_RA, subject: { reference } }] }
    expect(await cds.call('hand-joints')).toHaveLength(1)
  })

  test('a site that asks for no diagnosis gets its cards', async () => {
    await cds.close()
    cds = await openCdsHouse(store, { requireDiagnosis: false })
    withResult()
    cds.house.record = { ...cds.house.record, conditions: undefined }
    expect(await cds.call('hand-joints')).toHaveLength(1)
  })

  test('shadow mode screens and shows nothing', async () => {
    await cds.close()
    cds = await openCdsHouse(store, { mode: 'shadow' })
    cds.house.record = { ...cds.house.record, photos }
    expect(await cds.call('hand-joints')).toEqual([])
    expect(cds.house.requested).toEqual(['pat-1'])
  })
})

describe('required data that cannot be had is 412 with an OperationOutcome', () => {
  test.each([
    ['conditions', { photos, conditions: undefined, conditionsComplete: false }],
    ['all conditions, of which one page came without the diagnosis', { photos, conditions: [], conditionsComplete: false }],
    ['photos', { photos: undefined, conditions: [PATIENT_WITH_RA], conditionsComplete: true }]
  ])('%s', async (_name, record) => {
    cds.house.record = record
    const { status, body } = await cds.post('/hand-joints', patientView())
    expect([status, body]).toEqual([412, expect.objectContaining({ resourceType: 'OperationOutcome' })])
  })
})

/** A hook call with this text for one member of its prefetch. */
const withPrefetch = (text: string) => JSON.stringify(patientView({ prefetch: { odd: '@' } })).replace('"@"', text)
const nested = (levels: number, inner = '') => `${'[{"a":'.repeat(levels / 2)}[${inner}]${'}]'.repeat(levels / 2)}`

describe('what is not a hook call is refused with its status', () => {
  test.each([
    ['an unknown service', '/nothing', patientView(), 404], ['another hook', '/hand-joints', patientView({ hook: 'order-sign' }), 400],
    ['no JSON', '/hand-joints', '{', 400], ['no context', '/hand-joints', patientView({ context: undefined }), 400],
    ['no UUID', '/hand-joints', patientView({ hookInstance: '1' }), 400],
    ['a patient id that climbs', '/hand-joints', patientView({ context: { userId: 'Practitioner/1', patientId: '..' } }), 400],
    ['another FHIR server', '/hand-joints', patientView({ fhirServer: 'https://evil.example/fhir' }), 400],
    ['a token for another patient', '/hand-joints', patientView({ fhirAuthorization: { access_token: 'x', token_type: 'Bearer', expires_in: 300, scope: 'patient/*.read', subject: 's', patient: 'pat-2' } }), 400],
    ['60 levels of nesting and one more', '/hand-joints', withPrefetch(nested(58, '[]')), 400], ['20,000 levels of nesting', '/hand-joints', withPrefetch(nested(20_000)), 400],
    ['a member that would become the prototype', '/hand-joints', withPrefetch('[{"a":{"__proto__":{"b":1}}}]'), 400],
    ['one that is written in escapes', '/hand-joints', withPrefetch('{"\\u005f_proto__":null}'), 400],
    ['three megabytes', '/hand-joints', patientView({ prefetch: { x: 'y'.repeat(3_000_000) } }), 413]
  ])('%s', async (_name, path, body, expected) => {
    const { status, text } = await cds.post(path, body)
    expect(status).toBe(expected)
    expect(text).not.toContain('pat-2')
  })

  test('60 levels of nesting are read', async () => {
    expect((await cds.post('/hand-joints', withPrefetch(nested(58)))).status).toBe(200)
  })

  test.each<[string, Record<string, string>, BodyInit | undefined, number]>([
    ['text', { 'content-type': 'text/plain' }, '{}', 415], ['another JSON', { 'content-type': 'application/fhir+jsonp' }, '{}', 415], ['FHIR XML', { 'content-type': 'application/fhir+xml' }, '{}', 415], ['no type and no body', { 'content-type': '' }, undefined, 415],
    ['no body', {}, undefined, 400], ['another charset', { 'content-type': 'application/json; charset=latin1' }, '{}', 415], ['an unknown encoding', { 'content-encoding': 'compress' }, '{}', 415],
    ['gzip that is none', { 'content-encoding': 'gzip' }, 'x', 400], ['brotli that is none', { 'content-encoding': 'br' }, 'x', 400], ['zstd that is none', { 'content-encoding': 'zstd' }, 'x', 400]
  ])('a body as %s: a stranger hears 401, a client what is wrong', async (_name, headers, body, expected) => {
    const url = `${cds.publicUrl}/cds-services/hand-joints`
    const status = async (token: string) => {
      const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers }, ...(body === undefined ? {} : { body }) })
      return [response.status, response.headers.get('www-authenticate'), (await response.json() as { resourceType: string }).resourceType]
    }
    expect(await status('x')).toEqual([401, 'Bearer', 'OperationOutcome'])
    expect(await status(await signed(url))).toEqual([expected, null, 'OperationOutcome'])
  })

  test('a body comes in pieces, with a byte order mark, packed or with its charset told; what is no UTF-8, too large or broken off is refused', async () => {
    const url = `${cds.publicUrl}/cds-services/hand-joints`
    const text = JSON.stringify(patientView({ extension: { name: 'Jürgen 手' } }))
    const status = async (body: BodyInit, headers: Record<string, string> = {}) =>
      (await fetch(url, { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json', authorization: `Bearer ${await signed(url)}`, ...headers } } as RequestInit)).status
    const pieces = (bytes: Buffer, size: number) => new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size))
        controller.close()
      }
    })
    expect([await status(text), await status(pieces(Buffer.from(text), 7)), await status(`\ufeff${text}`)]).toEqual([200, 200, 200])
    expect([await status(text, { 'content-type': 'Application/JSON; charset="UTF-8"' }), await status(gzipSync(text), { 'content-encoding': 'gzip' })]).toEqual([200, 200])
    for (const type of ['application/fhir+json', 'Application/FHIR+JSON; charset=utf-8', 'application/fhir+json; fhirVersion=4.0'])
      expect([await status(text, { 'content-type': type }), await status(gzipSync(text), { 'content-type': type, 'content-encoding': 'gzip' })]).toEqual([200, 200])
    expect([await status(Buffer.from(text, 'latin1')), await status(pieces(Buffer.alloc(2_200_000, ' '), 100_000)), await status(gzipSync(Buffer.alloc(20_000_000, ' ')), { 'content-encoding': 'gzip' })]).toEqual([400, 413, 413])
    const broken = connect(Number(new URL(url).port), '127.0.0.1')
    broken.write(`POST /cds-services/hand-joints HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${await signed(url)}\r\ncontent-length: 500\r\n\r\n{`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    broken.destroy()
    expect(await status(text)).toBe(200)
  })

  test('another method is 405 with what is allowed', async () => {
    const response = await fetch(`${cds.publicUrl}/cds-services/hand-joints`, { method: 'PUT' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST, OPTIONS'])
  })

  test.each(['/nothing', '/nothing/feedback'])('no method finds a service that discovery does not list: %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      const { status, headers } = await fetch(`${cds.publicUrl}/cds-services${path}`, { method })
      expect([status, headers.get('allow')]).toEqual([404, null])
    }
  })
})

describe('the other services', () => {
  const booking = (start: string) => ({
    ...patientView({ hook: 'appointment-book' }),
    context: { userId: 'Practitioner/1', patientId: 'pat-1', appointments: { resourceType: 'Bundle', entry: [{ resource: { resourceType: 'Appointment', status: 'proposed', start, participant: [{ actor: { reference: 'Patient/pat-1' }, status: 'accepted' }] } }] } }
  })
  const order = (resource: object, selections: string[] = []) => ({
    ...patientView({ hook: 'order-select' }),
    context: { userId: 'Practitioner/1', patientId: 'pat-1', selections, draftOrders: { resourceType: 'Bundle', entry: [{ resource }] } }
  })

  test('a booking without a current photo suggests asking for one, as a draft due before the visit', async () => {
    const [card] = await cds.call('hand-photo-request', booking('2026-12-01T10:00:00Z'))
    expect(card?.summary).toBe('Ask for hand photos before the visit: none in the record')
    expect(card?.suggestions?.[0]?.actions[0]?.resource).toMatchObject({ resourceType: 'CommunicationRequest', status: 'draft', subject: { reference: 'Patient/pat-1' }, occurrenceDateTime: '2026-11-30T10:00:00.000Z' })
  })

  test.each([
    ['2026-12-01T10:00+01:00', '2026-11-30T09:00:00.000Z'], ['2026-12-01T10:00', '2026-11-30'], ['2026-12-01T23:30:00', '2026-11-30'], ['2026-12-01', '2026-11-30'],
    ['2026-12', undefined], ['12/01/2026', undefined], ['2026-02-30T10:00:00Z', undefined], ['', undefined]
  ])('a booking for %j is due %s: no more precise than the visit, and never by our own clock’s zone', async (start, due) => {
    const [card] = await cds.call('hand-photo-request', booking(start))
    expect((card?.suggestions?.[0]?.actions[0]?.resource as { occurrenceDateTime?: string } | undefined)?.occurrenceDateTime).toBe(due)
  })

  test('a booking with a current photo is left alone', async () => {
    cds.house.record = { ...cds.house.record, photos }
    expect(await cds.call('hand-photo-request', booking('2026-12-01T10:00:00Z'))).toEqual([])
  })

  test.each([
    [{ resourceType: 'MedicationRequest', id: 'a', medicationCodeableConcept: { text: 'Methotrexate 15 mg' } }, 1],
    [{ resourceType: 'MedicationRequest', id: 'a', medicationCodeableConcept: { coding: [{ display: 'Prednisolon 5 mg' }] } }, 1],
    [{ resourceType: 'ServiceRequest', id: 'a', code: { text: 'Ultrasound of the hand joints' } }, 1],
    [{ resourceType: 'ServiceRequest', id: 'a', code: { text: 'Ultrasound of the liver' } }, 0],
    [{ resourceType: 'MedicationRequest', id: 'a', medicationCodeableConcept: { text: 'Amoxicillin' } }, 0],
    [{ resourceType: 'MedicationRequest', id: 'a', medicationReference: { reference: 'Medication/m', display: 'Methotrexate' } }, 1],
    [{ resourceType: 'MedicationRequest', id: 'a', medicationReference: { reference: '#m' }, contained: [{ resourceType: 'Medication', id: 'm', code: { text: 'Leflunomide 20 mg' } }] }, 1],
    [{ resourceType: 'MedicationRequest', id: 'a', medicationReference: { reference: '#n' }, contained: [{ resourceType: 'Medication', id: 'm', code: { text: 'Leflunomide 20 mg' } }, 7, null] }, 0]
  ])('an order of %j shows %d cards, without a suggestion', async (resource, cards) => {
    withResult()
    const found = await cds.call('hand-joints-order', order(resource))
    expect(found).toHaveLength(cards)
    expect(found[0]?.suggestions).toBeUndefined()
  })

  const methotrexate = { text: 'Methotrexate 15 mg' }
  const rx = { resourceType: 'MedicationRequest', id: 'rx-1', medicationCodeableConcept: methotrexate }
  const diet = { resource: { resourceType: 'NutritionOrder', id: 'diet', oralDiet: { type: [{ text: 'Pureed diet' }] } } }
  const referring = (reference: string, contained?: readonly unknown[]) => ({ resource: { resourceType: 'MedicationRequest', id: 'rx-1', medicationReference: { reference }, ...(contained ? { contained } : {}) } })
  const drafts = (entry: readonly unknown[], selections: unknown = ['MedicationRequest/rx-1']) => ({
    ...patientView({ hook: 'order-select' }), context: { userId: 'Practitioner/1', patientId: 'pat-1', selections, draftOrders: { resourceType: 'Bundle', entry } }
  })

  test.each<[string, object, number]>([
    ['of which another is selected', drafts([diet, { resource: rx }], ['NutritionOrder/diet']), 0],
    ['of which both are selected', drafts([diet, { resource: rx }], ['NutritionOrder/diet', 'MedicationRequest/rx-1']), 1],
    ['of which one is selected by its id alone', drafts([diet, { resource: rx }], ['rx-1']), 1],
    ['of which one is selected by its whole address', drafts([diet, { resource: rx }], ['https://ehr.example/fhir/MedicationRequest/rx-1/_history/2']), 1],
    ['of which one is selected by its fullUrl', drafts([diet, { fullUrl: 'urn:uuid:4f0c', resource: { ...rx, id: undefined } }], ['urn:uuid:4f0c']), 1],
    ['whose id only ends like the one selected', drafts([diet, { resource: { ...rx, id: '1' } }], ['NutritionOrder/diet', 'MedicationRequest/rx-1']), 0],
    ['of which none is there that is selected', drafts([diet, { resource: rx }], ['MedicationRequest/undefined']), 1],
    ['with a selection that is null', drafts([{ resource: rx }], null), 1],
    ['with selections that are odd', drafts([diet, { resource: rx }], [null, 7, 'MedicationRequest/rx-1']), 1],
    ['among entries that are odd', drafts([null, {}, { resource: null }, { resource: { id: 1 } }, { resource: rx }]), 1],
    ['without a medicine yet', drafts([{ resource: { ...rx, medicationCodeableConcept: undefined } }]), 0],
    ['with codes that are null', drafts([{ resource: { ...rx, medicationCodeableConcept: { text: null, coding: [null, { system: null, code: null, display: 'Methotrexate' }] } } }]), 1],
    ['with a code as a number', drafts([{ resource: { ...rx, medicationCodeableConcept: { coding: [{ system: 'http://www.nlm.nih.gov/research/umls/rxnorm', code: 6851 }] } } }]), 1],
    ['of a medicine contained in it among others', drafts([referring('#m', [null, { resourceType: 'Medication', id: 'other', code: { text: 'Amoxicillin' } }, { resourceType: 'Medication', id: 'm', code: { ...methotrexate, coding: null } }])]), 1],
    ['of a contained medicine that is another one', drafts([referring('#other', [{ resourceType: 'Medication', id: 'other', code: { text: 'Amoxicillin' } }, { resourceType: 'Medication', id: 'm', code: methotrexate }])]), 0],
    ['of a medicine named by its ingredient', drafts([referring('#m', [{ resourceType: 'Medication', id: 'm', ingredient: [{ itemReference: { reference: '#x' } }, { itemCodeableConcept: methotrexate }] }])]), 1],
    ['of a medicine in the Bundle by its fullUrl', drafts([referring('urn:uuid:9a'), { fullUrl: 'urn:uuid:9a', resource: { resourceType: 'Medication', code: methotrexate } }]), 1],
    ['of a medicine in the Bundle by its whole address', drafts([referring('https://ehr.example/fhir/Medication/m/_history/3'), { resource: { resourceType: 'Medication', id: 'm', code: methotrexate } }]), 1],
    ['of a medicine that is not in the Bundle', drafts([referring('Medication/m'), { resource: { resourceType: 'Medication', id: 'other', code: methotrexate } }]), 0],
    ['of R5, with a concept', drafts([{ resource: { resourceType: 'MedicationRequest', id: 'rx-1', medication: { concept: methotrexate } } }]), 1],
    ['of R5, with a reference', drafts([{ resource: { resourceType: 'MedicationRequest', id: 'rx-1', medication: { reference: { reference: '#m' } }, contained: [{ resourceType: 'Medication', id: 'm', ingredient: [{ item: { concept: methotrexate } }] }] } }]), 1],
    ['of R5, for an ultrasound', drafts([{ resource: { resourceType: 'ServiceRequest', id: 's', code: { concept: { text: 'Ultrasound of the hand' } } } }], []), 1],
    ['for an ultrasound whose site stands beside it', drafts([{ resource: { resourceType: 'ServiceRequest', id: 's', code: { text: 'Ultrasonography' }, bodySite: [{ coding: [{ display: 'Structure of left hand' }] }] } }], []), 1],
    ['for an ultrasound of another site', drafts([{ resource: { resourceType: 'ServiceRequest', id: 's', code: { text: 'Ultrasonography' }, bodySite: [{ text: 'Liver' }] } }], []), 0]
  ])('an order %s is understood', async (_name, request, cards) => {
    withResult()
    expect(await cds.call('hand-joints-order', request)).toHaveLength(cards)
  })

  test('a medicine beside the order, among the drafts, is found by its reference', async () => {
    withResult()
    const request = order({ resourceType: 'MedicationRequest', id: 'a', medicationReference: { reference: 'Medication/m' } })
    request.context.draftOrders.entry.push({ resource: { resourceType: 'Medication', id: 'm', code: { text: 'Methotrexate 2.5 mg' } } })
    expect(await cds.call('hand-joints-order', request)).toHaveLength(1)
  })

  test.each([['https://ehr.example/fhir/Patient/pat-1', 1], ['https://evil.example/fhir/Patient/pat-1', 0], ['Patient/pat-2', 0]])('a booking of %s gives %d cards', async (reference, cards) => {
    const request = booking('2026-12-01T10:00:00Z')
    for (const { resource } of request.context.appointments.entry) resource.participant = [{ actor: { reference }, status: 'accepted' }]
    expect(await cds.call('hand-photo-request', request)).toHaveLength(cards)
  })

  test('the encounter shows the same card earlier', async () => {
    withResult()
    const request = { ...patientView({ hook: 'encounter-start' }), context: { userId: 'Practitioner/1', patientId: 'pat-1', encounterId: 'e-1' } }
    expect((await cds.call('hand-joints-encounter-start', request))[0]?.suggestions).toHaveLength(1)
  })
})

describe('feedback', () => {
  test('is stored once each, counted by model, and audited', async () => {
    withResult()
    const [card] = await cds.call('hand-joints')
    const accepted = { card: card?.uuid, outcome: 'accepted', acceptedSuggestions: [{ id: card?.suggestions?.[0]?.uuid }], outcomeTimestamp: '2026-11-24T09:05:00Z' }
    const send = async (...feedback: object[]) => (await cds.post('/hand-joints/feedback', { feedback })).status
    expect([await send(accepted), await send(accepted, accepted)]).toEqual([200, 200])
    const [rate] = (await cds.feedback.rates('clinic')).filter(({ month }) => month === '2026-11-01')
    expect(rate).toMatchObject({ serviceId: 'hand-joints', accepted: 1, modelDigest: 'ab'.repeat(32) })
    expect(await cds.audit.verify()).toBe(true)
  })

  test.each([
    [{ outcome: 'overridden', outcomeTimestamp: '0000-01-01T00:00:00Z' }], [{ outcome: 'overridden', outcomeTimestamp: '9999-12-31T23:59:59-23:00' }],
    [{ outcome: 'overridden', overrideReason: { reason: { code: '\u0000' } } }], [{ outcome: 'overridden', overrideReason: { reason: {} } }],
    [{ outcome: 'accepted' }], [{ outcome: 'maybe' }], [{ outcomeTimestamp: 'yesterday', outcome: 'overridden' }], [{ card: '1', outcome: 'overridden' }]
  ])('that the specification does not allow is refused: %j', async (change) => {
    const event = { card: 'd1577c69-dfbe-44ad-ba6d-3e05e953b2ea', outcomeTimestamp: '2026-11-24T09:05:00Z', ...change }
    expect((await cds.post('/hand-joints/feedback', { feedback: [event] })).status).toBe(400)
  })

  test('keeps what a client cut in two, or spells in its own way, and knows it again', async () => {
    const card = randomUUID()
    const odd = (change: object) => ({ card, outcome: 'overridden', outcomeTimestamp: '2025-06-24T09:05:00+23:59', ...change })
    const send = async (...feedback: object[]) => (await cds.post('/hand-joints/feedback', { feedback })).status
    expect(await send(odd({ overrideReason: { reason: { code: 'other\ud83d', display: 'a\u0000b' }, userComment: 'half \ud83d, none \u0000' } }))).toBe(200)
    expect(await send(odd({ card: card.toUpperCase(), outcomeTimestamp: '2025-06-23T09:06:00.000000000Z' }))).toBe(200)
    expect(await send(odd({ card: randomUUID(), outcome: 'accepted', acceptedSuggestions: [{ id: 'x\u0000' }] }))).toBe(200)
    const [rate] = (await cds.feedback.rates('clinic')).filter(({ month }) => month === '2025-06-01')
    expect(rate).toMatchObject({ accepted: 1, overridden: 1, reasons: { 'other\ufffd': 1 } })
  })

  test.each([
    ['2025-05-24T09:05Z', '2025-05-24T09:05:00.000Z'], ['2025-05-24T09:05:00', '2025-05-24T09:05:00.000Z'], ['2025-05-24T09:05', '2025-05-24T09:05:00.000Z'],
    ['2025-05-24T11:05:00.5+0200', '2025-05-24T09:05:00.500Z'], ['2025-05-24t09:05:00z', '2025-05-24T09:05:00.000Z']
  ])('is kept also where its time lacks seconds or the zone, which is UTC by the specification: %s', async (outcomeTimestamp, meant) => {
    const card = randomUUID()
    expect((await cds.post('/hand-joints/feedback', { feedback: [{ card, outcome: 'overridden', outcomeTimestamp }] })).status).toBe(200)
    expect(await store.query('select outcome_at from feedback where card_uuid = $1', [card])).toEqual([{ outcome_at: new Date(meant) }])
  })

  test.each([['the audit', 'insert into audit'], ['the feedback', 'insert into feedback']])('that a power cut before %s is written leaves no feedback without its trace, and comes again', async (_what, statement) => {
    const card = randomUUID()
    const event = { card, outcome: 'overridden', outcomeTimestamp: '2025-04-24T09:05:00Z' }
    let cut = true
    await cds.close()
    cds = await openCdsHouse({ ...store, query: (sql, parameters) => cut && sql.trim().startsWith(statement) ? Promise.reject(new ScreeningError('ERR_STORE', 'power')) : store.query(sql, parameters) })
    const send = async () => (await cds.post('/hand-joints/feedback', { feedback: [event] })).status
    const kept = async () => (await store.query('select 1 from feedback where card_uuid = $1', [card])).length
    const traces = async () => (await store.query("select 1 from audit where event ->> 'entity' = $1", [card])).length
    expect([await send(), await kept()]).toEqual([503, 0])
    cut = false
    const before = await traces()
    expect([await send(), await kept(), await traces()]).toEqual([200, 1, before + 1])
    expect([await send(), await kept(), await traces()]).toEqual([200, 1, before + 1])
    expect(await cds.audit.verify()).toBe(true)
  })

  test('is answered only once it is on the disk', async () => {
    const { promise: onDisk, resolve } = Promise.withResolvers<undefined>()
    await cds.close()
    cds = await openCdsHouse({ ...store, flush: () => onDisk })
    const said: string[] = []
    const event = { card: randomUUID(), outcome: 'overridden', outcomeTimestamp: '2026-10-24T09:05:00Z' }
    const answer = cds.post('/hand-joints/feedback', { feedback: [event] }).then(({ status }) => said.push(`answered ${status}`))
    while (!(await cds.feedback.rates('clinic')).some(({ month }) => month === '2026-10-01')) await new Promise((again) => setTimeout(again, 5))
    said.push('on disk')
    resolve(undefined)
    await answer
    expect(said).toEqual(['on disk', 'answered 200'])
  })

  test('needs a token for its own address', async () => {
    const token = await signed(`${cds.publicUrl}/cds-services/hand-joints`)
    expect((await cds.post('/hand-joints/feedback', { feedback: [] }, { token })).status).toBe(401)
  })
})
