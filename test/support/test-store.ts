import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** A store in memory, empty and up to date. Making one takes seconds of computing, a copy of one that was made does not. */
export async function openTestStore(): Promise<Store> {
  return openStore({ dump: join(await template(), 'dump.tar') })
}

/** The same in a folder, which a test or its processes open then. */
export async function copyTestStore(dataDir: string): Promise<void> {
  cpSync(join(await template(), 'folder'), dataDir, { recursive: true })
}

/** Few rows are deleted in a fifth of the time that `truncate` takes. */
export async function emptyTables(store: Store, tables: readonly string[]): Promise<void> {
  await store.query(`with ${tables.map((table) => `${table}_rows as (delete from ${table})`).join(', ')} select`)
}

/**
 * Made by the product itself, and anew whenever anything changed that makes it. Of test files that need it side by side one makes it and the others wait;
 * where two make it all the same, it does no harm.
 */
async function template(): Promise<string> {
  const cache = join(root, '.cache')
  const made = join(cache, `store-${digest()}`)
  if (existsSync(made)) return made
  mkdirSync(cache, { recursive: true })
  const claim = join(cache, `claim-${digest()}`)
  if (!claimed(claim)) await patience(30_000, () => existsSync(made) || !existsSync(claim))
  if (!existsSync(made)) await make(made, cache).finally(() => rmSync(claim, { force: true }))
  return made
}

async function make(made: string, cache: string): Promise<void> {
  for (const name of readdirSync(cache).filter((one) => one.startsWith('store-') && !made.endsWith(one))) rmSync(join(cache, name), { recursive: true, force: true })
  const making = mkdtempSync(join(cache, 'making-'))
  await (await openStore({ dataDir: join(making, 'folder') })).close()
  const database = await PGlite.create(join(making, 'folder', 'pglite'))
  writeFileSync(join(making, 'dump.tar'), Buffer.from(await (await database.dumpDataDir('none')).arrayBuffer()))
  await database.close()
  try {
    renameSync(making, made)
  } catch {
    rmSync(making, { recursive: true })
  }
}

function claimed(claim: string): boolean {
  try {
    writeFileSync(claim, '', { flag: 'wx' })
    return true
  } catch {
    return false
  }
}

async function patience(milliseconds: number, isDone: () => boolean): Promise<void> {
  for (const end = Date.now() + milliseconds; !isDone() && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 100))
}

function digest(): string {
  const sources = join(root, 'src/screening/store')
  const hash = createHash('sha256').update(readFileSync(join(root, 'node_modules/@electric-sql/pglite/package.json')))
  for (const name of readdirSync(sources).sort()) hash.update(readFileSync(join(sources, name)))
  return hash.digest('hex').slice(0, 16)
}
