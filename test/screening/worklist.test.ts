import { mkdtempSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Resource } from '@medplum/fhirtypes'
import { Command } from 'commander'
import { addScreeningCommands } from '../../src/cli/screening-commands.ts'
import { makeTenant, type Config, type TenantConfig } from '../../src/config.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { worklistCsv, type WorklistRow } from '../../src/screening/previsit.ts'
import { openCardStore } from '../../src/screening/store/card-store.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { writeWorklist } from '../../src/worklist-files.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { emptyStore, openHouse, type ScreeningHouse } from '../support/screening-house.ts'
import { openTestStore } from '../support/test-store.ts'

const EVIL = '<img src=x onerror=alert(1)>"\'&'
const site = (change: Partial<TenantConfig> = {}) =>
  makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', mode: 'assist', calibrationFile: 'c.json', timeZone: 'Europe/Berlin', ...change })
const rows: readonly WorklistRow[] = [
  { patientId: 'p-1', name: EVIL, appointment: '2026-11-25T08:00:00Z', status: 'results', count: { swollen: 3, assessable: 21, of: 22, low: 2, high: 6 }, photoTime: '2026-11-24T20:00:00Z' },
  { patientId: 'p-2', name: 'Ada', appointment: '2026-11-25T08:30:00+01:00', status: 'needs-photo', reason: 'blurred', photoTime: '2026-11-24' },
  { patientId: 'p-3', appointment: '2026-11-25T09:00:00Z', status: 'needs-photo', reason: 'old-photo', count: { swollen: 1, assessable: 22, of: 22, low: 0, high: 3 }, photoTime: '2026-06-01' },
  { patientId: 'p-4', appointment: '2026-11-25T09:30:00Z', status: 'no-photo', reason: 'no-photos' },
  { patientId: 'p-5', appointment: '2026-11-25T10:00:00Z', status: 'failed', reason: 'ERR_EHR_UNREACHABLE' }
]
let dir: string
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'jointlens-worklist-')) })

function written(tenant: TenantConfig, list = rows, withoutPatient = 0) {
  writeWorklist(dir, { tenant, date: '2026-11-25', rows: list, withoutPatient, madeAt: '2026-11-25T01:00:00Z' })
  const read = (name: string) => readFileSync(join(dir, name), 'utf8')
  return { html: read('worklist.html'), csv: read('worklist.csv'), json: JSON.parse(read('worklist.json')) as { rows: WorklistRow[]; withoutPatient: number; research: boolean; mode: string } }
}

describe('the worklist page', () => {
  test('says who needs a photo and why, who has none, and what was found, with times of the site', () => {
    const { html } = written(site())
    const text = html.replace(/<style>.*<\/style>/s, '').replaceAll(/<[^>]+>/g, '|').replaceAll(/\|[\s|]*/g, '|')
    expect(text).toContain('|Hand photos before the visits of Wednesday, 25 November 2026|Clinic. Made 25 Nov 2026, 02:00; times of Europe/Berlin.|')
    expect(text).toContain('|Needs a new photo|2 patients|Time|Patient|Why|Photo of|08:30|Ada (p-2)|photo is blurred|24 Nov 2026|10:00|p-3|the photo is too old|1 Jun 2026|')
    expect(text).toContain('|No photo|1 patient|Time|Patient|Why|Photo of|10:30|p-4|no hand photo in the record|–|')
    expect(text).toContain('|11:00|p-5|it is tried again by itself (ERR_EHR_UNREACHABLE)|–|')
    expect(text).toContain('3 of 21 assessable joints swollen (2–6); 1 not assessable|24 Nov 2026|')
    expect(text).toContain('Research software')
  })

  test('speaks the language of the site', () => {
    const { html } = written(site({ language: 'de' }))
    expect(html).toContain('<html lang="de">')
    for (const words of ['Mittwoch, 25. November 2026', 'Braucht ein neues Foto', 'Foto ist unscharf', 'Kein Foto', 'das Foto ist zu alt', '3 von 21 beurteilbaren Gelenken', 'Forschungssoftware'])
      expect(html).toContain(words)
  })

  test('is inert whatever a record puts into a name, and takes nothing from a network', () => {
    const { html } = written(site({ name: EVIL }))
    expect(html).not.toMatch(/<(?!\/?(?:html|head|meta|title|style|body|main|h1|h2|p|div|table|caption|thead|tbody|tr|th|td)\b)[a-z/]|href=|url\(/)
    expect(html.match(/&lt;img src=x onerror=alert\(1\)&gt;&quot;&#39;&amp;/g)).toHaveLength(2)
    expect(html).toMatch(/<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-[^"]+'">/)
  })

  test('says so when nobody comes', () => {
    expect(written(site(), []).html.match(/<p>Nobody\.<\/p>/g)).toHaveLength(4)
  })
})

test('says in each file how many appointments nobody was looked at for', () => {
  const { html, csv, json } = written(site(), rows, 2)
  expect(html).toContain('2 appointments name no patient of the record; nobody was looked at for them.')
  expect(csv.split('\r\n').at(-2)).toBe(',,,without-patient,2,,,,,,')
  expect(json.withoutPatient).toBe(2)
  expect(written(site({ language: 'de' }), rows, 1).html).toContain('Ein Termin nennt niemanden aus der Akte')
  expect(written(site()).html).not.toContain('nobody was looked at')
  expect(written(site()).csv.split('\r\n')).toHaveLength(rows.length + 2)
})

test('in shadow mode no file says what was found', () => {
  const { html, csv, json } = written(site({ mode: 'shadow' }))
  expect(html).toContain('Shadow mode')
  expect(`${html}${csv}`).not.toMatch(/3 of 21|,3,21,/)
  expect(json.rows.map(({ count }) => count)).toEqual(rows.map(() => undefined))
  expect([json.mode, json.research]).toEqual(['shadow', true])
})

test('the files are the owner\'s alone', () => {
  written(site())
  for (const name of ['worklist.html', 'worklist.csv', 'worklist.json']) expect(statSync(join(dir, name)).mode & 0o077).toBe(0)
  expect(() => { writeWorklist(join(dir, 'worklist.csv', 'below'), { tenant: site(), date: '2026-11-25', rows, withoutPatient: 0, madeAt: '2026-11-25T01:00:00Z' }) })
    .toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }))
})

test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =1', '\r=1', '＝1', '|cmd', '%x'])('%j in a name is text to a spreadsheet', (name) => {
  const [, line = ''] = worklistCsv({ rows: [{ patientId: 'p', name, appointment: 'a', status: 'failed' }], withoutPatient: 0 }).split('\r\n')
  expect(line.startsWith(`a,p,'${name}`) || line.startsWith(`a,p,"'${name}`)).toBe(true)
})

