import type { HandJoint } from '../../src/joints/hand-joint.ts'
import type { Point } from '../../src/inference/hand-landmarks/photo-square.ts'
import { SWELLING_MM } from './deform.ts'
import type { Grade } from './hand-case.ts'
import { FINGER_LANDMARKS, distanceToSegment } from './hand-mask.ts'
import { bell, smoothstep } from './noise.ts'
import type { JointPlace, PhotoHand } from './photo-hand.ts'
import { plane, sampleAt, type Plane } from './planes.ts'

/** Edits that are no swelling: softened focus, a shove sideways without widening, a patch of other brightness. */
export const DECOYS = ['blur', 'shove', 'light'] as const
export interface Decoy { readonly kind: typeof DECOYS[number], /** -1..1 */ readonly strength: number }

export interface JointEdit {
  readonly swelling: Grade
  /** Extra blood under the skin, 0..1. */
  readonly erythema: number
  readonly decoy?: Decoy
}
export type HandEdit = Readonly<Partial<Record<HandJoint, JointEdit>>>

/** How the edited photo is read out: every pixel of every version, edited or not, is one bilinear sample at a fractional place. */
export interface Reading {
  readonly rotation: number
  /** Above 1: nearer; what lies outside the photo is never asked for. */
  readonly zoom: number
  /** Pixels. */
  readonly shift: Point
}

/** Where a pixel of the reading comes from. */
export function sourceOf({ rotation, zoom, shift }: Reading, { width, height }: Pick<Plane, 'width' | 'height'>, x: number, y: number): Point {
  const u = (x - width / 2) / zoom, v = (y - height / 2) / zoom
  return {
    x: width / 2 + shift.x + u * Math.cos(rotation) - v * Math.sin(rotation),
    y: height / 2 + shift.y + u * Math.sin(rotation) + v * Math.cos(rotation)
  }
}

/** The inverse of `sourceOf`: where a place of the photo lies in the reading. */
export function placeIn({ rotation, zoom, shift }: Reading, { width, height }: Pick<Plane, 'width' | 'height'>, at: Point): Point {
  const u = at.x - width / 2 - shift.x, v = at.y - height / 2 - shift.y
  return {
    x: width / 2 + zoom * (u * Math.cos(rotation) + v * Math.sin(rotation)),
    y: height / 2 + zoom * (v * Math.cos(rotation) - u * Math.sin(rotation))
  }
}

/** The photo as it would look with these joints swollen, in linear light. Pixels that no edit reaches are those of the photo. */
export function readEdited(hand: PhotoHand, edit: HandEdit, reading: Reading): Plane {
  const { photo } = hand
  const out = plane(photo.width, photo.height, 3)
  const edits = [...hand.joints.values()].flatMap((place) => {
    const of = edit[place.joint]
    return of && (of.swelling > 0 || of.erythema > 0 || of.decoy) ? [{ place, edit: of }] : []
  })
  const colour: Colour = [0, 0, 0]
  for (let y = 0; y < photo.height; y++) {
    for (let x = 0; x < photo.width; x++) {
      const at = sourceOf(reading, photo, x + 0.5, y + 0.5)
      paintAt(hand, edits, at.x - 0.5, at.y - 0.5, colour)
      const k = 3 * (y * photo.width + x)
      for (let q = 0; q < 3; q++) out.data[k + q] = colour[q]!
    }
  }
  return out
}

type Colour = [number, number, number]
interface Active { readonly place: JointPlace, readonly edit: JointEdit }
const FARTHEST_MM = { wrist: 60, mcp: 36, pip: 34, dip: 0 } as const

