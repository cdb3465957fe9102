import { freePlace, overlap, type Box } from './free-place.ts'

/** A name beside its mark on the time axis. */
export interface NamedMark {
  /** Where the mark is. */
  readonly x: number
  readonly words: string
}

export interface RowedName {
  /** 0 is the top row. */
  readonly row: number
  /** Where the words begin (`start`) or end (`end`). */
  readonly x: number
  readonly anchor: 'start' | 'end'
  /** Shortened only where they are longer than the whole chart. */
  readonly words: string
}

/** Between a mark and its name, and between what stands side by side in a row. */
export const GAP = 10
/** A mark's flag reaches so far towards its name. */
export const FLAG = 6

/**
 * A row for each name, the top one as long as there is room: no name covers another name or its flag, and all stay between `left` and `right`.
 * Left of the middle a name stands right of its mark, right of the middle left of it, so that it points into the chart.
 */
export function rowsOfNames(marks: readonly NamedMark[], { left, right, letter }: { readonly left: number; readonly right: number; readonly letter: number }): readonly RowedName[] {
  const taken: Box[] = []
  return marks.map((mark) => {
    const { name, from, to } = besideMark({ ...mark, words: shortened(mark.words, Math.floor((right - left) / letter)) }, left, right, letter)
    const inRow = (row: number): Box => ({ left: from, right: to + GAP, top: row, bottom: row + 1 })
    const row = freePlace(marks.keys(), (one) => taken.reduce((covered, box) => covered + overlap(inRow(one), box), 0)) ?? 0
    taken.push(inRow(row))
    return { row, ...name }
  })
}

/** Beside its mark; where it would leave the chart it begins or ends at the chart's edge. `from` and `to` hold its flag too. */
function besideMark({ x, words }: NamedMark, left: number, right: number, letter: number): { readonly name: Omit<RowedName, 'row'>; readonly from: number; readonly to: number } {
  const width = words.length * letter
  if (x > (left + right) / 2) {
    const end = Math.max(x - GAP, left + width)
    return { name: { words, anchor: 'end', x: end }, from: end - width, to: Math.max(end, x) }
  }
  const start = Math.min(x + GAP, right - width)
  return { name: { words, anchor: 'start', x: start }, from: Math.min(start, x), to: start + width }
}

const shortened = (words: string, most: number) => (words.length > most ? `${words.slice(0, most - 1).trimEnd()}…` : words)
