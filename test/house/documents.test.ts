import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const manifest = JSON.parse(read('package.json')) as { dependencies: Record<string, string>; devDependencies: Record<string, string> }

test('every dependency has its reason in docs/dependencies.md and is pinned exactly', () => {
  const page = read('docs/dependencies.md')
  const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
  expect(all.filter(([name]) => !name.startsWith('@types/') && !page.includes(name)).map(([name]) => name)).toEqual([])
  expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
})

test('docs/configuration.md documents every setting that config.ts reads, and no other variable', () => {
  const page = read('docs/configuration.md')
  const source = read('src/config.ts')
  const variables = [...source.matchAll(/^ {2}([A-Z][A-Z_]+): (?:z\.|httpUrl)/gm)].map(([, name]) => name)
  expect(variables.length).toBeGreaterThan(5)
  const documented = [...page.matchAll(/^\| `([A-Z][A-Z_]+)` \|/gm)].map(([, name]) => name)
  expect(documented.sort()).toEqual(variables.sort())
})

test('the lock file names no download address', () => {
  expect(read('package-lock.json')).not.toMatch(/"resolved": *"https?:/)
})

test('docs/conformance.md has every row of the checklist, and each test that it names is there', () => {
  const rows = [...read('docs/conformance.md').matchAll(/^\| (\d+) \| .+ \| (.+) \|$/gm)].map(([, row, shown = '']) => ({ row: Number(row), shown }))
  expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 65 }, (_, index) => index + 1))
  const tests = readdirSync(new URL('../', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('house/')).map((name) => read(`test/${name}`)).join('\n')
  const missing = rows.flatMap(({ row, shown }) => [...shown.matchAll(/“(.+?)”/g)].map(([, name = '']) => ({ row, name })))
    .filter(({ name }) => !tests.includes(name) && !tests.includes(name.replaceAll("'", "\\'")))
  expect(missing).toEqual([])
})
