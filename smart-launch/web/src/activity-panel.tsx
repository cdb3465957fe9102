import { useEffect, useMemo, useState } from 'react'
import { activityScores, type ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { LATERALITIES } from '../../../src/joints/hand-joint.ts'
import { useWords, type LargeJoint } from './words.ts'

const LARGE: readonly LargeJoint[] = ['shoulder', 'elbow', 'knee']
const TYPED = ['patientGlobal', 'physicianGlobal', 'crpMgPerL', 'esrMmPerH'] as const

export interface ActivityPanelProps {
  /** Hand joints the clinician called swollen, and marked tender. */
  readonly handSwollen: number
  readonly handTender: number
  onChange(inputs: ActivityInputs | undefined): void
}

/** What no photo shows, entered by the clinician: large joints, tenderness, globals and laboratory. Scores name what is missing. */
export function ActivityPanel({ handSwollen, handTender, onChange }: ActivityPanelProps) {
  const w = useWords()
  const [examined, setExamined] = useState(false)
  const [large, setLarge] = useState<ReadonlySet<string>>(new Set())
  const [typed, setTyped] = useState<Partial<Record<(typeof TYPED)[number], string>>>({})
  const inputs = useMemo(() => collect(examined, handSwollen, handTender, large, typed), [examined, handSwollen, handTender, large, typed])
  const scores = useMemo(() => {
    try {
      return activityScores(inputs)
    } catch {
      return undefined
    }
  }, [inputs])
  useEffect(() => onChange(scores && Object.keys(inputs).length > 0 ? inputs : undefined), [inputs, scores, onChange])
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
          {TYPED.map((name) => (
            <label key={name}>{w.inputs[name]}
              <input type="number" inputMode="decimal" min={0} step="any" value={typed[name] ?? ''} onChange={(event) => setTyped({ ...typed, [name]: event.target.value })} />
            </label>
          ))}
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

function collect(
  examined: boolean, handSwollen: number, handTender: number, large: ReadonlySet<string>, typed: Partial<Record<string, string>>
): ActivityInputs {
  const of = (kind: string) => [...large].filter((key) => key.endsWith(`-${kind}`)).length
  const numbers = Object.fromEntries(TYPED.flatMap((name) => typed[name] ? [[name, Number(typed[name])]] : []))
  return {
    ...(examined ? { swollenJointCount28: handSwollen + of('swollen'), tenderJointCount28: handTender + of('tender') } : {}),
    ...numbers
  }
}
