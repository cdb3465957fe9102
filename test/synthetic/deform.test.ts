import { expect, test } from '@jest/globals'
import { deformHand } from '../../training/synthetic/deform.ts'
import { loadHandModel } from '../../training/synthetic/hand-mesh.ts'
import type { SurfaceJoint } from '../../training/synthetic/surface-joint.ts'
import { dot, length, subtract } from '../../training/synthetic/vectors.ts'
import type { Vec3 } from '../../training/synthetic/vectors.ts'
import { plainHand } from './hands.ts'

const mesh = loadHandModel().coarse
const hand = plainHand('a')
const place = (joints: ReadonlyMap<SurfaceJoint, Vec3>, joint: SurfaceJoint) => joints.get(joint)!
const build = { ...hand.identity.build, fingerThickness: 1, palmWidth: 1, fingerLength: [1, 1, 1, 1, 1] }

function shaped(fingerBreadth: number) {
  return deformHand(mesh, { ...hand, identity: { ...hand.identity, build: { ...build, fingerBreadth } } })
}

/** mm from side to side at the index finger's PIP joint, of the vertices that surround it at rest. */
function breadth({ vertices, joints }: ReturnType<typeof shaped>): number {
  const { centre, axis } = mesh.frames.get('pip2')!
  const middle = place(joints, 'pip2')
  const across = Array.from({ length: mesh.vertexCount }, (_, v) => v).flatMap((v) => {
    if (mesh.fingerWeight[1]![v]! < 0.5 || Math.abs(dot(subtract([mesh.rest[3 * v]!, mesh.rest[3 * v + 1]!, mesh.rest[3 * v + 2]!], centre), axis)) > 2) return []
    return [vertices[3 * v]! - middle[0]]
  })
  return Math.max(...across) - Math.min(...across)
}

test('a finger is as broad as the share of the length of the hand says', () => {
  const [slender, thick] = [shaped(0.09), shaped(0.12)] as const
  expect(breadth(thick) / breadth(slender)).toBeCloseTo(0.12 / 0.09, 1)
  const { fingerEnds, joints } = thick
  const straight = length(place(joints, 'mcp3')) + length(subtract(place(joints, 'pip3'), place(joints, 'mcp3'))) + length(subtract(fingerEnds[2]!, place(joints, 'pip3')))
  expect(breadth(thick) / straight).toBeGreaterThan(0.105)
  expect(breadth(thick) / straight).toBeLessThan(0.135)
})

test('fingers that are held together lie beside one another, and the middle one stays where it is', () => {
  const [fan, closed] = [0, 1].map((closeness) => deformHand(mesh, { ...hand, pose: { ...hand.pose, abductionDegrees: [0, 0, 0, 0, 0], closeness } }).joints)
  const gap = (joints: typeof fan, a: SurfaceJoint, b: SurfaceJoint) => length(subtract(place(joints!, a), place(joints!, b)))
  expect(place(closed!, 'pip3')).toEqual(place(fan!, 'pip3'))
  for (const [a, b] of [['pip2', 'pip3'], ['pip3', 'pip4']] as const) expect(gap(closed, a, b)).toBeLessThan(gap(fan, a, b))
  expect(gap(closed, 'pip2', 'pip3') - gap(closed, 'mcp2', 'mcp3')).toBeLessThan(2)
})
