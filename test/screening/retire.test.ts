import { describe, expect, test } from '@jest/globals'
import { openAudit } from '../../src/audit.ts'
import { reconcile } from '../../src/screening/reconcile.ts'
import { withdrawModel } from '../../src/screening/withdraw-model.ts'
import { text } from '../faults/witness/fhir-memory.ts'
import type { Mode } from '../faults/witness/modes.ts'
import { PROFILES, type ProfileName } from '../faults/witness/profiles.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { openWitnessHouse, type WitnessHouse } from '../support/witness-house.ts'
import { witnessHouses } from '../support/witness-houses.ts'

const houses = witnessHouses()
let house: WitnessHouse

/** A change that someone makes in the record, as a new version. */
function change(type: string, id: string, what: object): void {
  const there = house.witness.memory.read(type, id)
  if (!there) throw new Error(`Expected ${type}/${id}`)
  house.witness.memory.put({ ...there, ...what }, id)
}
/** A house whose record has a result of a photo that is entered in error by now. */
async function openWithdrawn(options?: Parameters<typeof houses.open>[0]): Promise<void> {
  house = await houses.open(options)
  const photo = house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  change('Media', photo, { status: 'entered-in-error' })
}
const statuses = (type: string, patientId?: string) => [...new Set(house.all(type, patientId).map((one) => text(one, 'status')))].sort()
const results = (patientId?: string) => [...house.all('Observation', patientId), ...house.all('DiagnosticReport', patientId)]

describe.each(Object.keys(PROFILES) as ProfileName[])('on a server that offers %s', (profile) => {
  test('a newer photo of the same day replaces the set: the old one is cancelled, and nothing is deleted', async () => {
    house = await houses.open({ witness: { profile } })
    house.addPhoto('pat-1', 'left hand, blurred')
    await house.screen('pat-1')
    expect(house.live('Observation')).toHaveLength(23)
    const before = new Set(house.live('Observation'))
    house.addPhoto('pat-1', 'left hand, sharp', { createdDateTime: '2026-11-20T09:00:00Z' })
    await house.screen('pat-1')
    expect(house.live('Observation')).toHaveLength(23)
    expect(house.live('Observation').filter((id) => before.has(id))).toEqual([])
    expect(house.live('DiagnosticReport')).toHaveLength(1)
    expect(results()).toHaveLength(48)
    expect(statuses('Observation')).toEqual(['cancelled', 'preliminary'])
  })

  test('a photo that is entered in error takes its results along; another photo of the day speaks then', async () => {
    house = await houses.open({ witness: { profile } })
    house.addPhoto('pat-1', 'left hand, first')
    await house.screen('pat-1')
    const second = house.addPhoto('pat-1', 'left hand, second', { createdDateTime: '2026-11-20T09:00:00Z' })
    await house.screen('pat-1')
    change('Media', second, { status: 'entered-in-error' })
    const { latest } = await house.screen('pat-1')
    expect(house.live('Observation')).toHaveLength(23)
    expect(latest?.written.filter((one) => one.startsWith('Observation/')).map((one) => one.split('/')[1]).sort()).toEqual([...house.live('Observation')].sort())
    expect(house.all('Observation').filter(({ status }) => status === 'entered-in-error')).toHaveLength(23)
    expect(house.all('Observation').filter(({ status }) => status === 'cancelled')).toHaveLength(23)
  })
})

test('a new photo of one hand replaces the whole set, as what one hand shows is weighed with the other', async () => {
  house = await houses.open()
  house.addPhoto('pat-1', 'left hand, first')
  house.addPhoto('pat-1', 'right hand')
  await house.screen('pat-1')
  const before = new Set(house.live('Observation'))
  house.addPhoto('pat-1', 'left hand, second', { createdDateTime: '2026-11-20T09:00:00Z' })
  await house.screen('pat-1')
  expect(house.live('Observation')).toHaveLength(23)
  expect(house.live('Observation').filter((id) => before.has(id))).toEqual([])
  const [count] = house.all('Observation').filter((one) => one['status'] === 'preliminary' && one['hasMember'])
  const members = (count?.['hasMember'] as { reference: string }[]).map(({ reference }) => reference.split('/')[1] ?? '')
  expect(members.every((id) => house.live('Observation').includes(id))).toBe(true)
})

test('another model reads the photos again, and what the one before it said is cancelled', async () => {
  house = await houses.open()
  house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  const { witness } = house
  await house.service.stop()
  const later = await openWitnessHouse(houses.store, { witness, engine: openByteEngine('d2') })
  await later.screen('pat-1')
  expect(later.live('Observation')).toHaveLength(23)
  expect(later.all('Observation')).toHaveLength(46)
  await later.close()
})

