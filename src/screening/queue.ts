import { randomUUID } from 'node:crypto'
import { ScreeningError, type ErrorCode } from '../errors.ts'
import type { PatientOfTenant, ScreeningService } from './screening.ts'
import { inBatches } from './store/in-batches.ts'
import type { Queries, Row, Store } from './store/open-store.ts'

export type RequestReason = Parameters<ScreeningService['request']>[2]
export type JobState = 'accepted' | 'leased' | 'parked' | 'done' | 'refused' | 'dead-letter'

/** One patient's work, held by one worker. The fence only grows: whoever holds an old number is refused everywhere. */
export interface Job {
  readonly id: string
  readonly tenant: string
  readonly patientId: string
  readonly reason: RequestReason
  readonly fence: number
  /** This try included; three at most. */
  readonly attempts: number
  /** Begun before, and not ended: it may be what ended its worker. */
  readonly suspect: boolean
  /** How often it was parked before. */
  readonly parked: number
}

/**
 * How a try ended. `failed` is tried again at once, three times; `parked` waits longer each time. Times are milliseconds from
 * now: a parked job waits at least `waitMs`, and no job of the tenant is leased for `pauseMs`, when its server asked for that.
 */
export type JobEnd =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused' | 'failed'; readonly code: ErrorCode | 'no-photos' }
  | {
    readonly kind: 'parked'; readonly code: ErrorCode; readonly waitMs?: number; readonly pauseMs?: number; readonly serverFailed?: boolean
    /** `waitMs` is the time to look again, no failure: it is neither put off further nor counted. */
    readonly appointed?: boolean
  }

export interface JobOutcome {
  readonly pending: boolean
  /** Of the last try, when it ended without a result. */
  readonly failure?: { readonly code: string; readonly at: string }
  /** Parked, and due again then. */
  readonly dueAt?: string
}

export interface QueueOptions {
  readonly leaseMs?: number
  /** Wait before a parked job is tried again, by how often it was parked. */
  readonly parkMs?: (parked: number) => number
  /** Wait before a failed try is repeated. */
  readonly retryMs?: (attempts: number) => number
  /** How long a tenant's server is left alone after so many failures in a row. */
  readonly breakMs?: (failures: number) => number
  /** Open jobs of one tenant. */
  readonly limit?: number
}

export type Queue = ReturnType<typeof openQueue>

export const MAX_ATTEMPTS = 3
/** About a day of waiting for a server before a person has to look. */
const MAX_PARKED = 100
const LIMIT = 10_000
/** When whoever met a full queue may come again: by then a worker has made room for dozens. */
const FULL_MS = 30_000
/** A clinician who waits comes before a notification, and the night's batch comes last. */
const PRIORITY: Readonly<Record<RequestReason, number>> = { app: 0, command: 1, hook: 1, notification: 2, previsit: 3 }
const OPEN = "('accepted', 'leased', 'parked')"

/** A server that asks for more is asked again after it. */
const MAX_PAUSE_MS = 3_600_000

/** Tells a lease of this process from one that a dead process left behind. */
const HERE = randomUUID()

interface JobRow extends Row {
  readonly id: string
  readonly tenant: string
  readonly patient_id: string
  readonly reason: RequestReason
  readonly state: JobState
  readonly was: JobState
  readonly fence: number
  readonly attempts: number
  readonly parked: number
  readonly failure_code: string | null
  readonly failed_at: Date | null
  readonly run_after: Date
}

/**
 * The screenings that were asked for. A job is accepted → leased → done, or refused (a fact about photo, patient or consent),
 * or parked (token or server; comes back by itself), or dead-letter (three tries that ended in a crash or a fault of ours).
 * A server that fails several times in a row, or asks for time, is left alone: none of its tenant's jobs is leased until then.
 * One job per patient is open at a time, so a patient is never screened twice at once. Every arrow is one commit, and each one
 * after the lease carries the fencing token. Leases are timed by the store, one clock for all workers.
 */
