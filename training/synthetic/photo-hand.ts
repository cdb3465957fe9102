import sharp from 'sharp'
import { palmLength } from '../../src/inference/hand-landmarks/hand-geometry.ts'
import type { LocatedHand } from '../../src/inference/hand-landmarks/hand-locator.ts'
import type { Point } from '../../src/inference/hand-landmarks/photo-square.ts'
import { jointSquare } from '../../src/inference/joint-crops.ts'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../../src/joints/hand-joint.ts'
import { FINGER_HALF_WIDTH, FINGER_LANDMARKS, handMask } from './hand-mask.ts'
import { blurred, blurredWithin, plane, sampleAt, type Plane } from './planes.ts'
import { THUMB, jointKind, type JointKind } from './surface-joint.ts'
import type { RgbPhoto } from './skin-statistics.ts'

/** Wrist to middle MCP of an adult as the landmarks give it on real hands, mm: turns grades in mm into pixels. A usual size, not this person's. */
export const PALM_MM = 95
/** Enough for joint crops of 96 pixels with room, and quick to edit. */
const WORKING_PALM_PX = 320
/** What is finer is the camera's grain; what lies between fine and soft are folds; between soft and broad, knuckles and valleys. Sigma, mm. */
const FINE_MM = 0.3, SOFT_MM = 1.9, BROAD_MM = 7, HEM_MM = 0.35

/** One hand of a real photo, taken apart for editing: everything in working pixels, light linear 0..1. */
export interface PhotoHand {
  readonly side: Laterality
  readonly points: readonly Point[]
  readonly pixelsPerMm: number
  /** Three channels each: the photo, and its skin without grain, without folds, without knuckles. */
  readonly photo: Plane
  readonly fine: Plane
  readonly soft: Plane
  readonly broad: Plane
  /** 0..1, one channel: what is hand; and the same with a soft hem, to lay moved skin over what lies beside it. */
  readonly mask: Plane
  readonly hem: Plane
  readonly joints: ReadonlyMap<HandJoint, JointPlace>
  readonly light: Light
  /** log(red / green) of the back of the hand, linear light, and how much redness shows on this skin, 0..1. */
  readonly skin: { readonly redness: number, readonly showsRedness: number }
}

/** Where a joint lies and where its finger ends. Unit vectors point distally and to the right of it. */
export interface JointPlace {
  readonly joint: HandJoint
  readonly kind: JointKind
  /** 0..4, -1 for the wrist. */
  readonly finger: number
  readonly centre: Point
  readonly axis: Point
  readonly lateral: Point
  /** Distance from the axis to the outline in mm, `along` mm distal of the joint, on the side of `sign`; undefined: no outline near. */
  edge(along: number, sign: number): number | undefined
}

/** Luminance of skin = ambient + direction · normal; x and y of the picture, z to the camera. */
export interface Light { readonly ambient: number, readonly direction: readonly [number, number, number] }

/** Own bar: below it a PIP crop has fewer than 36 pixels. */
const MIN_PALM_PX = 80
const MIN_SIDE_CONFIDENCE = 0.6

/** The one hand of a photo when it can be edited, or why not. */
export function usableHand([hand, second]: readonly LocatedHand[]): LocatedHand | { readonly reason: string } {
  if (!hand) return { reason: 'no-hand' }
  if (second) return { reason: 'several-hands' }
  if (hand.view !== 'dorsal') return { reason: `${hand.view}-view` }
  if (hand.sideConfidence < MIN_SIDE_CONFIDENCE) return { reason: 'side-unclear' }
  return palmLength(hand.points) < MIN_PALM_PX ? { reason: 'hand-too-small' } : hand
}

/** Photo and landmarks at the working size, and what the editor needs to know of the hand. */
export async function takeApart(
  picture: RgbPhoto, hand: Pick<LocatedHand, 'points' | 'side'>, melanin: number | undefined
): Promise<PhotoHand> {
  const shrink = Math.min(1, WORKING_PALM_PX / palmLength(hand.points))
  const width = Math.round(picture.width * shrink), height = Math.round(picture.height * shrink)
  const data = shrink === 1 ? picture.data
    : await sharp(picture.data, { raw: { width: picture.width, height: picture.height, channels: 3 } }).resize(width, height).raw().toBuffer()
  const points = hand.points.map(({ x, y }) => ({ x: x * width / picture.width, y: y * height / picture.height }))
  const pixelsPerMm = palmLength(points) / PALM_MM
  const photo = { ...plane(width, height, 3), data: Float32Array.from(data, (value) => (value / 255) ** 2.2) }
  const mask = handMask({ data, width, height }, points, pixelsPerMm)
  const skinOf = (sigmaMm: number) => blurredWithin(photo, mask, Math.max(0.6, sigmaMm * pixelsPerMm))
  const soft = skinOf(SOFT_MM)
  const joints = new Map(HAND_JOINTS.map((joint) => [joint, jointPlace(joint, { points, side: hand.side }, mask, pixelsPerMm)]))
  return {
    side: hand.side, points, pixelsPerMm, photo, fine: skinOf(FINE_MM), soft, broad: skinOf(BROAD_MM), mask, joints,
    hem: blurred(mask, Math.max(0.9, HEM_MM * pixelsPerMm)),
    light: fitLight(soft, mask, [...joints.values()], pixelsPerMm), skin: skinReference(photo, mask, points, melanin)
  }
}

