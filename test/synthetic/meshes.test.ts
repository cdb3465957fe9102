import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sampleIdentity } from '../../training/synthetic/case-sampler.ts'
import type { MeshName } from '../../training/synthetic/hand-case.ts'
import { MAKEHUMAN_FILES, cutHand, parseObj, targetShares } from '../../training/synthetic/makehuman.ts'
import type { Body, Skeleton, Target, Weights } from '../../training/synthetic/makehuman.ts'
import { MESH_CHOICES, openMeshes } from '../../training/synthetic/mesh-library.ts'
import { subdivide } from '../../training/synthetic/subdivide.ts'
import { length, subtract } from '../../training/synthetic/vectors.ts'

const person = (patient: string, meshes?: readonly MeshName[]) =>
  sampleIdentity({ seed: 7, split: 'train', patient }, meshes)

describe('meshes', () => {
  let folder: string
  beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'hand-meshes-')) })
  afterAll(async () => { await rm(folder, { recursive: true }) })

  test('other than webxr are refused without a folder, without their files, or with other files', async () => {
    await expect(openMeshes('makehuman')).rejects.toThrow('Expected --meshes DIR, a folder that holds makehuman/')
    await expect(openMeshes('godot', folder)).rejects.toThrow('hand_r.gltf but found no such file')
    await mkdir(join(folder, 'makehuman'))
    for (const file of MAKEHUMAN_FILES) await writeFile(join(folder, 'makehuman', file), 'v 0 0 0\n')
    await expect(openMeshes('mix', folder)).rejects.toThrow(/base\.obj with SHA-256 8e761e66.* but received/)
  })

  test('are shared out by patient, and choosing them changes nothing else about a webxr patient', () => {
    const patients = Array.from({ length: 60 }, (_, i) => String(i))
    const mixed = patients.map((patient) => person(patient, MESH_CHOICES.mix))
    const share = mixed.filter(({ mesh }) => mesh === 'makehuman').length / mixed.length
    expect(share).toBeGreaterThan(0.3)
    expect(share).toBeLessThan(0.7)
    mixed.forEach((identity, i) => {
      if (identity.mesh === 'webxr') expect(identity).toEqual(person(patients[i]!))
    })
  })

  test('of training never include the one that is kept for the transfer test', () => {
    expect(MESH_CHOICES.mix).not.toContain('godot')
  })
})

/** Five fingers of three bones (four for the metacarpal row) on a flat strip of vertices, one vertex a joint. */
function flatBody(): { body: Body, skeleton: Skeleton, weights: Weights } {
  const bones: [string, string, string][] = []
  const places = new Map<string, readonly [number, number, number]>([['wrist', [0, 0, 0]], ['elbow', [0, -2.5, 0]]])
  for (let f = 0; f < 5; f++) {
    const stations = f === 0 ? [0.3, 0.6, 0.9, 1.2] : [0.2, 0.9, 1.2, 1.45, 1.7]
    stations.forEach((y, k) => places.set(`f${f}-${k}`, [f * 0.2 - 0.4, y, f === 0 ? -0.3 : 0]))
    for (let k = 0; k + 1 < stations.length; k++) {
      const name = f === 0 ? `finger1-${k + 1}.R` : k === 0 ? `metacarpal${f}.R` : `finger${f + 1}-${k}.R`
      bones.push([name, `f${f}-${k}`, `f${f}-${k + 1}`])
    }
  }
  bones.push(['wrist.R', 'wrist', 'f2-0'], ['lowerarm02.R', 'elbow', 'wrist'])
  const names = [...places.keys()], positions = [...places.values(), [5, 5, 5] as const]
  return {
    body: { positions, faces: [[0, 2, 3, 4], [0, 2, positions.length - 1]] },
    skeleton: {
      bones: Object.fromEntries(bones.map(([name, head, tail]) => [name, { head, tail }])),
      joints: Object.fromEntries(names.map((name, i) => [name, [i]]))
    },
    weights: { 'wrist.R': names.map((_, vertex) => [vertex, 1] as const) }
  }
}

describe('a MakeHuman hand', () => {
  const { body, skeleton, weights } = flatBody()
  const moved: Target = [[2, [0, 0, 0.1]]]
  const hand = cutHand(body, skeleton, weights, (file) => file === 'r-hand-fingers-diameter-incr.target' ? moved : [])

  test('is cut where the weights of its bones end, its faces split into triangles', () => {
    expect(hand.shapedLike(person('1')).triangles).toEqual([0, 1, 2, 0, 2, 3])
  })

  test('has a proximal phalanx in human proportion to the middle one', () => {
    const { bonePositions: at, boneNames } = hand.shapedLike(person('1'))
    const bone = (name: string) => at[boneNames.indexOf(name)]!
    const proximal = length(subtract(bone('middle_intermediate'), bone('middle_proximal')))
    const middle = length(subtract(bone('middle_distal'), bone('middle_intermediate')))
    expect(proximal / middle).toBeCloseTo(44.63 / 26.33, 3)
    expect(length(subtract(bone('thumb_distal'), bone('thumb_proximal'))) / person('1').shape.size).toBeCloseTo(0.03, 6)
  })

  test('is another one in another person, and the same one in the same', () => {
    expect(hand.shapedLike(person('1')).positions).toEqual(hand.shapedLike(person('1')).positions)
    expect(hand.shapedLike(person('2')).positions).not.toEqual(hand.shapedLike(person('1')).positions)
  })

  test('mixes young and old targets by age, and never a target of the other sex', () => {
    for (const patient of ['1', '2', '3', '4', '5', '6']) {
      const identity = person(patient)
      const shares = targetShares(identity)
      const macros = [...shares].filter(([file]) => !file.includes('universal') && file.startsWith('macro'))
      expect(macros.reduce((sum, [, share]) => sum + share, 0)).toBeCloseTo(1, 9)
      const other = identity.sex === 'female' ? '-male-' : '-female-'
      expect([...shares.keys()].filter((file) => file.includes(other))).toEqual([])
    }
  })
})

describe('reading and refining meshes', () => {
  test('takes the faces of the body from a Wavefront file and leaves its helpers', () => {
    expect(parseObj('v 0 0 0\nv 1 0 0\nv 0 1 0\ng body\nf 1/1 2/2 3/3\ng helper-tights\nf 3/3 2/2 1/1\n'))
      .toEqual({ positions: [[0, 0, 0], [1, 0, 0], [0, 1, 0]], faces: [[0, 1, 2]] })
  })

  test('subdivides the texture with the triangles', () => {
    const { triangles, uv } = subdivide({
      positions: [[0, 0, 0], [1, 0, 0], [0, 1, 0]], weights: [0, 1, 2].map(() => new Float64Array([1])),
      triangles: [0, 1, 2], uv: [0, 0, 1, 0, 0, 1], boneNames: ['wrist'], bonePositions: [[0, 0, 0]]
    })
    const at = new Map(triangles.map((vertex, corner) => [vertex, [uv![2 * corner], uv![2 * corner + 1]]]))
    expect([...at].sort(([a], [b]) => a - b).map(([, place]) => place))
      .toEqual([[0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5]])
  })
})
