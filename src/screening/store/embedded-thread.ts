import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite, types } from '@electric-sql/pglite'
import { DURABLE_PARAMETERS, DurableFolder, syncFolder } from './durable-folder.ts'
import type { Outcome, ThreadAnswer, ThreadCall, ThreadPlace } from './embedded-protocol.ts'
import { openPreparedStatements } from './prepared-statements.ts'

/**
 * PGlite in a thread of its own: a query of it is computation (0.1 to 1 ms), and the thread that answers hooks must not do it.
 * Opens, answers `{ id: 0 }`, then each call by its id. A transaction stays open between its calls, as one connection's does.
 */
const port = parentPort
if (!port) throw new Error('Expected to run as a thread of the store')

class RolledBack extends Error {}

interface OpenTransaction {
  end(how: 'commit' | 'rollback'): void
  readonly ended: Promise<unknown>
}

const transactions = new Map<number, Promise<OpenTransaction>>()
const place = workerData as ThreadPlace
// int8 as a number, as far as numbers go: our counters never reach 2^53.
const parsers = { [types.INT8]: (value: string) => Number(value) }
let folder: DurableFolder | undefined
const opening = 'dump' in place ? PGlite.create('memory://', { parsers, loadDataDir: new Blob([readFileSync(place.dump)]) }) : openFolder(place.dataDir)

const statements = opening.then(openPreparedStatements)

const DONE: Outcome = { rows: [], affected: 0 }
void reply(0, statements.then(() => DONE))
port.on('message', (call: ThreadCall) => void reply(call.id, perform(call)))

async function openFolder(dataDir: string): Promise<PGlite> {
  folder = new DurableFolder(join(dataDir, 'pglite'), () => process.exit(1))
  const isNew = !existsSync(join(folder.dir, 'PG_VERSION'))
  const db = await PGlite.create({ fs: folder, startParams: DURABLE_PARAMETERS, parsers })
  // In the background: the first screenings of a new store are flushed one by one all the same.
  if (isNew) void syncFolder(folder.dir).catch(() => undefined)
  return db
}

async function perform(call: ThreadCall): Promise<Outcome> {
  const db = await opening
  switch (call.kind) {
    case 'query': {
      const { query } = await statements
      const run = () => db.runExclusive(() => query(call.sql, call.parameters))
      // The lock that `db.transaction` holds: a statement on its own waits until an open transaction has ended, as `db.query` does.
      if (call.transaction === undefined) return db._runExclusiveTransaction(run)
      await open(call.transaction)
      return run()
    }
    case 'begin':
      transactions.set(call.id, begin(db))
      await open(call.id)
      return DONE
    case 'end': {
      const { end, ended } = await open(call.transaction)
      transactions.delete(call.transaction)
      end(call.how)
      await ended
      return DONE
    }
    case 'flush':
      folder?.flush()
      return DONE
    case 'close':
      await db.close()
      return DONE
  }
}

/** Resolves once nothing else runs and the transaction is open. */
function begin(db: PGlite): Promise<OpenTransaction> {
  return new Promise((resolve, reject) => {
    const ended = db.transaction(() => new Promise<void>((commit, rollback) => {
      resolve({ ended: settled, end: (how) => how === 'commit' ? commit() : rollback(new RolledBack()) })
    }))
    const settled = ended.catch((error: unknown) => {
      reject(error instanceof Error ? error : new Error('transaction'))
      if (!(error instanceof RolledBack)) throw error
    })
    settled.catch(() => undefined)
  })
}

/** What is asked right after a transaction was begun may come before that is open. */
function open(id: number): Promise<OpenTransaction> {
  const found = transactions.get(id)
  if (!found) throw new Error('Expected an open transaction')
  return found
}

/** Of an error only its SQLSTATE goes on: its text holds the statement and its parameters, which may name a patient. */
async function reply(id: number, work: Promise<Outcome>): Promise<void> {
  const answer: ThreadAnswer = await work.then((outcome) => ({ id, ...outcome }), (error: unknown) => ({
    id, failed: error instanceof Error && 'code' in error ? String(error.code) : 'no code'
  }))
  port?.postMessage(answer)
}
