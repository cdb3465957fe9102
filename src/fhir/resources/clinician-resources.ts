import type { CodeableConcept, Coding, FhirResource, Observation, ObservationComponent, Provenance, Reference } from 'fhir/r4.js'
import { ACTIVITY_INDICES, activityScores, INPUTS_OF, type ActivityIndex, type ActivityInputs } from '../../joints/activity-scores.ts'
import type { JointFinding, ModelIdentity } from '../../joints/finding.ts'
import { HAND_JOINTS, isHandJoint, LARGE_JOINTS, LATERALITIES, type HandJoint, type JointOf28, type LargeJoint, type Laterality } from '../../joints/hand-joint.ts'
import { ABSENT, aiTerm, jointSite, largeJointSite, methodTerm, observationTerm, PRESENT, RESULT_ID, statusTerm, term, termFor, termShown, UCUM } from '../codes.ts'
import { narrative } from './narrative.ts'
import { clinicianIds, photoReference, photoReferences, resultIds, type SourcePhoto } from './result-ids.ts'
import { uuidV5 } from './uuid-v5.ts'

/** What a clinician says about one joint after looking at patient and suggestion. */
export type JointCall = 'swollen' | 'not-swollen' | 'not-assessable'
export interface JointDecision { readonly side: Laterality; readonly joint: HandJoint; readonly call: JointCall }

/** What was signed before for the same photos in the same examination, by whomever, and where each lies in the record (`Observation/…`). */
export interface StandingJoints {
  readonly calls: readonly StandingCall[]
  readonly tender: readonly StandingPlace[]
  readonly swollen: readonly StandingPlace[]
}
export interface StandingCall extends JointDecision { readonly reference: string }
export interface StandingPlace extends JointOf28 { readonly reference: string }

export interface ClinicianInput {
  readonly tenant: string
  readonly patientId: string
  /** Of the AI's result (ResultOwner). */
  readonly edition?: number
  readonly encounterId?: string
  /** `Practitioner/…` of the person who signs. */
  readonly performer: string
  readonly screeningId: string
  readonly photos: readonly SourcePhoto[]
  photoOf(side: Laterality): SourcePhoto | undefined
  /** What the AI had suggested: 22 findings. */
  readonly findings: readonly JointFinding[]
  readonly model: ModelIdentity
  readonly decisions: readonly JointDecision[]
  readonly standing?: StandingJoints
  /** Where the AI's own Observation of a joint lies in the record (`Observation/…`); undefined when it was never written. */
  aiObservation(side: Laterality, joint: HandJoint): string | undefined
  /** What the clinician examined and entered beyond the hands; scores are made from it and from nothing else. */
  readonly activity?: ActivityInputs
  /** Joints found on examination that the photo does not tell: tender ones of the 28, and swollen shoulders, elbows and knees. */
  readonly examined?: ExaminedJoints
  /** When the clinician signed, FHIR instant. */
  readonly signed: string
}

export interface ExaminedJoints {
  readonly tender: readonly JointOf28[]
  readonly swollen: readonly (JointOf28 & { readonly joint: LargeJoint })[]
}

export interface ClinicianResources {
  readonly patientId: string
  /**
   * One final Observation per decided joint; when all 22 are decided with that, the count of the hands; each tender joint and each
   * swollen large joint; then the entered counts and globals and the activity scores they make. Each refers only to earlier ones.
   */
  readonly observations: readonly Observation[]
  /** Provenance (verifier) over the Observations that lie at these references. */
  provenance(targets: readonly string[]): Provenance
}

/**
 * The clinician's own result (terminology section 1, decision 4; DESIGN section 7): new final Observations with the clinician
 * as performer, each derived from the photo and from the AI's Observation, which stays as the AI wrote it. Pure.
 */
