import { execFile } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
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

const pixels = (file: string) => sharp(file).removeAlpha().raw().toBuffer()
/** Between two colours whatever their brightness, for the camera exposes each scene anew. */
const hueDistance = (one: Buffer, other: Buffer, at: number) => {
  const share = (of: Buffer, channel: number) => of[at + channel]! / (of[at]! + of[at + 1]! + of[at + 2]!)
  return Math.hypot(...[0, 1, 2].map((channel) => share(one, channel) - share(other, channel)))
}

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

  test('shows the same hands on another background, with the same labels', async () => {
    const elsewhere = join(folder, 'elsewhere')
    await generate('--to', '1', '--out', elsewhere, '--backgrounds', '1')
    const listed = (await readFile(join(elsewhere, 'labels.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as LabelRow)
    expect(listed).toEqual((await rows()).slice(0, 2))
    const [there, here] = await Promise.all([elsewhere, folder].map((from) => pixels(join(from, 'train-0001-1-left.jpg'))))
    const [x, y] = listed[0]!.trueJoints.mcp3
    const [onHand, corner] = [3 * (96 * Math.round(y) + Math.round(x)), 0]
    expect(hueDistance(here!, there!, onHand)).toBeLessThan(0.05)
    expect(hueDistance(here!, there!, corner)).toBeGreaterThan(0.1)
  })

  test('says what is wrong with an option it cannot use', async () => {
    await expect(generate('--kappa', '2')).rejects.toThrow('Expected a number from 0 to 1')
  })
})
