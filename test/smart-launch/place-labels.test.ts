import { describe, expect, test } from '@jest/globals'
import { placeLabels, type Labelled, type PlacedLabel } from '../../smart-launch/web/src/place-labels.ts'
import { seeded } from '../../src/joints/seeded.ts'

/** Joints of a right hand from the back, 200 by 262, wrist to little finger. */
const HAND = [[100, 232], [52, 178], [28, 144], [68, 122], [94, 114], [119, 119], [141, 131], [60, 74], [93, 60], [124, 69], [153, 95]] as const
const SEED = 20261127
const LETTER = 13 * 0.64

/** A hand somewhere in a photo that is shown `widthPx` wide, at least six tenths of it as the capture page asks: turned, some of its joints named. */
function hand(widthPx: number, random: () => number, share: number): readonly Labelled[] {
  const [turn, size] = [(random() - 0.5) * 1.4, widthPx * (0.6 + 0.25 * random())]
  const [cx, cy] = [widthPx * (0.4 + 0.2 * random()), widthPx * (0.4 + 0.2 * random())]
  return HAND.map(([x, y], at) => {
    const [dx, dy] = [((x - 95) / 262) * size, ((y - 125) / 262) * size]
    const name = at === 0 ? 'wrist' : 'MCP 2'
    return {
      key: String(at), x: cx + dx * Math.cos(turn) - dy * Math.sin(turn), y: cy + dx * Math.sin(turn) + dy * Math.cos(turn), radius: Math.max(6.5, widthPx / 55) * 1.35,
      ...(random() < share ? { label: { width: (name.length + 0.5) * LETTER, height: 16 } } : {})
    }
  })
}

const boxOf = ({ x, y }: PlacedLabel, { label }: Labelled) => ({ left: x - (label?.width ?? 0) / 2, right: x + (label?.width ?? 0) / 2, top: y - (label?.height ?? 0) / 2, bottom: y + (label?.height ?? 0) / 2 })
type Box = ReturnType<typeof boxOf>
const meet = (a: Box, b: Box) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.01 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.01

/** What is wrong with where the names stand. */
function faults(marks: readonly Labelled[], widthPx: number): string[] {
  const placed = placeLabels(marks, { width: widthPx, height: widthPx })
  const boxes = placed.map((one) => ({ one, box: boxOf(one, marks.find(({ key }) => key === one.key) ?? { key: '', x: 0, y: 0, radius: 0 }) }))
  return boxes.flatMap(({ one, box }, at) => [
    ...boxes.slice(at + 1).filter((other) => meet(box, other.box)).map((other) => `${one.key} covers the name of ${other.one.key}`),
    ...marks.filter(({ x, y, radius }) => Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom)) < radius - 0.01).map(({ key }) => `${one.key} covers the ring of ${key}`),
    ...(box.left < -0.01 || box.top < -0.01 || box.right > widthPx + 0.01 || box.bottom > widthPx + 0.01 ? [`${one.key} leaves the photo`] : [])
  ])
}

describe('the names of joints on a photo', () => {
  test.each([280, 366, 430, 476, 600])('cover no other name and no ring, and stay in the photo, however many of a hand’s joints are flagged (%d px wide)', (widthPx) => {
    const random = seeded(SEED + widthPx)
    for (let time = 0; time < 60; time++) {
      const marks = hand(widthPx, random, 0.3 + 0.5 * random())
      expect([time, faults(marks, widthPx)]).toEqual([time, []])
    }
  })

  test('stand at their ring where there is room, above it first, and on a line where there is none', () => {
    const alone: Labelled = { key: 'a', x: 100, y: 100, radius: 10, label: { width: 44, height: 16 } }
    expect(placeLabels([alone], { width: 200, height: 200 })).toEqual([{ key: 'a', x: 100, y: 79 }])
    const crowd = [alone, ...[80, 100, 120].flatMap((x) => [80, 100, 120].flatMap((y) => (x === 100 && y === 100 ? [] : [{ key: `${x} ${y}`, x, y, radius: 10 }])))]
    expect(placeLabels(crowd, { width: 200, height: 200 })[0]?.leader).toBeDefined()
    expect(faults(crowd, 200)).toEqual([])
  })

  test('have a place each even where every place covers something', () => {
    const marks = Array.from({ length: 22 }, (_, at): Labelled => ({ key: String(at), x: 30 + (at % 8) * 12, y: 30 + Math.floor(at / 8) * 12, radius: 10, label: { width: 60, height: 16 } }))
    expect(placeLabels(marks, { width: 140, height: 140 })).toHaveLength(22)
  })
})
