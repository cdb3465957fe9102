import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Consent, Media } from '@medplum/fhirtypes'
import { Command } from 'commander'
import type { AuditedEvent } from '../../src/audit.ts'
import type { Comparison } from '../../src/cli/comparison-report.ts'
import { addCompareCommand } from '../../src/cli/model-compare.ts'
import type { TenantConfig } from '../../src/config.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { openEngine } from '../../src/inference/engine/open-engine.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { everything, startFhirServer } from '../support/fhir-server.ts'
import { emptyStore, openHouse, type ScreeningHouse } from '../support/screening-house.ts'
import { writeTestBundle } from '../support/test-bundle.ts'
import { openTestStore } from '../support/test-store.ts'

/** Opening a model is slow where the machine is shared. */
jest.setTimeout(180_000)

let base: string
let engine: InferenceEngine
let other: InferenceEngine
let store: Store
let house: ScreeningHouse
let egress: Egress
let out: string

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'jointlens-compare-'))
  await writeTestBundle(join(base, 'old'))
  await writeTestBundle(join(base, 'new'), { change: (manifest) => { manifest.version = '0.0.2'; manifest.calibration.bias = 0.3 } })
  engine = await openEngine({ modelDir: join(base, 'old'), workers: 1, photoTimeoutMs: 120_000 })
  other = await openEngine({ modelDir: join(base, 'new'), workers: 1, photoTimeoutMs: 120_000 })
  store = await openTestStore()
}, 300_000)
afterAll(async () => {
  await engine.close()
  await other.close()
  await store.close()
  await rm(base, { recursive: true, force: true })
})
beforeEach(async () => {
  house = await openHouse(engine, {}, { store })
  egress = egressForTenant(house.tenant)
  out = ''
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => { out += String(text); return true })
  jest.spyOn(process.stderr, 'write').mockImplementation(() => true)
})
afterEach(async () => {
  jest.restoreAllMocks()
  process.exitCode = undefined
  await egress.close()
  await house.close()
  await emptyStore(store)
})

/** Photos of both hands, screened by the service. */
async function screened(patientId: string, created: string): Promise<readonly string[]> {
  const ids = [await house.addPhoto(patientId, 'demo-1-left', { createdDateTime: created }), await house.addPhoto(patientId, 'demo-1-right', { createdDateTime: created })]
  await house.service.request('clinic', patientId, 'command')
  while (await house.service.runOnce());
  return ids
}

async function compare(words: readonly string[], settings: Partial<TenantConfig> = {}): Promise<Comparison> {
  const tenant = { ...house.tenant, ...settings }
  const program = new Command('model').exitOverride()
  addCompareCommand(program, () => Promise.resolve({
    config: { tenants: [tenant] }, store, audit: house.audit, close: () => Promise.resolve(),
    sessionFor: () => openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  }), ({ modelDir }) => Promise.resolve({ ...(modelDir.endsWith('old') ? engine : other), close: () => Promise.resolve() }))
  await program.parseAsync(['node', 'model', 'compare', join(base, 'old'), join(base, 'new'), '--json', ...words])
  return JSON.parse(out) as Comparison
}

async function list(...patients: string[]): Promise<string> {
  await writeFile(join(base, 'patients.txt'), patients.join('\n'))
  return join(base, 'patients.txt')
}

const recently = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString()

/** Every row of every table but the audit's. */
async function rows(): Promise<Record<string, unknown>> {
  const tables = await store.query<{ name: string }>("select table_name as name from information_schema.tables where table_schema = 'public' and table_name <> 'audit' order by 1")
  return Object.fromEntries(await Promise.all(tables.map(async ({ name }) => [name, await store.query(`select t::text from ${name} t order by 1`)] as const)))
}

async function audited(): Promise<AuditedEvent[]> {
  const events: AuditedEvent[] = []
  for await (const event of house.audit.events()) if (event.action === 'compare-models') events.push(event)
  return events
}

