import type { ActivityIndex } from '../../../src/joints/activity-scores.ts'
import type { ContextView, HandJointCount, ReviewView } from './api.ts'
import { dayOf } from './dates.ts'
import { FLAG, rowsOfNames, type RowedName } from './name-rows.ts'
import { placeTimes, topOfScores } from './time-axis.ts'
import { useWords, type Words } from './words.ts'

/** Without the model's count, in shadow mode, a visit is no point of the trend. */
type Visit = ReviewView['history'][number] & { readonly count: HandJointCount }
type Score = NonNullable<ContextView['scores']>[number]
type Treatment = NonNullable<ContextView['treatments']>[number]
const [WIDTH, LEFT, RIGHT] = [680, 40, 60]
const [COUNT_TOP, COUNT_BOTTOM, SCORE_TOP, SCORE_BOTTOM] = [40, 150, 176, 256]
/** The drugs' names above the counts: two rows have room there, more of them raise the top of the picture. A letter is at most so wide at 14 px. */
const [NAME_TOP, NAME_ROW, ROWS_WITH_ROOM, LETTER] = [16, 15, 2, 9]
/** The index shown as a line: the one with most values, in this order when equal. */
const INDICES: readonly ActivityIndex[] = ['DAS28-CRP', 'DAS28-ESR', 'CDAI', 'SDAI']

export interface OverTimeProps {
  readonly history: ReviewView['history']
  readonly context: ContextView | undefined
}

