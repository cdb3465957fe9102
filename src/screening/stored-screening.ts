import type { JointAt } from '../joints/hand-joint.ts'
import type { Screening } from './screening.ts'

/** A result as it is stored; its state, what was written of it and what people did with it change, the rest never. */
export type Result = Omit<Screening, 'state' | 'written' | 'accepted' | 'signed' | 'answered' | 'setAside'>

export interface ScreeningRow extends Readonly<Record<string, unknown>> {
  readonly state: Screening['state']
  readonly data: Result
  readonly written: readonly string[]
  readonly accepted_at?: Date | null
  readonly signed_at?: Date | null
  readonly answered?: readonly JointAt[]
  readonly answered_at?: Date | null
  readonly set_aside?: NonNullable<Screening['setAside']>
}

export const COLUMNS = 'state, data, written, accepted_at, signed_at, answered, answered_at, set_aside'

/** Of the screenings of a day one speaks, the newest that was not withdrawn. */
export const SPEAKS = 'not superseded and withdrawn_code is null'

export function screeningOf({ state, data, written, ...row }: ScreeningRow): Screening {
  const { accepted_at: accepted, signed_at: signed, answered = [], answered_at: answeredAt, set_aside: setAside = {} } = row
  return {
    ...data, state, written,
    ...(accepted ? { accepted: accepted.toISOString() } : {}), ...(signed ? { signed: signed.toISOString() } : {}),
    ...(answeredAt && answered.length > 0 ? { answered: { at: answeredAt.toISOString(), joints: answered } } : {}),
    ...(Object.keys(setAside).length > 0 ? { setAside } : {})
  }
}
