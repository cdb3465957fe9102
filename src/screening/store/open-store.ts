import { closeSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import pg from 'pg'
import { ScreeningError } from '../../errors.ts'
import { DatabaseFailure, openEmbeddedDatabase, type EmbeddedDatabase } from './embedded-database.ts'
import type { ThreadPlace } from './embedded-protocol.ts'
import { migrate } from './migrations.ts'

export type Row = Readonly<Record<string, unknown>>

/** SQL with `$1` parameters. */
export interface Queries {
  query: <R extends Row = Row>(sql: string, parameters?: readonly unknown[]) => Promise<readonly R[]>
}

/** PostgreSQL, or PGlite embedded: the same SQL. Times are the database's, so that no machine's clock decides a lease. */
export interface Store extends Queries {
  readonly kind: 'embedded' | 'server'
  /** Embedded: where it keeps its files, if not in memory alone. No other process writes there. */
  readonly folder?: string
  /** Embedded: a number that differs once a screening or its job may have changed. Other processes write to a server unseen. */
  readonly changes?: () => number
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>
  /** Waits until everything that was committed is on the disk. A server does that with each commit, as it is configured. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** A server, or PGlite in its thread. */
export type StorePlace = { readonly databaseUrl: string } | ThreadPlace

/** Opens the store and brings its tables up to date. Throws ERR_STORE_LOCKED when another process owns the folder, ERR_STORE. */
export async function openStore(place: StorePlace): Promise<Store> {
  const store = 'databaseUrl' in place ? openServer(place.databaseUrl) : await openEmbedded(place)
  try {
    await migrate(store)
    return store
  } catch (cause) {
    await store.close()
    throw new ScreeningError('ERR_STORE', 'Expected a store that can be opened and brought up to date', { cause })
  }
}

function openServer(databaseUrl: string): Store {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10, connectionTimeoutMillis: 5_000, statement_timeout: 30_000 })
  // A connection that dies while idle is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => undefined)
  const queriesOf = (client: pg.Pool | pg.PoolClient): Queries => ({
    query: (sql, parameters = []) => rowsOf(client.query(sql, [...parameters]).then(({ rows }) => rows as unknown[]))
  })
  return {
    kind: 'server',
    ...queriesOf(pool),
    async transaction(work) {
      const client = await pool.connect().catch((error: unknown) => { throw storeError(error) })
      try {
        await client.query('begin')
        const result = await work(queriesOf(client))
        await client.query('commit')
        return result
      } catch (error) {
        await client.query('rollback').catch(() => undefined)
        throw error
      } finally {
        client.release()
      }
    },
    flush: () => Promise.resolve(),
    close: () => pool.end()
  }
}