export function clinicianResources(input: ClinicianInput): ClinicianResources {
  const joints = input.decisions.map((decision) => jointObservation(decision, input))
  const hands = handsOf(input)
  const tender = (input.examined?.tender ?? []).map((at) => foundJoint('tender', at, input))
  const swollen = (input.examined?.swollen ?? []).map((at) => foundJoint('swollen', at, input))
  return {
    patientId: input.patientId,
    observations: [...joints, ...(joints.length > 0 && hands.length === 2 * HAND_JOINTS.length ? [handCount(hands, input)] : []), ...tender, ...swollen, ...activityObservations(input, jointsOf28(input))],
    provenance: (targets) => verifierProvenance(targets, input)
  }
}

type Examined = OfScreening & Pick<ClinicianInput, 'decisions' | 'examined' | 'standing'>

/** Each joint that is decided with this signature, with what was signed before, in the order of the hands. */
function handsOf(input: Examined): readonly StandingCall[] {
  const now = input.decisions.map((decision) => ({ ...decision, reference: `Observation/${clinicianId(input, decision.side, decision.joint)}` }))
  return LATERALITIES.flatMap((side) => HAND_JOINTS.flatMap((joint) => [...now, ...input.standing?.calls ?? []].find((one) => isAt(one, { side, joint })) ?? []))
}

/** Of the 28 joints those that are swollen and tender by this signature and by what was signed before in the same examination, and how many could not be assessed. */
export function jointsOf28(input: Examined): { readonly swollen: readonly string[]; readonly tender: readonly string[]; readonly notAssessable: number } {
  const hands = handsOf(input)
  const found = (kind: keyof typeof FOUND): readonly string[] => {
    const now = (input.examined?.[kind] ?? []).map((at) => ({ ...at, reference: `Observation/${foundId(kind, at, input)}` }))
    return [...now, ...(input.standing?.[kind] ?? []).filter((one) => !now.some((other) => isAt(one, other)))].map(({ reference }) => reference)
  }
  return {
    swollen: [...hands.filter(({ call }) => call === 'swollen').map(({ reference }) => reference), ...found('swollen')],
    tender: found('tender'), notAssessable: hands.filter(({ call }) => call === 'not-assessable').length
  }
}

const isAt = (one: JointOf28, other: JointOf28) => one.side === other.side && one.joint === other.joint

/** The identifier a signed joint is recognised by: one per screening and joint, so that two signers meet. */
export function clinicianId({ tenant, photos, model, screeningId }: OfScreening, side: Laterality, joint: HandJoint): string {
  return clinicianIds(tenant, screeningId, photos, model).joint(undefined, side, joint)
}

type OfScreening = Pick<ClinicianInput, 'tenant' | 'photos' | 'model' | 'screeningId'>

/** One thing that a clinician may sign for a screening, and the identifier that it is recognised by. */
export type Signable = { readonly id: string } & (
  | { readonly kind: 'joint'; readonly side: Laterality; readonly joint: HandJoint }
  | { readonly kind: 'count' }
  | ({ readonly kind: 'tender' } & JointOf28)
  | { readonly kind: 'swollen'; readonly side: Laterality; readonly joint: LargeJoint }
  | { readonly kind: 'entered'; readonly name: keyof ActivityInputs }
  | { readonly kind: 'score'; readonly index: ActivityIndex }
)

/** All of it: 22 joints, their count, 28 tender and 6 swollen large joints, what is entered as a number, and the scores. */
export function signables(of: OfScreening): readonly Signable[] {
  const at = <Joint extends JointOf28['joint']>(joints: readonly Joint[]) => LATERALITIES.flatMap((side) => joints.map((joint) => ({ side, joint })))
  return [
    ...at(HAND_JOINTS).map(({ side, joint }) => ({ kind: 'joint' as const, side, joint, id: clinicianId(of, side, joint) })),
    { kind: 'count', id: countId(of) },
    ...at([...HAND_JOINTS, ...LARGE_JOINTS]).map((one) => ({ kind: 'tender' as const, ...one, id: foundId('tender', one, of) })),
    ...at(LARGE_JOINTS).map((one) => ({ kind: 'swollen' as const, ...one, id: foundId('swollen', one, of) })),
    ...ENTERED.map(({ input }) => ({ kind: 'entered' as const, name: input, id: numberId(input, of) })),
    ...ACTIVITY_INDICES.map((index) => ({ kind: 'score' as const, index, id: numberId(index, of) }))
  ]
}

