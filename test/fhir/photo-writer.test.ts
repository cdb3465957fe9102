import { createHash } from 'node:crypto'
import { afterEach, describe, expect, test } from '@jest/globals'
import { validateResource } from '@medplum/core'
import type { Resource } from '@medplum/fhirtypes'
import type { CapabilityStatementRest, DocumentReference, Media } from 'fhir/r4.js'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { findHandPhotos, readPhotoBytes } from '../../src/fhir/photo-sources.ts'
import { writePhoto, type PhotoLedger, type PhotoPlaces } from '../../src/fhir/photo-writer.ts'
import type { TakenPhoto } from '../../src/fhir/resources/photo-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { schemaFaults } from '../support/json-schema.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: TestFhirServer
let egress: Egress
let session: FhirSession

async function open(rest: CapabilityStatementRest = everything()) {
  server = await startFhirServer(rest)
  const tenant = loopbackTenant(server.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
}
afterEach(async () => {
  await egress.close()
  await server.close()
})

/** Everything, but of these types only these interactions and search parameters. */
function offering(changes: Record<string, { can: readonly string[]; search?: readonly string[]; conditionalCreate?: boolean }>): CapabilityStatementRest {
  const rest = everything()
  return {
    ...rest,
    resource: rest.resource?.map((one) => {
      const change = changes[one.type]
      if (!change) return one
      return {
        type: one.type, interaction: change.can.map((code) => ({ code: code as 'read' })), conditionalCreate: change.conditionalCreate ?? false,
        searchParam: (change.search ?? []).map((name) => ({ name, type: 'token' as const }))
      }
    }) ?? []
  }
}

function binaryByOwnId(): CapabilityStatementRest {
  const rest = everything()
  return { ...rest, resource: rest.resource?.map((one) => (one.type === 'Binary' ? { ...one, updateCreate: true } : one)) ?? [] }
}

const jpeg = Buffer.from('not a picture, but bytes')
const photo: TakenPhoto = {
  tenant: 'clinic', patientId: 'pat-1', side: 'left', sentSha256: 'a'.repeat(64), jpeg, width: 900, height: 900, takenAt: '2026-11-24T08:00:00.000Z',
  sentAt: '2026-11-24T08:00:30.000Z', operator: 'Patient/pat-1', deviceName: 'back camera', consent: '2026-11'
}

function ledgerOf(kept = new Map<string, PhotoPlaces>()): PhotoLedger {
  return { get: (id) => Promise.resolve(kept.get(id)), put: (id, places) => Promise.resolve(void kept.set(id, places)) }
}
const created = (type: string) => server.seen.filter(({ method, path }) => method === 'POST' && path === `/${type}`).length
const stored = async <T>(reference: string) => {
  const [type = '', id = ''] = reference.split('/')
  return (await server.repository.readResource(type, id)) as unknown as T
}

describe('a photo taken with the capture page', () => {
  test('becomes Media with side, view, time, camera and taker, its bytes in a Binary', async () => {
    await open()
    const media = await stored<Media>(await writePhoto(session, photo, ledgerOf()))
    expect(media).toMatchObject({
      status: 'completed', createdDateTime: photo.takenAt, deviceName: 'back camera', operator: { reference: 'Patient/pat-1' }, width: 900,
      bodySite: { text: 'Back of the left hand' }, view: { coding: [{ code: 'dorsal' }] }, modality: { coding: [{ code: 'XC' }] },
      meta: { security: [{ code: 'PATRPT' }] }, content: { contentType: 'image/jpeg', size: jpeg.length, hash: createHash('sha1').update(jpeg).digest('base64') }
    })
    expect(media.note?.[0]?.text).toContain('2026-11')
    expect(media.content.data).toBeUndefined()
    expect(() => validateResource(media as Resource)).not.toThrow()
    expect(schemaFaults(media)).toEqual([])
    const [found] = await findHandPhotos(session, 'pat-1')
    expect(found).toMatchObject({ id: media.id ?? '', side: 'left', created: photo.takenAt })
    if (found) expect(Buffer.from(await readPhotoBytes(session, found)).equals(jpeg)).toBe(true)
  })

  test('becomes a document where Media cannot be created, with the bytes inside where no Binary can', async () => {
    await open(offering({ Media: { can: ['read'] }, Binary: { can: ['read'] } }))
    const document = await stored<DocumentReference>(await writePhoto(session, photo, ledgerOf()))
    expect(document).toMatchObject({ resourceType: 'DocumentReference', status: 'current', content: [{ attachment: { data: jpeg.toString('base64'), creation: photo.takenAt } }] })
    expect(document.description).toContain('Back of the left hand')
    expect(() => validateResource(document as Resource)).not.toThrow()
    expect(schemaFaults(document)).toEqual([])
    const [found] = await findHandPhotos(session, 'pat-1')
    expect(found).toMatchObject({ resourceType: 'DocumentReference', side: 'left' })
  })

  test('is refused in words by a record that takes neither', async () => {
    await open(offering({ Media: { can: ['read'] }, DocumentReference: { can: ['read'] } }))
    await expect(writePhoto(session, photo, ledgerOf())).rejects.toMatchObject({ code: 'ERR_EHR_REFUSED' })
    expect(server.seen.filter(({ method }) => method === 'POST')).toEqual([])
  })
})

describe('sending it again', () => {
  test('writes nothing twice, with the same ledger and with none', async () => {
    await open()
    const ledger = ledgerOf()
    const first = await writePhoto(session, photo, ledger)
    expect(await writePhoto(session, photo, ledger)).toBe(first)
    expect(await writePhoto(session, photo, ledgerOf())).toBe(first)
    expect([created('Media'), created('Binary')]).toEqual([1, 1])
    expect(await writePhoto(session, { ...photo, side: 'right' }, ledger)).not.toBe(first)
  })

  test.each([
    ['a record that can be asked by identifier', offering({ Media: { can: ['read', 'create', 'search-type'], search: ['patient', 'identifier'] } })],
    ['a record that lists a patient’s photos only', offering({ Media: { can: ['read', 'create', 'search-type'], search: ['patient'] } })]
  ])('after the answer was lost finds what was committed: %s', async (_name, rest) => {
    await open(rest)
    let lost = 0
    server.fault = ({ method, path }) => (method === 'POST' && path === '/Media' && lost++ === 0 ? 'commit-then-reset' : undefined)
    const reference = await writePhoto(session, photo, ledgerOf())
    expect([lost, created('Media')]).toEqual([1, 1])
    expect((await stored<Media>(reference)).identifier).toHaveLength(1)
  })

  test('after the first half failed goes on with the Binary that is there', async () => {
    await open()
    let failed = 0
    server.fault = ({ method, path }) => (method === 'POST' && path === '/Media' && failed++ === 0 ? '500-before-commit' : undefined)
    const ledger = ledgerOf()
    await expect(writePhoto(session, photo, ledger)).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    await writePhoto(session, photo, ledger)
    expect([created('Binary'), created('Media')]).toEqual([1, 2])
    expect(await server.repository.searchResources({ resourceType: 'Media' })).toHaveLength(1)
  })

  const late = { ...photo, sentAt: '2026-11-24T08:16:00.000Z' }
  /** As a search does that does not know yet what was written. */
  const showNothing = () => server.raw.set('/Media?patient=pat-1', { type: 'application/fhir+json', body: Buffer.from('{"resourceType":"Bundle","type":"searchset"}') })
  const LISTED = { can: ['read', 'create', 'search-type'], search: ['patient'] }

  test.each(['commit-then-reset', '500-before-commit'] as const)('after %s and a search that shows nothing yet waits until it could, and writes once', async (fault) => {
    await open(offering({ Media: LISTED }))
    let lost = 0
    server.fault = ({ method, path }) => (method === 'POST' && path === '/Media' && lost++ === 0 ? fault : undefined)
    showNothing()
    const ledger = ledgerOf()
    for (const sentAt of ['2026-11-24T08:00:30.000Z', '2026-11-24T08:01:00.000Z', '2026-11-24T08:14:00.000Z'])
      await expect(writePhoto(session, { ...photo, sentAt }, ledger, [0])).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    expect([created('Media'), created('Binary')]).toEqual([1, 1])
    server.raw.clear()
    expect(await stored(await writePhoto(session, late, ledger, [0]))).toBeDefined()
    expect(await server.repository.searchResources({ resourceType: 'Media' })).toHaveLength(1)
    expect(created('Binary')).toBe(1)
  })

  test('after the answer was lost finds what a search shows a moment later', async () => {
    await open(offering({ Media: LISTED }))
    let [lost, looks] = [0, 0]
    server.fault = ({ method, path }) => {
      if (method === 'GET' && path === '/Media' && ++looks === 3) server.raw.clear()
      return method === 'POST' && path === '/Media' && lost++ === 0 ? 'commit-then-reset' : undefined
    }
    showNothing()
    expect(await stored(await writePhoto(session, photo, ledgerOf(), [0, 10]))).toBeDefined()
    expect(looks).toBe(3)
    expect(created('Media')).toBe(1)
  })

  test('after the answer was lost of a record that cannot be searched is left to the person', async () => {
    await open(offering({ Media: { can: ['read', 'create'] } }))
    let lost = 0
    server.fault = ({ method, path }) => (method === 'POST' && path === '/Media' && lost++ === 0 ? 'commit-then-reset' : undefined)
    const ledger = ledgerOf()
    for (const one of [photo, late]) await expect(writePhoto(session, one, ledger, [0])).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    expect(created('Media')).toBe(1)
    expect(await stored(await writePhoto(session, { ...late, sentSha256: 'b'.repeat(64) }, ledger, [0]))).toBeDefined()
  })

  test('after the record refused it sends it at once', async () => {
    await open(offering({ Media: LISTED }))
    let refused = 0
    server.fault = ({ method, path }) => (method === 'POST' && path === '/Media' && refused++ === 0 ? '401' : undefined)
    const ledger = ledgerOf()
    await expect(writePhoto(session, photo, ledger, [0])).rejects.toMatchObject({ code: 'ERR_EHR_UNAUTHORIZED' })
    expect(await stored(await writePhoto(session, photo, ledger, [0]))).toBeDefined()
  })

  test.each(['commit-then-reset', 'commit-then-500'] as const)('after %s to its Binary leaves no second one: the bytes go inside', async (fault) => {
    await open()
    let lost = 0
    server.fault = ({ method, path }) => (method === 'POST' && path === '/Binary' && lost++ === 0 ? fault : undefined)
    const media = await stored<Media>(await writePhoto(session, photo, ledgerOf()))
    expect([created('Binary'), media.content.url, media.content.data]).toEqual([1, undefined, jpeg.toString('base64')])
    expect(await findHandPhotos(session, 'pat-1')).toHaveLength(1)
  })

  test.each(['commit-then-reset', '401'] as const)('where the record takes ids of ours its Binary has one, also after %s', async (fault) => {
    await open(binaryByOwnId())
    let failed = 0
    server.fault = ({ method, path }) => (method === 'PUT' && path.startsWith('/Binary/') && failed++ === 0 ? fault : undefined)
    const first = await stored<Media>(await writePhoto(session, photo, ledgerOf()))
    expect([first.content.data !== undefined, created('Binary')]).toEqual(fault === '401' ? [false, 1] : [true, 0])
    const second = await stored<Media>(await writePhoto(session, { ...photo, side: 'right' }, ledgerOf()))
    expect([second.content.url, created('Binary')]).toEqual([expect.stringMatching(/Binary\/[0-9a-f-]{36}$/), fault === '401' ? 1 : 0])
  })

  test('after a quarter of an hour and one empty answer is looked for once more', async () => {
    await open(offering({ Media: LISTED }))
    let [lost, looks] = [0, 0]
    server.fault = ({ method, path }) => {
      if (method === 'GET' && path === '/Media' && ++looks === 4) server.raw.clear()
      return method === 'POST' && path === '/Media' && lost++ === 0 ? 'commit-then-reset' : undefined
    }
    showNothing()
    const ledger = ledgerOf()
    await expect(writePhoto(session, photo, ledger, [0])).rejects.toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    expect(await stored(await writePhoto(session, late, ledger, [0]))).toBeDefined()
    expect(created('Media')).toBe(1)
  })

  test('never takes another patient’s photo for it', async () => {
    await open()
    const first = await writePhoto(session, photo, ledgerOf())
    expect(await writePhoto(session, { ...photo, patientId: 'pat-2' }, ledgerOf())).not.toBe(first)
  })
})
