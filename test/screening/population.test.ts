import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Resource } from '@medplum/fhirtypes'
import { Command } from 'commander'
import { addScreeningCommands, type ScreeningTools } from '../../src/cli/screening-commands.ts'
import type { Config } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { exportPatients } from '../../src/fhir/bulk-export.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { readPatientList, screenPopulation, type PopulationRow } from '../../src/screening/population.ts'
import { openCardStore } from '../../src/screening/store/card-store.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { patients as ndjson, startBulkServer } from '../support/bulk-server.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { emptyStore, openHouse, type ScreeningHouse } from '../support/screening-house.ts'
import { loopbackTenant } from '../support/screening-sample.ts'
import { openTestStore } from '../support/test-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'jointlens-population-'))
const list = (text: string) => {
  const path = join(folder, 'patients.txt')
  writeFileSync(path, text)
  return path
}
const tenant = loopbackTenant('http://127.0.0.1:1/fhir')

describe('a list of patients', () => {
  test('is one id a line, each once, with comments', async () => {
    expect([...await readPatientList(list('# cohort\r\np-1\r\nPatient/p-2 # twice\n\n  p-1\np-3'))]).toEqual(['p-1', 'p-2', 'p-3'])
  })

  test.each([['p-1\nnot an id\n', 2], ['../x', 1], [`p-1\n\n${'x'.repeat(129)}`, 3]])('with %j names the line', async (text, line) => {
    await expect(readPatientList(list(text))).rejects.toMatchObject({ code: 'ERR_USAGE', message: expect.stringContaining(`line ${line} `) })
  })

  test('that is not there is bad use', async () => {
    await expect(readPatientList(join(folder, 'nowhere.txt'))).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })
})

describe('a population', () => {
  test('of any size waits in a window, in order, and a full queue is waited for', async () => {
    let open = 0
    let most = 0
    let full = 2
    const rows: string[] = []
    const summary = await screenPopulation({
      tenant, window: 7, patients: new Set(Array.from({ length: 500 }, (_, n) => `p-${n}`)), onResult: ({ patientId }) => rows.push(patientId),
      service: {
        request: (_tenant, patientId) => {
          if (patientId === 'p-3' && full-- > 0) return Promise.reject(new ScreeningError('ERR_RATE_LIMITED', 'full'))
          most = Math.max(most, ++open)
          return Promise.resolve()
        },
        settled: async () => {
          await new Promise((resolve) => setImmediate(resolve))
          open--
          return { pending: false, failure: { code: 'no-photos', at: '' } }
        }
      }
    })
    expect(summary).toEqual({ patients: 500, results: 0, 'needs-photo': 0, 'no-photo': 500, failed: 0 })
    expect(rows).toEqual(Array.from({ length: 500 }, (_, n) => `p-${n}`))
    expect(most).toBeLessThanOrEqual(7)
  })

  test('whose server stumbles once over each patient is waited for at the end, and fails only when that took too long', async () => {
    const dueAt = '2026-11-24T10:00:05Z'
    const screened = async (patienceMs: number) => {
      const rows: (readonly [string, string])[] = []
      await screenPopulation({
        tenant, window: 3, patienceMs, patients: new Set(['p-1', 'p-2', 'p-3', 'p-4', 'p-5']), onResult: ({ patientId, status }) => rows.push([patientId, status]),
        service: {
          request: () => Promise.resolve(),
          settled: (_tenant, patientId, { waitForParkedMs = 0 } = {}) => Promise.resolve(patientId === 'p-4' || waitForParkedMs > 0
            ? { pending: false, failure: { code: 'no-photos', at: '' } } : { pending: false, failure: { code: 'ERR_EHR_UNREACHABLE', at: '' }, dueAt })
        }
      })
      return rows
    }
    expect(await screened(60_000)).toEqual(['p-4', 'p-1', 'p-2', 'p-3', 'p-5'].map((one) => [one, 'no-photo']))
    expect(await screened(0)).toEqual([['p-4', 'no-photo'], ...['p-1', 'p-2', 'p-3', 'p-5'].map((one) => [one, 'failed'] as const)])
  })

  test('whose store fails ends with that error', async () => {
    await expect(screenPopulation({
      tenant, patients: new Set(['p-1', 'p-2']), onResult: () => undefined,
      service: { request: () => Promise.resolve(), settled: () => Promise.reject(new ScreeningError('ERR_STORE', 'gone')) }
    })).rejects.toMatchObject({ code: 'ERR_STORE' })
  })
})

