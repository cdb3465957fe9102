import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Appointment, DiagnosticReport, DocumentReference, Media, Observation, Resource } from '@medplum/fhirtypes'
import type { HookRequest } from '../../src/cds-hooks/protocol.ts'
import { makeConfig } from '../../src/config.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { unwritable } from '../../src/fhir/record-writer.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { signReview } from '../../src/fhir/sign-review.ts'
import { patientsOn, previsit } from '../../src/screening/previsit.ts'
import { reconcile } from '../../src/screening/reconcile.ts'
import { screeningSources } from '../../src/screening/screening-input.ts'
import type { Screening } from '../../src/screening/screening.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { openTenantDoors } from '../../src/tenant-doors.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { personaOf, refusalOf, VENDORS, type Vendor } from '../support/persona.ts'
import { emptyStore, openHouse, type ScreeningHouse } from '../support/screening-house.ts'
import { openTestStore } from '../support/test-store.ts'

let store: Store
let ehr: TestFhirServer
let house: ScreeningHouse
let egress: Egress
let session: FhirSession

beforeAll(async () => {
  store = await openTestStore()
})
afterAll(() => store.close())
afterEach(async () => {
  expect(ehr.refused).toEqual([])
  await egress.close()
  await house.close()
  await ehr.close()
  await emptyStore(store)
})

/** A record of one vendor, or a generic one; every search answers one resource a page. */
async function open(vendor: Vendor | 'generic', rest = vendor === 'generic' ? everything() : personaOf(vendor)) {
  ehr = await startFhirServer(rest)
  ehr.refuse = (request) => refusalOf(rest, request)
  ehr.pageSize = 1
  await openHere()
}

async function openHere() {
  house = await openHouse(openByteEngine(), { mode: 'assist', write: 'preliminary', calibrationFile: 'site.json' }, { store, ehr, readBackDelaysMs: [0] })
  egress = egressForTenant(house.tenant)
  session = openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') })
}

const add = <R extends Resource>(resource: R) => ehr.repository.createResource<R>(resource)
const binary = async (text: string) => `Binary/${(await add({ resourceType: 'Binary', contentType: 'image/jpeg', data: Buffer.from(text).toString('base64') })).id}`
const subject = { reference: 'Patient/pat-1' }
const taken = '2026-11-20T08:00:00Z'

async function media(text: string, change: Partial<Media> = {}): Promise<string> {
  const content = { contentType: 'image/jpeg', url: await binary(text) }
  const { id } = await add<Media>({ resourceType: 'Media', status: 'completed', subject, createdDateTime: taken, bodySite: { text: `Hand` }, content, ...change })
  return `Media/${id}`
}

async function document(text: string, change: Partial<DocumentReference> = {}): Promise<void> {
  const content = [{ attachment: { contentType: 'image/jpeg', url: await binary(text) } }]
  await add<DocumentReference>({ resourceType: 'DocumentReference', status: 'current', subject, date: taken, description: 'Photo of a hand', content, ...change })
}

async function report(links: readonly string[], change: Partial<DiagnosticReport> = {}): Promise<void> {
  await add<DiagnosticReport>({
    resourceType: 'DiagnosticReport', status: 'final', subject, code: { text: 'Clinical photography' }, effectiveDateTime: taken,
    media: links.map((reference) => ({ link: { reference } })), ...change
  })
}

const other = { reference: 'Patient/pat-2' }
const AIAST = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'AIAST' }

