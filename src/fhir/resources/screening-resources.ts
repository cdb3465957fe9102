import type {
  Device, DiagnosticReport, Observation, ObservationComponent, Provenance, Quantity, Reference
} from 'fhir/r4.js'
import { ScreeningError } from '../../errors.ts'
import type { JointFinding, ModelIdentity, NotAssessedReason, PhotoRegion } from '../../joints/finding.ts'
import { HAND_JOINTS, jointLabel, type Laterality } from '../../joints/hand-joint.ts'
import type { HandJointCount } from '../../joints/hand-joint-count.ts'
import {
  ABSENT, aiTerm, extensionUrl, jointSite, methodTerm, MODEL_SHA256, observationTerm, PRESENT, REPORT_ID, RESULT_ID, statusTerm,
  term, UCUM
} from '../codes.ts'
import { narrative } from './narrative.ts'
import { photoReference, photoReferences, resultIds, type SourcePhoto } from './result-ids.ts'

export type { SourcePhoto } from './result-ids.ts'

/** One screening as the record will hold it. */
export interface ScreeningInput {
  readonly tenant: string
  readonly patientId: string
  /** Part of the ids (ResultOwner). */
  readonly edition?: number
  readonly encounterId?: string
  /** Every photo of the visit that was read. */
  readonly photos: readonly SourcePhoto[]
  /** The photo that speaks for a side; undefined when there is none. */
  photoOf(side: Laterality): SourcePhoto | undefined
  /** 22 findings, left then right, HAND_JOINTS order. */
  readonly findings: readonly JointFinding[]
  /** Where each joint was read, pixels of the upright photo, HAND_JOINTS order. */
  readonly regions?: Readonly<Partial<Record<Laterality, readonly PhotoRegion[]>>>
  /** Image quality at each joint, 0..1, HAND_JOINTS order. */
  readonly quality?: Readonly<Partial<Record<Laterality, readonly number[]>>>
  readonly count: HandJointCount
  /** Nominal coverage of the count's interval; 0.9 unless told. */
  readonly intervalLevel?: number
  readonly model: ModelIdentity
  /** The threshold the findings were called with: its name in the calibration and its value on the calibrated probability. */
  readonly thresholds: { readonly name: string; readonly value: number }
  /** When the newest photo was taken, FHIR dateTime. */
  readonly photoTime: string
  /** When the result was made, FHIR instant. */
  readonly issued: string
}

/** What one screening writes. Ids are deterministic and every inner reference is `Type/<that id>`. */
export interface ScreeningResources {
  readonly patientId: string
  readonly photos: readonly SourcePhoto[]
  /** 22, left then right, HAND_JOINTS order. */
  readonly observations: readonly Observation[]
  readonly count: Observation
  readonly report: DiagnosticReport
  readonly provenance: Provenance
  readonly device: Device
}

export type ScreeningResource = Observation | DiagnosticReport | Provenance | Device

const REASONS: Readonly<Record<NotAssessedReason, string>> = {
  'no-photo': 'no photograph of this hand',
  'not-located': 'not found in the photograph',
  'outside-frame': 'outside the frame of the photograph',
  'low-detail': 'outside the sharp part of the photograph',
  occluded: 'hidden in the photograph',
  'palmar-view': 'the photograph shows the palm, not the back of the hand',
  'oblique-view': 'the photograph shows the hand from the side',
  blurred: 'the photograph is blurred',
  'too-dark': 'the photograph is too dark',
  'too-bright': 'the photograph is too bright',
  'too-small': 'the hand is too small in the photograph',
  'uncertain-side': 'it is not certain whether this is the left or the right hand'
}

/**
 * The AI's own statement (terminology section 1 and 4, DESIGN section 7): preliminary, labelled AIAST, by the device and
 * never by a performer, derived from the exact photos. Pure; the same input gives the same resources.
 * Throws ERR_MODEL_OUTPUT for a probability that is not a number from 0 to 1.
 */
