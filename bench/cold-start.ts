import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../test/support/free-port.ts'
import { median } from './load.ts'

const STARTS = 3
const root = fileURLToPath(new URL('../', import.meta.url))

export interface ColdStart {
  /** On a store that is there. */
  readonly readyMs: number
  /** The very first, which makes the embedded store. */
  readonly firstMs: number
  readonly nodeMs: number
}

/** Milliseconds from the start of `serve` to its first 200 of `/readyz`, model verified, and those of an empty program: medians. */
export async function coldStart(): Promise<ColdStart> {
  const dataDir = mkdtempSync(join(tmpdir(), 'jointlens-bench-'))
  try {
    const firstMs = await serveUntilReady(dataDir)
    const [ready, node]: [number[], number[]] = [[], []]
    for (let time = 0; time < STARTS; time++) {
      node.push(await emptyProgram())
      ready.push(await serveUntilReady(dataDir))
    }
    return { readyMs: median(ready), firstMs, nodeMs: median(node) }
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
}

async function emptyProgram(): Promise<number> {
  const began = performance.now()
  await once(spawn(process.execPath, ['-e', '0']), 'exit')
  return performance.now() - began
}

async function serveUntilReady(dataDir: string): Promise<number> {
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
  }
}

function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/readyz`).then(({ status }) => status === 200, () => false)
}
