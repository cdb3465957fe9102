import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { copyTestStore } from '../support/test-store.ts'

const program = fileURLToPath(new URL('disk.ts', import.meta.url))
const run = promisify(execFile)

/** A small disk needs a mount, which root may make, or anyone where the kernel lets them have a namespace. */
const unshare = [['-m'], ['-U', '-r', '-m']].find((how) => spawnSync('unshare', [...how, 'sh', '-c', 'mount -t tmpfs tmpfs /tmp']).status === 0)

let template: string
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'jointlens-template-'))
  await copyTestStore(template)
}, 300_000)
afterAll(() => rm(template, { recursive: true }))

const describeHere = unshare ? describe : describe.skip
describeHere(`R17: a disk of 120 MB below the embedded store${unshare ? '' : ' (skipped: no mount allowed here)'}`, () => {
  test('that is full refuses before anything is accepted, and takes work again afterwards without a restart', async () => {
    const { refused, ...rest } = await onSmallDisk('full') as { refused: number }
    expect(rest).toEqual({ codes: ['ERR_STORE'], readable: true, afterwards: 3, lost: 0, unasked: 0 })
    expect(refused).toBeGreaterThan(0)
  }, 300_000)

  test('that is read-only is refused at the start with a code, and holds everything when it can be written again', async () => {
    expect(await onSmallDisk('read-only')).toEqual({ code: expect.stringMatching(/^ERR_STORE/), lost: 0 })
  }, 300_000)
})

async function onSmallDisk(fault: string): Promise<unknown> {
  const dir = await mkdtemp(join(tmpdir(), 'jointlens-disk-'))
  const script = `mount -t tmpfs -o size=120m tmpfs "$0" && cp -r "$1"/. "$0" && exec "$2" --disable-warning=ExperimentalWarning "$3" "$4" "$0"`
  const { stdout } = await run('unshare', [...unshare ?? [], 'sh', '-c', script, dir, template, process.execPath, program, fault])
  await rm(dir, { recursive: true })
  return JSON.parse(stdout)
}

test('R17: what a disk could not keep is not accepted, and what it had kept is there for the next process', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'jointlens-disk-'))
  await copyTestStore(dir)
  const broken = () => run(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'fsync', dir]).then(
    () => 'went on', ({ code, stdout }: { code: number; stdout: string }) => [code, ...stdout.trim().split('\n')])
  expect(await broken()).toEqual([3, '[]', 'accepted'])
  expect(await broken()).toEqual([3, expect.stringMatching(/^\[1(,2)?\]$/), 'accepted'])
  await rm(dir, { recursive: true })
}, 300_000)
