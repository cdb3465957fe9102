import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { ERROR_CODES } from '../../src/errors.ts'

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| `(ERR_[A-Z_]+)` \| (\d+) \| (\d+) \| (.+) \|$/gm)]

test('docs/errors.md lists every error code with its status, exit code and meaning, and no other', () => {
  const documented = rows.map(([, code, status, exit, meaning]) => ({ code, status: Number(status), exit: Number(exit), meaning }))
  const existing = Object.entries(ERROR_CODES).map(([code, { status, exit, meaning }]) => ({ code, status, exit, meaning }))
  expect(documented).toEqual(existing)
})
