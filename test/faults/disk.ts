import { spawnSync } from 'node:child_process'
import fs, { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { openQueue } from '../../src/screening/queue.ts'
import { DURABLE_PARAMETERS, DurableFolder } from '../../src/screening/store/durable-folder.ts'
import { openStore, type Store } from '../../src/screening/store/open-store.ts'

// One fault of the disk below the embedded store, in a process and a mount namespace of its own: `full`, `read-only` or `fsync`.
// Prints what was accepted and refused while it lasted, and what a new process finds afterwards, as one line of JSON.
const [fault = '', dir = ''] = process.argv.slice(2)

/** What was accepted must be there later; nothing else may be. */
async function accepting(store: Store, names: readonly string[]): Promise<{ accepted: string[]; codes: string[] }> {
  const queue = openQueue(store)
  const accepted: string[] = []
  const codes = new Set<string>()
  for (const name of names)
    await queue.add('clinic', name, 'hook').then(() => accepted.push(name), (error: unknown) => codes.add(String((error as { code?: unknown }).code)))
  return { accepted, codes: [...codes] }
}

const names = (word: string, count: number) => Array.from({ length: count }, (_, index) => `${word}-${index}-${'x'.repeat(40)}`)

async function withFault(begin: () => void, end: () => void) {
  const store = await openStore({ dataDir: dir })
  const before = await accepting(store, names('before', 3))
  begin()
  const during = await accepting(store, names('during', 300))
  const readable = await store.query('select 1 from job').then((rows) => rows.length, () => 'no')
  end()
  const after = await accepting(store, names('after', 3))
  await store.close()
  const again = await openStore({ dataDir: dir })
  const found = (await again.query<{ patient_id: string }>('select patient_id from job')).map((row) => row.patient_id)
  await again.close()
  const accepted = [...before.accepted, ...during.accepted, ...after.accepted]
  return {
    refused: 300 - during.accepted.length, codes: during.codes, readable: readable !== 'no', afterwards: after.accepted.length,
    lost: accepted.filter((name) => !found.includes(name)).length, unasked: found.filter((name) => !accepted.includes(name)).length
  }
}

const ballast = join(dir, 'ballast')

/** A folder that turned read-only under a service that starts: it is refused with a code, and nothing is changed. */
async function withReadOnly() {
  const first = await openStore({ dataDir: dir })
  const { accepted } = await accepting(first, names('before', 3))
  await first.close()
  mount('remount,ro')
  const code = await openStore({ dataDir: dir }).then(() => 'opened', (error: unknown) => String((error as { code?: unknown }).code))
  mount('remount,rw')
  const again = await openStore({ dataDir: dir })
  const found = await again.query('select 1 from job')
  await again.close()
  return { code, lost: accepted.length - found.length }
}

function mount(how: string): void {
  if (spawnSync('mount', ['-o', how, dir]).status !== 0) throw new Error('Expected to remount')
}

/** The disk takes writes and fails to keep them: nothing is said to be accepted any more. */
async function withBrokenFsync() {
  const folder = new DurableFolder(join(dir, 'pglite'), () => process.exit(3))
  const db = await PGlite.create({ fs: folder, startParams: DURABLE_PARAMETERS })
  await db.exec('create table if not exists accepted (n integer)')
  const { rows } = await db.query<{ n: number }>('select n from accepted')
  process.stdout.write(`${JSON.stringify(rows.map(({ n }) => n))}\n`)
  await db.query('insert into accepted values (1)')
  folder.flush()
  process.stdout.write('accepted\n')
  fs.fsyncSync = () => { throw Object.assign(new Error('EIO'), { code: 'EIO' }) }
  syncBuiltinESMExports()
  await db.query('insert into accepted values (2)')
  folder.flush()
  return 'accepted what the disk did not keep'
}

const result = fault === 'full' ? await withFault(() => {
  const { bavail, bsize } = statfsSync(dir)
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - 100_000))
}, () => { rmSync(ballast) }) : fault === 'read-only' ? await withReadOnly() : await withBrokenFsync()
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit()
