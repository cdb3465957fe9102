import { paintCuff } from './cuff.ts'
import type { DorsalAnatomy } from './dorsal-anatomy.ts'
import type { HandCase, SkinTraits } from './hand-case.ts'
import type { FingerChain, HandMesh } from './hand-mesh.ts'
import { paintNails, nailBeds } from './nails.ts'
import { fractalNoise, noise, smoothstep } from './noise.ts'
import { jointSkins, paintJoint } from './joint-skin.ts'
import type { JointSkin } from './joint-skin.ts'
import { hashSeed, randomFrom } from './random.ts'
import { skinMarks } from './skin-marks.ts'
import type { PaintMarks } from './skin-marks.ts'
import { textureOf } from './skin-texture.ts'
import type { OwnTexture, SkinTexture } from './skin-texture.ts'
import type { VisibleSurface } from './surface.ts'
import { jointAt } from './surface-joint.ts'

/** Colour and feel of the skin per entry of the visible surface. */
export interface SkinPaint {
  /** Linear RGB reflectance. */
  readonly albedo: Float32Array
  /** Fine relief, mm. */
  readonly relief: Float32Array
  readonly roughness: Float32Array
  /** 1 skin to 0 metal: how much light spreads under the surface. */
  readonly translucency: Float32Array
  /** Share of a texture's own relief per entry, where the mesh has a texture. */
  readonly textureRelief?: Float32Array
}

/** One point of skin while it is painted; the painters below change it in place, because this is the innermost loop. */
export interface SkinPoint {
  /** Rest position, mm. */
  x: number, y: number, z: number
  /** Finger weights of this point start here in `VisibleSurface.finger`. */
  fingerAt: number
  /** Largest finger weight. */
  inFinger: number
  dorsal: number
  /** How far a mesh's own skin texture has lost its folds here, 0..1. */
  smoothing: number
  melanin: number, haemoglobin: number, relief: number, roughness: number, translucency: number
  /** Noise that several painters share: about 0.75 mm and 1.6 mm grain. */
  fine: number, coarse: number
  red: number, green: number, blue: number
}

/** Reflectance without chromophores, and absorption of melanin and haemoglobin per RGB band (Beer-Lambert; our guesses). */
const BASE = [0.8, 0.66, 0.57] as const
const MELANIN = [0.46, 0.62, 0.8] as const
const HAEMOGLOBIN = [0.06, 0.46, 0.4] as const

export const reflectance = (band: 0 | 1 | 2, melanin: number, haemoglobin: number): number =>
  BASE[band] * Math.exp(-melanin * MELANIN[band] - haemoglobin * HAEMOGLOBIN[band])

/**
 * Paints skin as a function of rest position: grain, blotches, folds, veins, spots, hair, nails and ring. Calibrated on the
 * band energy of log-luminance of 35 real people's hands; the first version by eye was three to four times too smooth.
 */
export function paintSkin(
  mesh: HandMesh, surface: VisibleSurface, hand: HandCase, { texture, anatomy }: SkinExtras = {}
): SkinPaint {
  const { count } = surface
  const paint: SkinPaint = {
    albedo: new Float32Array(3 * count), relief: new Float32Array(count), roughness: new Float32Array(count),
    translucency: new Float32Array(count), ...(texture ? { textureRelief: new Float32Array(count) } : {})
  }
  const traits = hand.identity.skin
  const shift = randomFrom(hashSeed(hand.handSeed, 'skin')).between(0, 500)
  const joints = jointSkins(mesh, hand), nails = nailBeds(mesh)
  const drawn: DrawnSkin = { mesh, anatomy, finger: surface.finger, joints, traits, shift, marks: hand.marks && skinMarks(mesh, hand.marks, hand.handSeed) }
  const own = texture && textureOf(texture, hand.identity)
  const point = emptyPoint()
  for (let i = 0; i < count; i++) {
    startPoint(point, surface, i, traits)
    const share = own ? own.share(surface.uv![2 * i]!, point.y) : 0
    if (share < 1) drawSkin(point, drawn)
    if (own && share < 1) own.tint(point)
    if (own && share > 0) paintTexture(point, drawn, own, surface, i, share)
    if (!own || hand.adornments.polish) paintNails(point, surface.finger, nails, traits, hand.adornments.polish)
    paintRing(point, surface.finger, mesh, hand)
    if (hand.adornments.cuff) paintCuff(point, hand.adornments.cuff)
    paint.albedo[3 * i] = point.red
    paint.albedo[3 * i + 1] = point.green
    paint.albedo[3 * i + 2] = point.blue
    paint.relief[i] = point.relief
    paint.roughness[i] = Math.max(0.1, point.roughness)
    paint.translucency[i] = point.translucency
    if (paint.textureRelief) paint.textureRelief[i] = share * (1 - RELIEF_LOSS * Math.min(1, point.smoothing))
  }
  return paint
}

