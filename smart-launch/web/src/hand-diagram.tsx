import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { JointFinding, ReviewCall } from './api.ts'
import { HandOutline, PLACE, sideways } from './hand-outline.tsx'
import { findingWords, fullJointName, useWords } from './words.ts'

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
  const x = sideways(side)
  return (
    <figure className="diagram">
      <figcaption>{w.handOf(w.side[side])}</figcaption>
      <svg viewBox="0 0 200 262" role="group" aria-label={w.seenFromBack(w.side[side])}>
        <HandOutline side={side} />
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
