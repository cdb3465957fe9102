import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { Medication, MedicationRequest, Observation } from 'fhir/r4.js'
import type { Resource } from '@medplum/fhirtypes'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { readLaboratoryAndScores, readTreatmentStarts } from '../../src/fhir/clinical-context.ts'
import { dmardIn, term, termFor, termsFor } from '../../src/fhir/codes.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { everything, startFhirServer, type TestFhirServer } from '../support/fhir-server.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: TestFhirServer
let egress: Egress
let session: FhirSession

async function open(observationSearch = ['patient', 'code', 'date', 'identifier']) {
  const rest = everything()
  const types = rest.resource?.filter(({ type }) => type !== 'Observation') ?? []
  const interaction = [{ code: 'read' as const }, { code: 'create' as const }, { code: 'search-type' as const }]
  const searching = (type: 'Observation' | 'MedicationRequest', names: readonly string[]) =>
    ({ type, interaction, searchParam: names.map((name) => ({ name, type: 'token' as const })) })
  server = await startFhirServer({ ...rest, resource: [...types, searching('Observation', observationSearch), searching('MedicationRequest', ['patient'])] })
  const tenant = loopbackTenant(server.base)
  egress = egressForTenant(tenant)
  session = openFhirSession({ tenant, egress, tokens: fixedToken('t') })
}
beforeEach(() => open())
afterEach(async () => {
  await egress.close()
  await server.close()
})

const put = (resource: object) => server.repository.createResource(resource as Resource)
/** An order changed; null takes a member away. */
const order = (change: { [Name in keyof MedicationRequest]?: MedicationRequest[Name] | null }) => put(JSON.parse(JSON.stringify({
  resourceType: 'MedicationRequest', status: 'active', intent: 'order', subject: { reference: 'Patient/pat-1' }, authoredOn: '2026-06-24',
  medicationCodeableConcept: { text: 'Methotrexate' }, ...change
}, (_name, value: unknown) => value ?? undefined)) as object)
const CRP = termFor('lab', 'CRP')
const [WESTERGREN] = termsFor('lab', 'ESR')
const observed = (change: Partial<Observation>) => put({
  resourceType: 'Observation', status: 'final', subject: { reference: 'Patient/pat-1' }, code: { coding: [CRP] },
  effectiveDateTime: '2026-11-20T08:00:00Z', valueQuantity: { value: 1.8, unit: 'mg/dL', code: 'mg/dL', system: 'http://unitsofmeasure.org' }, ...change
})

describe('the start of treatments', () => {
  test('is the earliest order of each disease-modifying drug, oldest first', async () => {
    await order({ authoredOn: '2026-06-24' })
    await order({ status: 'completed', authoredOn: '2025-01-10' })
    await order({ medicationCodeableConcept: { text: 'Humira 40 mg', coding: [{ system: 'http://www.whocc.no/atc', code: 'L04AB04' }] }, authoredOn: '2026-09-01', dosageInstruction: [{ timing: { repeat: { boundsPeriod: { start: '2026-09-08' } } } }] })
    await order({ medicationCodeableConcept: { coding: [{ system: 'http://www.nlm.nih.gov/research/umls/rxnorm', code: '1', display: 'leflunomide 20 MG Oral Tablet' }] }, authoredOn: '2024-02-02' })
    expect(await readTreatmentStarts(session, 'pat-1')).toEqual([
      { name: 'leflunomide', started: '2024-02-02' }, { name: 'methotrexate', started: '2025-01-10' }, { name: 'adalimumab', started: '2026-09-08' }
    ])
  })

  test.each<[string, Parameters<typeof order>[0]]>([
    ['of another patient', { subject: { reference: 'Patient/pat-2' } }], ['that was entered in error', { status: 'entered-in-error' }],
    ['that is only a draft', { status: 'draft' }], ['that is only proposed', { intent: 'proposal' }], ['not to give it', { doNotPerform: true }],
    ['of another drug', { medicationCodeableConcept: { text: 'Folic acid 5 mg' } }], ['without any date', { authoredOn: null }]
  ])('is not an order %s', async (_name, change) => {
    await order(change)
    expect(await readTreatmentStarts(session, 'pat-1')).toEqual([])
  })

  test('is found by a contained medication, and by a display alone', async () => {
    await order({ medicationCodeableConcept: null, medicationReference: { reference: 'Medication/1', display: 'Sulfasalazin 500 mg' } })
    const inside: Medication = { resourceType: 'Medication', id: 'm', code: { text: 'Tocilizumab' } }
    await order({ medicationCodeableConcept: null, contained: [inside], medicationReference: { reference: '#m' } })
    expect((await readTreatmentStarts(session, 'pat-1')).map(({ name }) => name).sort()).toEqual(['sulfasalazine', 'tocilizumab'])
  })
})

