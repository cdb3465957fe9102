import { describe, expect, test } from '@jest/globals'
import { seeded } from '../../src/joints/seeded.ts'
import { FLAG, rowsOfNames, type NamedMark } from '../../smart-launch/web/src/name-rows.ts'
import { topOfScores } from '../../smart-launch/web/src/time-axis.ts'

const CHART = { left: 4, right: 676, letter: 9 }
const SEED = 20261127
const NAMES = ['MTX', 'methotrexate', 'sulfasalazine', 'hydroxychloroquine', '← certolizumab pegol', 'leflunomide', 'Methotrexat 15 mg/0,3 ml Injektionslösung in einer Fertigspritze', 'x'.repeat(200)]

/** What is wrong with where the names stand. */
function faults(marks: readonly NamedMark[]): string[] {
  const boxes = rowsOfNames(marks, CHART).map(({ row, x, anchor, words }, at) => {
    const width = words.length * CHART.letter
    const from = anchor === 'start' ? x : x - width
    const mark = marks[at]?.x ?? 0
    return { row, words, from, to: from + width, flag: anchor === 'start' ? { from: mark, to: mark + FLAG } : { from: mark - FLAG, to: mark } }
  })
  return boxes.flatMap((one, at) => [
    ...(one.from < CHART.left || one.to > CHART.right ? [`${one.words} leaves the chart`] : []),
    ...boxes.filter((other, index) => index > at && other.row === one.row && Math.min(one.to, other.to) > Math.max(one.from, other.from)).map((other) => `${one.words} over ${other.words}`),
    ...boxes.filter((other, index) => index !== at && other.row === one.row && other.flag.to > one.from && other.flag.from < one.to).map((other) => `${one.words} over the flag of ${other.words}`)
  ])
}

describe('the names of drugs on the time axis', () => {
  test.each([3, 4, 5, 6])('%d that began on one day have a row each, at the left edge, in the middle and at the right edge', (count) => {
    for (const x of [56, 330, 350, 604]) {
      const marks = NAMES.slice(0, count).map((words) => ({ x, words }))
      expect(rowsOfNames(marks, CHART).map(({ row }) => row)).toEqual(marks.map((_, at) => at))
      expect(faults(marks)).toEqual([])
    }
  })

  test('share the top row where there is room, and point into the chart', () => {
    expect(rowsOfNames([{ x: 60, words: 'methotrexate' }, { x: 600, words: 'certolizumab pegol' }], CHART)).toEqual([
      { row: 0, x: 70, anchor: 'start', words: 'methotrexate' }, { row: 0, x: 590, anchor: 'end', words: 'certolizumab pegol' }
    ])
  })

  test('that are longer than the chart are shortened and say so', () => {
    const [one] = rowsOfNames([{ x: 600, words: 'x'.repeat(200) }], CHART)
    expect(one?.words).toBe(`${'x'.repeat(73)}…`)
  })

  test('cover no other name and no other flag, and stay in the chart, wherever they began and however long they are', () => {
    const random = seeded(SEED)
    for (let time = 0; time < 500; time++) {
      const marks = Array.from({ length: 1 + Math.floor(random() * 8) }, () => ({ x: 56 + random() * 548, words: NAMES[Math.floor(random() * NAMES.length)] ?? '' }))
      expect([SEED, time, faults(marks)]).toEqual([SEED, time, []])
    }
  })
})

test.each([[[0], 1], [[0, 0], 1], [[2.6], 3], [[5.4, 3.1], 6]])('the axis of the scores %j ends at %d, never at 0', (values, top) => {
  expect(topOfScores(values)).toBe(top)
})