export function screeningResources(input: ScreeningInput): ScreeningResources {
  if (input.findings.length !== 2 * HAND_JOINTS.length)
    throw new Error(`Expected ${2 * HAND_JOINTS.length} findings but received ${input.findings.length}`)
  const ids = resultIds(input, input.photos, input.model)
  const device = modelDevice(ids.device, input.model)
  const base = common(input, { reference: `Device/${ids.device}`, display: modelName(input.model) })
  const observations = input.findings.map((finding) => {
    const photo = input.photoOf(finding.side)
    return jointObservation(ids.joint(photo, finding.side, finding.joint), finding, photo, input, base)
  })
  const count = countObservation(ids.count, observations, input, base)
  const report = aiReport(ids.report, observations, count, input)
  const provenance = aiProvenance(ids.provenance, [count, ...observations, report], input, base.device)
  return { patientId: input.patientId, photos: input.photos, observations, count, report, provenance, device }
}

type Common = ReturnType<typeof common>

/** What every AI Observation of this screening says. */
function common(input: ScreeningInput, device: Reference) {
  return {
    resourceType: 'Observation' as const,
    meta: { security: [aiTerm('AIAST')] },
    status: 'preliminary' as const,
    category: [{ coding: [statusTerm('imaging')] }],
    subject: { reference: `Patient/${input.patientId}` },
    ...(input.encounterId ? { encounter: { reference: `Encounter/${input.encounterId}` } } : {}),
    effectiveDateTime: input.photoTime,
    issued: input.issued,
    method: { coding: [methodTerm('ai-inference')], text: 'AI inference on a photograph (not reviewed)' },
    device
  }
}

function jointObservation(
  id: string, finding: JointFinding, photo: SourcePhoto | undefined, input: ScreeningInput, base: Common
): Observation {
  const bodySite = jointSite(finding.side, finding.joint)
  return {
    ...base,
    id,
    text: narrative(`AI suggestion, not reviewed. ${bodySite.text}: ${findingWords(finding)}`),
    identifier: [{ system: RESULT_ID, value: id }],
    code: { coding: [observationTerm('joint-inflammation-image')], text: 'Joint inflammation (AI assessment of a photograph)' },
    bodySite,
    ...(photo ? { derivedFrom: [photoReference(photo)] } : {}),
    ...(finding.kind === 'assessed' ? assessed(finding, input) : notAssessed(`Joint not assessable: ${REASONS[finding.reason]}`))
  }
}

function assessed(finding: Extract<JointFinding, { kind: 'assessed' }>, input: ScreeningInput): Partial<Observation> {
  const { side, joint, inflamed, probability } = finding
  const index = HAND_JOINTS.indexOf(joint)
  const region = input.regions?.[side]?.[index]
  const quality = input.quality?.[side]?.[index]
  return {
    valueCodeableConcept: inflamed
      ? { coding: [PRESENT], text: 'Present' }
      : { coding: [ABSENT], text: 'Not flagged (below the decision threshold)' },
    interpretation: [{ coding: [statusTerm(inflamed ? 'POS' : 'NEG')] }],
    component: [
      { code: { coding: [observationTerm('inflammation-probability')] }, valueQuantity: ratio(probability, 'probability') },
      {
        code: { coding: [observationTerm('decision-threshold')], text: `Decision threshold (${input.thresholds.name})` },
        valueQuantity: ratio(input.thresholds.value, 'probability')
      },
      ...(quality === undefined ? [] : [
        { code: { coding: [observationTerm('joint-image-quality')] }, valueQuantity: ratio(quality, 'quality') }
      ]),
      ...(region === undefined ? [] : [
        { code: { coding: [observationTerm('image-region')] }, valueString: mediaFragment(region) }
      ])
    ]
  }
}

