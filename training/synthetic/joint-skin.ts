import { WRIST_SWELLING_AT_MM } from './dorsal-anatomy.ts'
import type { HandCase, JointState, SkinTraits } from './hand-case.ts'
import type { HandMesh, JointFrame } from './hand-mesh.ts'
import { bell, noise, smoothstep } from './noise.ts'
import { hashSeed, randomFrom } from './random.ts'
import type { SkinPoint } from './skin.ts'
import { SURFACE_JOINTS, jointKind } from './surface-joint.ts'
import type { JointKind } from './surface-joint.ts'

interface Fold { readonly at: number, readonly strength: number, readonly width: number, readonly slant: number, readonly shift: number }
export interface JointSkin {
  readonly kind: JointKind
  readonly frame: JointFrame
  readonly state: JointState
  readonly folds: readonly Fold[]
  /** Redness over a knuckle that is no sign of anything: the person's, more or less of it over each. */
  readonly flush: number
  /** Dorsal folds fade with swelling: 1.3 deep folds on a swollen PIP joint against 3.3 (Hügle 2022, PMC9247561). */
  readonly foldStrength: number
  /** Where the skin of a swollen joint is taut: its middle along the finger, its reach along and across, mm. */
  readonly taut: { readonly at: number, readonly length: number, readonly width: number }
  /** The same joint for a skin that has its folds already. */
  readonly foldless: Omit<JointSkin, 'foldless'>
}

const TAUT: Readonly<Record<JointKind, JointSkin['taut']>> = {
  wrist: { at: WRIST_SWELLING_AT_MM, length: 17, width: 22 }, mcp: { at: 0, length: 11, width: 11 },
  pip: { at: 0, length: 11, width: Infinity }, dip: { at: 0, length: 11, width: Infinity }
}

/** Share of the folds' depth that each grade of swelling takes. */
const FOLD_LOSS = 0.27

/** The joints' own skin: dorsal folds drawn from the hand's seed, redness, tautness. */
export function jointSkins(mesh: HandMesh, hand: HandCase): JointSkin[] {
  return SURFACE_JOINTS.map((joint) => {
    const kind = jointKind(joint), state = hand.joints[joint]
    const skin = {
      kind, state, frame: mesh.frames.get(joint)!, folds: sampleFolds(hashSeed(hand.handSeed, joint), kind),
      foldStrength: (1 - FOLD_LOSS * state.swelling) * hand.identity.skin.folds,
      taut: hand.identity.dorsum ? TAUT[kind] : TAUT.pip,
      flush: kind === 'mcp' ? (hand.identity.skin.knuckleFlush ?? 0) * randomFrom(hashSeed(hand.handSeed, joint, 'flush')).between(0.5, 1.5) : 0
    }
    return { ...skin, foldless: { ...skin, folds: [] } }
  })
}

const FOLD_SPACING_MM: Readonly<Record<JointKind, number>> = { wrist: 0, mcp: 2, pip: 1.55, dip: 1.25 }
const FOLD_STRENGTH: Readonly<Record<JointKind, number>> = { wrist: 0, mcp: 0.45, pip: 1, dip: 0.8 }

function sampleFolds(seed: number, kind: JointKind): Fold[] {
  const random = randomFrom(seed)
  const total = { wrist: 0, mcp: 6, dip: 5, pip: 8 + Math.floor(random.uniform() * 4) }[kind]
  return Array.from({ length: total }, (_, q) => ({
    at: (q - (total - 1) / 2) * FOLD_SPACING_MM[kind] + random.normal(0, 0.3),
    strength: (random.chance(0.3) ? random.between(0.8, 1.2) : random.between(0.25, 0.8)) * FOLD_STRENGTH[kind],
    width: random.between(0.28, 0.5) * (kind === 'mcp' ? 1.3 : 1),
    slant: random.between(-0.05, 0.05),
    shift: random.between(0, 50)
  }))
}

const REACH_MM = 40

