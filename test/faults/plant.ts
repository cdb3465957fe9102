import { checkHistory, type Run } from './check-history.ts'
import { HARMLESS, seeded, VIOLATIONS } from './mutations.ts'

export interface Planted {
  readonly planted: number
  readonly caught: number
  /** What went past the checker. */
  readonly missed: readonly string[]
}

/** Plants violations of all kinds, in turn, in good runs, and asks whether the rule that has to see each one does. */
export function plantViolations(runs: readonly Run[], wanted: number): Planted {
  const kinds = Object.entries(VIOLATIONS)
  const missed: string[] = []
  let planted = 0
  for (let seed = 1; planted < wanted && seed < 20 * wanted; seed++) {
    const [name, { rule, plant }] = kinds[seed % kinds.length] ?? raise()
    const bad = plant(runs[seed % runs.length] ?? raise(), seeded(seed))
    if (!bad) continue
    planted++
    if (!checkHistory(bad).some((one) => one.rule === rule)) missed.push(`${name} (seed ${seed})`)
  }
  return { planted, caught: planted - missed.length, missed }
}

/** Changes what may be otherwise, and tells what the checker says against it. */
export function reorderHarmlessly(runs: readonly Run[], wanted: number): { readonly changed: number; readonly reported: readonly string[] } {
  const kinds = Object.entries(HARMLESS)
  const reported: string[] = []
  let changed = 0
  for (let seed = 1; changed < wanted && seed < 20 * wanted; seed++) {
    const [name, change] = kinds[seed % kinds.length] ?? raise()
    const other = change(runs[seed % runs.length] ?? raise(), seeded(seed))
    if (!other) continue
    changed++
    for (const { rule, text } of checkHistory(other)) reported.push(`${name} (seed ${seed}): ${rule}: ${text}`)
  }
  return { changed, reported }
}

function raise(): never {
  throw new Error('Expected a good run and a kind of change')
}
