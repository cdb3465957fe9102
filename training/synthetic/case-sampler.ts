import { LATERALITIES, jointGroup } from '../../src/joints/hand-joint.ts'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import type {
  Background, BodyShape, CameraPlace, Dorsum, Grade, HandCase, Identity, JointState, JointStates, Light, MeshName, Pose, Sensor
} from './hand-case.ts'
import { hashSeed, randomFrom } from './random.ts'
import type { Random } from './random.ts'
import { FINGERS, SURFACE_JOINTS, jointKind } from './surface-joint.ts'
import type { SurfaceJoint } from './surface-joint.ts'

/**
 * patient → visit → hand, each from its own hashed seed: adding a visit changes no other photo. Edition 1 (when left out) is what the bundle
 * learned from. In edition 2 the same people with the same joints swollen have fingers as broad as people's, held together or spread, redder
 * knuckles, some of them smooth backs of hands, and lie on bright tables and in bright rooms too.
 */
export interface PatientKey { readonly seed: number, readonly split: string, readonly patient: string, readonly edition?: Edition }
export type Edition = 1 | 2
export type Prevalence = 'natural' | 'balanced'

/**
 * Share of patients with active disease, and of swollen joints among those. Natural: about one joint in ten, most
 * patients with none. Balanced: about two joints in five, which is what training needs (method note, synthetic hands).
 */
export const DISEASE: Readonly<Record<Prevalence, { activePatients: number, swollenWhenActive: number }>> = {
  natural: { activePatients: 0.42, swollenWhenActive: 0.24 },
  balanced: { activePatients: 0.94, swollenWhenActive: 0.44 }
}
export const expectedPrevalence = (prevalence: Prevalence): number =>
  DISEASE[prevalence].activePatients * DISEASE[prevalence].swollenWhenActive

/** RA likes the second and third MCP and PIP joints and the wrist best (mean about 1 over the 11 joints). */
const JOINT_LIKING: Readonly<Record<HandJoint, number>> = {
  wrist: 1.3, mcp1: 0.8, mcp2: 1.3, mcp3: 1.2, mcp4: 0.85, mcp5: 0.95, ip1: 0.75, pip2: 1.05, pip3: 1.2, pip4: 0.95, pip5: 0.65
}

/** `meshes`: each patient's hands are made from one of them, with even odds. */
export function sampleIdentity(key: PatientKey, meshes: readonly MeshName[] = ['webxr']): Identity {
  const seed = hashSeed(key.seed, key.split, key.patient, 'identity')
  const random = randomFrom(seed)
  const ageYears = Math.round(random.between(20, 86))
  const sex = random.chance(0.7) ? 'female' : 'male'
  const monkTone = 1 + Math.floor(10 * random.uniform())
  const age = Math.min(1, (ageYears - 20) / 65)
  const melanin = melaninOf(monkTone) * random.between(0.9, 1.1)
  const hairy = random.chance(sex === 'male' ? 0.65 : 0.25)
  const thickness = sex === 'male' ? 1.06 : 1
  const length = random.between(0.93, 1.06)
  const mesh = ownStream(key, 'mesh').pick(meshes)
  const lengths = ownStream(key, 'finger lengths')
  // The older mesh keeps its fingers as they were first drawn.
  const ownLength = () => mesh === 'webxr' ? 1 : lengths.normal(1, 0.03)
  const shape = sampleBodyShape(ownStream(key, 'shape'), sex)
  const back = ownStream(key, 'dorsum'), dorsum = sampleDorsum(back, age, shape)
  return {
    seed, ageYears, sex, monkTone, mesh, shape, dorsum: key.edition === 2 ? someSmooth(dorsum, back) : dorsum,
    skin: {
      age, melanin,
      haemoglobin: random.between(0.5, 1), blotches: random.between(0.05, 0.25),
      knucklePigment: Math.max(0, random.normal(0.35, 0.25)), texture: random.between(0.6, 1.5),
      ...isCloser(key, mesh) ? { knuckleFlush: Math.min(1, Math.abs(ownStream(key, 'knuckle flush').normal(0, 0.45))) } : {},
      redness: random.chance(0.15) ? random.between(0.1, 0.45) : 0,
      folds: random.between(0.55, 1.35) * (0.85 + 0.4 * age), veins: random.uniform() * (0.35 + 0.65 * age),
      spots: age > 0.55 && melanin < 1.3 ? random.uniform() : 0, hair: hairy ? random.between(0.2, 1) : 0
    },
    build: {
      fingerThickness: thickness * random.between(0.9, 1.11), palmWidth: random.between(0.94, 1.06),
      fingerLength: FINGERS.map(() => length * random.between(0.985, 1.015) * ownLength()),
      ...isCloser(key, mesh) ? { fingerBreadth: FINGER_BREADTH[sex] * ownStream(key, 'finger breadth').normal(1, 0.05) } : {}
    }
  }
}

