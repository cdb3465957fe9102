// Adds up what the three runners wrote and prints the plain closing line; fails when any of them ran nothing.
import { readFileSync } from 'node:fs'

const unit = JSON.parse(readFileSync('test-results/unit.json', 'utf8'))
const browser = JSON.parse(readFileSync('test-results/browser.json', 'utf8'))
const suite = /<testsuite [^>]*>/.exec(readFileSync('test-results/training.xml', 'utf8'))?.[0] ?? ''
const number = (name) => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1] ?? 0)
const training = { failed: number('failures') + number('errors'), skipped: number('skipped') }
training.passed = number('tests') - training.failed - training.skipped

const runs = [
  { name: 'unit, protocol, docs', passed: unit.numPassedTests, failed: unit.numFailedTests, skipped: unit.numPendingTests },
  { name: 'browser', passed: browser.passed, failed: browser.failed, skipped: browser.skipped ?? 0 },
  { name: 'training', ...training }
]
for (const run of runs) console.log(`${run.name}: ${run.passed} passed, ${run.failed} failed, ${run.skipped} skipped`)
const sum = (key) => runs.reduce((total, run) => total + run[key], 0)
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`)
process.exit(sum('failed') === 0 && runs.every((run) => run.passed > 0) ? 0 : 1)
