import { createHash } from 'node:crypto'
import type { Store } from './screening/store/open-store.ts'

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

const FIRST = '0'.repeat(64)

/** Each row holds the hash of the row before it. */
export function openAudit(store: Store): Audit {
  return {
    record: (event) => store.transaction(async ({ query }) => {
      await query('lock table audit in share row exclusive mode')
      const [last] = await query<AuditRow>('select * from audit order by seq desc limit 1')
      const row = { seq: (last?.seq ?? 0) + 1, event: { ...event, at: new Date().toISOString() }, previous: last?.hash ?? FIRST }
      await query('insert into audit (seq, event, previous, hash) values ($1, $2, $3, $4)',
        [row.seq, JSON.stringify(row.event), row.previous, hashOf(row)])
    }),

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