export function paintJoint(point: SkinPoint, finger: Float32Array, joint: Omit<JointSkin, 'foldless'>, traits: SkinTraits, shift: number): void {
  const { kind, frame, state, flush } = joint
  const { centre: c, axis: a, dorsal: d, lateral: l } = frame
  const x = point.x - c[0], y = point.y - c[1], z = point.z - c[2]
  if (x * x + y * y + z * z > REACH_MM * REACH_MM) return
  const own = frame.finger < 0 || kind === 'mcp' ? 1 : finger[point.fingerAt + frame.finger]!
  if (own < 0.05) return
  const along = x * a[0] + y * a[1] + z * a[2]
  const lateral = x * l[0] + y * l[1] + z * l[2]
  const up = x * d[0] + y * d[1] + z * d[2]
  const towardsDorsal = up / (Math.hypot(up, lateral) || 1e-6)
  const dorsal = smoothstep(0.05, 0.6, towardsDorsal)
  if (joint.folds.length > 0 && dorsal > 0 && Math.abs(along) < 14) {
    paintFolds(point, joint, along, lateral, dorsal * own, traits, shift)
  }
  if (state.erythema + flush > 0) {
    const redness = (state.erythema + flush) * erythemaProfile(kind, along, lateral, towardsDorsal, own)
    point.haemoglobin += redness * (1.05 + 0.35 * noise(point.x / 6, point.y / 6, point.z / 6 + shift))
  }
  if (state.swelling > 0) { // taut and shiny
    const { at, length, width } = joint.taut
    const taut = state.swelling / 3 * bell(along - at, length) * bell(lateral, width) * dorsal * own
    point.roughness -= 0.09 * taut
    point.relief *= 1 - 0.35 * taut
    point.smoothing = Math.max(point.smoothing, FOLD_LOSS * state.swelling * bell(along, 13) * dorsal * own)
  }
}

function erythemaProfile(kind: JointKind, along: number, lateral: number, towardsDorsal: number, own: number): number {
  if (kind === 'wrist') return bell(along, 22) * bell(lateral, 22) * smoothstep(-0.2, 0.5, towardsDorsal)
  if (kind === 'mcp') return bell(along, 13) * bell(lateral, 12) * smoothstep(-0.2, 0.5, towardsDorsal)
  return bell(along, 11) * smoothstep(-0.9, 0.2, towardsDorsal) * own
}

/** Wavy folds across the joint in looser, bumpier, darker knuckle skin (normal pigmentation, a confounder of redness). */
function paintFolds(
  point: SkinPoint, { kind, frame, folds, foldStrength }: Omit<JointSkin, 'foldless'>, along: number, lateral: number, presence: number,
  { texture, knucklePigment }: SkinTraits, shift: number
): void {
  const { x, y, z } = point
  const sideways = bell(lateral / (frame.radius * (kind === 'mcp' ? 1 : 0.98)), 0.95) * presence
  const wobble = 0.8 * noise(lateral / 3.6 + shift, along / 5, frame.centre[0]) +
    0.35 * noise(lateral / 1.2, along / 1.6 + shift, frame.centre[1])
  const outward = Math.min(1.2, Math.abs(lateral) / frame.radius)
  let depth = 0
  for (const fold of folds) {
    const from = along + wobble - fold.at * (1 - 0.55 * outward * outward) - fold.slant * lateral
    const reach = fold.width * 1.15
    if (Math.abs(from) > 4 * reach) continue
    const broken = Math.max(0, 0.75 + 0.9 * noise(lateral / 2.4 + fold.shift, fold.at * 3, shift))
    depth = Math.max(depth, fold.strength * bell(from, reach) * broken)
  }
  depth *= sideways * foldStrength
  point.relief -= 0.8 * depth
  point.melanin += (0.1 + 0.42 * point.melanin) * depth
  point.haemoglobin += 0.34 * depth
  const knuckle = bell(along, kind === 'dip' ? 5 : 7.5) * sideways * (kind === 'dip' ? 0.6 : kind === 'mcp' ? 0.5 : 1)
  point.melanin *= 1 + (0.16 + 0.75 * knucklePigment) * knuckle
  point.haemoglobin += (0.1 + 0.28 * knucklePigment) * knuckle
  point.relief += texture * 0.26 * knuckle * noise(x / 2 + shift, y / 0.95, z / 2) * foldStrength
  point.melanin += texture * 0.1 * knuckle * (point.fine + point.coarse)
}