/** Stretched skin loses most of its relief and part of its fine colour; without the rest it would look out of focus. */
const COLOUR_LOSS = 0.5, RELIEF_LOSS = 0.8

/** What only some hands have. */
export interface SkinExtras { readonly texture?: SkinTexture | undefined, readonly anatomy?: DorsalAnatomy | undefined }

interface DrawnSkin {
  readonly anatomy: DorsalAnatomy | undefined
  readonly mesh: HandMesh
  readonly finger: Float32Array
  readonly joints: readonly JointSkin[]
  readonly traits: SkinTraits
  readonly shift: number
  readonly marks: PaintMarks | undefined
}

/** Skin of a mesh that brings none. */
function drawSkin(point: SkinPoint, { mesh, finger, joints, traits, shift, anatomy, marks }: DrawnSkin): void {
  paintGrain(point, traits, shift)
  paintFingers(point, finger, mesh.fingers)
  paintMicroRelief(point, traits, shift)
  for (const joint of joints) paintJoint(point, finger, joint, traits, shift)
  point.haemoglobin *= 1 + traits.redness
  paintVeins(point, traits, shift, anatomy)
  anatomy?.paint(point)
  paintSpotsAndHair(point, traits, shift)
  marks?.(point, finger)
  const haemoglobin = Math.max(0.05, point.haemoglobin)
  point.red = reflectance(0, point.melanin, haemoglobin)
  point.green = reflectance(1, point.melanin, haemoglobin)
  point.blue = reflectance(2, point.melanin, haemoglobin)
}

/**
 * Skin of a mesh's own texture: redness and spots darken it as they darken drawn skin, swelling fades its folds. `share`
 * is how much of it shows; the rest is the drawn skin that the point already has.
 */
function paintTexture(
  point: SkinPoint, { finger, joints, traits, shift, anatomy, marks }: DrawnSkin, own: OwnTexture, surface: VisibleSurface, i: number, share: number
): void {
  const { red, green, blue } = point
  startPoint(point, surface, i, traits)
  const { melanin, haemoglobin } = point
  for (const joint of joints) paintJoint(point, finger, joint.foldless, traits, shift)
  point.haemoglobin *= 1 + traits.redness
  paintSpotsAndHair(point, traits, shift)
  marks?.(point, finger)
  if (anatomy && point.dorsal > 0.2) point.smoothing = Math.max(point.smoothing, 0.9 * anatomy.hidden(point.x, point.y))
  const u = surface.uv![2 * i]!, v = surface.uv![2 * i + 1]!
  const band = (q: 0 | 1 | 2) => own.colour(q, u, v, COLOUR_LOSS * Math.min(1, point.smoothing)) *
    reflectance(q, point.melanin, point.haemoglobin) / reflectance(q, melanin, haemoglobin)
  point.red = red * (1 - share) + band(0) * share
  point.green = green * (1 - share) + band(1) * share
  point.blue = blue * (1 - share) + band(2) * share
}

const emptyPoint = (): SkinPoint => ({
  x: 0.5, y: 0.5, z: 0.5, fingerAt: 0, inFinger: 0.5, dorsal: 0.5, melanin: 0.5, haemoglobin: 0.5, relief: 0.5,
  roughness: 0.5, translucency: 0.5, smoothing: 0.5, fine: 0.5, coarse: 0.5, red: 0.5, green: 0.5, blue: 0.5
})

/** Palmar skin is lighter and pinker. */
function startPoint(point: SkinPoint, surface: VisibleSurface, i: number, traits: SkinTraits): void {
  point.x = surface.rest[3 * i]!
  point.y = surface.rest[3 * i + 1]!
  point.z = surface.rest[3 * i + 2]!
  point.fingerAt = 5 * i
  point.dorsal = smoothstep(-0.35, 0.25, surface.normal[3 * i + 2]!)
  point.melanin = traits.melanin * (0.35 + 0.65 * point.dorsal)
  point.haemoglobin = traits.haemoglobin * (1 + 0.35 * (1 - point.dorsal))
  point.relief = 0
  point.smoothing = 0
  point.roughness = 0.46
  point.translucency = 1
}

/** Grain grows with melanin only up to here; beyond, dark skin would look speckled. */
const GRAIN_MELANIN_LIMIT = 1.3

