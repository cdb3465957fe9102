import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import type { Edition } from './case-sampler.ts'
import type { Challenge, Grade, HandCase, JointState, MeshName } from './hand-case.ts'
import { hashSeed, randomFrom } from './random.ts'
import type { Random } from './random.ts'
import { readTwice } from './reader-noise.ts'
import type { ReaderChoice } from './reader-noise.ts'
import { FINGERS, SURFACE_JOINTS } from './surface-joint.ts'
import type { SurfaceJoint } from './surface-joint.ts'

export interface JointLabel {
  readonly swelling: Grade
  readonly erythema: Grade
  /** Inflamed as generated: swelling of any grade. */
  readonly trueLabel: 0 | 1
  /** What two simulated readers (and a third where they differ) wrote down. */
  readonly label: 0 | 1
  readonly readers: readonly [0 | 1, 0 | 1]
}

export interface Confounders extends Challenge {
  /** Size of bony nodes by joint, DIP joints too, 0..1. */
  readonly nodes: Readonly<Partial<Record<SurfaceJoint, number>>>
  readonly erythemaWithoutSwelling: readonly HandJoint[]
  readonly redHand: number
  readonly ring: string | null
  readonly polish: boolean
  readonly veins: number
  readonly folds: number
  readonly spots: number
  readonly hair: number
  readonly knucklePigment: number
}

/** One line of labels.jsonl: one photo. */
export interface LabelRow {
  readonly photo: string
  readonly patient: string
  readonly visit: number
  readonly side: Laterality
  readonly view: 'dorsal'
  /** Monk Skin Tone 1..10. Of a real person (maker `implant`) null when nobody said, like age and sex. */
  readonly skinTone: number | null
  readonly age: number | null
  readonly sex: 'female' | 'male' | null
  /** What a rendered hand was made from; null for an edited photo. */
  readonly mesh: MeshName | null
  readonly joints: Readonly<Record<HandJoint, JointLabel>>
  readonly confounders: Confounders
  /** Joint centres, pixels. May lie outside the frame. As rendered; of an implant, as the landmark networks found them. */
  readonly trueJoints: Readonly<Record<HandJoint, readonly [number, number]>>
  readonly split: string
  readonly seed: number
  /** Of the generator (case-sampler.ts); absent: 1. */
  readonly edition?: Edition
  /** Swelling edited into a real photo (`source`, a path in the user's folder). Absent: rendered. */
  readonly maker?: 'implant'
  readonly source?: string
  /** Edits that are no swelling. */
  readonly decoys?: Readonly<Partial<Record<HandJoint, string>>>
}

export interface PhotoOf {
  readonly photo: string, readonly patient: string, readonly visit: number, readonly split: string, readonly seed: number, readonly edition?: Edition
}

export function labelRow(
  of: PhotoOf, hand: HandCase, centres: ReadonlyMap<SurfaceJoint, readonly [number, number]>, choice: ReaderChoice
): LabelRow {
  const random = randomFrom(hashSeed(hand.seed, 'readers'))
  const { identity } = hand
  return {
    photo: of.photo, patient: of.patient, visit: of.visit, side: hand.side, view: 'dorsal',
    skinTone: identity.monkTone, age: identity.ageYears, sex: identity.sex, mesh: identity.mesh,
    joints: perJoint((joint) => jointLabel(hand.joints[joint], choice, random)),
    confounders: confounders(hand),
    trueJoints: perJoint((joint) => centres.get(joint)!.map(tenth) as unknown as readonly [number, number]),
    split: of.split, seed: of.seed, ...of.edition === 2 ? { edition: 2 } : {}
  }
}

/** What was drawn, and what the simulated readers said of it. */
export function jointLabel({ swelling, erythema }: Pick<JointState, 'swelling' | 'erythema'>, choice: ReaderChoice, random: Random): JointLabel {
  const trueLabel = swelling >= 1 ? 1 : 0
  return { swelling, erythema: erythemaGrade(erythema), trueLabel, ...readTwice(trueLabel, choice, random) }
}

/** 0 none, 1 up to a third of the strongest redness, 2 up to two thirds, 3 above. */
export const erythemaGrade = (erythema: number): Grade => Math.min(3, Math.ceil(erythema * 3)) as Grade

export const tenth = (x: number) => Math.round(x * 10) / 10
const hundredth = (x: number) => Math.round(x * 100) / 100

export function perJoint<T>(value: (joint: HandJoint) => T): Record<HandJoint, T> {
  return Object.fromEntries(HAND_JOINTS.map((joint) => [joint, value(joint)])) as Record<HandJoint, T>
}

function confounders({ joints, adornments, challenge, identity: { skin } }: HandCase): Confounders {
  return {
    nodes: Object.fromEntries(SURFACE_JOINTS.filter((joint) => joints[joint].node > 0)
      .map((joint) => [joint, hundredth(joints[joint].node)])),
    erythemaWithoutSwelling: HAND_JOINTS.filter((joint) => joints[joint].swelling === 0 && joints[joint].erythema > 0),
    redHand: hundredth(skin.redness), ring: adornments.ring ? FINGERS[adornments.ring.finger]! : null,
    polish: adornments.polish !== null, veins: hundredth(skin.veins), folds: hundredth(skin.folds),
    spots: hundredth(skin.spots), hair: hundredth(skin.hair), knucklePigment: hundredth(skin.knucklePigment),
    ...challenge
  }
}
