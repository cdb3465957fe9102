import { useId } from 'react'
import { COUNTS_28, rangeOf } from '../../../src/joints/activity-scores.ts'
import { LARGE_JOINTS, LATERALITIES } from '../../../src/joints/hand-joint.ts'
import { GLOBALS, LABORATORY, type Activity } from './activity.ts'
import type { ContextView, SignedNumber } from './api.ts'
import { LaboratoryField } from './laboratory-field.tsx'
import { toggled, type TypedName, type Work } from './work.ts'
import { missingWords, numberName, signedNumberWords, signedPlaceWords, useWords } from './words.ts'

export interface ActivityPanelProps {
  readonly work: Work
  /** What the record holds; undefined while it is read. */
  readonly context: ContextView | undefined
  readonly activity: Activity
  onWork(work: Work): void
}

const KINDS = ['swollen', 'tender'] as const

/** What no photo shows, entered by the clinician: large joints, tenderness, globals and laboratory. Scores name what is missing. */
export function ActivityPanel({ work, context, activity: { scores, counts, faulty, uncountable, standing }, onWork }: ActivityPanelProps) {
  const w = useWords()
  const type = (name: TypedName, value: string | undefined) => {
    const { [name]: _before, ...rest } = work.typed
    onWork({ ...work, typed: value === undefined ? rest : { ...rest, [name]: value } })
  }
  const kinds = { swollen: w.swollenShort, tender: w.tenderShort }
  const numbers = context?.signed?.numbers ?? []
  const signedNumber = (name: SignedNumber['name']) => numbers.find((one) => one.name === name)
  return (
    <section className="activity" aria-label={w.activityTitle}>
      <h2>{w.activityTitle}</h2>
      <p>{w.activityLead}</p>
      <div className="activity-grid">
        <table>
          <thead><tr><td />{KINDS.map((kind) => <th key={kind} scope="col">{kinds[kind]}</th>)}</tr></thead>
          <tbody>{LARGE_JOINTS.flatMap((joint) => LATERALITIES.map((side) => (
            <tr key={`${side}-${joint}`}>
              <th scope="row">{w.place(w.side[side], w.large[joint])}</th>
              {KINDS.map((kind) => {
                const [key, before] = [`${side}-${joint}`, context?.signed?.[kind].find((one) => one.side === side && one.joint === joint)]
                const stands = standing[kind].has(key)
                return (
                  <td key={kind}>
                    <label title={before && signedPlaceWords(w, before, kinds[kind])}>
                      <input type="checkbox" checked={stands || work[kind].has(key)} disabled={stands} onChange={() => onWork({ ...work, [kind]: toggled(work[kind], key) })} /> <span className="visually-hidden">{kinds[kind]}</span>
                      {before && <small className="standing"> {w.legend.signed}</small>}
                    </label>
                  </td>
                )
              })}
            </tr>
          )))}</tbody>
        </table>
        <div className="fields">
          {GLOBALS.map((name) => (
            <GlobalField key={name} name={name} typed={work.typed[name]} faulty={faulty.includes(name)} signed={signedNumber(name)} onType={(value) => type(name, value)} />
          ))}
          {LABORATORY.map((name) => (
            <LaboratoryField key={name} name={name} typed={work.typed[name]} faulty={faulty.includes(name)} record={context?.laboratory?.[name]} onType={(value) => type(name, value)} />
          ))}
          {context?.absent.laboratory && <p className="absent">{w.noLaboratory[context.absent.laboratory]}</p>}
          <label className="examined"><input type="checkbox" checked={work.examinedAll} onChange={() => onWork({ ...work, examinedAll: !work.examinedAll })} /> {w.examinedAll}</label>
          <p className="examined" role="status">
            {uncountable ? w.uncountable[uncountable] : work.examinedAll && counts.notAssessable > 0 ? w.notAssessable28(counts.notAssessable) : w.counted(counts.swollen, counts.tender)}
          </p>
          {COUNTS_28.flatMap((name) => signedNumber(name) ?? []).map((one) => <p key={one.name} className="examined standing">{numberName(w, one.name)}. {signedNumberWords(w, one)}</p>)}
        </div>
      </div>
      <ul className="scores">{scores.map((score) => {
        const before = signedNumber(score.index)
        return (
          <li key={score.index} className={score.kind}>
            <strong>{score.index}</strong> {score.kind === 'computed'
              ? <span className="value">{score.value.toLocaleString(w.locale)} · {w.category[score.category]}</span>
              : <span>{w.needs}: {missingWords(w, score.missing)}</span>}
            <small>{score.formula}</small>
            {before && <small className="standing">{signedNumberWords(w, before)}</small>}
          </li>
        )
      })}</ul>
    </section>
  )
}

interface GlobalFieldProps {
  readonly name: (typeof GLOBALS)[number]
  readonly typed: string | undefined
  /** What was typed is outside the range. */
  readonly faulty: boolean
  readonly signed: SignedNumber | undefined
  onType(value: string | undefined): void
}

function GlobalField({ name, typed, faulty, signed, onType }: GlobalFieldProps) {
  const w = useWords()
  const id = useId()
  const [low, high] = rangeOf(name)
  return (
    <div className="global">
      <label>{w.inputs[name]}
        <input type="number" inputMode="decimal" min={low} max={high} step="any" value={typed ?? ''} aria-invalid={faulty} aria-describedby={id} onChange={(event) => onType(event.target.value || undefined)} />
      </label>
      <div id={id}>
        {faulty && <p className="fault" role="alert">{w.outOfRangeOf(low, high)}</p>}
        {signed && <p className="standing">{signedNumberWords(w, signed)}</p>}
      </div>
    </div>
  )
}
