import { isCurrent, type LaboratoryValue } from '../../../src/joints/laboratory.ts'
import { dayOf } from './dates.ts'
import { useWords } from './words.ts'

export interface LaboratoryFieldProps {
  readonly label: string
  /** What was typed; undefined while the record's value stands. */
  readonly typed: string | undefined
  readonly record: LaboratoryValue | undefined
  onType(value: string | undefined): void
}

/** The value that counts: what was typed, otherwise the record's when it is of these days. */
export function countedValue(typed: string | undefined, record: LaboratoryValue | undefined, now = Date.now()): string {
  if (typed !== undefined) return typed
  return record?.value !== undefined && isCurrent(record, now) ? String(record.value) : ''
}

/** CRP or ESR: filled in from the record with its date and unit as they stand there; typing replaces it, and it can be taken back. */
export function LaboratoryField({ label, typed, record, onType }: LaboratoryFieldProps) {
  const w = useWords()
  const current = record !== undefined && record.value !== undefined && isCurrent(record, Date.now())
  return (
    <div className="laboratory">
      <label>{label}
        <input type="number" inputMode="decimal" min={0} step="any" value={countedValue(typed, record)} onChange={(event) => onType(event.target.value)} />
      </label>
      {record && (
        <p>
          {w.record}: {record.shown}, {dayOf(w, record.at)}.{' '}
          {record.value === undefined ? w.unusableUnit : !current ? w.tooOld : typed === undefined ? w.filledIn : ''}
          {record.value !== undefined && (typed !== undefined || !current) && (
            <button type="button" className="quiet" onClick={() => onType(current ? undefined : String(record.value))}>{w.useRecord}</button>
          )}
        </p>
      )}
    </div>
  )
}
