import { Command, CommanderError } from 'commander'
import { install } from 'undici'
import { openJointLens, openRecord } from './app.ts'
import { addAssessCommand } from './cli/assess.ts'
import { addCalibrateCommand } from './cli/calibrate.ts'
import { addDoctorCommand } from './cli/doctor.ts'
import { addLabelsCommand, type LabelTools } from './cli/labels-export.ts'
import { addModelCommand } from './cli/model-verify.ts'
import { addScreeningCommands } from './cli/screening-commands.ts'
import { readConfig } from './config.ts'
import { ERROR_CODES, isScreeningError } from './errors.ts'
import { serve } from './main.ts'
import { work } from './worker.ts'
import { writeWorklist } from './worklist-files.ts'

install()

const program = new Command('jointlens')
  .description('Joint-level detection of possible rheumatoid arthritis inflammation in hand photos. Research software, learned from computer-made hands.')
  .version('0.1.0')
  .exitOverride()

addAssessCommand(program)
program.command('serve').description('answer CDS Hooks and the SMART app (and screen, with the embedded store)').action(() => untilStopped(serve))
program.command('work').description('screen from a shared PostgreSQL store (DATABASE_URL)').action(() => untilStopped(work))
addScreeningCommands(program, openTools)
addDoctorCommand(program, () => readConfig(process.env))
addModelCommand(program, () => openRecord(readConfig(process.env)))
addCalibrateCommand(program)
addLabelsCommand(program, openTools)

async function openTools(): Promise<LabelTools> {
  const config = readConfig(process.env)
  const { screenings, doors, store, engine, audit, cards, close } = await openJointLens(config)
  return { config, screenings, sessionFor: doors.backendSession, store, exportPatients: doors.exportPatients, writeWorklist, engine, audit, cards, close }
}

/**
 * Runs until SIGINT or SIGTERM, then closes everything in order: also when the signal comes twice, from a terminal and from npx. What
 * has not started yet just ends.
 */
async function untilStopped(start: () => Promise<{ close(): Promise<void> }>): Promise<void> {
  let started = false
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (started ? resolve() : process.exit(1)))
  })
  const running = await start()
  started = true
  await stopped
  await running.close()
}

try {
  await program.parseAsync()
  process.exit()
} catch (error) {
  process.exit(report(error))
}

/** One line on stderr that says what was wrong and what was expected; the exit code of docs/errors.md. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ERROR_CODES.ERR_USAGE.exit
  if (isScreeningError(error)) {
    process.stderr.write(`${error.code}: ${error.message}\n`)
    return error.exitCode
  }
  process.stderr.write(`ERR_INTERNAL: ${error instanceof Error ? error.message : String(error)}\n`)
  return ERROR_CODES.ERR_INTERNAL.exit
}
