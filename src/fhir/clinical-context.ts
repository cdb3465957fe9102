import type { CodeableConcept, Coding, Medication, MedicationRequest, Observation, Quantity } from 'fhir/r4.js'
import { z } from 'zod'
import { ScreeningError } from '../errors.ts'
import type { ActivityIndex } from '../joints/activity-scores.ts'
import { inScoreUnit, type LaboratoryValue } from '../joints/laboratory.ts'
import { dmardIn, term, termFor, termsFor } from './codes.ts'
import { isOf } from './references.ts'
import type { FhirSession } from './session.ts'

export interface TreatmentStart {
  /** Ingredient. */
  readonly name: string
  /** The earliest start that the record says, FHIR dateTime. */
  readonly started: string
}

export interface SignedScore { readonly index: ActivityIndex; readonly value: number; readonly at: string }

export interface Laboratory { readonly crpMgPerL?: LaboratoryValue; readonly esrMmPerH?: LaboratoryValue }

type LaboratoryName = keyof Laboratory

const LABORATORY: Readonly<Record<LaboratoryName, readonly string[]>> = { crpMgPerL: codesOf(termsFor('lab', 'CRP')), esrMmPerH: codesOf(termsFor('lab', 'ESR')) }
const SCORES: Readonly<Record<ActivityIndex, string>> = {
  CDAI: codeOf(termFor('score', 'CDAI total')), SDAI: codeOf(termFor('score', 'SDAI total')),
  'DAS28-CRP': codeOf(term('score', 'das28-crp')), 'DAS28-ESR': codeOf(term('score', 'das28-esr'))
}
/** Where a server cannot search by code, everything that was ever observed comes back; the first pages must do. */
const PAGES_WITHOUT_CODE = 5
const FINAL = ['final', 'amended', 'corrected']
/** Drafts, plans and proposals are no treatment. */
const ORDERED = ['order', 'original-order', 'reflex-order', 'filler-order', 'instance-order']
const TAKEN = ['active', 'on-hold', 'completed', 'stopped']

/** When each disease-modifying drug of this patient was first ordered, oldest first. Throws ERR_EHR_*. */
export async function readTreatmentStarts(session: FhirSession, patientId: string): Promise<readonly TreatmentStart[]> {
  const query = await ofPatient(session, 'MedicationRequest', patientId)
  const found = await noneIfSaidTwice(() => session.search('MedicationRequest', query))
  const starts = new Map<string, string>()
  for (const request of found) {
    const name = isTreatment(session, request, patientId) ? dmardIn(medicationOf(request)) : undefined
    const started = name === undefined ? undefined : startOf(request)
    if (name === undefined || started === undefined) continue
    const before = starts.get(name)
    if (before === undefined || Date.parse(started) < Date.parse(before)) starts.set(name, started)
  }
  return [...starts].map(([name, started]) => ({ name, started })).sort((a, b) => Date.parse(a.started) - Date.parse(b.started))
}

/** The newest CRP and ESR of the record, and the activity scores that clinicians have signed, oldest first. Throws ERR_EHR_*. */
export async function readLaboratoryAndScores(
  session: FhirSession, patientId: string
): Promise<{ readonly laboratory: Laboratory; readonly scores: readonly SignedScore[] }> {
  const codes = [...Object.values(LABORATORY).flat(), ...Object.values(SCORES)]
  const byCode = (await session.capabilities()).canSearch('Observation', 'code')
  const query = { ...(await ofPatient(session, 'Observation', patientId)), ...(byCode ? { code: codes.join(',') } : {}) }
  const found = await noneIfSaidTwice(() => session.search('Observation', query, byCode ? {} : { maxPages: PAGES_WITHOUT_CODE }))
  const final = found.filter((one) => FINAL.includes(one.status) && isOf(session.tenant, one.subject?.reference, patientId))
  const [crpMgPerL, esrMmPerH] = [newest('crpMgPerL', final), newest('esrMmPerH', final)]
  return { laboratory: { ...(crpMgPerL ? { crpMgPerL } : {}), ...(esrMmPerH ? { esrMmPerH } : {}) }, scores: signedScores(final) }
}

