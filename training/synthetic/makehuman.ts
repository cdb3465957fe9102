import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SkinnedMesh } from './gltf.ts'
import type { Identity } from './hand-case.ts'
import { FINGERS, THUMB } from './surface-joint.ts'
import { add, length, normalise, scale, subtract } from './vectors.ts'
import type { Vec3 } from './vectors.ts'

/**
 * Right hand and forearm cut out of the MakeHuman base mesh (CC0), shaped by its macro targets: every patient a bone
 * structure of their own. Lengths are metres, as in a glTF file.
 */
export interface MakehumanHand { shapedLike(identity: Pick<Identity, 'sex' | 'ageYears' | 'shape'>): SkinnedMesh }

/** A shape target: the hand's vertices that it moves, and how far. */
export type Target = readonly (readonly [vertex: number, shift: Vec3])[]

/** MakeHuman's unit is the decimetre. */
const METRES = 0.1
/** The forearm is cut here, decimetres from the wrist: past the frame of every camera. */
const FOREARM_REACH = 1.7
/** A vertex belongs to the hand and forearm if their bones hold at least this much of it. */
const OWN_WEIGHT = 0.85

/** The hand's bones by our names; a finger's tip is where its last bone ends. */
const FINGER_BONES = FINGERS.map((finger, f) => f === THUMB
  ? [[`${finger}_metacarpal`, 'finger1-1.R'], [`${finger}_proximal`, 'finger1-2.R'], [`${finger}_distal`, 'finger1-3.R']]
  : [[`${finger}_metacarpal`, `metacarpal${f}.R`], [`${finger}_proximal`, `finger${f + 1}-1.R`],
      [`${finger}_intermediate`, `finger${f + 1}-2.R`], [`${finger}_distal`, `finger${f + 1}-3.R`]]) as
  readonly (readonly (readonly [string, string])[])[]
const ARM_BONES = [['wrist', ['wrist.R']], ['lowerarm', ['lowerarm02.R', 'lowerarm01.R']]] as const

export interface Skeleton { bones: Record<string, { head: string, tail: string }>, joints: Record<string, number[]> }
export type Weights = Record<string, (readonly [number, number])[]>

const ANCESTRIES: Readonly<Record<`${Identity['sex']}-${'young' | 'old'}`, readonly string[]>> = {
  'female-young': ['asian', 'caucasian'], 'female-old': ['african', 'caucasian'],
  'male-young': ['asian', 'caucasian'], 'male-old': ['asian', 'caucasian']
}
const macro = (...words: string[]) => `macrodetails_${words.join('-')}.target`
const BUILD_TARGETS = {
  stout: { female: macro('universal-female-old-averagemuscle-maxweight'), male: macro('universal-male-old-averagemuscle-maxweight') },
  lean: macro('universal-female-young-minmuscle-minweight'), strong: macro('universal-male-young-maxmuscle-maxweight'),
  thickFingers: 'r-hand-fingers-diameter-incr.target'
} as const

/** Files that are read, all from one folder in the layout of MakeHuman's own (`macrodetails/` written as a prefix). */
export const MAKEHUMAN_FILES: readonly string[] = [
  'base.obj', 'default.mhskel', 'default_weights.mhw',
  ...Object.entries(ANCESTRIES).flatMap(([body, ancestries]) => ancestries.map((ancestry) => macro(ancestry, body))),
  BUILD_TARGETS.stout.female, BUILD_TARGETS.stout.male, BUILD_TARGETS.lean, BUILD_TARGETS.strong, BUILD_TARGETS.thickFingers
]

/** How much of each target file makes this body. */
export function targetShares({ sex, ageYears, shape }: Pick<Identity, 'sex' | 'ageYears' | 'shape'>): Map<string, number> {
  const old = Math.min(1, Math.max(0, (ageYears - 25) / 60))
  const shares = new Map<string, number>()
  for (const [age, weight] of [['young', 1 - old], ['old', old]] as const) {
    const [first, second] = ANCESTRIES[`${sex}-${age}`]
    shares.set(macro(first!, sex, age), weight * shape.ancestry)
    shares.set(macro(second!, sex, age), weight * (1 - shape.ancestry))
  }
  const { stoutness, leanness, strength, fingerDiameter } = shape
  shares.set(BUILD_TARGETS.stout[sex], stoutness)
  if (sex === 'female') shares.set(BUILD_TARGETS.lean, leanness)
  else shares.set(BUILD_TARGETS.strong, strength)
  shares.set(BUILD_TARGETS.thickFingers, fingerDiameter)
  return shares
}

/** Reads the files of `folder`; the caller has checked their digests. */
export function readMakehuman(folder: string): MakehumanHand {
  const text = (file: string) => readFileSync(join(folder, file), 'utf8')
  const { weights } = JSON.parse(text('default_weights.mhw')) as { weights: Weights }
  return cutHand(parseObj(text('base.obj')), JSON.parse(text('default.mhskel')) as Skeleton, weights,
    (file) => parseTarget(text(file)))
}

