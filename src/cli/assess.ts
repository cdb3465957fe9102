import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import type { Command } from 'commander'
import { ScreeningError } from '../errors.ts'
import { readCalibrationFile } from '../inference/calibrate.ts'
import type { Calibration, InferenceEngine } from '../inference/engine/inference-engine.ts'
import { openEngine } from '../inference/engine/open-engine.ts'
import type { HandAssessment, JointFinding, NotAssessedReason, PhotoAssessment, PhotoRefusal } from '../joints/finding.ts'
import { handJointCount, visitFindings } from '../joints/hand-joint-count.ts'
import { jointLabel, type Laterality } from '../joints/hand-joint.ts'

interface AssessOptions {
  readonly json?: boolean
  readonly overlay?: string
  readonly model?: string
  readonly calibration?: string
}

interface ReadPhoto {
  readonly path: string
  readonly bytes: Uint8Array
  readonly assessment: PhotoAssessment
}

const RESEARCH = 'Research software, learned from computer-made hands. Not a diagnosis. Examine the patient.'

/** `jointlens assess LEFT.jpg [RIGHT.jpg]`: photos → findings, without an EHR. */
export function addAssessCommand(program: Command): void {
  program.command('assess').description('read hand photos from disk')
    .argument('<photos...>', 'one or two photos; one photo may show both hands')
    .option('--json', 'one JSON object on stdout')
    .option('--overlay <dir>', 'write a copy of each photo with its joints marked')
    .option('--model <dir>', 'model bundle')
    .option('--calibration <file>', "a site's calibration file")
    .action(async (paths: string[], options: AssessOptions) => {
      if (paths.length > 2) throw new ScreeningError('ERR_USAGE', `Expected one or two photos but received ${paths.length}`)
      const files = paths.map((path) => ({ path, bytes: readPhotoFile(path) }))
      const engine = await openEngine({ modelDir: options.model ?? process.env['JOINTLENS_MODEL'] ?? 'models/hand-joints/0.1.0', workers: 1 })
      try {
        const calibration = options.calibration ? readCalibrationFile(options.calibration, engine.model.digest) : engine.calibration
        const photos: ReadPhoto[] = []
        for (const { path, bytes } of files) {
          if (process.stderr.isTTY) process.stderr.write(`Reading ${basename(path)} …\n`)
          photos.push({ path, bytes, assessment: await engine.assess(bytes, { calibration }) })
        }
        for (const warning of sideWarnings(photos)) process.stderr.write(`${warning}\n`)
        if (options.overlay) await writeOverlays(engine, photos, options.overlay)
        const text = options.json ? JSON.stringify(toJson(engine, photos, calibration)) : toWords(photos, calibration)
        process.stdout.write(`${text}\n`)
        if (!photos.some(({ assessment }) => assessment.hands.some(({ joints }) => joints.some(({ kind }) => kind === 'assessed')))) process.exitCode = 3
      } finally {
        await engine.close()
      }
    })
}

function readPhotoFile(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new ScreeningError('ERR_USAGE', `Expected a photo that can be read but received "${path}"`, { cause })
  }
}

/** The picture decides which hand it shows; the order on the command line is only what the person meant. */
function sideWarnings(photos: readonly ReadPhoto[]): string[] {
  if (photos.length !== 2) return []
  return photos.flatMap(({ path, assessment }, index) => {
    const meant: Laterality = index === 0 ? 'left' : 'right'
    const seen = assessment.hands.map(({ side }) => side)
    return seen.length > 0 && !seen.includes(meant) ? [`Warning: ${basename(path)} was given as the ${meant} hand but shows a ${seen.join(' and ')} hand.`] : []
  })
}

async function writeOverlays(engine: InferenceEngine, photos: readonly ReadPhoto[], dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true })
  for (const { path, bytes, assessment } of photos)
    writeFileSync(join(dir, `${basename(path, extname(path))}-overlay.jpg`), await engine.renderOverlay(bytes, assessment))
}

