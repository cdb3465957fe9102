import type { Dorsum, Grade, JointStates } from './hand-case.ts'
import type { HandMesh } from './hand-mesh.ts'
import { bell, smoothstep } from './noise.ts'
import { hashSeed, randomFrom } from './random.ts'
import type { SkinPoint } from './skin.ts'
import { THUMB, jointAt } from './surface-joint.ts'
import { dot, length, normalise, scale, subtract } from './vectors.ts'
import type { Vec3 } from './vectors.ts'

/**
 * What a healthy back of the hand shows and a swollen joint hides: valleys between the knuckles, extensor tendons, the
 * head of the ulna and the hollow beyond it, the snuffbox, creases over the wrist. The meshes have next to none of it, and
 * without it a swollen MCP joint or wrist takes nothing away. All of it is a function of rest position, so it fits any mesh.
 */
export interface DorsalAnatomy {
  /** Height of the skin over the bare mesh at a rest position, mm along +Z, and outwards from the wrist's axis. */
  raise(x: number, y: number, z: number): { readonly dorsal: number, readonly outward: number }
  /** Tendons and creases in the relief and colour of one point of skin. */
  paint(point: SkinPoint): void
  /** How far a swollen joint hides tendons and veins at a place, 0..1. */
  hidden(x: number, y: number): number
}

/** Share of valleys, hollows and tendons that swelling of each grade hides. A guess, to be reviewed by a rheumatologist. */
export const HIDDEN_BY_GRADE: Readonly<Record<Grade, number>> = { 0: 0, 1: 0.4, 2: 0.75, 3: 1 }

/** Heights at strength 1, mm. */
const VALLEY_MM = 2.4, KNUCKLE_MM = 1, TENDON_MM = 1.2, CREASE_MM = 0.4
const ULNAR_HEAD_MM = 3, ULNAR_HOLLOW_MM = 1.4, SNUFFBOX_MM = 2.4

interface Knuckle { readonly at: Vec3, readonly hidden: number }
/** Hollow between two knuckles: its middle, its direction away from the wrist, and how far both neighbours fill it. */
interface Valley { readonly at: Vec3, readonly along: Vec3, readonly filled: number }
interface Tendon { readonly from: Vec3, readonly along: Vec3, readonly reach: number, readonly height: number, readonly width: number }

export function dorsalAnatomy(mesh: HandMesh, dorsum: Dorsum, joints: JointStates, handSeed: number): DorsalAnatomy {
  const knuckles = [1, 2, 3, 4].map((finger): Knuckle => {
    const joint = jointAt(finger, 1)
    return { at: mesh.frames.get(joint)!.centre, hidden: HIDDEN_BY_GRADE[joints[joint].swelling] }
  })
  const valleys = knuckles.slice(1).map((next, k) => valleyBetween(knuckles[k]!, next))
  const tendons = extensorTendons(mesh, dorsum, handSeed)
  const wristHidden = HIDDEN_BY_GRADE[joints.wrist.swelling]
  const axisX = wristMiddle(mesh)
  const creases = wristCreases(handSeed)

  const hidden = (x: number, y: number) => {
    let most = wristHidden * bell(y - WRIST_SWELLING_AT_MM, 26)
    for (const { at, hidden } of knuckles) most = Math.max(most, hidden * bell(y - at[1], 16) * bell(x - at[0], 12))
    return most
  }
  return {
    hidden,
    raise(x, y, z) {
      let dorsal = 0
      for (const { at, along, filled } of valleys) {
        const dx = x - at[0], dy = y - at[1]
        const reach = dx * along[0] + dy * along[1], aside = dx * along[1] - dy * along[0]
        if (Math.abs(aside) > 12 || reach < -45 || reach > 16) continue
        dorsal -= VALLEY_MM * dorsum.knuckles * bell(aside, 4.4) * smoothstep(-45, -8, reach) * smoothstep(16, 3, reach) *
          smoothstep(1, 6, z - at[2]) * (1 - filled * bell(reach + 2, 17))
      }
      for (const { at, hidden } of knuckles) {
        dorsal += KNUCKLE_MM * dorsum.knuckles * bell(y - at[1], 7.5) * bell(x - at[0], 6.5) * smoothstep(1, 6, z - at[2]) * (1 - hidden)
      }
      return { dorsal, outward: Math.abs(y) > 45 ? 0 : raiseWrist(x - axisX, y, z, dorsum, wristHidden) }
    },
    paint(point) {
      if (point.dorsal <= 0.2 || point.inFinger > 0.85) return
      const { x, y } = point
      const shown = point.dorsal * (1 - hidden(x, y))
      let height = 0
      for (const { from, along, reach, height: own, width } of tendons) {
        const dx = x - from[0], dy = y - from[1]
        const at = dx * along[0] + dy * along[1], aside = dx * along[1] - dy * along[0]
        if (at < 0 || at > reach + 6 || Math.abs(aside) > 3 * width) continue
        height = Math.max(height, own * bell(aside, width) * smoothstep(0, 20, at) * smoothstep(reach + 6, reach - 6, at))
      }
      point.relief += TENDON_MM * height * shown
      point.melanin *= 1 - 0.05 * height * shown
      point.haemoglobin *= 1 - 0.1 * height * shown
      paintCreases(point, creases, dorsum.wristCreases * point.dorsal * (1 - wristHidden))
    }
  }
}