describe('jointlens model compare on stored screenings', () => {
  test('reads their photos again with both, writes nothing to the record and stores nothing but the audit of it', async () => {
    const ids = await screened('pat-1', '2026-11-20T08:00:00Z')
    const [before, asked] = [await rows(), house.ehr.seen.length]
    const comparison = await compare(['--patients', await list('pat-1', 'pat-9')])
    expect(comparison).toMatchObject({
      source: { from: 'record', tenant: 'clinic', patients: 1, withoutResult: 1, withheld: 0 }, patients: 1, visits: 1, visitsOfSeveralPhotos: 1,
      photos: { read: 2, refused: [] }, joints: { both: 22 }, labels: null
    })
    expect(ids.map((id) => `Media/${id}`)).toEqual(expect.arrayContaining([...new Set(comparison.largestChanges.map(({ photo }) => photo))]))
    // What the service stored of these photos is what the old model says now.
    const { latest } = await house.service.status('clinic', 'pat-1')
    const [largest] = comparison.largestChanges
    expect(latest?.findings.find(({ side, joint }) => side === largest?.side && joint === largest.joint)).toMatchObject({ probability: largest?.old })
    expect(new Set(house.ehr.seen.slice(asked).map(({ method }) => method))).toEqual(new Set(['GET']))
    expect(await rows()).toEqual(before)
    expect(await audited()).toEqual([expect.objectContaining({
      tenant: 'clinic', actor: 'command', outcome: 'success',
      entity: `2 photos of 1 patients read by the models ${comparison.old.digest.slice(0, 12)} and ${comparison.new.digest.slice(0, 12)}`
    })])
  })

  test('--recent takes everyone whose photos were taken in those days, and no older visit of theirs', async () => {
    await screened('pat-1', recently(1))
    await screened('pat-1', recently(40))
    await screened('pat-2', recently(50))
    expect((await compare(['--recent', '7'])).source).toEqual({ from: 'record', tenant: 'clinic', patients: 1, withoutResult: 0, withheld: 0 })
    out = ''
    expect(await compare(['--recent', '45'])).toMatchObject({ patients: 1, visits: 2, photos: { read: 4 } })
    out = ''
    expect(await compare(['--recent', '60'])).toMatchObject({ patients: 2, visits: 3 })
  })

  test('a photo that is gone is named and left out, and one that the record now calls the other hand is not called', async () => {
    const [left = '', right = ''] = await screened('pat-1', '2026-11-20T08:00:00Z')
    await house.ehr.repository.deleteResource('Media', left)
    const media = await house.ehr.repository.readResource<Media>('Media', right)
    await house.ehr.repository.updateResource<Media>({ ...media, bodySite: { text: 'Left hand' } })
    const comparison = await compare(['--patients', await list('pat-1')])
    expect(comparison.photos).toEqual({ read: 1, refused: [{ photo: `Media/${left}`, code: 'ERR_NOT_FOUND', by: 'both' }] })
    expect(comparison.joints).toEqual({ both: 0, onlyOld: 0, onlyNew: 0 })
    expect(process.exitCode).toBe(3)
  })

  test('fetches no photo of a patient who does not agree', async () => {
    const rest = everything()
    const ehr = await startFhirServer({ ...rest, resource: [...(rest.resource ?? []), { type: 'Consent', interaction: [{ code: 'search-type' }], searchParam: [{ name: 'patient', type: 'reference' }] }] })
    await egress.close()
    await house.close()
    house = await openHouse(engine, {}, { store, ehr })
    egress = egressForTenant(house.tenant)
    await screened('pat-1', '2026-11-20T08:00:00Z')
    const denied: Consent = {
      resourceType: 'Consent', status: 'active', patient: { reference: 'Patient/pat-1' }, policyRule: { text: 'opt-out' }, provision: { type: 'deny' },
      scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] }, category: [{ text: 'privacy' }]
    }
    ehr.raw.set('/Consent', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry: [{ resource: denied }] })) })
    const asked = ehr.seen.length
    const backend = { clientId: 'x', key: { kty: 'EC' as const, kid: 'x', alg: 'ES384' as const, d: 'x' }, scope: 'system/Media.rs system/Consent.rs' }
    expect((await compare(['--patients', await list('pat-1')], { backend })).source).toMatchObject({ patients: 0, withheld: 1 })
    expect(ehr.seen.slice(asked).map(({ path }) => path.split('?')[0]).filter((path) => /Media|Binary/.test(path ?? ''))).toEqual([])
    await ehr.close()
  })

  test("uses the tenant's calibration for the model that it belongs to", async () => {
    await screened('pat-1', '2026-11-20T08:00:00Z')
    const file = join(base, 'site.json')
    const manifest = JSON.parse(await readFile(join(base, 'old', 'manifest.json'), 'utf8')) as { calibration: object }
    await writeFile(file, JSON.stringify({ modelDigest: engine.model.digest, calibration: { ...manifest.calibration, data: 'the clinic' } }))
    const { old, new: fresh } = await compare(['--patients', await list('pat-1')], { calibrationFile: file })
    expect([old.calibration, fresh.calibration]).toMatchObject([{ from: 'file', data: 'the clinic' }, { from: 'bundle', data: 'test data' }])
  })

  test('ends with the error of a record that does not answer, and the audit says so', async () => {
    await screened('pat-1', '2026-11-20T08:00:00Z')
    await house.ehr.close()
    await expect(compare(['--patients', await list('pat-1')])).rejects.toMatchObject({ code: 'ERR_EHR_UNREACHABLE', exitCode: 4 })
    expect(await audited()).toEqual([expect.objectContaining({ outcome: 'failure', code: 'ERR_EHR_UNREACHABLE' })])
    expect(out).toBe('')
  })
})
