import { createHash } from 'node:crypto'
import { ScreeningError } from '../../src/errors.ts'
import type { Calibration, InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import type { HandAssessment, JointFinding, PhotoAssessment } from '../../src/joints/finding.ts'
import { HAND_JOINTS, type Laterality } from '../../src/joints/hand-joint.ts'

const CALIBRATION: Calibration = {
  priorLogOdds: HAND_JOINTS.map(() => -1.5), temperature: 1, bias: 0,
  thresholds: { f1: 0.5, gmean: 0.3, sensitivity90: 0.2 }, interval: { factor: 1.6, level: 0.9 }, data: 'bytes'
}

export interface ByteEngine extends InferenceEngine {
  /** Photos it was given. */
  readonly asked: number
  /** Called before each photo is read. */
  before: () => Promise<void>
}

/**
 * Reads a text instead of a picture, so that what surrounds the model can be tested thousands of times: `left a`, `right b`,
 * `left right c`. The probabilities are the bytes of its SHA-256; what does not name a hand is no photo.
 */
export function openByteEngine(digest = 'd1', version = '1'): ByteEngine {
  let asked = 0
  const model = { name: 'bytes', version, digest: digest.padEnd(64, '0') }
  const unused = () => Promise.reject(new Error('Expected no picture to be drawn'))
  const engine: ByteEngine = {
    model, calibration: CALIBRATION, before: () => Promise.resolve(),
    get asked() { return asked },
    async assess(bytes, { calibration = CALIBRATION } = {}) {
      asked++
      await engine.before()
      const photoSha256 = createHash('sha256').update(bytes).digest('hex')
      const text = Buffer.from(bytes).toString()
      if (text.includes('heic')) throw new ScreeningError('ERR_PHOTO_HEIC', 'Expected JPEG but received HEIC')
      if (text.includes('broken model')) throw new ScreeningError('ERR_MODEL_OUTPUT', 'Expected a number')
      const hands = (['left', 'right'] as const).filter((side) => text.includes(side)).map((side) => handOf(side, photoSha256, calibration))
      const assessment: PhotoAssessment = { photoSha256, width: 100, height: 100, model, hands }
      return hands.length > 0 ? assessment : { ...assessment, refusal: 'no-hand' }
    },
    explainJoint: unused,
    renderPhoto: unused,
    renderOverlay: unused,
    health: () => ({ ready: true, model, executionProvider: 'none', queued: 0 }),
    close: () => Promise.resolve()
  }
  return engine
}

function handOf(side: Laterality, sha256: string, { thresholds }: Calibration): HandAssessment {
  const joints = HAND_JOINTS.map((joint, index): JointFinding => {
    const probability = parseInt(sha256.slice(2 * index, 2 * index + 2), 16) / 255
    return { joint, side, kind: 'assessed', probability, inflamed: probability >= thresholds.f1 }
  })
  return {
    side, sideConfidence: 1, view: 'dorsal', quality: { presence: 1, palmLengthPx: 50, sharpness: 1, brightness: 0.5 },
    landmarks: [], joints, regions: HAND_JOINTS.map((_, index) => ({ x: index, y: 0, width: 5, height: 5 }))
  }
}
