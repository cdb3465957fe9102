import { describe, expect, test } from '@jest/globals'
import type { WitnessHouse } from '../support/witness-house.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()
let house: WitnessHouse

describe('the same picture', () => {
  test('under two ids of one day is read once, counted once and written once, however often it is asked for', async () => {
    house = await houses.open()
    for (let time = 0; time < 2; time++) house.addPhoto('pat-1', 'left hand')
    const { latest } = await house.screen('pat-1')
    expect([latest?.photos.length, latest?.count.assessable]).toEqual([1, 11])
    await house.screen('pat-1')
    expect([house.engine.asked, house.live('Observation').length, house.all('Observation').length]).toEqual([1, 23, 23])
  })

  test('sent again as a new version replaces what was written of the one before: one set stands', async () => {
    house = await houses.open()
    const id = house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    const media = house.witness.memory.read('Media', id)
    if (media) house.witness.memory.put(media, id)
    await house.screen('pat-1')
    expect([house.engine.asked, house.live('Observation').length, house.all('Observation').length]).toEqual([1, 23, 46])
  })

  test('dated to another day is not read again; it is a result of that day, as the record says', async () => {
    house = await houses.open()
    house.addPhoto('pat-1', 'left hand')
    house.addPhoto('pat-1', 'left hand', { createdDateTime: '2026-11-22T08:00:00Z' })
    const { latest } = await house.screen('pat-1')
    expect([house.engine.asked, latest?.photoTime]).toEqual([1, '2026-11-22T08:00:00Z'])
    expect(house.live('Observation')).toHaveLength(23)
    await house.screen('pat-1')
    expect(house.all('Observation')).toHaveLength(23)
  })
})
