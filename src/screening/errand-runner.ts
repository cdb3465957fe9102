import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Audit } from '../audit.ts'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import type { FhirSession } from '../fhir/session.ts'
import { LATE_MS } from '../fhir/write-state.ts'
import { findDoubles, retireDoubles } from './doubles.ts'
import { openErrands, type Errand, type Lane } from './errands.ts'
import { patientsOn, plusDays, previsit, type WorklistOfDay } from './previsit.ts'
import { changedPhoto, photosChangedSince, type ChangedPhoto, type Changes, type PolledType } from './poll-photos.ts'
import { openResultStore } from './result-store.ts'
import { eraseMadeBefore } from './retention.ts'
import type { PhotoReference, ScreeningService } from './screening.ts'
import type { Store } from './store/open-store.ts'
import { dayOf } from './visits.ts'

export interface ErrandDeps {
  readonly store: Store
  readonly tenants: readonly TenantConfig[]
  readonly screenings: Pick<ScreeningService, 'request' | 'settled'>
  /** Takes the night's list; without it the screenings are done all the same. */
  keepWorklist?(tenant: TenantConfig, date: string, list: WorklistOfDay): void
  readonly sessionFor: (tenant: TenantConfig) => FhirSession
  readonly log: Logger
  readonly audit?: Audit
  readonly now?: () => Date
  /** How often an idle runner looks for errands of other processes. */
  readonly tickMs?: number
  readonly leaseMs?: number
}

export interface ErrandRunner {
  start(): void
  stop(): Promise<void>
  /** Does one errand that is due; false when there was none. */
  runOnce(lane?: Lane): Promise<boolean>
  /** Something was asked for in this process. */
  wake(): void
}

interface Task {
  readonly tenant: TenantConfig
  readonly session: FhirSession
  readonly signal: AbortSignal
}

/** The first poll of a record looks back this far. */
const FIRST_LOOK_MS = 24 * 3_600_000
/** Errands that were done, and events that were heard. */
const FORGET_DAYS = 60
/** Servers index late, and their clock is not ours. */
const OVERLAP_MS = LATE_MS
/** So often a photo that was notified is looked for before it is believed to be gone, over some minutes: a replica may hear of it late. */
const LOOKS_FOR_PHOTO = 7