/** The same for the count of the hands. */
export const countId = ({ tenant, screeningId, photos, model }: OfScreening) => clinicianIds(tenant, screeningId, photos, model).count
const foundId = (kind: keyof typeof FOUND, { side, joint }: JointOf28, of: OfScreening) => uuidV5(countId(of), `${kind} ${side} ${joint}`)
const numberId = (name: string, of: OfScreening) => uuidV5(countId(of), name)

function common(input: ClinicianInput) {
  return {
    resourceType: 'Observation' as const,
    meta: { security: [aiTerm('CLINAST')] },
    status: 'final' as const,
    category: [{ coding: [statusTerm('exam')] }],
    subject: { reference: `Patient/${input.patientId}` },
    ...(input.encounterId ? { encounter: { reference: `Encounter/${input.encounterId}` } } : {}),
    effectiveDateTime: input.signed,
    issued: input.signed,
    performer: [{ reference: input.performer }]
  }
}

function jointObservation({ side, joint, call }: JointDecision, input: ClinicianInput): Observation {
  const id = clinicianId(input, side, joint)
  const bodySite = jointSite(side, joint)
  const finding = input.findings.find((one) => one.side === side && one.joint === joint)
  const method = methodOf(finding, call)
  const photo = input.photoOf(side)
  const ai = aiReference(side, joint, finding, input)
  const sources: Reference[] = [...(photo ? [photoReference(photo)] : []), ...(ai ? [ai] : [])]
  return {
    ...common(input),
    id,
    text: narrative(`${bodySite.text}: ${CALL_WORDS[call]}. ${aiWords(finding)}`),
    identifier: [{ system: RESULT_ID, value: id }],
    code: { coding: [observationTerm('joint-swelling-exam')], text: 'Joint swelling (clinical examination)' },
    bodySite,
    method: { coding: [methodTerm(method)] },
    ...(sources.length > 0 ? { derivedFrom: sources } : {}),
    ...valueOf(call)
  }
}

export const CALL_WORDS: Readonly<Record<JointCall, string>> = {
  swollen: 'swollen', 'not-swollen': 'not swollen', 'not-assessable': 'not assessable'
}

function aiWords(finding: JointFinding | undefined): string {
  if (finding?.kind !== 'assessed') return 'The AI had not assessed this joint.'
  return finding.inflamed ? 'The AI had flagged this joint.' : 'The AI had not flagged this joint.'
}

function valueOf(call: JointCall): Partial<Observation> {
  if (call === 'swollen') return { valueCodeableConcept: { coding: [PRESENT], text: 'Present' } }
  if (call === 'not-swollen') return { valueCodeableConcept: { coding: [ABSENT], text: 'Absent' } }
  return { dataAbsentReason: { coding: [statusTerm('not-performed')], text: 'Joint could not be assessed by the clinician' } }
}

/** The other way round: what a value says of its joint; undefined where it says neither. */
export function isPresentIn({ valueCodeableConcept }: Pick<Observation, 'valueCodeableConcept'>): boolean | undefined {
  const says = (value: typeof PRESENT) => valueCodeableConcept?.coding?.some(({ system, code }) => system === value.system && code === value.code) ?? false
  return says(PRESENT) ? true : says(ABSENT) ? false : undefined
}

/** Whether the person agreed with what the AI showed; where the AI showed nothing, it is their examination alone. */
function methodOf(finding: JointFinding | undefined, call: JointCall): string {
  if (finding?.kind !== 'assessed') return 'clinician-exam'
  return finding.inflamed === (call === 'swollen') && call !== 'not-assessable' ? 'ai-assisted-confirmed' : 'ai-assisted-corrected'
}

