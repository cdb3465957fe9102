import type { HandJoint, Laterality } from '../../../src/joints/hand-joint.ts'

/** Where the joints of a right hand lie, seen from the back, fingers up; the left hand is mirrored. */
export const PLACE: Record<HandJoint, readonly [number, number]> = {
  wrist: [100, 232], mcp1: [52, 178], ip1: [28, 144], mcp2: [68, 122], mcp3: [94, 114], mcp4: [119, 119], mcp5: [141, 131],
  pip2: [60, 74], pip3: [93, 60], pip4: [124, 69], pip5: [153, 95]
}
const TIP: readonly (readonly [HandJoint, HandJoint | null, number, number])[] = [
  ['mcp1', 'ip1', 10, 116], ['mcp2', 'pip2', 54, 30], ['mcp3', 'pip3', 92, 12], ['mcp4', 'pip4', 129, 26], ['mcp5', 'pip5', 164, 62]
]

/** A right hand's place on a 200 wide picture, mirrored for the left. */
export const sideways = (side: Laterality) => (value: number) => (side === 'right' ? value : 200 - value)

/** Palm and fingers as thick lines, 200 by 262. */
export function HandOutline({ side }: { side: Laterality }) {
  const x = sideways(side)
  return (
    <g className="hand-outline" aria-hidden="true">
      {TIP.map(([mcp, pip, tipX, tipY]) => (
        <polyline key={mcp} points={[PLACE.wrist, PLACE[mcp], ...(pip ? [PLACE[pip]] : []), [tipX, tipY] as const]
          .map(([px, py]) => `${x(px)},${py}`).join(' ')} />
      ))}
    </g>
  )
}