/** The edited colour at one place of the photo. */
function paintAt(hand: PhotoHand, edits: readonly Active[], x: number, y: number, colour: Colour): void {
  const { photo, fine, soft, broad, mask, hem, pixelsPerMm } = hand
  let near = false, fromX = x, fromY = y
  for (const active of edits) {
    const [along, across] = jointCoordinates(active.place, x, y, pixelsPerMm)
    if (along * along + across * across > FARTHEST_MM[active.place.kind] ** 2) continue
    near = true
    const move = sidewaysMm(hand, active, along, across, x, y) * pixelsPerMm
    fromX -= move * active.place.lateral.x
    fromY -= move * active.place.lateral.y
  }
  for (let q = 0; q < 3; q++) colour[q] = sampleAt(photo, x, y, q)
  if (!near) return
  const moved = fromX !== x || fromY !== y
  // The table beside a finger stays where it is: only the hand, a soft hem around it, and what a hand shoved aside uncovers come from
  // the moved place.
  const hand01 = moved ? smoothstep(0.15, 0.75, Math.max(sampleAt(hem, fromX, fromY), sampleAt(hem, x, y))) : 1
  if (hand01 === 0) return
  const skin = smoothstep(0.5, 0.95, sampleAt(mask, fromX, fromY))
  const inner = moved ? smoothstep(0.9, 0.99, sampleAt(mask, x, y)) * smoothstep(0.9, 0.99, sampleAt(mask, fromX, fromY)) : 0
  const { folds, knuckles, grain, brightness, redness } = skinEdits(hand, edits, fromX, fromY)
  const dye = redness === 0 ? 0 : limitedRedness(hand, redness, fromX, fromY)
  for (let q = 0; q < 3; q++) {
    const sharp = sampleAt(photo, fromX, fromY, q)
    let value = sharp
    if (skin > 0) {
      const finely = sampleAt(fine, fromX, fromY, q), softly = sampleAt(soft, fromX, fromY, q)
      // The camera's grain does not stretch with the skin.
      if (inner > 0) value += inner * (sampleAt(photo, x, y, q) - sampleAt(fine, x, y, q) - (sharp - finely))
      value -= skin * (grain * (sharp - finely) + folds * (finely - softly) + knuckles * (softly - sampleAt(broad, fromX, fromY, q)))
      value *= 1 + skin * (brightness - 1)
      value *= Math.exp(-skin * dye * HAEMOGLOBIN[q]!)
    }
    colour[q] = colour[q]! * (1 - hand01) + Math.max(0, value) * hand01
  }
}

/** mm along and across a joint's axis. */
function jointCoordinates({ centre, axis, lateral }: JointPlace, x: number, y: number, pixelsPerMm: number): readonly [number, number] {
  const dx = (x - centre.x) / pixelsPerMm, dy = (y - centre.y) / pixelsPerMm
  return [dx * axis.x + dy * axis.y, dx * lateral.x + dy * lateral.y]
}

/** Share of the swelling height that shows in the outline: deform.ts lifts the sides of a PIP joint by 0.87; an MCP or wrist bulges less there. */
const OUTLINE_SHARE = { wrist: 0.35, mcp: 0.35, pip: 0.87, dip: 0 } as const
const FADE_MM = 7, SHOVE_MM = 0.9

/** How far what lies here has been pushed sideways, mm: outward within the outline in proportion, outside it less and less. */
function sidewaysMm(hand: PhotoHand, { place, edit }: Active, along: number, across: number, x: number, y: number): number {
  let move = 0
  if (edit.decoy?.kind === 'shove') move += SHOVE_MM * edit.decoy.strength * bell(along, 9) * (1 - smoothstep(9, 18, Math.abs(across)))
  const edge = edit.swelling === 0 ? undefined : place.edge(along, across)
  if (edge === undefined) return move
  const growth = OUTLINE_SHARE[place.kind] * SWELLING_MM[edit.swelling] * alongProfile(place.kind, along) * ownership(hand, place, x, y)
  const reach = Math.abs(across)
  const outward = reach < edge + growth ? growth * reach / (edge + growth) : growth * (1 - smoothstep(0, FADE_MM, reach - edge - growth))
  return move + Math.sign(across) * outward
}

/** Swelling along the axis, 0..1: fusiform and longer proximally for PIP and IP joints, as deform.ts has it. */
function alongProfile(kind: JointPlace['kind'], along: number): number {
  if (kind === 'wrist') return bell(along - 2, 20)
  return kind === 'mcp' ? bell(along, 12) : bell(along, along < 0 ? 10.5 : 8.5)
}

/** 0 on a neighbouring finger, 1 on the joint's own: one finger's swelling does not push the next one. */
function ownership({ points, pixelsPerMm }: PhotoHand, { finger, kind }: JointPlace, x: number, y: number): number {
  if (kind !== 'pip') return 1
  let own = Infinity, others = Infinity
  FINGER_LANDMARKS.forEach((chain, at) => {
    for (let k = 0; k < 3; k++) {
      const distance = distanceToSegment(x, y, points[chain[k]!]!, points[chain[k + 1]!]!) / pixelsPerMm
      if (at === finger) own = Math.min(own, distance)
      else others = Math.min(others, distance)
    }
  })
  return smoothstep(-1, 3, others - own)
}

/** Optical depth that erythema of 1 adds for red, green and blue. */
const HAEMOGLOBIN = [0.04, 0.5, 0.42] as const
/** Redness over the back of the hand, log(red / green), that no erythema exceeds. */
const REDDEST = 0.6