export function openQueue(store: Store, { leaseMs = 10_000, parkMs = parkTime, retryMs = retryTime, breakMs = breakTime, limit = LIMIT }: QueueOptions = {}) {
  let recovered = store.kind === 'server'
  const outcome = inBatches((patients: readonly PatientOfTenant[]) => outcomesOf(store, patients))

  /** An embedded store has one owner: leases of any other process are of a dead one. */
  async function recover(): Promise<void> {
    if (recovered) return
    await store.query("update job set lease_until = clock_timestamp() - interval '1 second' where state = 'leased' and lease_owner <> $1", [HERE])
    recovered = true
  }

  /** What the server asked for, or what several failures in a row tell. */
  async function pause(tenant: string, { pauseMs, serverFailed = false }: Extract<JobEnd, { kind: 'parked' }>): Promise<void> {
    if (pauseMs === undefined && !serverFailed) return
    const [row] = await store.query<{ failures: number }>(
      `insert into pause (tenant, failures, until) values ($1, $2, clock_timestamp())
       on conflict (tenant) do update set failures = pause.failures + $2 returning failures`, [tenant, serverFailed ? 1 : 0])
    const waitMs = Math.max(Math.min(pauseMs ?? 0, MAX_PAUSE_MS), breakMs(row?.failures ?? 0))
    await store.query('update pause set until = greatest(until, clock_timestamp() + make_interval(secs => $2)) where tenant = $1', [tenant, waitMs / 1000])
  }

  return {
    leaseMs,

    /** On disk when it resolves. One open job per patient: a second request finds the first. While that one runs, it makes it look again afterwards. */
    async add(tenant: string, patientId: string, reason: RequestReason): Promise<void> {
      await store.transaction(async ({ query }) => {
        const added = await query(
          `insert into job (id, tenant, patient_id, reason, priority, state) values ($1, $2, $3, $4, $5, 'accepted')
           on conflict (tenant, patient_id) where state in ${OPEN} do update set
             asked_again = job.asked_again or job.state = 'leased',
             priority = least(job.priority, excluded.priority),
             run_after = case when job.state = 'parked' then least(job.run_after, job.failed_at + interval '30 seconds') else job.run_after end
           returning (xmax = 0) as added`, [randomUUID(), tenant, patientId, reason, PRIORITY[reason]])
        if (added[0]?.['added'] !== true) return
        const [{ open } = { open: 0 }] = await query<{ open: number }>(
          `select count(*)::int as open from job where tenant = $1 and state in ${OPEN}`, [tenant])
        if (open > limit)
          throw new ScreeningError('ERR_RATE_LIMITED', `Expected at most ${limit} open screenings but there are more; try again later`, { retryAt: Date.now() + FULL_MS })
        await query("delete from job where tenant = $1 and patient_id = $2 and state in ('done', 'refused')", [tenant, patientId])
      })
      await store.flush()
    },

    /**
     * The most urgent job that is due and that no living worker holds; of equal ones the tenant that was served longest ago, which is
     * looked up once for each tenant and not for each job: a night's list is long. `beside`:
     * what this process is at work on; should it die now, nobody can tell whose fault it was, and no try counts.
     */
    async claim(tenants: readonly string[], beside: readonly Job[] = []): Promise<Job | undefined> {
      await recover()
      await buryPoison(store)
      const [row] = await store.query<JobRow>(
        `with open_tenant as materialized (
           select tenant, (select max(leased_at) from job as served where served.tenant = asked.tenant) as served_at
           from jsonb_array_elements_text($3::jsonb) as asked (tenant)
           where not exists (
             select 1 from pause where pause.tenant = asked.tenant and (until > clock_timestamp() or failures >= ${SERVER_IS_FAILING} and exists (
               select 1 from job as trying where trying.tenant = asked.tenant and state = 'leased' and not ${ABANDONED})))
         )
         update job set state = 'leased', fence = fence + 1, attempts = attempts + case when was = 'leased' and company then 0 else 1 end,
           company = $4, asked_again = false, lease_owner = $1, leased_at = clock_timestamp(),
           lease_until = clock_timestamp() + make_interval(secs => $2), updated_at = clock_timestamp()
         from (
           select id as next, state as was from open_tenant join job as due using (tenant)
           where (state in ('accepted', 'parked') and run_after <= clock_timestamp()) or (state = 'leased' and ${ABANDONED})
           order by priority, served_at nulls first, created_at
           limit 1 for update of due skip locked) as chosen
         where id = next returning *`, [HERE, leaseMs / 1000, JSON.stringify(tenants), beside.length > 0])
      // Of several each is marked already; a single one began alone.
      if (row && beside.length === 1) await store.query('update job set company = true where id = $1 and fence = $2', [beside[0]?.id, beside[0]?.fence])
      return row && {
        id: row.id, tenant: row.tenant, patientId: row.patient_id, reason: row.reason, fence: row.fence, attempts: row.attempts, parked: row.parked,
        suspect: row.was === 'leased' || row.attempts > 1
      }
    },

    /** Nothing else runs in this process from now on until it ends: if its worker dies, it was this one. */
    async alone(job: Job): Promise<void> {
      await store.query('update job set company = false where id = $1 and fence = $2', [job.id, job.fence])
    },

    /** Heartbeat, and the check before each write: still ours, and for another lease time. Throws ERR_LEASE_LOST. */
    async hold(job: Job): Promise<void> {
      held(await store.query(
        `update job set lease_until = clock_timestamp() + make_interval(secs => $3)
         where id = $1 and fence = $2 and state = 'leased' returning 1`, [job.id, job.fence, leaseMs / 1000]))
    },

    /** Runs in the transaction of a step that must not be taken with an old fence. Throws ERR_LEASE_LOST. */
    async guard({ query }: Queries, job: Job): Promise<void> {
      held(await query("select 1 from job where id = $1 and fence = $2 and state = 'leased' for update", [job.id, job.fence]))
    },

    /** Throws ERR_LEASE_LOST. Resolves with the state it is in now. */
    async end(job: Job, end: JobEnd): Promise<JobState> {
      const { state, waitMs } = after(job, end, parkMs, retryMs)
      const code = end.kind === 'done' ? null : end.code
      const [row] = held(await store.query<JobRow>(
        `with answered as (
           delete from pause where tenant = $6 and $3 in ('done', 'refused')
             and exists (select 1 from job where id = $1 and fence = $2 and state = 'leased'))
         update job set
           state = case when asked_again and $3 = 'done' then 'accepted' else $3 end,
           attempts = case when $3 in ('parked', 'done') then 0 else attempts end,
           parked = parked + $7,
           run_after = clock_timestamp() + make_interval(secs => $4), asked_again = false, lease_owner = null, lease_until = null,
           failure_code = $5, failed_at = case when $5::text is null then null else clock_timestamp() end, updated_at = clock_timestamp()
         where id = $1 and fence = $2 and state = 'leased' returning *`,
        [job.id, job.fence, state, waitMs / 1000, code, job.tenant, state === 'parked' && !isAppointed(end) ? 1 : 0]))
      if (end.kind === 'parked') await pause(job.tenant, end)
      return row?.state ?? state
    },

    /** Something durable came of this try: it is not the job that ends its workers, and has three tries again. */
    async progress(job: Job): Promise<void> {
      await store.query("update job set attempts = 1 where id = $1 and fence = $2 and state = 'leased'", [job.id, job.fence])
    },

    /** Given back untried, at shutdown: the number grows, so that whatever still runs is refused. */
    async release(job: Job): Promise<void> {
      await store.query(
        `update job set state = 'accepted', fence = fence + 1, attempts = attempts - 1, lease_owner = null, lease_until = null,
           updated_at = clock_timestamp()
         where id = $1 and fence = $2 and state = 'leased'`, [job.id, job.fence])
    },

    /** The patient's newest job. */
    outcome: (tenant: string, patientId: string) => outcome({ tenant, patientId }),

    /** Numbers by state, for metrics. */
    async counts(): Promise<Readonly<Record<string, number>>> {
      const rows = await store.query<{ state: string; count: number }>('select state, count(*)::int as count from job group by state')
      return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
    }
  }
}

