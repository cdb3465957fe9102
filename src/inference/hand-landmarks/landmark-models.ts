import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { ScreeningError } from '../../errors.ts'
import { tfliteToOnnx } from './tflite-to-onnx.ts'

/**
 * SHA-256 over palm_detection_full.tflite followed by hand_landmark_full.tflite of @mediapipe/hands 0.4.1675469240. Joint
 * models say which landmarks they were trained on by this digest.
 */
export const LANDMARK_MODEL_DIGEST = '50354a8f6bdc3a947c57b335fdcd90815b12a3a024b6fcf57dc9ab0a847adfee'

const PACKAGE = '@mediapipe/hands'
/** The palm network lies between these bytes of the packed assets (hands_solution_packed_assets_loader.js says so). */
const PALM_DETECTION = { file: 'hands_solution_packed_assets.data', start: 11, end: 2_341_291 }
const HAND_LANDMARK = { file: 'hand_landmark_full.tflite' }

export interface LandmarkModels<Network = Uint8Array> {
  readonly palmDetection: Network
  readonly handLandmark: Network
}

/** The two TFLite networks out of the npm package. Throws ERR_MODEL_INVALID when they are not the pinned ones. */
export async function readLandmarkModels(dir = packageDir()): Promise<LandmarkModels> {
  const models = await readSources(dir)
  const digest = createHash('sha256').update(models.palmDetection).update(models.handLandmark).digest('hex')
  if (digest !== LANDMARK_MODEL_DIGEST)
    throw new ScreeningError('ERR_MODEL_INVALID', `Expected hand networks of SHA-256 ${LANDMARK_MODEL_DIGEST} but received ${digest}`)
  return models
}

/** The same networks as ONNX bytes; weights unchanged. */
export function toOnnx({ palmDetection, handLandmark }: LandmarkModels): LandmarkModels {
  return {
    palmDetection: tfliteToOnnx(palmDetection, 'palm_detection_full'),
    handLandmark: tfliteToOnnx(handLandmark, 'hand_landmark_full')
  }
}

async function readSources(dir: string): Promise<LandmarkModels> {
  try {
    const [packed, handLandmark] = await Promise.all([readFile(join(dir, PALM_DETECTION.file)), readFile(join(dir, HAND_LANDMARK.file))])
    return { palmDetection: packed.subarray(PALM_DETECTION.start, PALM_DETECTION.end), handLandmark }
  } catch (cause) {
    throw new ScreeningError('ERR_MODEL_INVALID', `Expected the hand networks of ${PACKAGE} but they cannot be read`, { cause })
  }
}

function packageDir(): string {
  return dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`))
}