/** Each way a photo can be in a record: two good ones, and everything that must be passed over beside them. */
const ROUTES: Record<string, () => Promise<void>> = {
  'Media search': async () => {
    await media('left a')
    await media('right b')
    await media('left withdrawn', { status: 'entered-in-error' })
    await media('left never', { status: 'not-done' })
    await media('left other', { subject: other })
  },
  DocumentReference: async () => {
    await document('left a')
    await document('right b')
    await document('left withdrawn', { status: 'entered-in-error' })
    await document('left replaced', { status: 'superseded' })
    await document('left doubted', { docStatus: 'entered-in-error' })
    await document('left other', { subject: other })
  },
  'DiagnosticReport.media': async () => {
    await report([await media('left a')])
    await report([await media('right b'), await media('left withdrawn', { status: 'entered-in-error' }), await media('left other', { subject: other })])
    await report([await media('left from a withdrawn report')], { status: 'entered-in-error' })
    await report([await media('left from a foreign report')], { subject: other })
    await report([await media('left drawn by us')], { meta: { security: [AIAST] } })
    await report([await media('left of a colon', { bodySite: { text: 'Colon' } }), await media('left unnamed', { bodySite: undefined as never }), 'Media/gone'])
  },
  'a launch that names them': async () => {
    await house.service.handOver('clinic', 'pat-1', [
      await media('left a'), `${ehr.base}/${await media('right b')}`, await media('left never', { status: 'not-done' }),
      await media('left other', { subject: other }), 'Media/gone', 'Media/..', 'https://elsewhere.example/Media/1'
    ])
  }
}

async function screen(): Promise<Screening> {
  await house.service.request('clinic', 'pat-1', 'command')
  while (await house.service.runOnce());
  const { latest, failure } = await house.service.status('clinic', 'pat-1')
  if (!latest) throw new Error(`Expected a result but received ${failure?.code ?? 'none'}`)
  return latest
}

const found = ({ photos, findings }: Screening) =>
  [photos.flatMap(({ assessment }) => assessment.hands.map(({ side }) => side)).sort(), findings.filter(({ kind }) => kind === 'assessed').length]

/** What each record can be searched for; a launch's own references work everywhere. */
const WAYS: readonly (readonly [Vendor | 'generic', keyof typeof ROUTES])[] = [
  ['generic', 'Media search'],
  ['generic', 'DocumentReference'],
  ['generic', 'a launch that names them'],
  ...VENDORS.flatMap((vendor) => ['DocumentReference', 'DiagnosticReport.media', 'a launch that names them'].map((route) => [vendor, route] as const))
]

describe('hand photos are found, each page of them, and nothing is asked that is not offered', () => {
  test.each(WAYS)('on %s by %s', async (vendor, route) => {
    await open(vendor)
    await ROUTES[route]?.()
    expect(found(await screen())).toEqual([['left', 'right'], 22])
    expect(ehr.seen.filter(({ path }) => path.startsWith('/Binary/'))).toHaveLength(2)
  })
})

const counts = async () => Object.fromEntries(await Promise.all((['Observation', 'DiagnosticReport', 'Provenance', 'Device'] as const).map(async (resourceType) =>
  [resourceType, (await ehr.repository.searchResources<Resource>({ resourceType, count: 1000 })).length] as const)))

test('a record that took results and states that it takes none keeps screenings waiting: none is ended unwritten', async () => {
  const rest = everything()
  await open('generic', rest)
  const reopen = async () => {
    await Promise.all([house.close(), egress.close()])
    await openHere()
  }
  await media('left a')
  await screen()
  const observations = rest.resource?.find(({ type }) => type === 'Observation')
  const { interaction: all = [] } = observations ?? {}
  if (observations) observations.interaction = all.filter((one) => one.code !== 'create')
  await reopen()
  await media('left b', { subject: other })
  await house.service.request('clinic', 'pat-2', 'command')
  await house.service.runOnce()
  expect(await house.service.status('clinic', 'pat-2')).toMatchObject({ latest: { state: 'inferred', written: [] }, failure: { code: 'ERR_EHR_REFUSED' }, dueAt: expect.stringContaining('T') as unknown })
  if (observations) observations.interaction = all
  await reopen()
  await store.query('update job set run_after = clock_timestamp()')
  while (await house.service.runOnce());
  expect((await house.service.status('clinic', 'pat-2')).latest?.written.length).toBeGreaterThan(24)
})

