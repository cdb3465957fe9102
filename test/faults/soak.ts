import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { checkHistory } from './check-history.ts'
import type { CallerEvent, LedgerExport } from './history.ts'
import { TENANT, type ProductSettings } from './product.ts'
import { failAtRandom } from './random-faults.ts'
import { startProduct } from './start-product.ts'
import { PROFILES, type ProfileName } from './witness/profiles.ts'
import { startWitness } from './witness/witness.ts'

// `npm run faults:soak`: one process for many screenings while the server fails in every way, judged like a sweep (R28), with the
// memory and the open files of the process watched.
const { values } = parseArgs({ options: { screenings: { type: 'string', default: '2000' }, seed: { type: 'string', default: '1' }, 'at-once': { type: 'string' }, profile: { type: 'string' } } })
const count = Number(values.screenings)
const dir = await mkdtemp(join(tmpdir(), 'jointlens-soak-'))
const seed = Number(values.seed)
// Four and more patients at once on one token that is soon used up.
const requestsPerToken = [60, 25, 12, 150][seed % 4] ?? 60
const profiles = Object.keys(PROFILES) as ProfileName[]
const profile = values.profile as ProfileName | undefined ?? profiles[seed % profiles.length] ?? 'conditional'
// What such a record was given is asked for one by one, and so is what one without bundles is given.
const readsLate = seed % 6 === 0
const witness = await startWitness({ profile, requestsPerToken, indexLagMs: seed % 3 === 0 ? 200 : 0, readsLate })
const patients = Array.from({ length: count }, (_, index) => `soak-${index + 1}`)
for (const patientId of patients)
  witness.memory.put({
    resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, createdDateTime: '2026-11-20T08:00:00Z',
    bodySite: { text: 'left hand' }, content: { contentType: 'image/jpeg', data: Buffer.from(`left hand of ${patientId}`).toString('base64') }
  })

failAtRandom(witness, seed)
const settings: ProductSettings = {
  base: witness.base, store: { dataDir: join(dir, 'store') }, request: patients, patients: [], ledgerFile: join(dir, 'ledger.json'),
  httpTimeoutMs: 2_000, leaseMs: 5_000, settleMs: 400, ...(values['at-once'] ? { atOnce: Number(values['at-once']) } : {})
}
const child = startProduct(settings)
const callers: CallerEvent[] = []
createInterface(child.stdout).on('line', (line) => callers.push(JSON.parse(line) as CallerEvent))
const samples: { readonly done: number; readonly rssMb: number; readonly files: number }[] = []
const written = () => new Set(witness.events.flatMap(({ commits }) => commits.filter(({ type }) => type === 'DiagnosticReport').map(({ subject }) => subject))).size
const sampling = setInterval(() => {
  const [, pages = '0'] = readFileSync(`/proc/${child.pid}/statm`, 'utf8').split(' ')
  // A process that has just ended has no memory and no files; that is no sample of it.
  if (Number(pages) > 0) samples.push({ done: written(), rssMb: Number(pages) * 4096 / 1e6, files: readdirSync(`/proc/${child.pid}/fd`).length })
}, 1_000)
const [code] = await once(child, 'close') as [number | null]
clearInterval(sampling)
if (code !== 0) throw new Error(`Expected the product to come to rest but it ended with ${code}`)

const ledger = JSON.parse(readFileSync(settings.ledgerFile, 'utf8')) as LedgerExport
const acted = [...witness.acted.values()].reduce((sum, times) => sum + times, 0)
const violations = checkHistory({
  events: witness.events, callers, ledger, final: witness.finalState(),
  expectation: { observationsPerScreening: 23, mustBeWritten: patients.map((one) => `${TENANT}/${one}`), recoveryMs: 10_000, maxRequests: (PROFILES[profile].system.length > 0 && !readsLate ? 45 : 80) * count + 1_000 }
})
for (const { rule, text } of violations.slice(0, 20)) console.log(`${rule}: ${text}`)
// The first half warms up: caches, prepared code, the heap's own size.
const settled = samples.filter(({ done }) => done >= count / 2)
const files = settled.map((one) => one.files)
// From the first on: a process that ends closes the hundred and more files of its store before its last sample.
const fileGrowth = Math.max(0, ...files) - (files[0] ?? 0)
await witness.close()
await rm(dir, { recursive: true })
console.log(JSON.stringify({
  screenings: count, profile, requestsPerToken, faults: acted, violations: violations.length, requestsPerScreening: Number((witness.events.length / count).toFixed(1)),
  rssMb: Math.round(settled.at(-1)?.rssMb ?? 0), rssMbPer1000: Number(slope(settled).toFixed(1)), fileGrowth
}))
process.exitCode = violations.length === 0 && fileGrowth <= 10 ? 0 : 1

/** Least squares, MB per 1,000 screenings. */
function slope(points: typeof samples): number {
  const mean = (of: (one: typeof samples[number]) => number) => points.reduce((sum, one) => sum + of(one), 0) / points.length
  const [x, y] = [mean(({ done }) => done), mean(({ rssMb }) => rssMb)]
  const spread = points.reduce((sum, { done }) => sum + (done - x) ** 2, 0)
  return spread === 0 ? 0 : 1_000 * points.reduce((sum, { done, rssMb }) => sum + (done - x) * (rssMb - y), 0) / spread
}