/** Does the errands of every EHR, one at a time: photos that were notified, polls, the night's list, retention. */
export function openErrandRunner(deps: ErrandDeps): ErrandRunner {
  const { store, tenants, log, now = () => new Date(), tickMs = 5_000, leaseMs } = deps
  const errands = openErrands(store, leaseMs === undefined ? {} : { leaseMs })
  const results = openResultStore(store)
  const byId = new Map(tenants.map((tenant) => [tenant.id, tenant]))
  const planned = new Set<string>()
  let workers: readonly Promise<void>[] = []
  let stopped = new AbortController()
  let wake = () => undefined as void

  async function runOnce(lane: Lane = 'short'): Promise<boolean> {
    await plan()
    const errand = await errands.take([...byId.keys()], lane)
    const tenant = errand && byId.get(errand.tenant)
    if (!errand || !tenant) return false
    const heartbeat = setInterval(() => void errands.hold(errand).catch(() => undefined), (leaseMs ?? 60_000) / 4)
    try {
      await run(errand, { tenant, session: deps.sessionFor(tenant), signal: stopped.signal })
      if (kindOf(errand) === 'sweep') await errands.over(errand)
      else await errands.done(errand, again(errand, tenant))
      log.info({ tenant: tenant.id, errand: kindOf(errand) }, 'errand done')
    } catch (error) {
      if (!stopped.signal.aborted) await putOff(errand, tenant, error)
    } finally {
      clearInterval(heartbeat)
    }
    return true
  }

  /** What comes by itself, by the clock of each site: asked for once, whoever asks first. */
  async function plan(): Promise<void> {
    const at = now()
    for (const tenant of tenants)
      for (const what of dueBy(tenant, at)) {
        const key = `${tenant.id} ${what}`
        if (!planned.has(key)) await errands.askOnce(tenant.id, what)
        planned.add(key)
      }
  }

  async function run({ what, attempts }: Errand, task: Task): Promise<void> {
    const [kind, argument = ''] = what.split(' ')
    if (kind === 'look') return look(argument, task, attempts < LOOKS_FOR_PHOTO)
    if (kind === 'poll') return poll(task)
    if (kind === 'previsit') return makeWorklist(argument, task)
    if (kind === 'upkeep') return upkeep(task)
    if (kind === 'sweep') return sweep(argument, task)
    throw new Error(`Expected an errand we know but received "${kind}"`)
  }

  async function makeWorklist(date: string, { tenant, signal }: Task): Promise<void> {
    const list = await previsit({ service: deps.screenings, sessionFor: deps.sessionFor, tenant, date, signal })
    if (list.withoutPatient > 0) log.warn({ tenant: tenant.id, date, withoutPatient: list.withoutPatient }, 'appointments without a patient that can be looked at')
    deps.keepWorklist?.(tenant, date, list)
  }

  /**
   * Each result once in the record. Where we choose the ids ourselves it cannot be otherwise. What the search shows a minute after the writing, and
   * what not, tells how late this record's searches are.
   */
  async function sweep(id: string, { tenant, session }: Task): Promise<void> {
    const screening = await results.speaking(tenant.id, id)
    if (!screening || (await session.capabilities()).updateCreate('Observation')) return
    const { doubles, showsAll } = await findDoubles(session, results, screening)
    await results.showedSoon(tenant.id, screening, showsAll)
    if (doubles.length === 0) return
    const gone = tenant.mode === 'assist' && tenant.write === 'preliminary'
      ? await retireDoubles(session, screening.patientId, doubles, () => Promise.resolve()) : []
    log.error({ tenant: tenant.id, screening: id, doubled: doubles.length, enteredInError: gone.length }, 'results lay in the record twice')
    for (const entity of gone)
      await deps.audit?.record({ tenant: tenant.id, action: 'retire', actor: 'system', patientId: screening.patientId, entity, outcome: 'success' })
  }

  async function upkeep({ tenant }: Task): Promise<void> {
    await errands.forget(tenant.id, daysBefore(now(), FORGET_DAYS))
    if (tenant.retentionDays !== undefined) await eraseMadeBefore(store, tenant.id, daysBefore(now(), tenant.retentionDays))
  }

  /**
   * The record says whose the photo is, and may tell of it before a search shows it. One that is gone, or was moved to another patient, may
   * have left results behind; one that is not there, and that nobody's result rests on, may be still to come (`early`).
   */
  async function look(reference: string, { tenant, session }: Task, early: boolean): Promise<void> {
    const [type = '', id = ''] = reference.split('/')
    const before = await results.patientsOf(tenant.id, [{ resourceType: type as 'Media', id }])
    const photo = await session.read(type as 'Media', id).then((one) => changedPhoto(session, one), (error: unknown) => {
      if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND' || (early && error.answered === 404 && before.length === 0)) throw error
    })
    if (photo && type !== 'DiagnosticReport') await results.handOver(tenant.id, photo.patientId, [reference])
    for (const patientId of new Set([...photo ? [photo.patientId] : [], ...before]))
      await deps.screenings.request(tenant.id, patientId, 'notification')
  }

  async function poll({ tenant, session }: Pick<Task, 'tenant' | 'session'>): Promise<void> {
    const began = now()
    const [mark] = await store.query<{ until: Date }>('select until from watermark where tenant = $1', [tenant.id])
    // A mark that is still to come was set by a date that the record got wrong: what came meanwhile was not seen, and is looked for from the start.
    const known = mark !== undefined && mark.until.getTime() <= began.getTime()
    const since = new Date(known ? mark.until.getTime() - OVERLAP_MS : began.getTime() - FIRST_LOOK_MS)
    const found = await changesFrom(session, since, began).catch((error: unknown) => {
      if (!isScreeningError(error) || error.code !== 'ERR_EHR_REFUSED') throw error
    })
    if (!found) return lookAtWhoComes({ tenant, session })
    await request(tenant.id, found.photos)
    await catchUp({ tenant, session }, since, found.refused)
    await store.query(
      `insert into watermark (tenant, until) values ($1, $2)
       on conflict (tenant) do update set until = case when watermark.until > $3 then excluded.until else greatest(watermark.until, excluded.until) end`,
      [tenant.id, (found.until ?? newest(found, since, began)).toISOString(), began.toISOString()])
    if (found.until) return poll({ tenant, session })
  }

  /** Those that were not heard of yet. A patient's own search may show a photo later than the search for changes did. */
  async function request(tenant: string, photos: readonly ChangedPhoto[]): Promise<void> {
    const fresh: ChangedPhoto[] = []
    for (const photo of photos) if (!await isHeard(tenant, photo)) fresh.push(photo)
    const before = await results.patientsOf(tenant, fresh.map(({ reference }) => photoReference(reference)))
    const ofPatient = Map.groupBy(fresh, (photo) => photo.patientId)
    for (const [patientId, theirs] of ofPatient) await results.handOver(tenant, patientId, theirs.map(({ reference }) => reference), LATE_MS)
    for (const patientId of new Set([...ofPatient.keys(), ...before])) await deps.screenings.request(tenant, patientId, 'notification')
    // After the requests: what is asked for twice is done once, what is forgotten is never done.
    for (const { reference, version } of fresh)
      await store.query("insert into heard_event (tenant, source, event) values ($1, 'poll', $2) on conflict do nothing", [tenant, `${reference} ${version}`])
  }

  /** A type that was refused while the other was answered is behind from then on, and is caught up with when it is answered again. */
  async function catchUp({ tenant, session }: Pick<Task, 'tenant' | 'session'>, since: Date, refused: readonly PolledType[]): Promise<void> {
    const gaps = await store.query<{ type: PolledType; since: Date }>('select type, since from poll_gap where tenant = $1', [tenant.id])
    for (const { type, since: from } of gaps) {
      if (refused.includes(type)) continue
      for (let start: Date | undefined = from; start !== undefined && start < since;) {
        const found = await changesFrom(session, start, since, [type])
        await request(tenant.id, found.photos)
        start = found.until
      }
      await store.query('delete from poll_gap where tenant = $1 and type = $2', [tenant.id, type])
    }
    for (const type of refused)
      await store.query('insert into poll_gap (tenant, type, since) values ($1, $2, $3) on conflict do nothing', [tenant.id, type, since.toISOString()])
  }

  /** A record that cannot be asked what changed: whoever comes today and tomorrow is looked at instead. */
  async function lookAtWhoComes({ tenant, session }: Pick<Task, 'tenant' | 'session'>): Promise<void> {
    const today = dayOf(now().toISOString(), tenant.timeZone)
    for (const date of [today, plusDays(today, 1)])
      for (const patientId of (await patientsOn(session, tenant.timeZone, date)).patients.keys())
        await deps.screenings.request(tenant.id, patientId, 'notification')
  }

  async function isHeard(tenant: string, { reference, version }: ChangedPhoto): Promise<boolean> {
    const rows = await store.query("select 1 from heard_event where tenant = $1 and source = 'poll' and event = $2", [tenant, `${reference} ${version}`])
    return rows.length > 0
  }

  function again({ what }: Errand, { pollMinutes }: TenantConfig): { againMs?: number } {
    return what === 'poll' && pollMinutes !== undefined ? { againMs: pollMinutes * 60_000 } : {}
  }

  async function putOff(errand: Errand, tenant: TenantConfig, error: unknown): Promise<void> {
    const code: ErrorCode = isScreeningError(error) ? error.code : 'ERR_INTERNAL'
    const fields = { tenant: tenant.id, errand: kindOf(errand), code }
    const comesBack = again(errand, tenant)
    if (comesBack.againMs !== undefined) {
      await errands.done(errand, comesBack)
      return log.warn(fields, 'poll failed; the next one looks back as far')
    }
    const end = await errands.failed(errand, code)
    if (end === 'given-up') log.error(fields, 'errand given up')
    else log.warn(fields, 'errand put off')
  }

  async function work(lane: Lane): Promise<void> {
    const { signal } = stopped
    while (!signal.aborted) {
      const worked = await runOnce(lane).catch((error: unknown) => {
        log.error({ code: isScreeningError(error) ? error.code : 'ERR_INTERNAL' }, 'no errand could be taken')
        return false
      })
      if (worked || signal.aborted) continue
      const rung = new AbortController()
      if (lane === 'short') wake = () => { rung.abort() }
      await sleep(tickMs, undefined, { signal: AbortSignal.any([signal, rung.signal]) }).catch(() => undefined)
    }
  }

  return {
    runOnce,
    wake: () => { wake() },
    start() {
      if (workers.length > 0) return
      stopped = new AbortController()
      workers = [work('short'), work('long'), work('sweep')]
    },
    async stop() {
      stopped.abort(new ScreeningError('ERR_LEASE_LOST', 'Expected time to end but the process stops'))
      await Promise.all(workers)
      workers = []
    }
  }
}

