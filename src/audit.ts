import { createHash } from 'node:crypto'
import { ScreeningError } from './errors.ts'
import { inBatches } from './screening/store/in-batches.ts'
import type { Queries, Store } from './screening/store/open-store.ts'

/** Who did what to whose data, in the shape of an AuditEvent. Ids only: never a name, a token or a photo. */
export interface AuditedEvent {
  readonly tenant: string
  /** `screen`, `write`, `sign`, `launch`, `feedback`, `refuse`… */
  readonly action: string
  /** `system`, `Practitioner/…`, a CDS client's issuer. */
  readonly actor: string
  readonly patientId?: string
  /** What it was done to: a reference or an id of ours. */
  readonly entity?: string
  readonly outcome: 'success' | 'failure'
  readonly code?: string
}

export interface Audit {
  record(event: AuditedEvent): Promise<void>
  /** False when a row was changed, removed or put in between. */
  verify(): Promise<boolean>
  /** Oldest first, each with its number and the time it was recorded (ISO 8601). */
  events(): AsyncIterable<AuditedEvent & { readonly seq: number; readonly at: string }>
}

interface AuditRow extends Readonly<Record<string, unknown>> {
  readonly seq: number
  readonly event: unknown
  readonly previous: string
  readonly hash: string
}

/** One row, as the next one is chained to it. */
type Link = Pick<AuditRow, 'seq' | 'hash'>

const FIRST = '0'.repeat(64)
const BEGINNING: Link = { seq: 0, hash: FIRST }

async function endOf({ query }: Queries): Promise<Link> {
  const [last] = await query<AuditRow>('select seq, hash from audit order by seq desc limit 1')
  return last ?? BEGINNING
}

const opened = new WeakMap<Store, Audit>()

/**
 * Each row holds the hash of the row before it. Events that come while others are being written go together in the next batch. One
 * per store and process, as it knows the end of the chain.
 */
export function openAudit(store: Store): Audit {
  const known = opened.get(store) ?? openChain(store)
  opened.set(store, known)
  return known
}

function openChain(store: Store): Audit {
  /** The end of the chain, where nobody else writes to the store. */
  let last: Link | undefined

  /** Undefined, and nothing written, when the chain does not end there. */
  async function append(queries: Queries, events: readonly object[], after: Link): Promise<Link | undefined> {
    const rows: AuditRow[] = []
    for (const event of events) {
      const { seq, hash: previous } = rows.at(-1) ?? after
      const row = { seq: seq + 1, event, previous }
      rows.push({ ...row, hash: hashOf(row) })
    }
    const added = await queries.query(
      `insert into audit (seq, event, previous, hash)
       select seq, event::jsonb, previous, hash from unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) as news (seq, event, previous, hash)
       where coalesce((select max(seq) from audit), 0) = $5 returning 1`,
      [rows.map(({ seq }) => seq), rows.map(({ event }) => JSON.stringify(event)), rows.map(({ previous }) => previous), rows.map(({ hash }) => hash), after.seq])
    return added.length === rows.length ? rows.at(-1) : undefined
  }

  async function write(events: readonly object[]): Promise<void> {
    if (store.kind === 'server')
      return store.transaction(async (queries) => {
        await queries.query('lock table audit in share row exclusive mode')
        await append(queries, events, await endOf(queries))
      })
    const known = last
    last = undefined
    // The end that we know may be none any more: a person cut the chain, which `verify` tells.
    last = (known && await append(store, events, known)) ?? await append(store, events, await endOf(store))
    if (last === undefined) throw new ScreeningError('ERR_STORE', 'Expected the audit chain to end where it was read but somebody else writes to it')
  }

  const record = inBatches(async (events: readonly object[]) => {
    await write(events)
    return events.map(() => undefined)
  })

  return {
    record: (event) => record({ ...event, at: new Date().toISOString() }),

    async verify() {
      let [previous, seq] = [FIRST, 0]
      for await (const row of rowsOf(store)) {
        if (row.seq !== seq + 1 || row.previous !== previous || row.hash !== hashOf(row)) return false
        ;[previous, seq] = [row.hash, row.seq]
      }
      return true
    },

    async *events() {
      for await (const { seq, event } of rowsOf(store)) yield { seq, ...event as AuditedEvent & { at: string } }
    }
  }
}

async function* rowsOf(store: Store): AsyncGenerator<AuditRow> {
  let seq = 0
  for (;;) {
    const rows = await store.query<AuditRow>('select * from audit where seq > $1 order by seq limit 1000', [seq])
    yield* rows
    const last = rows.at(-1)
    if (!last) return
    seq = last.seq
  }
}

/** Keys in a fixed order: jsonb does not keep ours. */
function hashOf({ seq, event, previous }: Pick<AuditRow, 'seq' | 'event' | 'previous'>): string {
  const sorted = Object.entries(event as Record<string, unknown>).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify([seq, sorted, previous])).digest('hex')
}