async function outcomesOf(store: Store, patients: readonly PatientOfTenant[]): Promise<readonly JobOutcome[]> {
  const rows = await store.query<JobRow & { readonly place: number }>(
    `select place, newest.* from unnest($1::text[], $2::text[]) with ordinality as asked (tenant, patient_id, place)
     cross join lateral (
       select state, failure_code, failed_at, run_after from job where tenant = asked.tenant and patient_id = asked.patient_id
       order by state in ${OPEN} desc, created_at desc limit 1) newest`,
    [patients.map(({ tenant }) => tenant), patients.map(({ patientId }) => patientId)])
  const found = patients.map((): JobOutcome => ({ pending: false }))
  for (const { place, state, failure_code: code, failed_at: at, run_after: dueAt } of rows)
    found[place - 1] = {
      // Parked is not pending: nobody should wait for a server that may be gone until tomorrow.
      pending: state === 'accepted' || state === 'leased',
      ...(state === 'parked' ? { dueAt: dueAt.toISOString() } : {}),
      ...(code && at ? { failure: { code, at: at.toISOString() } } : {})
    }
  return found
}

/** Overdue; or, after a clock was set back, due later than any lease can be. */
const ABANDONED = "(lease_until < clock_timestamp() or lease_until > clock_timestamp() + interval '10 minutes')"

