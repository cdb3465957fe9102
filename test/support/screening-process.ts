import { install } from 'undici'
import { pino } from 'pino'
import { openAudit } from '../../src/audit.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { openScreeningService } from '../../src/screening/screening-service.ts'
import { openStore } from '../../src/screening/store/open-store.ts'
import { openByteEngine } from './byte-engine.ts'
import { loopbackTenant } from './screening-sample.ts'

// A process of its own to be killed: `node screening-process.ts FHIR_BASE DATA_DIR request|resume`. It ends when pat-1 is settled.
install()
const [base = '', dataDir = '', what] = process.argv.slice(2)
const tenant = loopbackTenant(base, { mode: 'assist', write: 'preliminary', calibrationFile: 'site.json' })
const egress = egressForTenant(tenant)
const store = await openStore({ dataDir })
const engine = openByteEngine()
const audit = openAudit(store)
const service = openScreeningService({
  store, engine, audit, tenants: [tenant], log: pino({ level: 'silent' }), calibrations: new Map([[tenant.id, engine.calibration]]),
  sessionFor: () => openFhirSession({ tenant, egress, tokens: fixedToken('t') }), readBackDelaysMs: [0, 50], settling: { promptMs: 2_000, lateMs: 2_000 }
})
if (what === 'request') await service.request(tenant.id, 'pat-1', 'command')
service.start()
// A write whose outcome is unknown is looked at again after the server had time to show it.
const until = Date.now() + 40_000
let settled = await service.settled(tenant.id, 'pat-1', { timeoutMs: 20_000 })
while (settled.failure?.code === 'ERR_WRITE_AMBIGUOUS' && Date.now() < until) {
  await new Promise((resolve) => setTimeout(resolve, 250))
  settled = await service.settled(tenant.id, 'pat-1', { timeoutMs: 20_000 })
}
const { latest, pending, failure } = settled
const history = await service.history(tenant.id, 'pat-1')
process.stdout.write(JSON.stringify({
  pending, failure, written: latest?.written.length, history: history.length, chain: await audit.verify()
}))
await service.stop()
await egress.close()
await store.close()
