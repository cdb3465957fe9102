import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { writeTestBundle } from '../support/test-bundle.ts'

const root = join(import.meta.dirname, '../..')
let base: string
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'no-telemetry-'))
  await writeTestBundle(join(base, 'model'))
})
afterAll(async () => { await rm(base, { recursive: true, force: true }) })

/** ONNX Runtime keeps the events that it has not sent yet, and the id that it sends them under, in the home folder. */
async function leftAtHomeBy(...args: string[]): Promise<{ status: number | null; left: string[] }> {
  const home = await mkdtemp(join(base, 'home-'))
  // Nothing of the environment of tests, in which the runtime sends nothing anyway.
  const env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], HOME: home, TMPDIR: home }
  const { status } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'test/support/inference-cli.ts'), ...args], { cwd: root, env, timeout: 55_000 })
  return { status, left: await readdir(home, { recursive: true }) }
}

test('a worker that reads a photo tells nobody: the network runtime keeps no id and no events', async () => {
  expect(await leftAtHomeBy('assess', 'demo/photos/demo-1-left.jpg', '--model', join(base, 'model'))).toEqual({ status: 0, left: [] })
})

test('nor does a command that runs the network itself', async () => {
  expect(await leftAtHomeBy('model', 'verify', join(base, 'model'))).toEqual({ status: 0, left: [] })
})
