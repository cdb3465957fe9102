import type { Run, RuleName } from './check-history.ts'
import type { CallerEvent, Statement, WitnessEvent } from './history.ts'

export { seeded } from '../../src/joints/seeded.ts'

type Random = () => number
/** Undefined where the run has nothing that it could be done to. */
type Change = (run: Run, random: Random) => Run | undefined

const pick = <T>(random: Random, values: readonly T[]): T | undefined => values[Math.floor(random() * values.length)]

function shuffled<T>(random: Random, values: readonly T[]): T[] {
  return values.map((value) => ({ value, at: random() })).sort((a, b) => a.at - b.at).map(({ value }) => value)
}

function replaced<T>(values: readonly T[], old: T, ...now: T[]): T[] {
  return values.flatMap((one) => one === old ? now : [one])
}

const committing = ({ events }: Run) => events.filter(({ commits }) => commits.some(({ type }) => type === 'Observation'))

function withStatement(run: Run, random: Random, wanted: (one: Statement) => boolean, change: (one: Statement) => Statement): Run | undefined {
  const event = pick(random, run.events.filter(({ commits }) => commits.some(wanted)))
  const one = event && pick(random, event.commits.filter(wanted))
  if (!event || !one) return undefined
  return { ...run, events: replaced(run.events, event, { ...event, commits: replaced(event.commits, one, change(one)) }) }
}

const isJoint = ({ type, site }: Statement) => type === 'Observation' && site !== undefined
const mirrored = (final: Run['final'], change: (all: readonly Statement[]) => readonly Statement[]): Run['final'] => ({ ...final, statements: change(final.statements) })

function laterEvent(run: Run, commits: readonly Statement[]): WitnessEvent {
  const last = run.events.at(-1)
  if (!last) throw new Error('Expected a run with events')
  return { ...last, seq: last.seq + 1, ms: last.ms + 1, decision: 'committed', status: 201, commits }
}

