import { describe, expect, test } from '@jest/globals'
import { agreementOf, compareVisit, quantile, type ComparedVisit, type PhotoReadings } from '../../src/joints/compare-readings.ts'
import type { HandAssessment, JointFinding } from '../../src/joints/finding.ts'
import { HAND_JOINTS, type Laterality } from '../../src/joints/hand-joint.ts'
import { compareWithLabels } from '../../src/joints/labelled-figures.ts'

/**
 * A hand from percents of its first joints in HAND_JOINTS order, the others not assessed: `hand('left', '90 - 20')` is the wrist
 * at 0.9, a first MCP that could not be read, a second at 0.2. From 50 on a joint is called inflamed.
 */
function hand(side: Laterality, percents: string): HandAssessment {
  const said = percents.split(' ')
  const joints = HAND_JOINTS.map((joint, index): JointFinding => {
    const probability = Number(said[index] ?? '-') / 100
    return Number.isNaN(probability) ? { joint, side, kind: 'not-assessed', reason: 'occluded' } : { joint, side, kind: 'assessed', probability, inflamed: probability >= 0.5 }
  })
  return { side, sideConfidence: 1, view: 'dorsal', quality: { presence: 1, palmLengthPx: 100, sharpness: 1, brightness: 0.5 }, landmarks: [], joints, regions: [] }
}

const left = (photo: string, old: string, fresh: string): PhotoReadings => ({ photo, old: [hand('left', old)], new: [hand('left', fresh)] })

/** The same with labels of the first joints: `1`, `0`, or `-` for a joint that nobody labelled. */
const labelled = (photo: string, old: string, fresh: string, labels: string): PhotoReadings => ({
  ...left(photo, old, fresh),
  labels: HAND_JOINTS.flatMap((joint, index) => {
    const label = labels.split(' ')[index] ?? '-'
    return label === '-' ? [] : [{ side: 'left' as const, joint, swollen: label === '1' }]
  })
})

describe('what two models say of the same photos', () => {
  const visits = [
    compareVisit('a', [left('a-1', '90 20 60 -', '40 70 60 30'), { photo: 'a-2', old: [hand('right', '10')], new: [hand('right', '12')] }]),
    compareVisit('b', [left('b-1', '80 80 10', '80 20 -')]),
    compareVisit('c', [left('c-1', '-', '90')])
  ]
  const agreement = agreementOf(visits)

  test('is counted joint by joint, over the joints that both could assess', () => {
    expect(agreement).toMatchObject({
      visits: 3, visitsOfSeveralPhotos: 1, hands: { old: 4, new: 4 },
      joints: { both: 6, onlyOld: 1, onlyNew: 2 }, calls: { equal: 3, share: 0.5, onlyOld: 2, onlyNew: 1 }
    })
  })

  test('changes the count of a visit, where each could assess something', () => {
    // a: 2 (wrist, mcp2) → 2 (mcp1, mcp2). b: 2 → 1. c: nothing could be assessed before.
    expect(agreement.count).toEqual({ visits: 2, changed: 1, mean: -0.5, meanAbsolute: 0.5, largest: { photos: ['b-1'], old: 2, new: 1, change: -1 } })
  })

  test('is listed by the size of the change, with both calls', () => {
    expect(agreement.largestChanges.map(({ photo, joint, oldInflamed, newInflamed }) => [photo, joint, oldInflamed, newInflamed])).toEqual([
      ['b-1', 'mcp1', true, false], ['a-1', 'wrist', true, false], ['a-1', 'mcp1', false, true], ['a-2', 'wrist', false, false],
      ['a-1', 'mcp2', true, true], ['b-1', 'wrist', true, true]
    ])
    expect(agreement.largestChanges[0]).toEqual({ photo: 'b-1', side: 'left', joint: 'mcp1', old: 0.8, new: 0.2, change: 0.2 - 0.8, oldInflamed: true, newInflamed: false })
  })

  test('is spread over the joint groups', () => {
    // Wrists: −0.5, +0.02, 0. MCP: +0.5, 0, −0.6.
    const { wrist, mcp, pip, all } = agreement.differences
    expect(wrist.joints).toBe(3)
    expect(wrist.mean).toBeCloseTo(-0.16, 12)
    expect(wrist.meanAbsolute).toBeCloseTo(0.52 / 3, 12)
    expect(wrist.median).toBeCloseTo(0, 12)
    expect(wrist.p5).toBeCloseTo(-0.45, 12)
    expect(wrist.p95).toBeCloseTo(0.018, 12)
    expect(mcp.mean).toBeCloseTo(-0.1 / 3, 12)
    expect(pip).toEqual({ joints: 0, mean: null, meanAbsolute: null, p5: null, median: null, p95: null })
    expect(all.joints).toBe(6)
  })

  test('names at most ten changes, and of nothing nothing', () => {
    const many = '10 10 10 10 10 10 10 10 10 10 10'
    expect(agreementOf([compareVisit('a', [left('a', many, many.replaceAll('10', '20'))])]).largestChanges).toHaveLength(10)
    expect(agreementOf([])).toMatchObject({ calls: { share: null }, count: { mean: null, largest: null }, largestChanges: [] })
  })

  test('is read off the hand of a side that shows most, for each model by itself', () => {
    const both = compareVisit('a', [{ photo: 'two', old: [hand('left', '90'), hand('left', '10 10')], new: [hand('left', '90 90 90'), hand('left', '10 10')] }])
    expect(both.joints.map(({ old, new: fresh }) => [old?.probability, fresh?.probability]).slice(0, 3)).toEqual([[0.1, 0.9], [0.1, 0.9], [undefined, 0.9]])
    expect(both.hands).toEqual({ old: 2, new: 2 })
  })

  test('has quantiles as numpy has them', () => {
    expect([0, 0.25, 0.5, 0.95, 1].map((share) => quantile([1, 2, 4, 8], share))).toEqual([1, 1.75, 3, expect.closeTo(7.4, 12), 8])
    expect(quantile([], 0.5)).toBeNull()
  })
})

