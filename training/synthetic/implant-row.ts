import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { HandJoint } from '../../src/joints/hand-joint.ts'
import { decoysOf } from './implant-case.ts'
import type { ImplantCase } from './implant-case.ts'
import { placeIn } from './implant-edit.ts'
import { jointLabel, perJoint, tenth } from './label-row.ts'
import type { LabelRow } from './label-row.ts'
import type { PhotoHand } from './photo-hand.ts'
import type { PhotoOfPerson } from './photo-people.ts'
import { hashSeed, randomFrom } from './random.ts'
import type { ReaderChoice } from './reader-noise.ts'

/** What an implanted version is: the person, the hand, what was drawn. */
export interface ImplantOf {
  readonly photo: string, readonly of: PhotoOfPerson, readonly hand: PhotoHand, readonly made: ImplantCase
  readonly version: number, readonly split: string, readonly seed: number
}

/** The row of an edited photo: the source's person is the patient, each version a visit. */
export function implantRow(row: ImplantOf, choice: ReaderChoice): LabelRow {
  const { joints } = row.made
  const random = randomFrom(hashSeed(row.made.seed, 'readers'))
  return {
    ...photoRow(row, HAND_JOINTS.filter((joint) => joints[joint]?.swelling === 0 && joints[joint].erythema > 0)),
    joints: perJoint((joint) => jointLabel(joints[joint] ?? CALM, choice, random)), decoys: decoysOf(joints)
  }
}

/** The row of the same reading of the photo without any edit. */
export function untouchedRow(row: ImplantOf): LabelRow {
  return { ...photoRow(row, []), joints: perJoint(() => ({ swelling: 0, erythema: 0, trueLabel: 0, label: 0, readers: [0, 0] })) }
}

const CALM = { swelling: 0, erythema: 0 } as const
const NO_CONFOUNDERS = { nodes: {}, redHand: 0, ring: null, polish: false, veins: 0, folds: 0, spots: 0, hair: 0, knucklePigment: 0 }

function photoRow({ photo, of, hand, made, version, split, seed }: ImplantOf, red: readonly HandJoint[]): Omit<LabelRow, 'joints'> {
  return {
    photo, patient: of.person, visit: version, side: hand.side, view: 'dorsal', skinTone: of.skinTone, age: of.age, sex: of.sex, mesh: null,
    confounders: { ...NO_CONFOUNDERS, erythemaWithoutSwelling: red },
    trueJoints: perJoint((joint) => {
      const { x, y } = placeIn(made.reading, hand.photo, hand.joints.get(joint)!.centre)
      return [tenth(x), tenth(y)]
    }),
    split, seed, maker: 'implant', source: of.file
  }
}
