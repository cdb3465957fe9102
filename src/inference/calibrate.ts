import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ScreeningError } from '../errors.ts'
import { HAND_JOINTS, type HandJoint } from '../joints/hand-joint.ts'
import type { Calibration } from './engine/inference-engine.ts'

const share = z.number().gt(0).lt(1)

/** `calibration` of a manifest and of a site's calibration file. */
export const calibrationSchema = z.object({
  priorLogOdds: z.array(z.number()).length(HAND_JOINTS.length),
  temperature: z.number().positive(),
  bias: z.number(),
  thresholds: z.object({ f1: share, gmean: share, sensitivity90: share }),
  interval: z.object({ factor: z.number().nonnegative(), level: share }),
  /** Number of patients it was made from. */
  patients: z.number().int().nonnegative().optional(),
  data: z.string().min(1)
})

const calibrationFileSchema = z.object({
  modelDigest: z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 in hex'),
  calibration: calibrationSchema
})

/** `p = sigmoid((z + prior log-odds of the joint) / temperature + bias)`, method/training.md section 5. */
export function calibratedProbability(logit: number, joint: HandJoint, calibration: Calibration): number {
  const prior = calibration.priorLogOdds[HAND_JOINTS.indexOf(joint)]
  if (prior === undefined) throw new Error(`Expected a prior for every joint but received none for ${joint}`)
  return sigmoid((logit + prior) / calibration.temperature + calibration.bias)
}

/** A joint counts as inflamed from the threshold t_F1 on. */
export function isInflamed(probability: number, calibration: Calibration): boolean {
  return probability >= calibration.thresholds.f1
}

/** Reads a site's own calibration. It is bound to one model: another digest, or a faulty file, throws ERR_CONFIG. */
export function readCalibrationFile(path: string, modelDigest: string): Calibration {
  const result = calibrationFileSchema.safeParse(readJson(path))
  if (!result.success) {
    const faults = result.error.issues.map((issue) => `${issue.path.join('.') || 'file'}: ${issue.message}`)
    throw new ScreeningError('ERR_CONFIG', `Calibration file "${path}" is not valid. ${faults.join('; ')}`)
  }
  if (result.data.modelDigest !== modelDigest)
    throw new ScreeningError('ERR_CONFIG', `Expected calibration file "${path}" to belong to model ${modelDigest} but received one for ${result.data.modelDigest}; calibrate this model anew`)
  return toCalibration(result.data.calibration)
}

export function toCalibration(value: z.infer<typeof calibrationSchema>): Calibration {
  const { priorLogOdds, temperature, bias, thresholds, interval, data } = value
  return { priorLogOdds, temperature, bias, thresholds, interval, data }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected a calibration file (JSON) at "${path}" but it cannot be read`, { cause })
  }
}

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