describe('a photo search that is answered 401 beside one that is answered', () => {
  const refuses = (times: number) => {
    let left = times
    const { refuse } = ehr
    ehr.refuse = (request) => refuse(request) ?? (request.path === '/Media' && left-- > 0 ? { status: 401, why: 'the token' } : undefined)
  }

  test('is asked again: a token that was taken back meanwhile makes no patient one without photos', async () => {
    await open('generic')
    await media('left a')
    refuses(1)
    expect(found(await screen())[0]).toEqual(['left'])
    ;(ehr.refused as string[]).splice(0)
  })

  test('each time is one that this registration may not do, and nobody waits for it', async () => {
    await open('generic')
    refuses(Infinity)
    await house.service.request('clinic', 'pat-1', 'command')
    while (await house.service.runOnce());
    expect(await house.service.status('clinic', 'pat-1')).toMatchObject({ pending: false, failure: { code: 'no-photos' } })
    expect(ehr.seen.filter(({ path }) => path === '/Media')).toHaveLength(4)
    ;(ehr.refused as string[]).splice(0)
  })
})

describe('a result', () => {
  test.each([
    ['generic', { Observation: 23, DiagnosticReport: 1, Provenance: 1, Device: 1 }],
    ['epic', { Observation: 23, DiagnosticReport: 0, Provenance: 0, Device: 0 }],
    ['cerner', { Observation: 23, DiagnosticReport: 1, Provenance: 1, Device: 0 }]
  ] as const)('is written to %s with what it offers, once, and can be compared with the record', async (vendor, expected) => {
    await open(vendor)
    await document('left right c')
    const { written } = await screen()
    expect(await counts()).toEqual(expected)
    expect(written).toHaveLength(Object.values<number>(expected).reduce((sum, count) => sum + count, 0))
    await store.query('truncate ledger')
    await screen()
    expect(await counts()).toEqual(expected)
    expect(await reconcile({ store, sessionFor: () => session, tenant: house.tenant })).toMatchObject({ missing: [], changed: [] })
  })

  test.each([
    ['generic', []], ['epic', []], ['cerner', ['DiagnosticReport', 'Provenance']]
  ] as const)('of which %s lost one is written again by reconcile --mend, and what cannot be put right of it is said: %j', async (vendor, outdated) => {
    await open(vendor)
    await document('left right c')
    const { written } = await screen()
    const [gone = ''] = written.filter((one) => one.startsWith('Observation/'))
    await ehr.repository.deleteResource('Observation', gone.split('/')[1] ?? '')
    house.service.start()
    const { mended } = await reconcile({ store, sessionFor: () => session, tenant: house.tenant, mend: { screenings: house.service, audit: house.audit } })
    await house.service.stop()
    expect([mended?.written, mended?.left.map((one) => one.split('/')[0]).sort()]).toEqual([[gone], outdated])
    expect((await counts())['Observation']).toBe(23)
    const { latest, failure } = await house.service.status('clinic', 'pat-1')
    expect([failure, latest?.state, latest?.written.length]).toEqual([undefined, 'done', written.length])
  })

  test('stays with us where the record takes no Observations, and that is said', async () => {
    await open('athena')
    await document('left right c')
    const { state, written } = await screen()
    expect([state, written]).toEqual(['done', []])
    expect(unwritable(await session.capabilities())).toBe('the record cannot be written: its /metadata does not list Observation create')
    const [event] = await store.query<{ code: string }>("select event ->> 'code' as code from audit where event ->> 'action' = 'write'")
    expect(event?.code).toBe('ERR_EHR_REFUSED')
    expect(ehr.seen.filter(({ method }) => method !== 'GET')).toEqual([])
    expect((await house.service.status('clinic', 'pat-1')).failure).toBeUndefined()
  })

  test.each(VENDORS)('is signed on %s as far as it allows, and signing again writes nothing twice', async (vendor) => {
    await open(vendor)
    await document('left right c')
    const screening = await screen()
    const review = {
      tenant: 'clinic', patientId: 'pat-1', performer: 'Practitioner/doc-1', screeningId: screening.id, ...screeningSources(screening),
      findings: screening.findings, model: screening.model, signed: '2026-11-21T10:00:00Z',
      decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] as const
    }
    if (vendor === 'athena') {
      await expect(signReview(session, review)).rejects.toMatchObject({ code: 'ERR_FORBIDDEN', message: expect.stringContaining('Observation create') })
      return
    }
    const first = await signReview(session, review)
    expect(first.map((one) => one.split('/')[0])).toEqual(vendor === 'epic' ? ['Observation'] : ['Observation', 'Provenance'])
    expect(await signReview(session, review)).toEqual(first)
    const final = (await ehr.repository.searchResources<Observation>({ resourceType: 'Observation', count: 1000 })).filter(({ status }) => status === 'final')
    expect(final).toHaveLength(1)
    expect(final[0]?.derivedFrom?.map(({ reference }) => reference?.split('/')[0])).toContain('Observation')
  })
})

