import { expect, test } from '@jest/globals'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()

test('a write whose answer was lost is looked for again when its time has come, however often this patient had to wait before', async () => {
  const house = await houses.open({ queue: { parkMs: () => 600_000 }, settling: { promptMs: 180_000, lateMs: 900_000 } })
  house.addPhoto('pat-1', 'left hand')
  house.witness.faults([{ mode: 'drop-before-commit', method: 'POST', path: '/' }])
  await house.screen('pat-1')
  const job = async () => {
    const [row] = await houses.store.query<{ state: string; parked: number; left: number }>("select state, parked, extract(epoch from run_after - clock_timestamp())::float8 as left from job where patient_id = 'pat-1'")
    return row
  }
  expect(await job()).toMatchObject({ state: 'parked', parked: 1 })
  for (let time = 0; time < 3; time++) {
    await houses.store.query('update job set run_after = clock_timestamp()')
    await house.service.runOnce()
    const { state, parked, left = 0 } = await job() ?? {}
    expect([state, parked]).toEqual(['parked', 1])
    expect(left).toBeLessThan(30)
  }
  await houses.store.query("update sent_unanswered set sent_at = sent_at - interval '15 minutes'")
  await houses.store.query('update job set run_after = clock_timestamp()')
  await house.service.runOnce()
  expect([(await house.service.status('clinic', 'pat-1')).latest?.written.length, house.live('Observation').length]).toEqual([26, 23])
}, 60_000)
