import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openStore } from '../../src/screening/store/open-store.ts'
import { checkHistory } from './check-history.ts'
import { exportLedger, TENANT } from './product.ts'
import { addAppointments, jointlens, NIGHT, siteEnvironment } from './site.ts'
import { now, startWitness } from './witness/witness.ts'

// `npm run faults:night`: the real `jointlens previsit` with the real model on a night's list, killed in between, then judged. With
// --same-photos everyone has the same two pictures, which the model reads once: the record's side alone, for machines that are busy.
const { values } = parseArgs({ options: { appointments: { type: 'string', default: '200' }, kills: { type: 'string', default: '5' }, 'same-photos': { type: 'boolean', default: false } } })
const count = Number(values.appointments)
const dir = await mkdtemp(join(tmpdir(), 'jointlens-night-'))
const dataDir = join(dir, 'data')
const witness = await startWitness({ profile: 'conditional' })
const patients = addAppointments(witness, count, { distinct: !values['same-photos'] })
const env = await siteEnvironment(witness, dir, { JOINTLENS_DATA: dataDir })
const written = () => witness.events.filter(({ decision }) => decision === 'committed')

let kills = 0
while (kills < Number(values.kills)) {
  const goal = Math.round(count * (kills + 1) / (Number(values.kills) + 1))
  const run = jointlens(['previsit', '--date', NIGHT], env)
  const over = run.ended.then(() => true)
  while (written().length < goal && !await Promise.race([over, sleep(50, false)]));
  run.child.kill('SIGKILL')
  if ((await run.ended).signal !== 'SIGKILL') break
  console.log(`killed after ${written().length} of ${count}`)
  kills++
}
const began = now()
const { code } = await jointlens(['previsit', '--date', NIGHT], env).ended
const store = await openStore({ dataDir })
const ledger = await exportLedger(store)
await store.close()
const violations = checkHistory({
  events: witness.events, ledger, final: witness.finalState(),
  callers: patients.map((patientId) => ({ ms: 0, kind: 'accepted', tenant: TENANT, patientId })),
  expectation: { observationsPerScreening: 23, mustBeWritten: patients.map((one) => `${TENANT}/${one}`), recoveryMs: 10_000, maxRequests: (20 + 3 * kills) * count + 100 }
})
for (const { rule, text } of violations) console.log(`${rule}: ${text}`)
const last = written().filter(({ ms }) => ms >= began)
const seconds = ((last.at(-1)?.ms ?? 0) - (last[0]?.ms ?? 0)) / 1000 / Math.max(1, last.length - 1)
await witness.close()
await rm(dir, { recursive: true })
console.log(JSON.stringify({
  appointments: count, kills, written: ledger.screenings.filter((one) => one.written.length > 0).length, violations: violations.length,
  secondsPerAppointment: Number(seconds.toFixed(3)), requestsPerAppointment: Number((witness.events.length / count).toFixed(1))
}))
process.exitCode = code === 0 && violations.length === 0 ? 0 : 1