/** What a broken product would leave behind, by the rule that has to see it. */
export const VIOLATIONS: Readonly<Record<string, { readonly rule: RuleName; readonly plant: Change }>> = {
  'a written resource is gone': {
    rule: 'I1-loss',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(({ type }) => type === 'Observation'))
      return one && { ...run, final: mirrored(run.final, (all) => all.filter((other) => other !== one)) }
    }
  },
  'a job that was accepted is nowhere': {
    rule: 'I1-loss',
    plant: (run, random) => {
      const one = pick(random, run.ledger.jobs)
      return one && { ...run, ledger: { ...run.ledger, jobs: run.ledger.jobs.filter((other) => other !== one) } }
    }
  },
  'a job never ended': {
    rule: 'I1-loss',
    plant: (run, random) => {
      const one = pick(random, run.ledger.jobs)
      return one && { ...run, ledger: { ...run.ledger, jobs: replaced(run.ledger.jobs, one, { ...one, state: pick(random, ['accepted', 'leased', 'parked']) ?? '' }) } }
    }
  },
  'a refusal without a reason': {
    rule: 'I1-loss',
    plant: (run, random) => {
      const one = pick(random, run.ledger.jobs)
      if (!one) return undefined
      const { code: _, ...bare } = one
      return { ...run, ledger: { ...run.ledger, jobs: replaced(run.ledger.jobs, one, { ...bare, state: 'refused' }) } }
    }
  },
  'a patient with photos was refused': {
    rule: 'I1-loss',
    plant: (run, random) => {
      const one = pick(random, run.ledger.jobs.filter(({ tenant, patientId }) => run.expectation.mustBeWritten.includes(`${tenant}/${patientId}`)))
      return one && { ...run, ledger: { ...run.ledger, jobs: replaced(run.ledger.jobs, one, { ...one, state: 'refused', code: 'no-photos' }) } }
    }
  },
  'two joints are mixed up in the ledger': {
    rule: 'I1-loss',
    plant: (run, random) => {
      const one = pick(random, run.ledger.ledger.filter(({ reference }) => reference.startsWith('Observation/')))
      const other = run.ledger.ledger.find(({ reference }) => reference.startsWith('Observation/') && reference !== one?.reference)
      return one && other && { ...run, ledger: { ...run.ledger, ledger: replaced(run.ledger.ledger, one, { ...one, reference: other.reference }) } }
    }
  },
  'a joint is there twice': {
    rule: 'I2-duplicate',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(isJoint))
      const twin = one && { ...one, id: `${one.id}-twin` }
      return twin && { ...run, events: [...run.events, laterEvent(run, [twin])], final: mirrored(run.final, (all) => [...all, twin]) }
    }
  },
  'a joint is there twice under another identifier': {
    rule: 'I2-duplicate',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(isJoint))
      const twin = one && { ...one, id: `${one.id}-twin`, identifiers: ['urn:other|1'] }
      return twin && { ...run, final: mirrored(run.final, (all) => [...all, twin]) }
    }
  },
  'a double was made and repaired': {
    rule: 'I2-repaired',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(isJoint))
      const twin = one && { ...one, id: `${one.id}-twin`, version: 1 }
      return twin && { ...run, events: [...run.events, laterEvent(run, [twin])], final: mirrored(run.final, (all) => [...all, { ...twin, version: 2, status: 'entered-in-error' }]) }
    }
  },
  'the model is there twice': {
    rule: 'I2-duplicate',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(({ type }) => type === 'Device'))
      return one && { ...run, final: mirrored(run.final, (all) => [...all, { ...one, id: `${one.id}-twin` }]) }
    }
  },
  'a joint went to another patient': {
    rule: 'I3-wrong-patient',
    plant: (run, random) => withStatement(run, random, isJoint, (one) => ({ ...one, subject: 'Patient/somebody-else' }))
  },
  'a joint was derived from a photo of another patient': {
    rule: 'I3-wrong-patient',
    plant: (run, random) => {
      const event = pick(random, committing(run))
      const one = event && pick(random, event.commits.filter(isJoint))
      const [photo] = Object.entries(run.final.photos).find(([, owner]) => owner !== one?.subject) ?? []
      if (!event || !one || !photo) return undefined
      return { ...run, events: replaced(run.events, event, { ...event, commits: replaced(event.commits, one, { ...one, photos: [photo] }) }) }
    }
  },
  'a report has no subject': {
    rule: 'I3-wrong-patient',
    plant: (run, random) => withStatement(run, random, ({ type }) => type === 'DiagnosticReport', ({ subject: _, ...one }) => one)
  },
  'a screening was read from a photo of another patient': {
    rule: 'I3-wrong-patient',
    plant: (run, random) => {
      const one = pick(random, run.ledger.screenings)
      const [photo] = Object.entries(run.final.photos).find(([, owner]) => owner !== `Patient/${one?.patientId}`) ?? []
      return one && photo ? { ...run, ledger: { ...run.ledger, screenings: replaced(run.ledger.screenings, one, { ...one, photos: [photo] }) } } : undefined
    }
  },
  'a joint was final before its set was whole': {
    rule: 'I4-partial',
    plant(run, random) {
      const one = pick(random, run.final.statements.filter(isJoint))
      const event = run.events.find(({ commits }) => commits.some(({ subject, effective }) => subject === one?.subject && effective === one?.effective))
      if (!event || !one) return undefined
      const early = { ...event, commits: [{ ...one, status: 'final' }] }
      return { ...run, events: replaced(run.events, event, early, event) }
    }
  },
  'a count refers to nothing': {
    rule: 'I4-partial',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(({ members }) => members.length > 0))
      return one && { ...run, final: mirrored(run.final, (all) => replaced(all, one, { ...one, members: [...one.members.slice(1), 'urn:uuid:nothing'] })) }
    }
  },
  'the report is missing at the end': {
    rule: 'I4-partial',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(({ type }) => type === 'DiagnosticReport'))
      return one && { ...run, final: mirrored(run.final, (all) => all.filter((other) => other !== one)) }
    }
  },
  'the Provenance is missing at the end': {
    rule: 'I4-partial',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter(({ type }) => type === 'Provenance'))
      return one && { ...run, final: mirrored(run.final, (all) => all.filter((other) => other !== one)) }
    }
  },
  'a result was shown before it was committed': {
    rule: 'I5-false-card',
    plant: (run, random) => {
      const first = run.events[0]?.ms ?? 0
      const one = pick(random, run.ledger.screenings.filter(({ written }) => written.length > 0))
      return one && { ...run, callers: [{ ms: first - 1, kind: 'shown', pending: false, tenant: one.tenant, patientId: one.patientId, written: one.written }, ...run.callers] }
    }
  },
  'nothing happened for long after a start': {
    rule: 'I6-recovery',
    plant(run, random) {
      const event = pick(random, committing(run).filter(({ mode }) => mode === undefined))
      if (!event) return undefined
      const late = run.expectation.recoveryMs + 1_000
      const move = <T extends { readonly ms: number }>(one: T): T => one.ms >= event.ms ? { ...one, ms: one.ms + late } : one
      return { ...run, events: run.events.map(move), callers: [...run.callers.filter(({ ms }) => ms < event.ms), { ms: event.ms - 0.5, kind: 'started' }, ...run.callers.filter(({ ms }) => ms >= event.ms).map(move)] }
    }
  },
  'an older photo overwrote a newer one': {
    rule: 'I7-went-back',
    plant: (run, random) => {
      const one = pick(random, run.final.statements.filter((found) => isJoint(found) && found.effective !== undefined))
      return one && { ...run, events: [...run.events, laterEvent(run, [{ ...one, version: one.version + 1, effective: '2020-01-01T00:00:00Z' }])] }
    }
  },
  'the server was called before its time': {
    rule: 'too-early',
    plant(run, random) {
      const index = Math.floor(random() * (run.events.length - 1))
      const [one, next] = [run.events[index], run.events.slice(index + 1).find(({ ms }) => ms > (run.events[index]?.ms ?? 0) + 40)]
      return one && next && { ...run, events: replaced(run.events, one, { ...one, status: 429, notBefore: next.ms + 1_000 }) }
    }
  },
  'a foreign host was called': {
    rule: 'canary',
    plant: (run, random) => {
      const one = pick(random, run.events)
      return one && { ...run, events: replaced(run.events, one, one, { ...one, decision: 'canary', commits: [] }) }
    }
  },
  'requests came in a storm': {
    rule: 'budget',
    plant: (run, random) => {
      const one = pick(random, run.events.filter(({ decision }) => decision === 'answered'))
      return one && { ...run, events: replaced(run.events, one, ...Array.from({ length: run.expectation.maxRequests + 1 }, () => one)) }
    }
  }
}

