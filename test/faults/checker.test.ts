import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from '@jest/globals'
import { checkHistory, type Run } from './check-history.ts'
import { goodRun } from './good-run.ts'
import { HARMLESS, seeded, VIOLATIONS } from './mutations.ts'
import { plantViolations, reorderHarmlessly } from './plant.ts'

const runs = [1, 2, 3, 4, 5].map((seed) => goodRun(seed))

test('nothing is said against a good run', () => {
  expect(runs.flatMap(checkHistory)).toEqual([])
})

test.each(Object.entries(VIOLATIONS))('%s: told by its own rule', (_, { rule, plant }) => {
  const bad = plant(goodRun(7), seeded(7))
  expect(bad && checkHistory(bad).map((one) => one.rule)).toContain(rule)
})

test('of 50 planted violations 50 are caught', () => {
  expect(plantViolations(runs, 50)).toEqual({ planted: 50, caught: 50, missed: [] })
})

test('of 50 harmless changes none is told', () => {
  expect(Object.keys(HARMLESS).length).toBeGreaterThan(5)
  expect(reorderHarmlessly(runs, 50)).toEqual({ changed: 50, reported: [] })
})

test('the program reads files, prints one line per violation, writes a report and says by its exit code whether there is any', () => {
  const dir = mkdtempSync(join(tmpdir(), 'jointlens-check-'))
  const program = fileURLToPath(new URL('check.ts', import.meta.url))
  const check = (run: Run) => {
    writeRun(dir, run)
    const { status, stdout } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program, dir], { encoding: 'utf8' })
    return { status, lines: stdout.split('\n').filter(Boolean) }
  }
  expect(check(goodRun(1))).toEqual({ status: 0, lines: [] })
  const bad = VIOLATIONS['a joint is there twice']?.plant(goodRun(1), seeded(1))
  const told = bad && check(bad)
  expect(told?.status).toBe(1)
  expect(told?.lines[0]).toMatch(/^I2-duplicate: Observation\//)
  expect(JSON.parse(readFileSync(join(dir, 'report.json'), 'utf8'))).toMatchObject({ violations: [{ rule: 'I2-duplicate' }, { rule: 'I4-partial' }] })
  rmSync(dir, { recursive: true })
})

function writeRun(dir: string, { events, callers, ledger, final, expectation }: Run): void {
  const lines = (values: readonly unknown[]) => values.map((one) => `${JSON.stringify(one)}\n`).join('')
  writeFileSync(join(dir, 'witness.jsonl'), lines(events))
  writeFileSync(join(dir, 'callers.jsonl'), lines(callers))
  for (const [name, value] of Object.entries({ ledger, final, expectation })) writeFileSync(join(dir, `${name}.json`), JSON.stringify(value))
}
