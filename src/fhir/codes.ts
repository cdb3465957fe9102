import { readFileSync } from 'node:fs'
import type { CodeableConcept, Coding } from 'fhir/r4.js'
import { lateralisedJointCode, type HandJoint, type LargeJoint, type Laterality } from '../joints/hand-joint.ts'

/** One term of codes.json, the registry every written code comes from (source, confidence and traps stand beside it there). */
interface RegistryTerm {
  readonly group: string
  readonly system: string
  readonly code: string
  readonly display: string
  readonly use: string
  readonly side?: 'L' | 'R'
  readonly cohort?: 'include' | 'optional' | 'exclude'
  readonly confidence: string
}
interface RegistryJoint {
  readonly code: string
  readonly display: string
  readonly text: string
  readonly snomedJointNoSide: string
  readonly snomedDisplay: string
}
interface Registry {
  readonly ownBase: string
  readonly joints: readonly RegistryJoint[]
  readonly extensions: readonly { readonly url: string }[]
  readonly codes: readonly RegistryTerm[]
}

const registry = JSON.parse(readFileSync(new URL('codes.json', import.meta.url), 'utf8')) as Registry

/** Canonical base of our own code systems and identifiers (a placeholder until we own one). */
export const OWN_BASE = registry.ownBase
export const RESULT_ID = `${OWN_BASE}/result-id`
export const REPORT_ID = `${OWN_BASE}/report-id`
/** Joints with their sides. */
export const JOINT_SYSTEM = `${OWN_BASE}/CodeSystem/hand-joint`
export const MODEL_SHA256 = `${OWN_BASE}/model-sha256`
export const UCUM = systemOf('unit')

/** The term with this code in this group; a code that the registry does not have is our mistake. */
export function term(group: string, code: string): Coding {
  return coding(registry.codes.find((one) => one.group === group && one.code === code), `${group} ${code}`)
}

/** For codes that are only numbers: the term by what it is used for. */
export function termFor(group: string, use: string, side?: Laterality): Coding {
  const wanted = side && letter(side)
  const found = registry.codes.find((one) => one.group === group && one.use === use && (!wanted || one.side === wanted))
  return coding(found, `${group} ${use}`)
}

/** The term with this display; for terms whose use does not tell them apart. */
export function termShown(group: string, display: string): Coding {
  return coding(registry.codes.find((one) => one.group === group && one.display === display), `${group} ${display}`)
}

/** Every term of this use that may be relied on; what stands in the registry from memory only is left out. */
export function termsFor(group: string, use: string): readonly Coding[] {
  const found = registry.codes.filter((one) => one.group === group && one.use === use && one.confidence !== 'only memory')
  if (found.length === 0) throw new Error(`Expected ${group} ${use} in codes.json`)
  return found.map((one) => coding(one, use))
}

export const observationTerm = (code: string): Coding => own('observation', code)
export const methodTerm = (code: string): Coding => own('method', code)
export const aiTerm = (code: string): Coding => term('ai-and-provenance', code)
export const statusTerm = (code: string): Coding => term('status-and-category', code)
export const PRESENT = termFor('value', 'value: present')
export const ABSENT = termFor('value', 'value: absent')

/** Body site of one joint (terminology section 3): own lateralised code, SNOMED CT without side, side as extension and in text. */
export function jointSite(side: Laterality, joint: HandJoint): CodeableConcept {
  const code = lateralisedJointCode(side, joint)
  const entry = registry.joints.find((one) => one.code === code)
  if (!entry) throw new Error(`Expected joint ${code} in codes.json`)
  return {
    extension: [lateralityExtension(side)],
    coding: [
      { system: JOINT_SYSTEM, code: entry.code, display: entry.display },
      { system: PRESENT.system ?? '', code: entry.snomedJointNoSide, display: withoutTag(entry.snomedDisplay) }
    ],
    text: entry.text
  }
}

