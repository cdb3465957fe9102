import { randomUUID } from 'node:crypto'
import { ScreeningError, type ErrorCode } from '../errors.ts'
import type { Row, Store } from './store/open-store.ts'

/**
 * Jobs: one open job per tenant and patient.
 *
 *   accepted → leased → done | refused (a fact about the photos) | dead-letter
 *                 ↘ parked (EHR or token trouble) → leased again later
 *
 * A lease ends by itself when its worker dies; the next claim raises the fence, and what the old worker still tries is refused.
 * Times are the database's.
 */
export type JobState = 'accepted' | 'leased' | 'parked' | 'done' | 'refused' | 'dead-letter'

export interface Job {
  readonly id: string
  readonly tenant: string
  readonly patientId: string
  readonly attempts: number
  readonly fence: number
}

export interface JobOutcome {
  readonly pending: boolean
  /** Of the last job that ended, or of the parked one. */
  readonly failure?: { readonly code: string; readonly at: string }
}

export const LEASE_SECONDS = 60
/** A job whose worker died this often, or that was parked this often, is put aside for a person. */
export const MAX_ATTEMPTS = 8

interface JobRow extends Row {
  readonly id: string
  readonly tenant: string
  readonly patient_id: string
  readonly state: JobState
  readonly attempts: number
  readonly fence: number
  readonly failure_code: string | null
  readonly failed_at: Date | null
}

export type Queue = ReturnType<typeof openQueue>

export function openQueue(store: Store, worker = randomUUID()) {
  return {
    /** Accepts the work, unless it is accepted already. Durable when it returns. */
    async add(tenant: string, patientId: string, reason: string): Promise<void> {
      await store.query(
        `insert into job (id, tenant, patient_id, reason, state) values ($1, $2, $3, $4, 'accepted')
         on conflict (tenant, patient_id) where state in ('accepted', 'leased', 'parked')
         do update set run_after = least(job.run_after, case when job.state = 'parked' then now() + interval '1 second' else job.run_after end)`,
        [randomUUID(), tenant, patientId, reason])
    },

    /** The next due job of these tenants, leased to this worker; undefined when there is none. */
    async claim(tenants: readonly string[]): Promise<Job | undefined> {
      const [row] = await store.query<JobRow>(
        `update job set state = 'leased', lease_owner = $1, lease_until = now() + make_interval(secs => $2), fence = fence + 1,
                attempts = attempts + 1, updated_at = now()
         where id = (
           select id from job
           where tenant = any($3) and ((state in ('accepted', 'parked') and run_after <= now()) or (state = 'leased' and lease_until < now()))
           order by run_after limit 1 for update skip locked)
         returning *`, [worker, LEASE_SECONDS, tenants])
      return row && { id: row.id, tenant: row.tenant, patientId: row.patient_id, attempts: row.attempts, fence: row.fence }
    },

    /** Extends the lease, or throws ERR_LEASE_LOST: called as heartbeat and immediately before each write. */
    async hold({ id, fence }: Job): Promise<void> {
      const held = await store.query(
        `update job set lease_until = now() + make_interval(secs => $3), updated_at = now()
         where id = $1 and fence = $2 and state = 'leased' and lease_until > now() returning 1`, [id, fence, LEASE_SECONDS])
      if (held.length === 0) throw new ScreeningError('ERR_LEASE_LOST', 'Expected to hold this screening but another worker took it over')
    },

    /** Ends the job. A worker that no longer holds it changes nothing. */
    async end({ id, fence }: Job, state: 'done' | 'refused' | 'dead-letter', code?: string): Promise<void> {
      await store.query(
        `update job set state = $3, lease_until = null, failure_code = $4, failed_at = case when $4::text is null then null else now() end, updated_at = now()
         where id = $1 and fence = $2 and state = 'leased'`, [id, fence, state, code ?? null])
    },

    /** Tries again later: 5 s, 10 s, 20 s … at most an hour; put aside after MAX_ATTEMPTS. */
    async park(job: Job, code: ErrorCode): Promise<void> {
      if (job.attempts >= MAX_ATTEMPTS) return this.end(job, 'dead-letter', code)
      const seconds = Math.min(3600, 5 * 2 ** (job.attempts - 1))
      await store.query(
        `update job set state = 'parked', lease_until = null, run_after = now() + make_interval(secs => $3), failure_code = $4, failed_at = now(), updated_at = now()
         where id = $1 and fence = $2 and state = 'leased'`, [job.id, job.fence, seconds, code])
    },

    async outcome(tenant: string, patientId: string): Promise<JobOutcome> {
      const [row] = await store.query<JobRow>(
        'select * from job where tenant = $1 and patient_id = $2 order by created_at desc, state limit 1', [tenant, patientId])
      if (!row) return { pending: false }
      const failure = row.failure_code && row.failed_at ? { failure: { code: row.failure_code, at: row.failed_at.toISOString() } } : {}
      return { pending: row.state === 'accepted' || row.state === 'leased', ...failure }
    },

    /** Numbers by state, for metrics. */
    async counts(): Promise<Readonly<Record<string, number>>> {
      const rows = await store.query<{ state: string; count: number }>('select state, count(*)::int as count from job group by state')
      return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
    }
  }
}
