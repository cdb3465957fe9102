import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import type { SurfaceJoint } from './surface-joint.ts'
import type { Vec3 } from './vectors.ts'

/** Swelling grade as the generator draws it: 0 none, 1 mild, 2 moderate, 3 marked. */
export type Grade = 0 | 1 | 2 | 3

export interface JointState {
  readonly swelling: Grade
  /** Extra haemoglobin over the joint, 0..1. */
  readonly erythema: number
  /** Size of a bony Heberden or Bouchard node, 0..1: a confounder, never an inflamed joint. */
  readonly node: number
}
export type JointStates = Readonly<Record<SurfaceJoint, JointState>>

/** Which mesh a hand is made from: mesh-library.ts says where each comes from. */
export type MeshName = 'webxr' | 'makehuman' | 'godot'

/** What stays the same in every photo of one patient. */
export interface Identity {
  readonly seed: number
  readonly ageYears: number
  readonly sex: 'female' | 'male'
  /** Monk Skin Tone, 1 lightest to 10 darkest. */
  readonly monkTone: number
  readonly skin: SkinTraits
  readonly build: Build
  readonly mesh: MeshName
  readonly shape: BodyShape
  /** Null: a back of the hand as bare as its mesh, as in the committed demo photos. */
  readonly dorsum: Dorsum | null
}

/** How plainly a healthy back of the hand shows what lies under its skin, 0 (fat, young) to about 1 (lean, old). */
export interface Dorsum {
  readonly knuckles: number
  readonly tendons: number
  readonly ulnarHead: number
  readonly snuffbox: number
  readonly wristCreases: number
}

export interface SkinTraits {
  /** 0 young to 1 old. */
  readonly age: number
  /** Optical depth of melanin and haemoglobin. */
  readonly melanin: number
  readonly haemoglobin: number
  readonly blotches: number
  readonly knucklePigment: number
  /** Redness over the MCP joints that is no sign of anything, in the measure of erythema. Absent: none. */
  readonly knuckleFlush?: number
  readonly texture: number
  /** Diffuse redness of the whole hand: a confounder. */
  readonly redness: number
  readonly folds: number
  readonly veins: number
  readonly spots: number
  readonly hair: number
}

export interface Build {
  readonly fingerThickness: number
  /** Breadth of the index finger's PIP joint as a share of the hand's length; the other fingers in proportion. Absent: as the mesh has it. */
  readonly fingerBreadth?: number
  /** Factor of each finger's segment lengths. */
  readonly fingerLength: readonly number[]
  readonly palmWidth: number
  /** Fat over the back of the hand and between the finger joints, mm. */
  readonly padding?: number
}

/** Bones and flesh of a MakeHuman body beyond its sex and age; the other meshes have one shape each. */
export interface BodyShape {
  /** Factor of all lengths. */
  readonly size: number
  /** Between the two ancestries that each macro target knows: 0 to 1, a little beyond for variety. */
  readonly ancestry: number
  readonly stoutness: number
  readonly leanness: number
  readonly strength: number
  /** -1 slender to 1 thick. */
  readonly fingerDiameter: number
}

export interface Pose {
  readonly abductionDegrees: readonly number[]
  /** How far the fingers of the rest pose are brought together before that: 0 as the mesh spreads them, 1 beside the middle finger's. */
  readonly closeness?: number
  readonly flexionDegrees: readonly number[]
  /** How far bent fingers of the rest pose are straightened, 0..1. */
  readonly straightening: number
  /** Bend of fixed deformities beyond the flexion above: per finger at MCP, PIP, DIP; negative bends backwards. */
  readonly deformityDegrees?: readonly (readonly number[])[]
}

export interface Adornments {
  readonly polish: Vec3 | null
  readonly ring: { readonly finger: number, readonly gold: boolean } | null
  readonly cuff?: Cuff
}

/** Cloth from the edge towards the elbow, or a strap below it; `edgeMm` along the hand, 0 at the wrist, negative on the forearm. */
export interface Cuff {
  readonly kind: 'sleeve' | 'watch'
  readonly edgeMm: number
  readonly hue: number
  readonly saturation: number
  readonly value: number
}

