import { setTimeout as sleep } from 'node:timers/promises'
import type { Appointment } from 'fhir/r4.js'
import { z } from 'zod'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { maybe, some } from '../fhir/lenient.ts'
import { patientIn } from '../fhir/references.ts'
import type { FhirSession } from '../fhir/session.ts'
import { untilAborted } from '../fhir/until-aborted.ts'
import type { HandJointCount } from '../joints/hand-joint-count.ts'
import type { ScreeningService, ScreeningStatus } from './screening.ts'

/** One line of the morning's list: who has results, who needs a better photo and why, who has none. */
export interface WorklistRow {
  readonly patientId: string
  /** As the appointment names the patient; for the clinic's files, never for a log. */
  readonly name?: string
  /** ISO 8601 with zone, as the record gives it. */
  readonly appointment: string
  readonly status: 'results' | 'needs-photo' | 'no-photo' | 'failed'
  /** A not-assessed reason, `old-photo`, `no-photos`, `still-running`, or an error code. */
  readonly reason?: string
  readonly count?: HandJointCount
  readonly photoTime?: string
  /** The result is stored, but not in the record where it should be: an error code, or `still-running`. It is tried again by itself. */
  readonly notWritten?: string
}

/** Everyone who comes on a day, and how many more appointments there are that nobody was looked at for. */
export interface WorklistOfDay {
  readonly rows: readonly WorklistRow[]
  readonly withoutPatient: number
}

export interface PrevisitOptions {
  readonly service: Pick<ScreeningService, 'request' | 'settled'>
  readonly sessionFor: (tenant: TenantConfig) => FhirSession
  readonly tenant: TenantConfig
  /** YYYY-MM-DD in the tenant's time zone. */
  readonly date: string
  readonly onProgress?: (done: number, total: number) => void
  /** Of one patient; who is not ready then is `still-running`. */
  readonly timeoutMs?: number
  /** How long a list that cannot be read is asked for, and in the end whoever waits for the server. */
  readonly patienceMs?: number
  readonly signal?: AbortSignal
}

/** A server that stumbles in the night is waited for, so long after everyone else is done; one that stays away is told in the list. */
export const PATIENCE_MS = 360_000
const COMING = new Set<string>(['proposed', 'pending', 'booked', 'arrived', 'checked-in', 'waitlist'])

/**
 * Screens everyone with an appointment on the date, each once, and says what came of it. Who was left out of the first answer, as a replica
 * that is behind does, or was given an appointment meanwhile, is seen to when the others are done. Throws ERR_EHR_* when the list cannot be
 * read, and the signal's reason.
 */
export async function previsit({
  service, sessionFor, tenant, date, onProgress, timeoutMs = 300_000, patienceMs = PATIENCE_MS, signal
}: PrevisitOptions): Promise<WorklistOfDay> {
  const listed = (forMs: number) => whenAnswered(() => patientsOn(sessionFor(tenant), tenant.timeZone, date), forMs, signal)
  const settled = (patientId: string, options: Parameters<typeof service.settled>[2]) =>
    untilAborted(service.settled(tenant.id, patientId, options), signal)
  const coming = new Map<string, Appointed>()
  let done = 0

  async function screen(patients: readonly string[]): Promise<void> {
    for (const patientId of patients) await requested(service, tenant.id, patientId)
    const parked: string[] = []
    onProgress?.(done, coming.size)
    for (const patientId of patients) {
      const { dueAt } = await settled(patientId, { timeoutMs })
      if (dueAt === undefined) onProgress?.(++done, coming.size)
      else parked.push(patientId)
    }
    const until = performance.now() + patienceMs
    for (const patientId of parked) {
      const leftMs = Math.max(0, until - performance.now())
      await settled(patientId, { timeoutMs: leftMs, waitForParkedMs: leftMs })
      onProgress?.(++done, coming.size)
    }
  }

  let withoutPatient = 0
  for (let list: Coming | undefined = await listed(patienceMs), first = true; list; first = false) {
    withoutPatient = Math.max(withoutPatient, list.withoutPatient)
    const fresh = [...list.patients].filter(([patientId]) => !coming.has(patientId))
    if (fresh.length === 0 && !first) break
    for (const [patientId, appointment] of fresh) coming.set(patientId, appointment)
    await screen(fresh.map(([patientId]) => patientId))
    list = await listed(Math.min(patienceMs, LIST_AGAIN_MS)).catch(notNow)
  }
  const rows: WorklistRow[] = []
  for (const [patientId, { start, name }] of [...coming].sort(([, a], [, b]) => Date.parse(a.start) - Date.parse(b.start)))
    rows.push({ patientId, ...(name ? { name } : {}), appointment: start, ...outcomeOf(await settled(patientId, { timeoutMs: 0 }), tenant, start) })
  return { rows, withoutPatient }
}

/** A list that was read is not lost because the second look at it fails. */
const LIST_AGAIN_MS = 30_000

