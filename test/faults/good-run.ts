import type { Run } from './check-history.ts'
import type { CallerEvent, Statement, WitnessEvent } from './history.ts'
import { seeded } from './mutations.ts'

const JOINTS = 22

/** A run without a fault: some patients, a search and a transaction each, a kill in the middle. */
export function goodRun(seed: number, patients = 4): Run {
  const random = seeded(seed)
  const events: WitnessEvent[] = []
  const callers: CallerEvent[] = [{ ms: 1_000, kind: 'started' }]
  const screenings: Run['ledger']['screenings'][number][] = []
  const device = statement('Device', 'dev', { identifiers: ['sha|d1'], device: '' })
  let ms = 1_000
  const log = (method: string, path: string, commits: readonly Statement[] = []) => {
    ms += 50 + random() * 50
    events.push({
      seq: events.length + 1, ms, connection: 1, method, path, query: '', decision: commits.length > 0 ? 'committed' : 'answered',
      status: commits.length > 0 ? 201 : 200, commits, bytes: 100
    })
  }
  for (let number = 1; number <= patients; number++) {
    const patientId = `pat-${number}`
    callers.push({ ms, kind: 'accepted', tenant: 'clinic', patientId })
    log('GET', '/Media')
    if (number === 3) callers.push({ ms: ms + 1, kind: 'killed' }, { ms: ms + 40, kind: 'started' })
    log('GET', '/Observation')
    const set = resultsOf(patientId, `2026-11-2${number}T08:00:00Z`)
    log('POST', '/', number === 1 ? [device, ...set] : set)
    screenings.push({ id: `s-${number}`, tenant: 'clinic', patientId, state: 'done', superseded: false, photos: [`Media/${patientId}-left`], written: set.map(({ type, id }) => `${type}/${id}`) })
  }
  const statements = [...new Map(events.flatMap(({ commits }) => commits).map((one) => [`${one.type}/${one.id}`, one])).values()]
  return {
    events, callers,
    ledger: {
      jobs: screenings.map(({ patientId }) => ({ tenant: 'clinic', patientId, state: 'done' })), screenings,
      ledger: screenings.flatMap(({ patientId, written }) => written.map((reference) => ({ tenant: 'clinic', patientId, identifier: reference.split('/')[1] ?? '', reference })))
    },
    final: { statements, photos: Object.fromEntries(screenings.map(({ patientId }) => [`Media/${patientId}-left`, `Patient/${patientId}`])) },
    expectation: { mustBeWritten: screenings.map(patientKey), observationsPerScreening: JOINTS + 1, recoveryMs: 10_000, maxRequests: 200 }
  }
}

function resultsOf(patientId: string, effective: string): Statement[] {
  const about = { subject: `Patient/${patientId}`, effective, device: 'Device/dev', status: 'preliminary' }
  const photos = [`Media/${patientId}-left`]
  const joints = Array.from({ length: JOINTS }, (_, index) =>
    statement('Observation', `${patientId}-j${index}`, { ...about, photos, code: 'joint', site: `joint-${index}` }))
  const count = statement('Observation', `${patientId}-count`, { ...about, photos, code: 'count', members: joints.map(referenceOf) })
  const report = statement('DiagnosticReport', `${patientId}-report`, { ...about, photos, code: 'report', members: [count, ...joints].map(referenceOf) })
  const provenance = statement('Provenance', `${patientId}-prov`, { members: [count, ...joints, report].map(referenceOf) })
  return [...joints, count, report, provenance]
}

function statement(type: string, id: string, more: Partial<Statement>): Statement {
  return { type, id, version: 1, identifiers: [`urn|${id}`], photos: [], members: [], ...more }
}

const patientKey = ({ patientId }: { readonly patientId: string }) => `clinic/${patientId}`
const referenceOf = ({ type, id }: Statement) => `${type}/${id}`
