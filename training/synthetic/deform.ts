import { WRIST_SWELLING_AT_MM } from './dorsal-anatomy.ts'
import type { DorsalAnatomy } from './dorsal-anatomy.ts'
import { cuffShare } from './cuff.ts'
import type { Build, Cuff, Grade, HandCase, JointState, Pose } from './hand-case.ts'
import type { HandMesh, JointFrame } from './hand-mesh.ts'
import { bell, smoothstep } from './noise.ts'
import { FINGERS, THUMB, jointAt, jointKind } from './surface-joint.ts'
import type { SurfaceJoint } from './surface-joint.ts'
import { IDENTITY, add, apply, length, multiply, normalise, radians, rotationAbout, scale, subtract } from './vectors.ts'
import type { Mat3, Vec3 } from './vectors.ts'

/** How far skin rises at a swollen joint, mm. A guess, to be reviewed by a rheumatologist. */
export const SWELLING_MM: Readonly<Record<Grade, number>> = { 0: 0, 1: 1.1, 2: 2.2, 3: 3.4 }

export interface PosedHand {
  /** x, y, z of each vertex, mm. */
  readonly vertices: Float32Array
  readonly joints: ReadonlyMap<SurfaceJoint, Vec3>
  readonly fingerEnds: readonly Vec3[]
}

/** Shapes the hand (build, dorsal anatomy, swelling, nodes) at rest, then poses it by linear blend skinning. */
export function deformHand(
  mesh: HandMesh, { identity, joints, pose, adornments: { cuff } }: Pick<HandCase, 'identity' | 'joints' | 'pose' | 'adornments'>, anatomy?: DorsalAnatomy
): PosedHand {
  const shaped = shapeBuild(mesh, identity.build)
  if (identity.build.padding) padHand(mesh, shaped, identity.build.padding)
  if (anatomy) raiseDorsum(mesh, shaped, anatomy)
  for (const [joint, frame] of mesh.frames) raiseJoint(mesh, shaped, frame, joints[joint], !anatomy)
  if (cuff) raiseCuff(mesh, shaped, cuff)
  const bones = poseBones(mesh, pose, identity.build)
  return { vertices: skin(mesh, shaped, bones), ...posedPoints(mesh, bones) }
}

/** mm along a finger from its MCP joint over which it takes on its breadth. */
const BREADTH_ONSET_MM = 14

function shapeBuild(mesh: HandMesh, build: Build): Float64Array {
  const shaped = mesh.rest.slice()
  const broader = build.fingerBreadth === undefined ? 0 : build.fingerBreadth * handLength(mesh) / (2 * mesh.frames.get('pip2')!.radius) - 1
  const bases = FINGERS.map((_, finger) => mesh.frames.get(jointAt(finger, 1))!)
  for (let v = 0; v < mesh.vertexCount; v++) {
    for (let finger = 0; finger < 5; finger++) {
      const weight = mesh.fingerWeight[finger]![v]!
      if (weight < 0.02) continue
      const { centre, axis } = bases[finger]!
      const x = shaped[3 * v]! - centre[0], y = shaped[3 * v + 1]! - centre[1], z = shaped[3 * v + 2]! - centre[2]
      const along = x * axis[0] + y * axis[1] + z * axis[2]
      if (along < 0) continue
      const growth = ((build.fingerThickness - 1) * 0.6 + broader * smoothstep(0, BREADTH_ONSET_MM, along)) * weight
      shaped[3 * v]! += (x - axis[0] * along) * growth
      shaped[3 * v + 1]! += (y - axis[1] * along) * growth
      shaped[3 * v + 2]! += (z - axis[2] * along) * growth
    }
    shaped[3 * v]! *= build.palmWidth
  }
  return shaped
}

/** From the wrist to the tip of the straight middle finger, mm. */
function handLength({ fingers }: HandMesh): number {
  const { nodes, end } = fingers[2]!
  const joints = [...nodes.slice(1, -1), end]
  return joints.reduce((sum, joint, k) => sum + length(k === 0 ? joint : subtract(joint, joints[k - 1]!)), 0)
}

