import { useMemo } from 'react'
import { activityScores, type ActivityInputs, type ActivityScore } from '../../../src/joints/activity-scores.ts'
import { LARGE_JOINTS, LATERALITIES } from '../../../src/joints/hand-joint.ts'
import type { ContextView } from './api.ts'
import { countedValue, LaboratoryField } from './laboratory-field.tsx'
import { countsOf, toggled, type TypedName, type Work } from './work.ts'
import { useWords } from './words.ts'

const GLOBALS = ['patientGlobal', 'physicianGlobal'] as const
const LABORATORY = ['crpMgPerL', 'esrMmPerH'] as const

export interface ActivityPanelProps {
  readonly work: Work
  /** What the record holds; undefined while it is read. */
  readonly context: ContextView | undefined
  readonly activity: Activity
  onWork(work: Work): void
}

/** Inputs as entered and the scores that they make; `scores` is absent when a number is outside its range. */
export interface Activity {
  readonly inputs: ActivityInputs
  readonly counts: ReturnType<typeof countsOf>
  readonly scores?: readonly ActivityScore[]
  /** Something was entered here, so that there is something to sign. A laboratory value alone, filled in from the record, is not. */
  readonly entered: boolean
}

/** `calls`: the clinician's own and what was signed before, since a joint that was signed as swollen counts. */
export function useActivity(work: Work, calls: Work['calls'], context: ContextView | undefined): Activity {
  return useMemo(() => {
    const counts = countsOf({ ...work, calls })
    const inputs = inputsOf(work, counts, context)
    const entered = work.examinedAll || Object.values(work.typed).some((value) => value !== '')
    try {
      return { inputs, counts, scores: activityScores(inputs), entered }
    } catch {
      return { inputs, counts, entered }
    }
  }, [work, calls, context])
}

/** What no photo shows, entered by the clinician: large joints, tenderness, globals and laboratory. Scores name what is missing. */
export function ActivityPanel({ work, context, activity: { scores, counts }, onWork }: ActivityPanelProps) {
  const w = useWords()
  const type = (name: TypedName, value: string | undefined) => {
    const { [name]: _before, ...rest } = work.typed
    onWork({ ...work, typed: value === undefined ? rest : { ...rest, [name]: value } })
  }
  return (
    <section className="activity" aria-label={w.activityTitle}>
      <h2>{w.activityTitle}</h2>
      <p>{w.activityLead}</p>
      <div className="activity-grid">
        <table>
          <tbody>{LARGE_JOINTS.flatMap((joint) => LATERALITIES.map((side) => (
            <tr key={`${side}-${joint}`}>
              <th scope="row">{w.place(w.side[side], w.large[joint])}</th>
              {(['swollen', 'tender'] as const).map((kind) => (
                <td key={kind}>
                  <label><input type="checkbox" checked={work[kind].has(`${side}-${joint}`)} onChange={() => onWork({ ...work, [kind]: toggled(work[kind], `${side}-${joint}`) })} /> {kind === 'swollen' ? w.swollenShort : w.tenderShort}</label>
                </td>
              ))}
            </tr>
          )))}</tbody>
        </table>
        <div className="fields">
          {GLOBALS.map((name) => (
            <label key={name}>{w.inputs[name]}
              <input type="number" inputMode="decimal" min={0} max={10} step="any" value={work.typed[name] ?? ''} onChange={(event) => type(name, event.target.value || undefined)} />
            </label>
          ))}
          {LABORATORY.map((name) => (
            <LaboratoryField key={name} label={w.inputs[name]} typed={work.typed[name]} record={context?.laboratory?.[name]} onType={(value) => type(name, value)} />
          ))}
          {context?.absent.laboratory && <p className="absent">{w.noLaboratory[context.absent.laboratory]}</p>}
          <label className="examined"><input type="checkbox" checked={work.examinedAll} onChange={() => onWork({ ...work, examinedAll: !work.examinedAll })} /> {w.examinedAll}</label>
          <p className="examined" role="status">
            {work.examinedAll && counts.notAssessable > 0 ? w.notAssessable28(counts.notAssessable) : w.counted(counts.swollen, counts.tender)}
          </p>
        </div>
      </div>
      {scores
        ? <ul className="scores">{scores.map((score) => (
            <li key={score.index} className={score.kind}>
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

/** The 28-joint counts only when all 28 joints were examined and none of the hands' was called not assessable. */
function inputsOf(work: Work, counts: Activity['counts'], context: ContextView | undefined): ActivityInputs {
  const typed = { ...work.typed, ...Object.fromEntries(LABORATORY.map((name) => [name, countedValue(work.typed[name], context?.laboratory?.[name])])) }
  return {
    ...(work.examinedAll && counts.notAssessable === 0 ? { swollenJointCount28: counts.swollen, tenderJointCount28: counts.tender } : {}),
    ...Object.fromEntries(Object.entries(typed).flatMap(([name, value]) => value ? [[name, Number(value)]] : []))
  }
}
