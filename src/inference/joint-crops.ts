import type { PhotoRegion } from '../joints/finding.ts'
import { HAND_JOINTS, jointGroup, type HandJoint, type JointGroup } from '../joints/hand-joint.ts'
import type { Photo } from './decode-photo.ts'
import { distance, LANDMARK, palmLength, pointAt, turnedBox, uprightRotation } from './hand-landmarks/hand-geometry.ts'
import type { LocatedHand } from './hand-landmarks/hand-locator.ts'
import { sampleBytes, toPhoto, toSquare, type Pixels, type PhotoSquare, type Point } from './hand-landmarks/photo-square.ts'

/** How a hand is cut; travels in the model manifest (`crops`, `inputs`). */
export interface CropPlan {
  readonly globalSizePx: number
  readonly localSizePx: number
  /** Free room on each side of the hand box, as a share of its longer side. */
  readonly globalMargin: number
  /** Side of a joint's square in palm lengths (wrist to middle MCP). */
  readonly scales: Readonly<Record<JointGroup, number>>
  /** How far MCP squares move towards the wrist, in palm lengths: the landmark lies distal of the joint. */
  readonly mcpProximalShift: number
}

/** One hand as the joint model takes it. Every hand looks like an upright right hand. */
export interface HandCrops {
  /** RGB, globalSizePx² * 3 bytes. */
  readonly global: Uint8Array
  /** RGB in HAND_JOINTS order, 11 * localSizePx² * 3 bytes. */
  readonly local: Uint8Array
  /** 11 joint positions in the global picture, x then y, 0..1. */
  readonly xy: Float32Array
  /** 1 = the joint and most of its square lie inside the photo. */
  readonly mask: Uint8Array
  /** The box of each joint's square, clipped to the photo, in upright pixels. */
  readonly regions: readonly PhotoRegion[]
}

/** Cuts the whole hand and its 11 joints out of a photo, left hands mirrored, wrist to middle MCP pointing up. */
export function cropHand(photo: Photo, hand: Pick<LocatedHand, 'points' | 'side'>, plan: CropPlan): HandCrops {
  const whole = handSquare(hand, plan.globalMargin)
  const squares = HAND_JOINTS.map((joint) => jointSquare(joint, hand, plan))
  const global = new Uint8Array(plan.globalSizePx ** 2 * 3)
  sampleBytes(photo, whole, plan.globalSizePx, global)
  const cropBytes = plan.localSizePx ** 2 * 3
  const local = new Uint8Array(squares.length * cropBytes)
  for (const [index, square] of squares.entries()) sampleBytes(photo, square, plan.localSizePx, local, index * cropBytes)
  return {
    global,
    local,
    xy: Float32Array.from(squares.flatMap(({ cx, cy }) => {
      const { x, y } = toSquare(whole, { x: cx, y: cy })
      return [x, y]
    })),
    mask: Uint8Array.from(squares, (square) => isInFrame(square, photo) ? 1 : 0),
    regions: squares.map((square) => boundingRegion(square, photo))
  }
}

/** The square around all 21 landmarks in the canonical position. */
export function handSquare({ points, side }: Pick<LocatedHand, 'points' | 'side'>, margin: number): PhotoSquare {
  const rotation = handRotation(points)
  const { center, width, height } = turnedBox(points, rotation)
  return { cx: center.x, cy: center.y, size: Math.max(width, height) * (1 + 2 * margin), rotation, mirrored: side === 'left' }
}

/** Landmarks of a joint: itself, and the neighbours that give its proximal-to-distal axis. */
const JOINT_LANDMARKS: Readonly<Record<HandJoint, { at: number; proximal: number; distal: number }>> = {
  wrist: { at: 0, proximal: LANDMARK.wrist, distal: LANDMARK.middleMcp },
  mcp1: { at: 2, proximal: 1, distal: 3 },
  mcp2: { at: 5, proximal: 0, distal: 6 },
  mcp3: { at: 9, proximal: 0, distal: 10 },
  mcp4: { at: 13, proximal: 0, distal: 14 },
  mcp5: { at: 17, proximal: 0, distal: 18 },
  ip1: { at: 3, proximal: 2, distal: 4 },
  pip2: { at: 6, proximal: 5, distal: 7 },
  pip3: { at: 10, proximal: 9, distal: 11 },
  pip4: { at: 14, proximal: 13, distal: 15 },
  pip5: { at: 18, proximal: 17, distal: 19 }
}

/**
 * A joint's square, turned so that the way from its proximal to its distal neighbour goes up: the finger's own axis for PIP
 * and thumb joints, wrist to PIP for the other MCPs, the hand's axis for the wrist. A finger that points at the camera has no
 * axis in the picture; then the hand's serves.
 */
export function jointSquare(joint: HandJoint, { points, side }: Pick<LocatedHand, 'points' | 'side'>, { scales, mcpProximalShift }: CropPlan): PhotoSquare {
  const palm = palmLength(points)
  const { at, proximal, distal } = JOINT_LANDMARKS[joint]
  const from = pointAt(points, proximal)
  const to = pointAt(points, distal)
  const rotation = distance(from, to) < 0.1 * palm ? handRotation(points) : uprightRotation(from, to)
  const shift = jointGroup(joint) === 'mcp' ? mcpProximalShift * palm : 0
  const { x, y } = pointAt(points, at)
  return {
    cx: x - shift * Math.sin(rotation),
    cy: y + shift * Math.cos(rotation),
    size: scales[jointGroup(joint)] * palm,
    rotation,
    mirrored: side === 'left'
  }
}

function handRotation(points: readonly Point[]): number {
  return uprightRotation(pointAt(points, LANDMARK.wrist), pointAt(points, LANDMARK.middleMcp))
}

/** Own bar: with less of its square in the picture, a joint was cut off. */
const MIN_SHARE_IN_FRAME = 0.6
const GRID = 9

/** The centre and at least 60 % of a grid over the square lie inside the photo. */
function isInFrame(square: PhotoSquare, photo: Pixels): boolean {
  if (!contains(photo, { x: square.cx, y: square.cy })) return false
  let inside = 0
  for (let row = 0; row < GRID; row++) {
    for (let column = 0; column < GRID; column++) {
      if (contains(photo, toPhoto(square, { x: (column + 0.5) / GRID, y: (row + 0.5) / GRID }))) inside++
    }
  }
  return inside >= MIN_SHARE_IN_FRAME * GRID * GRID
}

const contains = ({ width, height }: Pixels, { x, y }: Point) => x >= 0 && y >= 0 && x <= width && y <= height

const CORNERS = [{ x: 0, y: 0 }, { x: 1, y: 0 }, { x: 0, y: 1 }, { x: 1, y: 1 }]

function boundingRegion(square: PhotoSquare, { width, height, scale }: Photo): PhotoRegion {
  const corners = CORNERS.map((corner) => toPhoto(square, corner))
  const clip = (value: number, end: number) => Math.max(0, Math.min(end, value))
  const left = clip(Math.min(...corners.map(({ x }) => x)), width)
  const top = clip(Math.min(...corners.map(({ y }) => y)), height)
  const right = clip(Math.max(...corners.map(({ x }) => x)), width)
  const bottom = clip(Math.max(...corners.map(({ y }) => y)), height)
  return { x: left * scale, y: top * scale, width: (right - left) * scale, height: (bottom - top) * scale }
}