describe('jointlens screen', () => {
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
    house = await openHouse(openByteEngine(), {}, { store })
    egress = egressForTenant(house.tenant)
    out = ''
    err = ''
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => { out += String(text); return true })
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => { err += String(text); return true })
    await photo('pat-1', 'left right a')
    await photo('pat-2', 'heic')
  })
  afterEach(async () => {
    jest.restoreAllMocks()
    await egress.close()
    await house.close()
    await emptyStore(store)
  })

  const photo = async (patient: string, text: string) => {
    const add = (resource: object) => house.ehr.repository.createResource<Resource>(resource as Resource)
    const { id } = await add({ resourceType: 'Binary', contentType: 'image/jpeg', data: Buffer.from(text).toString('base64') })
    await add({ resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patient}` }, createdDateTime: new Date().toISOString(), bodySite: { text: 'Hand' }, content: { contentType: 'image/jpeg', url: `Binary/${id}` } })
  }
  const run = (...words: string[]) => runCommand('screen', ...words)
  const runCommand = async (...words: string[]) => {
    const bulk = await startBulkServer()
    bulk.files.set('1', ndjson('pat-1', 'pat-2', 'pat-3'))
    const there = loopbackTenant(bulk.base)
    const bulkEgress = egressForTenant(there)
    const tokens = fixedToken('t')
    const program = new Command('jointlens').exitOverride()
    addScreeningCommands(program, () => Promise.resolve({
      config: { tenants: [house.tenant] } as unknown as Config, screenings: house.service, store, audit: house.audit, cards: openCardStore(store), engine: openByteEngine(), close: () => Promise.resolve(),
      writeWorklist: () => { throw new Error('Expected no worklist') },
      sessionFor: () => openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') }),
      exportPatients: (_tenant, options) => exportPatients({ tenant: there, egress: bulkEgress, tokens, session: openFhirSession({ tenant: there, egress: bulkEgress, tokens }), ...options })
    }))
    try {
      await program.parseAsync(['node', 'jointlens', ...words])
      return bulk.seen
    } finally {
      await bulkEgress.close()
      await bulk.close()
    }
  }
  const lines = () => out.trim().split('\n').map((line) => JSON.parse(line) as PopulationRow & { summary?: object })

  const runAudit = (...words: string[]) => {
    const program = new Command('jointlens').exitOverride()
    addScreeningCommands(program, () => Promise.resolve({ store, audit: house.audit, close: () => Promise.resolve() } as unknown as ScreeningTools))
    return program.parseAsync(['node', 'jointlens', 'audit', ...words])
  }

  test('audit prints what was done for a patient, and says when it was tampered with', async () => {
    await run('--patients', list('pat-1\npat-2\n'))
    out = ''
    await runAudit('--patient', 'pat-1')
    const printed = out.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(printed.at(-1)).toEqual({ events: printed.length - 1, intact: true })
    expect(printed.slice(0, -1).map(({ patientId }) => patientId)).toEqual(Array.from({ length: printed.length - 1 }, () => 'pat-1'))
    expect(printed.map(({ action }) => action)).toContain('read-photo')
    await store.query('delete from audit where seq = 1')
    await expect(runAudit()).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect(out.trim().split('\n').at(-1)).toContain('"intact":false')
  })

  test('--patients prints a line per patient and a summary', async () => {
    await run('--patients', list('pat-1\npat-2\npat-3\n'))
    expect(lines().slice(0, 3).map(({ patientId, status, reason }) => [patientId, status, reason])).toEqual([
      ['pat-1', 'results', undefined], ['pat-2', 'needs-photo', 'ERR_PHOTO_HEIC'], ['pat-3', 'no-photo', 'no-photos']
    ])
    expect(lines()[3]).toEqual({ tenant: 'clinic', summary: { patients: 3, results: 1, 'needs-photo': 1, 'no-photo': 1, failed: 0 } })
    expect(err.trim().split('\n').at(-1)).toBe('{"done":3,"total":3}')
  })

  test.each([[['--group', 'ra'], 'GET /fhir/Group/ra/$export?_type=Patient'], [['--all'], 'GET /fhir/Patient/$export?_type=Patient']])(
    '%j takes the patients from an export, which it deletes', async (words, kickOff) => {
      const seen = await run(...words)
      expect(seen).toEqual(expect.arrayContaining([kickOff, 'DELETE /bulk/status/1']))
      expect(lines()[3]).toEqual({ tenant: 'clinic', summary: { patients: 3, results: 1, 'needs-photo': 1, 'no-photo': 1, failed: 0 }, export: { errors: 0, leftOut: 0, deleted: true } })
    })

  test('--patient prints the whole result, as before', async () => {
    await run('--patient', 'pat-1')
    expect(lines()[0]).toMatchObject({ count: { of: 22, assessable: 22 }, written: [] })
  })

  test('begun again reads no photo twice', async () => {
    await run('--patients', list('pat-1'))
    await run('--patients', list('pat-1'))
    expect(house.ehr.seen.filter(({ path }) => path.startsWith('/Binary/'))).toHaveLength(1)
  })

  test('withdraw takes back what a version of a model said, and has those photos read by the model of now', async () => {
    await run('--patients', list('pat-1\npat-3\n'))
    await store.query(`update screening set data = jsonb_set(data, '{model,version}', '"2"')`)
    out = ''
    await runCommand('withdraw', '--model', '2')
    expect(lines().map(({ patientId, status }) => [patientId, status])).toEqual([['pat-1', 'results'], [undefined, undefined]])
    expect(lines()[1]).toEqual({ tenant: 'clinic', summary: { patients: 1, results: 1, 'needs-photo': 0, 'no-photo': 0, failed: 0 } })
    await expect(runCommand('withdraw', '--model', '1')).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })

  test.each([[[]], [['--patient', 'a', '--all']], [['--group', 'g', '--patients', 'f']]])('with %j says what it expects', async (words) => {
    await expect(run(...words)).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })
})
