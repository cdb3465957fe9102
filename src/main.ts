import { install } from 'undici'
import { startJointLens } from './app.ts'
import { readConfig } from './config.ts'
import { isScreeningError } from './errors.ts'

install()

/** `jointlens serve`: HTTP, and the screening worker where the store is embedded. */
export async function serve(): Promise<void> {
  const running = await startJointLens(readConfig(process.env))
  process.stdout.write(`JointLens ready: ${running.url}\n`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void running.close().then(() => process.exit(0)))
}

if (import.meta.main)
  serve().catch((error: unknown) => {
    process.stderr.write(`${isScreeningError(error) ? `${error.code}: ${error.message}` : String(error)}\n`)
    process.exit(isScreeningError(error) ? error.exitCode : 1)
  })
