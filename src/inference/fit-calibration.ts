import { ScreeningError } from '../errors.ts'
import { HAND_JOINTS, type HandJoint } from '../joints/hand-joint.ts'
import { calibratedProbability } from './calibrate.ts'
import type { Calibration } from './engine/inference-engine.ts'

/** What the network said about one joint and what a person found there. */
export interface LabelledJoint {
  readonly joint: HandJoint
  /** Uncalibrated. */
  readonly logit: number
  readonly swollen: boolean
  /** Who or what the count is about: a patient, or a photo where patients are not known. */
  readonly group: string
}

export interface FittedCalibration {
  readonly calibration: Calibration
  readonly positives: number
  readonly negatives: number
  readonly groups: number
  /** Too few groups for an interval of their own: the model's serves. */
  readonly intervalFromModel: boolean
}

/** Own bar: below it temperature and thresholds say more about chance than about the site. */
export const MIN_PER_CLASS = 20
const LEVEL = 0.9
/** At the least factor itself the rounding would still stop one joint short. */
const JUST_ABOVE = 1e-4
/** Joints that a joint type borrows from all types when its own prevalence is estimated (training does the same). */
const PREVALENCE_STRENGTH = 20

/**
 * Fits a site's calibration (method/training.md, sections 5 and 6): log-odds of each joint type, temperature and bias,
 * three thresholds, and the conformal factor of the count. Throws ERR_CALIBRATION_DATA for too few joints of one kind, or
 * when the scores do not rise with swelling.
 */
export function fitCalibration(joints: readonly LabelledJoint[], { model, data }: { model: Calibration; data: string }): FittedCalibration {
  const positives = joints.filter(({ swollen }) => swollen).length
  const negatives = joints.length - positives
  if (positives < MIN_PER_CLASS || negatives < MIN_PER_CLASS)
    throw new ScreeningError('ERR_CALIBRATION_DATA', `Expected at least ${MIN_PER_CLASS} swollen and ${MIN_PER_CLASS} not swollen joints that can be read but received ${positives} and ${negatives}`)
  const priorLogOdds = jointLogOdds(joints)
  const scores = joints.map(({ joint, logit }) => logit + (priorLogOdds[HAND_JOINTS.indexOf(joint)] ?? 0))
  // `context` and `pair` speak of how joints swell together where the model was trained: a site's calibration lets each joint speak for itself.
  const { context: _, pair: __, ...plain } = model
  const scaled = { ...plain, priorLogOdds, ...fitTemperatureAndBias(scores, joints.map(({ swollen }) => swollen)) }
  const rated = joints.map((joint) => ({ ...joint, probability: calibratedProbability(joint.logit, joint.joint, scaled) }))
  const groups = new Set(joints.map(({ group }) => group)).size
  const factor = conformalFactor(rated)
  return {
    calibration: {
      ...scaled, data,
      thresholds: chooseThresholds(rated),
      interval: factor === undefined ? model.interval : { factor, level: LEVEL }
    },
    positives, negatives, groups, intervalFromModel: factor === undefined
  }
}

/** Log-odds of swelling per joint type, HAND_JOINTS order, drawn towards that of all joints where a type is rare. */
function jointLogOdds(joints: readonly LabelledJoint[]): readonly number[] {
  const pooled = joints.filter(({ swollen }) => swollen).length / joints.length
  return HAND_JOINTS.map((name) => {
    const own = joints.filter(({ joint }) => joint === name)
    const swollen = own.filter((one) => one.swollen).length
    return logit((swollen + PREVALENCE_STRENGTH * pooled) / (own.length + PREVALENCE_STRENGTH))
  })
}

/**
 * Least negative log-likelihood under `sigmoid(score / temperature + bias)`, by Newton's method. The targets are drawn in a
 * little (Platt 1999, N+1 over N+2), so that perfectly separated scores keep a finite temperature.
 */
