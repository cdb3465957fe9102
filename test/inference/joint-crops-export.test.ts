import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import { LANDMARK_MODEL_DIGEST } from '../../src/inference/hand-landmarks/hand-locator.ts'

const root = join(import.meta.dirname, '../..')

/** Shape, type and bytes of a NumPy file of format 1.0. */
async function readNpy(path: string) {
  const file = await readFile(path)
  expect(file.toString('latin1', 0, 6)).toBe('\x93NUMPY')
  const start = 10 + file.readUInt16LE(8)
  const [, type, shape = ''] = /'descr': '([^']+)', 'fortran_order': False, 'shape': \(([^)]*)\)/.exec(file.toString('latin1', 10, start)) ?? []
  return { type, shape: shape.split(',').filter((part) => part.trim() !== '').map(Number), data: file.subarray(start) }
}

const readRows = async (path: string) =>
  (await readFile(path, 'utf8')).split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>)

test('labelled photos become arrays for training, and a label without its hand is listed with the reason', async () => {
  const out = await mkdtemp(join(tmpdir(), 'jointlens-'))
  try {
    const labels = join(out, 'labels.jsonl')
    await writeFile(labels, [
      { photo: 'demo-1-left.jpg', side: 'left', patient: 'demo-1', visit: 1 },
      { photo: 'demo-1-left.jpg', side: 'right' },
      { photo: 'demo-1-right.jpg', side: 'right', patient: 'demo-1', visit: 1 },
      { photo: 'labels.json', side: 'right' },
      { photo: 'nowhere.jpg', side: 'right' }
    ].map((row) => JSON.stringify(row)).join('\n'))
    const args = ['training/export-crops.ts', '--labels', labels, '--photos', 'demo/photos', '--out', out, '--global', '64', '--local', '32']
    await promisify(execFile)(process.execPath, args, { cwd: root })

    expect(await readNpy(join(out, 'global.npy'))).toMatchObject({ type: '|u1', shape: [2, 64, 64, 3], data: { length: 2 * 64 * 64 * 3 } })
    expect(await readNpy(join(out, 'local.npy'))).toMatchObject({ type: '|u1', shape: [2, 11, 32, 32, 3], data: { length: 2 * 11 * 32 * 32 * 3 } })
    expect(await readNpy(join(out, 'xy.npy'))).toMatchObject({ type: '<f4', shape: [2, 11, 2], data: { length: 2 * 11 * 2 * 4 } })
    expect([...(await readNpy(join(out, 'mask.npy'))).data]).toEqual(Array.from({ length: 22 }, () => 1))
    expect(await readRows(join(out, 'index.jsonl'))).toMatchObject([
      { row: 0, photo: 'demo-1-left.jpg', patient: 'demo-1', located: { side: 'left', view: 'dorsal' }, landmarksDigest: LANDMARK_MODEL_DIGEST },
      { row: 1, photo: 'demo-1-right.jpg', located: { side: 'right', view: 'dorsal' } }
    ])
    expect((await readRows(join(out, 'missing.jsonl'))).map(({ photo, reason }) => `${String(photo)}: ${String(reason)}`))
      .toEqual(['demo-1-left.jpg: other-side', 'labels.json: ERR_PHOTO_FORMAT', 'nowhere.jpg: ENOENT'])
  } finally {
    await rm(out, { recursive: true })
  }
})