/** Fat lies where swelling does not: over the metacarpals and round the finger segments, with creases at the joints. */
function padHand(mesh: HandMesh, shaped: Float64Array, paddingMm: number): void {
  const { rest, frames } = mesh
  const knuckles = frames.get('mcp3')!.centre[1]
  const segments = FINGERS.flatMap((_, finger) => [1, 2].flatMap((place) => {
    const from = frames.get(jointAt(finger, place)), to = frames.get(jointAt(finger, place + 1))
    return from && to && from !== to ? [{ finger, from: from.centre, to: to.centre }] : []
  }))
  for (let v = 0; v < mesh.vertexCount; v++) {
    const p: Vec3 = [rest[3 * v]!, rest[3 * v + 1]!, rest[3 * v + 2]!]
    const own = Math.max(...mesh.fingerWeight.map((weight) => weight[v]!))
    shaped[3 * v + 2]! += paddingMm * (1 - own) * smoothstep(0, 12, p[2]) * bell((p[1] - 0.55 * knuckles) / knuckles, 0.42) * bell(p[0], 40)
    for (const { finger, from, to } of segments) {
      const weight = mesh.fingerWeight[finger]![v]!
      if (weight < 0.05) continue
      const axis = subtract(to, from), reach = length(axis), way = subtract(p, from)
      const share = (way[0] * axis[0] + way[1] * axis[1] + way[2] * axis[2]) / (reach * reach)
      if (share < 0 || share > 1) continue
      const out = subtract(way, scale(axis, share)), r = length(out) || 1e-6
      for (let q = 0; q < 3; q++) shaped[3 * v + q]! += 0.7 * paddingMm * weight * Math.sin(Math.PI * share) ** 2 * out[q]! / r
    }
  }
}

/** Thickness of what is worn on the forearm, mm. */
const CUFF_MM = { sleeve: 3.5, watch: 1.6 } as const

function raiseCuff({ rest, vertexCount }: HandMesh, shaped: Float64Array, cuff: Cuff): void {
  for (let v = 0; v < 3 * vertexCount; v += 3) {
    const rise = CUFF_MM[cuff.kind] * cuffShare(cuff, rest[v + 1]! + 2, 5)
    if (rise === 0) continue
    const x = rest[v]!, z = rest[v + 2]!, r = Math.hypot(x, z) || 1
    shaped[v]! += rise * x / r
    shaped[v + 2]! += rise * z / r
  }
}

function raiseDorsum({ rest, vertexCount }: HandMesh, shaped: Float64Array, anatomy: DorsalAnatomy): void {
  for (let v = 0; v < 3 * vertexCount; v += 3) {
    const x = rest[v]!, z = rest[v + 2]!
    const { dorsal, outward } = anatomy.raise(x, rest[v + 1]!, z)
    const size = Math.hypot(x, z) || 1
    shaped[v]! += outward * x / size
    shaped[v + 2]! += dorsal + outward * z / size
  }
}

function raiseJoint(
  mesh: HandMesh, shaped: Float64Array, frame: JointFrame, { swelling, node }: JointState, bare: boolean
): void {
  const height = SWELLING_MM[swelling]
  if (height === 0 && node === 0) return
  const { centre: c, axis: a, dorsal: d, lateral: l } = frame
  const kind = jointKind(frame.joint)
  const profile = bare ? bareSwellingProfile : swellingProfile, upright = !bare && kind === 'mcp' && frame.finger !== THUMB
  const reach = kind === 'wrist' ? 60 : 32
  for (let v = 0; v < mesh.vertexCount; v++) {
    const x = mesh.rest[3 * v]! - c[0], y = mesh.rest[3 * v + 1]! - c[1], z = mesh.rest[3 * v + 2]! - c[2]
    if (x * x + y * y + z * z > reach * reach) continue
    const along = x * a[0] + y * a[1] + z * a[2]
    const rx = x - a[0] * along, ry = y - a[1] * along, rz = z - a[2] * along
    const r = Math.hypot(rx, ry, rz) || 1e-6
    const lateral = rx * l[0] + ry * l[1] + rz * l[2]
    const towardsDorsal = (rx * d[0] + ry * d[1] + rz * d[2]) / r
    const own = frame.finger < 0 ? 1 : mesh.fingerWeight[frame.finger]![v]!
    let rise = height === 0 ? 0 : height * profile(kind, frame, along, lateral, towardsDorsal, own)
    if (node > 0 && frame.finger >= 0) rise += node * nodeProfile(along, lateral / r, towardsDorsal) * own
    if (rise === 0) continue
    const away = upright ? awayFromFinger(frame.joint, lateral) : 1, up = (1 - away) * rise, out = away * rise / r
    shaped[3 * v]! += rx * out + d[0] * up
    shaped[3 * v + 1]! += ry * out + d[1] * up
    shaped[3 * v + 2]! += rz * out + d[2] * up
  }
}

