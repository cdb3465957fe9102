import type { CallerEvent, FinalState, LedgerExport, RunExpectation, Statement, WitnessEvent } from './history.ts'

/** Everything that is known of one run. */
export interface Run {
  readonly events: readonly WitnessEvent[]
  readonly callers: readonly CallerEvent[]
  readonly ledger: LedgerExport
  readonly final: FinalState
  readonly expectation: RunExpectation
}

export type RuleName =
  | 'I1-loss' | 'I2-duplicate' | 'I2-repaired' | 'I3-wrong-patient' | 'I4-partial' | 'I5-false-card' | 'I6-recovery' | 'I7-went-back'
  | 'too-early' | 'canary' | 'budget'

export interface Violation {
  readonly rule: RuleName
  /** What is wrong, with the sequence numbers that prove it. */
  readonly text: string
}

/** Judges a run by nothing but its files and the invariants. */
export function checkHistory(run: Run): readonly Violation[] {
  return [
    ...loss(run), ...duplicates(run), ...wrongPatient(run), ...partial(run), ...falseCards(run), ...recovery(run), ...wentBack(run),
    ...tooEarly(run), ...canary(run), ...budget(run)
  ]
}

const GONE = new Set(['entered-in-error', 'cancelled'])
const isLive = ({ status }: Statement) => !GONE.has(status ?? '')
const referenceOf = ({ type, id }: Statement) => `${type}/${id}`

/** I1: what was accepted ended in exactly one way, and what is called written is in the record. */
function* loss({ callers, ledger, final, expectation }: Run): Generator<Violation> {
  const there = new Set(final.statements.map(referenceOf))
  const jobs = Map.groupBy(ledger.jobs, patientKey)
  const screenings = Map.groupBy(ledger.screenings.filter(({ superseded }) => !superseded), patientKey)
  const accepted = new Map(callers.flatMap((one) => one.kind === 'accepted' ? [[patientKey(one), one] as const] : []))
  for (const [key, { ms }] of accepted) {
    const ends = (jobs.get(key) ?? []).map(endOf)
    if (ends.length !== 1) yield lost(`${key} was accepted at ${ms} and has ${ends.length} jobs`)
    if (ends.includes('open')) yield lost(`${key} was accepted at ${ms} and has not ended`)
    if (ends.includes('ended') && expectation.mustBeWritten.includes(key)) yield lost(`${key} has readable photos and was refused (${(jobs.get(key) ?? []).map(({ state, code }) => `${state} ${code ?? 'without a code'}`).join(', ')})`)
    if (ends.includes('done') && expectation.mustBeWritten.includes(key) && !(screenings.get(key) ?? []).some(({ written }) => written.length > 0))
      yield lost(`${key} has readable photos and nothing was written`)
    if (ends.includes('done') && !(screenings.get(key) ?? []).some(({ state }) => state === 'done')) yield lost(`${key} is done without a result`)
  }
  for (const { id, state, written } of ledger.screenings) {
    if (state !== 'done') continue
    for (const reference of written) if (!there.has(reference)) yield lost(`screening ${id} says it wrote ${reference}, which is not in the record`)
  }
  const identified = new Map(final.statements.map((one) => [referenceOf(one), one]))
  for (const { identifier, reference } of ledger.ledger) {
    const one = identified.get(reference)
    if (!one) yield lost(`the ledger has ${identifier} as ${reference}, which is not in the record`)
    else if ((one.type === 'Observation' || one.type === 'DiagnosticReport') && !one.identifiers.some((found) => found.endsWith(`|${identifier}`)))
      yield lost(`the ledger has ${identifier} as ${reference}, which is another resource`)
  }
}

function lost(text: string): Violation {
  return { rule: 'I1-loss', text }
}

/** Refused and dead-letter need a reason that someone can read. */
function endOf({ state, code }: LedgerExport['jobs'][number]): 'done' | 'ended' | 'open' {
  if (state === 'done') return 'done'
  return (state === 'refused' || state === 'dead-letter') && code ? 'ended' : 'open'
}

