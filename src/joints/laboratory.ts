/** A laboratory value that an activity score takes, as the record holds it. */
export interface LaboratoryValue {
  /** In the unit of the score: CRP mg/L, ESR mm/h. Absent when the record's value cannot be taken as it is. */
  readonly value?: number
  /** As the record says it: `1.8 mg/dL`, `< 5 mg/L`. */
  readonly shown: string
  /** When the sample was taken, FHIR dateTime. */
  readonly at: string
}

/** Older than this, a value is shown but not filled in by itself. Own rule: disease activity is of one day. */
export const CURRENT_LABORATORY_DAYS = 30

export function isCurrent({ at }: Pick<LaboratoryValue, 'at'>, now: number): boolean {
  const age = now - Date.parse(at)
  return age > -86_400_000 && age <= CURRENT_LABORATORY_DAYS * 86_400_000
}

/** Unit → what to multiply with, by UCUM code. A unit that is not here is refused, never guessed (method: clinical, section 2). */
const TO_SCORE: Readonly<Record<'crpMgPerL' | 'esrMmPerH', Readonly<Record<string, number>>>> = {
  crpMgPerL: { 'mg/L': 1, 'mg/dL': 10 },
  esrMmPerH: { 'mm/h': 1 }
}
/** The same units as people and laboratories write them. */
const SPELLINGS: Readonly<Record<string, string>> = { 'mg/l': 'mg/L', 'mg/dl': 'mg/dL', 'mm/h': 'mm/h', 'mm/hr': 'mm/h', 'mm/1h': 'mm/h', 'mm/hour': 'mm/h' }

/** The value in the score's unit, rounded to two decimals; undefined for a unit that is unknown or missing. */
export function inScoreUnit(input: 'crpMgPerL' | 'esrMmPerH', value: number, unit: string | undefined): number | undefined {
  const factor = TO_SCORE[input][SPELLINGS[unit?.trim().toLowerCase() ?? ''] ?? '']
  return factor === undefined ? undefined : Math.round(value * factor * 100) / 100
}
