import { HAND_JOINTS, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { useEffect, useRef, type MouseEvent } from 'react'
import type { JointFinding, ReviewCall, SignedByClinician } from './api.ts'
import { HandOutline, PLACE, sideways } from './hand-outline.tsx'
import { REACH_PX } from './photo-view.tsx'
import { findingWords, fullJointName, signedWords, useWords } from './words.ts'

export interface DiagramProps {
  readonly side: Laterality
  readonly findings: readonly JointFinding[]
  readonly calls: ReadonlyMap<string, ReviewCall>
  readonly signed: ReadonlyMap<string, SignedByClinician>
  readonly tender: ReadonlySet<string>
  readonly chosen: string
  onChoose(side: Laterality, joint: HandJoint): void
}

/** The homunculus: shape tells the state (ring, filled, dashed, cross), colour only repeats it. */
export function HandDiagram({ side, findings, calls, signed, tender, chosen, onChoose }: DiagramProps) {
  const w = useWords()
  const picture = useFocusOnChosen(chosen)
  const x = sideways(side)
  // A finger beside a joint means it, as on the photo; a click that a screen reader makes has no place and is the joint's own.
  const pick = ({ currentTarget, clientX, clientY }: MouseEvent<SVGSVGElement>) => {
    const toScreen = currentTarget.getScreenCTM()
    if (!toScreen) return
    const at = new DOMPoint(clientX, clientY).matrixTransform(toScreen.inverse())
    const [nearest] = HAND_JOINTS.map((joint) => ({ joint, far: Math.hypot(x(PLACE[joint][0]) - at.x, PLACE[joint][1] - at.y) * toScreen.a })).sort((a, b) => a.far - b.far)
    if (nearest && nearest.far <= REACH_PX) onChoose(side, nearest.joint)
  }
  return (
    <figure className="diagram">
      <figcaption>{w.handOf(w.side[side])}</figcaption>
      <svg ref={picture} viewBox="0 0 200 262" role="group" aria-label={w.seenFromBack(w.side[side])} onClick={pick}>
        <HandOutline side={side} />
        {HAND_JOINTS.map((joint) => {
          const finding = findings.find((one) => one.side === side && one.joint === joint)
          const key = `${side}-${joint}`
          const [call, before] = [calls.get(key), signed.get(key)]
          const state = call ?? before?.call ?? (finding?.kind === 'not-assessed' ? 'not-assessable' : finding?.inflamed ? 'flagged' : 'plain')
          const [px, py] = PLACE[joint]
          const label = [
            `${fullJointName(w, side, joint)}.`, `${finding ? findingWords(w, finding) : w.withheld}.`, before && `${signedWords(w, before)}.`,
            call && `${w.yourCall}: ${w.call[call]}.`, tender.has(key) && `${w.tender}.`
          ].filter(Boolean).join(' ')
          return (
            <g key={joint} role="button" tabIndex={chosen === `${side}-${joint}` ? 0 : -1} aria-label={label}
              aria-pressed={chosen === `${side}-${joint}`} className={`joint ${state}${call ? ' called' : before ? ' signed' : ''}`}
              data-joint={`${side}-${joint}`} onClick={() => onChoose(side, joint)}
              onKeyDown={(event) => { if (event.key === 'Enter' || event.key === ' ') onChoose(side, joint) }}>
              <circle className="target" cx={x(px)} cy={py} r={13} />
              <circle className="mark" cx={x(px)} cy={py} r={9} />
              {state === 'not-assessable' && <path className="cross" d={`M${x(px) - 5} ${py - 5}l10 10m0 -10l-10 10`} />}
              {tender.has(key) && <text className="tender" x={x(px)} y={py - 14} textAnchor="middle">T</text>}
              {(call ?? before?.call) === 'not-swollen' && <path className="cross" d={`M${x(px) - 5} ${py}h10`} />}
            </g>
          )
        })}
      </svg>
    </figure>
  )
}

/** Whoever moves through the diagram with the keyboard keeps the focus on the joint that is chosen. */
function useFocusOnChosen(chosen: string) {
  const picture = useRef<SVGSVGElement>(null)
  useEffect(() => {
    if (document.activeElement?.closest('.diagrams') && document.activeElement.getAttribute('data-joint') !== chosen)
      picture.current?.querySelector<SVGElement>(`[data-joint="${chosen}"]`)?.focus()
  }, [chosen])
  return picture
}
