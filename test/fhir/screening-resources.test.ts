import '../support/web-socket.ts'
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { validateResource } from '@medplum/core'
import type { Resource } from '@medplum/fhirtypes'
import { Fhir } from 'fhir/fhir.js'
import type { Observation } from 'fhir/r4.js'
import { outgoingFaults } from '../../src/fhir/invariants.ts'
import { inWritingOrder, screeningBundle, suggestionResources } from '../../src/fhir/resources/screening-bundle.ts'
import { screeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { uuidV5 } from '../../src/fhir/resources/uuid-v5.ts'
import type { JointFinding } from '../../src/joints/finding.ts'
import { handJointCount, visitFindings } from '../../src/joints/hand-joint-count.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { schemaFaults } from '../support/json-schema.ts'
import { indexR4 } from '../support/r4-definitions.ts'
import { LEFT_PHOTO, sampleScreening } from '../support/screening-sample.ts'

const findings = (kind: JointFinding): JointFinding[] =>
  (['left', 'right'] as const).flatMap((side) => HAND_JOINTS.map((joint) => ({ ...kind, side, joint })))
const nothingSeen = visitFindings([])

const screenings = {
  'both hands': sampleScreening(),
  'an encounter and two hands in one photo': sampleScreening({ encounterId: 'enc-1', photos: [LEFT_PHOTO], photoOf: () => LEFT_PHOTO }),
  'no right hand': sampleScreening({ photos: [LEFT_PHOTO], photoOf: (side) => (side === 'left' ? LEFT_PHOTO : undefined) }),
  'nothing assessable': sampleScreening({ findings: nothingSeen, count: handJointCount(nothingSeen, { factor: 1, level: 0.9 }) }),
  'photos kept as documents': sampleScreening({
    photos: [{ resourceType: 'DocumentReference', id: 'doc-1' }], photoOf: () => ({ resourceType: 'DocumentReference', id: 'doc-1' })
  })
}

describe.each(Object.entries(screenings))('what is written for %s', (_name, input) => {
  const resources = screeningResources(input)
  beforeAll(indexR4)

  test.each([
    ['as our own writer sends it', inWritingOrder(resources)],
    ['as the suggestion carries it', suggestionResources(resources)],
    ['as a transaction', [screeningBundle(resources)]]
  ])('is valid R4 for three validators, %s', (_way, all) => {
    const fhir = new Fhir()
    for (const one of all) {
      const issues = validateResource(one as Resource)
      expect(issues.filter(({ severity }) => severity === 'error')).toEqual([])
      const { messages } = fhir.validate(one, { skipCodeValidation: true })
      expect(messages.filter(({ severity }) => ['error', 'fatal'].includes(String(severity)))).toEqual([])
      expect(schemaFaults(one)).toEqual([])
    }
  })

  test('keeps the rules that validators let pass', () => {
    expect(outgoingFaults(inWritingOrder(resources), 'pat-1')).toEqual([])
    expect(outgoingFaults(suggestionResources(resources), 'pat-1')).toEqual([])
  })

  test('has 22 joints, a count with its denominator, and never a performer or a final status', () => {
    expect(resources.observations).toHaveLength(22)
    expect(resources.count.hasMember).toHaveLength(22)
    for (const one of [...resources.observations, resources.count]) {
      expect(one.status).toBe('preliminary')
      expect(one.performer).toBeUndefined()
      expect(one.meta?.security?.[0]?.code).toBe('AIAST')
      expect(one.device?.display).toBe('JointLens hand-joints 0.1.0')
    }
    expect(component(resources.count, 'joints-assessed')?.valueQuantity?.value).toBe(input.count.assessable)
  })
})

describe('a joint in the record', () => {
  const { observations, count, report } = screeningResources(sampleScreening())
  const joint = (code: string) => observations.find((one) => one.bodySite?.coding?.[0]?.code === code) as Observation

  test.each([
    ['L-MCP2', 'Observation-ai-L-MCP2'], ['L-PIP3', 'Observation-ai-L-PIP3'], ['L-IP1', 'Observation-ai-L-IP1']
  ])('%s has the codes, site, value, method and labels of the worked example', (code, file) => {
    const example = readExample(file)
    for (const member of ['meta', 'status', 'category', 'bodySite', 'method', 'valueCodeableConcept', 'interpretation'] as const)
      expect(joint(code)[member]).toEqual(example[member])
    expect(joint(code).code).toEqual(example.code)
    expect(joint(code).subject).toEqual(example.subject)
    expect(joint(code).dataAbsentReason?.coding).toEqual(example.dataAbsentReason?.coding)
  })

  test('that could not be assessed has no value and no probability, and says why', () => {
    const one = joint('L-IP1')
    expect(one.valueCodeableConcept).toBeUndefined()
    expect(one.component).toBeUndefined()
    expect(one.dataAbsentReason?.text).toBe('Joint not assessable: outside the sharp part of the photograph')
  })

  test('carries probability, threshold and the place in the photo', () => {
    const one = joint('L-MCP2')
    expect(component(one, 'inflammation-probability')?.valueQuantity?.value).toBe(0.83)
    expect(component(one, 'decision-threshold')?.valueQuantity?.value).toBe(0.21)
    expect(component(one, 'image-region')?.valueString).toBe('xywh=pixel:102,200,260,260')
    expect(one.derivedFrom).toEqual([{ reference: 'Media/left-1' }])
  })

  test('counted as swollen is named in the count and in the conclusion', () => {
    expect(count.valueQuantity?.value).toBe(1)
    expect(component(count, 'suggested-swollen-joint')?.valueCodeableConcept?.coding?.[0]?.code).toBe('L-MCP2')
    expect(report.conclusion).toContain('possible inflammation of the left MCP 2. 1 of 21 assessable')
  })
})

describe('a visit in which nothing could be assessed', () => {
  const { count } = screeningResources(screenings['nothing assessable'])
  test('has no count, not a count of zero', () => {
    expect(count.valueQuantity).toBeUndefined()
    expect(count.dataAbsentReason?.coding?.[0]?.code).toBe('not-performed')
    expect(component(count, 'joints-not-assessable')?.valueQuantity?.value).toBe(22)
  })
})

describe('ids', () => {
  const ids = (change = {}) => inWritingOrder(screeningResources(sampleScreening(change))).map(({ id }) => id)
  test('are the same on every try, and all different', () => {
    expect(ids()).toEqual(ids())
    expect(new Set(ids()).size).toBe(26)
  })
  test('change with tenant, photo version and model, and not with what was found', () => {
    const others = [
      ids({ tenant: 'other' }),
      ids({ photos: [{ ...LEFT_PHOTO, versionId: '2' }], photoOf: () => ({ ...LEFT_PHOTO, versionId: '2' }) }),
      ids({ model: { name: 'hand-joints', version: '0.1.0', digest: 'cd'.repeat(32) } })
    ]
    for (const other of others) expect(other.filter((id) => ids().includes(id)).length).toBeLessThanOrEqual(1)
    expect(ids({ findings: findings({ side: 'left', joint: 'wrist', kind: 'assessed', probability: 0.9, inflamed: true }) })).toEqual(ids())
  })
  test('stay the same from release to release: a record is asked by them for what was written years ago', () => {
    const { observations: [joint], count } = screeningResources(sampleScreening())
    expect([joint?.id, count.id]).toEqual(['af24174f-b20e-5922-b30a-4bce24f14e50', '8245d4f1-1403-5720-a80b-f0d37c1490a1'])
  })
  test('of two photos in one document are not the same', () => {
    const [one, other] = [LEFT_PHOTO, { ...LEFT_PHOTO, part: 1 }].map((photo) => ids({ photos: [photo], photoOf: () => photo }))
    expect(one?.filter((id) => other?.includes(id))).toHaveLength(1)
  })
  test('are those of RFC 9562 (www.example.com in the DNS namespace)', () => {
    expect(uuidV5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
  })
})

test('a probability that is not a number is never written', () => {
  const broken = sampleScreening().findings.map((one) => one.kind === 'assessed' ? { ...one, probability: NaN } : one)
  expect(() => screeningResources(sampleScreening({ findings: broken }))).toThrow(expect.objectContaining({ code: 'ERR_MODEL_OUTPUT' }))
})

test('the validators would say so if it were not valid', () => {
  const { status: _status, ...one } = screeningResources(sampleScreening()).count
  expect(() => validateResource(one as unknown as Resource)).toThrow('status')
  expect(new Fhir().validate(one, { skipCodeValidation: true }).valid).toBe(false)
  // HL7's schema requires no primitive (its extension may stand instead); it knows every member and its form.
  const { count } = screeningResources(sampleScreening())
  for (const wrong of [{ swollen: 3 }, { issued: 'yesterday' }, { note: 'text' }]) expect(schemaFaults({ ...count, ...wrong } as Observation)).not.toEqual([])
})

test('the rules find what validators miss', () => {
  const [good] = screeningResources(sampleScreening()).observations
  const faults = (change: object) => outgoingFaults([{ ...good, derivedFrom: [], ...change }], 'pat-1').join('; ')
  expect(faults({})).toContain('derivedFrom is empty')
  expect(faults({ valueString: 'a', valueInteger: 1 })).toContain('more than one value[x]')
  expect(faults({ performer: [{ reference: 'Device/x' }] })).toContain('performer is a Device')
  expect(faults({ status: 'final' })).toContain('final without a performer')
  expect(faults({ subject: { reference: 'Patient/pat-2' } })).toContain('another patient')
  expect(faults({ specimen: { reference: '#gone' } })).toContain('nothing contained')
  expect(faults({ note: null })).toContain('note is empty')
})

test('a suggestion names what it refers to also by identifier, and the model without a Device', () => {
  const resources = screeningResources(sampleScreening())
  const all = suggestionResources(resources)
  const count = all.find(({ id }) => id === resources.count.id) as Observation
  expect(all.map(({ resourceType }) => resourceType)).not.toContain('Device')
  expect(count.hasMember?.[0]?.identifier).toEqual(resources.observations[0]?.identifier?.[0])
  expect(count.device).toEqual({
    type: 'Device', identifier: { system: 'https://jointlens.dev/fhir/model-sha256', value: 'ab'.repeat(32) }, display: 'JointLens hand-joints 0.1.0'
  })
})

function component(one: Observation, code: string) {
  return one.component?.find((part) => part.code.coding?.[0]?.code === code)
}

function readExample(name: string): Observation {
  return JSON.parse(readFileSync(new URL(`examples/${name}.json`, import.meta.url), 'utf8')) as Observation
}