test('a worker that still has the older model leaves standing what the newer one said (I7)', async () => {
  house = await houses.open({ engine: openByteEngine('d2', '1.10.0') })
  house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  const before = house.live('Observation')
  const older = await openWitnessHouse(houses.store, { witness: house.witness, engine: openByteEngine('d1', '1.9.0') })
  const { latest } = await older.screen('pat-1')
  expect(latest?.model.version).toBe('1.10.0')
  expect(older.live('Observation')).toEqual(before)
  // A photo that the newer one has not seen is read all the same.
  older.addPhoto('pat-1', 'left hand, later', { createdDateTime: '2026-11-20T09:00:00Z' })
  expect((await older.screen('pat-1')).latest?.model.version).toBe('1.9.0')
  await older.close()
})

test('a model that is withdrawn after the site went back to the one before is taken back in the record, and its photos are read anew', async () => {
  house = await houses.open({ engine: openByteEngine('d2', '1.10.0') })
  for (const patient of ['pat-1', 'pat-2']) {
    house.addPhoto(patient, `left hand of ${patient}`)
    await house.screen(patient)
  }
  const [confirmed = ''] = house.live('Observation', 'pat-2')
  change('Observation', confirmed, { status: 'final', performer: [{ reference: 'Practitioner/anna' }] })
  const before = house.live('Observation', 'pat-1')
  const older = await openWitnessHouse(houses.store, { witness: house.witness, engine: openByteEngine('d1', '1.9.0') })
  const withdraw = (version: string) => withdrawModel({ store: houses.store, audit: openAudit(houses.store), tenant: 'clinic', model: { name: 'bytes', version: '1.9.0', digest: 'd1' } }, version)
  await expect(withdraw('1.9.0')).rejects.toMatchObject({ code: 'ERR_USAGE' })
  expect(await withdraw('1.8.0')).toEqual(new Set())

  expect(await withdraw('1.10.0')).toEqual(new Set(['pat-1', 'pat-2']))
  expect((await older.service.status('clinic', 'pat-1')).latest).toBeUndefined()
  // After a crash the command is given again.
  expect(await withdraw('1.10.0')).toEqual(new Set(['pat-1', 'pat-2']))
  for (const patient of ['pat-1', 'pat-2']) expect((await older.screen(patient)).latest?.model.version).toBe('1.9.0')
  expect(older.all('Observation', 'pat-1').filter(({ status }) => status === 'entered-in-error')).toHaveLength(before.length)
  expect(older.live('Observation', 'pat-1').filter((id) => before.includes(id))).toEqual([])
  expect(older.live('Observation', 'pat-1')).toHaveLength(before.length)
  // What a person confirmed is that person's.
  expect(older.live('Observation', 'pat-2')).toContain(confirmed)
  const audited: unknown[] = []
  for await (const { action, patientId } of openAudit(houses.store).events()) if (action === 'withdraw') audited.push(patientId)
  expect(audited).toEqual(['pat-1', 'pat-2'])
  await older.close()
})

test('a photo that is moved to the right patient: the wrong one’s results are entered in error, the right one gets results of their own', async () => {
  house = await houses.open({ witness: { profile: 'patient-search' } })
  const id = house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  // A server without versions: the photo keeps its id, and nothing else tells that it moved.
  house.witness.memory.rewrite('Media', id, { subject: { reference: 'Patient/pat-2' } })
  const { latest } = await house.screen('pat-2')
  expect(latest?.patientId).toBe('pat-2')
  expect(house.live('Observation', 'pat-2')).toHaveLength(23)
  expect(house.live('Observation', 'pat-1')).toEqual([])
  expect(house.live('DiagnosticReport', 'pat-1')).toEqual([])
  expect(statuses('Observation', 'pat-1')).toEqual(['entered-in-error'])
  expect((await house.service.status('clinic', 'pat-1')).latest).toBeUndefined()
})

