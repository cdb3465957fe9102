import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Audit } from '../audit.ts'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import type { Settling } from '../fhir/record-writer.ts'
import { checkedId, type FhirSession, type FhirSessionOptions } from '../fhir/session.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import { failpoint as failpointOfProcess, type Failpoint } from './failpoint.ts'
import { openLease, type Lease } from './lease.ts'
import { openQueue, type Job, type JobEnd, type QueueOptions, type RequestReason } from './queue.ts'
import { openResultStore } from './result-store.ts'
import { screenPatient } from './screen-patient.ts'
import type { ScreeningService, ScreeningStatus } from './screening.ts'
import { keptWhileUnchanged } from './store/kept-while-unchanged.ts'
import type { Store } from './store/open-store.ts'

export interface ScreeningDeps {
  readonly store: Store
  readonly engine: InferenceEngine
  readonly tenants: readonly TenantConfig[]
  /** By tenant; a tenant without one is read with the bundle's and nothing is written for it. */
  readonly calibrations: ReadonlyMap<string, Calibration>
  readonly sessionFor: (tenant: TenantConfig, options?: SessionOptions) => FhirSession | Promise<FhirSession>
  readonly audit: Audit
  /** Codes and ids of ours, never a patient. */
  readonly log: Logger
  /** Named places for crash tests; JOINTLENS_FAILPOINT otherwise. */
  readonly failpoint?: Failpoint
  readonly now?: () => Date
  readonly queue?: QueueOptions
  readonly heartbeatMs?: number
  /** How often an idle worker looks whether another process accepted something. */
  readonly pollMs?: number
  /** Patients that are screened side by side: a screening mostly waits for the record. */
  readonly atOnce?: number
  /** How long stop() lets the screenings that run come to their end. */
  readonly drainMs?: number
  readonly readBackDelaysMs?: readonly number[]
  readonly settling?: Settling
}

interface Leased { readonly job: Job; readonly lease: Lease }

export type SessionOptions = Pick<FhirSessionOptions, 'beforeWrite' | 'repeatCreates'>

/** The service with its worker. */
export interface RunningScreening extends ScreeningService {
  /** Leases and works, several patients at once, until stop(). */
  start(): void
  /** Takes no new work, lets what runs end or gives it back, and stops. */
  stop(): Promise<void>
  /** Leases and works one patient; false when nothing was due. */
  runOnce(): Promise<boolean>
  /** Takes photos that a launch of the app named, and looks at the patient again. Whose they are is checked when they are read. */
  handOver(tenant: string, patientId: string, references: readonly string[]): Promise<void>
  /** Screenings by state of their job, over all tenants. */
  counts(): Promise<Readonly<Record<string, number>>>
  /** How many rows of each table `erase` would remove. */
  derivedFrom(tenant: string, patientId: string): Promise<Readonly<Record<string, number>>>
  /** Removes what was derived from one patient's photos, also while a worker is at it. */
  erase(tenant: string, patientId: string): Promise<void>
}

/** Token, server, network, store (a full disk) or model bundle: comes back when that is mended. */
const PARKED: readonly ErrorCode[] = [
  'ERR_CONFIG', 'ERR_CONFLICT', 'ERR_EGRESS_REFUSED', 'ERR_EHR_ANSWER', 'ERR_EHR_REFUSED', 'ERR_EHR_UNAUTHORIZED', 'ERR_EHR_UNREACHABLE',
  'ERR_ENGINE_BUSY', 'ERR_MODEL_INVALID', 'ERR_NOT_READY', 'ERR_PHOTO_UNREACHABLE', 'ERR_RATE_LIMITED', 'ERR_STORE', 'ERR_WRITE_AMBIGUOUS'
]
/** A fact about photo, patient or consent, which another try would not change. */
const REFUSED: readonly ErrorCode[] = ['ERR_FORBIDDEN', 'ERR_NOT_FOUND', 'ERR_PATIENT_MINOR', 'ERR_PHOTO_TOO_LARGE', 'ERR_PHOTO_UNDATED', 'ERR_REQUEST_INVALID', 'ERR_WRONG_PATIENT']

/** These tell of the server rather than of one patient. */
const SERVER_FAILED: readonly ErrorCode[] = ['ERR_EHR_UNREACHABLE', 'ERR_EHR_UNAUTHORIZED', 'ERR_WRITE_AMBIGUOUS']

