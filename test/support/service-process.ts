import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { makeTenant } from '../../src/config.ts'
import { copyTestStore } from './test-store.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** `jointlens serve` as a site runs it: a process of its own with a configuration file and an embedded store. */
export interface ServiceProcess {
  readonly url: string
  /** Everything it wrote to its outputs, over all its lives. */
  output(): string
  /** Ends it with this signal and starts it again on the same folder and port. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** The text of every file that it keeps, as Latin-1. */
  kept(): string
  close(): Promise<void>
}

export async function startServiceProcess(port: number, tenants: readonly Parameters<typeof makeTenant>[0][], environment: Readonly<Record<string, string>> = {}): Promise<ServiceProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'jointlens-service-'))
  const [config, data] = [join(folder, 'tenants.yaml'), join(folder, 'data')]
  writeFileSync(config, JSON.stringify({ tenants }))
  await copyTestStore(data)
  const url = `http://127.0.0.1:${port}`
  let output = ''
  let child = await live()

  async function live(): Promise<ChildProcess> {
    const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli.ts', 'serve'], {
      cwd: root, stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], PORT: String(port), JOINTLENS_CONFIG: config, JOINTLENS_DATA: data, JOINTLENS_WORKERS: '1',
        JOINTLENS_MODEL: join(root, 'models/hand-joints/0.1.0'), JOINTLENS_PROFILE: 'development', LOG_LEVEL: 'debug', ...environment
      }
    })
    for (const stream of [started.stdout, started.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString() })
    while (!await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false)) {
      if (started.exitCode !== null) throw new Error(`Expected serve to run but it ended: ${output.slice(-2_000)}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    return started
  }

  async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  return {
    url,
    output: () => output,
    async restart(signal) {
      await end(signal)
      child = await live()
    },
    kept: () => readdirSync(data, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
      .map((one) => readFileSync(join(one.parentPath, one.name), 'latin1')).join('\n'),
    async close() {
      await end('SIGTERM')
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
