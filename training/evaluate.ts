import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * `npm run evaluate`: makes what is missing (Python packages, pictures, crops, model) by the commands of training/README.md, then
 * evaluates the model on patients it never saw. From nothing about two hours on two cores; from kept runs under a minute. The last
 * line is training/results/summary.json; exit code 1 when a bar is not reached or not measured.
 */
const here = import.meta.dirname
const python = join(here, '.venv/bin/python')
const SPLITS = [['train', 1000, 'balanced'], ['calibration', 100, 'natural'], ['test', 100, 'natural']] as const

if (!existsSync(python)) {
  run('python3', ['-m', 'venv', '.venv'])
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'])
}
for (const [split, patients, prevalence] of SPLITS) {
  const [photos, crops] = [`runs/v1/${split}`, `runs/v1/${split}-crops`]
  if (existsSync(join(here, crops, 'crops.json'))) continue
  run(process.execPath, ['synthetic/generate.ts', '--patients', String(patients), '--seed', '1', '--split', split, '--prevalence', prevalence, '--procs', '2', '--out', photos])
  run(process.execPath, ['export-crops.ts', '--labels', `${photos}/labels.jsonl`, '--photos', photos, '--out', crops, '--local', '64'])
}
if (!existsSync(join(here, 'runs/v1/model/model.pt'))) run(python, ['-m', 'jointlens_training', 'train', '--epochs', '14', '--resume', 'true'])
run(python, ['-m', 'jointlens_training', 'calibrate'])
run(python, ['-m', 'jointlens_training', 'evaluate'])

const summary = JSON.parse(readFileSync(join(here, 'results/summary.json'), 'utf8')) as Record<string, unknown>
const missed = missedBars(summary)
for (const bar of missed) process.stdout.write(`Not reached: ${bar}\n`)
process.stdout.write(`${JSON.stringify(summary)}\n`)
process.exit(missed.length === 0 ? 0 : 1)

function run(command: string, parameters: readonly string[]): void {
  const { status } = spawnSync(command, parameters, { cwd: here, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

/** The bars of the evaluation; what was not measured is not reached. */
function missedBars(figures: Record<string, unknown>): readonly string[] {
  const number = (name: string) => (typeof figures[name] === 'number' ? figures[name] : Number.NaN)
  const low = (name: string) => Number((figures[name] as { low?: number } | null)?.low ?? Number.NaN)
  const bars: readonly (readonly [string, boolean])[] = [
    ['F1 0.20 above the single branch', number('deltaF1SingleBranch') >= 0.2],
    ['G-mean 0.25 above the single branch', number('deltaGmeanSingleBranch') >= 0.25],
    ['F1 above the tuned baseline', low('deltaF1Tuned') > 0],
    ['AUPRC above the tuned baseline', low('deltaAuprcTuned') > 0],
    ['expected calibration error at most 0.03', number('ece') <= 0.03],
    ['count interval covers 88 to 95 %', number('countIntervalCoverage') >= 0.88 && number('countIntervalCoverage') <= 0.95],
    ['background AUROC within 0.47 to 0.53', Math.abs(number('backgroundAuroc') - 0.5) <= 0.03],
    ['skin-tone groups within 0.05 AUROC', number('skinToneMaxAurocGap') <= 0.05],
    ['transfer AUROC at least 0.80', number('transferAuroc') >= 0.8]
  ]
  return bars.filter(([, held]) => !held).map(([name]) => name)
}
