import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { checkedId } from '../fhir/session.ts'
import { outcomeOf, PATIENCE_MS, requested, type WorklistRow } from './previsit.ts'
import type { ScreeningService, ScreeningStatus } from './screening.ts'

export type PopulationRow = Omit<WorklistRow, 'name' | 'appointment'>

export interface PopulationOptions {
  readonly service: Pick<ScreeningService, 'request' | 'settled'>
  readonly tenant: TenantConfig
  readonly patients: ReadonlySet<string>
  /** Called once per patient, in the order given; whoever waits for the server comes after all others. */
  readonly onResult: (row: PopulationRow) => void
  readonly onProgress?: (done: number, total: number) => void
  /** Patients asked for at once: more would fill the queue, fewer would let workers idle. */
  readonly window?: number
  readonly timeoutMs?: number
  /** How long whoever waits for the server is waited for, after everyone else is done. */
  readonly patienceMs?: number
  readonly now?: () => Date
}

export type PopulationSummary = Readonly<Record<WorklistRow['status'], number>> & { readonly patients: number }

const MAX_PATIENTS = 1_000_000

/**
 * Screens many patients, each once, a window of them at a time, so that neither queue nor memory grows with the population. Begun
 * again, it passes quickly over whoever has a result for the same photos.
 */
export async function screenPopulation({
  service, tenant, patients, onResult, onProgress, window = 100, timeoutMs = 600_000, patienceMs = PATIENCE_MS, now = () => new Date()
}: PopulationOptions): Promise<PopulationSummary> {
  const summary = { patients: patients.size, results: 0, 'needs-photo': 0, 'no-photo': 0, failed: 0 }
  let done = 0
  const waiting: { readonly patientId: string; readonly settled: Promise<ScreeningStatus> }[] = []
  const parked: string[] = []
  const tell = (patientId: string, status: ScreeningStatus) => {
    const row = { patientId, ...outcomeOf(status, tenant, now().toISOString()) }
    summary[row.status]++
    onResult(row)
    onProgress?.(++done, patients.size)
  }
  const finish = async () => {
    const next = waiting.shift()
    if (!next) return
    const status = await next.settled
    if (status.dueAt === undefined) tell(next.patientId, status)
    else parked.push(next.patientId)
  }
  onProgress?.(0, patients.size)
  for (const patientId of patients) {
    if (waiting.length >= window) await finish()
    await requested(service, tenant.id, patientId)
    const settled = service.settled(tenant.id, patientId, { timeoutMs })
    // Looked at in its turn; until then it is nobody's unhandled rejection.
    settled.catch(() => undefined)
    waiting.push({ patientId, settled })
  }
  while (waiting.length > 0) await finish()
  const until = performance.now() + patienceMs
  for (const patientId of parked) {
    const leftMs = Math.max(0, until - performance.now())
    tell(patientId, await service.settled(tenant.id, patientId, { timeoutMs: leftMs, waitForParkedMs: leftMs }))
  }
  return summary
}

/**
 * A list of patients: one FHIR id or `Patient/id` a line; empty lines and what follows `#` are passed over, a patient named twice
 * counts once. Throws ERR_USAGE with the number of the line that is something else.
 */
export async function readPatientList(path: string): Promise<ReadonlySet<string>> {
  const patients = new Set<string>()
  let number = 0
  try {
    for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
      number++
      const id = line.replace(/#.*/, '').trim().replace(/^Patient\//, '')
      if (id) patients.add(checkedId(id))
      if (patients.size > MAX_PATIENTS) throw new ScreeningError('ERR_USAGE', `Expected at most ${MAX_PATIENTS} patients in the list but there are more`)
    }
  } catch (cause) {
    if (!isScreeningError(cause)) throw new ScreeningError('ERR_USAGE', `Expected a list of patients that can be read but received "${path}"`, { cause })
    if (cause.code === 'ERR_USAGE') throw cause
    throw new ScreeningError('ERR_USAGE', `Expected a FHIR id on line ${number} of the list of patients`, { cause })
  }
  return patients
}
