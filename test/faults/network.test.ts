import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { loopbackTenant } from '../support/screening-sample.ts'
import { openRelay, type NetworkFault, type Relay } from './relay.ts'
import { startWitness, type Witness } from './witness/witness.ts'

let witness: Witness
let relay: Relay
let egress: Egress
let session: FhirSession

beforeEach(async () => {
  witness = await startWitness()
  relay = await openRelay(Number(new URL(witness.base).port))
  const tenant = loopbackTenant(`http://127.0.0.1:${relay.port}/fhir`)
  egress = egressForTenant(tenant)
  // As the product does it, with a shorter patience.
  const impatient: Egress = { ...egress, fetch: (url, request) => egress.fetch(url, { ...request, timeoutMs: 600 }) }
  session = openFhirSession({ tenant, egress: impatient, tokens: fixedToken('t') })
  witness.memory.put({ resourceType: 'Patient', name: [{ text: 'x'.repeat(500) }] }, 'pat-1')
})
afterEach(async () => {
  await egress.close()
  await relay.close()
  await witness.close()
})

const SPOILT: readonly NetworkFault[] = [
  { kind: 'half-open' }, { kind: 'swallow' }, { kind: 'stall', afterBytes: 0 }, { kind: 'stall', afterBytes: 250 }, { kind: 'slice', everyMs: 1_000 },
  { kind: 'reset', afterBytes: 0 }, { kind: 'reset', afterBytes: 250 }, { kind: 'close', afterBytes: 250 }
]

async function slotIsFreed(): Promise<void> {
  relay.fault = { kind: 'none' }
  expect((await session.read('Patient', 'pat-1')).id).toBe('pat-1')
  for (let time = 0; relay.open() > 1 && time < 100; time++) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(relay.open()).toBeLessThanOrEqual(1)
}

test.each(SPOILT)('R11: a read over a network that does %j fails with a code, and its connection is given up', async (fault) => {
  relay.fault = fault
  await expect(session.read('Patient', 'pat-1')).rejects.toMatchObject({ code: 'ERR_EHR_UNREACHABLE' })
  await slotIsFreed()
})

test.each(SPOILT)('R11: the outcome of a write over a network that does %j is unknown, not refused', async (fault) => {
  relay.fault = fault
  await expect(session.create({ resourceType: 'Device' })).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
  await slotIsFreed()
})

test('R11: a slow network that answers in time is none of that', async () => {
  relay.fault = { kind: 'latency', ms: 150 }
  expect((await session.read('Patient', 'pat-1')).id).toBe('pat-1')
})
