import type { Queries, Row, Store } from './store/open-store.ts'

/** Something to be done for one EHR that is no screening: look at a photo that changed, ask for changes, make the night's list. */
export interface Errand {
  readonly tenant: string
  /** `look Media/12`, `poll`, `previsit 2026-11-25`, `upkeep 2026-11-24`, `sweep ID 1`. */
  readonly what: string
  /** How often it had been asked for when it was taken; asked again meanwhile, it is done again. */
  readonly asked: number
  /** This try included. */
  readonly attempts: number
}

/** A night's list takes hours, and sweeps come by the thousand after it: neither is a reason for a photo to wait. */
export type Lane = 'short' | 'long' | 'sweep'

export type Errands = ReturnType<typeof openErrands>

/** Longer than any errand goes without a sign of life. */
const LEASE_MS = 60_000
/** About a day. */
const MAX_ATTEMPTS = 40

interface ErrandRow extends Row {
  readonly tenant: string
  readonly what: string
  readonly asked: number
  readonly attempts: number
}

const recovered = new WeakSet<Store>()

/**
 * A row per errand, so that it is done once however many ask and however many workers there are, and again by another worker
 * when the one that took it dies. Taking it moves its time on by a lease. Doing one twice is harmless by what errands are.
 */
export function openErrands(store: Store, { leaseMs = LEASE_MS }: { readonly leaseMs?: number } = {}) {
  /** An embedded store has one owner: what was taken before it opened the store, nobody is at work on. */
  async function recover(): Promise<void> {
    if (store.kind === 'server' || recovered.has(store)) return
    recovered.add(store)
    await store.query(
      `update errand set run_after = clock_timestamp()
       where done_at is null and attempts > 0 and run_after between clock_timestamp() and clock_timestamp() + make_interval(secs => $1)`, [leaseMs / 1000])
  }

  return {
    /** Wanted now, whatever was done before. */
    ask: (tenant: string, what: string, queries: Queries = store) => askFor(queries, tenant, what),

    /** Wanted once for ever: the night's list of a date. True when it is new. */
    async askOnce(tenant: string, what: string): Promise<boolean> {
      const added = await store.query('insert into errand (tenant, what) values ($1, $2) on conflict do nothing returning 1', [tenant, what])
      return added.length === 1
    },

    /** Something that is due and that nobody holds. */
    async take(tenants: readonly string[], lane: Lane): Promise<Errand | undefined> {
      await recover()
      const [row] = await store.query<ErrandRow>(
        `update errand set run_after = clock_timestamp() + make_interval(secs => $1), attempts = attempts + 1
         where (tenant, what) = (
           select tenant, what from errand
           where done_at is null and run_after <= clock_timestamp() and tenant in (select jsonb_array_elements_text($2::jsonb))
             and case when what like 'previsit %' then 'long' when what like 'sweep %' then 'sweep' else 'short' end = $3
           order by run_after limit 1 for update skip locked)
         returning tenant, what, asked, attempts`, [leaseMs / 1000, JSON.stringify(tenants), lane])
      return row && { tenant: row.tenant, what: row.what, asked: row.asked, attempts: row.attempts }
    },

    /** A sign of life. */
    async hold({ tenant, what, asked }: Errand): Promise<void> {
      await store.query(
        'update errand set run_after = clock_timestamp() + make_interval(secs => $4) where tenant = $1 and what = $2 and asked = $3 and done_at is null',
        [tenant, what, asked, leaseMs / 1000])
    },

    /** Done; with `againMs` it comes back by itself. Asked for again meanwhile, it is due at once. */
    async done({ tenant, what, asked }: Errand, { againMs }: { readonly againMs?: number } = {}): Promise<void> {
      await store.query(
        `update errand set attempts = 0, failure_code = null,
           done_at = case when asked = $3 and $4::float8 is null then clock_timestamp() end,
           run_after = case when asked = $3 then clock_timestamp() + make_interval(secs => coalesce($4::float8, 0)) else clock_timestamp() end
         where tenant = $1 and what = $2`, [tenant, what, asked, againMs === undefined ? null : againMs / 1000])
    },

    /** Done, and there is nothing to be remembered of it. */
    async over({ tenant, what, asked }: Errand): Promise<void> {
      await store.query('delete from errand where tenant = $1 and what = $2 and asked = $3', [tenant, what, asked])
    },

    /** Tried again, later each time, up to 15 minutes apart; given up after about a day, unless someone asks again. */
    async failed({ tenant, what, attempts }: Errand, code: string): Promise<'later' | 'given-up'> {
      const givenUp = attempts >= MAX_ATTEMPTS
      await store.query(
        `update errand set failure_code = $3, run_after = clock_timestamp() + make_interval(secs => $4),
           done_at = case when $5 then clock_timestamp() end
         where tenant = $1 and what = $2`, [tenant, what, code, waitMs(attempts) / 1000, givenUp])
      return givenUp ? 'given-up' : 'later'
    },

    /** What was done or heard before this time is forgotten. */
    async forget(tenant: string, before: Date): Promise<void> {
      await store.query('delete from errand where tenant = $1 and done_at < $2', [tenant, before.toISOString()])
      await store.query('delete from heard_event where tenant = $1 and heard_at < $2', [tenant, before.toISOString()])
    }
  }
}

/** Also inside a transaction: what was heard and what follows from it are kept together or not at all. */
export async function askFor(queries: Queries, tenant: string, what: string): Promise<void> {
  await queries.query(
    `insert into errand (tenant, what) values ($1, $2)
     on conflict (tenant, what) do update set asked = errand.asked + 1, attempts = 0, done_at = null,
       run_after = case when errand.attempts = 0 or errand.failure_code is not null then clock_timestamp() else errand.run_after end`,
    [tenant, what])
}

/** Each wanted once, and not before its time. */
export async function askLater(queries: Queries, tenant: string, errands: readonly { readonly what: string; readonly delayMs: number }[]): Promise<void> {
  await queries.query(
    `insert into errand (tenant, what, run_after)
     select $1, what, clock_timestamp() + make_interval(secs => delay) from unnest($2::text[], $3::float8[]) as news (what, delay) on conflict do nothing`,
    [tenant, errands.map(({ what }) => what), errands.map(({ delayMs }) => delayMs / 1000)])
}

/** 5 s, half of it by chance, doubling up to 15 min. */
function waitMs(attempts: number): number {
  const ceiling = Math.min(900_000, 5_000 * 2 ** Math.min(attempts, 10))
  return ceiling / 2 + Math.random() * ceiling / 2
}
