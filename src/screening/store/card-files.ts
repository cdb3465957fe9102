import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openAppendFile, type AppendFile } from './append-file.ts'

export interface CardFiles<Card> {
  /** What a process that was killed left behind. */
  readonly left: readonly Card[]
  /** Resolves once a process that is killed would find the card again. Rejects when it cannot be written. */
  keep(card: Card): Promise<void>
  /** Begins another file; `forget` removes everything kept up to now, once it is stored. */
  turn(): { forget(): void }
  close(): void
}

const NAME = /^cards-(\d{1,9})$/

/** Cards that were sent and are not yet in the store, a JSON line each, in numbered files beside it. For one process; never two. */
export function openCardFiles<Card>(folder: string): CardFiles<Card> {
  const pathOf = (number: number) => join(folder, `cards-${number}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  let kept = readdirSync(folder).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number)
  let number = Math.max(0, ...kept) + 1
  let file: AppendFile | undefined

  return {
    left: kept.toSorted((one, other) => one - other).flatMap((one) => readLines<Card>(pathOf(one))),
    keep(card) {
      if (!file) {
        file = openAppendFile(pathOf(number))
        kept.push(number)
      }
      return file.append(JSON.stringify(card))
    },
    turn() {
      const over = kept
      kept = []
      file?.close()
      file = undefined
      number++
      return { forget: () => { for (const one of over) rmSync(pathOf(one), { force: true }) } }
    },
    close() {
      file?.close()
      file = undefined
    }
  }
}

/** A line that a power cut left half-written is no card. */
function readLines<Card>(path: string): readonly Card[] {
  return readFileSync(path, 'utf8').split('\n').filter(Boolean).flatMap((line) => {
    try {
      return [JSON.parse(line) as Card]
    } catch {
      return []
    }
  })
}
