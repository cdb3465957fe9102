import type { Screening } from './screening.ts'

/** A result as it is stored; its state and what was written of it change, the rest never. */
export type Result = Omit<Screening, 'state' | 'written'>

export interface ScreeningRow extends Readonly<Record<string, unknown>> {
  readonly state: Screening['state']
  readonly data: Result
  readonly written: readonly string[]
}

/** Of the screenings of a day one speaks, the newest that was not withdrawn. */
export const SPEAKS = 'not superseded and withdrawn_code is null'

export function screeningOf({ state, data, written }: Pick<ScreeningRow, 'state' | 'data' | 'written'>): Screening {
  return { ...data, state, written }
}
