import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { DocumentReference, Observation, Provenance } from '@medplum/fhirtypes'
import { isCovered } from '../../src/cds-hooks/services/answer.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant } from '../../src/fhir/egress.ts'
import { findHandPhotos } from '../../src/fhir/photo-sources.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { photoName, readScreenedPhoto } from '../../src/screening/screened-photo.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { openByteEngine, type ByteEngine } from '../support/byte-engine.ts'
import { emptyStore, openHouse, type ScreeningHouse } from '../support/screening-house.ts'
import { openTestStore } from '../support/test-store.ts'

let store: Store
let house: ScreeningHouse
let engine: ByteEngine
beforeAll(async () => { store = await openTestStore() }, 300_000)
afterAll(() => store.close())
afterEach(async () => {
  await house.close()
  await emptyStore(store)
})

async function open(): Promise<void> {
  engine = openByteEngine()
  house = await openHouse(engine, { mode: 'assist', write: 'preliminary', calibrationFile: 'site.json' }, { store, readBackDelaysMs: [0] })
}

/** Pictures in one document: inside it, or each as a Binary. */
async function addDocument(texts: readonly string[], { inside = true, id = '' } = {}): Promise<string> {
  const content = await Promise.all(texts.map(async (text) => {
    const data = Buffer.from(text).toString('base64')
    const about = { contentType: 'image/jpeg', title: text }
    if (inside) return { attachment: { ...about, data } }
    const { id: binary } = await house.ehr.repository.createResource({ resourceType: 'Binary', contentType: 'image/jpeg', data })
    return { attachment: { ...about, url: `Binary/${binary}` } }
  }))
  const document: DocumentReference = {
    resourceType: 'DocumentReference', status: 'current', subject: { reference: 'Patient/pat-1' }, date: '2026-11-20T08:00:00Z', description: 'Photos of both hands', content
  }
  const { repository } = house.ehr
  return (id ? await repository.updateResource({ ...document, id }) : await repository.createResource(document)).id ?? ''
}

async function screen() {
  await house.service.request('clinic', 'pat-1', 'command')
  while (await house.service.runOnce());
  const { latest } = await house.service.status('clinic', 'pat-1')
  if (!latest) throw new Error('Expected a result')
  return latest
}

const live = async () => (await house.ehr.repository.searchResources<Observation>({ resourceType: 'Observation', count: 1000 })).filter(({ status }) => status === 'preliminary')

test.each([['inside it', true], ['as Binary', false]])('both hands in one document, %s, are read, written once, and shown each as itself', async (_where, inside) => {
  await open()
  const id = await addDocument(['left a', 'right b'], { inside })
  const result = await screen()
  expect(result.count.assessable).toBe(22)
  expect(result.photos.map(photoName)).toEqual([id, `${id}~1`])
  await screen()
  expect([engine.asked, (await live()).length]).toEqual([2, 23])
  // One source however many pictures of it; which picture a joint was seen on is said beside it.
  const [provenance] = await house.ehr.repository.searchResources<Provenance>({ resourceType: 'Provenance' })
  expect(provenance?.entity?.filter(({ role }) => role === 'source')).toHaveLength(1)
  const seen = (await live()).flatMap(({ bodySite, derivedFrom }) => bodySite && derivedFrom ? derivedFrom : [])
  expect(new Set(seen.map(({ reference }) => reference))).toEqual(new Set([`DocumentReference/${id}`]))
  expect(seen.filter(({ display }) => display === 'Picture 2 of this document')).toHaveLength(11)

  const egress = egressForTenant(house.tenant)
  const session = openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') })
  const bytes = await Promise.all(result.photos.map((photo) => readScreenedPhoto(session, 'pat-1', photo)))
  expect(bytes.map((one) => Buffer.from(one).toString())).toEqual(['left a', 'right b'])
  const photos = await findHandPhotos(session, 'pat-1')
  expect([photos.length, isCovered(photos, result, 'UTC', Date.now())]).toEqual([2, true])
  expect(isCovered(photos, { ...result, photos: result.photos.slice(0, 1) }, 'UTC', Date.now())).toBe(false)
  await egress.close()
})

test.each([
  ['whoever left it current', {}, ['right b'], 11], ['unless that one was taken back', { docStatus: 'entered-in-error' as const }, ['left a'], 11],
  ['unless that one is another patient’s', { subject: { reference: 'Patient/pat-2' } }, ['left a'], 11]
])('a document that another one replaces is no photo, also when a launch names it, %s', async (_why, change, texts, assessable) => {
  await open()
  const old = await addDocument(['left a'])
  const next = await addDocument(['right b'])
  const document = await house.ehr.repository.readResource<DocumentReference>('DocumentReference', next)
  await house.ehr.repository.updateResource<DocumentReference>({ ...document, relatesTo: [{ code: 'replaces', target: { reference: `${house.ehr.base}/DocumentReference/${old}` } }], ...change })
  await house.service.handOver('clinic', 'pat-1', [`DocumentReference/${old}`])
  const result = await screen()
  expect([result.photos.map(({ assessment }) => assessment.hands.map(({ side }) => side)).flat(), result.count.assessable])
    .toEqual([texts.map((text) => text.split(' ')[0]), assessable])
})

test('another picture beside it in the document makes a new result, which takes the place of the one before', async () => {
  await open()
  const id = await addDocument(['left a'])
  expect((await screen()).count.assessable).toBe(11)
  await addDocument(['left a', 'right b'], { id })
  expect((await screen()).count.assessable).toBe(22)
  expect([engine.asked, (await live()).length]).toEqual([2, 23])
})

test('several pictures of one hand are all read, and the best of them speaks', async () => {
  await open()
  await addDocument(['left, and nothing of a hand on it: heic', 'left a'])
  const { photos, count } = await screen()
  expect([photos.length, count.assessable]).toEqual([2, 11])
})

test('the same picture twice in a document is read once, and nothing is missing from the result', async () => {
  await open()
  const id = await addDocument(['left a', 'left a'])
  const { photos } = await screen()
  expect([engine.asked, photos.map(({ copies }) => copies?.map(photoName))]).toEqual([1, [[`${id}~1`]]])
  const egress = egressForTenant(house.tenant)
  const found = await findHandPhotos(openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') }), 'pat-1')
  expect([found.length, isCovered(found, await screen(), 'UTC', Date.now())]).toEqual([2, true])
  await egress.close()
})