const PLAN = { globalSizePx: 1, localSizePx: 1, globalMargin: 0, scales: { wrist: 1, mcp: 1, pip: 1 }, mcpProximalShift: 0 }
/** The landmark lies on the carpus, distal of the wrist joint. */
const WRIST_SHIFT_MM = 8
const REACH_MM = 26

function jointPlace(joint: HandJoint, hand: Pick<LocatedHand, 'points' | 'side'>, mask: Plane, pixelsPerMm: number): JointPlace {
  const { cx, cy, rotation } = jointSquare(joint, hand, PLAN)
  const kind = jointKind(joint), finger = joint === 'wrist' ? -1 : Number(joint.at(-1)) - 1
  const axis = { x: Math.sin(rotation), y: -Math.cos(rotation) }, lateral = { x: Math.cos(rotation), y: Math.sin(rotation) }
  const back = kind === 'wrist' ? WRIST_SHIFT_MM * pixelsPerMm : 0
  const landmark = { x: cx - back * axis.x, y: cy - back * axis.y }
  const usual = finger < 0 ? 30 : FINGER_HALF_WIDTH[finger]! * PALM_MM
  const walk = (centre: Point, along: number, sign: number) =>
    outline(mask, { x: centre.x + along * pixelsPerMm * axis.x, y: centre.y + along * pixelsPerMm * axis.y }, lateral, sign, pixelsPerMm, (kind === 'pip' ? 1.7 : 1.4) * usual)
  const [left, right] = [-1, 1].map((sign) => walk(landmark, 0, sign))
  const off = kind === 'pip' && left !== undefined && right !== undefined ? Math.max(-4, Math.min(4, (right - left) / 2)) * pixelsPerMm : 0
  const centre = { x: landmark.x + off * lateral.x, y: landmark.y + off * lateral.y }
  const sides = [-1, 1].map((sign) => {
    if (kind === 'mcp' && !isOuterSide(finger, sign, lateral, hand.points)) return undefined
    const found = Array.from({ length: 2 * REACH_MM + 1 }, (_, k) => walk(centre, k - REACH_MM, sign))
    const likely = kind === 'pip' ? found.map((mm) => mm !== undefined && mm > 0.5 * usual ? mm : undefined) : found
    if (likely.some((mm) => mm !== undefined)) return nearMiddle(smoothed(filled(likely)))
    return kind === 'pip' ? likely.map(() => usual) : undefined
  })
  return {
    joint, kind, finger, centre, axis, lateral,
    edge: (along, sign) => {
      const side = sides[sign < 0 ? 0 : 1]
      if (!side) return undefined
      const at = Math.max(0, Math.min(2 * REACH_MM - 0.001, along + REACH_MM)), low = Math.floor(at)
      return side[low]! * (1 - at + low) + side[low + 1]! * (at - low)
    }
  }
}

/** Only the thumb, the index and the little finger show a side of their MCP joint. */
function isOuterSide(finger: number, sign: number, lateral: Point, points: readonly Point[]): boolean {
  const neighbour = { 0: 5, 1: 9, 4: 13 }[finger]
  if (neighbour === undefined) return false
  const own = points[FINGER_LANDMARKS[finger]![finger === THUMB ? 1 : 0]]!, other = points[neighbour]!
  return ((own.x - other.x) * lateral.x + (own.y - other.y) * lateral.y) * sign > 0
}

/** Steps from a point on the skin until the mask ends, mm; undefined when it does not end within `limit`, or the point is no skin. */
function outline(mask: Plane, from: Point, lateral: Point, sign: number, pixelsPerMm: number, limit: number): number | undefined {
  const step = 0.2
  for (let mm = 0; mm <= limit; mm += step) {
    const inside = sampleAt(mask, from.x + sign * mm * pixelsPerMm * lateral.x, from.y + sign * mm * pixelsPerMm * lateral.y)
    if (inside < 0.5) return mm === 0 ? undefined : mm - step / 2
  }
  return undefined
}

/** Gaps take the nearest value. */
function filled(values: readonly (number | undefined)[]): number[] {
  return values.map((value, k) => {
    for (let reach = 0; value === undefined && reach < values.length; reach++) value = values[k - reach] ?? values[k + reach]
    return value!
  })
}

/** Within a fifth of the width at the joint: farther out is a web or the next finger. */
function nearMiddle(values: readonly number[]): number[] {
  const middle = values[REACH_MM]!
  return values.map((mm) => Math.min(1.2 * middle, Math.max(0.8 * middle, mm)))
}