/** Never Absent, never 0, and no probability below the quality gate. */
function notAssessed(text: string): Partial<Observation> {
  return {
    dataAbsentReason: { coding: [statusTerm('not-performed')], text },
    interpretation: [{ coding: [statusTerm('QCF')] }]
  }
}

function countObservation(id: string, observations: readonly Observation[], input: ScreeningInput, base: Common): Observation {
  const { count } = input
  const missing = count.of - count.assessable
  return {
    ...base,
    id,
    text: narrative(`AI suggestion, not reviewed: ${countWords(input)}. Not a 28-joint count.`),
    identifier: [{ system: RESULT_ID, value: id }],
    code: {
      coding: [observationTerm('hand-sjc-22-suggestion')],
      text: 'Suggested swollen joint count, hands and wrists only (AI, from photographs)'
    },
    ...(count.assessable > 0 ? { valueQuantity: joints(count.swollen) } : notAssessed('No hand joint could be assessed')),
    note: [{ text: countNote(missing) }],
    hasMember: observations.map((one) => ({ reference: `Observation/${one.id}` })),
    ...(input.photos.length > 0 ? { derivedFrom: [...photoReferences(input.photos)] } : {}),
    component: [
      { code: { coding: [observationTerm('joints-assessed')] }, valueQuantity: joints(count.assessable) },
      { code: { coding: [observationTerm('joints-not-assessable')] }, valueQuantity: joints(missing) },
      ...interval(input),
      ...input.findings.flatMap((finding) => finding.kind === 'assessed' && finding.inflamed ? [flagged(finding)] : [])
    ]
  }
}

function interval({ count, intervalLevel = 0.9 }: ScreeningInput): ObservationComponent[] {
  if (count.assessable === 0 || intervalLevel !== 0.9) return []
  return [{ code: { coding: [observationTerm('count-interval-90')] }, valueRange: { low: joints(count.low), high: joints(count.high) } }]
}

function flagged({ side, joint }: JointFinding): ObservationComponent {
  return { code: { coding: [observationTerm('suggested-swollen-joint')] }, valueCodeableConcept: jointSite(side, joint) }
}

function aiReport(id: string, observations: readonly Observation[], count: Observation, input: ScreeningInput): DiagnosticReport {
  const media = photoReferences(input.photos.filter(({ resourceType }) => resourceType === 'Media'))
  return {
    resourceType: 'DiagnosticReport',
    id,
    meta: { security: [aiTerm('AIAST')] },
    text: narrative('Preliminary AI report, not reviewed by a clinician.'),
    identifier: [{ system: REPORT_ID, value: id }],
    status: 'preliminary',
    category: [{ coding: [statusTerm('IMG')] }],
    code: { coding: [observationTerm('hand-photo-inflammation-report')], text: 'Hand photographs: joint inflammation' },
    subject: { reference: `Patient/${input.patientId}` },
    ...(input.encounterId ? { encounter: { reference: `Encounter/${input.encounterId}` } } : {}),
    effectiveDateTime: input.photoTime,
    issued: input.issued,
    result: [count, ...observations].map((one) => ({ reference: `Observation/${one.id}` })),
    ...(media.length > 0 ? { media: media.map((link) => ({ comment: 'Source photograph', link })) } : {}),
    conclusion: conclusion(input)
  }
}

function aiProvenance(
  id: string, targets: readonly (Observation | DiagnosticReport)[], input: ScreeningInput, device: Reference
): Provenance {
  return {
    resourceType: 'Provenance',
    id,
    text: narrative('AI-made results'),
    target: targets.map((one) => ({ reference: `${one.resourceType}/${one.id}` })),
    occurredDateTime: input.issued,
    recorded: input.issued,
    reason: [{ coding: [aiTerm('AIAST')] }],
    activity: { coding: [aiTerm('CREATE')] },
    agent: [{
      type: { coding: [aiTerm('author')] },
      role: [{ coding: [aiTerm('Artificial-Intelligence')] }],
      who: device
    }],
    entity: [
      ...photoReferences(input.photos).map((what) => ({ role: 'source' as const, what })),
      {
        role: 'derivation' as const,
        what: {
          type: 'DocumentReference',
          identifier: { system: MODEL_SHA256, value: input.model.digest },
          display: `Model card of ${modelName(input.model)}`
        }
      }
    ]
  }
}

