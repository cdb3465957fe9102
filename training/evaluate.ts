import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/**
 * `npm run evaluate [-- --seed N] [--bundle DIR] [--patients N]`: renders patients that nobody learned from, by the commands of
 * training/README.md, and judges the bundle as it ships on them, on some of them in altered photographs and on patients with confounders that
 * training never saw (`challenge/` beside the other results). With a seed of its own everything is made anew. About 25 minutes on two
 * cores, some minutes from kept pictures. The last line is the summary as JSON; exit code 1 when a bar is not reached or not measured.
 */
const here = import.meta.dirname
const python = join(here, '.venv/bin/python')
const { values: options } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, bundle: { type: 'string', default: '../models/hand-joints/0.1.0' }, patients: { type: 'string', default: '300' } }
})
const runs = options.seed === '1' ? 'runs/v2' : `runs/seed-${options.seed}`
// The figures of the seed that the documents speak of lie in results/; those of another seed beside their pictures.
const results = options.seed === '1' ? 'results' : `${runs}/results`

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
const judge = ['-m', 'jointlens_training', 'evaluate', '--bundle', options.bundle, '--calibration', cropsOf('calibration')]
run(python, [...judge, '--test', cropsOf('challenge'), '--special', 'confounders that training never saw', '--results', `${results}/challenge`])
run(python, [...judge, '--test', cropsOf('test'), '--backgrounds', cropsOf('backgrounds'), '--results', results])
run(process.execPath, ['cover-joints.ts', '--bundle', options.bundle, '--photos', `${runs}/test`, '--results', results])

const summary = JSON.parse(readFileSync(join(here, results, 'summary.json'), 'utf8')) as Record<string, unknown>
const missed = missedBars(summary)
for (const bar of missed) process.stdout.write(`Not reached: ${bar}\n`)
const { backgroundControl } = summary as { backgroundControl?: { patients: number, chance: readonly [number, number] } }
if (backgroundControl) process.stdout.write(`Background AUROC: with the labels of the ${backgroundControl.patients} patients dealt anew, chance alone gives ${backgroundControl.chance.join(' to ')}\n`)
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
  const fewShot = (figures['fewShot'] ?? []) as readonly { people: number, pretrained: number, scratch: number }[]
  const bars: readonly (readonly [string, boolean])[] = [
    ['F1 0.20 above the single branch', number('deltaF1SingleBranch') >= 0.2],
    ['G-mean 0.25 above the single branch', number('deltaGmeanSingleBranch') >= 0.25],
    ['F1 above the tuned baseline', low('deltaF1Tuned') > 0],
    ['AUPRC above the tuned baseline', low('deltaAuprcTuned') > 0],
    ['expected calibration error at most 0.03', number('ece') <= 0.03],
    ['count interval covers 88 to 95 %', number('countIntervalCoverage') >= 0.88 && number('countIntervalCoverage') <= 0.95],
    ['background AUROC within 0.47 to 0.53', Math.abs(number('backgroundAuroc') - 0.5) <= 0.03],
    ['skin-tone groups within 0.05 AUROC', number('skinToneMaxAurocGap') <= 0.05],
    ['transfer AUROC at least 0.80', number('transferAuroc') >= 0.8],
    ['few people: pretrained never below scratch', fewShot.length > 0 && fewShot.every((row) => row.pretrained >= row.scratch)],
    ['few people: 0.10 above scratch at 2 and 5', [2, 5].every((people) => fewShot.some((row) => row.people === people && row.pretrained - row.scratch >= 0.1))]
  ]
  return bars.filter(([, held]) => !held).map(([name]) => name)
}
