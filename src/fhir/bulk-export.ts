import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import type { TokenSource } from './backend-auth.ts'
import type { Egress, EgressRequest } from './egress.ts'
import { some, truth, whole } from './lenient.ts'
import { logicalId } from './logical-id.ts'
import { absolute, checkedId, type FhirSession } from './session.ts'
import { parseJson } from './smart-configuration.ts'
import { refuseStatus } from './transport.ts'

export interface BulkOptions {
  readonly tenant: TenantConfig
  readonly egress: Egress
  readonly tokens: TokenSource
  /** For `/metadata`. */
  readonly session: Pick<FhirSession, 'capabilities'>
  /** Members of this Group; every patient when absent. */
  readonly group?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (found: number) => void
  readonly limits?: Partial<BulkLimits>
  /** Milliseconds; tests choose it. */
  readonly wait?: (ms: number) => Promise<void>
  readonly now?: () => number
}

export interface BulkLimits {
  readonly patients: number
  /** Of one file, decompressed. */
  readonly fileBytes: number
  readonly lineBytes: number
  /** From the kick-off to the manifest. */
  readonly exportMs: number
}

export interface ExportedPatients {
  readonly patients: ReadonlySet<string>
  /** OperationOutcomes in the export's error files. */
  readonly errors: number
  /** Lines of its files of patients that are no Patient we can read: an OperationOutcome, a broken one. Somebody may be missing for each. */
  readonly leftOut: number
  /** The server was told to delete its files, and said that it does. */
  readonly deleted: boolean
}

const LIMITS: BulkLimits = { patients: 1_000_000, fileBytes: 20_000_000_000, lineBytes: 2_000_000, exportMs: 6 * 3_600_000 }
const MAX_FILES = 10_000
/** Before the first look at a server that does not say when to come back; doubled up to a minute. */
const FIRST_WAIT_MS = 2_000
const MAX_WAIT_MS = 15 * 60_000
const TRIES = 3

const file = z.object({ type: z.string(), url: z.string(), count: whole })
const manifest = z.object({
  /** Where it is not said, the token is sent: its files lie on the server's own origin. */
  requiresAccessToken: truth.transform((requires) => requires ?? true),
  /** Each has to be readable, or patients would be missing. */
  output: z.array(file).max(MAX_FILES),
  error: some(z.object({ url: z.string() })).refine((files) => files.length <= MAX_FILES)
})
const patient = z.object({ resourceType: z.literal('Patient'), id: logicalId })

const outcome = z.object({ resourceType: z.literal('OperationOutcome') })

type Files = z.infer<typeof manifest>

/**
 * Ids of the patients of a Group or of the whole record, by Bulk Data `$export`: kick-off, looks as often as Retry-After allows,
 * NDJSON read as it arrives, and the server's files deleted at the end whatever happened. A line that is no Patient ends nothing, and is
 * counted. Every address must have the FHIR server's own origin; the token goes nowhere else. Files that want none may lie where photos may.
 * Throws ERR_EHR_REFUSED where `/metadata` lists no such export, ERR_EGRESS_REFUSED, ERR_EHR_ANSWER, ERR_EHR_UNREACHABLE, ERR_EHR_UNAUTHORIZED.
 */
export async function exportPatients(options: BulkOptions): Promise<ExportedPatients> {
  const limits = { ...LIMITS, ...options.limits }
  const client = bulkClient(options)
  const statusUrl = await kickOff(options, client)
  // Also when someone gave up waiting: what lies there are patients' data.
  const { signal: _ends, ...unending } = options
  const cleanUp = () => remove(statusUrl, bulkClient(unending))
  try {
    const files = await manifestOf(statusUrl, options, client, limits)
    const patients = new Set<string>()
    let leftOut = 0
    for (const one of files.output)
      if (one.type === 'Patient') leftOut += await tried(() => readPatients(one, files, patients, options, client, limits))
    let errors = 0
    for (const one of files.error) errors += await tried(() => countLines(one, files, client, limits))
    return { patients, errors, leftOut, deleted: await cleanUp() }
  } catch (error) {
    await cleanUp()
    throw error
  }
}

type BulkClient = ReturnType<typeof bulkClient>

