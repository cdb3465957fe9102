import type { SkinTraits } from './hand-case.ts'
import type { HandMesh } from './hand-mesh.ts'
import { bell, smoothstep } from './noise.ts'
import { reflectance } from './skin.ts'
import type { SkinPoint } from './skin.ts'
import { FINGERS, THUMB, jointAt } from './surface-joint.ts'
import { cross, dot, length, normalise, perpendicularTo, subtract } from './vectors.ts'
import type { Vec3 } from './vectors.ts'

/** Where a finger's nail lies, in the finger end's own directions. */
export interface NailBed {
  readonly joint: Vec3
  readonly axis: Vec3
  readonly dorsal: Vec3
  readonly lateral: Vec3
  /** Last joint to finger end, mm. */
  readonly reach: number
  /** Height of the finger's middle above the joint, mm. */
  readonly middle: number
  readonly halfWidth: number
  readonly length: number
}

export function nailBeds(mesh: HandMesh): NailBed[] {
  return FINGERS.map((_, finger) => {
    const { nodes, end } = mesh.fingers[finger]!
    const joint = nodes.at(-2)!
    const frame = mesh.frames.get(jointAt(finger, nodes.length - 2))!
    const tip = subtract(end, joint)
    const axis = normalise(tip)
    const dorsal = normalise(perpendicularTo(axis, frame.dorsal))
    return {
      joint, axis, dorsal, lateral: cross(axis, dorsal), reach: length(tip), middle: dot(subtract(frame.centre, joint), dorsal),
      halfWidth: frame.radius * (finger === THUMB ? 1 : 0.88) * 0.72, length: finger === THUMB ? 13 : finger === 4 ? 9.5 : 11.5
    }
  })
}

const FREE_EDGE_MM = 1.6
const NAIL_PLATE = [0.72, 0.66, 0.56] as const

export function paintNails(
  point: SkinPoint, finger: Float32Array, beds: readonly NailBed[], traits: SkinTraits, polish: Vec3 | null
): void {
  for (let f = 0; f < 5; f++) {
    if (finger[point.fingerAt + f]! < 0.5) continue
    const bed = beds[f]!
    const x = point.x - bed.joint[0], y = point.y - bed.joint[1], z = point.z - bed.joint[2]
    const fromTip = bed.reach - (x * bed.axis[0] + y * bed.axis[1] + z * bed.axis[2])
    if (fromTip > 16 || fromTip < -2) continue
    if (x * bed.dorsal[0] + y * bed.dorsal[1] + z * bed.dorsal[2] - bed.middle < -1) continue
    const u = (x * bed.lateral[0] + y * bed.lateral[1] + z * bed.lateral[2]) / bed.halfWidth
    paintNail(point, u, (fromTip - FREE_EDGE_MM) / bed.length, traits, polish)
  }
}

/** `u` -1..1 across the nail, `t` 0 at the free edge to 1 at the cuticle. */
function paintNail(point: SkinPoint, u: number, t: number, { melanin }: SkinTraits, polish: Vec3 | null): void {
  const edge = Math.abs(u) ** 3.2 + Math.abs((t - 0.5) * 2) ** 3.4
  const cover = smoothstep(1.12, 0.92, edge)
  if (cover > 0) {
    const free = smoothstep(0.1, 0.02, t)
    const lunula = smoothstep(0.8, 0.97, t + 0.25 * u * u) * 0.5 * 0.45
    const colour = (band: 0 | 1 | 2) => {
      if (polish) return 0.02 + 0.75 * polish[band] ** 2
      const bed = reflectance(band, melanin * 0.38, 0.62 + 0.2 * (1 - free))
      return (bed * (1 - free) + NAIL_PLATE[band] * free) * (1 - lunula) + 0.62 * lunula
    }
    point.red = point.red * (1 - cover) + colour(0) * cover
    point.green = point.green * (1 - cover) + colour(1) * cover
    point.blue = point.blue * (1 - cover) + colour(2) * cover
    point.roughness = point.roughness * (1 - cover) + (polish ? 0.12 : 0.27) * cover
    point.relief = point.relief * (1 - cover) + cover * (0.28 - 0.1 * u * u)
    point.translucency = 1 - 0.6 * cover
  }
  const rim = 1 - 0.22 * bell(edge - 1.05, 0.16)
  point.red *= rim
  point.green *= rim
  point.blue *= rim
}