function patientKey({ tenant, patientId }: { readonly tenant: string; readonly patientId: string }): string {
  return `${tenant}/${patientId}`
}

/** I2: of what says the same of the same patient, photo, joint and model, one is live; a repaired double is told, too. */
function* duplicates({ events, final }: Run): Generator<Violation> {
  for (const [key, same] of Map.groupBy(final.statements.filter(isLive), sameness))
    if (same.length > 1) yield { rule: 'I2-duplicate', text: `${same.map(referenceOf).join(', ')} say the same (${key})` }
  const live = Map.groupBy(final.statements.filter(isLive), sameness)
  const creates = events.flatMap(({ seq, commits }) => commits.filter(({ version }) => version === 1).map((one) => ({ seq, one })))
  for (const [key, same] of Map.groupBy(creates, ({ one }) => sameness(one))) {
    if (same.length > 1 && (live.get(key)?.length ?? 0) <= 1)
      yield { rule: 'I2-repaired', text: `${key} was created ${same.length} times, by ${same.map(({ seq }) => seq).join(', ')}` }
  }
}

/** Of anything that came with an identifier, that is enough; the content counts beside it, so that a lost identifier hides no double. */
function sameness({ type, subject, photos, code, site, device, effective, identifiers, members }: Statement): string {
  if (type === 'Device') return `Device ${identifiers.join(' ')}`
  if (type === 'Provenance') return `Provenance ${[...members].sort().join(' ')}`
  return [type, subject, photos.join(' '), code, site, device, effective].join(' · ')
}

/** I3: what was written is about the patient of its photos, of the screening, and of everything it refers to. */
function* wrongPatient({ events, ledger, final }: Run): Generator<Violation> {
  const subjects = new Map<string, string>()
  for (const { seq, commits } of events) {
    for (const one of commits) if (one.subject) subjects.set(referenceOf(one), one.subject)
    for (const one of commits) {
      if ((one.type === 'Observation' || one.type === 'DiagnosticReport') && !one.subject)
        yield wrong(`${referenceOf(one)} of ${seq} has no subject`)
      const about = [one.subject, ...one.photos.map((photo) => final.photos[photo]), ...one.members.map((member) => subjects.get(member))]
      const patients = new Set(about.filter((patient) => patient !== undefined))
      if (patients.size > 1) yield wrong(`${referenceOf(one)} of ${seq} is about ${[...patients].join(' and ')}`)
    }
  }
  const statements = new Map(final.statements.map((one) => [referenceOf(one), one]))
  for (const { tenant, patientId, written, photos } of ledger.screenings) {
    for (const reference of written) {
      const { subject, type } = statements.get(reference) ?? {}
      if (type !== 'Device' && subject && subject !== `Patient/${patientId}`) yield wrong(`${tenant}/${patientId} is said to be in ${reference}, of ${subject}`)
    }
    for (const photo of photos) {
      const owner = final.photos[photo]
      if (owner && owner !== `Patient/${patientId}`) yield wrong(`${tenant}/${patientId} was read from ${photo}, of ${owner}`)
    }
  }
}

function wrong(text: string): Violation {
  return { rule: 'I3-wrong-patient', text }
}

/** I4: no part of a set is ever final before the set is whole, and in the end a set is whole or not there. */
function* partial({ events, final, expectation: { observationsPerScreening } }: Run): Generator<Violation> {
  const observations = new Map<string, Set<string>>()
  for (const { seq, commits } of events) {
    for (const one of commits.filter(({ type }) => type === 'Observation')) {
      const set = setOf(one)
      observations.set(set, (observations.get(set) ?? new Set()).add(referenceOf(one)))
    }
    for (const one of commits)
      if (one.status === 'final' && (observations.get(setOf(one))?.size ?? 0) < observationsPerScreening)
        yield { rule: 'I4-partial', text: `${referenceOf(one)} of ${seq} is final while its set is not whole` }
  }
  const there = new Set(final.statements.map(referenceOf))
  for (const one of final.statements)
    for (const member of one.members) if (!there.has(member)) yield { rule: 'I4-partial', text: `${referenceOf(one)} refers to ${member}, which is not in the record` }
  const provenances = final.statements.filter(({ type }) => type === 'Provenance').map(({ members }) => new Set(members))
  for (const [set, live] of Map.groupBy(final.statements.filter((one) => isLive(one) && one.subject !== undefined), setOf)) {
    const count = (type: string) => live.filter((one) => one.type === type).length
    const whole = count('Observation') >= observationsPerScreening && count('DiagnosticReport') >= 1 &&
      provenances.some((members) => live.every((one) => members.has(referenceOf(one))))
    if (!whole) yield { rule: 'I4-partial', text: `${set} has ${count('Observation')} of ${observationsPerScreening} Observations, ${count('DiagnosticReport')} reports` }
  }
}