/** Requests with our token, renewed and repeated once after a 401. */
function bulkClient({ tenant, egress, tokens, signal }: BulkOptions) {
  async function authorized<T extends { readonly status: number }>(
    once: (headers: Readonly<Record<string, string>>) => Promise<T>, dispose: (answer: T) => Promise<unknown> = () => Promise.resolve()
  ): Promise<T> {
    const token = await tokens.token()
    const first = await once({ authorization: `Bearer ${token}` })
    if (first.status !== 401) return first
    tokens.invalidate(token)
    const renewed = await tokens.token()
    if (renewed === token) return first
    await dispose(first)
    return once({ authorization: `Bearer ${renewed}` })
  }
  const request = (more: Omit<EgressRequest, 'purpose'>): EgressRequest => ({ purpose: 'bulk', ...(signal ? { signal } : {}), ...more })
  return {
    fetch: (method: string, url: string, headers: Readonly<Record<string, string>> = {}) =>
      authorized((token) => egress.fetch(url, request({ method, headers: { accept: 'application/json', ...headers, ...token }, maxBytes: 20_000_000, timeoutMs: 60_000 }))),
    /** Files that want no token may lie where the site lets photos lie: a cloud's store, with the permission in the address. */
    stream(address: string, withToken: boolean, maxBytes: number) {
      const url = absolute(address, tenant.fhirBase)
      const purpose = withToken || new URL(url).origin === new URL(tenant.fhirBase).origin ? 'bulk' : 'photo'
      const open = (token: Readonly<Record<string, string>>) =>
        egress.stream(url, { ...request({ headers: { accept: 'application/fhir+ndjson', ...token }, maxBytes, timeoutMs: 60_000 }), purpose })
      return withToken ? authorized(open, ({ chunks }) => drained(chunks)) : open({})
    }
  }
}

async function kickOff({ tenant, session, group }: BulkOptions, client: BulkClient): Promise<string> {
  const capabilities = await session.capabilities()
  const levels = group === undefined ? (['Patient', 'system'] as const) : (['Group'] as const)
  const level = levels.find((one) => capabilities.canExport(one))
  if (!level) {
    const wanted = group === undefined ? 'all patients' : 'a Group'
    throw new ScreeningError('ERR_EHR_REFUSED', `Expected an EHR that exports ${wanted} (Bulk Data $export) but its /metadata does not list that`)
  }
  const path = { Group: `Group/${checkedId(group ?? '-')}/$export`, Patient: 'Patient/$export', system: '$export' }[level]
  const answer = await client.fetch('GET', `${tenant.fhirBase}/${path}?_type=Patient`, { accept: 'application/fhir+json', prefer: 'respond-async' })
  refuseStatus('GET', answer)
  const location = answer.headers.get('content-location')
  if (answer.status !== 202 || location === null)
    throw new ScreeningError('ERR_EHR_ANSWER', `Expected 202 with Content-Location for an export but received ${answer.status}`)
  return absolute(location, tenant.fhirBase)
}

async function manifestOf(
  statusUrl: string, { signal, wait = (ms) => sleep(ms, undefined, signal ? { signal } : {}), now = Date.now }: BulkOptions, client: BulkClient, { exportMs }: BulkLimits
): Promise<Files> {
  const until = now() + exportMs
  let failures = 0
  for (let look = 0; now() < until; look++) {
    const answer = await client.fetch('GET', statusUrl).catch((error: unknown) => {
      if (!isScreeningError(error) || error.code !== 'ERR_EHR_UNREACHABLE' || ++failures >= TRIES) throw error
    })
    if (answer?.status === 200) return readManifest(answer.body)
    const soon = answer === undefined || answer.status === 202 || answer.status === 429 || answer.status === 503
    if (!soon) refuseStatus('GET', answer)
    if (!soon) throw new ScreeningError('ERR_EHR_ANSWER', `Expected the state of an export but received ${answer.status}`)
    if (answer?.status === 202) failures = 0
    const asked = retryAfterMs(answer?.headers.get('retry-after') ?? null, now())
    await wait(Math.min(MAX_WAIT_MS, asked ?? Math.min(60_000, FIRST_WAIT_MS * 2 ** Math.min(look, 10))))
  }
  throw new ScreeningError('ERR_EHR_UNREACHABLE', `Expected an export within ${exportMs / 60_000} minutes but it is not ready`)
}

function readManifest(body: Uint8Array): Files {
  const found = manifest.safeParse(parseJson(body))
  if (!found.success) throw new ScreeningError('ERR_EHR_ANSWER', 'Expected the manifest of an export')
  return found.data
}