/** “No treatment” and “no CRP” stand on the page as what the record says: one empty answer may be a replica's that is behind. */
async function noneIfSaidTwice<One>(search: () => Promise<readonly One[]>): Promise<readonly One[]> {
  const found = await search()
  return found.length > 0 ? found : search()
}

async function ofPatient(session: FhirSession, type: 'MedicationRequest' | 'Observation', patientId: string): Promise<Record<string, string>> {
  const capabilities = await session.capabilities()
  if (capabilities.canSearch(type, 'patient')) return { patient: patientId }
  if (capabilities.canSearch(type, 'subject')) return { subject: `Patient/${patientId}` }
  throw new ScreeningError('ERR_EHR_REFUSED', `Expected a server that searches ${type} by patient but its /metadata lists no such search`)
}

function isTreatment({ tenant }: FhirSession, { status, intent, doNotPerform, subject }: MedicationRequest, patientId: string): boolean {
  return TAKEN.includes(status) && ORDERED.includes(intent) && doNotPerform !== true && isOf(tenant, subject.reference, patientId)
}

/** A medication that is only referred to is known by its display, or by the contained resource. */
function medicationOf({ medicationCodeableConcept, medicationReference, contained }: MedicationRequest): CodeableConcept {
  if (medicationCodeableConcept) return medicationCodeableConcept
  const inside = contained?.find((one): one is Medication => one.resourceType === 'Medication' && medicationReference?.reference === `#${one.id}`)
  const text = medicationReference?.display
  return { ...inside?.code, ...(text ? { text } : {}) }
}

function startOf({ dosageInstruction, dispenseRequest, authoredOn }: MedicationRequest): string | undefined {
  const bounds = dosageInstruction?.map(({ timing }) => timing?.repeat?.boundsPeriod?.start).find(Boolean)
  return [bounds, dispenseRequest?.validityPeriod?.start, authoredOn].find((one) => !Number.isNaN(Date.parse(one ?? '')))
}

function newest(name: LaboratoryName, observations: readonly Observation[]): LaboratoryValue | undefined {
  return observations
    .filter((one) => hasCode(one, LABORATORY[name]))
    .flatMap((one) => laboratoryValue(name, one) ?? [])
    .sort((a, b) => Date.parse(b.at) - Date.parse(a.at))[0]
}

const measured = z.object({ value: z.number(), comparator: z.string().optional(), unit: z.string().optional(), code: z.string().optional() })

/** A value behind `<` or `>` is shown but is no number to calculate with. */
function laboratoryValue(name: LaboratoryName, observation: Observation): LaboratoryValue | undefined {
  const at = timeOf(observation)
  const quantity: z.infer<typeof measured> | undefined = measured.safeParse(observation.valueQuantity satisfies Quantity | undefined).data
  if (at === undefined || !quantity) return undefined
  const { comparator, unit, code } = quantity
  const value = comparator === undefined ? inScoreUnit(name, quantity.value, code ?? unit) : undefined
  const shown = [comparator, quantity.value, unit ?? code].filter((part) => part !== undefined).join(' ')
  return { ...(value === undefined ? {} : { value }), shown, at }
}

function signedScores(observations: readonly Observation[]): readonly SignedScore[] {
  return observations.flatMap((one): SignedScore[] => {
    const index = (Object.keys(SCORES) as ActivityIndex[]).find((name) => hasCode(one, [SCORES[name]]))
    const [at, value] = [timeOf(one), one.valueQuantity?.value]
    return index !== undefined && at !== undefined && value !== undefined ? [{ index, value, at }] : []
  }).sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
}

function timeOf({ effectiveDateTime, effectivePeriod, effectiveInstant, issued }: Observation): string | undefined {
  return [effectiveDateTime, effectiveInstant, effectivePeriod?.start, issued].find((one) => !Number.isNaN(Date.parse(one ?? '')))
}

function hasCode({ code }: Observation, wanted: readonly string[]): boolean {
  return code.coding?.some(({ system, code: value }) => wanted.includes(`${system}|${value}`)) ?? false
}

function codesOf(codings: readonly Coding[]): readonly string[] {
  return codings.map(codeOf)
}

function codeOf({ system, code }: Coding): string {
  return `${system}|${code}`
}