/** Accepts screenings durably, and works on them where start() or runOnce() is called. */
export function openScreeningService(deps: ScreeningDeps): RunningScreening {
  const { store, log, failpoint = failpointOfProcess, heartbeatMs = 2_000, pollMs = 1_000, atOnce = 4, drainMs = 10_000, now = () => new Date() } = deps
  const tenants = new Map(deps.tenants.map((tenant) => [tenant.id, tenant]))
  const queue = openQueue(store, deps.queue)
  const results = openResultStore(store)
  const news = openBell()
  let worker: Promise<void> | undefined
  let stopping = false
  const running = new Map<Job, { readonly abort: AbortController; readonly ended: Promise<void> }>()

  async function claim(): Promise<Leased | undefined> {
    const asked = performance.now()
    const job = await queue.claim([...tenants.keys()], [...running.keys()])
    return job && { job, lease: openLease(queue, job, asked) }
  }

  /** A suspect begins when `others` have ended; its lease is kept meanwhile. */
  function run(leased: Leased, others?: Promise<unknown>): Promise<void> {
    const abort = new AbortController()
    const ended = screen(leased, abort, others).finally(() => {
      running.delete(leased.job)
      news.ring()
    })
    running.set(leased.job, { abort, ended })
    return ended
  }

  async function screen({ job, lease }: Leased, abort: AbortController, others?: Promise<unknown>): Promise<void> {
    const heartbeat = setInterval(() => void lease.hold().catch((error: unknown) => {
      if (codeOf(error) === 'ERR_LEASE_LOST') abort.abort(error)
    }), heartbeatMs)
    try {
      if (job.suspect) {
        await others
        await queue.alone(job)
      }
      await failpoint('leased')
      await settle(job, await attempt(job, lease, abort.signal))
    } finally {
      clearInterval(heartbeat)
    }
  }

  async function runOnce(): Promise<boolean> {
    const leased = await claim()
    if (!leased) return false
    await run(leased)
    return true
  }

  /**
   * Begins the next one beside those that run; false when nothing was due. What may have ended its worker runs when nothing else
   * does, or it would take the tries of others with it.
   */
  async function begin(): Promise<boolean> {
    const leased = await claim()
    if (!leased) return false
    const ended = run(leased, allEnded()).catch(notBegun)
    if (leased.job.suspect) await ended
    return true
  }

  /** Of those that run at the time of the call. */
  function allEnded(): Promise<unknown> {
    return Promise.allSettled([...running.values()].map(({ ended }) => ended))
  }

  function notBegun(error: unknown): false {
    log.error({ code: codeOf(error) }, 'no screening could be leased')
    return false
  }

  async function attempt(job: Job, lease: Lease, signal: AbortSignal): Promise<JobEnd | undefined> {
    let session: FhirSession | undefined
    try {
      const tenant = known(job.tenant)
      const { audit, engine, calibrations, readBackDelaysMs, settling } = deps
      session = await deps.sessionFor(tenant, { beforeWrite: lease.check, repeatCreates: false })
      return await screenPatient({
        job, lease, queue, failpoint, session, engine, calibration: calibrations.get(tenant.id), results, audit, signal, now,
        ...(readBackDelaysMs ? { readBackDelaysMs } : {}), ...(settling ? { settling } : {})
      })
    } catch (error) {
      // Whatever it failed with after that, it is no longer ours to judge.
      const code = signal.aborted ? 'ERR_LEASE_LOST' : codeOf(error)
      if (code === 'ERR_LEASE_LOST') return undefined
      if (code === 'ERR_INTERNAL') log.error({ code, kind: error instanceof Error ? error.name : typeof error }, 'screening failed')
      return PARKED.includes(code) ? parked(code, error, session) : { kind: REFUSED.includes(code) ? 'refused' : 'failed', code }
    }
  }

  async function settle(job: Job, end: JobEnd | undefined): Promise<void> {
    if (!end) return log.warn({ tenant: job.tenant, job: job.id }, 'screening was taken over')
    try {
      await failpoint('before-end')
      const state = await queue.end(job, end)
      const fields = { tenant: job.tenant, job: job.id, state, ...(end.kind === 'done' ? {} : { code: end.code }) }
      if (end.kind === 'done') return log.info(fields, 'screening done')
      if (state === 'parked' || state === 'dead-letter') log.error(fields, 'screening needs attention')
      else log.warn(fields, 'screening ended without a result')
      await deps.audit.record({
        tenant: job.tenant, action: 'screen', actor: 'system', patientId: job.patientId, outcome: 'failure', code: end.code
      })
    } catch (error) {
      // The lease runs out by itself, and the next worker continues.
      log.error({ tenant: job.tenant, job: job.id, code: codeOf(error) }, 'screening could not be closed')
    }
  }

  async function work(): Promise<void> {
    while (!stopping) {
      const begun = running.size < atOnce && await begin().catch(notBegun)
      if (!begun && !stopping) await news.wait(pollMs)
    }
    await allEnded()
  }

  const status = keptWhileUnchanged(store, async (tenant, patientId): Promise<ScreeningStatus> => {
    const [outcome, visits] = await Promise.all([queue.outcome(tenant, patientId), results.newest(tenant, patientId)])
    return { ...visits, ...outcome }
  })

  function known(tenant: string): TenantConfig {
    const found = tenants.get(tenant)
    if (!found) throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected a configured tenant but received another')
    return found
  }

  async function request(tenant: string, patientId: string, reason: RequestReason): Promise<void> {
    await queue.add(known(tenant).id, checkedId(patientId), reason)
    await failpoint('accepted')
    news.ring()
  }

  return {
    status,
    request,
    history: (tenant, patientId) => results.history(tenant, patientId),
    signed: (tenant, screeningId, answers) => results.signed(tenant, screeningId, answers),
    counts: () => queue.counts(),
    runOnce,
    derivedFrom: (tenant, patientId) => results.derivedFrom(known(tenant).id, checkedId(patientId)),
    erase: (tenant, patientId) => results.erase(known(tenant).id, checkedId(patientId)),

    async handOver(tenant, patientId, references) {
      if (references.length === 0) return
      await results.handOver(known(tenant).id, checkedId(patientId), references)
      await request(tenant, patientId, 'app')
    },

    async settled(tenant, patientId, { timeoutMs = 120_000, waitForParkedMs = 0 } = {}) {
      const until = performance.now() + timeoutMs
      for (;;) {
        const found = await status(tenant, patientId)
        const left = until - performance.now()
        const soon = found.dueAt !== undefined && Date.parse(found.dueAt) - Date.now() < waitForParkedMs
        if ((!found.pending && !soon) || left <= 0) return found
        await news.wait(Math.min(250, left))
      }
    },

    start() {
      stopping = false
      worker ??= work()
    },

    async stop() {
      stopping = true
      news.ring()
      const ended = worker?.finally(() => { worker = undefined })
      if (!ended || await within(ended, drainMs)) return
      for (const [job, { abort }] of running) {
        await queue.release(job).catch(() => undefined)
        abort.abort(new ScreeningError('ERR_LEASE_LOST', 'Expected time to end but the process stops'))
      }
      await within(ended, 2_000)
    }
  }
}

