import { HAND_JOINTS, type HandJoint, type Laterality } from '../../src/joints/hand-joint.ts'
import { sampleVisit, type PatientKey, type Prevalence } from './case-sampler.ts'
import type { Finish } from './implant-camera.ts'
import { DECOYS, type HandEdit, type Reading } from './implant-edit.ts'
import { hashSeed, randomFrom } from './random.ts'

/** One version of a photo: what is done to its joints, and what is done to all of its pixels. */
export interface ImplantCase { readonly seed: number, readonly joints: HandEdit, readonly reading: Reading, readonly finish: Finish }

/** How often a joint gets an edit that is no swelling, swollen or not: that something was edited says nothing about swelling. */
const DECOY_RATE = 0.15
const MOST_TURNED = 1.5 * Math.PI / 180

/**
 * Draws a version from its seed. Joints swell together by the rules of the rendered patients; every version of a person is a course of
 * disease of its own, shared by both hands and by all their photos.
 */
export function sampleImplant(
  key: PatientKey, { photo, version, side, size }: { photo: string, version: number, side: Laterality, size: readonly [number, number] }, prevalence: Prevalence
): ImplantCase {
  const drawn = sampleVisit({ ...key, patient: `${key.patient} ${version}` }, version, prevalence)[side].joints
  const seed = hashSeed(key.seed, key.split, key.patient, photo, version)
  const random = randomFrom(seed)
  const joints = Object.fromEntries(HAND_JOINTS.map((joint) => {
    const { swelling, erythema } = drawn[joint]
    const decoy = random.chance(DECOY_RATE), kind = random.pick(DECOYS), strength = random.between(0.4, 1) * (random.chance(0.5) ? 1 : -1)
    return [joint, { swelling, erythema, ...(decoy ? { decoy: { kind, strength } } : {}) }]
  })) as HandEdit
  return { seed, joints, reading: sampleReading(random, size), finish: sampleFinish(random) }
}

function sampleReading(random: ReturnType<typeof randomFrom>, [width, height]: readonly [number, number]): Reading {
  const rotation = random.between(-MOST_TURNED, MOST_TURNED)
  const fits = Math.cos(rotation) + Math.abs(Math.sin(rotation)) * Math.max(width, height) / Math.min(width, height)
  return { rotation, zoom: fits * random.between(1.002, 1.03), shift: { x: random.between(-0.5, 0.5), y: random.between(-0.5, 0.5) } }
}

const sampleFinish = (random: ReturnType<typeof randomFrom>): Finish => ({
  exposureStops: random.between(-0.2, 0.2), whiteBalance: [random.between(0.96, 1.04), 1, random.between(0.95, 1.05)],
  noise: random.between(0.002, 0.012), jpegQuality: Math.floor(random.between(72, 95))
})

/** Joints with an edit that is no swelling, and its kind. */
export function decoysOf(edit: HandEdit): Partial<Record<HandJoint, string>> {
  return Object.fromEntries(HAND_JOINTS.flatMap((joint) => {
    const kind = edit[joint]?.decoy?.kind
    return kind ? [[joint, kind]] : []
  }))
}
