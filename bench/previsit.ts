import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { LedgerExport, WitnessEvent } from '../test/faults/history.ts'
import { TENANT, type ProductSettings } from '../test/faults/product.ts'
import { startProduct } from '../test/faults/start-product.ts'
import { startWitness } from '../test/faults/witness/witness.ts'

// `npm run bench:previsit`: what a screening costs the record's side (specs/performance.md P13 and P20). The product as a process of its
// own with the real store, queue, session and writer; photos are texts, so nothing is computed; the record is the witness, in this process.
const { values } = parseArgs({ options: { screenings: { type: 'string', default: '400' }, 'at-once': { type: 'string' }, keep: { type: 'boolean', default: false } } })
const count = Number(values.screenings)
const [loadAtStart = 0] = loadavg()
const dir = await mkdtemp(join(tmpdir(), 'jointlens-previsit-'))
const witness = await startWitness({ profile: 'conditional' })
const patients = Array.from({ length: count }, (_, index) => `bench-${index + 1}`)
for (const patientId of patients) {
  witness.memory.put({ resourceType: 'Patient' }, patientId)
  for (const side of ['left', 'right'])
    witness.memory.put({
      resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, createdDateTime: '2026-11-20T08:00:00Z',
      bodySite: { text: `${side} hand` }, content: { contentType: 'image/jpeg', data: Buffer.from(`${side} hand of ${patientId}`).toString('base64') }
    })
}

/** How many requests a second this server answers to one who asks one after the other and does nothing else. */
async function bareRate(): Promise<number> {
  const began = performance.now()
  for (let time = 0; time < 500; time++) await (await fetch(`${witness.base}/Media?patient=${patients[time % count]}`, { headers: { authorization: 'Bearer t' } })).arrayBuffer()
  return 500_000 / (performance.now() - began)
}
const requestsPerSecond = await bareRate()
const before = witness.events.length

const settings: ProductSettings = {
  base: witness.base, store: { dataDir: join(dir, 'store') }, request: patients, patients: [], ledgerFile: join(dir, 'ledger.json'),
  httpTimeoutMs: 10_000, leaseMs: 10_000, settleMs: 60_000, ...(values['at-once'] ? { atOnce: Number(values['at-once']) } : {})
}
const child = startProduct(settings)
createInterface(child.stdout).resume()
const [code] = await once(child, 'close') as [number | null]
if (code !== 0) throw new Error(`Expected the screenings to come to an end but the process ended with ${code}`)
const ledger = JSON.parse(await readFile(settings.ledgerFile, 'utf8')) as LedgerExport
await witness.close()
await rm(dir, { recursive: true })

const events = witness.events.slice(before)
const commits = events.filter(({ commits }) => commits.length > 0)
const seconds = ((commits.at(-1)?.ms ?? 0) - (commits[0]?.ms ?? 0)) / 1000
const screeningsPerSecond = (commits.length - 1) / seconds
const kinds = Map.groupBy(events, kindOf)
const perScreening = Object.fromEntries([...kinds].map(([kind, all]) => [kind, round(all.length / count)] as const).sort())
const written = ledger.screenings.filter((one) => one.tenant === TENANT && one.written.length > 0).length
const result = {
  screenings: count, written, screeningsPerSecond: round(screeningsPerSecond), requestsPerScreening: round(events.length / count),
  bytesPerScreening: Math.round(events.reduce((sum, { bytes }) => sum + bytes, 0) / count), bareRequestsPerSecond: Math.round(requestsPerSecond),
  shareOfBareRate: round(screeningsPerSecond * events.length / count / requestsPerSecond), perScreening,
  bars: { screeningsPerSecond: 20 }, cpus: 2, loadAtStart: round(loadAtStart)
}
if (values.keep) await writeFile(fileURLToPath(new URL('results/previsit.json', import.meta.url)), `${JSON.stringify(result, undefined, 2)}\n`)
console.log(JSON.stringify(result))
process.exitCode = written === count && screeningsPerSecond >= 20 ? 0 : 1

/** `GET /Media/id`, `GET /Media?`, `POST /`: a read and a search of one type apart, and so a Bundle that writes and one that asks. */
function kindOf({ method, path, query, asks }: WitnessEvent): string {
  if (path === '/') return asks ? 'POST / (questions)' : 'POST / (transaction)'
  const [, type = '', id] = path.split('/')
  return `${method} /${type}${id ? '/id' : query ? '?' : ''}`
}

function round(value: number): number {
  return Number(value.toFixed(2))
}
