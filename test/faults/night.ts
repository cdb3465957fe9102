import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openStore } from '../../src/screening/store/open-store.ts'
import { checkHistory } from './check-history.ts'
import { postgresPrograms, startPostgres } from './postgres.ts'
import { exportLedger, openJobs, TENANT } from './product.ts'
import { failAtRandom } from './random-faults.ts'
import { addAppointments, jointlens, NIGHT, siteEnvironment, type Command } from './site.ts'
import { now, startWitness } from './witness/witness.ts'

// `npm run faults:night`: the real `jointlens previsit` with the real model on a night's list, killed in between, then judged. With
// --same-photos everyone has the same two pictures, which the model reads once: the record's side alone, for machines that are busy.
// `npm run faults:site`: the same with a `serve` and two `work` on a PostgreSQL of its own, of which one is killed each time, while the
// record fails in every way (--postgres, --faults).
const { values } = parseArgs({ options: {
  appointments: { type: 'string', default: '200' }, kills: { type: 'string', default: '5' }, 'same-photos': { type: 'boolean', default: false },
  postgres: { type: 'boolean', default: false }, faults: { type: 'boolean', default: false }, seed: { type: 'string', default: '1' }
} })
const count = Number(values.appointments)
const programs = values.postgres ? postgresPrograms() : undefined
if (values.postgres && !programs) throw new Error('Expected a PostgreSQL server on this machine')
const dir = await mkdtemp(join(tmpdir(), 'jointlens-night-'))
const postgres = programs === undefined ? undefined : await startPostgres(programs)
const place = postgres ? { databaseUrl: postgres.url } : { dataDir: join(dir, 'data') }
const witness = await startWitness({ profile: 'conditional' })
const patients = addAppointments(witness, count, { distinct: !values['same-photos'] })
const env = await siteEnvironment(witness, dir, postgres ? { DATABASE_URL: postgres.url } : { JOINTLENS_DATA: join(dir, 'data') })
const written = () => witness.events.filter(({ decision }) => decision === 'committed')

const night = () => jointlens(['previsit', '--date', NIGHT], env)
const others: Command[] = []
async function startOther(command: 'serve' | 'work'): Promise<void> {
  const other = jointlens([command], env)
  others.push(other)
  await other.ready
}
async function kill({ child, ended }: Command): Promise<boolean> {
  child.kill('SIGKILL')
  return (await ended).signal === 'SIGKILL'
}
if (postgres) for (const command of ['serve', 'work', 'work'] as const) await startOther(command)
const failing = values.faults ? failAtRandom(witness, Number(values.seed)) : undefined

let kills = 0
while (kills < Number(values.kills)) {
  const goal = Math.round(count * (kills + 1) / (Number(values.kills) + 1))
  const run = night()
  const over = run.ended.then(() => true)
  while (written().length < goal && !await Promise.race([over, sleep(50, false)]));
  if (!await kill(run)) break
  console.log(`killed after ${written().length} of ${count}`)
  kills++
  const worker = others.pop()
  if (!worker) continue
  await kill(worker)
  await startOther('work')
}
failing?.end()
const began = now()
/** A write whose answer was lost is sent again after minutes only: the list is made again until nobody waits any more. */
let code: number | null = null
let open = Infinity
for (let time = 0; open > 0 && time < 5; time++) {
  code = (await night().ended).code
  const store = await openStore(place)
  open = await openJobs(store)
  await store.close()
}
for (const { child } of others) child.kill('SIGTERM')
const codes = await Promise.all(others.map(async ({ ended }) => (await ended).code))
const store = await openStore(place)
const ledger = await exportLedger(store)
await store.close()
const faults = [...witness.acted.values()].reduce((sum, times) => sum + times, 0)
const violations = checkHistory({
  events: witness.events, ledger, final: witness.finalState(),
  callers: patients.map((patientId) => ({ ms: 0, kind: 'accepted', tenant: TENANT, patientId })),
  expectation: { observationsPerScreening: 23, mustBeWritten: patients.map((one) => `${TENANT}/${one}`), recoveryMs: 10_000, maxRequests: (20 + 3 * kills) * count + 40 * faults + 100 }
})
for (const { rule, text } of violations) console.log(`${rule}: ${text}`)
const last = written().filter(({ ms }) => ms >= began)
const seconds = ((last.at(-1)?.ms ?? 0) - (last[0]?.ms ?? 0)) / 1000 / Math.max(1, last.length - 1)
await witness.close()
await postgres?.close()
await rm(dir, { recursive: true })
console.log(JSON.stringify({
  appointments: count, kills, ...(failing ? { faults } : {}), written: ledger.screenings.filter((one) => one.written.length > 0).length, violations: violations.length,
  secondsPerAppointment: Number(seconds.toFixed(3)), requestsPerAppointment: Number((witness.events.length / count).toFixed(1))
}))
process.exitCode = code === 0 && codes.every((one) => one === 0) && violations.length === 0 ? 0 : 1