/** Tables of which nothing is shown with a screening or its job: what hooks, feedback, the app, errands, the audit and the writer keep for themselves. */
const ASIDE = new Set([
  'jti', 'card', 'feedback', 'session', 'errand', 'heard_event', 'watermark', 'poll_gap', 'audit', 'assessment', 'read_photo', 'handed_photo', 'ledger', 'sent_unanswered',
  'shown', 'pause', 'retirement'
])
const WRITTEN = /(?:\binsert into|\bdelete from|(?<!\b(?:for|do|key) )\bupdate)\s+(\w+)/gi
/** Signs of life of a worker, several a second where many patients are screened. */
const HEARTBEAT = /^\s*update job set lease_until\b/i
/** Whose number of rows says all: an idle worker asks each second for work, by an update that finds none. */
const COUNTED = /^\s*(?:insert|update|delete|with)\b/i
const WRITES_WITHIN = /\bas\s*(?:materialized\s*)?\(\s*(?:insert|update|delete)\b/i

function mayChangeScreenings(sql: string, affected: number): boolean {
  if (/^\s*select\b/i.test(sql) || HEARTBEAT.test(sql)) return false
  const tables = [...sql.matchAll(WRITTEN)].map(([, table = '']) => table)
  if (tables.length > 0 && tables.every((table) => ASIDE.has(table))) return false
  return affected > 0 || !COUNTED.test(sql) || WRITES_WITHIN.test(sql)
}

async function openEmbedded(place: ThreadPlace): Promise<Store> {
  const lock = 'dataDir' in place ? lockFolder(place.dataDir) : undefined
  let database: EmbeddedDatabase
  try {
    database = await openEmbeddedDatabase(place)
  } catch (cause) {
    lock?.release()
    throw new ScreeningError('ERR_STORE', 'Expected an embedded store that can be opened', { cause })
  }
  let changes = 0
  /** Counted before whoever wrote hears of it: what was read earlier came earlier, as there is one connection. */
  const queriesOf = (query: EmbeddedDatabase['query'], changed: () => void): Queries => ({
    query: (sql, parameters = []) => rowsOf(query(sql, parameters).then(({ rows, affected }) => {
      if (mayChangeScreenings(sql, affected)) changed()
      return rows
    }))
  })
  async function transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    let changed = 0
    try {
      return await database.transaction((query) => work(queriesOf(query, () => { changed = 1 })))
    } catch (error) {
      changed = 1
      // What the work itself throws goes on as it is; a failed begin or commit is the store's.
      throw error instanceof DatabaseFailure ? storeError(error) : error
    } finally {
      changes += changed
    }
  }
  return {
    kind: 'embedded',
    ...('dataDir' in place ? { folder: place.dataDir } : {}),
    changes: () => changes,
    ...queriesOf(database.query, () => { changes++ }),
    transaction,
    flush: () => database.flush().catch((error: unknown) => { throw storeError(error) }),
    async close() {
      await database.close()
      lock?.release()
    }
  }
}

pg.types.setTypeParser(pg.types.builtins.INT8, Number)

/** The driver's own error holds the statement and its parameters, which may name a patient: only the SQLSTATE goes on. */
async function rowsOf<R extends Row>(answer: Promise<readonly unknown[]>): Promise<readonly R[]> {
  const rows = await answer.catch((error: unknown) => { throw storeError(error) })
  return rows as readonly R[]
}

function storeError(error: unknown): ScreeningError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code'
  return new ScreeningError('ERR_STORE', `Expected the store to answer but received an error (${code})`)
}

/** Folders that this process owns now. Our own id in a lock file alone means little: a container starts again under the same one. */
const ownedHere = new Set<string>()

/** PGlite takes no lock of its own: two owners would destroy the folder. The file holds the owner's process id. */
function lockFolder(dataDir: string): { release(): void } {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const path = resolve(dataDir, 'owner.pid')
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const file = openSync(path, 'wx', 0o600)
      writeSync(file, String(process.pid))
      closeSync(file)
      ownedHere.add(path)
      return {
        release() {
          ownedHere.delete(path)
          rmSync(path, { force: true })
        }
      }
    } catch (cause) {
      const owner = Number(readOwner(path))
      if (!owner && isYoung(path))
        throw new ScreeningError('ERR_STORE_LOCKED', "Expected to own the store's folder but another process is taking it", { cause })
      if (owner === process.pid ? ownedHere.has(path) : isRunning(owner))
        throw new ScreeningError('ERR_STORE_LOCKED', `Expected to own the store's folder but process ${owner} owns it; use DATABASE_URL for several processes`, { cause })
      takeAway(path, readOwner(path))
    }
  }
  throw new ScreeningError('ERR_STORE_LOCKED', "Expected to own the store's folder but its lock cannot be written")
}

/** Of two processes that find the same dead owner only one moves its file away; one that moved a live owner's puts it back. */
function takeAway(path: string, expected: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    if (readOwner(aside) !== expected) linkSync(aside, path)
  } catch {
    // Someone else moved it, or took the place: the next try to create the file tells.
  }
  rmSync(aside, { force: true })
}

/** Its owner may not have written its id yet. */
function isYoung(path: string): boolean {
  const made = statSync(path, { throwIfNoEntry: false })?.mtimeMs
  return made !== undefined && Date.now() - made < 2_000
}

function readOwner(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function isRunning(processId: number): boolean {
  if (!Number.isInteger(processId) || processId <= 0) return false
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
