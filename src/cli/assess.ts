import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import type { Command } from 'commander'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { readCalibrationFile } from '../inference/calibrate.ts'
import type { InferenceEngine } from '../inference/engine/inference-engine.ts'
import { openEngine } from '../inference/engine/open-engine.ts'
import { guardPhoto } from '../inference/photo-guard.ts'
import { withOtherHand } from '../inference/with-other-hand.ts'
import { assessedJoints, reportJson, reportText, warnings, type ReadPhoto } from './assessment-report.ts'
import { modelDir } from './model-dir.ts'

interface AssessOptions {
  readonly json?: boolean
  readonly overlay?: string
  readonly model?: string
  readonly calibration?: string
}

interface PhotoFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/** `jointlens assess LEFT.jpg [RIGHT.jpg]`: photos → findings, without an EHR. Exit code 3 when no joint could be assessed. */
export function addAssessCommand(program: Command): void {
  program.command('assess').description('read hand photos from disk: the left hand, then the right; or one photo of both')
    .argument('<left>', 'photo of the back of the left hand, or of both hands')
    .argument('[right]', 'photo of the back of the right hand')
    .option('--json', 'one JSON object on stdout')
    .option('--overlay <dir>', 'write a copy of each photo with its joints marked')
    .option('--model <dir>', 'model bundle')
    .option('--calibration <file>', "a site's calibration file")
    .action(async (left: string, right: string | undefined, options: AssessOptions) => {
      const files = await Promise.all((right === undefined ? [left] : [left, right]).map(readPhotoFile))
      tell('Opening the model …')
      const engine = await openEngine({ modelDir: modelDir(options.model), workers: 1 })
      try {
        await assess(engine, files, options)
      } finally {
        await engine.close()
      }
    })
}

async function assess(engine: InferenceEngine, files: readonly PhotoFile[], options: AssessOptions): Promise<void> {
  const calibration = options.calibration === undefined ? engine.calibration : readCalibrationFile(options.calibration, engine.model.digest)
  const read: ReadPhoto[] = []
  for (const [index, file] of files.entries()) {
    tell(`Reading ${file.name} (${index + 1} of ${files.length}) …`)
    read.push({ ...file, assessment: await named(file.name, () => engine.assess(file.bytes, { calibration })) })
  }
  const weighed = withOtherHand(read.map(({ assessment }) => assessment), calibration)
  const photos = read.map((photo, index) => ({ ...photo, assessment: weighed[index] ?? photo.assessment }))
  if (options.overlay !== undefined) await writeOverlays(engine, photos, options.overlay)
  for (const warning of warnings(photos)) process.stderr.write(`${warning}\n`)
  process.stdout.write(options.json === true ? `${JSON.stringify(reportJson(engine.model, photos, calibration))}\n` : reportText(photos, calibration))
  if (assessedJoints(photos) === 0) {
    process.stderr.write('No joint could be assessed.\n')
    process.exitCode = 3
  }
}

/** Bytes of a photo that the guard lets through. */
async function readPhotoFile(path: string): Promise<PhotoFile> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ScreeningError('ERR_USAGE', `Expected a photo but "${path}" cannot be read`, { cause })
  })
  const name = basename(path)
  await named(name, () => guardPhoto(bytes))
  return { name, bytes }
}

/** Says which photo an error is about. */
async function named<Result>(name: string, work: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    if (isScreeningError(cause) && cause.code.startsWith('ERR_PHOTO_')) throw new ScreeningError(cause.code, `${name}: ${cause.message}`, { cause })
    throw cause
  }
}

async function writeOverlays(engine: InferenceEngine, photos: readonly ReadPhoto[], dir: string): Promise<void> {
  const names = new Set<string>()
  for (const { name, bytes, assessment } of photos) {
    const picture = await engine.renderOverlay(bytes, assessment)
    const stem = `${basename(name, extname(name))}-overlay`
    const file = join(dir, `${names.has(stem) ? `${stem}-2` : stem}.jpg`)
    names.add(stem)
    await mkdir(dir, { recursive: true }).then(() => writeFile(file, picture)).catch((cause: unknown) => {
      throw new ScreeningError('ERR_USAGE', `Expected to write "${file}" but it cannot be written`, { cause })
    })
    tell(`Wrote ${file}`)
  }
}

/** Progress, for people only. */
function tell(words: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${words}\n`)
}
