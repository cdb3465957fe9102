import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from '@jest/globals'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** Who may import whom (DESIGN: main, worker, cli, demo → cds-hooks, smart-launch → screening → fhir, inference → joints). */
const MAY_IMPORT: Record<string, readonly string[]> = {
  joints: [],
  fhir: ['joints'],
  inference: ['joints'],
  screening: ['joints', 'fhir', 'inference'],
  'cds-hooks': ['joints', 'fhir', 'inference', 'screening'],
  'smart-launch': ['joints', 'fhir', 'inference', 'screening'],
  cli: ['joints', 'fhir', 'inference', 'screening', 'cds-hooks', 'smart-launch'],
  top: ['joints', 'fhir', 'inference', 'screening', 'cds-hooks', 'smart-launch', 'cli'],
  demo: ['joints', 'fhir', 'inference', 'screening', 'cds-hooks', 'smart-launch', 'cli', 'top']
}
/** Files that every area but joints may use. */
const COMMON = ['src/errors.ts', 'src/config.ts', 'src/audit.ts', 'src/known-private-keys.ts', 'src/plain-page.ts', 'src/shared-secret.ts', 'src/web-address.ts']

/** One door for each foreign thing. */
const DOORS: Record<string, RegExp> = {
  'onnxruntime-node': /^src\/inference\/onnx-runtime\.ts$/,
  sharp: /^(src\/inference|training\/synthetic|demo)\//,
  'fhir-kit-client': /^src\/fhir\//,
  undici: /^(src\/fhir\/|src\/inference\/kserve\/|src\/(main|worker|cli)\.ts|demo\/start\.ts)/,
  '@electric-sql/pglite': /^src\/screening\/store\//,
  pg: /^src\/screening\/store\//,
  express: /^(src\/cds-hooks\/|src\/(app|last-resort)\.ts|src\/screening\/notifications|smart-launch\/server\/|demo\/)/,
  '@medplum/fhir-router': /^demo\//,
  'oidc-provider': /^demo\//
}

interface Import { readonly from: string; readonly specifier: string; readonly typeOnly: boolean }

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !path.includes('/dist/'))
}

function importsOf(path: string): Import[] {
  const text = readFileSync(join(root, path), 'utf8')
  const found = text.matchAll(/(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^'"();]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g)
  return [...found].map((match) => ({ from: path, specifier: match[2] ?? match[3] ?? '', typeOnly: match[1] !== undefined }))
}

function areaOf(path: string): string {
  const [first = '', second = ''] = path.split('/')
  if (first === 'demo' || first === 'smart-launch') return first
  return second.endsWith('.ts') ? 'top' : second
}

const files = ['src', 'smart-launch', 'demo'].flatMap(sourceFiles)
const imports = files.flatMap(importsOf)

describe('the house', () => {
  test('imports go one way: from the edges to screening, to fhir and inference, to joints', () => {
    const wrong = imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map((one) => ({ ...one, target: relative(root, resolve(root, dirname(one.from), one.specifier)).split(sep).join('/') }))
      .filter(({ from, target }) => {
        const [here, there] = [areaOf(from), areaOf(target)]
        if (here === there) return false
        if (COMMON.includes(target)) return here === 'joints'
        return !(MAY_IMPORT[here] ?? []).includes(there)
      })
    expect(wrong.map(({ from, target }) => `${from} → ${target}`)).toEqual([])
  })

  test('joints imports no package at all', () => {
    expect(imports.filter(({ from, specifier }) => from.startsWith('src/joints/') && !specifier.startsWith('.'))).toEqual([])
  })

  test.each(Object.entries(DOORS))('%s has one door', (name, door) => {
    const outside = imports.filter(({ from, specifier }) => (specifier === name || specifier.startsWith(`${name}/`)) && !door.test(from))
    expect(outside.map(({ from }) => from)).toEqual([])
  })

  test('no source file names a path of a machine', () => {
    expect(files.filter((path) => /['"`(]\/(work|home|root|farm)\//.test(readFileSync(join(root, path), 'utf8')))).toEqual([])
  })
})
