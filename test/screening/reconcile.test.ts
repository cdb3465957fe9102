import { describe, expect, test } from '@jest/globals'
import pino from 'pino'
import { settleMs } from '../../src/fhir/record-writer.ts'
import { openErrandRunner } from '../../src/screening/errand-runner.ts'
import { reconcile } from '../../src/screening/reconcile.ts'
import { openResultStore } from '../../src/screening/result-store.ts'
import { text, type Resource } from '../faults/witness/fhir-memory.ts'
import type { WitnessHouse } from '../support/witness-house.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()
let house: WitnessHouse

const report = () => reconcile({ store: houses.store, sessionFor: house.session, tenant: house.tenant })
async function mend() {
  house.service.start()
  const found = await reconcile({ store: houses.store, sessionFor: house.session, tenant: house.tenant, mend: { screenings: house.service, audit: house.audit } })
  await house.service.stop()
  return found
}
const writes = () => house.witness.events.filter(({ commits }) => commits.length > 0).length

/** A copy that someone or some server made, with our identifier and another id. */
function copied(reference: string, more: object = {}): string {
  const [type = '', id = ''] = reference.split('/')
  const { id: _, ...resource } = house.witness.memory.read(type, id) as Resource
  return `${type}/${house.witness.memory.put({ ...resource, ...more }).id}`
}
const statusOf = (reference: string) => text(house.witness.memory.read(reference.split('/')[0] ?? '', reference.split('/')[1] ?? ''), 'status')

async function sweep(): Promise<void> {
  const runner = openErrandRunner({
    store: houses.store, tenants: [house.tenant], screenings: house.service, sessionFor: house.session, log: pino({ level: 'silent' }), audit: house.audit
  })
  await houses.store.query("update errand set run_after = clock_timestamp() where what like 'sweep %'")
  while (await runner.runOnce('sweep'));
  await runner.stop()
}

describe('a sweep', () => {
  test('comes a minute and an hour after a result was written, and then no more', async () => {
    house = await houses.open()
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    const due = await houses.store.query<{ what: string; seconds: number }>(
      "select what, round(extract(epoch from run_after - created_at))::int as seconds from errand where what like 'sweep %' order by what")
    expect(due).toEqual([{ what: `sweep ${latest?.id} 1`, seconds: 60 }, { what: `sweep ${latest?.id} 2`, seconds: 3600 }])
    await sweep()
    expect(await houses.store.query("select 1 from errand where what like 'sweep %'")).toEqual([])
  })

  test('leaves one of each result: what our ledger knows; what a person has touched is left alone', async () => {
    house = await houses.open()
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    const [one = '', other = '', report = ''] = [...(latest?.written ?? []).filter((reference) => reference.startsWith('Observation/')).slice(0, 2),
      ...(latest?.written ?? []).filter((reference) => reference.startsWith('DiagnosticReport/'))]
    const extra = [copied(one), copied(one), copied(report)]
    const judged = copied(other, { status: 'final', performer: [{ reference: 'Practitioner/doc' }] })
    const foreign = copied(other, { subject: { reference: 'Patient/pat-2' } })
    await sweep()
    expect(extra.map(statusOf)).toEqual(['entered-in-error', 'entered-in-error', 'entered-in-error'])
    expect([one, other, report, judged, foreign].map(statusOf)).toEqual(['preliminary', 'preliminary', 'preliminary', 'final', 'preliminary'])
  })

  test('keeps the same one, whoever sweeps and however often, when our ledger knows none', async () => {
    house = await houses.open({ witness: { profile: 'single' } })
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    const [one = ''] = latest?.written.filter((reference) => reference.startsWith('Observation/')) ?? []
    copied(one)
    await houses.store.query("delete from ledger where reference = $1", [one])
    await Promise.all([sweep(), sweep()])
    expect(house.live('Observation')).toHaveLength(23)
  })
})

describe('how long an empty look at a record proves nothing, where searches do not show at once what was written', () => {
  const settles = () => settleMs(openResultStore(houses.store).ledger('clinic', 'pat-1'))
  const written = async (patient: string, indexLagMs: number) => {
    house = await houses.open({ witness: { profile: 'single' } })
    house.addPhoto(patient, `left hand of ${patient}`)
    house.witness.memory.indexLagMs = indexLagMs
    expect((await house.screen(patient)).latest?.written.length).toBeGreaterThan(23)
    await new Promise((resolve) => setTimeout(resolve, Math.min(indexLagMs, 400)))
  }

  test('is a quarter of an hour, and five minutes once a sweep has found everything a minute after it was written', async () => {
    await written('pat-1', 300)
    expect(await settles()).toBe(900_000)
    await sweep()
    expect(await settles()).toBe(300_000)
  })

  test('stays a quarter of an hour where the sweep came late, so that nobody knows', async () => {
    await written('pat-1', 300)
    await houses.store.query("update ledger set recorded_at = recorded_at - interval '3 minutes'")
    await sweep()
    expect(await settles()).toBe(900_000)
  })

  test('is a quarter of an hour again, for a day, once a sweep did not find something', async () => {
    await written('pat-1', 300)
    await sweep()
    await house.close()
    await written('pat-2', 3_600_000)
    await sweep()
    expect(await settles()).toBe(900_000)
    await houses.store.query("update shown set not_soon_at = not_soon_at - interval '25 hours'")
    expect(await settles()).toBe(300_000)
  })
})

