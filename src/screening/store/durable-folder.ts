import { closeSync, fsyncSync, openSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite, type postgresMod } from '@electric-sql/pglite'
import { NodeFS } from '@electric-sql/pglite/nodefs'

/** What PGlite's files are in Emscripten; their types are not exported. */
interface Stream { readonly path: string; readonly node: unknown; readonly nfd: number }
type Write = (stream: Stream, buffer: Uint8Array, offset: number, length: number, position: number) => number
interface NodeFiles {
  readonly stream_ops: { fsync?: (stream: Stream) => number; write: Write }
  realPath(node: unknown): string
}

/**
 * A folder whose files reach the disk in the order that the database means. PGlite comes with fsync switched off, and Emscripten's
 * files have none: a power cut would lose what was accepted, and could leave data pages on the disk without the log that they follow
 * from. A commit writes the log, which survives the process; the disk is waited for when someone has to rely on it (`flush`), and before
 * anything but the log is written.
 */
export class DurableFolder extends NodeFS {
  /** Files of the log with something in them that may not be on the disk yet. */
  readonly #unsynced = new Set<string>()
  readonly #lost: () => never

  /** Where it is. */
  readonly dir: string

  /** `lost` ends the thread or process: after a failed fsync nobody knows what is on the disk, and only a new start reads it again. */
  constructor(dir: string, lost: () => never) {
    super(dir)
    this.dir = dir
    this.#lost = lost
  }

  override async init(...[pg, options]: Parameters<NodeFS['init']>): ReturnType<NodeFS['init']> {
    const made = await super.init(pg, options)
    made.emscriptenOpts.preRun?.push((module: postgresMod.PostgresMod) => {
      const files = (module as unknown as { readonly NODEFS: NodeFiles }).NODEFS
      const write = files.stream_ops.write.bind(files.stream_ops)
      files.stream_ops.write = (stream, ...rest) => {
        if (!isLog(stream)) this.flush()
        return write(stream, ...rest)
      }
      files.stream_ops.fsync = (stream) => {
        if (isLog(stream)) this.#unsynced.add(files.realPath(stream.node))
        else this.#sync(stream.nfd)
        return 0
      }
    })
    return made
  }

  /** Waits until everything that was committed is on the disk. */
  flush(): void {
    for (const path of this.#unsynced) {
      const file = openIfThere(path)
      if (file === undefined) continue
      this.#sync(file)
      closeSync(file)
    }
    this.#unsynced.clear()
  }

  #sync(file: number): void {
    try {
      fsyncSync(file)
    } catch {
      this.#lost()
    }
  }
}

/** fsync on, by the one method that Emscripten passes on. */
export const DURABLE_PARAMETERS: string[] = [...PGlite.defaultStartParams.filter((one) => one !== '-F'), '-c', 'wal_sync_method=fsync']

/** The files of a database that was just made were written without. */
export async function syncFolder(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = await open(join(entry.parentPath, entry.name), 'r+')
    await file.sync().finally(() => file.close())
  }
}

function isLog({ path }: Stream): boolean {
  return path.includes('/pg_wal/')
}

/** A part of the log that was recycled since is needed no more. */
function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r+')
  } catch {
    return undefined
  }
}
