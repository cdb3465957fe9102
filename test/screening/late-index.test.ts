import { expect, test } from '@jest/globals'
import pino from 'pino'
import { openErrandRunner } from '../../src/screening/errand-runner.ts'
import { openErrands } from '../../src/screening/errands.ts'
import { PROFILES, type ProfileName } from '../faults/witness/profiles.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()
/** Longer than any test: Google, AWS and HAPI show in searches what was written after a while, and in reads at once. */
const LATE = 600_000

test('a photo that is notified before a search shows it is read all the same', async () => {
  const house = await houses.open({ witness: { indexLagMs: LATE } })
  const id = house.addPhoto('pat-1', 'left hand')
  expect((await house.screen('pat-1')).failure?.code).toBe('no-photos')
  const runner = openErrandRunner({ store: houses.store, tenants: [house.tenant], screenings: house.service, sessionFor: house.session, log: pino({ level: 'silent' }) })
  await openErrands(houses.store).ask('clinic', `look Media/${id}`)
  while (await runner.runOnce());
  while (await house.service.runOnce());
  expect((await house.service.status('clinic', 'pat-1')).latest?.photos.map((photo) => photo.id)).toEqual([id])
})

test.each(Object.keys(PROFILES) as ProfileName[])('a result that no search shows yet is written once to a server that offers %s', async (profile) => {
  const house = await houses.open({ witness: { profile } })
  house.addPhoto('pat-1', 'left hand')
  house.witness.memory.indexLagMs = LATE
  await house.screen('pat-1')
  await house.screen('pat-1')
  expect(house.live('Observation')).toHaveLength(23)
  expect((await house.service.status('clinic', 'pat-1')).latest?.written.length).toBeGreaterThan(23)
})

test.each(['conditional', 'transaction', 'single'] as const)('a result whose answer was lost is not sent again while no search shows it, to a server that offers %s', async (profile) => {
  const house = await houses.open({ witness: { profile }, settling: { promptMs: LATE, lateMs: LATE } })
  house.addPhoto('pat-1', 'left hand')
  house.witness.memory.indexLagMs = LATE
  house.witness.faults([{ mode: 'commit-then-reset', method: 'POST', path: profile === 'single' ? '/Observation' : '/', from: profile === 'single' ? 5 : 1 }])
  await house.screen('pat-1')
  const first = house.all('Observation')
  expect(first.length).toBeGreaterThan(0)
  await houses.store.query('update job set run_after = clock_timestamp()')
  await house.screen('pat-1')
  expect(house.all('Observation')).toEqual(first)
})
