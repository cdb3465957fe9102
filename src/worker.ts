import { startJointLens, type RunningJointLens } from './app.ts'
import { readConfig } from './config.ts'
import { ScreeningError } from './errors.ts'

/** `jointlens work`: leases screenings from the shared store until it is told to stop. Any number, on any machine. */
export async function work(): Promise<RunningJointLens> {
  const config = readConfig(process.env)
  if (!config.databaseUrl)
    throw new ScreeningError('ERR_CONFIG', 'Expected DATABASE_URL for a worker of its own but received none; without it "jointlens serve" holds the worker')
  const running = await startJointLens(config, ['worker'])
  process.stdout.write('JointLens worker ready\n')
  return running
}
