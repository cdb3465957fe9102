import { Command, CommanderError } from 'commander'
import { addAssessCommand } from '../../src/cli/assess.ts'
import { addCalibrateCommand } from '../../src/cli/calibrate.ts'
import { addModelCommand } from '../../src/cli/model-verify.ts'
import { isScreeningError } from '../../src/errors.ts'

/** The commands that need no EHR, mounted as src/cli.ts mounts them, without what the others load. */
const program = new Command('jointlens').exitOverride()
addAssessCommand(program)
addModelCommand(program, () => Promise.reject(new Error('Expected no record here')))
addCalibrateCommand(program)

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = error instanceof CommanderError ? 2 : isScreeningError(error) ? error.exitCode : 1
  if (!(error instanceof CommanderError)) process.stderr.write(`${isScreeningError(error) ? error.code : 'ERR_INTERNAL'}: ${(error as Error).message}\n`)
}