function paintGrain(point: SkinPoint, { texture, blotches }: SkinTraits, shift: number): void {
  const { x, y, z } = point
  const broad = fractalNoise((x + shift) / 26, y / 26, z / 26, 3)
  const middle = noise((x + shift) / 5, y / 5, z / 5)
  point.fine = noise((x + shift) / 0.75, y / 0.75, z / 0.75)
  point.coarse = noise((x - shift) / 1.6, y / 1.6, z / 1.6)
  const speckle = noise(x / 1.7, (y + shift) / 1.7, z / 1.7), patch = noise(x / 3.3, (y + shift) / 3.3, z / 3.3)
  point.melanin += texture * (0.1 + 0.16 * Math.min(point.melanin, GRAIN_MELANIN_LIMIT)) *
    (0.55 * speckle + 0.9 * point.fine + 0.8 * point.coarse + 0.8 * patch)
  point.haemoglobin += texture * 0.13 * (0.6 * point.fine + 0.9 * noise((x + shift) / 1.3, y / 1.3, z / 1.3 + 9) +
    0.9 * noise((x + shift) / 2.8, y / 2.8, z / 2.8 + 4))
  point.melanin *= 1 + 0.1 * broad + 0.05 * middle
  point.haemoglobin *= 1 + blotches * (1.3 * broad + 0.8 * noise((x - shift) / 9, y / 9, z / 9))
}

/** Finger tips are redder. */
function paintFingers(point: SkinPoint, finger: Float32Array, chains: readonly FingerChain[]): void {
  point.inFinger = 0
  for (let f = 0; f < 5; f++) {
    const weight = finger[point.fingerAt + f]!
    if (weight <= 0.05) continue
    if (weight > point.inFinger) point.inFinger = weight
    const end = chains[f]!.end
    const dx = point.x - end[0], dy = point.y - end[1], dz = point.z - end[2]
    point.haemoglobin += 0.22 * weight * Math.exp(-(dx * dx + dy * dy + dz * dz) / 256)
  }
}

function paintMicroRelief(point: SkinPoint, { texture, age }: SkinTraits, shift: number): void {
  const { x, y, z } = point
  const ridges = 1 - 2 * Math.abs(noise(x / 2.3 + shift, y / 1.5, z / 2.3))
  point.relief += texture * (0.05 * point.fine + 0.11 * noise(x / 1.9, y / 1.4, z / 1.9 + shift) +
    0.14 * noise(x / 4.2, y / 2.4, z / 4.2 + shift) + 0.09 * ridges)
  point.relief += age * 0.16 * Math.abs(noise(x / 2.6, y / 6.5, z / 2.6 + shift)) * (point.inFinger > 0.3 ? 0.6 : 1)
}

function paintVeins(point: SkinPoint, { veins }: SkinTraits, shift: number, anatomy: DorsalAnatomy | undefined): void {
  if (point.inFinger >= 0.6 || point.dorsal <= 0.2) return
  const { y } = point
  const x = point.x + 3 * noise(point.x / 14, y / 14, shift)
  const main = Math.abs(noise((x + shift) / 13, y / 42, shift * 0.3))
  const branch = Math.abs(noise((x - shift) / 11, y / 30, shift * 0.7 + 5))
  const vein = (smoothstep(0.09, 0, main) + 0.7 * smoothstep(0.07, 0, branch)) *
    point.dorsal * (1 - point.inFinger) * smoothstep(-5, 18, y) * veins * (anatomy ? 1 - anatomy.hidden(point.x, y) : 1)
  point.relief += 0.38 * vein
  point.haemoglobin -= 0.06 * vein
  point.melanin *= 1 + 0.09 * vein
}

function paintSpotsAndHair(point: SkinPoint, { spots, hair }: SkinTraits, shift: number): void {
  const { x, y, z } = point
  if (point.dorsal <= 0.4) return
  if (spots > 0) {
    const large = smoothstep(0.4, 0.75, noise((x + shift * 2) / 3.4, y / 3.4, z / 3.4))
    const small = smoothstep(0.45, 0.8, noise((x - shift) / 1.9, y / 1.9, z / 1.9))
    point.melanin += (large + 0.6 * small) * spots * 0.4
  }
  if (hair > 0 && point.inFinger < 0.9) {
    const strand = Math.abs(noise((x + y * 0.35) / 0.55 + shift, (y - x * 0.25) / 6.5, z / 3))
    point.melanin += smoothstep(0.035, 0, strand) * smoothstep(0.1, 0.5, noise(x / 12 + shift, y / 12, 3)) * hair * 0.5 * 1.2
  }
}

const RING_FROM_MCP_MM = 23

function paintRing(point: SkinPoint, finger: Float32Array, mesh: HandMesh, { adornments: { ring } }: HandCase): void {
  if (!ring || finger[point.fingerAt + ring.finger]! <= 0.6) return
  const { centre, axis } = mesh.frames.get(jointAt(ring.finger, 1))!
  const along = (point.x - centre[0]) * axis[0] + (point.y - centre[1]) * axis[1] + (point.z - centre[2]) * axis[2]
  if (smoothstep(2.6, 2.2, Math.abs(along - RING_FROM_MCP_MM)) <= 0) return
  point.red = ring.gold ? 0.75 : 0.6
  point.green = ring.gold ? 0.52 : 0.6
  point.blue = ring.gold ? 0.18 : 0.62
  point.roughness = 0.16
  point.relief = 1.1
  point.translucency = 0
}
