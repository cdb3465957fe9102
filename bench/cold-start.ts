import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, median } from './load.ts'

const STARTS = 3
const root = fileURLToPath(new URL('../', import.meta.url))

/** Milliseconds from the start of `serve` to its first 200 of `/readyz`, model verified, and those of an empty program: medians. */
export async function coldStart(): Promise<{ readonly readyMs: number; readonly nodeMs: number }> {
  const ready: number[] = []
  const node: number[] = []
  for (let time = 0; time < STARTS; time++) {
    node.push(await emptyProgram())
    ready.push(await serveUntilReady())
  }
  return { readyMs: median(ready), nodeMs: median(node) }
}

async function emptyProgram(): Promise<number> {
  const began = performance.now()
  await once(spawn(process.execPath, ['-e', '0']), 'exit')
  return performance.now() - began
}

async function serveUntilReady(): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'jointlens-bench-'))
  const port = await freePort()
  const began = performance.now()
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli.ts', 'serve'], {
    cwd: root, stdio: ['ignore', 'ignore', 'inherit'],
    env: { PATH: process.env['PATH'], PORT: String(port), HOST: '127.0.0.1', JOINTLENS_DATA: dataDir, JOINTLENS_MODEL: join(root, 'models/hand-joints/0.1.0'), LOG_LEVEL: 'fatal' }
  })
  try {
    while (!(await isReady(port))) {
      if (child.exitCode !== null) throw new Error(`Expected serve to run but it ended with ${child.exitCode}`)
      if (performance.now() - began > 60_000) throw new Error('Expected serve to be ready within 60 s')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return performance.now() - began
  } finally {
    child.kill()
    if (child.exitCode === null) await once(child, 'exit')
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/readyz`).then(({ status }) => status === 200, () => false)
}
