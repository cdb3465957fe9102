import type { Screening } from './screening.ts'

/** A result as it is stored; its state, what was written of it and what people did with it change, the rest never. */
export type Result = Omit<Screening, 'state' | 'written' | 'accepted' | 'signed' | 'setAside'>

export interface ScreeningRow extends Readonly<Record<string, unknown>> {
  readonly state: Screening['state']
  readonly data: Result
  readonly written: readonly string[]
  readonly accepted_at?: Date | null
  readonly signed_at?: Date | null
  readonly set_aside?: NonNullable<Screening['setAside']>
}

export const COLUMNS = 'state, data, written, accepted_at, signed_at, set_aside'

/** Of the screenings of a day one speaks, the newest that was not withdrawn. */
export const SPEAKS = 'not superseded and withdrawn_code is null'

export function screeningOf({ state, data, written, accepted_at: accepted, signed_at: signed, set_aside: setAside = {} }: ScreeningRow): Screening {
  return {
    ...data, state, written,
    ...(accepted ? { accepted: accepted.toISOString() } : {}), ...(signed ? { signed: signed.toISOString() } : {}),
    ...(Object.keys(setAside).length > 0 ? { setAside } : {})
  }
}