function notNow(error: unknown): undefined {
  if (!isScreeningError(error) || !error.code.startsWith('ERR_EHR_')) throw error
}

const FULL_QUEUE_MS = 1_000

/** Asks for one of many; a full queue empties by itself. */
export async function requested(service: Pick<ScreeningService, 'request'>, tenant: string, patientId: string): Promise<void> {
  for (;;) {
    try {
      return await service.request(tenant, patientId, 'previsit')
    } catch (error) {
      if (!isScreeningError(error) || error.code !== 'ERR_RATE_LIMITED') throw error
      await sleep(FULL_QUEUE_MS)
    }
  }
}

/** A list that cannot be read now is asked for again: as long as the server says when, and a few times where it says nothing, or nothing that can be read. */
async function whenAnswered<T>(ask: () => Promise<T>, patienceMs: number, signal: AbortSignal | undefined): Promise<T> {
  const until = Date.now() + patienceMs
  for (let silent = 0; ;) {
    try {
      return await ask()
    } catch (error) {
      if (!isScreeningError(error) || !PASSING.includes(error.code)) throw error
      const dueAt = error.retryAt ?? Date.now() + 500 * 2 ** silent
      if (error.retryAt === undefined && ++silent > SILENT_TRIES || dueAt > until) throw error
      await sleep(Math.max(0, dueAt - Date.now()), undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
    }
  }
}

/** About fifteen seconds. */
const SILENT_TRIES = 5
/** What may be another answer a moment later: a gateway refuses in passing, and a token is taken back while others use it. */
const PASSING: readonly ErrorCode[] = ['ERR_EHR_UNREACHABLE', 'ERR_EHR_ANSWER', 'ERR_EHR_UNAUTHORIZED']

/** The first appointment of one patient. */
export interface Appointed {
  readonly start: string
  readonly name?: string
}

export interface Coming {
  /** By id, with the beginning of the first appointment; earliest first. */
  readonly patients: ReadonlyMap<string, Appointed>
  /** Appointments that name no patient of this record by a reference: a blocked slot, a number instead of a record, another server's patient. */
  readonly withoutPatient: number
}

/** Who comes on a day at the site. Throws ERR_EHR_*. */
export async function patientsOn(session: FhirSession, timeZone: string, date: string): Promise<Coming> {
  const patients = new Map<string, { start: string; name?: string }>()
  let withoutPatient = 0
  for (const one of (await appointmentsOn(session, timeZone, date)).sort((a, b) => Date.parse(a.start ?? '') - Date.parse(b.start ?? ''))) {
    const named = patientsOf(session, one)
    if (named.length === 0) withoutPatient++
    for (const { id, name } of named) if (!patients.has(id)) patients.set(id, { start: one.start ?? '', ...(name ? { name } : {}) })
  }
  return { patients, withoutPatient }
}

/**
 * A server reads a date without time in a time zone of its own, and a session asks for one date at a time: the days around are
 * asked for too, and what does not begin on this day at the site is dropped.
 */
async function appointmentsOn(session: FhirSession, timeZone: string, date: string): Promise<Appointment[]> {
  const capabilities = await session.capabilities()
  const actors = session.tenant.appointmentsOf.map((one) => one.split('/')).map(([type = '', id = '']) => ({ [type.toLowerCase()]: id }))
  const unlisted = ['date', ...actors.flatMap(Object.keys)].find((parameter) => !capabilities.canSearch('Appointment', parameter))
  if (unlisted)
    throw new ScreeningError('ERR_EHR_REFUSED', `Expected an EHR whose Appointments can be searched by ${unlisted} but its /metadata does not list that; use "jointlens screen --patients FILE"`)
  const pages = capabilities.canSearch('Appointment', '_count') ? { _count: 100 } : {}
  const [from, until] = dayIn(timeZone, date)
  const days = [-1, 0, 1].map((number) => ({ date: plusDays(date, number) }))
  const searches = days.flatMap((day) => (actors.length > 0 ? actors : [{}]).map((actor) => ({ ...day, ...actor, ...pages })))
  const found = new Map<string, Appointment>()
  for (const parameters of searches)
    for (const one of await session.search('Appointment', parameters).catch(refusedByDate))
      if (COMING.has(one.status) && startsWithin(one, from, until)) found.set(one.id ?? '', one)
  return [...found.values()]
}

/** Some list the search by date and want a practitioner, a location or a patient beside it (Oracle Health, Epic). */
function refusedByDate(error: unknown): never {
  if (!isScreeningError(error) || error.code !== 'ERR_EHR_REFUSED') throw error
  throw new ScreeningError('ERR_EHR_REFUSED',
    `Expected the appointments of a day but the record refuses the search (${error.answered ?? 'with an error'}); name practitioners or locations in appointmentsOf, or use "jointlens screen --patients FILE"`, { cause: error, answered: error.answered })
}

/** What came of a screening, for a visit at this time. */
export function outcomeOf(status: ScreeningStatus, tenant: TenantConfig, visit: string): Omit<WorklistRow, 'patientId' | 'name' | 'appointment'> {
  const notWritten = whyNotWritten(status, tenant)
  return { ...foundBy(status, tenant, visit), ...(notWritten === undefined ? {} : { notWritten }) }
}

/** Where the site lets us write, a result that a try left outside the record. A record that takes none is no failure. */
function whyNotWritten({ latest, failure, pending }: ScreeningStatus, { mode, write }: TenantConfig): string | undefined {
  if (mode !== 'assist' || write !== 'preliminary' || !latest || latest.written.length > 0) return undefined
  return failure?.code ?? (pending ? 'still-running' : undefined)
}

function foundBy(
  { latest, failure, pending }: ScreeningStatus, { currentPhotoDays }: TenantConfig, visit: string
): Omit<WorklistRow, 'patientId' | 'name' | 'appointment' | 'notWritten'> {
  if (failure?.code === 'no-photos') return { status: 'no-photo', reason: 'no-photos' }
  if (failure?.code.startsWith('ERR_PHOTO_')) return { status: 'needs-photo', reason: failure.code }
  if (!latest) return { status: 'failed', reason: failure?.code ?? (pending ? 'still-running' : 'ERR_INTERNAL') }
  const { count, photoTime, findings } = latest
  const old = Date.parse(visit) - Date.parse(photoTime) > currentPhotoDays * 86_400_000
  if (count.assessable > 0) return { ...(old ? { status: 'needs-photo', reason: 'old-photo' } : { status: 'results' }), count, photoTime }
  const [reason] = findings.flatMap((one) => one.kind === 'not-assessed' && one.reason !== 'no-photo' ? [one.reason] : [])
  return { status: 'needs-photo', reason: reason ?? 'no-photo', photoTime }
}

/**
 * CSV (RFC 4180); cells a spreadsheet would run as a formula are quoted with an apostrophe. Appointments without a patient are counted in a last
 * line, whose status is `without-patient`.
 */
export function worklistCsv({ rows, withoutPatient }: WorklistOfDay): string {
  const header = ['appointment', 'patient', 'name', 'status', 'reason', 'swollen', 'assessable', 'low', 'high', 'photo', 'notWritten']
  const lines = rows.map(({ appointment, patientId, name, status, reason, count, photoTime, notWritten }) =>
    [appointment, patientId, name ?? '', status, reason ?? '', count?.swollen ?? '', count?.assessable ?? '', count?.low ?? '', count?.high ?? '', photoTime ?? '', notWritten ?? ''])
  const unseen = withoutPatient > 0 ? [['', '', '', 'without-patient', withoutPatient, '', '', '', '', '', '']] : []
  return [header, ...lines, ...unseen].map((cells) => cells.map((cell) => csvCell(String(cell))).join(',')).join('\r\n') + '\r\n'
}

/** Quoted where it must be; what a spreadsheet would run is defused. */
export function csvCell(text: string): string {
  const safe = /^[\s\p{Cc}]*[=+\-@＝＋－＠|%]/u.test(text) || /^[\t\r\n]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

const participants = some(z.object({ actor: z.object({ reference: maybe(z.string()), display: maybe(z.string()) }) }))

function patientsOf({ tenant }: FhirSession, { participant }: Appointment): readonly { readonly id: string; readonly name?: string }[] {
  return participants.parse(participant).flatMap(({ actor: { reference, display } }) => {
    const id = patientIn(tenant, reference)
    return id ? [{ id, ...(display ? { name: display } : {}) }] : []
  })
}

function startsWithin({ start }: Appointment, from: Date, until: Date): boolean {
  const time = Date.parse(start ?? '')
  return time >= from.getTime() && time < until.getTime()
}

/** Beginning and end of a calendar day in a time zone; a day of 23 or 25 hours too. */
export function dayIn(timeZone: string, date: string): readonly [Date, Date] {
  return [midnight(timeZone, date), midnight(timeZone, plusDays(date, 1))]
}

export function plusDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10)
}

/**
 * The first moment of a day. Where clocks go forward at midnight (Cairo, Beirut, Havana) there is no midnight, and the day begins when
 * it would have been by the clock of the day before; where they go back over it, it begins with the first of the two.
 */
function midnight(timeZone: string, date: string): Date {
  const target = Date.parse(`${date}T00:00:00Z`)
  const [before, after] = [-86_400_000, 86_400_000].map((ms) => target + ms - wallClock(timeZone, target + ms)) as [number, number]
  const found = [target + before, target + after].filter((time) => wallClock(timeZone, time) === target)
  return new Date(found.length > 0 ? Math.min(...found) : target + before)
}

/** What a clock on the wall shows, read as if it were UTC; milliseconds. */
function wallClock(timeZone: string, time: number): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit'
  }).formatToParts(time)
  const of = (type: string) => Number(parts.find((part) => part.type === type)?.value)
  return Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'))
}
