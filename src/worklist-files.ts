import { accessSync, constants, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ScreeningError } from './errors.ts'
import { worklistCsv, type WorklistRow } from './screening/previsit.ts'
import { worklistPage, type Worklist } from './worklist-page.ts'

/**
 * `worklist.json`, `worklist.csv` and `worklist.html` in a folder, each replaced whole. They name patients: only the owner may read
 * them. In shadow mode they say that photos were read, and nothing of what was found. Throws ERR_CONFIG when the folder cannot be written.
 */
export function writeWorklist(dir: string, worklist: Worklist): void {
  const { tenant, date, madeAt, withoutPatient } = worklist
  const rows = tenant.mode === 'shadow' ? worklist.rows.map(withoutResult) : worklist.rows
  const put = (name: string, text: string) => {
    const path = join(dir, name)
    writeFileSync(`${path}.${process.pid}`, text, { mode: 0o600 })
    renameSync(`${path}.${process.pid}`, path)
  }
  makeFolder(dir)
  put('worklist.json', `${JSON.stringify({ tenant: tenant.id, site: tenant.name, date, madeAt, mode: tenant.mode, research: true, rows, withoutPatient }, undefined, 2)}\n`)
  put('worklist.csv', worklistCsv({ rows, withoutPatient }))
  put('worklist.html', worklistPage({ ...worklist, rows }).html)
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    accessSync(dir, constants.W_OK)
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected a folder that can be written for the worklist but received "${dir}"`, { cause })
  }
}

function withoutResult({ count: _hidden, ...row }: WorklistRow): WorklistRow {
  return row
}