test.each([['Methotrexat 15 mg', 'methotrexate'], ['Certolizumab', 'certolizumab pegol'], ['Prednisolon 5 mg', undefined], ['', undefined]])('the words "%s" name %s', (text, name) => {
  expect(dmardIn({ text })).toBe(name)
})

describe('laboratory values', () => {
  test('are the newest ones, in the unit of the scores, with what the record says', async () => {
    await observed({ effectiveDateTime: '2026-06-01', valueQuantity: { value: 30, unit: 'mg/L' } })
    await observed({})
    await observed({ code: { coding: [WESTERGREN ?? {}] }, valueQuantity: { value: 22, unit: 'mm/hr' } })
    const { laboratory } = await readLaboratoryAndScores(session, 'pat-1')
    expect(laboratory).toEqual({
      crpMgPerL: { value: 18, shown: '1.8 mg/dL', at: '2026-11-20T08:00:00Z' }, esrMmPerH: { value: 22, shown: '22 mm/hr', at: '2026-11-20T08:00:00Z' }
    })
  })

  test.each<[string, Partial<Observation>, string]>([
    ['without a unit', { valueQuantity: { value: 18 } }, '18'], ['in another unit', { valueQuantity: { value: 18, unit: 'nmol/L', code: 'nmol/L' } }, '18 nmol/L'],
    ['below what can be measured', { valueQuantity: { value: 5, comparator: '<', unit: 'mg/L' } }, '< 5 mg/L']
  ])('%s are shown but never calculated with', async (_name, change, shown) => {
    await observed(change)
    expect((await readLaboratoryAndScores(session, 'pat-1')).laboratory.crpMgPerL).toEqual({ shown, at: '2026-11-20T08:00:00Z' })
  })

  test.each<[string, Partial<Observation>]>([
    ['of another patient', { subject: { reference: 'Patient/pat-2' } }], ['that are not final', { status: 'preliminary' }],
    ['entered in error', { status: 'entered-in-error' }], ['of another test', { code: { text: 'CRP' } }]
  ])('%s are not taken', async (_name, change) => {
    await observed(change)
    expect((await readLaboratoryAndScores(session, 'pat-1')).laboratory).toEqual({})
  })

  test('come with the scores that were signed, oldest first', async () => {
    const cdai = { code: { coding: [termFor('score', 'CDAI total')] }, valueQuantity: { value: 24 } }
    await observed({ ...cdai, effectiveDateTime: '2026-11-01' })
    await observed({ code: { coding: [term('score', 'das28-crp')] }, valueQuantity: { value: 4.1 }, effectiveDateTime: '2026-06-01' })
    expect((await readLaboratoryAndScores(session, 'pat-1')).scores).toEqual([
      { index: 'DAS28-CRP', value: 4.1, at: '2026-06-01' }, { index: 'CDAI', value: 24, at: '2026-11-01' }
    ])
  })

  test('are found on a server that searches Observations by patient alone, and only listed parameters are sent', async () => {
    await egress.close()
    await server.close()
    await open(['patient'])
    await observed({})
    expect((await readLaboratoryAndScores(session, 'pat-1')).laboratory.crpMgPerL?.value).toBe(18)
    expect(server.seen.filter(({ path }) => path === '/Observation').map(({ query }) => query)).toEqual(['?patient=pat-1'])
  })
})

test('one empty answer does not say that there is no treatment, and none of a laboratory value: two do', async () => {
  await order({})
  await observed({})
  let asked = 0
  const behind = (times: number): FhirSession => ({ ...session, search: async (type, parameters, options) => (asked++ < times ? [] : session.search(type, parameters, options)) })
  expect(await readTreatmentStarts(behind(1), 'pat-1')).toHaveLength(1)
  asked = 0
  expect((await readLaboratoryAndScores(behind(1), 'pat-1')).laboratory.crpMgPerL?.value).toBe(18)
  asked = 0
  expect([await readTreatmentStarts(behind(2), 'pat-1'), asked]).toEqual([[], 2])
})
