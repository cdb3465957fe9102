import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { Media, Resource } from '@medplum/fhirtypes'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { copyTestStore } from '../support/test-store.ts'

const program = fileURLToPath(new URL('../support/screening-process.ts', import.meta.url))
let ehr: TestFhirServer
let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'jointlens-crash-'))
  await copyTestStore(dataDir)
}, 300_000)
afterEach(async () => {
  await ehr.close()
  await rm(dataDir, { recursive: true })
})

async function openRecord(rest = everything()) {
  ehr = await startFhirServer(rest)
  for (const side of ['left', 'right']) {
    await ehr.repository.createResource<Media>({
      resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-1' }, createdDateTime: '2026-11-20T08:00:00Z',
      bodySite: { text: `${side} hand` }, content: { contentType: 'image/jpeg', data: Buffer.from(`${side} hand`).toString('base64') }
    })
  }
}

async function run(what: 'request' | 'resume', failpoint?: string) {
  const { JOINTLENS_FAILPOINT: _, ...env } = process.env
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ehr.base, dataDir, what], {
    env: { ...env, JOINTLENS_PROFILE: 'development', ...(failpoint ? { JOINTLENS_FAILPOINT: failpoint } : {}) },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  const [code, signal] = await once(child, 'close') as [number | null, string | null]
  return { code, signal, result: output ? JSON.parse(output) as Record<string, unknown> : undefined }
}

/** What lies in the record, by type, and whether anything is there twice. */
async function record() {
  const counts: Record<string, number> = {}
  for (const resourceType of ['Observation', 'DiagnosticReport', 'Provenance', 'Device'] as const) {
    const found = await ehr.repository.searchResources<Resource>({ resourceType, count: 1000 })
    counts[resourceType] = found.length
  }
  return counts
}

const complete = { Observation: 23, DiagnosticReport: 1, Provenance: 1, Device: 1 }

/** `npm run test:crash` kills at every place, `npm test` at the three that have hurt most. */
const SWEEP = process.env['SWEEP'] === 'full'
const short = (places: string[]) => (SWEEP ? places : places.slice(0, 3))

describe('a process that is killed', () => {
  test.each(short(['after-transaction', 'stored', 'before-ledger', 'accepted', 'leased', 'inferred', 'before-transaction', 'written', 'before-end']))(
    'at "%s" leaves work that the next one completes, and nothing in the record twice', async (place) => {
      await openRecord()
      expect((await run('request', place)).signal).toBe('SIGKILL')
      expect(await readFile(join(dataDir, 'owner.pid'), 'utf8')).toMatch(/^\d+/)
      const { result } = await run('resume')
      expect(result).toEqual({ pending: false, written: 26, history: 1, chain: true })
      expect(await record()).toEqual(complete)
    }, 120_000)

  test.each(['before-write:5', 'after-write:14'].slice(SWEEP ? 0 : 1))(
    'at "%s" on a server that takes one resource at a time and knows no conditions, too', async (place) => {
      const rest = everything()
      await openRecord({ ...rest, interaction: [], resource: (rest.resource ?? []).map((one) => ({ ...one, conditionalCreate: false })) })
      expect((await run('request', place)).signal).toBe('SIGKILL')
      expect((await run('resume')).result).toMatchObject({ pending: false, written: 26, history: 1 })
      expect(await record()).toEqual(complete)
    }, 120_000)

  test('three times at the same place is not given a fourth try', async () => {
    await openRecord()
    await run('request', 'leased')
    for (let time = 0; time < 2; time++) expect((await run('resume', 'leased')).signal).toBe('SIGKILL')
    expect((await run('resume')).result).toMatchObject({ pending: false, failure: { code: 'ERR_INTERNAL' }, history: 0 })
  }, 120_000)
})