/**
 * Share of the swelling height at one place of the skin. Wrist: a dorsal bulge over the carpus that widens the outline.
 * MCP: dorsal fullness, and at the free sides of the second and fifth also a wider outline. PIP and IP: fusiform, dorsal
 * and lateral, little palmar, longer on the proximal side.
 */
function swellingProfile(
  kind: string, frame: JointFrame, along: number, lateral: number, towardsDorsal: number, own: number
): number {
  if (kind === 'wrist') {
    return 1.5 * bell(along - WRIST_SWELLING_AT_MM, 19) * smoothstep(-0.45, 0.65, towardsDorsal) * (0.6 + 0.4 * bell(lateral, 26))
  }
  const free = kind === 'mcp' ? freeSide(frame.joint) : 0
  if (free !== 0 && lateral * free > 0) {
    return 1.05 * bell(along, 12) * bell(lateral, 14) * smoothstep(-0.6, 0.5, towardsDorsal)
  }
  return bareSwellingProfile(kind, frame, along, lateral, towardsDorsal, own)
}

/**
 * Between two knuckles the capsule can only bulge upwards, and so fills the valley; at a free side it bulges away from the
 * joint as elsewhere. 0 upwards to 1 away.
 */
const awayFromFinger = (joint: SurfaceJoint, lateral: number): number =>
  freeSide(joint) === 0 ? 0.2 : 0.2 + 0.8 * smoothstep(2, 9, lateral * freeSide(joint))

/** The side of a knuckle that has no neighbour: -1 or 1 along its lateral axis, 0 for none. The index finger lies at -X. */
function freeSide(joint: SurfaceJoint): -1 | 0 | 1 {
  return joint === 'mcp2' ? -1 : joint === 'mcp5' ? 1 : 0
}

/** The same where the back of the hand is bare. */
function bareSwellingProfile(
  kind: string, { finger, place }: JointFrame, along: number, lateral: number, towardsDorsal: number, own: number
): number {
  if (kind === 'wrist') {
    return 1.5 * bell(along - 2, 20) * smoothstep(-0.1, 0.7, towardsDorsal) * (0.6 + 0.4 * bell(lateral, 26))
  }
  if (kind === 'mcp') {
    return 1.05 * bell(along, 12) * bell(lateral, 11) * smoothstep(-0.05, 0.55, towardsDorsal) * (finger === THUMB ? own : 1)
  }
  const width = along < 0 ? 10.5 : 8.5
  return (place === 1 ? 1 : 0.95) * bell(along, width) * (0.45 + 0.55 * smoothstep(-0.75, 0.35, towardsDorsal)) * own
}

/** Bony node: two hard dorsolateral bumps, mm at size 1. */
function nodeProfile(along: number, towardsSide: number, towardsDorsal: number): number {
  const bump = bell(along, 3.6) * bell(towardsDorsal - 0.55, 0.42) *
    (towardsSide > 0 ? 1 : 0.8) * bell(Math.abs(towardsSide) - 0.75, 0.45)
  return 2.3 * bump + 0.7 * bell(along, 5) * smoothstep(-0.3, 0.4, towardsDorsal)
}

interface BoneMotion { readonly turn: Mat3, readonly shift: Vec3 }
const AT_REST: BoneMotion = { turn: IDENTITY, shift: [0, 0, 0] }
const move = ({ turn, shift }: BoneMotion, p: Vec3): Vec3 => add(apply(turn, p), shift)