describe('a record that merges a patient into another one', () => {
  const merge = (types: readonly string[]) => {
    for (const type of types)
      for (const { id = '' } of house.all(type, 'pat-1')) change(type, id, { subject: { reference: 'Patient/pat-2' } })
  }

  test.each<readonly [string, readonly string[]]>([['first', ['pat-1', 'pat-2']], ['last', ['pat-2', 'pat-1']]])(
    'and moves photos and results leaves that one with one live set, also when the former patient is looked at %s', async (_when, order) => {
      house = await houses.open()
      house.addPhoto('pat-1', 'left hand')
      house.addPhoto('pat-1', 'right hand')
      await house.screen('pat-1')
      const [signed = ''] = house.live('Observation')
      change('Observation', signed, { status: 'final', performer: [{ reference: 'Practitioner/doc' }] })
      merge(['Media', 'Observation', 'DiagnosticReport'])
      for (const patientId of order) await house.screen(patientId)
      expect([house.live('Observation', 'pat-2').length, house.live('DiagnosticReport', 'pat-2').length, house.all('Observation', 'pat-1').length]).toEqual([24, 1, 0])
      expect(house.witness.memory.read('Observation', signed)?.['status']).toBe('final')
      const written = (await house.service.status('clinic', 'pat-2')).latest?.written
      expect(house.live('Observation', 'pat-2').filter((id) => id !== signed).every((id) => written?.includes(`Observation/${id}`))).toBe(true)
      const { changed, standing } = await reconcile({ store: houses.store, sessionFor: house.session, tenant: house.tenant })
      expect([changed, standing]).toEqual([[{ reference: `Observation/${signed}`, what: 'another patient' }], []])
    })

  test('and leaves a photo behind is left alone by us', async () => {
    house = await houses.open()
    const photo = house.addPhoto('pat-1', 'left hand')
    const other = house.addPhoto('pat-1', 'right hand')
    await house.screen('pat-1')
    merge(['Observation', 'DiagnosticReport'])
    change('Media', photo, { subject: { reference: 'Patient/pat-2' } })
    change('Media', other, { subject: { reference: 'Patient/pat-3' } })
    await house.screen('pat-1')
    expect(statuses('Observation')).toEqual(['preliminary'])
  })
})

test.each<[string, object]>([
  ['has no content', { content: null }], ['has a status that FHIR does not know', { status: 'ok' }], ['names no patient', { subject: { display: 'Ann' } }],
  ['has become a film', { content: { contentType: 'video/mp4', url: 'Binary/v' } }], ['has a label that cannot be read', { meta: { security: 'N' } }]
])('an answer for the photo that %s is no reason to take good results back: it is asked again later', async (_form, what) => {
  house = await houses.open()
  const photo = house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  const there = house.witness.memory.read('Media', photo)
  change('Media', photo, what)
  expect((await house.screen('pat-1')).failure?.code).toBe('ERR_EHR_ANSWER')
  expect(house.live('Observation')).toHaveLength(23)
  if (there) house.witness.memory.put(there, photo)
  await house.screen('pat-1')
  expect(statuses('Observation', 'pat-1')).not.toContain('entered-in-error')
})

test.each<[string, object]>([
  ['entered in error', { status: 'entered-in-error', content: null }], ['not done', { status: 'not-done' }], ['somebody else’s', { subject: { reference: 'Patient/pat-2' } }],
  ['restricted', { meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'R' }] } }]
])('a photo that is %s by the record’s own word takes its results along', async (_form, what) => {
  house = await houses.open()
  const photo = house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  change('Media', photo, what)
  await house.screen('pat-1')
  expect(statuses('Observation', 'pat-1')).toEqual(['entered-in-error'])
})

test('what the record gives no kind is read as a photo, but does not replace one that it calls a picture', async () => {
  house = await houses.open()
  const bytes = (words: string) => ({ contentType: 'application/octet-stream', data: Buffer.from(words).toString('base64') })
  const unnamed = house.addPhoto('pat-1', 'left hand', { content: bytes('left hand') })
  expect((await house.screen('pat-1')).latest?.photos.map(({ id }) => id)).toEqual([unnamed])
  const picture = house.addPhoto('pat-1', 'left hand, a picture', { createdDateTime: '2026-11-20T09:00:00Z' })
  house.addPhoto('pat-1', 'left hand, moving', { createdDateTime: '2026-11-20T10:00:00Z', content: bytes('heic') })
  expect((await house.screen('pat-1')).latest?.photos.map(({ id }) => id)).toEqual([picture])
  expect(house.live('Observation')).toHaveLength(23)
})

test('what a clinician changed, moved or confirmed is left alone', async () => {
  house = await houses.open()
  const photo = house.addPhoto('pat-1', 'left hand')
  await house.screen('pat-1')
  const [confirmed = '', moved = '', signed = ''] = house.live('Observation')
  change('Observation', confirmed, { status: 'final' })
  change('Observation', moved, { subject: { reference: 'Patient/pat-9' } })
  change('Observation', signed, { performer: [{ reference: 'Practitioner/doc' }] })
  change('Media', photo, { status: 'entered-in-error' })
  await house.screen('pat-1')
  expect([confirmed, moved, signed].map((id) => house.witness.memory.read('Observation', id)?.['status'])).toEqual(['final', 'preliminary', 'preliminary'])
  expect(house.all('Observation').filter(({ status }) => status === 'entered-in-error')).toHaveLength(20)
})

