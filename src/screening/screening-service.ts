import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Audit } from '../audit.ts'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, type ErrorCode } from '../errors.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import { LEASE_SECONDS, MAX_ATTEMPTS, openQueue, type Job } from './queue.ts'
import { openResultStore } from './result-store.ts'
import { screenPatient } from './screen-patient.ts'
import type { Screening, ScreeningService, ScreeningStatus } from './screening.ts'
import type { Store } from './store/open-store.ts'

export interface ScreeningDeps {
  readonly store: Store
  readonly engine: InferenceEngine
  readonly tenants: readonly TenantConfig[]
  /** By tenant id. */
  readonly calibrations: ReadonlyMap<string, Calibration>
  sessionFor(tenant: TenantConfig): FhirSession
  readonly audit: Audit
  readonly log: Logger
  /** Named places for crash tests. */
  readonly failpoint?: (name: string) => void | Promise<void>
}

/** The service with its worker. `start` begins to lease jobs; `stop` waits for the job under way. */
export interface RunningScreening extends ScreeningService {
  start(): void
  stop(): Promise<void>
  /** Does one due job; false when there was none. */
  runOnce(): Promise<boolean>
  /** Removes what was derived from one patient's photos. */
  erase(tenant: string, patientId: string): Promise<void>
}

const IDLE_POLL_MS = 1_000
/** Worth another try: the EHR or the network, not the photos. */
const PASSING: readonly ErrorCode[] = [
  'ERR_EHR_UNREACHABLE', 'ERR_EHR_UNAUTHORIZED', 'ERR_EHR_ANSWER', 'ERR_EHR_REFUSED', 'ERR_WRITE_AMBIGUOUS', 'ERR_ENGINE_BUSY',
  'ERR_PHOTO_UNREACHABLE', 'ERR_STORE', 'ERR_INTERNAL', 'ERR_RATE_LIMITED', 'ERR_CONFLICT'
]

export function openScreeningService(deps: ScreeningDeps): RunningScreening {
  const { store, tenants, audit, log } = deps
  const queue = openQueue(store)
  const results = openResultStore(store)
  const tenantIds = tenants.map(({ id }) => id)
  let stopping: AbortController | undefined
  let loop: Promise<void> = Promise.resolve()
  let wake = () => {}

  async function status(tenant: string, patientId: string): Promise<ScreeningStatus> {
    const [outcome, [latest]] = await Promise.all([queue.outcome(tenant, patientId), results.history(tenant, patientId)])
    return { ...(latest ? { latest } : {}), ...outcome }
  }

  async function runOnce(): Promise<boolean> {
    const job = await queue.claim(tenantIds)
    if (!job) return false
    const tenant = tenants.find(({ id }) => id === job.tenant)
    if (job.attempts > MAX_ATTEMPTS || !tenant) {
      await queue.end(job, 'dead-letter', 'ERR_INTERNAL')
      return true
    }
    await doJob(job, tenant)
    return true
  }

  async function doJob(job: Job, tenant: TenantConfig): Promise<void> {
    const began = performance.now()
    const heartbeat = setInterval(() => void queue.hold(job).catch(() => undefined), (LEASE_SECONDS * 1000) / 4)
    heartbeat.unref()
    const calibration = deps.calibrations.get(tenant.id)
    const event = { tenant: tenant.id, action: 'screen', actor: 'system', patientId: job.patientId, entity: job.id }
    try {
      const outcome = await screenPatient(job.patientId, {
        session: deps.sessionFor(tenant),
        engine: deps.engine,
        ...(calibration ? { calibration } : {}),
        results,
        fence: () => queue.hold(job),
        ...(deps.failpoint ? { failpoint: deps.failpoint } : {})
      })
      if (outcome.kind === 'refused') await queue.end(job, 'refused', outcome.code)
      else await queue.end(job, 'done')
      await audit.record({ ...event, outcome: 'success', ...(outcome.kind === 'refused' ? { code: outcome.code } : {}) })
      log.info({ job: job.id, tenant: tenant.id, outcome: outcome.kind, ms: Math.round(performance.now() - began) }, 'screened')
    } catch (error) {
      await fail(job, error)
      await audit.record({ ...event, outcome: 'failure', code: codeOf(error) })
    } finally {
      clearInterval(heartbeat)
    }
  }

  async function fail(job: Job, error: unknown): Promise<void> {
    const code = codeOf(error)
    log.warn({ job: job.id, tenant: job.tenant, code, attempt: job.attempts }, 'screening failed')
    if (code === 'ERR_LEASE_LOST') return
    if (PASSING.includes(code)) await queue.park(job, code)
    else await queue.end(job, 'dead-letter', code)
  }

  async function work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const found = await runOnce().catch((error: unknown) => {
        log.error({ code: codeOf(error) }, 'the store could not be asked for work')
        return false
      })
      if (!found && !signal.aborted) await Promise.race([wait(IDLE_POLL_MS, undefined, { ref: false }), new Promise<void>((resolve) => { wake = resolve })])
    }
  }

  return {
    status,
    runOnce,
    history: (tenant: string, patientId: string): Promise<readonly Screening[]> => results.history(tenant, patientId),
    erase: (tenant, patientId) => results.erase(tenant, patientId),

    async request(tenant, patientId, reason) {
      await queue.add(tenant, patientId, reason)
      wake()
    },

    async settled(tenant, patientId, { timeoutMs = 120_000 } = {}) {
      const until = performance.now() + timeoutMs
      for (;;) {
        const now = await status(tenant, patientId)
        if (!now.pending || performance.now() > until) return now
        await wait(100)
      }
    },

    start() {
      if (stopping) return
      stopping = new AbortController()
      loop = work(stopping.signal)
    },

    async stop() {
      stopping?.abort()
      wake()
      await loop
      stopping = undefined
    }
  }
}

function codeOf(error: unknown): ErrorCode {
  return isScreeningError(error) ? error.code : 'ERR_INTERNAL'
}