describe('jointlens previsit', () => {
  let store: Store
  let house: ScreeningHouse
  let egress: Egress
  let out: string
  let err: string

  beforeAll(async () => {
    store = await openTestStore()
  })
  afterAll(() => store.close())
  beforeEach(async () => {
    house = await openHouse(openByteEngine(), { timeZone: 'Europe/Berlin', mode: 'assist', calibrationFile: 'c.json' }, { store })
    egress = egressForTenant(house.tenant)
    out = ''
    err = ''
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => { out += String(text); return true })
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => { err += String(text); return true })
  })
  afterEach(async () => {
    jest.restoreAllMocks()
    await egress.close()
    await house.close()
    await emptyStore(store)
  })

  const run = (...words: string[]) => {
    const program = new Command('jointlens').exitOverride()
    addScreeningCommands(program, () => Promise.resolve({
      config: { tenants: [house.tenant] } as unknown as Config, screenings: house.service, store, audit: house.audit, cards: openCardStore(store), engine: openByteEngine(), writeWorklist, exportPatients: () => Promise.reject(new Error('Expected no export')), close: () => Promise.resolve(),
      sessionFor: () => openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') })
    }))
    return program.parseAsync(['node', 'jointlens', ...words])
  }
  const add = (resource: object) => house.ehr.repository.createResource<Resource>(resource as Resource)
  const appointment = (patient: string, start: string, display: string) =>
    add({ resourceType: 'Appointment', status: 'booked', start, end: start, participant: [{ actor: { reference: `Patient/${patient}`, display }, status: 'accepted' }] })
  const photo = async (patient: string, text: string, created: string) => {
    const { id } = await add({ resourceType: 'Binary', contentType: 'image/jpeg', data: Buffer.from(text).toString('base64') })
    await add({ resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patient}` }, createdDateTime: created, bodySite: { text: 'Hand' }, content: { contentType: 'image/jpeg', url: `Binary/${id}` } })
  }

  test('--out writes the three files with names; the terminal gets none', async () => {
    await appointment('pat-1', '2026-11-25T09:00:00Z', 'Ada Lovelace')
    await appointment('pat-2', '2026-11-25T10:00:00Z', 'Old Photo')
    await photo('pat-1', 'left right a', '2026-11-24T09:00:00Z')
    await photo('pat-2', 'left right b', '2026-09-01T09:00:00Z')
    await run('previsit', '--date', '2026-11-25', '--out', dir)
    expect((JSON.parse(out) as { rows: WorklistRow[] }).rows.map(({ patientId, status, reason }) => [patientId, status, reason]))
      .toEqual([['pat-1', 'results', undefined], ['pat-2', 'needs-photo', 'old-photo']])
    expect(`${out}${err}`).not.toContain('Ada')
    expect(err.trim().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([{ done: 0, total: 2 }, { done: 1, total: 2 }, { done: 2, total: 2 }])
    expect(readFileSync(join(dir, 'worklist.html'), 'utf8')).toContain('Ada Lovelace (pat-1)')
    expect(readFileSync(join(dir, 'worklist.csv'), 'utf8')).toContain(',pat-1,Ada Lovelace,results,')
  })

  test('--date tomorrow is the day after today at the site', async () => {
    jest.useFakeTimers({ now: new Date('2026-11-24T23:30:00Z'), doNotFake: ['nextTick', 'setImmediate', 'setInterval', 'setTimeout', 'clearTimeout', 'clearInterval', 'performance', 'queueMicrotask'] })
    try {
      await run('previsit', '--date', 'tomorrow')
    } finally {
      jest.useRealTimers()
    }
    expect(JSON.parse(out)).toEqual({ tenant: 'clinic', date: '2026-11-26', rows: [], withoutPatient: 0 })
  })

  test.each(['2026-02-30', '25.11.2026', 'yesterday'])('refuses the date %s', async (date) => {
    await expect(run('previsit', '--date', date)).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })
})