test('a change carries the version that was read; who was faster wins', async () => {
  await openWithdrawn()
  let faster: string | undefined
  house.witness.onRequest = (method, path) => {
    const [, type = '', id = ''] = path.split('/')
    if (method !== 'PUT' || type !== 'Observation' || faster) return
    faster = id
    change('Observation', id, { status: 'final', performer: [{ reference: 'Practitioner/doc' }] })
  }
  await house.screen('pat-1')
  expect(house.witness.memory.read('Observation', faster ?? '')?.['status']).toBe('final')
  expect(house.witness.events.filter(({ method }) => method === 'PUT').every(({ ifMatch }) => ifMatch !== undefined)).toBe(true)
  expect(statuses('Observation')).toEqual(['entered-in-error', 'final'])
})

test('a retirement that a server failure broke off is taken up again, each once', async () => {
  await openWithdrawn({ queue: { parkMs: () => 0, breakMs: () => 0 } })
  house.witness.faults([{ mode: 'commit-then-500', method: 'PUT', from: 5 }, { mode: '503', method: 'PUT', from: 8 }, { mode: 'commit-then-reset', method: 'PUT', from: 9 }])
  await house.screen('pat-1')
  expect([...house.witness.acted.keys()].sort()).toEqual(['503', 'commit-then-500', 'commit-then-reset'])
  expect(statuses('Observation')).toEqual(['entered-in-error'])
  expect(house.all('Observation').every((one) => house.witness.memory.history('Observation', one.id ?? '').length === 2)).toBe(true)
})

test.each<Mode>(['wrong-subject', '404'])('one answer (%s) to who takes back is no reason to leave it standing', async (mode) => {
  await openWithdrawn()
  house.witness.faults([{ mode, method: 'GET', path: '/Observation', from: 4 }])
  for (let time = 0; time < 2; time++) await house.screen('pat-1')
  expect(house.witness.acted.get(mode)).toBe(1)
  expect(statuses('Observation')).toEqual(['entered-in-error'])
})

test('a record that lets us read reports and not change them holds up nobody: it stays known as standing', async () => {
  await openWithdrawn()
  house.witness.faults([{ mode: '403', method: 'PUT', path: '/DiagnosticReport', times: 1_000 }])
  house.addPhoto('pat-1', 'left hand of the next day', { createdDateTime: '2026-11-21T08:00:00Z' })
  const { latest, failure } = await house.screen('pat-1')
  expect([latest?.photoTime, failure]).toEqual(['2026-11-21T08:00:00Z', undefined])
  expect(house.live('Observation').filter((id) => house.witness.memory.read('Observation', id)?.['effectiveDateTime'] === '2026-11-20T08:00:00Z')).toEqual([])
  expect(await houses.store.query("select 1 from retirement where outcome = 'no-updates'")).toHaveLength(1)
})

test('a token that is taken back between reading and updating leaves nothing standing', async () => {
  await openWithdrawn()
  house.witness.faults([{ mode: '401', method: 'PUT', path: '/DiagnosticReport', times: 2 }])
  await house.screen('pat-1')
  expect(statuses('DiagnosticReport')).toEqual(['entered-in-error'])
  expect(await houses.store.query("select 1 from retirement where outcome = 'no-updates'")).toEqual([])
})

test('a set whose writing broke off is not continued after a newer photo came, but taken back', async () => {
  house = await houses.open({ witness: { profile: 'single' }, queue: { parkMs: () => 0, breakMs: () => 0 } })
  house.addPhoto('pat-1', 'left hand of last month', { createdDateTime: '2026-10-20T08:00:00Z' })
  house.witness.faults([{ mode: '503', method: 'POST', from: 10, times: 1 }])
  await house.service.request('clinic', 'pat-1', 'command')
  await house.service.runOnce()
  expect(house.live('Observation').length).toBeLessThan(23)
  house.addPhoto('pat-1', 'left hand of today')
  await house.screen('pat-1')
  const live = house.all('Observation').filter(({ status }) => status === 'preliminary')
  expect(live).toHaveLength(23)
  expect(live.every((one) => one['effectiveDateTime'] === '2026-11-20T08:00:00Z')).toBe(true)
})

test('of a site that lets us write no more nothing is changed, and it stays asked for', async () => {
  await openWithdrawn()
  const { witness } = house
  const shadow = await openWitnessHouse(houses.store, { witness, settings: { mode: 'shadow' } })
  await shadow.screen('pat-1')
  expect(statuses('Observation')).toEqual(['preliminary'])
  expect(await houses.store.query('select 1 from retirement where outcome is null')).toHaveLength(24)
  await shadow.close()
})