/** What may differ between two good runs. */
export const HARMLESS: Readonly<Record<string, Change>> = {
  'the record lists its resources in another order': (run, random) => ({ ...run, final: mirrored(run.final, (all) => shuffled(random, all)) }),
  'the ledger is exported in another order': (run, random) => ({
    ...run,
    ledger: { jobs: shuffled(random, run.ledger.jobs), screenings: shuffled(random, run.ledger.screenings), ledger: shuffled(random, run.ledger.ledger) }
  }),
  'written references come in another order': (run, random) => ({
    ...run, ledger: { ...run.ledger, screenings: run.ledger.screenings.map((one) => ({ ...one, written: shuffled(random, one.written) })) }
  }),
  'a transaction lists its entries in another order': (run, random) => ({
    ...run, events: run.events.map((one) => ({ ...one, commits: shuffled(random, one.commits) }))
  }),
  'neighbouring requests without effect change places': (run, random) => {
    const index = run.events.findIndex((one, at) => at > random() * run.events.length * 0.5 && quiet(one) && quiet(run.events[at + 1]))
    const [one, next] = [run.events[index], run.events[index + 1]]
    if (!one || !next) return undefined
    return { ...run, events: [...run.events.slice(0, index), { ...next, ms: one.ms }, { ...one, ms: next.ms }, ...run.events.slice(index + 2)] }
  },
  'a read is repeated': (run, random) => {
    const one = pick(random, run.events.filter(quiet))
    return one && { ...run, events: replaced(run.events, one, one, one) }
  },
  'the server was asked to wait, and nobody came': (run) => {
    const last = run.events.at(-1)
    return last && { ...run, events: [...run.events, { ...last, seq: last.seq + 1, ms: last.ms + 1, decision: 'refused', commits: [], status: 503, notBefore: last.ms + 60_000 }] }
  },
  'a result is shown once it is written': (run, random) => {
    const one = pick(random, run.ledger.screenings)
    const shown: CallerEvent | undefined = one && { ms: (run.events.at(-1)?.ms ?? 0) + 1, kind: 'shown', pending: false, tenant: one.tenant, patientId: one.patientId, written: one.written }
    return shown && { ...run, callers: [...run.callers, shown] }
  },
  'somebody was refused for a reason': (run) => ({
    ...run,
    callers: [...run.callers, { ms: 1, kind: 'accepted', tenant: 'clinic', patientId: 'without-photos' }],
    ledger: { ...run.ledger, jobs: [...run.ledger.jobs, { tenant: 'clinic', patientId: 'without-photos', state: 'refused', code: 'no-photos' }] }
  }),
  'it was asked for twice': (run, random) => {
    const one = pick(random, run.callers.filter(({ kind }) => kind === 'accepted'))
    return one && { ...run, callers: [...run.callers, one] }
  }
}

function quiet(event: WitnessEvent | undefined): boolean {
  return event !== undefined && event.decision === 'answered' && event.commits.length === 0 && event.notBefore === undefined
}
