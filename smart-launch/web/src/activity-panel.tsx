import { useEffect, useMemo, useState } from 'react'
import { activityScores, type ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { LARGE_JOINTS, LATERALITIES, type LargeJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { ContextView } from './api.ts'
import { countedValue, LaboratoryField } from './laboratory-field.tsx'
import { useWords } from './words.ts'

const GLOBALS = ['patientGlobal', 'physicianGlobal'] as const
const LABORATORY = ['crpMgPerL', 'esrMmPerH'] as const
type Typed = Partial<Record<(typeof GLOBALS)[number] | (typeof LABORATORY)[number], string>>

type LargeAt = { readonly side: Laterality; readonly joint: LargeJoint }
export interface LargeFindings { readonly swollen: readonly LargeAt[]; readonly tender: readonly LargeAt[] }

export interface ActivityPanelProps {
  /** Hand joints the clinician called swollen, and marked tender. */
  readonly handSwollen: number
  readonly handTender: number
  /** Hand joints that the clinician could not assess: with one of them there is no 28-joint count. */
  readonly handNotAssessable: number
  /** What the record holds; undefined while it is read. */
  readonly context: ContextView | undefined
  onChange(inputs: ActivityInputs | undefined): void
  onLarge(found: LargeFindings): void
}

/** What no photo shows, entered by the clinician: large joints, tenderness, globals and laboratory. Scores name what is missing. */
export function ActivityPanel({ handSwollen, handTender, handNotAssessable, context, onChange, onLarge }: ActivityPanelProps) {
  const w = useWords()
  const [examined, setExamined] = useState(false)
  const [large, setLarge] = useState<ReadonlySet<string>>(new Set())
  const [typed, setTyped] = useState<Typed>({})
  const inputs = useMemo(() => collect(examined && handNotAssessable === 0, handSwollen, handTender, large, withRecord(typed, context)), [examined, handNotAssessable, handSwollen, handTender, large, typed, context])
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
  useEffect(() => onLarge({ swollen: markedIn(large, 'swollen'), tender: markedIn(large, 'tender') }), [large, onLarge])
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
          <tbody>{LARGE_JOINTS.flatMap((joint) => LATERALITIES.map((side) => (
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
          <p className="examined" role="status">
            {examined && handNotAssessable > 0 ? w.notAssessable28(handNotAssessable) : w.counted(handSwollen + markedIn(large, 'swollen').length, handTender + markedIn(large, 'tender').length)}
          </p>
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

function markedIn(large: ReadonlySet<string>, kind: 'swollen' | 'tender'): readonly LargeAt[] {
  return LATERALITIES.flatMap((side) => LARGE_JOINTS.flatMap((joint) => (large.has(`${side}-${joint}-${kind}`) ? [{ side, joint }] : [])))
}

function without(typed: Typed, name: keyof Typed, value: string | undefined): Typed {
  const { [name]: _before, ...rest } = typed
  return value === undefined ? rest : { ...rest, [name]: value }
}

function withRecord(typed: Typed, context: ContextView | undefined): Typed {
  return { ...typed, ...Object.fromEntries(LABORATORY.map((name) => [name, countedValue(typed[name], context?.laboratory?.[name])])) }
}

function collect(examined: boolean, handSwollen: number, handTender: number, large: ReadonlySet<string>, typed: Typed): ActivityInputs {
  return {
    ...(examined ? { swollenJointCount28: handSwollen + markedIn(large, 'swollen').length, tenderJointCount28: handTender + markedIn(large, 'tender').length } : {}),
    ...Object.fromEntries(Object.entries(typed).flatMap(([name, value]) => value ? [[name, Number(value)]] : []))
  }
}