/** How long to wait, by what the server and the writer asked for. */
function parked(code: ErrorCode, error: unknown, session: FhirSession | undefined): JobEnd {
  const retryAt = isScreeningError(error) ? error.retryAt : undefined
  const asked = session?.retryAt
  // A writer that waits for another, or for its own earlier send, says nothing about the server, and knows when to look again.
  const appointed = code === 'ERR_WRITE_AMBIGUOUS' && retryAt !== undefined && asked === undefined
  return {
    kind: 'parked', code, serverFailed: SERVER_FAILED.includes(code) && (retryAt === undefined || asked !== undefined), appointed, waitMs: Math.max(retryAt ?? 0, asked ?? 0) - Date.now(),
    ...(asked === undefined ? {} : { pauseMs: asked - Date.now() })
  }
}

function codeOf(error: unknown): ErrorCode {
  return isScreeningError(error) ? error.code : 'ERR_INTERNAL'
}

/** Wakes everyone in this process who waits. */
function openBell() {
  let waiting: (() => void)[] = []
  return {
    ring() {
      for (const wake of waiting.splice(0)) wake()
    },
    async wait(ms: number): Promise<void> {
      const timer = new AbortController()
      const rung = new Promise<void>((resolve) => waiting.push(resolve))
      await Promise.race([rung, sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined)])
      timer.abort()
      waiting = waiting.slice(-1_000)
    }
  }
}

async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  const late = sleep(ms, false, { signal: timer.signal }).catch(() => false)
  const done = await Promise.race([work.then(() => true), late])
  timer.abort()
  return done
}
