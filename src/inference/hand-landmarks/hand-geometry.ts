import type { HandView } from '../../joints/finding.ts'
import type { Laterality } from '../../joints/hand-joint.ts'
import type { Palm } from './palm-detector.ts'
import type { PhotoSquare, Point } from './photo-square.ts'

/** Places of MediaPipe's 21 hand landmarks that we name. */
export const LANDMARK = { wrist: 0, indexMcp: 5, middleMcp: 9, ringMcp: 13, littleMcp: 17 } as const
export const LANDMARK_COUNT = 21

/** Where the landmark network looks for a palm: fingers up, 2.6 times the box, half a box towards the fingers. */
export function squareAroundPalm({ center, size, wrist, middleMcp }: Palm): PhotoSquare {
  const rotation = uprightRotation(wrist, middleMcp)
  return {
    cx: center.x + 0.5 * size * Math.sin(rotation),
    cy: center.y - 0.5 * size * Math.cos(rotation),
    size: size * 2.6,
    rotation
  }
}

/** Wrist, thumb, MCPs and PIPs: stable when fingers bend, unlike the tips. */
const INNER_LANDMARKS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]

/** Where the network looks again for a hand it has seen: twice the box of the inner joints, a tenth of it towards the fingers. */
export function squareAroundHand(points: readonly Point[]): PhotoSquare {
  const knuckles = {
    x: (pointAt(points, LANDMARK.indexMcp).x + pointAt(points, LANDMARK.ringMcp).x) / 4 + pointAt(points, LANDMARK.middleMcp).x / 2,
    y: (pointAt(points, LANDMARK.indexMcp).y + pointAt(points, LANDMARK.ringMcp).y) / 4 + pointAt(points, LANDMARK.middleMcp).y / 2
  }
  const rotation = uprightRotation(pointAt(points, LANDMARK.wrist), knuckles)
  const { center, width, height } = turnedBox(INNER_LANDMARKS.map((index) => pointAt(points, index)), rotation)
  return {
    cx: center.x + 0.1 * height * Math.sin(rotation),
    cy: center.y - 0.1 * height * Math.cos(rotation),
    size: Math.max(width, height) * 2,
    rotation
  }
}

/** The box around points whose axes are turned by `rotation`. */
export function turnedBox(points: readonly Point[], rotation: number): { center: Point; width: number; height: number } {
  const cos = Math.cos(rotation)
  const sin = Math.sin(rotation)
  const across = points.map(({ x, y }) => x * cos + y * sin)
  const down = points.map(({ x, y }) => y * cos - x * sin)
  const [left, right, top, bottom] = [Math.min(...across), Math.max(...across), Math.min(...down), Math.max(...down)]
  const u = (left + right) / 2
  const v = (top + bottom) / 2
  return { center: { x: u * cos - v * sin, y: u * sin + v * cos }, width: right - left, height: bottom - top }
}

/** The rotation of a square in which the way from one point to another goes straight up. */
export function uprightRotation(from: Point, to: Point): number {
  const turn = Math.atan2(to.y - from.y, to.x - from.x) + Math.PI / 2
  return turn - 2 * Math.PI * Math.floor((turn + Math.PI) / (2 * Math.PI))
}

/** Wrist to middle MCP, the unit of every hand measure. */
export function palmLength(points: readonly Point[]): number {
  return distance(pointAt(points, LANDMARK.wrist), pointAt(points, LANDMARK.middleMcp))
}

/** Own bar: a palm seen flat measures 0.5 to 0.8, one seen from its edge near 0. */
const OBLIQUE_BELOW = 0.3

/**
 * Back or palm of the hand, from its side and the order of its knuckles: with the fingers up, a right hand seen from behind
 * has its index on the left. The knuckle triangle (wrist, index MCP, little MCP) of a hand turned to its edge has little area.
 */
export function handView(points: readonly Point[], side: Laterality): HandView {
  const wrist = pointAt(points, LANDMARK.wrist)
  const index = pointAt(points, LANDMARK.indexMcp)
  const little = pointAt(points, LANDMARK.littleMcp)
  const twiceArea = (index.x - wrist.x) * (little.y - wrist.y) - (index.y - wrist.y) * (little.x - wrist.x)
  const openness = twiceArea / palmLength(points) ** 2
  if (!(Math.abs(openness) >= OBLIQUE_BELOW)) return 'oblique'
  return openness > 0 === (side === 'right') ? 'dorsal' : 'palmar'
}

/** Mean distance of the landmarks below half a palm: the same hand found twice. */
export function isSameHand(a: readonly Point[], b: readonly Point[]): boolean {
  const mean = a.reduce((sum, point, index) => sum + distance(point, pointAt(b, index)), 0) / a.length
  return mean < 0.5 * Math.max(palmLength(a), palmLength(b))
}

export const distance = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y)

export function pointAt(points: readonly Point[], index: number): Point {
  const point = points[index]
  if (!point) throw new Error(`Expected ${LANDMARK_COUNT} landmarks but received ${points.length}`)
  return point
}
