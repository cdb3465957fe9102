import { createRequire } from 'node:module'
import { addForearm } from './forearm.ts'
import { readSkinnedMesh } from './gltf.ts'
import type { SkinnedMesh } from './gltf.ts'
import { subdivide, weld } from './subdivide.ts'
import type { SkinTexture } from './skin-texture.ts'
import { FINGERS, THUMB, jointAt } from './surface-joint.ts'
import type { SurfaceJoint } from './surface-joint.ts'
import { add, cross, dot, length, normalise, perpendicularTo, scale, subtract } from './vectors.ts'
import type { Vec3 } from './vectors.ts'

/** One finger's bones: nodes CMC, MCP, (PIP, DIP | IP), tip; `end` is where the flesh ends. */
export interface FingerChain {
  readonly nodes: readonly Vec3[]
  /** Bone index of each node. */
  readonly bones: readonly number[]
  readonly end: Vec3
}

/** A joint's own directions in the rest pose: along the finger, towards the back of the hand, sideways. */
export interface JointFrame {
  readonly joint: SurfaceJoint
  readonly centre: Vec3
  readonly axis: Vec3
  readonly dorsal: Vec3
  readonly lateral: Vec3
  /** Median distance from the centre to the skin, mm. */
  readonly radius: number
  /** 0..4, or -1 for the wrist. */
  readonly finger: number
  /** Place along the finger chain: 1 MCP, 2 PIP or IP, 3 DIP; 0 for the wrist. */
  readonly place: number
}

/**
 * A right hand at rest, in mm: origin at the wrist, +Y to the fingers, +Z out of the back of the hand, index finger at -X.
 * A left hand is the same hand seen in a mirror.
 */
export interface HandMesh {
  readonly vertexCount: number
  /** x, y, z of each vertex. */
  readonly rest: Float64Array
  readonly triangles: Uint32Array
  /** u, v of each triangle corner, where the mesh has a texture. */
  readonly cornerUv?: Float32Array
  /** Bone weights of vertex v: entries weightStart[v] to weightStart[v + 1] of weightBone and weightValue. */
  readonly weightStart: Uint32Array
  readonly weightBone: Uint8Array
  readonly weightValue: Float64Array
  readonly boneCount: number
  readonly fingers: readonly FingerChain[]
  /** How far each vertex belongs to each finger beyond its MCP joint, 0..1. */
  readonly fingerWeight: readonly Float64Array[]
  readonly frames: ReadonlyMap<SurfaceJoint, JointFrame>
}

/** Level 2 is what the camera sees (about 0.8 mm facets); level 1 casts the shadows. */
export interface HandModel {
  readonly fine: HandMesh
  readonly coarse: HandMesh
  /** The mesh's own skin, where it has one; otherwise skin is painted (skin.ts). */
  readonly texture?: SkinTexture
}

const NODE_SUFFIX: Record<string, readonly string[]> = {
  thumb: ['metacarpal', 'proximal', 'distal', 'tip'],
  finger: ['metacarpal', 'proximal', 'intermediate', 'distal', 'tip']
}

/** `generic-hand` of @webxr-input-profiles/assets (MIT). */
export function genericHandFile(): string {
  return createRequire(import.meta.url).resolve('@webxr-input-profiles/assets/dist/profiles/generic-hand/right.glb')
}

export function loadHandModel(file = genericHandFile()): HandModel {
  return handModel(weld(readSkinnedMesh(file)))
}

/** `mesh` is a closed hand in metres, in any pose of its axes; without a forearm of its own it is given one. */
export function handModel(whole: SkinnedMesh, { hasForearm = false } = {}): HandModel {
  const { mesh, fingers } = inHandSpace(whole)
  const level1 = subdivide(hasForearm ? mesh : addForearm(mesh))
  return { coarse: handMesh(level1, fingers), fine: handMesh(subdivide(level1), fingers) }
}

type Chain = Pick<FingerChain, 'nodes' | 'bones'>

/** Turns the mesh from metres in the file's axes to mm in the hand's own axes. */
function inHandSpace(mesh: SkinnedMesh): { mesh: SkinnedMesh, fingers: Chain[] } {
  const wrist = mesh.bonePositions[boneIndex(mesh, 'wrist', '')]!
  const chains = FINGERS.map((finger) => chainBones(mesh, finger))
  const mcp = (finger: number) => mesh.bonePositions[chains[finger]![1]!]!
  const y = normalise(subtract(mcp(2), wrist))
  const x = normalise(perpendicularTo(y, subtract(mcp(4), mcp(1))))
  const z = cross(x, y)
  const toHand = (p: Vec3): Vec3 => {
    const q = subtract(p, wrist)
    return [dot(q, x) * 1000, dot(q, y) * 1000, dot(q, z) * 1000]
  }
  const joints = mesh.bonePositions.map(toHand)
  // The thumb lies on the palm's side of the index knuckle; if not, z points the wrong way.
  const flip = joints[chains[THUMB]![2]!]![2] > joints[chains[1]![1]!]![2] ? -1 : 1
  const turn = ([a, b, c]: Vec3): Vec3 => [a, b, c * flip]
  return {
    mesh: { ...mesh, positions: mesh.positions.map((p) => turn(toHand(p))) },
    fingers: chains.map((bones) => ({ bones, nodes: bones.map((bone) => turn(joints[bone]!)) }))
  }
}

function chainBones(mesh: SkinnedMesh, finger: string): number[] {
  return NODE_SUFFIX[finger === 'thumb' ? 'thumb' : 'finger']!.map((suffix) => boneIndex(mesh, finger, suffix))
}

