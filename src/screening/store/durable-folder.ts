import { fsyncSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite, type postgresMod } from '@electric-sql/pglite'
import { NodeFS } from '@electric-sql/pglite/nodefs'

/** What PGlite's files are in Emscripten; their type is not exported. */
interface NodeFiles { readonly stream_ops: { fsync?: (stream: { readonly nfd: number }) => number } }

/**
 * A folder whose files reach the disk when the database says so. PGlite comes with fsync switched off, and Emscripten's files have
 * none: a power cut would lose what was accepted, and could leave data pages on the disk without the log that they follow from.
 */
export class DurableFolder extends NodeFS {
  readonly #lost: () => never

  /** `lost` ends the thread or process: after a failed fsync nobody knows what is on the disk, and only a new start reads it again. */
  constructor(dir: string, lost: () => never) {
    super(dir)
    this.#lost = lost
  }

  override async init(...[pg, options]: Parameters<NodeFS['init']>): ReturnType<NodeFS['init']> {
    const made = await super.init(pg, options)
    const files = (module: postgresMod.PostgresMod) => (module as unknown as { readonly NODEFS: NodeFiles }).NODEFS
    made.emscriptenOpts.preRun?.push((module: postgresMod.PostgresMod) => {
      files(module).stream_ops.fsync = ({ nfd }) => {
        try {
          fsyncSync(nfd)
          return 0
        } catch {
          return this.#lost()
        }
      }
    })
    return made
  }
}

/**
 * fsync on, by the one method that Emscripten passes on. A commit alone does not wait for the disk, it is flushed with the next one
 * that has to be (`flush`); what is on the disk is always in order.
 */
export const DURABLE_PARAMETERS: string[] = [
  ...PGlite.defaultStartParams.filter((one) => one !== '-F'), '-c', 'wal_sync_method=fsync', '-c', 'synchronous_commit=off'
]

/** Waits until everything that was committed is on the disk: a record in the log that its commit waits for. */
export async function flush(db: PGlite): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.exec('set local synchronous_commit = on')
    await tx.query("select pg_logical_emit_message(true, 'flush', '')")
  })
}

/** The files of a database that was just made were written without. */
export async function syncFolder(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = await open(join(entry.parentPath, entry.name), 'r+')
    await file.sync().finally(() => file.close())
  }
}