/** A job whose worker died each time is not given to a fourth. */
async function buryPoison(store: Store): Promise<void> {
  await store.query(
    `update job set state = 'dead-letter', failure_code = 'ERR_INTERNAL', failed_at = clock_timestamp(), fence = fence + 1,
       lease_owner = null, lease_until = null, updated_at = clock_timestamp()
     where state = 'leased' and ${ABANDONED} and not company and attempts >= $1`, [MAX_ATTEMPTS])
}

function after(
  job: Job, end: JobEnd, parkMs: (parked: number) => number, retryMs: (attempts: number) => number
): { readonly state: JobState; readonly waitMs: number } {
  if (end.kind === 'done' || end.kind === 'refused') return { state: end.kind, waitMs: 0 }
  if (isAppointed(end)) return { state: 'parked', waitMs: Math.max(0, end.waitMs) }
  if (end.kind === 'parked')
    return job.parked >= MAX_PARKED ? { state: 'dead-letter', waitMs: 0 }
      : { state: 'parked', waitMs: Math.max(parkMs(job.parked), Math.min(end.waitMs ?? 0, MAX_PAUSE_MS)) }
  return job.attempts >= MAX_ATTEMPTS ? { state: 'dead-letter', waitMs: 0 } : { state: 'accepted', waitMs: retryMs(job.attempts) }
}

function isAppointed(end: JobEnd): end is Extract<JobEnd, { kind: 'parked' }> & { readonly waitMs: number } {
  return end.kind === 'parked' && end.appointed === true && end.waitMs !== undefined
}

function held<R>(rows: readonly R[]): readonly R[] {
  if (rows.length === 0) throw new ScreeningError('ERR_LEASE_LOST', 'Expected to hold this screening but another worker took it over')
  return rows
}

/** Anything up to 5 s, doubling up to 15 min: full jitter, so that those who failed together do not come back together. */
function parkTime(parked: number): number {
  return Math.random() * Math.min(900_000, 5_000 * 2 ** Math.min(parked, 10))
}

/** Two failures in a row may be two patients'; from the third on it is the server. */
const SERVER_IS_FAILING = 3

/** Later and later, one try at a time asks whether it is back. */
function breakTime(failures: number): number {
  return failures < SERVER_IS_FAILING ? 0 : Math.random() * Math.min(60_000, 500 * 2 ** Math.min(failures, 10))
}

function retryTime(attempts: number): number {
  return 500 * 2 ** attempts
}