/** Wrist synovitis bulges over the carpus, beyond the joint line and the head of the ulna. */
export const WRIST_SWELLING_AT_MM = 7

function valleyBetween(a: Knuckle, b: Knuckle): Valley {
  const at = scale([a.at[0] + b.at[0], a.at[1] + b.at[1], a.at[2] + b.at[2]], 0.5)
  return { at, along: normalise([at[0] * 0.8, at[1], 0]), filled: 1 - (1 - a.hidden) * (1 - b.hidden) }
}

/** Extensor digitorum to the four fingers, fanning out from the middle of the wrist, and extensor pollicis longus. */
function extensorTendons(mesh: HandMesh, dorsum: Dorsum, handSeed: number): Tendon[] {
  const random = randomFrom(hashSeed(handSeed, 'tendons'))
  return [THUMB, 1, 2, 3, 4].map((finger) => {
    const to = mesh.frames.get(jointAt(finger, 1))!.centre
    const from: Vec3 = finger === THUMB ? [-9, 2, 0] : [0.16 * to[0] + 1, 6, 0]
    const path = subtract([to[0], to[1], 0], from)
    const strength = [0.7, 1, 1, 0.8, 0.6][finger]! * random.between(0.5, 1.15)
    return {
      from, along: normalise(path), reach: length(path), height: dorsum.tendons * strength, width: random.between(1.8, 2.5)
    }
  })
}

/** Middle of the wrist from side to side. */
function wristMiddle({ rest }: HandMesh): number {
  let low = Infinity, high = -Infinity
  for (let v = 0; v < rest.length; v += 3) {
    if (Math.abs(rest[v + 1]!) > 5) continue
    low = Math.min(low, rest[v]!)
    high = Math.max(high, rest[v]!)
  }
  return Number.isFinite(low) ? (low + high) / 2 : 0
}

const ULNAR_HEAD = normalise([0.66, 0, 0.75]), ULNAR_HOLLOW = normalise([0.75, 0, 0.66]), SNUFFBOX = normalise([-0.85, 0, 0.52])

/** The head of the ulna, the hollow beyond it, and the snuffbox at the root of the thumb, mm outwards. */
function raiseWrist(x: number, y: number, z: number, { ulnarHead, snuffbox }: Dorsum, hidden: number): number {
  const size = Math.hypot(x, z) || 1e-6
  const angleTo = (direction: Vec3) => Math.acos(Math.min(1, dot(direction, [x / size, 0, z / size])))
  return ULNAR_HEAD_MM * ulnarHead * bell(y + 13, 9) * bell(angleTo(ULNAR_HEAD), 0.5) * (1 - 0.4 * hidden) -
    ULNAR_HOLLOW_MM * ulnarHead * bell(y - 5, 7) * bell(angleTo(ULNAR_HOLLOW), 0.5) * (1 - hidden) -
    SNUFFBOX_MM * snuffbox * bell(y - 15, 9) * bell(angleTo(SNUFFBOX), 0.42) * (1 - hidden)
}

interface Crease { readonly at: number, readonly strength: number, readonly slant: number, readonly bend: number }

function wristCreases(handSeed: number): Crease[] {
  const random = randomFrom(hashSeed(handSeed, 'wrist creases'))
  return Array.from({ length: 4 }, (_, q) => ({
    at: -6 + 5 * q + random.normal(0, 1), strength: random.between(0.2, 1), slant: random.between(-0.08, 0.08),
    bend: random.between(0.003, 0.009)
  }))
}

function paintCreases(point: SkinPoint, creases: readonly Crease[], strength: number): void {
  const { x, y } = point
  if (strength <= 0 || y < -18 || y > 22) return
  let depth = 0
  for (const { at, strength: own, slant, bend } of creases) {
    const from = y - at - slant * x + bend * x * x + 0.5 * point.coarse
    depth = Math.max(depth, own * bell(from, 0.7))
  }
  depth *= strength * bell(x, 26)
  point.relief -= CREASE_MM * depth
  point.melanin *= 1 + 0.16 * depth
  point.haemoglobin += 0.1 * depth
}
