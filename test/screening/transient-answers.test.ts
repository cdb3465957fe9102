import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import type { Rule } from '../faults/witness/modes.ts'
import type { WitnessHouse } from '../support/witness-house.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()
let house: WitnessHouse

const soon = { queue: { parkMs: () => 0, breakMs: () => 0 } } as const
const statuses = (type: string) => [...new Set(house.all(type, 'pat-1').map(({ status }) => status))].sort()

/** A photo whose bytes lie in a Binary. */
function addFile(words: string): { readonly media: string; readonly binary: string } {
  const data = Buffer.from(words).toString('base64')
  const { id: binary = '' } = house.witness.memory.put({ resourceType: 'Binary', contentType: 'image/jpeg', data })
  const media = house.addPhoto('pat-1', words, { content: { contentType: 'image/jpeg', url: `${house.witness.base}/Binary/${binary}`, size: words.length } })
  return { media, binary }
}

describe('one answer makes no patient one without photos:', () => {
  test.each<[string, Rule]>([
    ['an empty one, as of a replica that has heard of nothing yet', { mode: 'no-entries', method: 'GET', path: '/Media' }],
    ['a gateway’s 403 beside another route’s answer', { mode: '403', method: 'GET', path: '/Media' }]
  ])('%s', async (_, rule) => {
    house = await houses.open()
    house.addPhoto('pat-1', 'left hand')
    house.witness.faults([rule])
    expect((await house.screen('pat-1')).failure).toBeUndefined()
    expect(house.live('Observation')).toHaveLength(23)
    expect(house.witness.acted.get(rule.mode)).toBe(1)
  })

  test('as a record without photos says it twice', async () => {
    house = await houses.open()
    expect((await house.screen('pat-1')).failure).toMatchObject({ code: 'no-photos' })
    expect(house.witness.events.filter(({ path }) => path === '/Media')).toHaveLength(2)
  })
})

test('an earlier photo whose file the record has purged is looked for a few times, and then what the newest one shows stands', async () => {
  house = await houses.open(soon)
  house.addPhoto('pat-1', 'left hand of last year', {
    createdDateTime: '2025-11-20T08:00:00Z', content: { contentType: 'image/jpeg', url: `${house.witness.base}/Binary/purged` }
  })
  house.addPhoto('pat-1', 'left hand')
  const status = await house.screen('pat-1')
  expect(status).toMatchObject({ pending: false, latest: { photoTime: '2026-11-20T08:00:00Z' } })
  expect([status.failure, status.dueAt]).toEqual([undefined, undefined])
  expect(house.live('Observation')).toHaveLength(23)
  expect(house.witness.events.filter(({ path }) => path === '/Binary/purged')).toHaveLength(4)
})

describe('a result stays as long as its photo is there: nothing is entered in error because', () => {
  test.each<[string, (photo: string) => readonly Rule[]]>([
    ['a replica that is behind shows the photo neither to a search nor to a reader', (photo) => [{ mode: '404', method: 'GET', path: `/Media/${photo}` }, { mode: 'no-entries', method: 'GET', path: '/Media', times: 2 }]],
    ['a gateway calls it gone', (photo) => [{ mode: '410', method: 'GET', path: `/Media/${photo}` }, { mode: 'no-entries', method: 'GET', path: '/Media', times: 2 }]],
    ['an answer names another patient', (photo) => [{ mode: 'wrong-subject', method: 'GET', path: `/Media/${photo}` }, { mode: 'no-entries', method: 'GET', path: '/Media', times: 2 }]]
  ])('%s', async (_, rules) => {
    house = await houses.open(soon)
    const photo = house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    house.witness.faults(rules(photo))
    expect((await house.screen('pat-1')).latest?.written).toHaveLength(26)
    expect([statuses('Observation'), statuses('DiagnosticReport')]).toEqual([['preliminary'], ['preliminary']])
    expect(house.all('Observation')).toHaveLength(23)
  })

  test('a photo that is gone at every look takes its results along', async () => {
    house = await houses.open(soon)
    const photo = house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    house.witness.memory.remove('Media', photo)
    await house.screen('pat-1')
    expect(statuses('Observation')).toEqual(['entered-in-error'])
  })

  test('a search that leaves out one of two photos that are there is done again: the other hand’s results are not replaced', async () => {
    house = await houses.open({ ...soon, witness: { pageSize: 1 } })
    house.addPhoto('pat-1', 'left hand')
    house.addPhoto('pat-1', 'right hand')
    await house.screen('pat-1')
    expect(house.all('Observation')).toHaveLength(23)
    house.witness.faults([{ mode: 'next-missing', method: 'GET', path: '/Media' }])
    await house.screen('pat-1')
    expect(house.witness.acted.get('next-missing')).toBe(1)
    expect([house.all('Observation').length, statuses('Observation')]).toEqual([23, ['preliminary']])
  })
})

