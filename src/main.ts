import { startJointLens, type Role, type RunningJointLens } from './app.ts'
import { readConfig } from './config.ts'

/**
 * `jointlens serve`: HTTP, and the screening worker too where the store is embedded. With DATABASE_URL the worker is a process
 * of its own (`jointlens work`), so that both scale side by side.
 */
export async function serve(): Promise<RunningJointLens> {
  const config = readConfig(process.env)
  const roles: readonly Role[] = config.databaseUrl ? ['http'] : ['http', 'worker']
  const running = await startJointLens(config, roles)
  process.stdout.write(`JointLens ready: ${running.url ?? ''}\n`)
  return running
}