test.each(['generic', 'epic'] as const)('ids longer than R4 allows, as Epic gives them, are read, written, found again and signed on %s', async (vendor) => {
  await open(vendor)
  ehr.repository.idEnding = '-and-on-and-on-to-seventy-characters'
  await document('left right c')
  const screening = await screen()
  const results = async () => (await ehr.repository.searchResources<Observation>({ resourceType: 'Observation', count: 1000 })).map(({ id = '', status }) => [id.length, status])
  expect(new Set((await results()).map(String))).toEqual(new Set(['72,preliminary']))
  expect(await results()).toHaveLength(vendor === 'epic' ? 23 : 24)
  expect(await reconcile({ store, sessionFor: () => session, tenant: house.tenant })).toMatchObject({ missing: [], changed: [] })
  await signReview(session, {
    tenant: 'clinic', patientId: 'pat-1', performer: 'Practitioner/doc-1', screeningId: screening.id, ...screeningSources(screening),
    findings: screening.findings, model: screening.model, signed: '2026-11-21T10:00:00Z', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }]
  })
  expect((await results()).filter(([, status]) => status === 'final')).toHaveLength(1)
})

test('a record that lists a search by identifier and wants the patient all the same is asked so once an hour, and its results are found', async () => {
  await open('generic')
  const { refuse } = ehr
  ehr.refuse = (request) => refuse(request) ??
    (request.path === '/Observation' && /[?&]identifier=/.test(request.query) && !/patient=/.test(request.query) ? { status: 400, why: 'by identifier alone' } : undefined)
  for (const photo of ['left a', 'left b', 'left c']) {
    await document(photo)
    await screen()
  }
  expect((ehr.refused as string[]).splice(0)).toHaveLength(1)
  const results = await ehr.repository.searchResources<Observation>({ resourceType: 'Observation', count: 1000 })
  expect(new Set(results.map(({ identifier }) => identifier?.[0]?.value)).size).toBe(results.length)
  expect(results.length).toBeGreaterThan(20)
})

test.each([
  ['epic', 'Media', { patient: 'pat-1' }, 'Media?patient'],
  ['cerner', 'Observation', { identifier: 'urn:test|1' }, 'Observation?identifier'],
  ['athena', 'Appointment', { date: '2026-11-25' }, 'Appointment?date']
] as const)('the record that plays %s refuses %s by %j', async (vendor, type, parameters, why) => {
  await open(vendor)
  await expect(session.search(type, parameters)).rejects.toMatchObject({ code: 'ERR_EHR_REFUSED' })
  await expect(session.create({ resourceType: 'Device' })).rejects.toMatchObject({ code: 'ERR_EHR_UNAUTHORIZED' })
  expect((ehr.refused as string[]).splice(0)).toEqual([expect.stringContaining(`${why} is not offered`), expect.stringContaining('create of Device is not offered')])
})