/** The AI's Observation where it lies in the record; when it was never written, its identifier. Nothing for a joint it did not assess. */
function aiReference(side: Laterality, joint: HandJoint, finding: JointFinding | undefined, input: ClinicianInput): Reference | undefined {
  if (finding?.kind !== 'assessed') return undefined
  const value = resultIds(input, input.photos, input.model).joint(input.photoOf(side), side, joint)
  const reference = input.aiObservation(side, joint)
  return { type: 'Observation', ...(reference ? { reference } : {}), identifier: { system: RESULT_ID, value } }
}

/** The clinician's count of the hands; not a 28-joint count, since a hand review examines 22. */
function handCount(hands: readonly StandingCall[], input: ClinicianInput): Observation {
  const id = countId(input)
  const swollen = hands.filter(({ call }) => call === 'swollen').length
  const assessed = hands.filter(({ call }) => call !== 'not-assessable').length
  const before = hands.length - input.decisions.length
  return {
    ...common(input),
    id,
    text: narrative(`${swollen} of ${assessed} hand and wrist joints swollen, by examination. Not a 28-joint count.`),
    identifier: [{ system: RESULT_ID, value: id }],
    code: { coding: [term('count', 'hand-sjc-22-exam')], text: 'Swollen joint count, hands and wrists (clinical examination)' },
    ...(assessed > 0
      ? { valueQuantity: { value: swollen, unit: 'joints', system: UCUM, code: '{#}' } }
      : { dataAbsentReason: { coding: [statusTerm('not-performed')], text: 'No hand joint could be assessed' } }),
    note: [
      { text: 'Hands and wrists only: shoulders, elbows and knees are not part of this count.' },
      ...(before > 0 ? [{ text: `${before} of the ${hands.length} joints were signed earlier, by whoever each names.` }] : [])
    ],
    hasMember: hands.map(({ reference }) => ({ reference }))
  }
}

const FOUND = {
  tender: { code: termFor('count', 'which joint is tender (value = the joint)'), words: 'Tender joint' },
  swollen: { code: termFor('count', 'which joint is swollen (value = the joint; Property Anat, Scale Nom)'), words: 'Swollen joint' }
} as const

/** A joint found tender or swollen on examination: the value is the joint (terminology section 2). Without a method, as the numbers. */
function foundJoint(kind: keyof typeof FOUND, { side, joint }: JointOf28, input: ClinicianInput): Observation {
  const { code, words } = FOUND[kind]
  const id = foundId(kind, { side, joint }, input)
  const site = isHandJoint(joint) ? jointSite(side, joint) : largeJointSite(side, joint)
  return {
    ...common(input),
    id,
    text: narrative(`${words}: ${site.text}, by examination.`),
    identifier: [{ system: RESULT_ID, value: id }],
    code: { coding: [code], text: `${words} (clinical examination)` },
    valueCodeableConcept: site
  }
}

const ENTERED: readonly { input: keyof ActivityInputs; code: Coding; unit: string; ucum: string }[] = [
  { input: 'swollenJointCount28', code: termFor('count', 'swollen joint count (clinician, 28 joints)'), unit: 'joints', ucum: '{#}' },
  { input: 'tenderJointCount28', code: termFor('count', 'tender joint count (clinician, 28 joints)'), unit: 'joints', ucum: '{#}' },
  { input: 'patientGlobal', code: termFor('score', 'patient global assessment 0-10'), unit: 'score', ucum: '{score}' },
  { input: 'physicianGlobal', code: termFor('score', 'physician global assessment 0-10'), unit: 'score', ucum: '{score}' }
]
const SCORE_CODES: Readonly<Record<ActivityIndex, Coding>> = {
  CDAI: termFor('score', 'CDAI total'),
  SDAI: termFor('score', 'SDAI total'),
  'DAS28-CRP': term('score', 'das28-crp'),
  'DAS28-ESR': term('score', 'das28-esr')
}
const LABORATORY = [
  { input: 'crpMgPerL', code: termFor('lab', 'CRP'), ucum: 'mg/L' },
  { input: 'esrMmPerH', code: termShown('lab', 'Erythrocyte sedimentation rate'), ucum: 'mm/h' }
] as const