/** 4 swollen of 10. The old model flags 2 of them and 1 other joint, the new one 3 and 2. */
const OLD = '90 80 30 20 70 10 10 10 10 30'
const NEW = '90 80 60 20 70 60 10 10 10 10'
const LABELS = '1 1 1 1 0 0 0 0 0 0'
const patients = (count: number, fresh = (_: number) => NEW): ComparedVisit[] =>
  Array.from({ length: count }, (_, index) => compareVisit(`p${index}`, [labelled(`p${index}`, OLD, fresh(index), LABELS)]))

describe('two models against labels', () => {
  test('have the figures that the cells of a table give by hand, and no interval where all patients are alike', () => {
    const { figures, ...rest } = compareWithLabels(patients(10), 105)
    expect(rest).toEqual({ joints: 100, swollen: 40, groups: 10, visits: 10, leftOut: 5, tooFew: false })
    const expected = {
      // Of 4 swollen 2 and 3 are found; of 6 others 5 and 4 are left in peace.
      sensitivity: [2 / 4, 3 / 4], specificity: [5 / 6, 4 / 6],
      f1: [2 * 2 / (2 * 2 + 2 + 1), 2 * 3 / (2 * 3 + 1 + 2)], gmean: [Math.sqrt(2 / 4 * 5 / 6), Math.sqrt(3 / 4 * 4 / 6)],
      // Of 24 pairs: 6 + 6 for the two that score highest; 4.5 for the third, which beats four and ties with one; 4 for the last.
      auroc: [20.5 / 24, 20.5 / 24],
      // 3 and 5 are counted, 4 are swollen.
      countError: [1, 1], countBias: [-1, 1]
    }
    for (const [name, [old = 0, fresh = 0]] of Object.entries(expected)) {
      const exactly = (value: number) => ({ value: expect.closeTo(value, 12) as unknown, low: expect.closeTo(value, 12) as unknown, high: expect.closeTo(value, 12) as unknown })
      expect([name, figures?.[name as keyof typeof expected]]).toEqual([name, { old: exactly(old), new: exactly(fresh), difference: exactly(fresh - old) }])
    }
  })

  test('are resampled patient by patient: what one of ten shows may be chance, what all show is not', () => {
    const one = compareWithLabels(patients(10, (index) => index === 0 ? '90 80 70 60 10 10 10 10 10 10' : OLD), 100).figures?.sensitivity
    // That patient is drawn up to three times in 97.5 % of the draws, 0.05 each; joint by joint the upper end would be 0.125.
    expect(one?.difference).toMatchObject({ value: expect.closeTo(0.05, 12) as unknown, low: 0 })
    expect(one?.difference.high).toBeCloseTo(0.15, 12)
    const all = compareWithLabels(patients(10, () => '90 80 70 60 10 10 10 10 10 10'), 100).figures
    expect(all?.sensitivity.difference.low).toBeCloseTo(0.5, 12)
    expect(all?.auroc.new.value).toBe(1)
    expect(all?.countError).toMatchObject({ new: { value: 0 }, difference: { value: -1, low: -1, high: -1 } })
  })

  test('give the same interval again', () => {
    const mixed = () => patients(12, (index) => index % 3 === 0 ? OLD : NEW)
    expect(compareWithLabels(mixed(), 120)).toEqual(compareWithLabels(mixed(), 120))
    const { low, high, value } = compareWithLabels(mixed(), 120).figures?.sensitivity.difference ?? {}
    expect(Number(low)).toBeLessThan(Number(value))
    expect(Number(high)).toBeGreaterThan(Number(value))
  })

  test('have no figure with fewer than 20 swollen or 20 other joints, and no interval with fewer than ten patients', () => {
    expect(compareWithLabels(patients(4), 40)).toEqual({ joints: 40, swollen: 16, groups: 4, visits: 4, leftOut: 0, tooFew: true })
    const healthy = Array.from({ length: 3 }, (_, index) => compareVisit(`p${index}`, [labelled(`p${index}`, OLD, NEW, '1 1 1 1 1 1 1 1 1 0')]))
    expect(compareWithLabels(healthy, 30)).toMatchObject({ swollen: 27, tooFew: true })
    expect(compareWithLabels(patients(5), 50).figures?.sensitivity).toEqual({
      old: { value: 0.5, low: null, high: null }, new: { value: 0.75, low: null, high: null }, difference: { value: 0.25, low: null, high: null }
    })
  })

  test('are judged on the joints that both could assess, each once in the count of a visit', () => {
    const visit = compareVisit('p', [labelled('p-1', '90 90 90', '90 - 10', '1 1 0 1'), labelled('p-2', '90 90', '90 90', '1 1')])
    // p-1 has wrist and mcp2 of both, p-2 wrist and mcp1: as many, so the first one counts.
    expect(visit.labelled).toEqual({ old: 2, new: 1, swollen: 1 })
    expect(compareWithLabels([visit], 6)).toMatchObject({ joints: 4, swollen: 3, leftOut: 2 })
  })
})