function boneIndex({ boneNames }: SkinnedMesh, first: string, second: string): number {
  const index = boneNames.findIndex((name) => {
    const plain = name.toLowerCase().replace('pinky', 'little')
    return plain.includes(first) && plain.includes(second)
  })
  if (index < 0) throw new Error(`Expected a bone named ${first} ${second} but received ${boneNames.join(', ')}`)
  return index
}

function handMesh(mesh: SkinnedMesh, chains: readonly Chain[]): HandMesh {
  const rest = Float64Array.from(mesh.positions.flat())
  const beyondMcp = chains.map(({ bones }) => summedWeights(mesh, bones.slice(1)))
  const fromCmc = chains.map(({ bones }) => summedWeights(mesh, bones))
  const fingers = chains.map((chain, f) => ({ ...chain, end: fleshEnd(mesh, chain, beyondMcp[f]!) }))
  const frames = new Map<SurfaceJoint, JointFrame>([['wrist', WRIST_FRAME]])
  fingers.forEach((chain, finger) => {
    for (let place = 1; place < chain.nodes.length - 1; place++) {
      const frame = jointFrame(mesh, chain, finger, place, beyondMcp[finger]!, fromCmc[finger]!)
      frames.set(frame.joint, frame)
    }
  })
  return {
    vertexCount: mesh.positions.length, rest, ...outward(mesh), ...sparseWeights(mesh),
    boneCount: mesh.boneNames.length, fingers, fingerWeight: beyondMcp, frames
  }
}

const WRIST_FRAME: JointFrame = {
  joint: 'wrist', centre: [0, 0, 0], axis: [0, 1, 0], dorsal: [0, 0, 1], lateral: [1, 0, 0], radius: 25, finger: -1, place: 0
}

const summedWeights = ({ weights }: SkinnedMesh, bones: readonly number[]): Float64Array =>
  Float64Array.from(weights, (row) => bones.reduce((sum, bone) => sum + row[bone]!, 0))

function fleshEnd({ positions }: SkinnedMesh, { nodes }: Chain, weight: Float64Array): Vec3 {
  const last = nodes.at(-2)!
  const direction = normalise(subtract(nodes.at(-1)!, last))
  let reach = -Infinity
  positions.forEach((p, i) => {
    if (weight[i]! > 0.5) reach = Math.max(reach, dot(subtract(p, last), direction))
  })
  return add(last, scale(direction, reach))
}

function jointFrame(
  { positions }: SkinnedMesh, chain: FingerChain, finger: number, place: number,
  beyondMcp: Float64Array, fromCmc: Float64Array
): JointFrame {
  const node = chain.nodes[place]!
  const following = place + 2 === chain.nodes.length ? chain.end : chain.nodes[place + 1]!
  const axis = normalise(subtract(following, chain.nodes[place - 1]!))
  // The thumb lies on its side: its back looks up and outwards.
  const dorsal = normalise(perpendicularTo(axis, finger === THUMB ? normalise([-0.6, 0, 0.8]) : [0, 0, 1]))
  const inSlice = (p: Vec3, centre: Vec3) => Math.abs(dot(subtract(p, centre), axis)) < 3
  const slice = positions.filter((p, i) =>
    (beyondMcp[i]! > 0.6 || (place === 1 && fromCmc[i]! > 0.6)) && inSlice(p, node))
  const across = slice.reduce<Vec3>((sum, p) => add(sum, perpendicularTo(axis, subtract(p, node))), [0, 0, 0])
  const offset = scale(across, 1 / Math.max(1, slice.length))
  const middle = add(node, offset)
  const radii = positions
    .filter((p, i) => beyondMcp[i]! > 0.6 && inSlice(p, middle))
    .map((p) => length(perpendicularTo(axis, subtract(p, middle))))
    .sort((p, q) => p - q)
  return {
    joint: jointAt(finger, place), centre: place === 1 ? node : middle, axis, dorsal, lateral: cross(axis, dorsal),
    radius: radii[radii.length >> 1] ?? 10, finger, place
  }
}

/** Triangles wound so that normals point out of the hand. */
function outward({ positions, triangles, uv }: SkinnedMesh): Pick<HandMesh, 'triangles' | 'cornerUv'> {
  let volume = 0
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [positions[triangles[t]!]!, positions[triangles[t + 1]!]!, positions[triangles[t + 2]!]!]
    volume += dot(a, cross(b, c))
  }
  const wound = Uint32Array.from(triangles), cornerUv = uv ? Float32Array.from(uv) : undefined
  for (let t = 0; volume < 0 && t < wound.length; t += 3) {
    [wound[t], wound[t + 1]] = [wound[t + 1]!, wound[t]!]
    cornerUv?.set([...cornerUv.subarray(2 * t + 2, 2 * t + 4), ...cornerUv.subarray(2 * t, 2 * t + 2)], 2 * t)
  }
  return { triangles: wound, ...(cornerUv ? { cornerUv } : {}) }
}

function sparseWeights({ weights }: SkinnedMesh): Pick<HandMesh, 'weightStart' | 'weightBone' | 'weightValue'> {
  const start = new Uint32Array(weights.length + 1), bones: number[] = [], values: number[] = []
  weights.forEach((row, v) => {
    row.forEach((weight, bone) => {
      if (weight < 1e-4) return
      bones.push(bone)
      values.push(weight)
    })
    start[v + 1] = bones.length
  })
  return { weightStart: start, weightBone: Uint8Array.from(bones), weightValue: Float64Array.from(values) }
}
