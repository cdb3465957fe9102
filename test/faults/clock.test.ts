import { afterEach, describe, expect, jest, test } from '@jest/globals'
import type { WitnessHouse } from '../support/witness-house.ts'
import { witnessHouses } from '../support/witness-houses.ts'

// Before the house is closed: hooks run in the order they are registered.
afterEach(() => { jest.useRealTimers() })
const houses = witnessHouses()
let house: WitnessHouse

/** Only what the wall shows: timers and the monotonic clock run on. */
function wallClockAt(time: number): void {
  jest.useFakeTimers({
    now: time,
    doNotFake: [
      'hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate', 'setInterval', 'clearInterval', 'setTimeout', 'clearTimeout',
      'requestAnimationFrame', 'cancelAnimationFrame', 'requestIdleCallback', 'cancelIdleCallback'
    ]
  })
}

const MINUTE = 60_000
/** Ten minutes and an hour, and the leap that a battery-less machine makes when it learns the time. */
const JUMPS = { '10 minutes on': 10 * MINUTE, '10 minutes back': -10 * MINUTE, 'an hour back': -60 * MINUTE, 'a year on': 365 * 24 * 60 * MINUTE }

describe.each(Object.entries(JUMPS))('R16: a worker whose wall clock jumps %s', (_name, jumpMs) => {
  test.each(['leased', 'inferred', 'before-transaction', 'before-verify'])('at "%s" keeps its lease, writes once, and dates the result by the photo', async (place) => {
    let jumped = 0
    house = await houses.open({
      heartbeatMs: 20,
      failpoint: (name) => {
        if (name === place && jumped++ === 0) wallClockAt(Date.now() + jumpMs)
      }
    })
    house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    expect(jumped).toBe(1)
    expect(latest?.state).toBe('done')
    expect(house.live('Observation')).toHaveLength(23)
    expect(house.all('Observation').every((one) => one['effectiveDateTime'] === '2026-11-20T08:00:00Z')).toBe(true)
    expect(await houses.store.query('select state, fence from job')).toEqual([{ state: 'done', fence: 1 }])
    await house.screen('pat-1')
    expect(house.all('Observation')).toHaveLength(23)
  })
})

test.each([['an hour back', 60], ['an hour on', -60]])('R16: when the clock of the store goes %s, a lease of a dead worker still ends', async (_name, minutes) => {
  house = await houses.open()
  house.addPhoto('pat-1', 'left hand')
  await house.service.request('clinic', 'pat-1', 'command')
  // Leased before the jump by a worker that is no more.
  await houses.store.query(
    `update job set state = 'leased', lease_owner = 'dead', fence = 1, attempts = 1, leased_at = clock_timestamp() + make_interval(mins => $1),
       lease_until = clock_timestamp() + make_interval(mins => $1, secs => 10)`, [minutes])
  expect((await house.screen('pat-1')).latest?.state).toBe('done')
  expect(house.live('Observation')).toHaveLength(23)
})

test('R16: a server that asked for a minute is asked again after an hour at most, although our clock was set back meanwhile', async () => {
  house = await houses.open({ queue: { parkMs: () => 0, breakMs: () => 0 } })
  house.addPhoto('pat-1', 'left hand')
  house.witness.faults([{ mode: '429', method: 'GET', path: '/Media', retryAfter: '60' }])
  await house.screen('pat-1')
  expect((await house.service.status('clinic', 'pat-1')).failure?.code).toBe('ERR_EHR_UNREACHABLE')
  wallClockAt(Date.now() - 2 * 60 * MINUTE)
  await houses.store.query('delete from pause')
  await houses.store.query('update job set run_after = clock_timestamp()')
  expect((await house.screen('pat-1')).latest?.state).toBe('done')
})