function limitedRedness({ photo, skin }: PhotoHand, redness: number, x: number, y: number): number {
  const already = Math.log((sampleAt(photo, x, y, 0) + 0.01) / (sampleAt(photo, x, y, 1) + 0.01)) - skin.redness
  return Math.max(0, Math.min(redness * skin.showsRedness, (REDDEST - already) / (HAEMOGLOBIN[1] - HAEMOGLOBIN[0])))
}

interface SkinEdits { folds: number, knuckles: number, grain: number, brightness: number, redness: number }
/** Folds fade by so much a grade, as in joint-skin.ts (Hügle 2022, PMC9247561); valleys between knuckles fill likewise. */
const FOLDS_A_GRADE = { wrist: 0.15, mcp: 0.25, pip: 0.27, dip: 0 } as const
const VALLEYS_A_GRADE = { wrist: 0.24, mcp: 0.29, pip: 0, dip: 0 } as const
const GLOSS_A_GRADE = 0.015

function skinEdits(hand: PhotoHand, edits: readonly Active[], x: number, y: number): SkinEdits {
  const made = { folds: 0, knuckles: 0, grain: 0, brightness: 1, redness: 0 }
  for (const { place, edit } of edits) {
    const [along, across] = jointCoordinates(place, x, y, hand.pixelsPerMm)
    if (along * along + across * across > FARTHEST_MM[place.kind] ** 2) continue
    const { kind } = place
    const own = ownership(hand, place, x, y)
    const wide = kind === 'wrist' ? 22 : kind === 'mcp' ? 13 : 11
    const sideways = kind === 'pip' ? own : bell(across, kind === 'wrist' ? 30 : wide)
    const patch = bell(along, wide) * sideways
    made.redness += edit.erythema * patch
    if (edit.swelling > 0) {
      made.folds = Math.max(made.folds, FOLDS_A_GRADE[kind] * edit.swelling * patch)
      made.knuckles = Math.max(made.knuckles, VALLEYS_A_GRADE[kind] * edit.swelling * patch)
      made.brightness *= shadeOfDome(hand, place, edit.swelling, along, across) * (1 + GLOSS_A_GRADE * edit.swelling * bell(along, 6) * bell(across, 4) * own)
    }
    if (edit.decoy) {
      const spot = bell(along, 9) * bell(across, 9)
      if (edit.decoy.kind === 'blur') made.grain = Math.max(made.grain, 0.9 * Math.abs(edit.decoy.strength) * spot)
      if (edit.decoy.kind === 'light') made.brightness *= 1 + 0.12 * edit.decoy.strength * spot
    }
  }
  return made
}

/** How the photo's own light changes on skin that rises to a dome: luminance with the tilted normal over luminance with the old one. */
function shadeOfDome({ light }: PhotoHand, place: JointPlace, grade: Grade, along: number, across: number): number {
  const { kind, axis, lateral } = place
  const height = (s: number, l: number) => SWELLING_MM[grade] * domeProfile(kind, s, l)
  const step = 0.5
  const alongSlope = (height(along + step, across) - height(along - step, across)) / (2 * step)
  const acrossSlope = (height(along, across + step) - height(along, across - step)) / (2 * step)
  const side = kind === 'pip' ? Math.max(-0.9, Math.min(0.9, across / halfWidth(place, along))) : 0
  const up = Math.sqrt(1 - side * side)
  const lit = (s: number, l: number, z: number) => {
    const size = Math.sqrt(s * s + l * l + z * z)
    const x = s * axis.x + l * lateral.x, y = s * axis.y + l * lateral.y
    return Math.max(0.1, light.ambient + (light.direction[0] * x + light.direction[1] * y + light.direction[2] * z) / size)
  }
  return Math.max(0.75, Math.min(1.25, lit(-alongSlope, side - acrossSlope, up) / lit(0, side, up)))
}

const halfWidth = ({ edge }: JointPlace, along: number) => ((edge(along, -1) ?? 9.5) + (edge(along, 1) ?? 9.5)) / 2

/** Height of the dome seen from above, in swelling heights (deform.ts). A PIP joint's sides are in its outline. */
function domeProfile(kind: JointPlace['kind'], along: number, across: number): number {
  if (kind === 'wrist') return 1.5 * bell(along - 2, 20) * (0.6 + 0.4 * bell(across, 26))
  if (kind === 'mcp') return 1.05 * bell(along, 12) * bell(across, 11)
  return alongProfile(kind, along)
}
