import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import type { PatientKey } from './case-sampler.ts'
import type { Challenge, Cuff, HandCase, Patch, Scar, SkinMarks } from './hand-case.ts'
import { hashSeed, randomFrom } from './random.ts'
import type { Random } from './random.ts'
import { jointKind } from './surface-joint.ts'

/** What a patient keeps from visit to visit, and what only one photo has. */
const LASTING = ['ulnarDrift', 'swanNeck', 'boutonniere', 'scars', 'tan', 'patches'] as const
const PASSING = ['sleeve', 'watch', 'motionBlur', 'warmLight'] as const
type Lasting = typeof LASTING[number]
type Passing = typeof PASSING[number]

/** Share of patients who are stout, in both hands. */
const STOUT = 0.15
/** A tan on the darkest skin cannot be seen, so nobody is called tanned there. */
const DARKEST_TAN = 7
/** Below it an evaluation calls a confounder of the whole hand absent (training/jointlens_training/evaluate.py, STRONG). */
const LEAST_STRENGTH = 0.6

/**
 * Both hands of a visit with one or two confounders each that the model was not trained on. Joints, and so labels, stay as
 * they were drawn; all random numbers are the challenge's own.
 */
export function challengeVisit(
  key: PatientKey, visit: number, hands: Readonly<Record<Laterality, HandCase>>
): Record<Laterality, HandCase> {
  const person = challengeStream(key, 'person')
  const stout = person.chance(STOUT) ? strength(person) : 0
  const challenged = (side: Laterality): HandCase => {
    const lasting = lastingKinds(challengeStream(key, side), stout > 0, hands[side].identity.monkTone)
    const passing = stout > 0 ? [] : passingKinds(challengeStream(key, side, visit), lasting.length)
    let hand = stout > 0 ? makeStout(hands[side], stout) : hands[side]
    for (const kind of lasting) hand = APPLY[kind](hand, challengeStream(key, side, kind))
    for (const kind of passing) hand = APPLY[kind](hand, challengeStream(key, side, visit, kind))
    return hand
  }
  return { left: challenged('left'), right: challenged('right') }
}

const challengeStream = ({ seed, split, patient }: PatientKey, ...of: readonly (string | number)[]): Random =>
  randomFrom(hashSeed(seed, split, patient, 'challenge', ...of))

const strength = (random: Random): number => Math.round(random.between(LEAST_STRENGTH, 1) * 100) / 100

/** None, one or two; a stout hand has at most one beside. */
function lastingKinds(random: Random, stout: boolean, monkTone: number): Lasting[] {
  if (!random.chance(0.75)) return []
  const kinds = LASTING.filter((kind) => kind !== 'tan' || monkTone <= DARKEST_TAN)
  const first = random.pick(kinds), second = random.pick(kinds)
  const both = !stout && second !== first && !(isPosed(first) && isPosed(second)) && random.chance(0.4)
  return both ? [first, second] : [first]
}

/** So many that the hand has one or two in all. */
function passingKinds(random: Random, lasting: number): Passing[] {
  return lasting === 0 || (lasting === 1 && random.chance(0.5)) ? [random.pick(PASSING)] : []
}

/** Two deformities of one hand would overwrite each other. */
const isPosed = (kind: Lasting): boolean => ['ulnarDrift', 'swanNeck', 'boutonniere'].includes(kind)

const APPLY: Readonly<Record<Lasting | Passing, (hand: HandCase, random: Random) => HandCase>> = {
  ulnarDrift: driftFingers,
  swanNeck: (hand, random) => bendFingers(hand, random, 'swanNeck', [10, -26, 42]),
  boutonniere: (hand, random) => bendFingers(hand, random, 'boutonniere', [-22, 52, -26]),
  scars(hand, random) {
    const scars = pickSome(HAND_JOINTS, 2 + Math.floor(random.between(0, 3)), random).map((joint) => sampleScar(joint, random))
    return named(marked(hand, { scars }), { scars: scars.map(({ joint }) => joint) })
  },
  tan(hand, random) {
    const tan = strength(random)
    return named(marked(hand, {
      tan: { depth: 1.3 * tan, pale: random.pick(['strap', 'strap', 'sleeve', 'sleeve', 'none'] as const), edgeMm: random.between(-26, -8) }
    }), { tan })
  },
  patches(hand, random) {
    const patches = strength(random), scales = random.chance(0.5) ? random.between(0.5, 1) : random.between(0, 0.25)
    return named(marked(hand, { patches: samplePatches(random, patches, scales) }), { patches })
  },
  sleeve: (hand, random) => named(wearing(hand, 'sleeve', random.between(-34, -16), random), { sleeve: true }),
  watch: (hand, random) => named(wearing(hand, 'watch', random.between(-32, -18), random), { watch: true }),
  motionBlur(hand, random) {
    const motionBlur = strength(random)
    const motion = { pixels: 8 * motionBlur, angleDegrees: random.between(0, 180) }
    return named({ ...hand, sensor: { ...hand.sensor, motion } }, { motionBlur })
  },
  warmLight(hand, random) {
    const warmLight = strength(random)
    const [red, green, blue] = hand.sensor.whiteBalance
    return named({
      ...hand, light: { ...hand.light, warmth: 1.6 * warmLight },
      sensor: { ...hand.sensor, whiteBalance: [red * (1 + 0.16 * warmLight), green, blue * (1 - 0.34 * warmLight)] }
    }, { warmLight })
  }
}

