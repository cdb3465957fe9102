import { afterAll, beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { openQueue } from '../../src/screening/queue.ts'
import { openResultStore } from '../../src/screening/result-store.ts'
import { openCardStore } from '../../src/screening/store/card-store.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { bindToRecords } from '../../src/screening/store/record-address.ts'
import { emptyStore } from '../support/screening-house.ts'
import { loopbackTenant } from '../support/screening-sample.ts'
import { openTestStore } from '../support/test-store.ts'

let store: Store
beforeAll(async () => { store = await openTestStore() })
afterAll(() => store.close())

const tenant = fc.constantFrom('north', 'south', 'east')
/** The same ids everywhere, as EHRs number their patients alike. */
const name = fc.constantFrom('1', '2', '3')
const what = fc.constantFrom('request', 'claim', 'ledger', 'doubt', 'photo', 'card', 'pause', 'erase')

test('whatever tenants do with the same patient, photo, card and result ids, none reads what another wrote', async () => {
  const queue = openQueue(store, { parkMs: () => 0, breakMs: () => 0 })
  const results = openResultStore(store)
  const cards = openCardStore(store)
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(what, tenant, name), { minLength: 5, maxLength: 30 }), async (steps) => {
    await emptyStore(store)
    await store.query('truncate sent_unanswered, pause')
    for (const [step, id, key] of steps) {
      if (step === 'request') await queue.add(id, key, 'hook')
      if (step === 'claim') {
        const job = await queue.claim([id])
        expect([undefined, id]).toContain(job?.tenant)
        if (job) await queue.end(job, { kind: 'done' })
      }
      if (step === 'ledger') await results.ledger(id, key).record(new Map([[key, `Observation/${id}-${key}`]]))
      if (step === 'doubt') await results.ledger(id, key).sending([key], 0)
      if (step === 'photo')
        await results.keepReading(id, 'model', { photoSha256: key, width: 1, height: 1, model: { name: id, version: '1', digest: id }, hands: [] })
      if (step === 'card')
        await cards.put({ uuid: `card-${key}`, tenant: id, serviceId: 'hand-joints', patientId: `${id}-${key}`, suggestions: [], createdAt: '2026-11-24T08:00:00Z' })
      if (step === 'pause') {
        const job = await queue.claim([id])
        if (job) await queue.end(job, { kind: 'parked', code: 'ERR_EHR_UNREACHABLE', pauseMs: 60_000 })
      }
      if (step === 'erase') await results.erase(id, key)
    }
    for (const id of ['north', 'south', 'east']) {
      const did = (wanted: string, key: string) => steps.some(([step, who, which]) => step === wanted && who === id && which === key)
      for (const key of ['1', '2', '3']) {
        const reference = (await results.ledger(id, key).places([key])).get(key)
        expect([undefined, `Observation/${id}-${key}`]).toContain(reference)
        if (!did('ledger', key)) expect(reference).toBeUndefined()
        if (did('ledger', key) && !did('erase', key)) expect(reference).toBe(`Observation/${id}-${key}`)
        if (!did('doubt', key)) expect((await results.ledger(id, key).unanswered([key])).size).toBe(0)
        expect([undefined, id]).toContain((await results.reading(id, key, 'model'))?.model.name)
        expect([undefined, `${id}-${key}`]).toContain((await cards.get(id, `card-${key}`))?.patientId)
        if (!did('request', key)) expect(await queue.outcome(id, key)).toEqual({ pending: false })
      }
      const paused = await store.query('select 1 from pause where tenant = $1', [id])
      if (!steps.some(([step, who]) => step === 'pause' && who === id)) expect(paused).toEqual([])
    }
  }), { numRuns: 40 })
}, 120_000)

test('a store is not given to another record under the same tenant id, whose patient 12 is another person', async () => {
  const before = loopbackTenant('https://old.example/fhir')
  await bindToRecords(store, [before, loopbackTenant('https://other.example/fhir', { id: 'other' })])
  await bindToRecords(store, [before])
  const moved = loopbackTenant('https://new.example/fhir')
  await expect(bindToRecords(store, [moved])).rejects.toMatchObject({ code: 'ERR_CONFIG' })
  await expect(bindToRecords(store, [loopbackTenant('https://old.example/fhir', { id: 'other' })])).rejects.toMatchObject({ code: 'ERR_CONFIG' })
  await bindToRecords(store, [{ ...moved, formerFhirBases: ['https://old.example/fhir'] }])
  await bindToRecords(store, [moved])
  await expect(bindToRecords(store, [before])).rejects.toMatchObject({ code: 'ERR_CONFIG' })
})
