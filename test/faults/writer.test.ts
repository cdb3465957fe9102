import { afterEach, describe, expect, jest, test } from '@jest/globals'
import type { Bundle, Observation } from 'fhir/r4.js'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { writeScreening, type WriteOptions } from '../../src/fhir/record-writer.ts'
import { screeningResources, type ScreeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { memoryLedger } from '../support/memory-ledger.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'
import { startWitness, type Witness, type WitnessOptions } from './witness/witness.ts'
import type { Mode } from './witness/modes.ts'

let witness: Witness
let egress: Egress
let session: FhirSession
afterEach(async () => {
  await egress.close()
  await witness.close()
})

async function open(options: WitnessOptions): Promise<ScreeningResources> {
  witness = await startWitness(options)
  const tenant = loopbackTenant(witness.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  for (const id of ['left-1', 'right-1']) witness.memory.put({ resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-1' } }, id)
  return screeningResources(sampleScreening())
}

const settling = { promptMs: 400, lateMs: 400 }
const options = (ledger = memoryLedger(), more: Partial<WriteOptions> = {}): WriteOptions =>
  ({ ledger, fence: () => Promise.resolve(), readBackDelaysMs: [0, 50, 200], settling, ...more })

/** What the ledger says must be what the record holds under that identifier, once, and nothing may refer to nothing. */
function expectWhole(ledger: ReturnType<typeof memoryLedger>, resources: ScreeningResources): void {
  const { statements } = witness.finalState()
  const places = new Map(statements.flatMap(({ type, id, identifiers }) => identifiers.map((one) => [one.split('|')[1], `${type}/${id}`] as const)))
  expect(statements).toHaveLength(26)
  for (const { id } of [...resources.observations, resources.count, resources.report]) expect(ledger.entries.get(id ?? '')).toBe(places.get(id))
  const there = new Set(statements.map(({ type, id }) => `${type}/${id}`))
  expect(statements.flatMap(({ members, device }) => [...members, ...(device ? [device] : [])]).filter((one) => !there.has(one))).toEqual([])
}

test.each<[Mode, WitnessOptions]>([
  ['reordered', { profile: 'batch' }], ['reordered', { profile: 'conditional' }],
  ['wrong-id', { profile: 'single' }], ['batch-answer', { profile: 'conditional' }], ['batch-answer', { profile: 'transaction' }]
])('an answer that is %s is found out by asking the record, and put right (%j)', async (mode, how) => {
  const resources = await open(how)
  witness.faults([{ mode, method: 'POST', times: 1, from: mode === 'wrong-id' ? 3 : 1 }])
  const ledger = memoryLedger()
  for (let time = 0; time < 3; time++) await writeScreening(session, resources, options(ledger)).catch(() => undefined)
  expect(witness.acted.get(mode)).toBe(1)
  expectWhole(ledger, resources)
})

test.each(['/Observation', '/Media'])('one answer from %s that names another patient is no reason to refuse: the record is asked once more', async (path) => {
  const resources = await open({ profile: 'conditional' })
  const ledger = memoryLedger()
  // The photo is asked for before anything is sent, the results afterwards.
  witness.faults([{ mode: 'wrong-subject', method: 'GET', path, from: path === '/Media' ? 1 : 2 }])
  await expect(writeScreening(session, resources, options(ledger))).rejects.toMatchObject({ code: 'ERR_EHR_ANSWER' })
  expect(witness.acted.get('wrong-subject')).toBe(1)
  expect(observations()).toHaveLength(path === '/Media' ? 0 : 23)
  await writeScreening(session, resources, options(ledger))
  expectWhole(ledger, resources)
})

test('photos and patient are looked at in one request before writing, and what was written in another afterwards', async () => {
  const resources = await open({ profile: 'conditional' })
  const ledger = memoryLedger()
  await writeScreening(session, resources, options(ledger))
  const { length } = witness.events
  await writeScreening(session, screeningResources(sampleScreening({ edition: 1 })), options(ledger))
  expect(witness.events.slice(length).map(({ method, path, commits }) => `${method} ${path} ${commits.length}`)).toEqual(['POST / 0', 'GET /Observation 0', 'POST / 25', 'POST / 0'])
})

test('a record that answers questions in a batch as they were a while ago is asked once more, and nothing is sent twice', async () => {
  const resources = await open({ profile: 'transaction' })
  const empty = { resource: { resourceType: 'Bundle' as const, type: 'searchset' as const, entry: [] }, response: { status: '200' } }
  let searches = 0
  const remembering: FhirSession = { ...session, batch: async (bundle) => {
    const { entry = [], ...answer } = await session.batch(bundle)
    const isSearch = (at: number) => bundle.entry?.[at]?.request?.url.includes('?') ?? false
    searches += entry.filter((_one, at) => isSearch(at)).length
    return { ...answer, entry: entry.map((one, at) => isSearch(at) ? empty : one) }
  } }
  const ledger = memoryLedger()
  for (let time = 0; time < 2; time++) await writeScreening(remembering, resources, options(ledger))
  expect(searches).toBeGreaterThan(0)
  expectWhole(ledger, resources)
})

test.each(['408 Request Timeout', '499', '503 Service Unavailable'])('an entry of a batch that is answered %s may have been done: nothing is sent again while no search shows it', async (status) => {
  const resources = await open({ profile: 'batch', indexLagMs: 60_000 })
  const ledger = memoryLedger()
  const impatient: FhirSession = { ...session, batch: async (bundle) => {
    await session.batch(bundle)
    return { resourceType: 'Bundle', type: 'batch-response', entry: (bundle.entry ?? []).map(() => ({ response: { status } })) }
  } }
  for (let time = 0; time < 2; time++)
    await expect(writeScreening(impatient, resources, options(ledger, { settling: { promptMs: 60_000, lateMs: 60_000 } }))).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
  expect(observations()).toHaveLength(22)
})

test('a result that is gone when it is asked for again is looked for later: nobody is refused for good', async () => {
  const resources = await open({ profile: 'conditional' })
  const ledger = memoryLedger()
  witness.faults([{ mode: 'wrong-subject', method: 'GET', path: '/Observation', from: 2 }, { mode: '404', method: 'GET', path: '/Observation', from: 2, times: 12 }])
  await untilWritten(resources, options(ledger))
  expect(witness.acted.get('404')).toBeGreaterThan(0)
  expectWhole(ledger, resources)
})

test('a copy that somebody filed under another patient meanwhile is not ours, and takes nothing from ours', async () => {
  const resources = await open({ profile: 'conditional' })
  const ledger = memoryLedger()
  const copying: FhirSession = { ...session, transaction: async (bundle) => {
    const answer = await session.transaction(bundle)
    const [one] = witness.memory.all().filter(({ resourceType }) => resourceType === 'Observation')
    if (one) witness.memory.put({ ...one, subject: { reference: 'Patient/pat-9' } }, 'copy')
    return answer
  } }
  await writeScreening(copying, resources, options(ledger))
  expect([...ledger.entries.values()]).not.toContain('Observation/copy')
  expect(observations()).toHaveLength(24)
})

describe('an answer to somebody else’s request', () => {
  const of = (patientId: string) => {
    const photo = { resourceType: 'Media' as const, id: patientId }
    witness.memory.put({ resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` } }, patientId)
    return screeningResources(sampleScreening({ patientId, photos: [photo], photoOf: () => photo }))
  }

  test('with the same number of outcomes changes nothing of theirs, and ours is whole in the end', async () => {
    const resources = await open({ profile: 'conditional' })
    const ledger = memoryLedger()
    await writeScreening(session, of('pat-2'), options(ledger))
    let theirs: Awaited<ReturnType<FhirSession['transaction']>> | undefined
    const watched: FhirSession = { ...session, transaction: async (bundle) => (theirs = await session.transaction(bundle)) }
    await writeScreening(watched, of('pat-3'), options(ledger))
    const before = JSON.stringify(witness.memory.all().filter((one) => JSON.stringify(one).includes('pat-3')))
    const mixed: FhirSession = { ...session, transaction: async (bundle) => {
      await session.transaction(bundle)
      return theirs ?? bundle
    } }
    await writeScreening(mixed, resources, options(ledger)).catch(() => undefined)
    await untilWritten(resources, options(ledger))
    expect(JSON.stringify(witness.memory.all().filter((one) => JSON.stringify(one).includes('pat-3')))).toBe(before)
    const { statements } = witness.finalState()
    expect(statements).toHaveLength(26 + 25 + 25)
    expect(statements.every(({ version }) => version === 1)).toBe(true)
    const mine = new Set(statements.filter(({ subject }) => subject === 'Patient/pat-1').map(({ type, id }) => `${type}/${id}`))
    const [provenance] = statements.filter(({ type, members }) => type === 'Provenance' && members.some((one) => mine.has(one)))
    expect(provenance?.members.every((one) => mine.has(one))).toBe(true)
  })

  test.each<WitnessOptions['profile']>(['transaction', 'batch'])('that names another patient and keeps no identifiers is not believed where a Bundle was sent (%s)', async (profile) => {
    const resources = await open(profile ? { profile } : {})
    await writeScreening(session, of('pat-2'), options())
    const theirs = witness.memory.all().filter(({ resourceType }) => resourceType !== 'Media')
    /** For each that was sent one of theirs of the same type. */
    const mixed = (bundle: Bundle): Bundle => {
      const left = Map.groupBy(theirs, ({ resourceType }) => resourceType)
      return { resourceType: 'Bundle', type: 'batch-response', entry: (bundle.entry ?? []).map(({ resource }) => {
        const one = left.get(resource?.resourceType ?? '')?.shift()
        return { response: { status: '201', location: `${one?.resourceType}/${one?.id}` }, resource: { ...one, identifier: undefined } as unknown as Observation }
      }) }
    }
    const ledger = memoryLedger()
    const recorded: string[] = []
    const watched = { ...ledger, record: (places: ReadonlyMap<string, string>) => {
      recorded.push(...places.values())
      return ledger.record(places)
    } }
    const send = (way: 'transaction' | 'batch') => async (bundle: Bundle) => {
      await session[way](bundle)
      return mixed(bundle)
    }
    await writeScreening({ ...session, transaction: send('transaction'), batch: send('batch') }, resources, options(watched)).catch(() => undefined)
    const placesOfTheirs = new Set(theirs.filter(({ resourceType }) => resourceType !== 'Device').map(({ resourceType, id }) => `${resourceType}/${id}`))
    expect(recorded.filter((one) => placesOfTheirs.has(one))).toEqual([])
  })

  test('that names another patient is not believed where one resource was sent', async () => {
    const resources = await open({ profile: 'single' })
    witness.faults([{ mode: 'wrong-subject', method: 'POST', path: '/Observation', from: 3 }])
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger))
    expect(witness.acted.get('wrong-subject')).toBe(1)
    expectWhole(ledger, resources)
  })

  test('that was believed before, so that the count refers to theirs, is put right', async () => {
    const resources = await open({ profile: 'single' })
    await writeScreening(session, of('pat-2'), options())
    const [theirs] = observations()
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger))
    const { count } = resources
    const place = ledger.entries.get(count.id ?? '')?.split('/')[1] ?? ''
    const there = witness.memory.read('Observation', place) as unknown as { hasMember: { reference: string }[] }
    witness.memory.rewrite('Observation', place, { hasMember: [{ reference: `Observation/${theirs?.id}` }, ...there.hasMember.slice(1)] })
    await writeScreening(session, resources, options(ledger))
    const again = witness.memory.read('Observation', place) as unknown as { hasMember: { reference: string }[] }
    expect(again.hasMember.map(({ reference }) => reference)).not.toContain(`Observation/${theirs?.id}`)
    expect(again.hasMember).toHaveLength(22)
  })
})

test.each<WitnessOptions['profile']>(['transaction', 'batch', 'single'])('a server (%s) that takes no comma between identifiers holds nothing twice after a lost answer', async (profile) => {
  const resources = await open({ ...(profile ? { profile } : {}), knowsNoOr: true })
  witness.faults([{ mode: 'commit-then-reset', method: 'POST', path: profile === 'single' ? '/Observation' : '/', from: profile === 'single' ? 4 : 1 }])
  const ledger = memoryLedger()
  await untilWritten(resources, options(ledger))
  expectWhole(ledger, resources)
})

test('what the record says twice is believed: a photo of another patient is refused before anything is sent', async () => {
  const resources = await open({ profile: 'conditional' })
  witness.faults([{ mode: 'wrong-subject', method: 'GET', path: '/Media/left-1', times: 2 }])
  await expect(writeScreening(session, resources, options())).rejects.toMatchObject({ code: 'ERR_WRONG_PATIENT' })
  expect(witness.finalState().statements).toEqual([])
})

test('after a crash right after a commit, on a server that indexes late, nothing is sent again', async () => {
  const resources = await open({ profile: 'transaction', indexLagMs: 250 })
  const ledger = memoryLedger()
  const crash = options(ledger, { failpoint: (name) => { if (name === 'after-transaction') throw new Error('killed here') } })
  await expect(writeScreening(session, resources, crash)).rejects.toThrow('killed here')
  await writeScreening(session, resources, options(ledger))
  expectWhole(ledger, resources)
})

test('what may have been sent to a server that cannot be asked for it is never sent again', async () => {
  const resources = await open({ profile: 'patient-search' })
  const capabilities = await session.capabilities()
  const silent: FhirSession = { ...session, capabilities: () => Promise.resolve({ ...capabilities, canSearch: (type) => type === 'Media' }) }
  const ledger = memoryLedger()
  witness.faults([{ mode: 'commit-then-500', method: 'POST', path: '/Observation', from: 4 }])
  for (let time = 0; time < 3; time++) await expect(writeScreening(silent, resources, options(ledger))).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
  expect(witness.finalState().statements.filter(({ type }) => type === 'Observation')).toHaveLength(4)
})

test('two workers that meet a new server at once describe the model once', async () => {
  const resources = await open({ profile: 'transaction', indexLagMs: 50 })
  const other = screeningResources(sampleScreening({ patientId: 'pat-2', photos: [{ resourceType: 'Media', id: 'pat-2' }], photoOf: () => ({ resourceType: 'Media', id: 'pat-2' }) }))
  witness.memory.put({ resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-2' } }, 'pat-2')
  const ledger = memoryLedger()
  const write = (one: ScreeningResources) => writeScreening(session, one, options(ledger)).catch(() => undefined)
  await Promise.all([write(resources), write(other)])
  for (const one of [resources, other]) await write(one)
  expect(witness.finalState().statements.filter(({ type }) => type === 'Device')).toHaveLength(1)
  expect(witness.finalState().statements).toHaveLength(51)
})

/** Until it is written or a person has to look; the times between tries are shorter than in the product. */
async function untilWritten(resources: ScreeningResources, how: WriteOptions, tries = 30): Promise<void> {
  for (let time = 1; ; time++) {
    try {
      return void await writeScreening(session, resources, how)
    } catch (error) {
      if (time === tries) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
const observations = () => witness.finalState().statements.filter(({ type }) => type === 'Observation')

describe('a server that shows late what it wrote', () => {
  test.each<[Mode | undefined, WitnessOptions]>([
    ['commit-then-500', { profile: 'transaction' }], ['commit-then-500', { profile: 'conditional' }], ['commit-then-reset', { profile: 'single' }],
    [undefined, { profile: 'transaction', readsLate: true }], [undefined, { profile: 'single', readsLate: true }]
  ])('is not sent the same again while it may still show it (%s, %j)', async (mode, how) => {
    const resources = await open({ ...how, indexLagMs: 1_000 })
    if (mode) witness.faults([{ mode, method: 'POST', from: how.profile === 'single' ? 3 : 1 }])
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger, { readBackDelaysMs: [0, 50], settling: { promptMs: 100, lateMs: 60_000 } }))
    expectWhole(ledger, resources)
  })

  test('is known by what its searches did not show at once', async () => {
    const resources = await open({ profile: 'transaction', indexLagMs: 300 })
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger))
    expect(await ledger.showsAtOnce()).toBe(false)
    await witness.close()
    await egress.close()
    const prompt = await open({ profile: 'transaction' })
    const another = memoryLedger()
    await writeScreening(session, prompt, options(another))
    expect(await another.showsAtOnce()).toBe(true)
  })
})

describe('what was sent and is not found', () => {
  test.each<WitnessOptions['profile']>(['single', 'batch'])('is sent again soon where a server that nobody knew (%s) showed at once what it took just before', async (profile) => {
    const resources = await open(profile ? { profile } : {})
    witness.faults([{ mode: 'drop-before-commit', method: 'POST', path: '/Observation', from: profile === 'single' ? 4 : 1 }])
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger, { settling: { promptMs: 200, lateMs: 600_000 } }))
    expect(witness.acted.get('drop-before-commit')).toBe(1)
    expectWhole(ledger, resources)
  })

  test('is looked for again soon at first, then later each time, until it may be sent again', async () => {
    const resources = await open({ profile: 'transaction' })
    const lookedForAgain = async (sentAgoMs: number) => {
      const ledger = { ...memoryLedger(), unanswered: (ids: readonly string[]) => Promise.resolve(new Map(ids.map((id) => [id, sentAgoMs]))) }
      const error = await writeScreening(session, resources, options(ledger, { settling: { promptMs: 180_000, lateMs: 900_000 } })).catch((one: unknown) => one)
      expect(error).toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
      return Math.round(((error as { retryAt?: number }).retryAt ?? 0) - Date.now()) / 1000
    }
    for (const [sentAgo, again] of [[1, 5], [8, 8], [30, 30], [200, 60], [880, 20]] as const) expect(await lookedForAgain(sentAgo * 1000)).toBeCloseTo(again, 0)
    expect(observations()).toEqual([])
  })
})

describe('a server that keeps no identifiers of ours', () => {
  test('is not sent the same again after a lost answer: what lies there is known by what it says', async () => {
    const resources = await open({ profile: 'single', dropsIdentifiers: true })
    witness.faults([{ mode: 'commit-then-500', method: 'POST', path: '/Observation', from: 3 }])
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger))
    expect(observations()).toHaveLength(23)
    expect(new Set(ledger.entries.values()).size).toBe(26)
  })

  const siteAt = (reference: string | undefined) => {
    const [type = '', id = ''] = reference?.split('/') ?? []
    return (witness.memory.read(type, id) as unknown as Observation | undefined)?.bodySite?.text
  }

  test.each<[Mode, WitnessOptions['profile'], number]>([
    ['drop-before-commit', 'single', 15], ['commit-then-500', 'single', 15], ['commit-then-reset', 'transaction', 1], ['commit-then-reset', 'batch', 1],
    ['reordered', 'transaction', 1], ['reordered', 'batch', 1]
  ])('does not take one hand’s joint for the other’s, whose codes it shares (%s, %s)', async (mode, profile, from) => {
    const resources = await open({ ...(profile ? { profile } : {}), dropsIdentifiers: true })
    witness.memory.newestFirst = true
    witness.faults([{ mode, method: 'POST', path: profile === 'single' ? '/Observation' : '/', from }])
    const ledger = memoryLedger()
    await untilWritten(resources, options(ledger))
    expect(observations()).toHaveLength(23)
    for (const { id = '', bodySite } of resources.observations) expect(siteAt(ledger.entries.get(id))).toBe(bodySite?.text)
  })
})

describe('a way to write that is listed and not offered', () => {
  test.each<[Mode, WitnessOptions['profile']]>([
    ['404', 'transaction'], ['405', 'transaction'], ['501', 'transaction'], ['405', 'conditional'], ['405', 'batch'], ['405', 'update-create']
  ])('is answered %s and another way is taken, for a server of kind %s', async (mode, profile) => {
    const resources = await open(profile ? { profile } : {})
    witness.faults([{ mode, path: '/', method: 'POST', times: 1_000 }, { mode, method: 'PUT', times: 1_000 }])
    const ledger = memoryLedger()
    await writeScreening(session, resources, options(ledger))
    expect(witness.finalState().statements).toHaveLength(26)
    const refused = witness.events.filter(({ status }) => status === Number(mode)).length
    await writeScreening(session, screeningResources(sampleScreening({ edition: 1 })), options(ledger))
    expect(witness.finalState().statements).toHaveLength(51)
    // What was learnt is kept: the second screening does not try it again.
    expect(witness.events.filter(({ status }) => status === Number(mode))).toHaveLength(refused)
  })

  test('as a gateway said in passing is tried again after a while', async () => {
    const resources = await open({ profile: 'transaction' })
    witness.faults([{ mode: '404', path: '/', method: 'POST', times: 2 }])
    const ledger = memoryLedger()
    await writeScreening(session, resources, options(ledger))
    const time = jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 61_000)
    await writeScreening(session, screeningResources(sampleScreening({ edition: 1 })), options(ledger))
    time.mockRestore()
    expect(witness.events.filter(({ commits }) => commits.length > 0).at(-1)).toMatchObject({ method: 'POST', path: '/' })
    expect(witness.finalState().statements).toHaveLength(51)
  })
})

test.each<Mode>(['422'])('a server that lists update-as-create and answers %s to ids of ours is given resources without', async (mode) => {
  const resources = await open({ profile: 'update-create' })
  witness.faults([{ mode, path: '/', method: 'POST', times: 2 }, { mode, method: 'PUT', times: 1_000 }])
  const ledger = memoryLedger()
  await untilWritten(resources, options(ledger))
  expectWhole(ledger, resources)
  expect(observations().map(({ id }) => id)).not.toContain(resources.count.id)
})

test('nobody waits for word of the model that another patient\'s screening sent: results name it by its digest', async () => {
  const resources = await open({ profile: 'transaction' })
  witness.memory.put({ resourceType: 'Media', status: 'completed', subject: { reference: 'Patient/pat-2' } }, 'pat-2')
  const other = screeningResources(sampleScreening({ patientId: 'pat-2', photos: [{ resourceType: 'Media', id: 'pat-2' }], photoOf: () => ({ resourceType: 'Media', id: 'pat-2' }) }))
  witness.faults([{ mode: '503', method: 'POST', path: '/' }])
  const how = options(memoryLedger(), { settling: { promptMs: 60_000, lateMs: 60_000 } })
  await expect(writeScreening(session, resources, how)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
  await writeScreening(session, other, how)
  expect(observations()).toHaveLength(23)
  expect(new Set(observations().map(({ device }) => device))).toEqual(new Set([`https://jointlens.dev/fhir/model-sha256|${sampleScreening().model.digest}`]))
})

test.each<Mode>(['commit-then-401', 'commit-then-408'])('what was done and then answered by %s is found, and not sent again', async (mode) => {
  const resources = await open({ profile: 'transaction' })
  witness.faults([{ mode, method: 'POST', path: '/' }])
  const ledger = memoryLedger()
  await writeScreening(session, resources, options(ledger))
  expectWhole(ledger, resources)
})

test.each(['Patient/pat-1', 'Patient/somebody-else'])('what a Location names is not believed to be ours when it is something else, of %s', async (subject) => {
  const resources = await open({ profile: 'single' })
  const { id: other } = witness.memory.put({
    resourceType: 'Observation', status: 'final', code: { text: 'Blood pressure' }, subject: { reference: subject }, effectiveDateTime: '2020-01-01'
  })
  const [first] = resources.observations
  const ledger = memoryLedger()
  await ledger.record(new Map([[first?.id ?? '', `Observation/${other}`]]))
  await untilWritten(resources, options(ledger))
  expect(ledger.entries.get(first?.id ?? '')).not.toBe(`Observation/${other}`)
  expect(witness.memory.read('Observation', other ?? '')).toMatchObject({ code: { text: 'Blood pressure' }, meta: { versionId: '1' } })
  expect(observations()).toHaveLength(24)
})
