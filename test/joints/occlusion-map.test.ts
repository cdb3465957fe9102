import { describe, expect, test } from '@jest/globals'
import { coveredProbability, largestChange, mapFocus, type OcclusionMap } from '../../src/joints/occlusion-map.ts'

/** A map in which the cells that `weigh` names carry a drop. */
function mapOf(weigh: (row: number, column: number) => number, probability = 0.6): OcclusionMap {
  const drops = Array.from({ length: 64 }, (_, cell) => weigh(Math.floor(cell / 8), cell % 8))
  return { grid: 8, probability, drops, corners: [{ x: 0, y: 0 }, { x: 1, y: 0 }, { x: 0, y: 1 }] }
}

describe('an occlusion map', () => {
  test.each([
    ['middle', (row: number, column: number) => (row > 1 && row < 6 && column > 1 && column < 6 ? 1 : 0.05)],
    ['towards-fingertip', (row: number) => (row < 2 ? 1 : 0.02)],
    ['towards-wrist', (row: number) => (row > 5 ? -1 : 0.02)],
    ['one-side', (_row: number, column: number) => (column < 2 ? 1 : 0.02)],
    ['spread', () => 0.5],
    ['none', () => 0.001]
  ] as const)('is told in words: %s', (focus, weigh) => {
    expect(mapFocus(mapOf(weigh))).toBe(focus)
  })

  test('tells what covering a cell makes of the probability', () => {
    const map = mapOf((row) => (row === 3 ? Math.log(4) : 0), 0.8)
    expect(coveredProbability(map, Math.log(4))).toBeCloseTo(0.5)
    expect(largestChange(map)).toBeCloseTo(0.3)
  })
})
