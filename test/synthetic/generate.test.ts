import { execFile } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { LabelRow } from '../../training/synthetic/label-row.ts'

let folder: string
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'synthetic-hands-')) })
afterAll(async () => { await rm(folder, { recursive: true }) })

const run = promisify(execFile)
const generate = async (...options: string[]) => await run(process.execPath, [
  'training/synthetic/generate.ts', '--patients', '2', '--seed', '3', '--split', 'train', '--size', '96',
  '--prevalence', 'balanced', '--out', folder, ...options
])
const rows = async () => (await readFile(join(folder, 'labels.jsonl'), 'utf8')).trim().split('\n')
  .map((line) => JSON.parse(line) as LabelRow)

describe('the generator', () => {
  test('writes both hands of each patient with one row of labels per photo, and starts where it was stopped', async () => {
    await generate('--to', '1')
    expect((await rows()).map(({ photo }) => photo)).toEqual(['train-0001-1-left.jpg', 'train-0001-1-right.jpg'])
    const kept = await readFile(join(folder, 'train-0001-1-left.jpg'))
    await generate()
    expect((await rows()).map(({ patient }) => patient)).toEqual(['train-0001', 'train-0001', 'train-0002', 'train-0002'])
    expect((await readFile(join(folder, 'train-0001-1-left.jpg'))).equals(kept)).toBe(true)
    expect((await readdir(folder)).filter((file) => file.endsWith('.jpg')).length).toBe(4)
  })

  test('calls a joint inflamed if and only if it is swollen', async () => {
    for (const row of await rows()) {
      expect(Object.keys(row.joints)).toEqual([...HAND_JOINTS])
      for (const { swelling, trueLabel } of Object.values(row.joints)) expect(trueLabel).toBe(swelling >= 1 ? 1 : 0)
    }
  })

  test('says what is wrong with an option it cannot use', async () => {
    await expect(generate('--kappa', '2')).rejects.toThrow('Expected a number from 0 to 1')
  })
})