/**
 * The errands that a site's clock asks for now. Compared as text on the wall clock: when clocks go forward the skipped time is past
 * at once, when they go back the second time finds the date done.
 */
export function dueBy({ timeZone, previsit: nightly, pollMinutes }: TenantConfig, at: Date): readonly string[] {
  const today = dayOf(at.toISOString(), timeZone)
  const time = new Intl.DateTimeFormat('sv-SE', { timeZone, timeStyle: 'short' }).format(at)
  return [
    `upkeep ${today}`,
    ...(pollMinutes === undefined ? [] : ['poll']),
    ...(nightly && time >= nightly.at ? [`previsit ${plusDays(today, nightly.daysAhead)}`] : [])
  ]
}

function photoReference(reference: string): PhotoReference {
  const [resourceType, id = ''] = reference.split('/')
  return { resourceType: resourceType as PhotoReference['resourceType'], id }
}

function daysBefore(time: Date, days: number): Date {
  return new Date(time.getTime() - days * 86_400_000)
}

/** Without the reference, which a log has no need of. */
function kindOf({ what }: Errand): string {
  return what.split(' ')[0] ?? ''
}

/** All changes since then, or those until a time before now where there are more than one search gives: the first look at a large record. Throws ERR_EHR_*. */
async function changesFrom(session: FhirSession, since: Date, asked: Date, types?: readonly PolledType[]): Promise<Changes & { readonly until?: Date }> {
  let until: Date | undefined
  for (;;) {
    try {
      return { ...await photosChangedSince(session, since, until, types), ...(until ? { until } : {}) }
    } catch (error) {
      const leftMs = ((until ?? asked).getTime() - since.getTime()) / 2
      // Less than the overlap would not get on.
      if (!isScreeningError(error) || error.code !== 'ERR_EHR_ANSWER' || leftMs < 2 * OVERLAP_MS) throw error
      until = new Date(since.getTime() + leftMs)
    }
  }
}

/**
 * The newest change that the server dates, be it a picture or not, and never later than the time of asking: one photo that is dated ahead would
 * hide all that come until then. The time of asking where it dates none of them.
 */
function newest({ dates }: Changes, since: Date, asked: Date): Date {
  const times = dates.map((one) => Date.parse(one ?? '')).filter((time) => !Number.isNaN(time))
  if (dates.length > 0 && times.length === 0) return asked
  return new Date(Math.min(asked.getTime(), Math.max(since.getTime(), ...times)))
}