/** Median of five, then a mean of five: one gap in the mask makes no notch in the outline. */
function smoothed(values: readonly number[]): number[] {
  const around = (all: readonly number[], k: number) => [-2, -1, 0, 1, 2].map((t) => all[Math.min(all.length - 1, Math.max(0, k + t))]!)
  const medians = values.map((_, k) => around(values, k).sort((a, b) => a - b)[2]!)
  return medians.map((_, k) => around(medians, k).reduce((sum, value) => sum + value, 0) / 5)
}

/**
 * Fingers are near cylinders: how their skin darkens from one side to the other tells where the light comes from. Each line across a
 * finger counts beside its own mean, for skin is not equally bright along it; what the lines cannot tell stays as usual.
 */
function fitLight(soft: Plane, mask: Plane, places: readonly JointPlace[], pixelsPerMm: number): Light {
  const products = Array.from({ length: 4 }, () => [0, 0, 0, 0]), sums = [0, 0, 0, 0]
  let count = 0
  for (const { kind, centre, axis, lateral, edge } of places) {
    if (kind !== 'pip') continue
    for (let along = -18; along <= 14; along += 1.5) {
      const line = ACROSS.map((t) => {
        const across = t * edge(along, t)!
        const x = centre.x + pixelsPerMm * (along * axis.x + across * lateral.x), y = centre.y + pixelsPerMm * (along * axis.y + across * lateral.y)
        return { normal: [1, t * lateral.x, t * lateral.y, Math.sqrt(1 - t * t)], luminance: luminanceAt(soft, x, y), isSkin: sampleAt(mask, x, y) > 0.9 }
      })
      if (line.some(({ isSkin }) => !isSkin)) continue
      const mean = line.reduce((sum, { luminance }) => sum + luminance, 0) / line.length
      for (const { normal, luminance } of line) {
        for (let i = 0; i < 4; i++) {
          for (let j = 0; j < 4; j++) products[i]![j]! += normal[i]! * normal[j]!
          sums[i]! += normal[i]! * luminance / Math.max(1e-3, mean)
        }
        count++
      }
    }
  }
  const weight = 0.03 * Math.max(30, count)
  for (let i = 0; i < 4; i++) {
    products[i]![i]! += weight
    sums[i]! += weight * USUAL_LIGHT[i]!
  }
  const [ambient, x, y, z] = solved(products, sums) as [number, number, number, number]
  const aside = Math.min(1, STEEPEST / Math.max(1e-6, Math.hypot(x, y)))
  return { ambient: Math.max(0.15, ambient), direction: [x * aside, y * aside, Math.max(0.15, z)] }
}

const ACROSS = [-0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8]
/** Ambient, then x, y and z of the direction. */
const USUAL_LIGHT = [0.4, 0, 0, 0.6]
const STEEPEST = 0.4

/** Gaussian elimination of a small positive definite system. */
function solved(a: number[][], b: number[]): number[] {
  for (let i = 0; i < b.length; i++) {
    for (let row = i + 1; row < b.length; row++) {
      const share = a[row]![i]! / a[i]![i]!
      for (let column = i; column < b.length; column++) a[row]![column]! -= share * a[i]![column]!
      b[row]! -= share * b[i]!
    }
  }
  const x = b.map(() => 0)
  for (let i = b.length - 1; i >= 0; i--) x[i] = (b[i]! - x.reduce((sum, value, column) => column > i ? sum + a[i]![column]! * value : sum, 0)) / a[i]![i]!
  return x
}

export function luminanceAt(of: Plane, x: number, y: number): number {
  return 0.3 * sampleAt(of, x, y, 0) + 0.6 * sampleAt(of, x, y, 1) + 0.1 * sampleAt(of, x, y, 2)
}

/** Linear luminance from which skin passes for light; how much redness shows at the least. */
const LIGHT_SKIN = 0.35, LEAST_SHOWN = 0.3

/**
 * Redness is judged against the back of the same hand. It shows less the more melanin lies above it; where nobody says how dark the
 * skin is, how dark it looks must do, and light skin in poor light reddens too little rather than dark skin too much.
 */
function skinReference(photo: Plane, mask: Plane, points: readonly Point[], melanin: number | undefined): PhotoHand['skin'] {
  const [wrist, index, little] = [points[0]!, points[5]!, points[17]!]
  const ratios: number[] = [], lights: number[] = []
  for (let u = 0.15; u < 0.8; u += 0.05) {
    for (let v = 0.15; u + v < 0.9; v += 0.05) {
      const x = wrist.x + u * (index.x - wrist.x) + v * (little.x - wrist.x), y = wrist.y + u * (index.y - wrist.y) + v * (little.y - wrist.y)
      if (sampleAt(mask, x, y) < 0.9) continue
      ratios.push(Math.log((sampleAt(photo, x, y, 0) + 0.01) / (sampleAt(photo, x, y, 1) + 0.01)))
      lights.push(luminanceAt(photo, x, y))
    }
  }
  const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? 0
  return {
    redness: middle(ratios),
    showsRedness: melanin === undefined ? Math.max(LEAST_SHOWN, Math.min(1, middle(lights) / LIGHT_SKIN)) : 1 / (1 + 0.6 * melanin)
  }
}