export function fitTemperatureAndBias(scores: readonly number[], swollen: readonly boolean[]): { temperature: number; bias: number } {
  const positives = swollen.filter(Boolean).length
  const high = (positives + 1) / (positives + 2)
  const low = 1 / (swollen.length - positives + 2)
  let slope = 1
  let bias = 0
  for (let round = 0; round < 100; round++) {
    let [gradSlope, gradBias, a, b, c] = [0, 0, 1e-6, 0, 1e-6]
    for (const [index, score] of scores.entries()) {
      const p = sigmoid(slope * score + bias)
      const off = p - (swollen[index] ? high : low)
      const weight = p * (1 - p) + 1e-9
      gradSlope += off * score
      gradBias += off
      a += weight * score * score
      b += weight * score
      c += weight
    }
    const determinant = a * c - b * b
    const stepSlope = (c * gradSlope - b * gradBias) / determinant
    const stepBias = (a * gradBias - b * gradSlope) / determinant
    const largest = Math.max(Math.abs(stepSlope), Math.abs(stepBias))
    slope -= stepSlope / Math.max(1, largest)
    bias -= stepBias / Math.max(1, largest)
    if (largest < 1e-9) break
  }
  if (!(slope > 0)) throw new ScreeningError('ERR_CALIBRATION_DATA',
    `Expected scores that rise with swelling but the fitted slope is ${slope.toFixed(3)}: look whether 0 and 1, left and right, or the patients' photos are mixed up in the labels`)
  return { temperature: 1 / slope, bias }
}

interface RatedJoint extends LabelledJoint { readonly probability: number }

/**
 * f1 (what counts), gmean and sensitivity90 (look here first), midway between neighbouring probabilities. Above 0.5 a threshold
 * on a calibrated probability is chance (t_F1 = F1/2, Lipton, arXiv 1402.1892); looking first never asks for more than counting.
 */
export function chooseThresholds(joints: readonly Pick<RatedJoint, 'probability' | 'swollen'>[]): Calibration['thresholds'] {
  const table = cutsOf(joints.map(({ probability }) => probability)).map((cut) => ({ cut, ...ratesAt(joints, cut) }))
  const best = (measure: 'f1' | 'gmean') => table.reduce((kept, row) => row[measure] > kept[measure] ? row : kept).cut
  const sensitive = Math.max(...table.filter(({ sensitivity }) => sensitivity >= 0.9).map(({ cut }) => cut))
  const f1 = withinBounds(best('f1'))
  return { f1, gmean: withinBounds(best('gmean')), sensitivity90: Math.min(withinBounds(sensitive), f1) }
}

const withinBounds = (cut: number) => Math.min(0.5, Math.max(1e-4, cut))

function cutsOf(probabilities: readonly number[]): readonly number[] {
  const values = [...new Set(probabilities)].sort((a, b) => a - b)
  return values.map((value, index) => index === 0 ? value / 2 : (value + (values[index - 1] ?? value)) / 2)
}

function ratesAt(joints: readonly Pick<RatedJoint, 'probability' | 'swollen'>[], cut: number) {
  const count = (swollen: boolean, flagged: boolean) => joints.filter((one) => one.swollen === swollen && (one.probability >= cut) === flagged).length
  const [truePositives, missed, falseAlarms, trueNegatives] = [count(true, true), count(true, false), count(false, true), count(false, false)]
  const sensitivity = truePositives / (truePositives + missed)
  return {
    sensitivity,
    f1: 2 * truePositives / (2 * truePositives + missed + falseAlarms),
    gmean: Math.sqrt(sensitivity * trueNegatives / (trueNegatives + falseAlarms))
  }
}

/**
 * The ceil(0.9 (n + 1))-th smallest, of n groups, of the least factor whose interval holds the count: handJointCount rounds outwards to
 * whole joints, so a count up to one joint away from the mean m needs none. Undefined where n is too small for that place.
 */
export function conformalFactor(joints: readonly Pick<RatedJoint, 'probability' | 'swollen' | 'group'>[]): number | undefined {
  const residuals = [...Map.groupBy(joints, ({ group }) => group).values()].map((members) => {
    const mean = members.reduce((sum, { probability }) => sum + probability, 0)
    const variance = members.reduce((sum, { probability }) => sum + probability * (1 - probability), 0)
    return Math.max(0, Math.abs(members.filter(({ swollen }) => swollen).length - mean) - 1) / Math.sqrt(variance)
  })
  const least = residuals.sort((a, b) => a - b)[Math.ceil(LEVEL * (residuals.length + 1)) - 1]
  return least === undefined ? undefined : least + JUST_ABOVE
}

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
const logit = (p: number) => Math.log(p / (1 - p))
