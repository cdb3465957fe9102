import { fork } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { LATERALITIES } from '../../src/joints/hand-joint.ts'
import { takePhoto } from './camera.ts'
import { expectedPrevalence, onAnotherBackground, sampleVisit } from './case-sampler.ts'
import type { Edition, Prevalence } from './case-sampler.ts'
import { challengeVisit } from './challenge.ts'
import { editionOf, share, wholeNumber } from './command-options.ts'
import { labelRow } from './label-row.ts'
import type { LabelRow } from './label-row.ts'
import { MESH_CHOICES, openMeshes } from './mesh-library.ts'
import type { MeshChoice } from './mesh-library.ts'
import { renderHand } from './render.ts'

interface Options {
  patients: number, seed: number, split: string, size: number, out: string, prevalence: Prevalence, visits: number
  procs: number, from: number, to?: number, kappa: number, mesh: MeshChoice, meshes?: string, challenge: boolean, backgrounds: number, edition: Edition
}

const command = new Command('generate')
  .description('Renders labelled synthetic hand photos: <patient>-<visit>-<side>.jpg and one row each in labels.jsonl.')
  .requiredOption('--patients <n>', 'patients in the split', wholeNumber)
  .requiredOption('--seed <n>', 'the same seed gives the same photos', wholeNumber)
  .addOption(new Option('--split <name>', 'patients of different splits are different people')
    .choices(['train', 'calibration', 'test']).makeOptionMandatory())
  .requiredOption('--out <folder>', 'where photos and labels.jsonl go; photos already listed there are kept')
  .option('--size <pixels>', 'width and height', wholeNumber, 448)
  .addOption(new Option('--prevalence <kind>', 'natural: about 10 % of joints swollen; balanced: about 40 %')
    .choices(['natural', 'balanced']).default('natural'))
  .addOption(new Option('--mesh <choice>', 'what hands are made from; mix: webxr or makehuman, by patient')
    .choices(Object.keys(MESH_CHOICES)).default('webxr'))
  .option('--meshes <folder>', 'where meshes other than webxr are read from: makehuman/ and hand-meshes/ in it')
  .option('--challenge', 'other patients, each hand with one or two confounders that no other set has; the row names them', false)
  .option('--backgrounds <n>', 'the same hands on other backgrounds; 0: each on its own', wholeNumber, 0)
  .option('--edition <n>', '1: hands as the bundle learned from; 2: as broad in the fingers as people, together or spread, on bright tables too', editionOf, 1)
  .option('--visits <n>', 'visits of each patient, both hands at each', wholeNumber, 1)
  .option('--kappa <k>', 'agreement of the two simulated readers', share, 0.8)
  .option('--procs <n>', 'processes that share the work', wholeNumber, 1)
  .option('--from <index>', 'first patient, counted from 1', wholeNumber, 1)
  .option('--to <index>', 'last patient; all when left out', wholeNumber)

const options = command.parse().opts<Options>()
mkdirSync(options.out, { recursive: true })
if (options.procs > 1) await shareWork()
else await generate()

/** Patient ids carry their split, and whether they are a challenge, so no identity is in two sets. */
function patientId(index: number): string {
  return `${options.challenge ? 'challenge-' : ''}${options.split}-${String(index).padStart(4, '0')}`
}

async function generate(): Promise<void> {
  const { from, to = options.patients, out, visits, split, seed, prevalence, size, kappa, mesh, meshes, edition } = options
  const labels = join(out, 'labels.jsonl')
  const done = listedPhotos(labels)
  const library = await openMeshes(mesh, meshes)
  const start = process.cpuUsage()
  let made = 0
  console.log(`${split}: patients ${from} to ${to}, ${visits} visit(s), seed ${seed}, ${prevalence}, ${size} px, kappa ${kappa}, ` +
    `mesh ${mesh}, edition ${edition}`)
  for (let index = from; index <= to; index++) {
    const patient = patientId(index)
    for (let visit = 1; visit <= visits; visit++) {
      const key = { seed, split, patient, edition }
      const drawn = sampleVisit(key, visit, prevalence, MESH_CHOICES[mesh])
      const challenged = options.challenge ? challengeVisit(key, visit, drawn) : drawn
      const hands = options.backgrounds > 0 ? onAnotherBackground(key, visit, challenged, options.backgrounds) : challenged
      for (const side of LATERALITIES) {
        const photo = `${patient}-${visit}-${side}.jpg`
        if (done.has(photo)) continue
        const hand = hands[side]
        const rendering = renderHand(library.modelOf(hand.identity), hand, { size })
        writeWhole(join(out, photo), await takePhoto(rendering, hand.sensor, hand.seed))
        const row = labelRow({ photo, patient, visit, split, seed, edition }, hand, rendering.joints,
          { kappa, prevalence: expectedPrevalence(prevalence) })
        appendFileSync(labels, `${JSON.stringify(row)}\n`)
        if (++made % 20 === 0) report(made, index, start)
      }
    }
  }
  report(made, to, start)
}

function report(made: number, index: number, start: NodeJS.CpuUsage): void {
  const { user, system } = process.cpuUsage(start)
  const each = made === 0 ? 'none were missing' : `${((user + system) / 1e6 / made).toFixed(2)} CPU-s each`
  console.log(`${new Date().toISOString()} ${patientId(index)}: ${made} photos made, ${each}`)
}

function listedPhotos(labels: string): ReadonlySet<string> {
  if (!existsSync(labels)) return new Set()
  const rows = readFileSync(labels, 'utf8').split('\n').filter((line) => line !== '')
  return new Set(rows.map((line) => (JSON.parse(line) as LabelRow).photo))
}

/** A reader never meets half a photo. */
function writeWhole(file: string, bytes: Buffer): void {
  writeFileSync(`${file}.part`, bytes)
  renameSync(`${file}.part`, file)
}

/** Splits the patients into as many ranges as processes; each process runs this file over its range. */
async function shareWork(): Promise<void> {
  const { from, to = options.patients, procs } = options
  const each = Math.ceil((to - from + 1) / procs)
  const own = process.argv.slice(2).filter((_, i, all) => !isShared(all[i]!) && !(i > 0 && isShared(all[i - 1]!)))
  const codes = await Promise.all(Array.from({ length: procs }, (_, k) => new Promise<number>((resolve, reject) => {
    const first = from + k * each, last = Math.min(to, first + each - 1)
    if (first > last) return resolve(0)
    const range = ['--procs', '1', '--from', String(first), '--to', String(last)]
    fork(fileURLToPath(import.meta.url), [...own, ...range]).on('error', reject).on('exit', (code) => resolve(code ?? 1))
  })))
  process.exitCode = codes.some((code) => code !== 0) ? 1 : 0
}

function isShared(argument: string): boolean {
  return ['--procs', '--from', '--to'].includes(argument)
}
