import { describe, expect, test } from '@jest/globals'
import { sampleIdentity } from '../../training/synthetic/case-sampler.ts'
import { deformHand } from '../../training/synthetic/deform.ts'
import { HIDDEN_BY_GRADE, dorsalAnatomy } from '../../training/synthetic/dorsal-anatomy.ts'
import type { Dorsum, Grade } from '../../training/synthetic/hand-case.ts'
import { loadHandModel } from '../../training/synthetic/hand-mesh.ts'
import type { SurfaceJoint } from '../../training/synthetic/surface-joint.ts'
import type { Vec3 } from '../../training/synthetic/vectors.ts'
import { plainHand } from './hands.ts'

const LEAN: Dorsum = { knuckles: 1, tendons: 1, ulnarHead: 1, snuffbox: 1, wristCreases: 1 }
const BARE: Dorsum = { knuckles: 0, tendons: 0, ulnarHead: 0, snuffbox: 0, wristCreases: 0 }
const GRADES = [0, 1, 2, 3] as const

const mesh = loadHandModel().coarse
const place = (joint: SurfaceJoint) => mesh.frames.get(joint)!.centre
/** On the skin between the second and third knuckle. */
const valley: Vec3 = [(place('mcp2')[0] + place('mcp3')[0]) / 2, (place('mcp2')[1] + place('mcp3')[1]) / 2, place('mcp3')[2] + 10]

/** The snuffbox, and beyond the head of the ulna. */
const HOLLOWS: readonly Vec3[] = [[-21, 15, 12], [19, 5, 16]]

const caseOf = (swollen: Partial<Record<SurfaceJoint, Grade>>, dorsum: Dorsum = LEAN) => {
  const hand = plainHand('a', Object.fromEntries(Object.entries(swollen).map(([joint, swelling]) => [joint, { swelling }])))
  return { ...hand, identity: { ...hand.identity, dorsum } }
}
const anatomyOf = (swollen: Partial<Record<SurfaceJoint, Grade>>, dorsum = LEAN) =>
  dorsalAnatomy(mesh, dorsum, caseOf(swollen, dorsum).joints, 1)

describe('the back of a lean healthy hand', () => {
  test('has a valley between its knuckles that each grade of MCP swelling fills further', () => {
    const depths = GRADES.map((grade) => anatomyOf({ mcp2: grade }).raise(...valley).dorsal)
    expect(depths[0]).toBeLessThan(-1.5)
    for (const grade of [1, 2, 3]) expect(depths[grade]! - depths[grade - 1]!).toBeGreaterThan(0.3)
  })

  test('keeps the valleys that are not beside the swollen knuckle', () => {
    const far: Vec3 = [(place('mcp4')[0] + place('mcp5')[0]) / 2, (place('mcp4')[1] + place('mcp5')[1]) / 2, place('mcp4')[2] + 10]
    expect(anatomyOf({ mcp2: 3 }).raise(...far)).toEqual(anatomyOf({}).raise(...far))
  })

  test('has a hollow at the root of the thumb and one beyond the head of the ulna, and a swollen wrist fills both', () => {
    for (const at of HOLLOWS) {
      const depths = GRADES.map((grade) => anatomyOf({ wrist: grade }).raise(...at).outward)
      expect(depths[0]).toBeLessThan(-0.7)
      for (const grade of [1, 2, 3]) expect(depths[grade]!).toBeGreaterThan(depths[grade - 1]!)
    }
  })

  test('hides tendons and veins over a swollen joint by its grade, and nowhere else', () => {
    for (const grade of GRADES) {
      const { hidden } = anatomyOf({ mcp3: grade })
      expect(hidden(place('mcp3')[0], place('mcp3')[1])).toBeCloseTo(HIDDEN_BY_GRADE[grade], 6)
      expect(hidden(place('mcp3')[0], place('mcp3')[1] - 45)).toBeLessThan(0.01)
    }
  })

  test('is bare in a hand that hides it', () => {
    for (const at of [valley, ...HOLLOWS]) {
      const { dorsal, outward } = anatomyOf({}, BARE).raise(...at)
      expect(Math.abs(dorsal) + Math.abs(outward)).toBe(0)
    }
  })
})

/** Height over the bare hand of each vertex near a place, mm; the greatest of them. */
function rise(swollen: Partial<Record<SurfaceJoint, Grade>>, [x, y]: readonly number[], axis: 0 | 2, dorsum = BARE): number {
  const calm = deformHand(mesh, caseOf({}, dorsum), anatomyOf({}, dorsum)).vertices
  const hand = deformHand(mesh, caseOf(swollen, dorsum), anatomyOf(swollen, dorsum)).vertices
  let most = 0
  for (let v = 0; v < calm.length; v += 3) {
    const near = Math.hypot(mesh.rest[v]! - x!, mesh.rest[v + 1]! - y!) < 14 && mesh.rest[v + 2]! > -4
    if (near) most = Math.max(most, Math.abs(hand[v + axis]! - calm[v + axis]!))
  }
  return most
}

describe('swelling', () => {
  test('lifts the skin over an MCP joint by its grade and not beyond: 1.1, 2.2 and 3.4 mm, a twentieth more at most', () => {
    for (const [grade, mm] of [[1, 1.1], [2, 2.2], [3, 3.4]] as const) {
      const most = rise({ mcp3: grade }, place('mcp3'), 2)
      expect(most).toBeGreaterThan(0.8 * mm)
      expect(most).toBeLessThan(1.06 * mm)
    }
  })

  test('widens the hand at the free sides of the second and fifth knuckle', () => {
    for (const joint of ['mcp2', 'mcp5'] as const) {
      const side = joint === 'mcp2' ? -11 : 11
      expect(rise({ [joint]: 3 }, [place(joint)[0] + side, place(joint)[1]], 0)).toBeGreaterThan(0.6)
    }
  })
})

describe('the backs of patients\' hands', () => {
  const dorsums = Array.from({ length: 300 }, (_, i) => {
    const { dorsum, shape } = sampleIdentity({ seed: 3, split: 'train', patient: String(i) })
    return { ...dorsum!, stoutness: shape.stoutness }
  })

  test('range from bare to lean, and stout hands are barer', () => {
    expect(dorsums.filter(({ tendons }) => tendons === 0).length).toBeGreaterThan(20)
    expect(dorsums.filter(({ knuckles }) => knuckles > 0.8).length).toBeGreaterThan(20)
    const mean = (rows: typeof dorsums) => rows.reduce((sum, { knuckles }) => sum + knuckles, 0) / rows.length
    expect(mean(dorsums.filter(({ stoutness }) => stoutness > 0.5))).toBeLessThan(mean(dorsums) - 0.1)
  })
})