/** Counts with their interval, signed activity scores and the start of treatments on one time axis; and the tables behind the picture. */
export function OverTime({ history: visits, context }: OverTimeProps) {
  const w = useWords()
  const history = visits.flatMap((visit) => (visit.count ? [{ ...visit, count: visit.count }] : []))
  const treatments = context?.treatments ?? []
  const scores = mostSigned(context?.scores ?? [])
  if (history.length < 2 && treatments.length === 0 && scores.length === 0) return null
  return (
    <section aria-label={w.overTime} className="history">
      <h2>{w.overTime}</h2>
      <ul className="legend">
        {history.length > 0 && <li className="count-line">{w.countSeries}</li>}
        {scores[0] && <li className="score-line">{scores[0].index}, {w.signedByClinician}</li>}
        {treatments.length > 0 && <li className="treatment-line">{w.treatmentSeries}</li>}
      </ul>
      <div className="scroll" role="region" aria-label={w.chart} tabIndex={0}>
        <Chart visits={[...history].reverse()} scores={scores} treatments={treatments} />
      </div>
      {history.length > 0 && <div className="scroll" role="region" aria-label={w.overTime} tabIndex={0}>
        <table>
          <thead><tr>{w.columns.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
          <tbody>{history.map(({ id, photoTime, count }) => (
            <tr key={id}>
              <td>{dayOf(w, photoTime)}</td><td>{count.swollen}</td><td>{count.low} {w.to} {count.high}</td><td>{count.assessable} {w.of} {count.of}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>}
      {treatments.length > 0 && <p className="treatments">{w.treatments}: {treatments.map(({ name, started }) => `${name} ${w.since} ${dayOf(w, started)}`).join('; ')}. {w.treatmentsNote}</p>}
      {scores.length > 0 && <p className="treatments">{w.signedScores}: {scores.map(({ index, value, at }) => `${index} ${value.toLocaleString(w.locale)} (${dayOf(w, at)})`).join('; ')}.</p>}
      {context?.absent.treatments && <p className="treatments">{w.noTreatments[context.absent.treatments]}</p>}
    </section>
  )
}

function mostSigned(scores: readonly Score[]): readonly Score[] {
  const groups = INDICES.map((index) => scores.filter((one) => one.index === index))
  return groups.reduce((most, group) => (group.length > most.length ? group : most), [])
}

interface Series { readonly visits: readonly Visit[]; readonly scores: readonly Score[]; readonly treatments: readonly Treatment[] }

function Chart({ visits, scores, treatments }: Series) {
  const w = useWords()
  const axis = placeTimes([...visits.map(({ photoTime }) => photoTime), ...scores.map(({ at }) => at)], treatments.map(({ started }) => started))
  const x = (time: string) => LEFT + 16 + axis.place(time) * (WIDTH - LEFT - RIGHT - 32)
  const bottom = scores.length > 0 ? SCORE_BOTTOM : COUNT_BOTTOM
  const marks = treatments.map(({ name, started }) => ({ x: x(started), words: `${axis.isBefore(started) ? '← ' : ''}${name}` }))
  const names = rowsOfNames(marks, { left: 4, right: WIDTH - 4, letter: LETTER })
  const raised = Math.max(0, Math.max(...names.map(({ row }) => row)) + 1 - ROWS_WITH_ROOM) * NAME_ROW
  const rowAt = ({ row }: RowedName) => NAME_TOP - raised + row * NAME_ROW
  return (
    <svg className="trend" viewBox={`0 ${-raised} ${WIDTH} ${bottom + 32 + raised}`} role="img" aria-label={w.chart}>
      {names.map((name, at) => <TreatmentLine key={at} x={marks[at]?.x ?? 0} top={rowAt(name) - 8} bottom={bottom} towards={name.anchor === 'end' ? -FLAG : FLAG} />)}
      {visits.length > 0 && <Counts visits={visits} x={x} />}
      {scores.length > 0 && <Scores scores={scores} x={x} w={w} />}
      <g className="treatment-names">{names.map((name, at) => <text key={at} x={name.x} y={rowAt(name)} textAnchor={name.anchor}>{name.words}</text>)}</g>
      {daysOf([...visits.map(({ photoTime }) => photoTime), ...scores.map(({ at }) => at)], treatments, x, w).map(({ at, words }) => <text key={words} x={at} y={bottom + 22} textAnchor="middle">{words}</text>)}
    </svg>
  )
}

/** A dashed line from the row of the drug's name, with a flag that points to it; shape and word say it, not colour. Dashes that lie over each other fall into one. */
function TreatmentLine({ x, top, bottom, towards }: { x: number; top: number; bottom: number; towards: number }) {
  return (
    <g className="treatment">
      <path d={`M${x} ${top + 8}V${bottom}`} strokeDashoffset={top + 8} />
      <path className="flag" d={`M${x} ${top}l${towards} 5l${-towards} 5z`} />
    </g>
  )
}

function Counts({ visits, x }: { visits: readonly Visit[]; x(time: string): number }) {
  // Even, so that the line in the middle is a whole number too.
  const top = 2 * Math.ceil(Math.max(4, ...visits.map(({ count }) => count.high)) / 2)
  const y = (value: number) => COUNT_BOTTOM - (value / top) * (COUNT_BOTTOM - COUNT_TOP)
  return (
    <g>
      <Grid values={[0, top / 2, top]} y={y} />
      <polyline points={visits.map(({ photoTime, count }) => `${x(photoTime)},${y(count.swollen)}`).join(' ')} />
      {visits.map(({ id, photoTime, count }) => {
        const at = x(photoTime)
        return (
          <g key={id}>
            <path className="interval" d={`M${at} ${y(count.low)}V${y(count.high)}M${at - 6} ${y(count.low)}h12M${at - 6} ${y(count.high)}h12`} />
            <circle cx={at} cy={y(count.swollen)} r={6} />
          </g>
        )
      })}
    </g>
  )
}

/** Squares, so that a score is never taken for a count. */
function Scores({ scores, x, w }: { scores: readonly Score[]; x(time: string): number; w: Words }) {
  const top = topOfScores(scores.map(({ value }) => value))
  const y = (value: number) => SCORE_BOTTOM - (value / top) * (SCORE_BOTTOM - SCORE_TOP)
  return (
    <g className="scores-line">
      <Grid values={[0, top]} y={y} />
      <polyline points={scores.map(({ at, value }) => `${x(at)},${y(value)}`).join(' ')} />
      {scores.map(({ at, value }) => (
        <g key={at}>
          <rect x={x(at) - 5} y={y(value) - 5} width={10} height={10} />
          <text x={x(at) + 10} y={y(value) - 6}>{value.toLocaleString(w.locale)}</text>
        </g>
      ))}
    </g>
  )
}

function Grid({ values, y }: { values: readonly number[]; y(value: number): number }) {
  return <>{values.map((value) => (
    <g key={value} className="grid"><line x1={LEFT} x2={WIDTH - 10} y1={y(value)} y2={y(value)} /><text x={LEFT - 8} y={y(value) + 5} textAnchor="end">{value}</text></g>
  ))}</>
}

/** One word a day, and none that would lie over another. Where nothing else has a day (in shadow mode), those of the treatments. */
function daysOf(shown: readonly string[], treatments: readonly Treatment[], x: (time: string) => number, w: Words) {
  const wanted = (shown.length > 0 ? shown : treatments.map(({ started }) => started)).map((time) => ({ at: x(time), words: dayOf(w, time) }))
  return wanted.sort((a, b) => b.at - a.at).filter((one, index, all) => !all.slice(0, index).some((other) => Math.abs(other.at - one.at) < 90))
}
