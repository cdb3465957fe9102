import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { plantViolations } from './plant.ts'
import { scenarioOf } from './scenarios.ts'
import { runScenario, type ScenarioResult } from './sweep.ts'

// `npm run faults`: kills the product at every place on servers of every kind, judges each run, and ends with one line of JSON.
const { values } = parseArgs({
  options: { scenarios: { type: 'string', default: '48' }, kills: { type: 'string', default: '5' }, seed: { type: 'string' }, minutes: { type: 'string', default: '60' }, keep: { type: 'boolean', default: false } }
})
const seeds = values.seed ? [Number(values.seed)] : Array.from({ length: Number(values.scenarios) }, (_, index) => index + 1)
const home = await mkdtemp(join(tmpdir(), 'jointlens-faults-'))
const results: ScenarioResult[] = []
const failed: number[] = []

// A slow machine plays fewer scenarios, not longer.
const until = performance.now() + Number(values.minutes) * 60_000
const waiting = [...seeds]
await Promise.all([1, 2].map(async () => {
  for (let seed = waiting.shift(); seed !== undefined && performance.now() < until; seed = waiting.shift()) await play(seed)
}))
if (!values.keep) await rm(home, { recursive: true })

// No green run is trusted before the checker has seen red: violations are planted in the runs of this very sweep.
const good = results.filter(({ violations }) => violations.length === 0).map(({ run }) => run)
const { planted, caught, missed } = plantViolations(good, 50)
for (const one of missed) console.log(`not caught: ${one}`)
const count = (...rules: string[]) => results.flatMap(({ violations }) => violations).filter(({ rule }) => rules.includes(rule)).length
const summary = {
  kills: sum('kills'), faults: sum('faults'), screenings: sum('screenings'),
  lost: count('I1-loss', 'I4-partial'), duplicated: count('I2-duplicate', 'I2-repaired'), wrongPatient: count('I3-wrong-patient'),
  violationsPlanted: planted, violationsCaught: caught
}
process.exitCode = failed.length === 0 && planted === caught && planted >= 50 ? 0 : 1
console.log(JSON.stringify(summary))

async function play(seed: number): Promise<void> {
  const scenario = scenarioOf(seed, Number(values.kills))
  const began = performance.now()
  const said = (words: string) => console.log(`${seed} ${scenario.profile}, ${scenario.rules.map(({ mode, path }) => `${mode} ${path}`).join(', ')}: ${words}, ${((performance.now() - began) / 1000).toFixed(1)} s`)
  try {
    const result = await runScenario(scenario, join(home, String(seed)))
    results.push(result)
    said(`${result.kills} kills (${result.places.join(' ')}), ${result.faults} faults, ${result.screenings} screenings`)
    for (const { rule, text } of result.violations) console.log(`  ${rule}: ${text}`)
    if (result.violations.length === 0) return
  } catch (error) {
    said(error instanceof Error ? error.message : String(error))
  }
  failed.push(seed)
  console.log(`  again: npm run faults -- --seed ${seed} --kills ${values.kills} --keep (files in ${home}/${seed})`)
}

function sum(what: 'kills' | 'faults' | 'screenings'): number {
  return results.reduce((total, one) => total + one[what], 0)
}
