import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { missedBars } from './bars.ts'
import { BUNDLE, placesOf } from './evaluation-places.ts'

/**
 * `npm run evaluate [-- --seed N] [--bundle DIR] [--patients N]`: renders patients that nobody learned from, by the commands of
 * training/README.md, and judges the bundle as it ships on them, on some of them in altered photographs and on patients with confounders that
 * training never saw (`challenge/` beside the other results). With a seed or a number of patients of its own everything is made anew. About
 * 25 minutes on two cores, some minutes from kept pictures. The last line is the summary as JSON; exit code 1 when a bar is not reached or not measured.
 */
const here = import.meta.dirname
const python = join(here, '.venv/bin/python')
const { values: options } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, bundle: { type: 'string', default: join(here, BUNDLE) }, patients: { type: 'string', default: '300' } }
})
const { bundle, runs, results } = placesOf(options, here)

if (!existsSync(python)) {
  run('python3', ['-m', 'venv', '.venv'])
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'])
}
const few = String(Math.min(100, Number(options.patients)))
const sets: readonly { readonly name: string, readonly split: string, readonly patients: string, readonly others?: readonly string[] }[] = [
  { name: 'calibration', split: 'calibration', patients: options.patients },
  { name: 'test', split: 'test', patients: options.patients },
  { name: 'backgrounds', split: 'test', patients: few, others: ['--backgrounds', '1'] },
  { name: 'challenge', split: 'test', patients: few, others: ['--challenge'] }
]
const cropsOf = (name: string) => `${runs}/${name}-crops`
for (const { name, split, patients, others = [] } of sets) {
  if (existsSync(join(here, cropsOf(name), 'crops.json'))) continue
  const photos = `${runs}/${name}`
  run(process.execPath, ['synthetic/generate.ts', '--patients', patients, '--seed', options.seed, '--split', split, '--prevalence', 'natural', '--procs', '2', '--out', photos, ...others])
  run(process.execPath, ['export-crops.ts', '--labels', `${photos}/labels.jsonl`, '--photos', photos, '--out', cropsOf(name), '--local', '64'])
}
const judge = ['-m', 'jointlens_training', 'evaluate', '--bundle', bundle, '--calibration', cropsOf('calibration')]
run(python, [...judge, '--test', cropsOf('challenge'), '--special', 'confounders that training never saw', '--results', `${results}/challenge`])
run(python, [...judge, '--test', cropsOf('test'), '--backgrounds', cropsOf('backgrounds'), '--results', results])
run(process.execPath, ['cover-joints.ts', '--bundle', bundle, '--photos', `${runs}/test`, '--results', results])

const summary = JSON.parse(readFileSync(join(here, results, 'summary.json'), 'utf8')) as Record<string, unknown>
const missed = missedBars(summary)
for (const line of missed) process.stdout.write(`${line}\n`)
const { backgroundControl } = summary as { backgroundControl?: { patients: number, chance: readonly [number, number] } }
if (backgroundControl) process.stdout.write(`Background AUROC: with the labels of the ${backgroundControl.patients} patients dealt anew, chance alone gives ${backgroundControl.chance.join(' to ')}\n`)
process.stdout.write(`${JSON.stringify(summary)}\n`)
process.exit(missed.length === 0 ? 0 : 1)

function run(command: string, parameters: readonly string[]): void {
  const { status } = spawnSync(command, parameters, { cwd: here, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