/**
 * Breadth of the index finger's PIP joint over the hand's length: medians of 21 mm in men and 18 mm in women (FAA Human Factors Design
 * Standard, appendix B) on hands as long as those below. The meshes have 0.09.
 */
const FINGER_BREADTH: Readonly<Record<Identity['sex'], number>> = { male: 21 / 190, female: 18 / 174 }

/** Random numbers of their own for traits that were added later, so that no older trait of the patient changes. */
const ownStream = ({ seed, split, patient }: PatientKey, trait: string): Random =>
  randomFrom(hashSeed(seed, split, patient, 'identity', trait))

/** Hand lengths of 189 ± 9 mm in men and 174 ± 8 mm in women come out of these sizes (MakeHuman's hands are 174 mm). */
function sampleBodyShape(random: Random, sex: Identity['sex']): BodyShape {
  const stout = random.chance(0.3)
  return {
    size: sex === 'male' ? random.normal(1.08, 0.05) : random.normal(1, 0.045),
    ancestry: random.between(-0.15, 1.15), stoutness: stout ? random.between(0.25, 0.9) : random.between(0, 0.2),
    leanness: stout ? 0 : random.between(0, 0.7), strength: random.between(-0.1, 0.8),
    fingerDiameter: Math.min(1.2, Math.max(-0.8, random.normal(0, 0.5)))
  }
}

/** Lean and old hands show tendons, valleys and bones; stout ones hide them, some altogether. */
function sampleDorsum(random: Random, age: number, { stoutness }: BodyShape): Dorsum {
  const lean = Math.min(1.1, Math.max(0, random.normal(0.6, 0.27) + 0.3 * (age - 0.4) - 0.6 * stoutness))
  return {
    knuckles: lean * random.between(0.6, 1.15), tendons: random.chance(0.12) ? 0 : lean * random.between(0.3, 1.15),
    ulnarHead: lean * random.between(0.4, 1.2), snuffbox: lean * random.between(0.4, 1.2),
    wristCreases: random.between(0, 0.6) + 0.5 * age
  }
}

/** The maker that training never sees (godot) keeps its own hands in both editions. */
const isCloser = ({ edition }: PatientKey, mesh: MeshName): boolean => edition === 2 && mesh !== 'godot'

/** Many healthy backs of hands are smooth when they lie flat: no valley is no sign of swelling. */
function someSmooth(dorsum: Dorsum, random: Random): Dorsum {
  if (!random.chance(0.35)) return dorsum
  return { ...dorsum, knuckles: dorsum.knuckles * random.between(0, 0.4), tendons: dorsum.tendons * random.between(0, 0.5) }
}

/** Optical depth of melanin for a Monk tone: 0.17 to 3.0 in even ratios. A guess; erythema fades with it, as in life. */
export const melaninOf = (monkTone: number): number => 0.17 * (3 / 0.17) ** ((monkTone - 1) / 9)