/** The promised form: `{ model, hands, count }`; a joint that was not assessed carries no probability. */
function toJson({ model }: InferenceEngine, photos: readonly ReadPhoto[], calibration: Calibration) {
  return {
    model: { ...model, evidence: 'synthetic', status: 'research' },
    photos: photos.map(({ path, assessment: { width, height, photoSha256, refusal } }) =>
      ({ photo: basename(path), width, height, sha256: photoSha256, ...(refusal ? { refusal } : {}) })),
    hands: photos.flatMap(({ path, assessment }) => assessment.hands.map((hand) => ({
      photo: basename(path),
      side: hand.side,
      sideConfidence: hand.sideConfidence,
      view: hand.view,
      quality: hand.quality,
      landmarks: hand.landmarks,
      joints: hand.joints.map((finding, index) => ({ ...jointJson(finding), region: hand.regions[index] }))
    }))),
    count: countOf(photos, calibration),
    note: RESEARCH
  }
}

function jointJson(finding: JointFinding) {
  return finding.kind === 'assessed'
    ? { joint: finding.joint, assessed: true, probability: finding.probability, inflamed: finding.inflamed }
    : { joint: finding.joint, assessed: false, probability: null, inflamed: null, reason: finding.reason }
}

function countOf(photos: readonly ReadPhoto[], calibration: Calibration) {
  return handJointCount(visitFindings(photos.flatMap(({ assessment }) => assessment.hands)), calibration.interval)
}

function toWords(photos: readonly ReadPhoto[], calibration: Calibration): string {
  const count = countOf(photos, calibration)
  const lines = photos.flatMap(({ path, assessment }) => [
    basename(path),
    ...(assessment.refusal ? [`  ${REFUSAL_WORDS[assessment.refusal]}`] : []),
    ...assessment.hands.flatMap(handLines)
  ])
  return [
    ...lines, '',
    `${count.swollen} of ${count.assessable} assessable hand joints suggested as swollen (90 % interval ${count.low} to ${count.high}); ${count.of - count.assessable} of ${count.of} not assessable`,
    RESEARCH
  ].join('\n')
}

function handLines({ side, joints }: HandAssessment): string[] {
  const reasons = new Set(joints.map((finding) => finding.kind === 'not-assessed' ? finding.reason : undefined))
  const [only] = reasons
  if (reasons.size === 1 && only) return [`  ${side} hand: not assessable, ${REASON_WORDS[only]}`]
  return [`  ${side} hand`, ...joints.map((finding) => `    ${jointLabel(finding.joint).padEnd(9)} ${findingWords(finding)}`)]
}

function findingWords(finding: JointFinding): string {
  if (finding.kind === 'not-assessed') return `not assessable, ${REASON_WORDS[finding.reason]}`
  return `${finding.inflamed ? 'possible inflammation' : 'not flagged          '}  ${Math.round(finding.probability * 100)} %`
}

const REFUSAL_WORDS: Readonly<Record<PhotoRefusal, string>> = {
  'no-hand': 'No hand was found: photograph the back of one hand, flat, filling the picture.',
  'too-small': 'The photo is too small: send the original, not a thumbnail.',
  'too-dark': 'The photo is too dark: use even daylight, no flash.',
  blurred: 'The photo is blurred: hold the camera still and tap the hand to focus.'
}

const REASON_WORDS: Readonly<Record<NotAssessedReason, string>> = {
  'no-photo': 'no photo of this hand',
  'not-located': 'the hand could not be located: spread the fingers on a plain background',
  'outside-frame': 'outside the picture',
  'low-detail': 'too few pixels: move the camera closer',
  occluded: 'covered',
  'palmar-view': 'the photo shows the palm: photograph the back of the hand',
  'oblique-view': 'the hand is turned: hold the camera parallel to the back of the hand',
  blurred: 'the photo is blurred: hold the camera still and tap the hand to focus',
  'too-dark': 'the photo is too dark: use even daylight',
  'too-bright': 'the photo is too bright: avoid flash and direct sun',
  'too-small': 'the hand is too small: let it fill the picture',
  'uncertain-side': 'left or right is uncertain: photograph one hand at a time'
}
