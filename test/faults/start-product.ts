import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { ProductSettings } from './product.ts'

const program = fileURLToPath(new URL('product.ts', import.meta.url))

/** The product in a process of its own, which tells what happens in lines on stdout; with `place` it dies there. */
export function startProduct(settings: ProductSettings, place?: string): ChildProcessByStdio<null, Readable, null> {
  const { JOINTLENS_FAILPOINT: _, ...env } = process.env
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    env: { ...env, JOINTLENS_PROFILE: 'development', FAULTS_SETTINGS: JSON.stringify(settings), ...(place ? { JOINTLENS_FAILPOINT: place } : {}) },
    stdio: ['ignore', 'pipe', 'inherit']
  })
}
