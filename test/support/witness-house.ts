import pino from 'pino'
import { openAudit, type Audit } from '../../src/audit.ts'
import type { TenantConfig } from '../../src/config.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant } from '../../src/fhir/egress.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { openScreeningService, type RunningScreening, type ScreeningDeps } from '../../src/screening/screening-service.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { startWitness, type Witness, type WitnessOptions } from '../faults/witness/witness.ts'
import { at, text, type Resource } from '../faults/witness/fhir-memory.ts'
import { openByteEngine, type ByteEngine } from './byte-engine.ts'
import { loopbackTenant } from './screening-sample.ts'

/** A service that writes to a witness, with an engine that reads texts: quick, and every write is seen. */
export interface WitnessHouse {
  readonly witness: Witness
  readonly service: RunningScreening
  readonly tenant: TenantConfig
  readonly audit: Audit
  readonly engine: ByteEngine
  session(): FhirSession
  /** A text that plays a photo: `left hand …`. */
  addPhoto(patientId: string, words: string, more?: Partial<Resource>): string
  screen(patientId: string): ReturnType<RunningScreening['status']>
  /** Everything of one type in the record, newest version of each. */
  all(type: string, patientId?: string): readonly Resource[]
  /** Ids of those that are neither cancelled nor entered in error. */
  live(type: string, patientId?: string): readonly string[]
  close(): Promise<void>
}

export async function openWitnessHouse(
  store: Store, { witness: wanted = {}, settings = {}, engine = openByteEngine(), ...more }:
  Partial<ScreeningDeps> & { witness?: WitnessOptions | Witness; settings?: Partial<TenantConfig>; engine?: ByteEngine } = {}
): Promise<WitnessHouse> {
  const witness = 'memory' in wanted ? wanted : await startWitness(wanted)
  const tenant = loopbackTenant(witness.base, { mode: 'assist', write: 'preliminary', calibrationFile: 'site.json', ...settings })
  const egress = egressForTenant(tenant)
  const audit = openAudit(store)
  const session = () => openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  const service = openScreeningService({
    store, engine, tenants: [tenant], audit, log: pino({ level: 'silent' }), calibrations: new Map([[tenant.id, engine.calibration]]),
    sessionFor: (one, options) => openFhirSession({ tenant: one, egress, tokens: fixedToken('t'), ...options }),
    readBackDelaysMs: [0, 20], settling: { promptMs: 20, lateMs: 20 }, ...more
  })
  const all = (type: string, patientId?: string) => witness.memory.all().filter((one) =>
    one.resourceType === type && (patientId === undefined || text(at(one, 'subject'), 'reference') === `Patient/${patientId}`))
  return {
    witness, service, tenant, audit, engine, session, all,
    live: (type, patientId) => all(type, patientId).filter(({ status }) => status !== 'cancelled' && status !== 'entered-in-error').map(({ id = '' }) => id),
    addPhoto(patientId, words, media = {}) {
      const data = Buffer.from(words).toString('base64')
      const { id = '' } = witness.memory.put({
        resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, createdDateTime: '2026-11-20T08:00:00Z',
        bodySite: { text: /left/.test(words) ? 'Left hand' : 'Right hand' }, content: { contentType: 'image/jpeg', data }, ...media
      })
      return id
    },
    async screen(patientId) {
      await service.request(tenant.id, patientId, 'command')
      while (await service.runOnce());
      return service.status(tenant.id, patientId)
    },
    async close() {
      await service.stop()
      await egress.close()
      if (!('memory' in wanted)) await witness.close()
    }
  }
}
