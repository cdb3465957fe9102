import { activityScores, COUNTS_28, isInRange, type ActivityInputs, type ActivityScore } from '../../../src/joints/activity-scores.ts'
import { isCurrent, type LaboratoryValue } from '../../../src/joints/laboratory.ts'
import { unwrittenLaboratory } from '../../unsigned.ts'
import type { ContextView, SignedNumber } from './api.ts'
import { countsOf, NOTHING_STANDS, standingOf, withStanding, type Standing, type TypedName, type Work } from './work.ts'

export const GLOBALS = ['patientGlobal', 'physicianGlobal'] as const
export const LABORATORY = ['crpMgPerL', 'esrMmPerH'] as const

/** Why nobody can count the 28 joints now: what was signed before may be part of them. */
export type Uncountable = 'reading' | 'not-granted' | 'failed'

/** Inputs as entered and the scores that they make. A typed value outside its range is no input. */
export interface Activity {
  readonly inputs: ActivityInputs
  readonly counts: ReturnType<typeof countsOf>
  readonly scores: readonly ActivityScore[]
  /** Typed values outside the range of what they are. */
  readonly faulty: readonly TypedName[]
  readonly uncountable?: Uncountable
  readonly standing: Standing
  /** Something was entered here, so that there is something to sign. A laboratory value is signed within a score only. */
  readonly entered: boolean
  /** Typed laboratory values that no score is made with: a signature does not write them. */
  readonly unwritten: readonly (typeof LABORATORY)[number][]
}

/**
 * `context` is undefined while it is read. A global that stands signed of this examination is an input as long as no other one is typed. A correction
 * holds all that shall stand: nothing that was signed counts beside it.
 */
export function activityOf(work: Work, context: ContextView | undefined, now = Date.now()): Activity {
  const uncountable = work.corrects || context?.signed ? undefined : context === undefined ? 'reading' : context.absent.signed ?? 'failed'
  const standing = work.corrects || !context?.signed ? NOTHING_STANDS : standingOf(context.signed)
  const counts = countsOf(withStanding(work, standing))
  const typed = { ...work.typed, ...Object.fromEntries(LABORATORY.map((name) => [name, countedValue(name, work.typed[name], context?.laboratory?.[name], now)])) }
  const numbers = Object.entries(typed).flatMap(([name, value]) => (value ? [[name as TypedName, Number(value)] as const] : []))
  const isCounted = work.examinedAll && counts.notAssessable === 0 && uncountable === undefined
  const standingGlobals = work.corrects ? [] : (context?.signed?.numbers ?? []).filter(({ name, sameExamination }) => sameExamination && GLOBALS.some((one) => one === name && !work.typed[one]))
  const inputs: ActivityInputs = {
    ...(isCounted ? { swollenJointCount28: counts.swollen, tenderJointCount28: counts.tender } : {}),
    ...Object.fromEntries(standingGlobals.map(({ name, value }) => [name, value])),
    ...Object.fromEntries(numbers.filter(([name, value]) => isInRange(name, value)))
  }
  const scores = activityScores(inputs)
  return {
    inputs, counts, scores, faulty: numbers.filter(([name, value]) => !isInRange(name, value)).map(([name]) => name),
    ...(uncountable ? { uncountable } : {}), standing, entered: work.examinedAll || GLOBALS.some((name) => work.typed[name]),
    unwritten: work.corrects ? [] : unwrittenLaboratory(work.typed, inputs)
  }
}

/** The value that counts: what was typed, otherwise the record's when it is of these days and possible. */
export function countedValue(name: (typeof LABORATORY)[number], typed: string | undefined, record: LaboratoryValue | undefined, now = Date.now()): string {
  if (typed !== undefined) return typed
  return record?.value !== undefined && isInRange(name, record.value) && isCurrent(record, now) ? String(record.value) : ''
}

/** A number that stands signed, and what would stand instead; none where no 28-joint count could be given any more. */
export interface NumberConflict { readonly signed: SignedNumber; readonly now?: number }

/**
 * Numbers that say something else than what was signed. They are not written over: they are corrected, or what was signed stays. A 28-joint count
 * that stands is another one as soon as more of its joints are marked.
 */
export function numberConflicts(work: Work, { inputs, scores, counts, uncountable, entered }: Activity, signed: readonly SignedNumber[]): readonly NumberConflict[] {
  if (work.corrects) return []
  return signed.flatMap((one): NumberConflict[] => {
    const now = nowOf(one)
    return now === undefined || now === one.value ? [] : [{ signed: one, ...(now === 'none' ? {} : { now }) }]
  })
  function nowOf({ name, sameExamination }: SignedNumber): number | 'none' | undefined {
    const score = scores.find(({ index }) => index === name)
    if (score) return entered && score.kind === 'computed' ? score.value : undefined
    const isCount = COUNTS_28.some((count) => count === name)
    const entry = inputs[name as keyof ActivityInputs]
    if (!isCount || entry !== undefined) return entered ? entry : undefined
    if (!sameExamination || uncountable) return undefined
    return counts.notAssessable > 0 ? 'none' : name === 'swollenJointCount28' ? counts.swollen : counts.tender
  }
}
