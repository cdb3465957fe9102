import { describe, expect, test } from '@jest/globals'
import { DERIVED } from '../../src/screening/retention.ts'
import { openResultStore } from '../../src/screening/result-store.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()

/** How many rows each table has that may hold something of a patient. */
async function rows(): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const table of [...DERIVED.map(([name]) => name), 'job', 'errand']) {
    const [row] = await houses.store.query<{ count: number }>(`select count(*)::int as count from ${table}`)
    if (row && row.count > 0) found[table] = row.count
  }
  return found
}

describe('a patient who is erased', () => {
  test.each(['photos-found', 'inferred', 'stored', 'before-transaction', 'after-transaction', 'before-ledger', 'before-verify', 'written', 'before-end'])(
    'while a worker is at "%s" leaves nothing behind, and nothing more is sent', async (place) => {
      let sentBefore: number | undefined
      const house = await houses.open({ failpoint: async (name) => {
        if (name !== place || sentBefore !== undefined) return
        sentBefore = house.witness.events.filter(({ method }) => method !== 'GET').length
        await house.service.erase('clinic', 'pat-1')
      } })
      house.addPhoto('pat-1', 'left hand')
      await house.screen('pat-1')
      expect(sentBefore).toBeDefined()
      expect(await rows()).toEqual({})
      expect(house.witness.events.filter(({ method }) => method !== 'GET')).toHaveLength(sentBefore ?? -1)
    })

  test('while one photo after the other is written to a server that takes single resources leaves nothing behind', async () => {
    let writes = 0
    const house = await houses.open({ witness: { profile: 'single' }, failpoint: async (name) => {
      if (name === 'after-write' && ++writes === 5) await house.service.erase('clinic', 'pat-1')
    } })
    house.addPhoto('pat-1', 'left hand')
    await house.screen('pat-1')
    expect([await rows(), house.all('Observation').length]).toEqual([{}, 4])
  })

  test('while the model reads the photo leaves no reading behind, nor one that no result came of', async () => {
    const engine = openByteEngine()
    const house = await houses.open({ engine })
    house.addPhoto('pat-1', 'left hand')
    engine.before = () => house.service.erase('clinic', 'pat-1')
    await house.screen('pat-1')
    expect(await rows()).toEqual({})
    await openResultStore(houses.store).keepReading('clinic', 'a model', { photoSha256: 'ab', width: 1, height: 1, model: engine.model, hands: [] })
    await house.service.erase('clinic', 'pat-1')
    expect(await rows()).toEqual({})
  })

  test('leaves others what is theirs, and is read anew when asked for again; nothing is written twice', async () => {
    const house = await houses.open()
    for (const patientId of ['pat-1', 'pat-2']) {
      house.addPhoto(patientId, `left hand of ${patientId}`)
      await house.screen(patientId)
    }
    const before = await rows()
    await house.service.erase('clinic', 'pat-1')
    const left = await rows()
    // The model's own place in the record is in the name of whoever was first.
    expect(left).toMatchObject({ screening: 1, assessment: 1, job: 1, read_photo: 1, errand: 2 })
    expect((await house.service.status('clinic', 'pat-2')).latest?.written).toHaveLength(26)
    await house.screen('pat-1')
    expect(await rows()).toEqual(before)
    expect([house.all('Observation', 'pat-1').length, house.all('Observation', 'pat-2').length, house.all('Device').length]).toEqual([23, 23, 1])
  })
})