/** Seconds, or an HTTP date; at least one second. */
function retryAfterMs(value: string | null, now: number): number | undefined {
  if (value === null) return undefined
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(ms) ? undefined : Math.max(1_000, ms)
}

/** Ids are a set, so a file whose reading broke off is simply read again. Resolves with how many of its lines were left out. */
async function readPatients(
  one: Files['output'][number], files: Files, patients: Set<string>, { onProgress }: BulkOptions, client: BulkClient, limits: BulkLimits
): Promise<number> {
  let count = 0
  let outcomes = 0
  let unreadable = 0
  for await (const line of linesOf(one.url, files, client, limits)) {
    const value = parseJson(line)
    const found = patient.safeParse(value).data
    if (found) patients.add(found.id)
    else if (outcome.safeParse(value).success) outcomes++
    else unreadable++
    if (patients.size > limits.patients) throw new ScreeningError('ERR_EHR_ANSWER', `Expected at most ${limits.patients} patients but there are more`)
    count++
    if (count % 1_000 === 0) onProgress?.(patients.size)
  }
  if (unreadable > 0 && unreadable + outcomes === count) throw new ScreeningError('ERR_EHR_ANSWER', 'Expected Patients in an exported file but received something else')
  // Some count what the export says of itself, and some do not.
  if (one.count !== undefined && count !== one.count && count - outcomes !== one.count)
    throw new ScreeningError('ERR_EHR_UNREACHABLE', `Expected ${one.count} lines as the manifest says but received ${count}`)
  onProgress?.(patients.size)
  return outcomes + unreadable
}

async function countLines(one: Files['error'][number], files: Files, client: BulkClient, limits: BulkLimits): Promise<number> {
  let count = 0
  for await (const _line of linesOf(one.url, files, client, limits)) count++
  return count
}

/** The lines of an NDJSON file as they arrive; empty ones are passed over. A last one that breaks off says that the file does. */
async function* linesOf(url: string, { requiresAccessToken }: Files, client: BulkClient, { fileBytes, lineBytes }: BulkLimits): AsyncGenerator<Uint8Array> {
  const answer = await client.stream(url, requiresAccessToken, fileBytes)
  if (answer.status !== 200) {
    await drained(answer.chunks)
    if (answer.status === 404 || answer.status === 410) throw new ScreeningError('ERR_EHR_ANSWER', 'Expected an exported file but its address has expired; ask for the export again')
    refuseStatus('GET', answer)
    throw new ScreeningError('ERR_EHR_ANSWER', `Expected an exported file but received ${answer.status}`)
  }
  let rest: Uint8Array = new Uint8Array()
  for await (const chunk of answer.chunks) {
    let data = rest.byteLength > 0 ? Buffer.concat([rest, chunk]) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      if (end > lineBytes) throw tooLong(lineBytes)
      if (data.subarray(0, end).some((byte) => byte > 32)) yield data.subarray(0, end)
      data = data.subarray(end + 1)
    }
    if (data.byteLength > lineBytes) throw tooLong(lineBytes)
    rest = Buffer.from(data)
  }
  if (!rest.some((byte) => byte > 32)) return
  if (parseJson(rest) === undefined) throw new ScreeningError('ERR_EHR_UNREACHABLE', 'Expected an exported file to its end but its last line breaks off')
  yield rest
}

function tooLong(lineBytes: number): ScreeningError {
  return new ScreeningError('ERR_EHR_ANSWER', `Expected lines of at most ${lineBytes} bytes in an exported file but received a longer one`)
}

/** A connection that breaks in the middle of a file is no reason to export everything again. */
async function tried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isScreeningError(error) || error.code !== 'ERR_EHR_UNREACHABLE' || attempt >= TRIES) throw error
    }
  }
}

/** What an answer that nobody wants still sends, up to a little; then the connection is closed. */
async function drained(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.byteLength
    if (size > 1_000_000) return
  }
}

/** A server that does not delete keeps patients' data on its own disk: said, and no reason to fail. */
async function remove(statusUrl: string, client: BulkClient): Promise<boolean> {
  try {
    const { status } = await client.fetch('DELETE', statusUrl)
    return status === 202 || status === 200 || status === 204
  } catch (error) {
    if (!isScreeningError(error)) throw error
    return false
  }
}
