import { afterEach, expect, test } from '@jest/globals'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { writeScreening, type WriteOptions } from '../../src/fhir/record-writer.ts'
import { screeningResources, type ScreeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { memoryLedger } from '../support/memory-ledger.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'
import { startWitness, type Witness, type WitnessOptions } from './witness/witness.ts'
import type { Mode } from './witness/modes.ts'

let witness: Witness
let egress: Egress
let session: FhirSession
afterEach(async () => {
  await egress.close()
  await witness.close()
})

async function open(options: WitnessOptions): Promise<ScreeningResources> {
  witness = await startWitness(options)
  const tenant = loopbackTenant(witness.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  for (const id of ['left-1', 'right-1']) witness.memory.put({ resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-1' } }, id)
  return screeningResources(sampleScreening())
}

const settling = { guardedMs: 200, bareMs: 400 }
const options = (ledger = memoryLedger(), more: Partial<WriteOptions> = {}): WriteOptions =>
  ({ ledger, fence: () => Promise.resolve(), readBackDelaysMs: [0, 50, 200], settling, ...more })

/** What the ledger says must be what the record holds under that identifier, once, and nothing may refer to nothing. */
function expectWhole(ledger: ReturnType<typeof memoryLedger>, resources: ScreeningResources): void {
  const { statements } = witness.finalState()
  const places = new Map(statements.flatMap(({ type, id, identifiers }) => identifiers.map((one) => [one.split('|')[1], `${type}/${id}`] as const)))
  expect(statements).toHaveLength(26)
  for (const { id } of [...resources.observations, resources.count, resources.report]) expect(ledger.entries.get(id ?? '')).toBe(places.get(id))
  const there = new Set(statements.map(({ type, id }) => `${type}/${id}`))
  expect(statements.flatMap(({ members, device }) => [...members, ...(device ? [device] : [])]).filter((one) => !there.has(one))).toEqual([])
}

test.each<[Mode, WitnessOptions]>([
  ['reordered', { profile: 'batch' }], ['reordered', { profile: 'conditional' }],
  ['wrong-id', { profile: 'single' }], ['batch-answer', { profile: 'conditional' }], ['batch-answer', { profile: 'transaction' }]
])('an answer that is %s is found out by asking the record, and put right (%j)', async (mode, how) => {
  const resources = await open(how)
  witness.faults([{ mode, method: 'POST', times: 1, from: mode === 'wrong-id' ? 3 : 1 }])
  const ledger = memoryLedger()
  for (let time = 0; time < 3; time++) await writeScreening(session, resources, options(ledger)).catch(() => undefined)
  expect(witness.acted.get(mode)).toBe(1)
  expectWhole(ledger, resources)
})

test('after a crash right after a commit, on a server that indexes late, nothing is sent again', async () => {
  const resources = await open({ profile: 'transaction', indexLagMs: 250 })
  const ledger = memoryLedger()
  const crash = options(ledger, { failpoint: (name) => { if (name === 'after-transaction') throw new Error('killed here') } })
  await expect(writeScreening(session, resources, crash)).rejects.toThrow('killed here')
  await writeScreening(session, resources, options(ledger))
  expectWhole(ledger, resources)
})

test('what may have been sent to a server that cannot be asked for it is never sent again', async () => {
  const resources = await open({ profile: 'patient-search' })
  const capabilities = await session.capabilities()
  const silent: FhirSession = { ...session, capabilities: () => Promise.resolve({ ...capabilities, canSearch: (type) => type === 'Media' }) }
  const ledger = memoryLedger()
  witness.faults([{ mode: 'commit-then-500', method: 'POST', path: '/Observation', from: 4 }])
  for (let time = 0; time < 3; time++) await expect(writeScreening(silent, resources, options(ledger))).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
  expect(witness.finalState().statements.filter(({ type }) => type === 'Observation')).toHaveLength(4)
})

test('two workers that meet a new server at once describe the model once', async () => {
  const resources = await open({ profile: 'transaction', indexLagMs: 50 })
  const other = screeningResources(sampleScreening({ patientId: 'pat-2', photos: [{ resourceType: 'Media', id: 'pat-2' }], photoOf: () => ({ resourceType: 'Media', id: 'pat-2' }) }))
  witness.memory.put({ resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-2' } }, 'pat-2')
  const ledger = memoryLedger()
  const write = (one: ScreeningResources) => writeScreening(session, one, options(ledger)).catch(() => undefined)
  await Promise.all([write(resources), write(other)])
  for (const one of [resources, other]) await write(one)
  expect(witness.finalState().statements.filter(({ type }) => type === 'Device')).toHaveLength(1)
  expect(witness.finalState().statements).toHaveLength(51)
})
