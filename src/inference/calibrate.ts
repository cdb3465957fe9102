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
  context: z.object({ scale: z.number().positive(), weight: z.number().nonnegative(), bias: z.number(), floor: share }).optional(),
  pair: z.object({ scale: z.number().positive(), mirror: z.number().nonnegative(), across: z.number().nonnegative(), bias: z.number(), floor: share }).optional(),
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

/** `p = sigmoid((z + prior log-odds of the joint) / temperature + bias)`, method/training.md section 5: the joint by itself. */
export function calibratedProbability(logit: number, joint: HandJoint, calibration: Calibration): number {
  return sigmoid(calibratedLogOdds(logit, joint, calibration))
}

/**
 * Probabilities of one hand's joints, HAND_JOINTS order, from the logits of those that can be read: each by itself, then with the
 * hand's other joints where the calibration has a `context`. A joint alone keeps what it says by itself.
 */
export function handProbabilities(logits: ReadonlyMap<HandJoint, number>, calibration: Calibration): ReadonlyMap<HandJoint, number> {
  const alone = [...logits].map(([joint, logit]) => ({ joint, score: calibratedLogOdds(logit, joint, calibration) }))
  const sum = alone.reduce((total, { score }) => total + sigmoid(score), 0)
  const { context } = calibration
  return new Map(alone.map(({ joint, score }) => {
    if (!context || alone.length < 2) return [joint, sigmoid(score)]
    const others = (sum - sigmoid(score)) / (alone.length - 1)
    const said = Math.log((others + context.floor) / (1 - others + context.floor))
    return [joint, sigmoid(context.scale * score + context.weight * said + context.bias)]
  }))
}

function calibratedLogOdds(logit: number, joint: HandJoint, { priorLogOdds, temperature, bias }: Calibration): number {
  const prior = priorLogOdds[HAND_JOINTS.indexOf(joint)]
  if (prior === undefined) throw new Error(`Expected a prior for every joint but received none for ${joint}`)
  return (logit + prior) / temperature + bias
}

/** A joint counts as inflamed from the threshold t_F1 on. */
export function isInflamed(probability: number, calibration: Calibration): boolean {
  return probability >= calibration.thresholds.f1
}

/** Reads a site's own calibration. It is bound to one model: another digest, or a faulty file, throws ERR_CONFIG. */
export function readCalibrationFile(path: string, modelDigest: string): Calibration {
  const found = readBoundCalibration(path)
  if (found.modelDigest !== modelDigest)
    throw new ScreeningError('ERR_CONFIG', `Expected calibration file "${path}" to belong to model ${modelDigest} but received one for ${found.modelDigest}; calibrate this model anew`)
  return found.calibration
}

/** The same with the digest of the model that it belongs to, whichever that is. */
export function readBoundCalibration(path: string): { readonly modelDigest: string; readonly calibration: Calibration } {
  const result = calibrationFileSchema.safeParse(readJson(path))
  if (!result.success) {
    const faults = result.error.issues.map((issue) => `${issue.path.join('.') || 'file'}: ${issue.message}`)
    throw new ScreeningError('ERR_CONFIG', `Calibration file "${path}" is not valid. ${faults.join('; ')}`)
  }
  return { modelDigest: result.data.modelDigest, calibration: toCalibration(result.data.calibration) }
}

export function toCalibration(value: z.infer<typeof calibrationSchema>): Calibration {
  const { priorLogOdds, temperature, bias, context, pair, thresholds, interval, data } = value
  return { priorLogOdds, temperature, bias, ...(context ? { context } : {}), ...(pair ? { pair } : {}), thresholds, interval, data }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected a calibration file (JSON) at "${path}" but it cannot be read`, { cause })
  }
}

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
