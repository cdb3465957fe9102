import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { ERROR_CODES, isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { readCalibrationFile } from '../inference/calibrate.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import { openEngine } from '../inference/engine/open-engine.ts'
import { readModelBundle } from '../inference/model-bundle.ts'
import { fitCalibration, type FittedCalibration, type LabelledJoint } from '../inference/fit-calibration.ts'
import type { PhotoAssessment } from '../joints/finding.ts'
import { handThatSpeaks } from '../joints/hand-joint-count.ts'
import { HAND_JOINTS } from '../joints/hand-joint.ts'
import { readLabelsFile, type JointLabel } from './labels-csv.ts'
import { modelDir } from './model-dir.ts'
import { withProgress } from './progress.ts'

interface CalibrateOptions {
  readonly photos: string
  readonly labels: string
  readonly out: string
  readonly model?: string
}

/** `jointlens calibrate`: a site's own photos and findings → its calibration file, bound to one model. */
export function addCalibrateCommand(program: Command): void {
  program.command('calibrate').description("make a site's calibration file from its own photos and a clinician's findings")
    .requiredOption('--photos <dir>', 'folder of the photos')
    .requiredOption('--labels <csv>', 'photo,side,joint,label[,patient]: left or right, wrist to pip5, 1 (swollen) or 0; training/README.md shows one')
    .requiredOption('--out <file>', 'the calibration file to write')
    .option('--model <dir>', 'model bundle')
    .action(async ({ photos, labels, out, model }: CalibrateOptions) => {
      const rows = await readLabelsFile(labels)
      const dir = modelDir(model)
      if ((await readModelBundle(dir)).manifest.training['base'] !== undefined) process.stdout.write(FINE_TUNED)
      const engine = await openEngine({ modelDir: dir })
      try {
        const { joints, leftOut } = await readJoints(engine, photos, rows)
        process.stdout.write(leftOut.map((what) => `Left out: ${what}\n`).join(''))
        const fitted = fitCalibration(joints, { model: engine.calibration, data: describe(joints, rows) })
        await writeCalibration(out, engine.model.digest, fitted)
        process.stdout.write(`${report(fitted, joints, rows, out).join('\n')}\n`)
      } finally {
        await engine.close()
      }
    })
}

const FINE_TUNED = 'This model was fine-tuned: of people that it learned from it is surer than of others. Calibrate on others, or use the site-calibration.json that finetune made.\n'

/** With it a probability is sigmoid(logit): what the network said comes back unchanged. */
const UNCALIBRATED = { priorLogOdds: HAND_JOINTS.map(() => 0), temperature: 1, bias: 0 }
/** Beyond it sigmoid(logit) is 1 in a double. */
const LARGEST_LOGIT = 30

/** The labelled joints that can be read; the others are left out, never guessed. Photos and hands without any are named. */
async function readJoints(engine: InferenceEngine, dir: string, rows: readonly JointLabel[]): Promise<{ readonly joints: readonly LabelledJoint[]; readonly leftOut: readonly string[] }> {
  const { context: _, pair: __, ...plain } = engine.calibration
  const calibration: Calibration = { ...plain, ...UNCALIBRATED }
  const byPhoto = [...Map.groupBy(rows, ({ photo }) => photo)]
  for (const [photo] of byPhoto) await access(join(dir, photo)).catch(notThere(dir, photo))
  return withProgress('photos', async (onProgress) => {
    const joints: LabelledJoint[] = []
    const leftOut: string[] = []
    for (const [index, [photo, labels]] of byPhoto.entries()) {
      const read = await assess(engine, dir, photo, calibration)
      if (typeof read === 'string') leftOut.push(`"${photo}": ${read}: ${ERROR_CODES[read].meaning}`)
      else for (const [side, own] of Map.groupBy(labels, (label) => label.side)) {
        const found = labelledJoints(read, own)
        if (found.length === 0) leftOut.push(`"${photo}": no labelled joint of a ${side} hand can be read in it`)
        joints.push(...found)
      }
      onProgress(index + 1, byPhoto.length)
    }
    return { joints, leftOut }
  })
}

const notThere = (dir: string, photo: string) => (cause: unknown) => {
  throw new ScreeningError('ERR_USAGE', `Expected the photo "${photo}" of the labels in "${dir}" but it cannot be read`, { cause })
}

/** What is said of a photo, or why it cannot be read. */
async function assess(engine: InferenceEngine, dir: string, photo: string, calibration: Calibration): Promise<PhotoAssessment | ErrorCode> {
  const bytes = await readFile(join(dir, photo)).catch(notThere(dir, photo))
  try {
    return await engine.assess(bytes, { calibration })
  } catch (cause) {
    if (!isScreeningError(cause)) throw cause
    if (cause.code.startsWith('ERR_PHOTO_')) return cause.code
    throw new ScreeningError(cause.code, `${photo}: ${cause.message}`, { cause })
  }
}

function labelledJoints({ hands }: PhotoAssessment, labels: readonly JointLabel[]): LabelledJoint[] {
  return labels.flatMap(({ photo, side, joint, swollen, patient }) => {
    const finding = handThatSpeaks(hands.filter((hand) => hand.side === side))?.joints.find((one) => one.joint === joint)
    if (finding?.kind !== 'assessed') return []
    const logit = Math.log(finding.probability / (1 - finding.probability))
    return [{ joint, swollen, group: patient ?? photo, logit: Math.min(LARGEST_LOGIT, Math.max(-LARGEST_LOGIT, logit)) }]
  })
}

/** In words that can be shown: counts only, no names. */
function describe(joints: readonly LabelledJoint[], rows: readonly JointLabel[]): string {
  const groups = new Set(joints.map(({ group }) => group)).size
  const swollen = joints.filter((joint) => joint.swollen).length
  return `${joints.length} joints (${swollen} swollen) of ${groups} ${rows[0]?.patient === undefined ? 'photos' : 'patients'} of this site`
}

/** Written, then read back the way the service reads it. */
async function writeCalibration(out: string, modelDigest: string, { calibration, groups }: FittedCalibration): Promise<void> {
  try {
    await writeFile(out, `${JSON.stringify({ modelDigest, calibration: { ...calibration, patients: groups } }, null, 2)}\n`)
  } catch (cause) {
    throw new ScreeningError('ERR_USAGE', `Expected to write the calibration to "${out}" but it cannot be written`, { cause })
  }
  readCalibrationFile(out, modelDigest)
}

/** Own bar, that of `finetune`: with fewer people who have a swollen joint, a threshold is theirs more than the site's. */
const FEW_WITH_SWOLLEN = 10

function report({ calibration, intervalFromModel }: FittedCalibration, joints: readonly LabelledJoint[], rows: readonly JointLabel[], out: string): string[] {
  const { data, temperature, bias, thresholds, interval } = calibration
  const withSwollen = new Set(joints.filter(({ swollen }) => swollen).map(({ group }) => group)).size
  return [
    `Calibrated with ${data}; ${rows.length} joints were labelled, those that could not be read are left out.`,
    ...(withSwollen < FEW_WITH_SWOLLEN
      ? [`Only ${withSwollen} ${rows[0]?.patient === undefined ? 'photos have' : withSwollen === 1 ? 'patient has' : 'patients have'} a swollen joint: too few to say how sure thresholds are. Label more before anything is shown (assist).`] : []),
    `temperature ${temperature.toFixed(3)}, bias ${bias.toFixed(3)}`,
    `a joint counts from ${percent(thresholds.f1)}, look first from ${percent(thresholds.sensitivity90)}`,
    intervalFromModel
      ? `interval factor ${interval.factor.toFixed(3)} from the model: a site's own needs at least 9 patients`
      : `interval factor ${interval.factor.toFixed(3)} at ${percent(interval.level)}`,
    `Written to ${out}. It belongs to this model only.`
  ]
}

const percent = (share: number) => `${Math.round(share * 100)} %`