describe('a photo’s file is judged by what the record says of it twice:', () => {
  test('half of it once is no broken photo', async () => {
    house = await houses.open()
    const { binary } = addFile('left hand of Tuesday')
    const whole = Buffer.from('left hand of Tuesday').toString('base64')
    let reads = 0
    house.witness.onRequest = (_method, path) => {
      if (path === `/Binary/${binary}`) house.witness.memory.rewrite('Binary', binary, { data: reads++ === 0 ? whole.slice(0, 8) : whole })
    }
    expect((await house.screen('pat-1')).latest?.count.assessable).toBe(11)
    expect([reads, house.live('Observation').length]).toEqual([2, 23])
  })

  test('a page to sign in at is none, and is asked for again', async () => {
    house = await houses.open(soon)
    addFile('left hand')
    house.witness.faults([{ mode: 'html', method: 'GET', path: '/Binary', times: 3 }])
    expect((await house.screen('pat-1')).latest?.count.assessable).toBe(11)
  })

  test('one that is broken each time is refused, without being looked at twice', async () => {
    house = await houses.open()
    addFile('left hand, heic')
    expect((await house.screen('pat-1')).failure).toMatchObject({ code: 'ERR_PHOTO_HEIC' })
    expect(house.engine.asked).toBe(1)
  })

  test('two that differ and cannot be read are no answer', async () => {
    house = await houses.open()
    const { binary } = addFile('left hand of Tuesday')
    let reads = 0
    house.witness.onRequest = (_method, path) => {
      if (path === `/Binary/${binary}`) house.witness.memory.rewrite('Binary', binary, { data: Buffer.from('x'.repeat(++reads)).toString('base64') })
    }
    await house.service.request('clinic', 'pat-1', 'command')
    await house.service.runOnce()
    expect(await house.service.status('clinic', 'pat-1')).toMatchObject({ failure: { code: 'ERR_PHOTO_UNREACHABLE' }, dueAt: expect.stringContaining('T') as unknown })
  })
})

describe('what a newer photo replaced does not stay standing because', () => {
  const replaced = async (rules: readonly Rule[]) => {
    house = await houses.open(soon)
    house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    const [old = ''] = house.live('DiagnosticReport')
    house.addPhoto('pat-1', 'left hand again', { createdDateTime: '2026-11-20T09:00:00Z' })
    house.witness.faults(rules.map((rule) => ({ ...rule, path: `/DiagnosticReport/${old}` })))
    await house.screen('pat-1')
    return house.all('DiagnosticReport').find(({ id }) => id === old)?.['status']
  }

  test('a gateway refused its update once', async () => {
    expect(await replaced([{ mode: '403', method: 'PUT' }])).toBe('cancelled')
  })

  test('a replica that is behind did not show it twice', async () => {
    expect(await replaced([{ mode: '404', method: 'GET', times: 2 }])).toBe('cancelled')
  })

  test('its own answer was lost and no search showed it yet', async () => {
    house = await houses.open({ ...soon, settling: { promptMs: 900, lateMs: 900 } })
    const { memory } = house.witness
    house.addPhoto('pat-1', 'left hand')
    memory.indexLagMs = 600
    house.witness.faults([{ mode: 'commit-then-reset', method: 'POST', path: '/' }])
    await house.service.request('clinic', 'pat-1', 'command')
    await house.service.runOnce()
    memory.indexLagMs = 0
    house.addPhoto('pat-1', 'left hand again', { createdDateTime: '2026-11-20T09:00:00Z' })
    await house.screen('pat-1')
    // The new one lies in the record; the one before it will be looked for until it can have shown.
    expect((await house.service.status('clinic', 'pat-1')).latest?.written).toHaveLength(25)
    await sleep(1_000)
    while (await house.service.runOnce());
    expect([house.live('Observation').length, statuses('DiagnosticReport')]).toEqual([23, ['cancelled', 'preliminary']])
    expect(await house.service.status('clinic', 'pat-1')).toMatchObject({ pending: false })
  })
})