function setOf({ subject, effective }: Statement): string {
  return `${subject} at ${effective}`
}

/** I5: what was shown as written was in the record when it was shown. */
function* falseCards({ events, callers }: Run): Generator<Violation> {
  const since = new Map<string, number>()
  for (const { ms, commits } of events) for (const one of commits) if (!since.has(referenceOf(one))) since.set(referenceOf(one), ms)
  for (const one of callers) {
    if (one.kind !== 'shown') continue
    for (const reference of one.written)
      if ((since.get(reference) ?? Infinity) > one.ms) yield { rule: 'I5-false-card', text: `${reference} was shown at ${one.ms} before it was committed` }
  }
}

/** I6: from a start to the next commit, when one was still to come and the server did not fail on the way. */
function* recovery({ events, callers, expectation: { recoveryMs } }: Run): Generator<Violation> {
  for (const { kind, ms } of callers) {
    if (kind !== 'started') continue
    const next = events.find((one) => one.ms >= ms && one.commits.length > 0)
    const between = events.filter((one) => one.ms >= ms && one.ms <= (next?.ms ?? ms))
    const ended = callers.some((one) => (one.kind === 'killed' || one.kind === 'stopped') && one.ms > ms && one.ms < (next?.ms ?? ms))
    if (next && !ended && next.ms - ms > recoveryMs && !between.some(({ mode }) => mode !== undefined))
      yield { rule: 'I6-recovery', text: `${Math.round(next.ms - ms)} ms from the start at ${ms} to the commit ${next.seq}` }
  }
}

/** I7: of a joint, nothing older is written after something newer. */
function* wentBack({ events }: Run): Generator<Violation> {
  const newest = new Map<string, { effective: string; seq: number }>()
  for (const { seq, commits } of events) {
    for (const one of commits) {
      if (one.type !== 'Observation' || !one.effective || !isLive(one)) continue
      const key = `${one.subject} ${one.code} ${one.site}`
      const before = newest.get(key)
      if (before && Date.parse(one.effective) < Date.parse(before.effective))
        yield { rule: 'I7-went-back', text: `${referenceOf(one)} of ${seq} (${one.effective}) came after ${before.effective} of ${before.seq}` }
      else newest.set(key, { effective: one.effective, seq })
    }
  }
}

/** Requests that were already on their way when the server asked for time. */
const IN_FLIGHT_MS = 30

function* tooEarly({ events }: Run): Generator<Violation> {
  let until: WitnessEvent | undefined
  for (const one of events) {
    const asked = until?.notBefore ?? 0
    if (until && one.ms < asked - 1 && one.ms > until.ms + IN_FLIGHT_MS && one.decision !== 'canary')
      yield { rule: 'too-early', text: `${one.seq} came ${Math.round(asked - one.ms)} ms before the time that ${until.seq} asked for` }
    if (one.notBefore !== undefined && one.notBefore > asked) until = one
  }
}

function* canary({ events }: Run): Generator<Violation> {
  for (const { seq, decision } of events) if (decision === 'canary') yield { rule: 'canary', text: `${seq} went to a host that nobody may call` }
}

function* budget({ events, expectation: { maxRequests } }: Run): Generator<Violation> {
  if (events.length > maxRequests) yield { rule: 'budget', text: `${events.length} requests where ${maxRequests} are enough` }
}