describe('a hook', () => {
  const call = { hook: 'patient-view', context: { patientId: 'pat-1' }, prefetch: {}, fhirAuthorization: { access_token: 't' } } as unknown as HookRequest

  test.each(VENDORS)('on %s sees its photos and conditions, also those a launch named, and whether it takes results', async (vendor) => {
    await open(vendor)
    await add({ resourceType: 'Condition', subject, code: { text: 'RA' } })
    const named = await media('left a')
    const doors = openTenantDoors(
      makeConfig({ host: 'h', port: 0, publicUrl: 'http://h', dataDir: 'd', modelDir: 'm', device: 'cpu', profile: 'development', logLevel: 'silent', tenants: [house.tenant] }),
      Date.now, () => Promise.resolve([named]))
    try {
      const record = await doors.hookRecord(house.tenant, call, { conditions: true })
      expect([record.photos?.map(({ id }) => `Media/${id}`), record.conditions?.length, await record.takesObservations?.()]).toEqual([[named], 1, vendor !== 'athena'])
    } finally {
      await doors.close()
    }
  })
})

test.each([['epic', [true, false, false]], ['cerner', [true, true, false]], ['athena', [true, false, false]]] as const)(
  'an export of a Group, of all patients and of the system is offered by %s: %j', async (vendor, offered) => {
    await open(vendor)
    const capabilities = await session.capabilities()
    expect((['Group', 'Patient', 'system'] as const).map((level) => capabilities.canExport(level))).toEqual(offered)
  })

describe('the appointments of a day', () => {
  const coming = () => add<Appointment>({
    resourceType: 'Appointment', status: 'booked', start: '2026-11-25T09:00:00Z', end: '2026-11-25T09:30:00Z',
    participant: [{ actor: subject, status: 'accepted' }]
  })

  test.each(['epic', 'cerner'] as const)('are read from %s', async (vendor) => {
    await open(vendor)
    await document('left right c')
    await coming()
    house.service.start()
    const { rows } = await previsit({ service: house.service, sessionFor: () => session, tenant: house.tenant, date: '2026-11-25' })
    expect(rows.map(({ status }) => status)).toEqual(['results'])
  })

  test('are read from a record that gives them by practitioner or location alone, of those that the site names; without, the error says so', async () => {
    await open('cerner')
    await document('left right c')
    const at = (start: string, actor: string) => add<Appointment>({
      resourceType: 'Appointment', status: 'booked', start, end: start, participant: [{ actor: subject, status: 'accepted' }, { actor: { reference: actor }, status: 'accepted' }]
    })
    await at('2026-11-25T10:00:00Z', 'Practitioner/7')
    await at('2026-11-25T09:00:00Z', 'Location/room-1')
    const { refuse } = ehr
    ehr.refuse = (request) => refuse(request) ??
      (request.path === '/Appointment' && !/[?&](practitioner|location)=/.test(request.query) ? { status: 400, why: 'practitioner or location' } : undefined)
    const list = (tenant = house.tenant) => patientsOn(openFhirSession({ tenant, egress, tokens: fixedToken('t') }), 'UTC', '2026-11-25')
    await expect(list()).rejects.toMatchObject({ code: 'ERR_EHR_REFUSED', message: expect.stringContaining('appointmentsOf') })
    ;(ehr.refused as string[]).splice(0)
    const { patients } = await list({ ...house.tenant, appointmentsOf: ['Practitioner/7', 'Location/room-1'] })
    expect([...patients].map(([id, { start }]) => [id, start])).toEqual([['pat-1', '2026-11-25T09:00:00Z']])
    expect(new Set(ehr.seen.map(({ query }) => new URLSearchParams(query)).flatMap((query) => [query.get('practitioner'), query.get('location')]).filter(Boolean))).toEqual(new Set(['7', 'room-1']))
  })

  test('cannot be read from athenahealth, which says so and names the other way', async () => {
    await open('athena')
    await coming()
    await expect(previsit({ service: house.service, sessionFor: () => session, tenant: house.tenant, date: '2026-11-25' }))
      .rejects.toMatchObject({ code: 'ERR_EHR_REFUSED', message: expect.stringContaining('--patients') })
    expect(ehr.seen).toEqual([])
  })
})
