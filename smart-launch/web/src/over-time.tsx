import type { ReviewView } from './api.ts'
import { dayOf, useWords } from './words.ts'

type Visit = ReviewView['history'][number]
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 180, 34, 150]

/** The count of each visit with its interval, as a picture and as the table behind it. */
export function OverTime({ history }: { history: readonly Visit[] }) {
  const w = useWords()
  if (history.length < 2) return null
  return (
    <section aria-label={w.overTime} className="history">
      <h2>{w.overTime}</h2>
      <Chart visits={[...history].reverse()} />
      <div className="scroll" role="region" aria-label={w.overTime} tabIndex={0}>
      <table>
        <thead><tr>{w.columns.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
        <tbody>{history.map(({ id, photoTime, count }) => (
          <tr key={id}>
            <td>{dayOf(w, photoTime)}</td><td>{count.swollen}</td><td>{count.low} {w.to} {count.high}</td><td>{count.assessable} {w.of} {count.of}</td>
          </tr>
        ))}</tbody>
      </table>
      </div>
    </section>
  )
}

function Chart({ visits }: { visits: readonly Visit[] }) {
  const w = useWords()
  const times = visits.map(({ photoTime }) => Date.parse(photoTime))
  const [first = 0, last = 1] = [times[0], times.at(-1)]
  const top = Math.max(4, ...visits.map(({ count }) => count.high))
  const x = (time: number) => LEFT + 20 + ((time - first) / Math.max(1, last - first)) * (WIDTH - LEFT - 60)
  const y = (value: number) => BOTTOM - (value / top) * (BOTTOM - 16)
  return (
    <svg className="trend" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={w.chart}>
      {[0, Math.round(top / 2), top].map((value) => (
        <g key={value} className="grid"><line x1={LEFT} x2={WIDTH - 10} y1={y(value)} y2={y(value)} /><text x={LEFT - 8} y={y(value) + 5} textAnchor="end">{value}</text></g>
      ))}
      <polyline points={visits.map(({ photoTime, count }) => `${x(Date.parse(photoTime))},${y(count.swollen)}`).join(' ')} />
      {visits.map(({ id, photoTime, count }) => {
        const at = x(Date.parse(photoTime))
        return (
          <g key={id}>
            <path className="interval" d={`M${at} ${y(count.low)}V${y(count.high)}M${at - 6} ${y(count.low)}h12M${at - 6} ${y(count.high)}h12`} />
            <circle cx={at} cy={y(count.swollen)} r={6} />
            <text x={at} y={HEIGHT - 8} textAnchor="middle">{dayOf(w, photoTime)}</text>
          </g>
        )
      })}
    </svg>
  )
}
