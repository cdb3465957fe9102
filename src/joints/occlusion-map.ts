import type { PhotoPoint } from './finding.ts'

/**
 * How the model's answer for one joint changes when parts of the joint's close-up are covered, one after the other (Zeiler and
 * Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014). It says where the answer rests, not whether it is right.
 */
export interface OcclusionMap {
  /** Cells along each side. */
  readonly grid: number
  /** Calibrated probability of the joint with nothing covered. */
  readonly probability: number
  /**
   * Row by row from the distal end: by how much the calibrated log-odds fall when the cell is covered. Positive: the cell speaks
   * for swelling; negative: against.
   */
  readonly drops: readonly number[]
  /** Three corners of the close-up in upright pixels of the photo: distal left, distal right, proximal left in the crop. */
  readonly corners: readonly [PhotoPoint, PhotoPoint, PhotoPoint]
}

/** Where the answer mostly rests: a part of the joint, everywhere, or nowhere in particular. */
export type MapFocus = 'none' | 'middle' | 'towards-fingertip' | 'towards-wrist' | 'one-side' | 'spread'

/** Below this change of probability a map would show noise: no part of the close-up decides by itself. Own bar. */
const NOTHING = 0.02
/** Own bars: a part speaks for the answer alone when it carries this much more than its share of the area. */
const MIDDLE_SHARE = 0.5
const PART_SHARE = 0.55

/** Probability when the cell with this drop is covered. */
export function coveredProbability({ probability }: OcclusionMap, drop: number): number {
  const odds = Math.log(probability / (1 - probability)) - drop
  return 1 / (1 + Math.exp(-odds))
}

/** The largest change of probability that covering one cell makes. */
export function largestChange(map: OcclusionMap): number {
  return Math.max(...map.drops.map((drop) => Math.abs(coveredProbability(map, drop) - map.probability)))
}

/** What the map shows, for those who cannot see it. The middle is the central quarter of the area. */
export function mapFocus(map: OcclusionMap): MapFocus {
  if (largestChange(map) < NOTHING) return 'none'
  const { grid, drops } = map
  const share = (inside: (row: number, column: number) => boolean) => {
    const weights = drops.map(Math.abs)
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return weights.reduce((sum, weight, cell) => sum + (inside(Math.floor(cell / grid), cell % grid) ? weight : 0), 0) / total
  }
  const central = (at: number) => at >= grid / 4 && at < grid * 3 / 4
  if (share((row, column) => central(row) && central(column)) >= MIDDLE_SHARE) return 'middle'
  if (share((row) => row < grid / 3) >= PART_SHARE) return 'towards-fingertip'
  if (share((row) => row >= grid * 2 / 3) >= PART_SHARE) return 'towards-wrist'
  const oneSide = Math.max(share((_row, column) => column < grid / 3), share((_row, column) => column >= grid * 2 / 3))
  return oneSide >= PART_SHARE ? 'one-side' : 'spread'
}