/** What skin wears that is no sign of inflammation. */
export interface SkinMarks {
  readonly scars: readonly Scar[]
  readonly patches: readonly Patch[]
  readonly tan: Tan | null
}

/** A healed cut over a joint. */
export interface Scar {
  readonly joint: HandJoint
  readonly lengthMm: number
  readonly widthMm: number
  /** From the finger's direction. */
  readonly turnDegrees: number
  /** Middle of the scar from the joint's centre, along the finger and sideways, mm. */
  readonly atMm: readonly [number, number]
  /** Pink and fresh, or pale and old. */
  readonly pink: boolean
  /** Height over the skin, mm; negative for a sunken scar. */
  readonly raisedMm: number
}

/** Red, scaly skin between two joints, `share` of the way from one to the other (beyond 1: further). */
export interface Patch {
  readonly from: HandJoint
  readonly to: HandJoint
  readonly share: number
  readonly radiusMm: number
  readonly redness: number
  /** White scales, 0 eczema to 1 psoriasis. */
  readonly scales: number
}

/** A tanned hand; paler where a strap or sleeve covered it. */
export interface Tan {
  readonly depth: number
  readonly pale: 'strap' | 'sleeve' | 'none'
  /** Edge of the pale skin nearest the hand, as `Cuff.edgeMm`. */
  readonly edgeMm: number
}

export interface Light {
  readonly azimuthDegrees: number
  readonly elevationDegrees: number
  /** Angular size of the key light; the larger, the softer its shadows. */
  readonly softness: number
  readonly key: number
  /** -1 cold to 1 warm. */
  readonly warmth: number
  readonly ambient: number
}

export interface CameraPlace {
  readonly distanceMm: number
  readonly tiltDegrees: readonly [number, number]
  readonly rollDegrees: number
  readonly offsetMm: readonly [number, number]
  readonly fieldOfViewDegrees: number
}

export type Surface = 'wood' | 'cloth' | 'paper' | 'stone' | 'plain'
export interface Background {
  readonly surface: Surface
  readonly hue: number
  readonly saturation: number
  readonly value: number
  readonly scale: number
  readonly seed: number
}

export interface Sensor {
  readonly exposureStops: number
  readonly whiteBalance: Vec3
  readonly noise: number
  /** Gaussian blur, sigma in pixels of a 512-pixel picture; 0 for none. */
  readonly blur: number
  readonly sharpen: number
  readonly contrast: number
  readonly jpegQuality: number
  /** The camera moved: pixels of a 512-pixel picture, and their direction. */
  readonly motion?: { readonly pixels: number, readonly angleDegrees: number }
}

/**
 * Confounders that only challenge sets have (challenge.ts): absent, or by joint, or a strength of the whole hand, which is
 * 0.6 to 1 so that an evaluation counts it as present.
 */
export interface Challenge {
  readonly ulnarDrift?: number
  readonly swanNeck?: readonly HandJoint[]
  readonly boutonniere?: readonly HandJoint[]
  readonly scars?: readonly HandJoint[]
  readonly patches?: number
  readonly tan?: number
  readonly stout?: number
  readonly motionBlur?: number
  readonly warmLight?: number
  readonly sleeve?: boolean
  readonly watch?: boolean
}

/** Everything one photo is made of. The same case gives the same bytes. */
export interface HandCase {
  readonly seed: number
  readonly side: Laterality
  readonly identity: Identity
  /** Seed of this hand's own folds, veins and pigment: the two hands of a patient differ. */
  readonly handSeed: number
  readonly joints: JointStates
  readonly adornments: Adornments
  readonly pose: Pose
  readonly light: Light
  readonly camera: CameraPlace
  readonly background: Background
  readonly sensor: Sensor
  readonly marks?: SkinMarks
  /** What a challenge drew, as its row names it. */
  readonly challenge?: Challenge
}
