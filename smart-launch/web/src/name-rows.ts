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

interface Span { readonly from: number; readonly to: number }

/** Between a mark and its name, and between what stands side by side in a row. */
export const GAP = 10
/** A mark's flag reaches this far to the right. */
const FLAG = 6

/**
 * A row for each name, the top one as long as there is room: no name covers another name or its flag, and all stay between `left` and `right`.
 * Left of the middle a name stands right of its mark, right of the middle left of it, so that it points into the chart.
 */
export function rowsOfNames(marks: readonly NamedMark[], { left, right, letter }: { readonly left: number; readonly right: number; readonly letter: number }): readonly RowedName[] {
  const rows: Span[][] = []
  return marks.map((mark) => {
    const name = besideMark({ ...mark, words: shortened(mark.words, Math.floor((right - left) / letter)) }, left, right, letter)
    const free = rows.findIndex((row) => row.every(({ from, to }) => name.taken.to + GAP <= from || to + GAP <= name.taken.from))
    const row = free >= 0 ? free : rows.push([]) - 1
    rows[row]?.push(name.taken)
    return { row, x: name.x, anchor: name.anchor, words: name.words }
  })
}

/** Beside its mark; where it would leave the chart it begins or ends at the chart's edge. */
function besideMark({ x, words }: NamedMark, left: number, right: number, letter: number) {
  const width = words.length * letter
  if (x > (left + right) / 2) {
    const end = Math.max(x - GAP, left + width)
    return { words, anchor: 'end' as const, x: end, taken: { from: end - width, to: Math.max(end, x + FLAG) } }
  }
  const start = Math.min(x + GAP, right - width)
  return { words, anchor: 'start' as const, x: start, taken: { from: Math.min(start, x), to: start + width } }
}

const shortened = (words: string, most: number) => (words.length > most ? `${words.slice(0, most - 1).trimEnd()}…` : words)
