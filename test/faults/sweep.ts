import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { copyTestStore } from '../support/test-store.ts'
import { readRun } from './check.ts'
import { checkHistory, type Run, type Violation } from './check-history.ts'
import type { CallerEvent, RunExpectation } from './history.ts'
import { TENANT, type ProductSettings } from './product.ts'
import type { Scenario } from './scenarios.ts'
import { startProduct } from './start-product.ts'
import { now, startWitness, type Witness } from './witness/witness.ts'

export interface ScenarioResult {
  readonly scenario: Scenario
  readonly kills: number
  /** Places where a process was killed. */
  readonly places: readonly string[]
  /** Server faults that acted. */
  readonly faults: number
  readonly screenings: number
  readonly violations: readonly Violation[]
  readonly run: Run
}

const PATIENTS = ['both-1', 'both-2', 'both-3', 'left-only', 'no-photos', 'heic']
/** Nobody waits longer for a run to come to rest. */
const QUIET_MS = 40_000

/** Plays one scenario with real processes on a store and a record of its own, and judges the files it leaves. */
export async function runScenario(scenario: Scenario, dir: string): Promise<ScenarioResult> {
  await mkdir(dir, { recursive: true })
  const dataDir = join(dir, 'store')
  await copyTestStore(dataDir)
  const witness = await startWitness({
    profile: scenario.profile, historyFile: join(dir, 'witness.jsonl'), indexLagMs: scenario.indexLagMs, racy: scenario.racy,
    ...(scenario.requestsPerToken ? { requestsPerToken: scenario.requestsPerToken } : {})
  })
  witness.faults(scenario.rules)
  const callers = openCallers(join(dir, 'callers.jsonl'))
  const places: string[] = []
  let visits = 0
  const newVisit = () => {
    addPhotos(witness, ++visits)
    callers.accepted.clear()
  }
  newVisit()
  try {
    for (const place of [...scenario.kills, undefined]) {
      const request = PATIENTS.filter((patientId) => !callers.accepted.has(patientId))
      const ended = await runProduct({
        base: witness.base, store: { dataDir }, request, patients: PATIENTS, ledgerFile: join(dir, 'ledger.json'),
        httpTimeoutMs: 500, leaseMs: 1_500, settleMs: 400
      }, callers, place)
      if (place && ended === 'killed') places.push(place)
      if (place && ended === 'quiet') newVisit()
    }
    await writeFile(join(dir, 'final.json'), JSON.stringify(witness.finalState()))
    await writeFile(join(dir, 'expectation.json'), JSON.stringify(expectation(scenario, visits)))
    const run = readRun(dir)
    const faults = [...witness.acted.values()].reduce((sum, count) => sum + count, 0)
    return { scenario, kills: places.length, places, faults, screenings: run.ledger.screenings.length, violations: checkHistory(run), run }
  } finally {
    await witness.close()
  }
}

export interface Callers {
  /** Those told since the last time it was cleared. */
  readonly accepted: Set<string>
  log(event: CallerEvent): void
}

export function openCallers(file: string): Callers {
  const accepted = new Set<string>()
  return {
    accepted,
    log(event) {
      if (event.kind === 'accepted') accepted.add(event.patientId)
      appendFileSync(file, `${JSON.stringify(event)}\n`)
    }
  }
}

/** Runs the product until it is killed at `place` or has nothing open any more. Throws when it does neither. */
async function runProduct(settings: ProductSettings, callers: Callers, place: string | undefined): Promise<'killed' | 'quiet'> {
  callers.log({ ms: now(), kind: 'started' })
  const child = startProduct(settings, place)
  createInterface(child.stdout).on('line', (line) => callers.log(JSON.parse(line) as CallerEvent))
  const late = setTimeout(() => child.kill('SIGTERM'), QUIET_MS)
  const [code, signal] = await once(child, 'close') as [number | null, string | null]
  clearTimeout(late)
  callers.log({ ms: now(), kind: signal === 'SIGKILL' ? 'killed' : 'stopped' })
  if (signal === 'SIGKILL') return 'killed'
  if (code === 0) return 'quiet'
  throw new Error(`Expected the product to come to rest in ${QUIET_MS} ms or to be killed but it ended with ${signal ?? code}`)
}

/** A day's photos of everyone; what patients sent before the run is in the index. */
function addPhotos({ memory }: Witness, visit: number): void {
  const lag = memory.indexLagMs
  memory.indexLagMs = 0
  for (const patientId of PATIENTS) {
    const sides = patientId.startsWith('both') ? ['left', 'right'] : patientId === 'no-photos' ? [] : ['left']
    for (const side of sides) {
      const text = `${patientId === 'heic' ? 'heic' : `${side} hand`} of ${patientId} at visit ${visit}`
      memory.put({
        resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, createdDateTime: `2026-11-${10 + visit}T08:00:00Z`,
        bodySite: { text: `${side} hand` }, content: { contentType: 'image/jpeg', data: Buffer.from(text).toString('base64') }
      })
    }
  }
  memory.indexLagMs = lag
}

/** Four written sets a visit on a server that takes single resources are 4 × 26 writes; reads, looks and repeats come on top. */
function expectation({ kills, rules, profile }: Scenario, visits: number): RunExpectation {
  const written = profile === 'single' || profile === 'patient-search' ? 26 : profile === 'batch' ? 6 : 2
  const mustBeWritten = PATIENTS.filter((patientId) => patientId !== 'no-photos' && patientId !== 'heic').map((patientId) => `${TENANT}/${patientId}`)
  return { observationsPerScreening: 23, mustBeWritten, recoveryMs: 10_000, maxRequests: visits * 4 * (written + 20) + 40 * (kills.length + rules.length + 1) }
}