/** Counts and globals as entered (the clinician's 28-joint count may carry its LOINC code), then every score that is complete. */
function activityObservations(input: ClinicianInput, counted: { readonly tender: readonly string[]; readonly swollen: readonly string[] }): readonly Observation[] {
  const { activity } = input
  if (!activity) return []
  const entered = ENTERED.flatMap(({ input: name, code, unit, ucum }) => {
    const value = activity[name]
    if (value === undefined) return []
    const members = name === 'tenderJointCount28' ? counted.tender : name === 'swollenJointCount28' ? counted.swollen : []
    // The joints stand beside the count only when they are the ones that were counted.
    const hasMember = members.length === value ? members.map((reference) => ({ reference })) : []
    return [{ ...numberObservation(name, { coding: [code] }, value, unit, ucum, input), ...(hasMember.length > 0 ? { hasMember } : {}) }]
  })
  const scores = activityScores(activity).flatMap((score) => score.kind === 'missing' ? [] : [{
    ...numberObservation(score.index, { coding: [SCORE_CODES[score.index]], text: score.index }, score.value, 'score', '{score}', input),
    note: [{ text: `${score.index} = ${score.formula}: ${score.category} disease activity. From the clinician's examination; not from a photograph.` }],
    derivedFrom: INPUTS_OF[score.index].filter((name) => ENTERED.some(({ input: entry }) => entry === name)).map((name) => ({ reference: `Observation/${numberId(name, input)}` })),
    ...(score.index === 'CDAI' ? {} : laboratoryComponents(score.index, activity))
  }])
  return [...entered, ...scores]
}

/** Without a method (R4 takes one at most): no term of ours says that AI suggestions were on the screen for what they tell nothing about. */
function numberObservation(
  name: string, code: CodeableConcept, value: number, unit: string, ucum: string, input: ClinicianInput
): Observation {
  const id = numberId(name, input)
  return {
    ...common(input),
    id,
    text: narrative(`${code.text ?? code.coding?.[0]?.display ?? name}: ${value}`),
    identifier: [{ system: RESULT_ID, value: id }],
    code,
    valueQuantity: { value, unit, system: UCUM, code: ucum }
  }
}

/** The laboratory value a score was made with. */
function laboratoryComponents(index: ActivityIndex, activity: ActivityInputs): { component?: ObservationComponent[] } {
  const used = LABORATORY.filter(({ input }) => (input === 'esrMmPerH') === (index === 'DAS28-ESR'))
  const component = used.flatMap(({ input, code, ucum }): ObservationComponent[] => {
    const value = activity[input]
    return value === undefined ? [] : [{ code: { coding: [code] }, valueQuantity: { value, unit: ucum, system: UCUM, code: ucum } }]
  })
  return component.length > 0 ? { component } : {}
}

function verifierProvenance(targets: readonly string[], input: ClinicianInput): Provenance {
  return {
    resourceType: 'Provenance',
    text: narrative('Clinician review of an AI suggestion'),
    target: targets.map((reference) => ({ reference })),
    occurredDateTime: input.signed,
    recorded: input.signed,
    reason: [{ coding: [aiTerm('CLINAST')] }],
    activity: { coding: [aiTerm('CREATE')] },
    agent: [{ type: { coding: [aiTerm('verifier')] }, who: { reference: input.performer } }],
    ...(input.photos.length > 0
      ? { entity: photoReferences(input.photos).map((what) => ({ role: 'source' as const, what })) }
      : {})
  }
}

/** Every resource a signature would create, for the preview before it; none where all of it stands already. */
export function previewOf(resources: ClinicianResources): readonly FhirResource[] {
  const { observations } = resources
  if (observations.length === 0) return []
  return [...observations, resources.provenance(observations.map(({ id }) => `Observation/${id}`))]
}
