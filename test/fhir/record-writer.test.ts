import { afterEach, describe, expect, test } from '@jest/globals'
import type { Device, Media } from '@medplum/fhirtypes'
import type { CapabilityStatementRest, DiagnosticReport, Observation, Provenance } from 'fhir/r4.js'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { inWritingOrder } from '../../src/fhir/resources/screening-bundle.ts'
import { screeningResources, type ScreeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { writeScreening, type WriteOptions } from '../../src/fhir/record-writer.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { everything, isWrite, startFhirServer, type Fault, type TestFhirServer } from '../support/fhir-server.ts'
import { refusalWithout } from '../support/persona.ts'
import { memoryLedger } from '../support/memory-ledger.ts'
import { loopbackTenant, sampleScreening } from '../support/screening-sample.ts'

type Code = 'transaction' | 'batch'
const offering = (system: Code[], conditionalCreate: boolean, change: (type: string) => { create?: boolean; params?: string[] } = () => ({})): CapabilityStatementRest => {
  const rest = everything()
  return {
    ...rest,
    interaction: system.map((code) => ({ code })),
    resource: (rest.resource ?? []).map((one) => {
      const { create = true, params } = change(one.type)
      return {
        ...one, conditionalCreate,
        interaction: (one.interaction ?? []).filter(({ code }) => create || code !== 'create'),
        searchParam: (one.searchParam ?? []).filter(({ name }) => !params || params.includes(name))
      }
    })
  }
}
const only = (...types: string[]) => (type: string) => ({ create: types.includes(type) })

/** What servers offer, strongest first; the last three are shaped like Oracle Health and Epic. */
const SERVERS: Record<string, { rest: () => CapabilityStatementRest; refuse?: TestFhirServer['refuse']; resources: number }> = {
  'transactions and conditional create': { rest: () => offering(['transaction', 'batch'], true), resources: 26 },
  'transactions only': { rest: () => offering(['transaction'], false), resources: 26 },
  'batch, no Device, no search by identifier': {
    rest: () => offering(['batch'], false, (type) => ({
      create: ['Observation', 'DiagnosticReport', 'Provenance'].includes(type),
      ...(type === 'Observation' || type === 'DiagnosticReport' ? { params: ['patient', 'code', 'date'] } : {})
    })),
    resources: 25
  },
  'update-as-create': {
    rest: () => {
      const rest = offering([], false)
      return { ...rest, resource: (rest.resource ?? []).map((one) => ({ ...one, updateCreate: true })) }
    },
    resources: 26
  },
  'single writes, and searches for a category or code beside the patient alone': {
    rest: () => offering([], false, (type) => ({ create: type === 'Observation', ...(type === 'Observation' ? { params: ['identifier', 'patient', 'code', 'date'] } : {}) })),
    refuse: (request) => refusalWithout(['category', 'code'], request), resources: 23
  },
  'single writes of Observations only': { rest: () => offering([], false, only('Observation')), resources: 23 }
}

let server: TestFhirServer
let egress: Egress
let session: FhirSession
let media: { left: Media; right: Media }

afterEach(async () => {
  await egress.close()
  await server.close()
})

async function open(rest: CapabilityStatementRest, refuse: TestFhirServer['refuse'] = () => undefined): Promise<ScreeningResources> {
  server = await startFhirServer(rest)
  server.refuse = refuse
  const tenant = loopbackTenant(server.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
  media = { left: await photo('pat-1'), right: await photo('pat-1') }
  return resourcesOf(media)
}

async function photo(patient: string): Promise<Media> {
  return server.repository.createResource<Media>({
    resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patient}` }, content: { contentType: 'image/jpeg' }
  })
}

function resourcesOf({ left, right }: typeof media): ScreeningResources {
  const [l, r] = [left, right].map(({ id = '' }) => ({ resourceType: 'Media' as const, id, versionId: '1' }))
  if (!l || !r) throw new Error('two photos')
  return screeningResources(sampleScreening({ photos: [l, r], photoOf: (side) => (side === 'left' ? l : r) }))
}

const options = (more: Partial<WriteOptions> = {}): WriteOptions =>
  ({ ledger: memoryLedger(), fence: () => Promise.resolve(), readBackDelaysMs: [0, 20], settling: { promptMs: 20, lateMs: 20 }, ...more })
const code = (name: string) => expect.objectContaining({ code: name })
const all = <T>(type: 'Observation' | 'DiagnosticReport' | 'Provenance' | 'Device') =>
  server.repository.search({ resourceType: type, count: 1000 }).then((bundle) => (bundle.entry ?? []).map(({ resource }) => resource as T))
const writes = () => server.seen.filter(isWrite).length

async function expectOneOfEach(resources: ScreeningResources): Promise<void> {
  const observations = await all<Observation>('Observation')
  const ids = observations.map(({ identifier }) => identifier?.[0]?.value)
  expect(ids.sort()).toEqual([...resources.observations, resources.count].map(({ id }) => id).sort())
  const [count] = observations.filter(({ hasMember }) => hasMember)
  const there = new Set(observations.map(({ id }) => `Observation/${id}`))
  expect(count?.hasMember?.map(({ reference }) => there.has(reference ?? ''))).toEqual(Array(22).fill(true))
  for (const type of ['DiagnosticReport', 'Provenance', 'Device'] as const) expect((await all(type)).length).toBeLessThanOrEqual(1)
}

test('the model that another screening writes at the same moment is not sent twice', async () => {
  const resources = await open(offering(['transaction'], false))
  const shared = options()
  const { sending } = shared.ledger
  const ledger = {
    ...shared.ledger,
    async sending(ids: readonly string[], settleMs: number) {
      const model = resources.device.id ?? ''
      if (ids.includes(model) && (await all('Device')).length === 0) {
        const { id: _ours, ...device } = resources.device
        const { id } = await server.repository.createResource(device as Device)
        await shared.ledger.record(new Map([[model, `Device/${id}`]]))
      }
      return sending(ids, settleMs)
    }
  }
  expect((await writeScreening(session, resources, { ...shared, ledger })).written).toHaveLength(26)
  await expectOneOfEach(resources)
  expect(await all('Device')).toHaveLength(1)
})

describe.each(Object.entries(SERVERS))('to a server with %s', (_name, { rest, refuse, resources: expected }) => {
  test('a screening is written, and its references lead where they should', async () => {
    const resources = await open(rest(), refuse)
    const { written, alreadyThere } = await writeScreening(session, resources, options())
    expect([written.length, alreadyThere]).toEqual([expected, 0])
    await expectOneOfEach(resources)
    const [report] = await all<DiagnosticReport>('DiagnosticReport')
    const [provenance] = await all<Provenance>('Provenance')
    if (report) expect(report.result).toHaveLength(23)
    if (provenance) expect(provenance.target).toHaveLength(24)
    const [one] = await all<Observation>('Observation')
    const devices = await all<{ id: string }>('Device')
    expect(one?.device?.reference).toBe(devices[0] ? `Device/${devices[0].id}` : undefined)
    expect(one?.device?.display).toBe('JointLens hand-joints 0.1.0')
  })

  test('writing again writes nothing, with our ledger and without it', async () => {
    const resources = await open(rest(), refuse)
    const first = options()
    await writeScreening(session, resources, first)
    const before = writes()
    expect(await writeScreening(session, resources, first)).toEqual({ written: [], alreadyThere: expected })
    expect(await writeScreening(session, resources, options())).toEqual({ written: [], alreadyThere: expected })
    expect(writes()).toBe(before)
  })

  test.each<Fault>(['commit-then-500', 'commit-then-reset'])('an outcome lost by %s is read back and not doubled', async (fault) => {
    const resources = await open(rest(), refuse)
    server.fault = (request) => (isWrite(request) && server.lost === 0 ? fault : undefined)
    const shared = options()
    expect((await writeScreening(session, resources, shared)).written).toHaveLength(expected)
    await expectOneOfEach(resources)
    const countId = resources.count.id ?? ''
    expect((await shared.ledger.places([countId])).get(countId)).toMatch(/^Observation\//)
  })

  test('a write that never arrived stays unknown, and the next try completes it', async () => {
    const resources = await open(rest(), refuse)
    server.fault = (request) => (isWrite(request) ? '500-before-commit' : undefined)
    await expect(writeScreening(session, resources, options())).rejects.toEqual(code('ERR_WRITE_AMBIGUOUS'))
    server.fault = () => undefined
    expect((await writeScreening(session, resources, options())).written).toHaveLength(expected)
    await expectOneOfEach(resources)
  })

  test('a crash at any point leaves one of each after the next try', async () => {
    const resources = await open(rest(), refuse)
    for (let crash = 1; crash < 100; crash++) {
      let points = 0
      const done = await writeScreening(session, resources, options({
        failpoint: () => { if (++points === 1 + (crash % 3)) throw new Error('crash') }
      })).then(() => true, () => false)
      if (done) break
    }
    await writeScreening(session, resources, options())
    await expectOneOfEach(resources)
  })

  test('a worker that lost its lease sends nothing', async () => {
    const resources = await open(rest(), refuse)
    const fence = () => Promise.reject(Object.assign(new Error('lease'), { code: 'ERR_LEASE_LOST' }))
    await expect(writeScreening(session, resources, options({ fence }))).rejects.toEqual(code('ERR_LEASE_LOST'))
    expect(writes()).toBe(0)
  })
})

describe('nothing is written', () => {
  const expectRefused = async (resources: ScreeningResources, name: string) => {
    await expect(writeScreening(session, resources, options())).rejects.toEqual(code(name))
    expect(writes()).toBe(0)
  }

  test('when one resource is about another patient', async () => {
    const resources = await open(everything())
    const [first, ...rest] = resources.observations
    await expectRefused({ ...resources, observations: [{ ...first, subject: { reference: 'Patient/pat-2' } } as Observation, ...rest] }, 'ERR_WRONG_PATIENT')
  })

  test('when a photo is another patient’s', async () => {
    await open(everything())
    media = { ...media, right: await photo('pat-2') }
    await expectRefused(resourcesOf(media), 'ERR_WRONG_PATIENT')
  })

  test('when a photo was entered in error or is gone', async () => {
    const resources = await open(everything())
    await server.repository.updateResource({ ...media.left, status: 'entered-in-error' } as never)
    await expectRefused(resources, 'ERR_PHOTO_UNREACHABLE')
    await server.repository.deleteResource('Media', media.left.id ?? '')
    await expectRefused(resources, 'ERR_PHOTO_UNREACHABLE')
  })

  test('when the EHR takes no Observations', async () => {
    await expectRefused(await open(offering(['transaction'], true, only())), 'ERR_EHR_REFUSED')
  })

  test('when our result is already there under another patient', async () => {
    const resources = await open(everything())
    const [one] = resources.observations
    await server.repository.createResource({ ...one, id: undefined, subject: { reference: 'Patient/pat-2' } } as never)
    await expectRefused(resources, 'ERR_WRONG_PATIENT')
  })
})

test('what is missing later is added by a conditional transaction, and the rest is left alone', async () => {
  const resources = await open(everything())
  const { written } = await writeScreening(session, resources, options())
  const [gone = ''] = written.filter((reference) => reference.startsWith('Observation/'))
  await server.repository.deleteResource('Observation', gone.split('/')[1] ?? '')
  expect(await writeScreening(session, resources, options())).toMatchObject({ written: [expect.stringMatching(/^Observation/)], alreadyThere: 25 })
  expect(JSON.stringify(server.seen.findLast((one) => one.method === 'POST' && isWrite(one))?.body)).toContain('ifNoneExist')
  expect(await all('Observation')).toHaveLength(23)
})

describe('of a set whose report takes no updates, a result that is gone is written anew', () => {
  async function lost() {
    const rest = offering(['batch'], false)
    const resources = await open({ ...rest, resource: (rest.resource ?? []).map((one) => one.type === 'Observation' ? one : { ...one, interaction: (one.interaction ?? []).filter(({ code: name }) => name !== 'update') }) })
    const ledger = memoryLedger()
    await writeScreening(session, resources, options({ ledger }))
    const [first] = resources.observations
    const former = ledger.entries.get(first?.id ?? '') ?? ''
    await server.repository.deleteResource('Observation', former.split('/')[1] ?? '')
    ledger.entries.delete(first?.id ?? '')
    return { resources, ledger }
  }

  test('and the report that names its former place stays as it was', async () => {
    const { resources, ledger } = await lost()
    expect((await writeScreening(session, resources, options({ ledger }))).written).toHaveLength(1)
    expect(await all('Observation')).toHaveLength(23)
  })

  test('but a report that names somebody else’s is not called written', async () => {
    const { resources, ledger } = await lost()
    const other = await server.repository.createResource({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/pat-2' } })
    const [report] = await all<DiagnosticReport>('DiagnosticReport')
    await server.repository.updateResource({ ...report, result: [{ reference: `Observation/${other.id}` }] } as never)
    await expect(writeScreening(session, resources, options({ ledger }))).rejects.toMatchObject(code('ERR_WRITE_AMBIGUOUS'))
  })
})

test('a transaction that is refused leaves nothing behind', async () => {
  const resources = await open(everything())
  const [first, ...rest] = resources.observations
  const broken = { ...resources, observations: [{ ...first, nonsense: 'x' } as unknown as Observation, ...rest] }
  await expect(writeScreening(session, broken, options())).rejects.toEqual(code('ERR_EHR_REFUSED'))
  expect(await all('Observation')).toEqual([])
})

test('the order never refers to something that comes later', () => {
  const seen = new Set<string>()
  for (const one of inWritingOrder(screeningResources(sampleScreening()))) {
    const inner = JSON.stringify(one).match(/(Observation|DiagnosticReport|Device)\/[0-9a-f-]{36}/g) ?? []
    for (const reference of inner) expect(seen.has(reference)).toBe(true)
    seen.add(`${one.resourceType}/${one.id}`)
  }
})

describe('a patient', () => {
  const scoped = { backend: { clientId: 'x', key: { kty: 'EC' as const, kid: 'x', alg: 'ES384' as const, d: 'x' }, scope: 'system/Patient.r system/*.cruds' } }
  const withScope = (resources: ScreeningResources) => {
    const tenant = loopbackTenant(server.base, scoped)
    return writeScreening(openFhirSession({ tenant, egress, tokens: fixedToken('t') }), resources, options())
  }

  test('whose record another one replaced gets no results', async () => {
    const resources = await open(everything())
    server.raw.set('/Patient/pat-1', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Patient', id: 'pat-1', link: [{ type: 'replaced-by', other: { reference: 'Patient/pat-2' } }] })) })
    await expect(withScope(resources)).rejects.toEqual(code('ERR_WRONG_PATIENT'))
    expect(writes()).toBe(0)
  })

  test('who was deleted gets none either; one whom we may not read does', async () => {
    const resources = await open(everything())
    server.refuse = ({ path }) => path === '/Patient/pat-1' ? { status: 410, why: 'gone' } : undefined
    await expect(withScope(resources)).rejects.toEqual(code('ERR_NOT_FOUND'))
    expect(writes()).toBe(0)
    server.refuse = ({ path }) => path === '/Patient/pat-1' ? { status: 403, why: 'no scope' } : undefined
    expect((await withScope(resources)).written).toHaveLength(26)
  })

  test('who is called gone once, by a gateway or a replica that is behind, is not', async () => {
    const resources = await open(everything())
    server.raw.set('/Patient/pat-1', { type: 'application/fhir+json', body: Buffer.from(JSON.stringify({ resourceType: 'Patient', id: 'pat-1' })) })
    let asked = 0
    server.refuse = ({ path }) => path === '/Patient/pat-1' && asked++ === 0 ? { status: 410, why: 'gone' } : undefined
    expect((await withScope(resources)).written).toHaveLength(26)
    expect(asked).toBe(2)
  })

  test('who is called gone once and otherwise not ours to read is not either', async () => {
    const resources = await open(everything())
    let asked = 0
    server.refuse = ({ path }) => path === '/Patient/pat-1' ? { status: asked++ === 0 ? 410 : 404, why: 'a gateway' } : undefined
    expect((await withScope(resources)).written).toHaveLength(26)
  })
})

test('what the registration may not write is left out and not asked for: no model is described where its scope has none', async () => {
  const resources = await open(everything())
  server.refuse = ({ path }) => path.startsWith('/Device') ? { status: 403, why: 'no scope' } : undefined
  const tenant = loopbackTenant(server.base, { backend: { clientId: 'x', key: { kty: 'EC', kid: 'x', alg: 'ES384', d: 'x' }, scope: 'system/Media.rs system/DiagnosticReport.crs system/Observation.crus system/Provenance.crs' } })
  const { written } = await writeScreening(openFhirSession({ tenant, egress, tokens: fixedToken('t') }), resources, options())
  expect(written).toHaveLength(25)
  expect(server.seen.filter(({ path }) => path.startsWith('/Device'))).toEqual([])
})
