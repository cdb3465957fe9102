/**
 * Disease activity indices of rheumatoid arthritis from what a clinician entered (method/clinical.md section 2). A photo fills
 * in none of these inputs: the 28-joint counts need palpation of all 28 joints, tenderness and globals come from people.
 */

export const ACTIVITY_INDICES = ['CDAI', 'SDAI', 'DAS28-CRP', 'DAS28-ESR'] as const
export type ActivityIndex = (typeof ACTIVITY_INDICES)[number]
export type ActivityCategory = 'remission' | 'low' | 'moderate' | 'high'

export interface ActivityInputs {
  /** Tender and swollen joints of the 28-joint set, 0..28. */
  readonly tenderJointCount28?: number
  readonly swollenJointCount28?: number
  /** Global assessments of disease activity, 0..10 cm. */
  readonly patientGlobal?: number
  readonly physicianGlobal?: number
  /** mg/L (SDAI converts to mg/dL). */
  readonly crpMgPerL?: number
  /** mm/h, at least 1 (its logarithm is taken). */
  readonly esrMmPerH?: number
}

/** The inputs that count joints. */
export const COUNTS_28 = ['swollenJointCount28', 'tenderJointCount28'] as const

export type ActivityScore = { readonly index: ActivityIndex; readonly formula: string } & (
  | { readonly kind: 'computed'; readonly value: number; readonly category: ActivityCategory }
  | { readonly kind: 'missing'; readonly missing: readonly (keyof ActivityInputs)[] }
)

type Input = keyof ActivityInputs
type Complete = Required<ActivityInputs>

const RANGES: Readonly<Record<Input, readonly [number, number]>> = {
  tenderJointCount28: [0, 28],
  swollenJointCount28: [0, 28],
  patientGlobal: [0, 10],
  physicianGlobal: [0, 10],
  crpMgPerL: [0, 1000],
  esrMmPerH: [1, 200]
}

interface Rule {
  readonly formula: string
  readonly inputs: readonly Input[]
  /** Upper ends of remission, low and moderate. DAS28 remission is below its end, the others include it. */
  readonly cuts: readonly [number, number, number]
  readonly remissionBelow?: true
  value(inputs: Complete): number
}

const COUNTS = ['tenderJointCount28', 'swollenJointCount28'] as const

const RULES: Readonly<Record<ActivityIndex, Rule>> = {
  CDAI: {
    formula: 'TJC28 + SJC28 + PtGA + PhGA',
    inputs: [...COUNTS, 'patientGlobal', 'physicianGlobal'],
    cuts: [2.8, 10, 22],
    value: (i) => i.tenderJointCount28 + i.swollenJointCount28 + i.patientGlobal + i.physicianGlobal
  },
  SDAI: {
    formula: 'TJC28 + SJC28 + PtGA + PhGA + CRP (mg/dL)',
    inputs: [...COUNTS, 'patientGlobal', 'physicianGlobal', 'crpMgPerL'],
    cuts: [3.3, 11, 26],
    value: (i) => i.tenderJointCount28 + i.swollenJointCount28 + i.patientGlobal + i.physicianGlobal + i.crpMgPerL / 10
  },
  'DAS28-CRP': {
    formula: '0.56·√TJC28 + 0.28·√SJC28 + 0.36·ln(CRP mg/L + 1) + 0.014·GH (0–100) + 0.96',
    inputs: [...COUNTS, 'patientGlobal', 'crpMgPerL'],
    cuts: [2.6, 3.2, 5.1],
    remissionBelow: true,
    value: (i) => jointPart(i) + 0.36 * Math.log(i.crpMgPerL + 1) + 0.14 * i.patientGlobal + 0.96
  },
  'DAS28-ESR': {
    formula: '0.56·√TJC28 + 0.28·√SJC28 + 0.70·ln(ESR mm/h) + 0.014·GH (0–100)',
    inputs: [...COUNTS, 'patientGlobal', 'esrMmPerH'],
    cuts: [2.6, 3.2, 5.1],
    remissionBelow: true,
    value: (i) => jointPart(i) + 0.7 * Math.log(i.esrMmPerH) + 0.14 * i.patientGlobal
  }
}

/** What each index is made of, and of nothing else. */
export const INPUTS_OF = Object.fromEntries(ACTIVITY_INDICES.map((index) => [index, RULES[index].inputs])) as Readonly<Record<ActivityIndex, readonly Input[]>>

/** From the lowest to the highest value that each input can have. */
export const rangeOf = (name: Input): readonly [number, number] => RANGES[name]

export function isInRange(name: Input, value: number): boolean {
  const [low, high] = RANGES[name]
  return value >= low && value <= high && (!name.endsWith('Count28') || Number.isInteger(value))
}

/** All four indices; one whose inputs are not all there names them instead of guessing. Throws RangeError for a value out of range. */
export function activityScores(inputs: ActivityInputs): readonly ActivityScore[] {
  for (const [name, value] of Object.entries(inputs)) checkRange(name as Input, value as number | undefined)
  return ACTIVITY_INDICES.map((index): ActivityScore => {
    const rule = RULES[index]
    const missing = rule.inputs.filter((name) => inputs[name] === undefined)
    if (missing.length > 0) return { index, formula: rule.formula, kind: 'missing', missing }
    const value = Math.round(rule.value(inputs as Complete) * 100) / 100
    return { index, formula: rule.formula, kind: 'computed', value, category: categoryOf(value, rule) }
  })
}

function jointPart({ tenderJointCount28, swollenJointCount28 }: Complete): number {
  return 0.56 * Math.sqrt(tenderJointCount28) + 0.28 * Math.sqrt(swollenJointCount28)
}

function categoryOf(value: number, { cuts: [remission, low, moderate], remissionBelow }: Rule): ActivityCategory {
  if (remissionBelow ? value < remission : value <= remission) return 'remission'
  if (value <= low) return 'low'
  return value <= moderate ? 'moderate' : 'high'
}

function checkRange(name: Input, value: number | undefined): void {
  if (value === undefined || isInRange(name, value)) return
  const [low, high] = RANGES[name]
  throw new RangeError(`Expected ${name} from ${low} to ${high} but received ${value}`)
}