describe('jointlens reconcile', () => {
  test('changes nothing by itself, and says what is missing, there twice, changed and still standing', async () => {
    house = await houses.open()
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    const [gone = '', twice = '', moved = ''] = latest?.written.filter((one) => one.startsWith('Observation/')) ?? []
    const extra = copied(twice)
    house.witness.memory.remove('Observation', gone.split('/')[1] ?? '')
    house.witness.memory.rewrite('Observation', moved.split('/')[1] ?? '', { subject: { reference: 'Patient/pat-2' } })
    const before = writes()
    expect(await report()).toEqual({
      checked: 26, unreadable: 0, missing: [gone], changed: [{ reference: moved, what: 'another patient' }], doubled: [{ kept: twice, extra }], standing: []
    })
    expect(writes()).toBe(before)
  })

  test('believes no single answer that calls a result gone or another patient’s', async () => {
    house = await houses.open({ witness: { profile: 'transaction' } })
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    const [one, other] = (latest?.written ?? []).filter((reference) => reference.startsWith('Observation/'))
    house.witness.faults([{ mode: '404', method: 'GET', path: `/${one}` }, { mode: 'wrong-subject', method: 'GET', path: `/${other}` }])
    expect(await report()).toMatchObject({ checked: 26, missing: [], changed: [] })
    expect([...house.witness.acted.keys()]).toEqual(['404', 'wrong-subject'])
  })

  test('--mend writes again what is missing, under the same id, and takes back what is there twice', async () => {
    house = await houses.open({ witness: { profile: 'transaction' } })
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    const [gone = '', twice = ''] = latest?.written.filter((one) => one.startsWith('Observation/')) ?? []
    const extra = copied(twice)
    const lost = house.witness.memory.read('Observation', gone.split('/')[1] ?? '')
    house.witness.memory.remove('Observation', gone.split('/')[1] ?? '')
    const { mended } = await mend()
    expect(mended).toEqual({ written: [gone], retired: [extra], left: [] })
    expect(house.live('Observation')).toHaveLength(23)
    const again = house.all('Observation').filter((one) => JSON.stringify(one['identifier']) === JSON.stringify(lost?.['identifier']))
    expect(again.map((one) => ({ ...one, id: '', meta: '', derivedFrom: '' }))).toEqual([{ ...lost, id: '', meta: '', derivedFrom: '' }])
    expect(await report()).toMatchObject({ missing: [], doubled: [], standing: [] })
    expect(house.engine.asked).toBe(1)
  })

  test('--mend leaves a missing result of an earlier visit, and what someone moved', async () => {
    house = await houses.open()
    house.addPhoto('pat-1', 'left hand of last month', { createdDateTime: '2026-10-20T08:00:00Z' })
    const earlier = await house.screen('pat-1')
    house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    const [gone = ''] = earlier.latest?.written.filter((one) => one.startsWith('Observation/')) ?? []
    house.witness.memory.remove('Observation', gone.split('/')[1] ?? '')
    const before = writes()
    expect(await mend()).toMatchObject({ missing: [gone], mended: { written: [], retired: [], left: [gone] } })
    expect(writes()).toBe(before)
  })

  test('finds what seems taken back and stands there as we wrote it, as after an update that was lost, and takes it back', async () => {
    house = await houses.open()
    const photo = house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    house.witness.memory.rewrite('Media', photo, { status: 'entered-in-error' })
    await house.screen('pat-1')
    const [id = ''] = house.all('Observation').filter(({ status }) => status === 'entered-in-error').map((one) => one.id ?? '')
    house.witness.memory.rewrite('Observation', id, { status: 'preliminary' })
    expect((await report()).standing).toEqual([`Observation/${id}`])
    expect((await mend()).mended).toMatchObject({ retired: [`Observation/${id}`], left: [] })
    expect((await report()).standing).toEqual([])
  })

  test('tells what should have been taken back from a record that takes no updates', async () => {
    house = await houses.open()
    const photo = house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    const media = house.witness.memory.read('Media', photo) as Resource
    house.witness.memory.put({ ...media, status: 'entered-in-error' }, photo)
    house.witness.faults([{ mode: '422', method: 'PUT', times: 1_000 }])
    await house.screen('pat-1')
    expect((await report()).standing).toHaveLength(24)
    house.witness.faults([])
    expect((await mend()).mended).toMatchObject({ written: [], left: [] })
    expect(house.live('Observation')).toEqual([])
  })
})
