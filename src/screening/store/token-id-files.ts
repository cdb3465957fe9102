import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ScreeningError } from '../../errors.ts'

export interface TokenIdFiles {
  /** True the first time. Throws ERR_STORE when it cannot be remembered, and then nobody is let in. */
  use(digest: string, expiresAtMs: number, nowMs: number): boolean
}

const SPAN_MS = 20 * 60_000
const NAME = /^token-ids-(\d{1,9})$/
const DIGEST = /^[0-9a-f]{64}$/

/**
 * Used token ids, in spans of 20 minutes by the time their token expires: a span is forgotten as a whole once it is over, by
 * more than any clock tolerance. Each id is appended to its span's file before it counts as used, so that a process that is
 * killed finds it again. Without a folder, in memory alone. For one process; never two.
 */
export function openTokenIdFiles(folder: string | undefined): TokenIdFiles {
  const spans = new Map<number, Set<string>>()
  if (folder !== undefined) for (const span of spansIn(folder)) spans.set(span, readSpan(fileOf(folder, span)))
  let newest = -Infinity

  /** Only when time has reached another span. A clock that was set back forgets nothing that it may need again. */
  function forgetBefore(current: number): void {
    if (current <= newest) return
    newest = current
    for (const span of [...spans.keys()].filter((one) => one < current - 1)) {
      spans.delete(span)
      if (folder !== undefined) rmSync(fileOf(folder, span), { force: true })
    }
  }

  return {
    use(digest, expiresAtMs, nowMs) {
      forgetBefore(Math.floor(nowMs / SPAN_MS))
      if ([...spans.values()].some((used) => used.has(digest))) return false
      const span = Math.floor(expiresAtMs / SPAN_MS)
      if (folder !== undefined) append(fileOf(folder, span), digest)
      spans.set(span, (spans.get(span) ?? new Set()).add(digest))
      return true
    }
  }
}

function spansIn(folder: string): readonly number[] {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return readdirSync(folder).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number)
}

/** A line that a power cut left half-written is no id, and the next begins on a line of its own. */
function readSpan(path: string): Set<string> {
  return new Set(readFileSync(path, 'latin1').split('\n').filter((line) => DIGEST.test(line)))
}

function append(path: string, digest: string): void {
  try {
    appendFileSync(path, `\n${digest}`, { mode: 0o600 })
  } catch (cause) {
    throw new ScreeningError('ERR_STORE', 'Expected to remember a token id but its file cannot be written', { cause })
  }
}

function fileOf(folder: string, span: number): string {
  return join(folder, `token-ids-${span}`)
}
