import { closeSync, openSync, writeSync } from 'node:fs'

export interface AppendFile {
  /** Resolves once the line is in the file, where a process that is killed finds it again. Rejects with the error of the file system. */
  append(line: string): Promise<void>
  close(): void
}

/**
 * Lines at the end of a file that stays open. Those that come in one turn of the event loop are written together, and each
 * begins on a line of its own: one that a power cut left half-written spoils no other.
 */
export function openAppendFile(path: string): AppendFile {
  let file: number | undefined
  let waiting: { readonly line: string; resolve(): void; reject(error: unknown): void }[] = []

  function write(): void {
    const batch = waiting
    waiting = []
    // Closed meanwhile, which wrote them: the file may be gone by now, and would be made again.
    if (batch.length === 0) return
    try {
      file ??= openSync(path, 'a', 0o600)
      writeWhole(file, Buffer.from(batch.map(({ line }) => `\n${line}`).join('')))
      for (const { resolve } of batch) resolve()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  return {
    append: (line) => new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(write)
      waiting.push({ line, resolve, reject })
    }),
    close() {
      if (waiting.length > 0) write()
      if (file !== undefined) closeSync(file)
      file = undefined
    }
  }
}

/** A full disk takes the beginning of a write and only then says so. */
function writeWhole(file: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written)
}