/** Both hands of one visit. Later visits keep the identity; their disease activity is drawn anew around the patient's own. */
export function sampleVisit(
  key: PatientKey, visit: number, prevalence: Prevalence, meshes?: readonly MeshName[]
): Record<Laterality, HandCase> {
  const identity = sampleIdentity(key, meshes)
  const joints = sampleDisease(key, visit, prevalence, identity)
  const scene = randomFrom(hashSeed(key.seed, key.split, key.patient, visit, 'scene'))
  const room = key.edition === 2 ? randomFrom(hashSeed(key.seed, key.split, key.patient, visit, 'room')) : undefined
  const background = sampleBackground(scene, room), light = sampleLight(scene, room), sensor = exposedForTheHand(sampleSensor(scene), background, room)
  const polish = scene.chance(identity.sex === 'female' ? 0.16 : 0.02)
    ? [scene.uniform(), scene.uniform() * 0.3, scene.uniform() * 0.4] as const : null
  const hand = (side: Laterality): HandCase => {
    const seed = hashSeed(key.seed, key.split, key.patient, visit, side)
    const random = randomFrom(seed)
    return {
      seed, side, identity, handSeed: hashSeed(identity.seed, side), joints: joints[side], background, sensor,
      adornments: {
        polish,
        ring: random.chance(0.18) ? { finger: random.pick([1, 2, 3, 3]), gold: random.chance(0.6) } : null
      },
      light: { ...light, azimuthDegrees: light.azimuthDegrees + random.between(-15, 15) },
      pose: { ...samplePose(random), ...isCloser(key, identity.mesh) ? { closeness: sampleCloseness(randomFrom(hashSeed(seed, 'closeness'))) } : {} },
      camera: sampleCamera(random)
    }
  }
  return { left: hand('left'), right: hand('right') }
}

/** The same hands in the same light on something else, to which the camera exposes anew; `another` draws what. */
export function onAnotherBackground(
  key: PatientKey, visit: number, hands: Readonly<Record<Laterality, HandCase>>, another: number
): Record<Laterality, HandCase> {
  const random = randomFrom(hashSeed(key.seed, key.split, key.patient, visit, 'background', another))
  const background = sampleBackground(random, key.edition === 2 ? random : undefined)
  return { left: { ...hands.left, background }, right: { ...hands.right, background } }
}

/**
 * Which joints are swollen: a Gaussian latent per joint, shared in part by the whole patient, the joint group and the same
 * joint of the other hand (RA is roughly symmetric), above a threshold that gives the wanted rate.
 */
function sampleDisease(
  key: PatientKey, visit: number, prevalence: Prevalence, identity: Identity
): Record<Laterality, JointStates> {
  const lasting = randomFrom(hashSeed(key.seed, key.split, key.patient, 'disease'))
  const active = lasting.chance(DISEASE[prevalence].activePatients)
  const patient = lasting.normal()
  const random = randomFrom(hashSeed(key.seed, key.split, key.patient, visit, 'disease'))
  const thisVisit = random.normal()
  const group = { wrist: random.normal(), mcp: random.normal(), pip: random.normal() }
  const symmetric = new Map(SURFACE_JOINTS.map((joint) => [joint, random.normal()]))
  const nodes = sampleNodes(lasting, identity)
  const state = (side: Laterality, joint: SurfaceJoint): JointState => {
    const node = nodes[side][joint]
    if (jointKind(joint) === 'dip') return { swelling: 0, erythema: 0, node }
    const hand = joint as HandJoint
    const latent = Math.sqrt(0.2) * patient + Math.sqrt(0.1) * thisVisit + Math.sqrt(0.15) * group[jointGroup(hand)] +
      Math.sqrt(0.2) * symmetric.get(joint)! + Math.sqrt(0.35) * random.normal()
    const rate = Math.min(0.9, DISEASE[prevalence].swollenWhenActive * JOINT_LIKING[hand])
    const swollen = active && normalCdf(latent) > 1 - rate
    const grade: Grade = random.pick([1, 1, 2, 2, 3] as const)
    const red = swollen ? random.chance(0.55) : random.chance(0.07)
    const redness = swollen ? random.between(0.2, 1) * grade / 3 : random.between(0.2, 0.8)
    return { swelling: swollen ? grade : 0, erythema: red ? redness : 0, node }
  }
  const states = (side: Laterality) =>
    Object.fromEntries(SURFACE_JOINTS.map((joint) => [joint, state(side, joint)])) as JointStates
  return Object.fromEntries(LATERALITIES.map((side) => [side, states(side)])) as Record<Laterality, JointStates>
}

