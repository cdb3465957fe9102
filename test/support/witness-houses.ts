import { afterAll, afterEach, beforeAll } from '@jest/globals'
import type { Store } from '../../src/screening/store/open-store.ts'
import { emptyStore } from './screening-house.ts'
import { openTestStore } from './test-store.ts'
import { openWitnessHouse, type WitnessHouse } from './witness-house.ts'

/** One store in memory for the tests of a file. After each test the house that was opened last is closed and the store is emptied. */
export function witnessHouses() {
  let store: Store
  let house: WitnessHouse | undefined
  beforeAll(async () => { store = await openTestStore() }, 300_000)
  afterAll(() => store.close())
  afterEach(async () => {
    await house?.close()
    await emptyStore(store)
  })
  return {
    get store() { return store },
    async open(options?: Parameters<typeof openWitnessHouse>[1]): Promise<WitnessHouse> {
      house = await openWitnessHouse(store, options)
      return house
    }
  }
}
