import type { Screening } from './screening.ts'

/** A result as it is stored; its state, what was written of it and whether it was accepted change, the rest never. */
export type Result = Omit<Screening, 'state' | 'written' | 'accepted'>

export interface ScreeningRow extends Readonly<Record<string, unknown>> {
  readonly state: Screening['state']
  readonly data: Result
  readonly written: readonly string[]
  readonly accepted_at?: Date | null
}

/** Of the screenings of a day one speaks, the newest that was not withdrawn. */
export const SPEAKS = 'not superseded and withdrawn_code is null'

export function screeningOf({ state, data, written, accepted_at: accepted }: Pick<ScreeningRow, 'state' | 'data' | 'written' | 'accepted_at'>): Screening {
  return { ...data, state, written, ...(accepted ? { accepted: accepted.toISOString() } : {}) }
}
