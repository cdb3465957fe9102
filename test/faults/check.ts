import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkHistory, type Run } from './check-history.ts'

/** Reads the files of one run. */
export function readRun(dir: string): Run {
  const json = (file: string) => JSON.parse(readFileSync(join(dir, file), 'utf8')) as unknown
  const lines = (file: string) => readFileSync(join(dir, file), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line) as unknown)
  return {
    events: lines('witness.jsonl'), callers: lines('callers.jsonl'),
    ledger: json('ledger.json'), final: json('final.json'), expectation: json('expectation.json')
  } as Run
}

// `node test/faults/check.ts DIR`: one line per violation, report.json beside the files, exit code 1 when there is any.
if (import.meta.main) {
  const [dir] = process.argv.slice(2)
  if (!dir) throw new Error('Expected the folder of a run')
  const violations = checkHistory(readRun(dir))
  for (const { rule, text } of violations) console.log(`${rule}: ${text}`)
  writeFileSync(join(dir, 'report.json'), JSON.stringify({ violations }))
  process.exitCode = violations.length > 0 ? 1 : 0
}