export interface Body { readonly positions: readonly Vec3[], readonly faces: readonly (readonly number[])[] }

export function cutHand(body: Body, skeleton: Skeleton, weights: Weights, readTarget: (file: string) => Target): MakehumanHand {
  const bones = [...ARM_BONES.map(([name, from]) => ({ name, from, ends: skeleton.bones[from[0]]!.head })),
    ...FINGER_BONES.flatMap((chain) => [
      ...chain.map(([name, from]) => ({ name, from: [from], ends: skeleton.bones[from]!.head })),
      { name: chain[0]![0].replace('metacarpal', 'tip'), from: [], ends: skeleton.bones[chain.at(-1)![1]]!.tail }
    ])]
  const rows = body.positions.map(() => new Float64Array(bones.length))
  bones.forEach(({ from }, bone) => {
    for (const name of from) for (const [vertex, weight] of weights[name] ?? []) rows[vertex]![bone]! += weight
  })
  const middleOf = (joint: string, positions: readonly Vec3[]) => {
    const around = skeleton.joints[joint]!
    return scale(around.map((vertex) => positions[vertex]!).reduce(add), 1 / around.length)
  }
  const wrist = middleOf(bones[0]!.ends, body.positions)
  const own = rows.map((row, vertex) => row.reduce((sum, weight) => sum + weight, 0) > OWN_WEIGHT &&
    length(subtract(body.positions[vertex]!, wrist)) < FOREARM_REACH + (row[0]! + row[1]! < 0.5 ? 1 : 0))
  const faces = body.faces.filter((face) => face.every((vertex) => own[vertex]))
  const kept = [...new Set(faces.flat())]
  const renamed = new Map(kept.map((vertex, i) => [vertex, i]))
  const triangles = faces.flatMap((face) => fan(face.map((vertex) => renamed.get(vertex)!)))
  const keptRows = kept.map((vertex) => rows[vertex]!)
  const targets = new Map<string, Target>()
  const target = (file: string) => {
    const known = targets.get(file) ?? readTarget(file)
    targets.set(file, known)
    return known
  }
  return {
    shapedLike(identity) {
      const positions = body.positions.slice()
      for (const [file, share] of targetShares(identity)) {
        if (share === 0) continue
        for (const [vertex, shift] of target(file)) positions[vertex] = add(positions[vertex]!, scale(shift, share))
      }
      const metres = METRES * identity.shape.size
      const places = bones.map(({ ends }) => scale(middleOf(ends, positions), metres))
      return {
        positions: kept.map((vertex) => scale(positions[vertex]!, metres)), weights: keptRows, triangles,
        boneNames: bones.map(({ name }) => name),
        bonePositions: places.map((place, bone) => knuckle(bones, places, bone) ?? place)
      }
    }
  }
}

/** Proximal over middle phalanx of index to little finger (means of Buryanov and Kotiuk 2010, table 2). */
const PROXIMAL_OVER_MIDDLE = [39.78 / 22.38, 44.63 / 26.33, 41.37 / 25.65, 32.74 / 18.11] as const

/**
 * MakeHuman turns its fingers where they leave the palm, about 10 mm beyond the knuckles. The MCP joint is moved back
 * along its metacarpal until the phalanges have human proportions. Undefined for every other bone.
 */
function knuckle(bones: readonly { name: string }[], places: readonly Vec3[], bone: number): Vec3 | undefined {
  const finger = FINGERS.indexOf(bones[bone]!.name.replace('_proximal', '') as typeof FINGERS[number])
  if (finger <= THUMB) return undefined
  const root = places[bone - 1]!, mcp = places[bone]!, pip = places[bone + 1]!, dip = places[bone + 2]!
  const back = PROXIMAL_OVER_MIDDLE[finger - 1]! * length(subtract(dip, pip)) - length(subtract(pip, mcp))
  return add(mcp, scale(normalise(subtract(root, mcp)), Math.max(0, back)))
}

const fan = ([first, ...rest]: readonly number[]): number[] =>
  rest.slice(1).flatMap((corner, i) => [first!, rest[i]!, corner])

/** Vertices and the faces of group `body` of a Wavefront file. */
export function parseObj(text: string): Body {
  const positions: Vec3[] = [], faces: number[][] = []
  let group = ''
  for (const line of text.split('\n')) {
    const [kind, ...words] = line.trim().split(/\s+/)
    if (kind === 'v') positions.push(words.map(Number) as unknown as Vec3)
    else if (kind === 'g') group = words[0]!
    else if (kind === 'f' && group === 'body') faces.push(words.map((word) => Number.parseInt(word) - 1))
  }
  return { positions, faces }
}

export function parseTarget(text: string): Target {
  return text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#')).map((line) => {
    const [vertex, x, y, z] = line.trim().split(/\s+/).map(Number)
    return [vertex!, [x!, y!, z!]]
  })
}
