import { useId, useLayoutEffect, useRef } from 'react'
import { isInRange, rangeOf } from '../../../src/joints/activity-scores.ts'
import { isCurrent, type LaboratoryValue } from '../../../src/joints/laboratory.ts'
import { countedValue } from './activity.ts'
import type { LaboratoryName } from './api.ts'
import { dayOf } from './dates.ts'
import { useWords } from './words.ts'

export interface LaboratoryFieldProps {
  readonly name: LaboratoryName
  /** What was typed; undefined while the record's value stands. */
  readonly typed: string | undefined
  /** What was typed is outside the range. */
  readonly faulty: boolean
  readonly record: LaboratoryValue | undefined
  onType(value: string | undefined): void
}

/** CRP or ESR: filled in from the record with its date and unit as they stand there; typing replaces it, and it can be taken back. */
export function LaboratoryField({ name, typed, faulty, record, onType }: LaboratoryFieldProps) {
  const w = useWords()
  const id = useId()
  const [low, high] = rangeOf(name)
  const usable = record?.value !== undefined && isInRange(name, record.value)
  const current = record !== undefined && usable && isCurrent(record, Date.now())
  const value = countedValue(name, typed, record)
  const input = useRef<HTMLInputElement>(null)
  // The record's value may come when someone is about to type: what is typed then replaces it, and is not written behind it.
  useLayoutEffect(() => { if (typed === undefined && input.current === document.activeElement) input.current?.select() }, [typed, value])
  return (
    <div className="laboratory">
      <label>{w.inputs[name]}
        <input ref={input} type="number" inputMode="decimal" min={low} max={high} step="any" value={value} aria-invalid={faulty} aria-describedby={id} onChange={(event) => onType(event.target.value)} />
      </label>
      <div id={id}>
        {faulty && <p className="fault" role="alert">{w.outOfRangeOf(low, high)}</p>}
        {record && (
          <p>
            {w.record}: {record.shown}, {dayOf(w, record.at)}.{' '}
            {record.value === undefined ? w.unusableUnit : !usable ? w.unusableRange(low, high) : !current ? w.tooOld : typed === undefined ? w.filledIn : ''}
            {usable && (typed !== undefined || !current) && (
              <button type="button" className="quiet" onClick={() => onType(current ? undefined : String(record.value))}>{w.useRecord}</button>
            )}
          </p>
        )}
      </div>
    </div>
  )
}
