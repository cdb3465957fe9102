import { pointAt } from '../../src/inference/hand-landmarks/hand-geometry.ts'
import type { Point } from '../../src/inference/hand-landmarks/photo-square.ts'
import { smoothstep } from './noise.ts'
import { blurred, plane, type Plane } from './planes.ts'
import { randomFrom } from './random.ts'
import type { RgbPhoto } from './skin-statistics.ts'

/** Landmarks of each finger from its root to its tip, thumb first. */
export const FINGER_LANDMARKS = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [17, 18, 19, 20]] as const
/** Usual half width of a finger, palm lengths (wrist to middle MCP). */
export const FINGER_HALF_WIDTH = [0.115, 0.1, 0.105, 0.1, 0.085] as const
const BETWEEN_KNUCKLES = [[0, 1], [0, 5], [0, 9], [0, 13], [0, 17], [1, 5], [5, 9], [9, 13], [13, 17]] as const
const PALM_HALF_WIDTH = 0.14
/** Beyond so many half widths of a bone nothing is hand. */
const FARTHEST = 1.9
const FOREARM_PALMS = 1.2

/**
 * Which pixels are hand, 0..1, one channel: near the bones that the landmarks give, and coloured like what surely is hand rather than
 * like what surely is not. Colours are learned from this one photo, so any skin and any table will do.
 */
export function handMask(photo: RgbPhoto, points: readonly Point[], pixelsPerMm: number): Plane {
  const { width, height } = photo
  const near = nearness(photo, points)
  const colours = labColours(photo)
  const [hand, other] = [[0, 0.5], [FARTHEST, 4.5]].map(([from, to]) => clusters(colours, near.data, from!, to!))
  const odds = plane(width, height)
  for (let k = 0; k < odds.data.length; k++) {
    const d = near.data[k]!
    if (d > FARTHEST) odds.data[k] = -6
    else if (d < 0.5) odds.data[k] = 6
    else {
      const coloured = Math.min(5, Math.max(-5, logLikelihood(hand!, colours, k) - logLikelihood(other!, colours, k)))
      odds.data[k] = coloured + 2.5 * (1 - 2 * smoothstep(0.6, 1.6, d))
    }
  }
  const smooth = blurred(odds, Math.max(0.7, 0.5 * pixelsPerMm))
  return { ...smooth, data: smooth.data.map((value) => 1 / (1 + Math.exp(-2 * value))) }
}

/** Distance of each pixel to the nearest bone, in that bone's half widths; inside the palm 0. */
function nearness({ width, height }: RgbPhoto, points: readonly Point[]): Plane {
  const at = (index: number) => pointAt(points, index)
  const palm = Math.hypot(at(9).x - at(0).x, at(9).y - at(0).y)
  const bones: { from: Point, to: Point, half: number }[] = []
  FINGER_LANDMARKS.forEach((chain, finger) => {
    for (let k = 0; k < 3; k++) bones.push({ from: at(chain[k]!), to: at(chain[k + 1]!), half: FINGER_HALF_WIDTH[finger]! * (k === 2 ? 0.9 : 1) * palm })
  })
  for (const [from, to] of BETWEEN_KNUCKLES) bones.push({ from: at(from), to: at(to), half: PALM_HALF_WIDTH * palm })
  const away = { x: (at(0).x - at(9).x) / palm, y: (at(0).y - at(9).y) / palm }
  bones.push({ from: at(0), to: { x: at(0).x + away.x * FOREARM_PALMS * palm, y: at(0).y + away.y * FOREARM_PALMS * palm }, half: 0.24 * palm })
  const near = plane(width, height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let least = 9
      for (const { from, to, half } of bones) least = Math.min(least, distanceToSegment(x, y, from, to) / half)
      near.data[y * width + x] = least
    }
  }
  return near
}

export function distanceToSegment(x: number, y: number, from: Point, to: Point): number {
  const dx = to.x - from.x, dy = to.y - from.y
  const share = Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy || 1)))
  const ex = x - from.x - share * dx, ey = y - from.y - share * dy
  return Math.sqrt(ex * ex + ey * ey)
}

/** CIE L*a*b* of every pixel (D65, sRGB), lightness halved: shade says less than colour. */
function labColours({ data, width, height }: RgbPhoto): Float32Array {
  const lab = new Float32Array(3 * width * height)
  const linear = Float64Array.from({ length: 256 }, (_, value) => (value / 255) ** 2.2)
  const f = (t: number) => t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116
  for (let k = 0; k < lab.length; k += 3) {
    const r = linear[data[k]!]!, g = linear[data[k + 1]!]!, b = linear[data[k + 2]!]!
    const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505), y = f(0.2126 * r + 0.7152 * g + 0.0722 * b)
    const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089)
    lab[k] = 0.5 * (116 * y - 16)
    lab[k + 1] = 500 * (x - y)
    lab[k + 2] = 200 * (y - z)
  }
  return lab
}

interface Cluster { readonly mean: number[], readonly deviation: number[], readonly share: number }
const CLUSTERS = 7, ROUNDS = 8, SAMPLE = 4000

/** K-means over the colours of pixels whose nearness lies between two bounds. */
function clusters(colours: Float32Array, near: Float32Array, from: number, to: number): readonly Cluster[] {
  const random = randomFrom(5)
  const inside: number[] = []
  for (let k = 0; k < near.length; k++) if (near[k]! >= from && near[k]! <= to) inside.push(k)
  if (inside.length === 0) return []
  const sample = Array.from({ length: SAMPLE }, () => 3 * random.pick(inside))
  let means = Array.from({ length: CLUSTERS }, () => [0, 1, 2].map((q) => colours[random.pick(sample) + q]!))
  for (let round = 0; ; round++) {
    const members = means.map((): number[] => [])
    for (const k of sample) members[nearest(means, colours, k)]!.push(k)
    const of = (part: readonly number[], q: number) => part.reduce((sum, k) => sum + colours[k + q]!, 0) / part.length
    means = means.map((mean, c) => members[c]!.length === 0 ? mean : [0, 1, 2].map((q) => of(members[c]!, q)))
    if (round < ROUNDS) continue
    return means.flatMap((mean, c) => members[c]!.length < SAMPLE / 200 ? [] : [{
      mean, share: members[c]!.length / SAMPLE,
      deviation: mean.map((m, q) => Math.max(2.5, Math.sqrt(members[c]!.reduce((sum, k) => sum + (colours[k + q]! - m) ** 2, 0) / members[c]!.length)))
    }])
  }
}

function nearest(means: readonly number[][], colours: Float32Array, k: number): number {
  let best = 0, least = Infinity
  means.forEach((mean, c) => {
    const d = (colours[k]! - mean[0]!) ** 2 + (colours[k + 1]! - mean[1]!) ** 2 + (colours[k + 2]! - mean[2]!) ** 2
    if (d < least) [best, least] = [c, d]
  })
  return best
}

function logLikelihood(of: readonly Cluster[], colours: Float32Array, pixel: number): number {
  let best = -30
  for (const { mean, deviation, share } of of) {
    let value = Math.log(share)
    for (let q = 0; q < 3; q++) value -= 0.5 * ((colours[3 * pixel + q]! - mean[q]!) / deviation[q]!) ** 2 + Math.log(deviation[q]!)
    best = Math.max(best, value)
  }
  return best
}