const named = (hand: HandCase, names: Challenge): HandCase => ({ ...hand, challenge: { ...hand.challenge, ...names } })

const marked = (hand: HandCase, marks: Partial<SkinMarks>): HandCase =>
  ({ ...hand, marks: { scars: [], patches: [], tan: null, ...hand.marks, ...marks } })

function pickSome<T>(of: readonly T[], total: number, random: Random): T[] {
  const left = [...of]
  return Array.from({ length: Math.min(total, of.length) }, () => left.splice(Math.floor(random.uniform() * left.length), 1)[0]!)
}

/** Fingers two to five lean to the little finger's side at their MCP joints, 25 to 42 degrees at the fifth. */
function driftFingers(hand: HandCase, random: Random): HandCase {
  const ulnarDrift = strength(random)
  const towardsUlnar = [0, -0.75, -0.85, 0.95, 1]
  const abductionDegrees = hand.pose.abductionDegrees.map((angle, finger) => angle * 0.4 + 42 * ulnarDrift * towardsUlnar[finger]!)
  return named({ ...hand, pose: { ...hand.pose, abductionDegrees } }, { ulnarDrift })
}

/** One to three fingers fixed in a bend (degrees at MCP, PIP, DIP); the PIP joint names it. */
function bendFingers(hand: HandCase, random: Random, name: 'swanNeck' | 'boutonniere', bend: readonly number[]): HandCase {
  const fingers = pickSome([1, 2, 3, 4], 1 + Math.floor(random.between(0, 3)), random).sort()
  const deformityDegrees = [0, 1, 2, 3, 4].map((finger) => {
    const size = random.between(0.75, 1.1)
    return fingers.includes(finger) ? bend.map((angle) => angle * size) : [0, 0, 0]
  })
  const joints = fingers.map((finger) => `pip${finger + 1}` as HandJoint)
  return named({ ...hand, pose: { ...hand.pose, deformityDegrees } }, { [name]: joints })
}

/** Along the finger after an operation, or across it after a cut. */
function sampleScar(joint: HandJoint, random: Random): Scar {
  const kind = jointKind(joint), along = random.chance(0.65)
  const roomy = kind === 'wrist' ? 1.6 : kind === 'mcp' ? 1.15 : 0.9
  return {
    joint, lengthMm: roomy * (along ? random.between(18, 30) : random.between(9, 15)), widthMm: random.between(1.5, 3),
    turnDegrees: (along ? 0 : 90) + random.between(-20, 20), atMm: [random.between(-3, 3), random.between(-2, 2)],
    pink: random.chance(0.5), raisedMm: random.chance(0.65) ? random.between(0.25, 0.6) : random.between(-0.5, -0.25)
  }
}

/** Between joints only: over metacarpals, proximal phalanges and the forearm. */
function samplePatches(random: Random, redness: number, scales: number): Patch[] {
  const places = ([2, 3, 4, 5] as const).flatMap((finger) => [
    { from: 'wrist', to: `mcp${finger}`, share: random.between(0.4, 0.6), radiusMm: random.between(8, 12) },
    { from: `mcp${finger}`, to: `pip${finger}`, share: random.between(0.45, 0.55), radiusMm: random.between(4, 6) }
  ] as const)
  const forearm = { from: 'mcp3', to: 'wrist', share: random.between(1.3, 1.45), radiusMm: random.between(8, 12) } as const
  return pickSome([...places, forearm], 4 + Math.floor(random.between(0, 3)), random)
    .map((place) => ({ ...place, redness: 1.5 * redness, scales }))
}

function wearing(hand: HandCase, kind: Cuff['kind'], edgeMm: number, random: Random): HandCase {
  const cuff = { kind, edgeMm, hue: random.uniform(), saturation: random.between(0.05, 0.7), value: random.between(0.12, 0.9) }
  return { ...hand, adornments: { ...hand.adornments, cuff } }
}

/** Thick, soft hands: what lies under the skin of the back of the hand does not show. */
function makeStout(hand: HandCase, stout: number): HandCase {
  const { identity } = hand, { build, skin, shape, dorsum } = identity
  return named({
    ...hand,
    identity: {
      ...identity,
      build: { ...build, fingerThickness: build.fingerThickness + 0.4 * stout, palmWidth: build.palmWidth + 0.06 * stout, padding: 2.6 * stout },
      shape: { ...shape, stoutness: Math.max(shape.stoutness, stout), leanness: 0, fingerDiameter: Math.max(shape.fingerDiameter, stout) },
      skin: { ...skin, veins: 0.2 * skin.veins, folds: 0.85 * skin.folds },
      dorsum: dorsum && { ...dorsum, knuckles: 0.1 * dorsum.knuckles, tendons: 0, ulnarHead: 0.1 * dorsum.ulnarHead, snuffbox: 0.1 * dorsum.snuffbox }
    }
  }, { stout })
}
