import { useEffect, useMemo, useState } from 'react'
import { activityScores, type ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { LATERALITIES } from '../../../src/joints/hand-joint.ts'
import type { ContextView } from './api.ts'
import { countedValue, LaboratoryField } from './laboratory-field.tsx'
import { useWords, type LargeJoint } from './words.ts'

const LARGE: readonly LargeJoint[] = ['shoulder', 'elbow', 'knee']
const GLOBALS = ['patientGlobal', 'physicianGlobal'] as const
const LABORATORY = ['crpMgPerL', 'esrMmPerH'] as const
type Typed = Partial<Record<(typeof GLOBALS)[number] | (typeof LABORATORY)[number], string>>

export interface ActivityPanelProps {
  /** Hand joints the clinician called swollen, and marked tender. */
  readonly handSwollen: number
  readonly handTender: number
  /** What the record holds; undefined while it is read. */
  readonly context: ContextView | undefined
  onChange(inputs: ActivityInputs | undefined): void
}

/** What no photo shows, entered by the clinician: large joints, tenderness, globals and laboratory. Scores name what is missing. */
export function ActivityPanel({ handSwollen, handTender, context, onChange }: ActivityPanelProps) {
  const w = useWords()
  const [examined, setExamined] = useState(false)
  const [large, setLarge] = useState<ReadonlySet<string>>(new Set())
  const [typed, setTyped] = useState<Typed>({})
  const inputs = useMemo(() => collect(examined, handSwollen, handTender, large, withRecord(typed, context)), [examined, handSwollen, handTender, large, typed, context])
  const scores = useMemo(() => {
    try {
      return activityScores(inputs)
    } catch {
      return undefined
    }
  }, [inputs])
  const entered = examined || Object.values(typed).some((value) => value !== '')
  // A laboratory value alone, filled in from the record, is nothing that the clinician entered.
  useEffect(() => onChange(scores && entered ? inputs : undefined), [inputs, scores, entered, onChange])
  const toggle = (key: string) => {
    const next = new Set(large)
    if (!next.delete(key)) next.add(key)
    setLarge(next)
  }
  return (
    <section className="activity" aria-label={w.activityTitle}>
      <h2>{w.activityTitle}</h2>
      <p>{w.activityLead}</p>
      <div className="activity-grid">
        <table>
          <tbody>{LARGE.flatMap((joint) => LATERALITIES.map((side) => (
            <tr key={`${side}-${joint}`}>
              <th scope="row">{w.side[side]} {w.large[joint]}</th>
              {(['swollen', 'tender'] as const).map((kind) => (
                <td key={kind}>
                  <label><input type="checkbox" checked={large.has(`${side}-${joint}-${kind}`)} onChange={() => toggle(`${side}-${joint}-${kind}`)} /> {kind === 'swollen' ? w.swollenShort : w.tenderShort}</label>
                </td>
              ))}
            </tr>
          )))}</tbody>
        </table>
        <div className="fields">
          {GLOBALS.map((name) => (
            <label key={name}>{w.inputs[name]}
              <input type="number" inputMode="decimal" min={0} max={10} step="any" value={typed[name] ?? ''} onChange={(event) => setTyped({ ...typed, [name]: event.target.value })} />
            </label>
          ))}
          {LABORATORY.map((name) => (
            <LaboratoryField key={name} label={w.inputs[name]} typed={typed[name]} record={context?.laboratory?.[name]} onType={(value) => setTyped(without(typed, name, value))} />
          ))}
          {context?.absent.laboratory && <p className="absent">{w.noLaboratory[context.absent.laboratory]}</p>}
          <label className="examined"><input type="checkbox" checked={examined} onChange={() => setExamined(!examined)} /> {w.examinedAll}</label>
        </div>
      </div>
      {scores
        ? <ul className="scores">{scores.map((score) => (
            <li key={score.index}>
              <strong>{score.index}</strong> {score.kind === 'computed'
                ? <span className="value">{score.value.toLocaleString(w.locale)} · {w.category[score.category]}</span>
                : <span>{w.needs}: {score.missing.map((name) => w.inputs[name]).join(', ')}</span>}
              <small>{score.formula}</small>
            </li>
          ))}</ul>
        : <p role="alert">{w.outOfRange}</p>}
    </section>
  )
}

function without(typed: Typed, name: keyof Typed, value: string | undefined): Typed {
  const { [name]: _before, ...rest } = typed
  return value === undefined ? rest : { ...rest, [name]: value }
}

function withRecord(typed: Typed, context: ContextView | undefined): Typed {
  return { ...typed, ...Object.fromEntries(LABORATORY.map((name) => [name, countedValue(typed[name], context?.laboratory?.[name])])) }
}

function collect(examined: boolean, handSwollen: number, handTender: number, large: ReadonlySet<string>, typed: Typed): ActivityInputs {
  const of = (kind: string) => [...large].filter((key) => key.endsWith(`-${kind}`)).length
  return {
    ...(examined ? { swollenJointCount28: handSwollen + of('swollen'), tenderJointCount28: handTender + of('tender') } : {}),
    ...Object.fromEntries(Object.entries(typed).flatMap(([name, value]) => value ? [[name, Number(value)]] : []))
  }
}
