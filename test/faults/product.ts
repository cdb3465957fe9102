import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { install } from 'undici'
import { pino } from 'pino'
import { openAudit } from '../../src/audit.ts'
import { openBackendTokens } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { openScreeningService } from '../../src/screening/screening-service.ts'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { loopbackTenant } from '../support/screening-sample.ts'
import type { LedgerExport } from './history.ts'
import { newSigningKey } from './signing-key.ts'

/** What a driver asks of one product process, as JSON in FAULTS_SETTINGS. */
export interface ProductSettings {
  readonly base: string
  readonly store: { readonly dataDir: string } | { readonly databaseUrl: string }
  /** Asked for at the start, in this order; each is told on stdout once it is durable. */
  readonly request: readonly string[]
  /** Everyone whose result is shown at the end. */
  readonly patients: readonly string[]
  /** Where the account of what was done is written when nothing is open any more. */
  readonly ledgerFile: string
  readonly httpTimeoutMs: number
  readonly leaseMs: number
  readonly settleMs: number
  /** Patients side by side; the product's own number where absent. */
  readonly atOnce?: number
}

export const TENANT = 'clinic'

/**
 * The product as a process of its own that can be killed: the real store, queue, writer, session and token client; only the
 * photos are texts and the times are shorter. It ends by itself when no screening is open.
 */
async function main({ base, store: place, request, patients, ledgerFile, httpTimeoutMs, leaseMs, settleMs, atOnce }: ProductSettings): Promise<void> {
  install()
  const tenant = loopbackTenant(base, {
    id: TENANT, mode: 'assist', write: 'preliminary', calibrationFile: 'site.json',
    backend: { clientId: 'jointlens', key: newSigningKey(), scope: 'system/*.cruds' }
  })
  const egress = impatient(egressForTenant(tenant), httpTimeoutMs)
  const tokens = openBackendTokens(tenant, egress)
  const store = await openStore(place)
  const engine = openByteEngine()
  const service = openScreeningService({
    store, engine, tenants: [tenant], audit: openAudit(store), log: pino({ level: process.env['LOG_LEVEL'] ?? 'silent' }),
    calibrations: new Map([[tenant.id, engine.calibration]]),
    sessionFor: (_tenant, more) => openFhirSession({ tenant, egress, tokens, ...more }),
    queue: { leaseMs, parkMs: (parked) => 100 * 2 ** Math.min(parked, 4) * (0.5 + Math.random() / 2), retryMs: () => 100, breakMs: (failures) => failures < 3 ? 0 : 200 },
    ...(atOnce ? { atOnce } : {}), heartbeatMs: leaseMs / 5, pollMs: 100, readBackDelaysMs: [0, settleMs / 4, settleMs], settling: { promptMs: 3 * settleMs, lateMs: 3 * settleMs }
  })
  for (const patientId of request) {
    await service.request(TENANT, patientId, 'previsit')
    say({ kind: 'accepted', tenant: TENANT, patientId })
  }
  service.start()
  while (await openJobs(store) > 0) await sleep(50)
  for (const patientId of patients) {
    const { latest, pending } = await service.status(TENANT, patientId)
    say({ kind: 'shown', tenant: TENANT, patientId, pending, written: latest?.written ?? [] })
  }
  writeFileSync(ledgerFile, JSON.stringify(await exportLedger(store)))
  await service.stop()
  await egress.close()
  await store.close()
}

export async function openJobs(store: Store): Promise<number> {
  const [row] = await store.query<{ open: number }>("select count(*)::int as open from job where state in ('accepted', 'leased', 'parked')")
  return row?.open ?? 0
}

/** The product's own account of what became of everything. */
export async function exportLedger(store: Store): Promise<LedgerExport> {
  const jobs = await store.query<{ tenant: string; patient_id: string; state: string; failure_code: string | null }>('select tenant, patient_id, state, failure_code from job')
  const screenings = await store.query<{ id: string; tenant: string; patient_id: string; state: string; written: string[]; superseded: boolean; data: { photos: { resourceType: string; id: string }[] } }>(
    'select id, tenant, patient_id, state, written, superseded, data from screening')
  const ledger = await store.query<{ tenant: string; patient_id: string; identifier: string; reference: string }>('select tenant, patient_id, identifier, reference from ledger')
  return {
    jobs: jobs.map(({ tenant, patient_id, state, failure_code }) => ({ tenant, patientId: patient_id, state, ...(failure_code ? { code: failure_code } : {}) })),
    screenings: screenings.map(({ id, tenant, patient_id, state, written, superseded, data }) =>
      ({ id, tenant, patientId: patient_id, state, written, superseded, photos: data.photos.map((photo) => `${photo.resourceType}/${photo.id}`) })),
    ledger: ledger.map(({ tenant, patient_id, identifier, reference }) => ({ tenant, patientId: patient_id, identifier, reference }))
  }
}

function impatient(egress: Egress, timeoutMs: number): Egress {
  return { ...egress, fetch: (url, request) => egress.fetch(url, { ...request, timeoutMs }) }
}

function say(event: object): void {
  process.stdout.write(`${JSON.stringify({ ms: performance.timeOrigin + performance.now(), ...event })}\n`)
}

if (import.meta.main) {
  await main(JSON.parse(process.env['FAULTS_SETTINGS'] ?? '{}') as ProductSettings)
  process.exit()
}
