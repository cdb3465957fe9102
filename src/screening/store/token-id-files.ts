import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ScreeningError } from '../../errors.ts'
import { openAppendFile, type AppendFile } from './append-file.ts'

export interface TokenIdFiles {
  /** True the first time. Throws ERR_STORE when it cannot be remembered, and then nobody is let in. */
  use(digest: string, expiresAtMs: number, nowMs: number): Promise<boolean>
  close(): void
}

const SPAN_MS = 20 * 60_000
const NAME = /^token-ids-(\d{1,9})$/
const DIGEST = /^[0-9a-f]{64}$/

/**
 * Used token ids, in spans of 20 minutes by the time their token expires: a span is forgotten as a whole once it is over, by
 * more than any clock tolerance. Nobody is let in before the id is in its span's file, so that a process that is killed
 * finds it again. Without a folder, in memory alone. For one process; never two.
 */
export function openTokenIdFiles(folder: string | undefined): TokenIdFiles {
  const spans = new Map<number, Set<string>>()
  const files = new Map<number, AppendFile>()
  if (folder !== undefined) for (const span of spansIn(folder)) spans.set(span, readSpan(fileOf(folder, span)))
  let newest = -Infinity

  /** Only when time has reached another span. A clock that was set back forgets nothing that it may need again. */
  function forgetBefore(current: number): void {
    if (current <= newest) return
    newest = current
    for (const span of [...spans.keys()].filter((one) => one < current - 1)) {
      spans.delete(span)
      files.get(span)?.close()
      files.delete(span)
      if (folder !== undefined) rmSync(fileOf(folder, span), { force: true })
    }
  }

  function fileFor(span: number): AppendFile | undefined {
    if (folder === undefined) return undefined
    const file = files.get(span) ?? openAppendFile(fileOf(folder, span))
    files.set(span, file)
    return file
  }

  return {
    async use(digest, expiresAtMs, nowMs) {
      forgetBefore(Math.floor(nowMs / SPAN_MS))
      for (const used of spans.values()) if (used.has(digest)) return false
      const span = Math.floor(expiresAtMs / SPAN_MS)
      const used = (spans.get(span) ?? new Set()).add(digest)
      spans.set(span, used)
      try {
        await fileFor(span)?.append(digest)
      } catch (cause) {
        used.delete(digest)
        throw new ScreeningError('ERR_STORE', 'Expected to remember a token id but its file cannot be written', { cause })
      }
      return true
    },
    close() {
      for (const file of files.values()) file.close()
      files.clear()
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

function fileOf(folder: string, span: number): string {
  return join(folder, `token-ids-${span}`)
}
