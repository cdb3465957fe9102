import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { JointFinding, ReviewCall } from './api.ts'
import { findingWords, fullJointName, useWords } from './words.ts'

/** Where the joints of a right hand lie, seen from the back, fingers up; the left hand is mirrored. */
const PLACE: Record<HandJoint, readonly [number, number]> = {
  wrist: [100, 232], mcp1: [52, 178], ip1: [28, 144], mcp2: [68, 122], mcp3: [94, 114], mcp4: [119, 119], mcp5: [141, 131],
  pip2: [60, 74], pip3: [93, 60], pip4: [124, 69], pip5: [153, 95]
}
const TIP: readonly (readonly [HandJoint, HandJoint | null, number, number])[] = [
  ['mcp1', 'ip1', 10, 116], ['mcp2', 'pip2', 54, 30], ['mcp3', 'pip3', 92, 12], ['mcp4', 'pip4', 129, 26], ['mcp5', 'pip5', 164, 62]
]

export interface DiagramProps {
  readonly side: Laterality
  readonly findings: readonly JointFinding[]
  readonly calls: ReadonlyMap<string, ReviewCall>
  readonly chosen: string
  onChoose(side: Laterality, joint: HandJoint): void
}

/** The homunculus: shape tells the state (ring, filled, dashed, cross), colour only repeats it. */
export function HandDiagram({ side, findings, calls, chosen, onChoose }: DiagramProps) {
  const w = useWords()
  const x = (value: number) => (side === 'right' ? value : 200 - value)
  return (
    <figure className="diagram">
      <figcaption>{w.handOf(w.side[side])}</figcaption>
      <svg viewBox="0 0 200 262" role="group" aria-label={w.seenFromBack(w.side[side])}>
        <g className="hand-outline" aria-hidden="true">
          {TIP.map(([mcp, pip, tipX, tipY]) => (
            <polyline key={mcp} points={[PLACE.wrist, PLACE[mcp], ...(pip ? [PLACE[pip]] : []), [tipX, tipY] as const]
              .map(([px, py]) => `${x(px)},${py}`).join(' ')} />
          ))}
        </g>
        {HAND_JOINTS.map((joint) => {
          const finding = findings.find((one) => one.side === side && one.joint === joint)
          if (!finding) return null
          const call = calls.get(`${side}-${joint}`)
          const state = call ?? (finding.kind === 'not-assessed' ? 'not-assessable' : finding.inflamed ? 'flagged' : 'plain')
          const [px, py] = PLACE[joint]
          const label = `${fullJointName(w, side, joint)}. ${findingWords(w, finding)}.${call ? ` ${w.yourCall}: ${w.call[call]}.` : ''}`
          return (
            <g key={joint} role="button" tabIndex={chosen === `${side}-${joint}` ? 0 : -1} aria-label={label}
              aria-pressed={chosen === `${side}-${joint}`} className={`joint ${state}${call ? ' called' : ''}`}
              data-joint={`${side}-${joint}`} onClick={() => onChoose(side, joint)}
              onKeyDown={(event) => { if (event.key === 'Enter' || event.key === ' ') onChoose(side, joint) }}>
              <circle className="target" cx={x(px)} cy={py} r={13} />
              <circle className="mark" cx={x(px)} cy={py} r={9} />
              {state === 'not-assessable' && <path className="cross" d={`M${x(px) - 5} ${py - 5}l10 10m0 -10l-10 10`} />}
              {call === 'not-swollen' && <path className="cross" d={`M${x(px) - 5} ${py}h10`} />}
            </g>
          )
        })}
      </svg>
    </figure>
  )
}
