import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Command } from 'commander'
import type { AuditedEvent } from '../../src/audit.ts'
import { addScreeningCommands, type ScreeningTools } from '../../src/cli/screening-commands.ts'
import { DERIVED } from '../../src/screening/retention.ts'
import { openResultStore } from '../../src/screening/result-store.ts'
import { openCardStore, type CardRecord } from '../../src/screening/store/card-store.ts'
import { openFeedbackStore } from '../../src/screening/store/feedback-store.ts'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'
import { openSessionStore } from '../../src/screening/store/session-store.ts'
import type { WitnessEvent } from '../faults/history.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { emptyStore } from '../support/screening-house.ts'
import { copyTestStore } from '../support/test-store.ts'
import { openWitnessHouse, type WitnessHouse } from '../support/witness-house.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()

const rows = () => rowsOf(houses.store)
const isWrite = ({ method, asks }: WitnessEvent) => method !== 'GET' && !asks

/** How many rows each table has that may hold something of a patient. */
async function rowsOf(store: Store): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const table of [...DERIVED.map(([name]) => name), 'job', 'errand']) {
    const [row] = await store.query<{ count: number }>(`select count(*)::int as count from ${table}`)
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
        sentBefore = house.witness.events.filter(isWrite).length
        await house.service.erase('clinic', 'pat-1')
      } })
      house.addPhoto('pat-1', 'left hand')
      await house.screen('pat-1')
      expect(sentBefore).toBeDefined()
      expect(await rows()).toEqual({})
      expect(house.witness.events.filter(isWrite)).toHaveLength(sentBefore ?? -1)
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

describe('jointlens erase', () => {
  let folder: string
  let store: Store
  let house: WitnessHouse
  let out: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'jointlens-erase-'))
    await copyTestStore(folder)
    store = await openStore({ dataDir: folder })
  })
  afterAll(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  beforeEach(async () => {
    house = await openWitnessHouse(store)
    out = ''
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => { out += String(text); return true })
    for (const patientId of ['pat-1', 'pat-2']) {
      house.addPhoto(patientId, `left hand of ${patientId}`)
      await house.screen(patientId)
    }
  })
  afterEach(async () => {
    jest.restoreAllMocks()
    await house.close()
    await emptyStore(store)
  })

  const run = async (...words: string[]) => {
    out = ''
    const cards = openCardStore(store)
    const program = new Command('jointlens').exitOverride()
    addScreeningCommands(program, () => Promise.resolve({
      config: { tenants: [house.tenant] }, screenings: house.service, audit: house.audit, cards, close: () => cards.close()
    } as unknown as ScreeningTools))
    await program.parseAsync(['node', 'jointlens', 'erase', ...words])
    return JSON.parse(out) as unknown
  }
  const card = (patientId: string): CardRecord =>
    ({ uuid: `card-${patientId}`, tenant: 'clinic', serviceId: 'hand-joints', patientId, suggestions: [], createdAt: '2026-11-24T08:00:00Z' })

  test('counts what there is of a patient, erases it when told to, and leaves others and the record theirs', async () => {
    const sessions = openSessionStore(store)
    const [mine, other] = (await Promise.all(['pat-1', 'pat-2'].map((one) => house.service.history('clinic', one)))).map(([one]) => one?.id)
    for (const screeningId of [mine, other]) await sessions.put(`draft:${screeningId}`, { screeningId, decisions: [] }, 60)
    await sessions.put('captured:1', true, 60)
    // As a service that was killed leaves them: sent, and not stored yet.
    writeFileSync(join(folder, 'cards-1'), `${JSON.stringify(card('pat-1'))}\n${JSON.stringify(card('pat-2'))}\n`)
    await openFeedbackStore(store).record({
      tenant: 'clinic', serviceId: 'hand-joints', cardUuid: 'card-pat-1', outcome: 'overridden', acceptedSuggestions: [], outcomeTimestamp: '2026-11-24T09:00:00Z', userComment: 'her ring'
    })
    const [written, all] = [house.all('Observation', 'pat-1'), await rowsOf(store)]
    const counts = { job: 1, assessment: 1, feedback: 1, errand: 2, session: 1, screening: 1, ledger: 26, card: 1, read_photo: 1 }

    expect(await run('--patient', 'pat-1')).toEqual({ tenant: 'clinic', patient: 'pat-1', rows: counts, erased: false })
    expect(await rowsOf(store)).toEqual({ ...all, card: 2 })
    expect(await run('--patient', 'pat-1', '--yes')).toEqual({ tenant: 'clinic', patient: 'pat-1', rows: counts, erased: true })
    expect(await run('--patient', 'pat-1')).toEqual({ tenant: 'clinic', patient: 'pat-1', rows: {}, erased: false })
    expect(await rowsOf(store)).toMatchObject({ screening: 1, assessment: 1, job: 1, card: 1, read_photo: 1, errand: 2 })
    expect([await sessions.get(`draft:${mine}`), await sessions.get(`draft:${other}`), await sessions.get('captured:1')]).toEqual([undefined, expect.anything(), true])
    expect(await store.query('select outcome, user_comment from feedback')).toEqual([{ outcome: 'overridden', user_comment: null }])
    expect(house.all('Observation', 'pat-1')).toEqual(written)

    const audited: (AuditedEvent & { seq: number; at: string })[] = []
    for await (const event of house.audit.events()) if (event.action === 'erase') audited.push(event)
    expect(audited).toEqual([expect.objectContaining({ tenant: 'clinic', actor: 'command', patientId: 'pat-1', outcome: 'success' })])
    expect(await house.audit.verify()).toBe(true)
  })

  test('is refused without a patient, with an id that is none, and for an EHR that is not configured', async () => {
    await expect(run('--yes')).rejects.toMatchObject({ code: 'commander.missingMandatoryOptionValue' })
    await expect(run('--patient', '../pat-1', '--yes')).rejects.toMatchObject({ code: 'ERR_REQUEST_INVALID' })
    await expect(run('--patient', 'pat-1', '--tenant', 'other', '--yes')).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })
})