/** Straightens, bends and spreads each finger from its root to its tip, stretching its segments by the finger's length. */
function poseBones(mesh: HandMesh, pose: Pose, build: Build): BoneMotion[] {
  const bones = Array.from({ length: mesh.boneCount }, () => AT_REST)
  const fan = mesh.fingers.map(({ nodes }) => {
    const [x, y] = subtract(nodes[2]!, nodes[1]!)
    return Math.atan2(x, y)
  })
  mesh.fingers.forEach(({ nodes, bones: ids, end }, finger) => {
    const segments = nodes.slice(0, -1).map((node, k) =>
      normalise(subtract(k + 2 === nodes.length ? end : nodes[k + 1]!, node)))
    let motion = AT_REST
    for (let k = 1; k < nodes.length - 1; k++) {
      const lateral = finger === THUMB ? mesh.frames.get(jointAt(finger, k))!.lateral : [1, 0, 0] as const
      let turn = rotationAbout(normalise(apply(motion.turn, lateral)), bendRadians(segments, finger, k, pose))
      if (k === 1) {
        const closed = finger === THUMB ? 0 : (pose.closeness ?? 0) * (fan[finger]! - fan[2]!)
        const spread = closed + radians(pose.abductionDegrees[finger]!) * (finger > 2 ? -1 : 1)
        turn = multiply(rotationAbout([0, 0, 1], spread), turn)
      }
      const stretch = k > 1 ? (build.fingerLength[finger]! - 1) * length(subtract(nodes[k]!, nodes[k - 1]!)) : 0
      const joint = add(move(motion, nodes[k]!), scale(apply(motion.turn, segments[k - 1]!), stretch))
      const whole = multiply(turn, motion.turn)
      motion = { turn: whole, shift: subtract(joint, apply(whole, nodes[k]!)) }
      bones[ids[k]!] = motion
    }
    bones[ids.at(-1)!] = motion
  })
  return bones
}

function bendRadians(segments: readonly Vec3[], finger: number, k: number, pose: Pose): number {
  if (finger === THUMB) return k === 1 ? -0.05 : 0.05
  const slope = (segment: Vec3) => Math.asin(Math.max(-1, Math.min(1, segment[2])))
  const bent = slope(segments[k]!) - (k === 1 ? 0 : slope(segments[k - 1]!))
  const flexion = radians(pose.flexionDegrees[finger]!) * (k === 1 ? 0.3 : k === 2 ? 1 : 0.6)
  const deformity = radians(pose.deformityDegrees?.[finger]?.[k - 1] ?? 0)
  return -bent * (k === 1 ? 0.55 : pose.straightening) - flexion - deformity
}

function skin(mesh: HandMesh, shaped: Float64Array, bones: readonly BoneMotion[]): Float32Array {
  const turns = Float64Array.from(bones.flatMap(({ turn, shift }) => [...turn.flat(), ...shift]))
  const vertices = new Float32Array(3 * mesh.vertexCount)
  for (let v = 0; v < mesh.vertexCount; v++) {
    const px = shaped[3 * v]!, py = shaped[3 * v + 1]!, pz = shaped[3 * v + 2]!
    let x = 0, y = 0, z = 0, total = 0
    for (let k = mesh.weightStart[v]!; k < mesh.weightStart[v + 1]!; k++) {
      const weight = mesh.weightValue[k]!, b = 12 * mesh.weightBone[k]!
      total += weight
      x += weight * (turns[b]! * px + turns[b + 1]! * py + turns[b + 2]! * pz + turns[b + 9]!)
      y += weight * (turns[b + 3]! * px + turns[b + 4]! * py + turns[b + 5]! * pz + turns[b + 10]!)
      z += weight * (turns[b + 6]! * px + turns[b + 7]! * py + turns[b + 8]! * pz + turns[b + 11]!)
    }
    vertices[3 * v] = x / total
    vertices[3 * v + 1] = y / total
    vertices[3 * v + 2] = z / total
  }
  return vertices
}

/** A joint's centre moves with the mean of the two bones that meet there. */
function posedPoints(mesh: HandMesh, bones: readonly BoneMotion[]): Pick<PosedHand, 'joints' | 'fingerEnds'> {
  const joints = new Map<SurfaceJoint, Vec3>()
  for (const [joint, { centre, finger, place }] of mesh.frames) {
    if (finger < 0) {
      joints.set(joint, centre)
      continue
    }
    const ids = mesh.fingers[finger]!.bones
    const before = place > 1 ? bones[ids[place - 1]!]! : AT_REST
    joints.set(joint, scale(add(move(bones[ids[place]!]!, centre), move(before, centre)), 0.5))
  }
  return { joints, fingerEnds: mesh.fingers.map(({ bones: ids, end }) => move(bones[ids.at(-1)!]!, end)) }
}