/** Heberden and Bouchard nodes of hand osteoarthritis, commoner with age: the confounder clinicians name first. */
function sampleNodes(random: Random, { ageYears }: Identity): Record<Laterality, Record<SurfaceJoint, number>> {
  const osteoarthritis = random.chance(ageYears < 40 ? 0.06 : ageYears < 60 ? 0.25 : 0.45)
  const size = (joint: SurfaceJoint) => {
    const rate = !osteoarthritis ? 0 : jointKind(joint) === 'dip' ? 0.4 : jointKind(joint) === 'pip' ? 0.2 : 0
    return random.chance(rate) ? random.between(0.4, 1) : 0
  }
  const hand = () => Object.fromEntries(SURFACE_JOINTS.map((joint) => [joint, size(joint)])) as Record<SurfaceJoint, number>
  return { left: hand(), right: hand() }
}

/** Standard normal distribution function (Abramowitz and Stegun 26.2.17, error below 1e-7). */
export function normalCdf(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x))
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  const upper = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) * poly
  return x > 0 ? 1 - upper : upper
}

function samplePose(random: Random): Pose {
  const between = (ranges: readonly (readonly [number, number])[]) => ranges.map(([low, high]) => random.between(low, high))
  return {
    abductionDegrees: between([[-6, 10], [-4, 5], [-2, 2], [-4, 5], [-5, 8]]),
    flexionDegrees: between(FINGERS.map(() => [-4, 10])),
    straightening: random.between(0.7, 1)
  }
}

/** Edition 2: a third of the hands lie with their fingers held together, the others anywhere between that and the mesh's own fan. */
const sampleCloseness = (random: Random): number => random.chance(0.35) ? random.between(0.9, 1.1) : random.between(0, 0.9)

const sampleLight = (random: Random, room: Random | undefined): Light => ({
  azimuthDegrees: random.between(0, 360), elevationDegrees: random.between(28, 75), softness: random.between(0.04, 0.3),
  key: random.between(0.5, 1.4), warmth: random.between(-1, 1), ambient: random.between(0.5, 1),
  // A bright room without a lamp of its own.
  ...room?.chance(0.3) ? { softness: room.between(0.3, 0.6), key: room.between(0.2, 0.6), ambient: room.between(0.9, 1.3) } : {}
})

const sampleCamera = (random: Random): CameraPlace => ({
  distanceMm: random.between(330, 430), tiltDegrees: [random.between(-14, 14), random.between(-12, 12)],
  rollDegrees: random.between(-25, 25), offsetMm: [random.between(-8, 8), random.between(-8, 8)],
  fieldOfViewDegrees: random.between(34, 41)
})

const sampleBackground = (random: Random, room: Random | undefined): Background => ({
  surface: random.pick(['wood', 'cloth', 'paper', 'stone', 'plain']), hue: random.uniform(),
  saturation: random.between(0.02, 0.45), value: random.between(0.15, 0.9), scale: random.between(0.6, 1.8),
  seed: Math.floor(random.uniform() * 1e6),
  // A sheet, a desk or an examination table.
  ...room?.chance(0.3) ? { surface: room.pick(['paper', 'plain'] as const), saturation: room.between(0, 0.08), value: room.between(0.85, 1) } : {}
})

/** On a bright table a camera that measures the hand, not the scene, lets the table burn out. */
const exposedForTheHand = (sensor: Sensor, { value }: Background, room: Random | undefined): Sensor =>
  room && value > 0.84 ? { ...sensor, exposureStops: sensor.exposureStops + room.between(0, 0.7) } : sensor

const sampleSensor = (random: Random): Sensor => ({
  exposureStops: random.between(-0.25, 0.25), whiteBalance: [random.between(0.93, 1.07), 1, random.between(0.9, 1.1)],
  noise: random.between(0.002, 0.018), blur: random.chance(0.3) ? random.between(0.3, 1.1) : 0,
  jpegQuality: Math.floor(random.between(62, 95)), contrast: random.between(0.9, 1.15),
  sharpen: random.chance(0.4) ? random.between(0.3, 0.9) : 0
})