/** The model as a Device. The profiles of the ballot-stage AI guide are not claimed (specs/conformance.md section 1). */
function modelDevice(id: string, model: ModelIdentity): Device {
  return {
    resourceType: 'Device',
    id,
    text: narrative(`AI software: ${modelName(model)}. Not a substitute for examination.`),
    extension: [{
      url: extensionUrl('AIKind'), valueCodeableConcept: { coding: [aiTerm('Medical-Image-Analysis')] }
    }],
    identifier: [{ system: MODEL_SHA256, value: model.digest }],
    status: 'active',
    deviceName: [{ name: `JointLens ${model.name}`, type: 'model-name' }],
    modelNumber: model.name,
    type: { coding: [aiTerm('Artificial-Intelligence')], text: 'AI software (image analysis)' },
    version: [{ type: { text: 'model-weights' }, value: model.version }]
  }
}

function modelName({ name, version }: ModelIdentity): string {
  return `JointLens ${name} ${version}`
}

/** W3C media fragment on the upright photo. */
function mediaFragment({ x, y, width, height }: PhotoRegion): string {
  return `xywh=pixel:${[x, y, width, height].map((value) => Math.max(0, Math.round(value))).join(',')}`
}

/** Four decimals. No probability is invented: what is not a number from 0 to 1 is never written. */
function ratio(value: number, unit: string): Quantity {
  if (!Number.isFinite(value) || value < 0 || value > 1)
    throw new ScreeningError('ERR_MODEL_OUTPUT', `Expected a ${unit} from 0 to 1 but received ${value}`)
  return quantity(Math.round(value * 10_000) / 10_000, unit, '1')
}

function joints(value: number): Quantity {
  return quantity(value, 'joints', '{#}')
}

function quantity(value: number, unit: string, code: string): Quantity {
  return { value, unit, system: UCUM, code: term('unit', code).code ?? code }
}

function findingWords(finding: JointFinding): string {
  if (finding.kind === 'not-assessed') return `not assessable, ${REASONS[finding.reason]}`
  return finding.inflamed ? 'possible inflammation' : 'not flagged'
}

function countWords({ count, intervalLevel = 0.9 }: ScreeningInput): string {
  if (count.assessable === 0) return `none of the ${count.of} hand and wrist joints could be assessed`
  const missing = count.of - count.assessable
  return `${count.swollen} of ${count.assessable} assessable hand and wrist joints ` +
    `(${Math.round(intervalLevel * 100)} % interval ${count.low} to ${count.high}); ` +
    `${missing} ${missing === 1 ? 'joint' : 'joints'} not assessable`
}

function countNote(missing: number): string {
  return [
    'Hands and wrists only. Shoulders, elbows and knees were not assessed: this is not the swollen joint count of DAS28, CDAI or SDAI.',
    'Tenderness cannot be seen on a photograph.',
    ...(missing > 0 ? [`${missing} of the 22 joints could not be assessed and ${missing === 1 ? 'is' : 'are'} not counted.`] : []),
    'The count may be too low when many joints are swollen.'
  ].join(' ')
}

function conclusion(input: ScreeningInput): string {
  const names = input.findings.flatMap((finding) =>
    finding.kind === 'assessed' && finding.inflamed ? [`${finding.side} ${jointLabel(finding.joint)}`] : [])
  const said = names.length > 0 ? `possible inflammation of the ${listed(names)}. ${capital(countWords(input))}` : countWords(input)
  return `AI suggestion, not reviewed: ${said}. Shoulders, elbows, knees and tenderness were not assessed.`
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