/** Shoulder, elbow or knee of one side. The registry has no code for them, so words and the side's extension say it. */
export function largeJointSite(side: Laterality, joint: LargeJoint): CodeableConcept {
  return { extension: [lateralityExtension(side)], text: `${side === 'left' ? 'Left' : 'Right'} ${joint}` }
}

function lateralityExtension(side: Laterality) {
  return { url: extensionUrl('laterality'), valueCodeableConcept: { coding: [termFor('laterality', 'laterality qualifier', side)] } }
}

export function extensionUrl(name: string): string {
  const found = registry.extensions.find(({ url }) => url.toLowerCase().includes(name.toLowerCase()))
  if (!found) throw new Error(`Expected extension ${name} in codes.json`)
  return found.url
}

/** Side of a hand, its back or one of its digits, by code: `system|code` → side. */
const handSites = new Map<string, Laterality | undefined>(registry.codes.filter(({ group }) => group === 'hand-and-digit')
  .map((one) => [`${one.system}|${one.code}`, one.side === 'L' ? 'left' : one.side === 'R' ? 'right' : undefined] as const))

/** `{ side }` for a coding that names a hand or a part of it (side undefined when the code has none), otherwise undefined. */
export function handSiteOf({ system, code }: Coding): { readonly side?: Laterality } | undefined {
  const key = `${system}|${code}`
  if (!handSites.has(key)) return undefined
  const side = handSites.get(key)
  return side ? { side } : {}
}

/** Side named by a laterality qualifier coding. */
export function lateralityOf({ code }: Coding): Laterality | undefined {
  const found = registry.codes.find((one) => one.group === 'laterality' && one.code === code)
  return found?.side === 'L' ? 'left' : found?.side === 'R' ? 'right' : undefined
}

function own(group: 'observation' | 'method', code: string): Coding {
  const system = `${OWN_BASE}/CodeSystem/${group}`
  return coding(registry.codes.find((one) => one.system === system && one.code === code), `${system} ${code}`)
}

function systemOf(group: string): string {
  const found = registry.codes.find((one) => one.group === group)
  if (!found) throw new Error(`Expected group ${group} in codes.json`)
  return found.system
}

function coding(found: RegistryTerm | undefined, wanted: string): Coding {
  if (!found) throw new Error(`Expected ${wanted} in codes.json`)
  return { system: found.system, code: found.code, display: withoutTag(found.display) }
}

/** SNOMED CT's semantic tag is for terminologists, not for a chart. */
function withoutTag(display: string): string {
  return display.replace(/ \((body structure|qualifier value|finding|disorder)\)$/, '')
}

const letter = (side: Laterality) => (side === 'left' ? 'L' : 'R')

const cohortCodes = new Set(registry.codes.filter((one) => one.group === 'cohort-ra' && one.cohort === 'include').map((one) => `${one.system}|${one.code}`))

/** True for a code of the rheumatoid arthritis cohort (terminology section 2, cohort: include); exact codes only. */
export function inCohort(system: string | undefined, code: string | undefined): boolean {
  return system !== undefined && code !== undefined && cohortCodes.has(`${system}|${code}`)
}

const dmards = registry.codes.filter(({ group }) => group === 'dmard')
/** Ingredient names without a last e, so that German names fit too; a brand name alone is not recognised. */
const dmardNames = [...new Set(dmards.map(({ display }) => display))].map((name) => ({ name, stem: new RegExp(`\\b${(name.split(' ')[0] ?? name).replace(/e$/, '')}`, 'i') }))

/** The disease-modifying drug that a medication is, by code of its ingredient or by the ingredient's name in its words. */
export function dmardIn({ text, coding: codings = [] }: CodeableConcept): string | undefined {
  const coded = codings.map(({ system, code }) => dmards.find((one) => one.system === system && one.code === code)?.display).find(Boolean)
  if (coded) return coded
  const words = [text, ...codings.map(({ display }) => display)].join(' ')
  return dmardNames.find(({ stem }) => stem.test(words))?.name
}
