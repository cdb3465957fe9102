import './web-socket.ts'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Media } from '@medplum/fhirtypes'
import pino from 'pino'
import { openAudit, type Audit } from '../../src/audit.ts'
import type { TenantConfig } from '../../src/config.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { openEngine } from '../../src/inference/engine/open-engine.ts'
import { openScreeningService, type RunningScreening, type ScreeningDeps } from '../../src/screening/screening-service.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { startFhirServer, type TestFhirServer } from './fhir-server.ts'
import { loopbackTenant } from './screening-sample.ts'
import { writeTestBundle } from './test-bundle.ts'
import { emptyTables, openTestStore } from './test-store.ts'

/** A real engine over a tiny real network. */
export async function openTestEngine(): Promise<InferenceEngine> {
  const dir = await mkdtemp(join(tmpdir(), 'jointlens-model-'))
  await writeTestBundle(dir)
  const engine = await openEngine({ modelDir: dir, workers: 1 })
  return { ...engine, close: async () => { await engine.close(); await rm(dir, { recursive: true }) } }
}

const TABLES = [
  'job', 'screening', 'assessment', 'ledger', 'sent_unanswered', 'shown', 'pause', 'retirement', 'read_photo', 'handed_photo', 'errand', 'heard_event', 'watermark', 'poll_gap',
  'jti', 'card', 'feedback', 'session', 'audit'
]

/** Between tests that share a store: opening one takes longer than most tests. */
export const emptyStore = (store: Store): Promise<void> => emptyTables(store, TABLES)

/** A record, a store and the service between them. */
export interface ScreeningHouse {
  readonly ehr: TestFhirServer
  readonly store: Store
  readonly service: RunningScreening
  readonly tenant: TenantConfig
  readonly audit: Audit
  addPhoto(patientId: string, file: string, more?: Partial<Media>): Promise<string>
  close(): Promise<void>
}

export async function openHouse(
  engine: InferenceEngine, settings: Partial<TenantConfig> = {}, more: Partial<ScreeningDeps> & { store?: Store; ehr?: TestFhirServer } = {}
): Promise<ScreeningHouse> {
  const ehr = more.ehr ?? await startFhirServer()
  const tenant = loopbackTenant(ehr.base, settings)
  const egress = egressForTenant(tenant)
  const store = more.store ?? await openTestStore()
  const audit = openAudit(store)
  const service = openScreeningService({
    store, engine, tenants: [tenant], audit, log: pino({ level: 'silent' }),
    calibrations: new Map([[tenant.id, { ...engine.calibration, data: 'the clinic' }]]),
    sessionFor: (one) => openFhirSession({ tenant: one, egress, tokens: fixedToken('t') }),
    ...more
  })
  return {
    ehr, store, service, tenant, audit,
    async addPhoto(patientId, file, media = {}) {
      const data = readFileSync(new URL(`../../demo/photos/${file}.jpg`, import.meta.url)).toString('base64')
      const binary = await ehr.repository.createResource({ resourceType: 'Binary', contentType: 'image/jpeg', data })
      const { id } = await ehr.repository.createResource<Media>({
        resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, createdDateTime: '2026-11-20T08:00:00Z',
        bodySite: { text: file.includes('left') ? 'Left hand' : 'Right hand' },
        content: { contentType: 'image/jpeg', url: `${ehr.base}/Binary/${binary.id}` }, ...media
      })
      return id ?? ''
    },
    async close() {
      await service.stop()
      await egress.close()
      if (!more.store) await store.close()
      if (!more.ehr) await ehr.close()
    }
  }
}
