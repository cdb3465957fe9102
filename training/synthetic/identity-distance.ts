import { sampleIdentity } from './case-sampler.ts'
import type { Identity } from './hand-case.ts'
import type { LabelRow } from './label-row.ts'

/** A person of a rendered folder: who they are, and one vector of features per photo. */
export interface Person {
  /** Seed, split and patient: the same key is the same person, the same patient id alone is not. */
  readonly key: string
  readonly identity: Identity
  readonly photos: readonly (readonly number[])[]
}

/** Nearest neighbours of one folder's people among another's, beside those within the other: 1 and 1 if strangers. */
export interface Nearness {
  /** Median distance to the nearest person over the same within the reference folder; 0 for copies. */
  readonly ratio: number
  /** Share of people nearer to the reference than 95 of 100 of its own people are to one another; about 0.05 by chance. */
  readonly tooNear: number
  /** Smallest distance to anybody of the reference, over the smallest within it. */
  readonly smallest: number
}

export interface IdentityReport {
  readonly people: readonly [number, number]
  readonly sharedKeys: readonly string[]
  readonly sharedSeeds: number
  readonly parameters: Nearness
  /** Absent where photos were not measured. */
  readonly photos?: Nearness & {
    /** Chance that two photos of one person are nearer than photos of two people: how well the features tell people apart. */
    readonly tellsApart: number
  }
  readonly verdict: 'no identity is shared' | 'identities are shared' | 'too few people to tell'
}

/** Below this the share of people that are too near means nothing. */
const FEWEST_PEOPLE = 20
const QUANTILE = 0.05
/**
 * One person drawn alike is this much nearer than any two strangers of the reference. Among splits of 40 to 200 strangers
 * the smallest distance across was 0.69 to 1.13 of that within, the median 0.93 to 1.10, and up to 0.25 of them were too near.
 */
const TWIN = 0.5, RATIO_OF_STRANGERS = 0.75, TOO_NEAR_OF_STRANGERS = 1 / 3

/** Who the patient of a row is, drawn anew; throws if the row was made by another version of the sampler. */
export function identityOf(row: Pick<LabelRow, 'seed' | 'split' | 'patient' | 'mesh' | 'age' | 'sex' | 'skinTone'>): Identity {
  const { seed, split, patient, mesh } = row
  if (mesh === null) throw new Error(`Expected rendered hands but ${patient} is a person of edited photos, whom nobody drew`)
  const identity = sampleIdentity({ seed, split, patient }, [mesh])
  if (identity.ageYears !== row.age || identity.sex !== row.sex || identity.monkTone !== row.skinTone) {
    throw new Error(`Expected patient ${patient} of seed ${seed} to be ${identity.sex}, ${identity.ageYears} years, Monk ` +
      `${identity.monkTone} but received ${row.sex}, ${row.age}, ${row.skinTone}: the folder is from another version of the sampler`)
  }
  return identity
}

/** Everything that is drawn once per person, as numbers. */
export function identityVector({ ageYears, sex, monkTone, skin, build, shape, dorsum, mesh }: Identity): number[] {
  return [
    ageYears, sex === 'female' ? 1 : 0, monkTone, ...numbers(skin), build.fingerThickness, build.palmWidth,
    ...build.fingerLength, ...(dorsum ? numbers(dorsum) : [0, 0, 0, 0, 0]),
    ...numbers(shape).map((value) => mesh === 'makehuman' ? value : 0)
  ]
}

const numbers = (traits: object): number[] => Object.values(traits) as number[]

/** Compares the people of `tested` with those of `reference` (the training split). */
export function compareIdentities(reference: readonly Person[], tested: readonly Person[]): IdentityReport {
  const keys = new Set(reference.map(({ key }) => key)), seeds = new Set(reference.map(({ identity }) => identity.seed))
  const sharedKeys = tested.map(({ key }) => key).filter((key) => keys.has(key))
  const sharedSeeds = tested.filter(({ identity }) => seeds.has(identity.seed)).length
  const vectors = (people: readonly Person[]) => people.map(({ identity }) => [identityVector(identity)])
  const parameters = nearness(vectors(reference), vectors(tested))
  const measured = [...reference, ...tested].every(({ photos }) => photos.length > 0)
  const photos = measured ? photoNearness(reference.map(({ photos }) => photos), tested.map(({ photos }) => photos)) : undefined
  const shared = sharedKeys.length > 0 || sharedSeeds > 0 || parameters.smallest < TWIN
  const fewest = Math.min(reference.length, tested.length)
  const near = [parameters, photos].some((measure) =>
    measure && (measure.ratio < RATIO_OF_STRANGERS || measure.tooNear > TOO_NEAR_OF_STRANGERS))
  return {
    people: [reference.length, tested.length], sharedKeys, sharedSeeds, parameters, ...(photos ? { photos } : {}),
    verdict: shared || (fewest >= FEWEST_PEOPLE && near) ? 'identities are shared'
      : fewest < FEWEST_PEOPLE ? 'too few people to tell' : 'no identity is shared'
  }
}

type PhotosOfPerson = readonly (readonly number[])[]

function nearness(reference: readonly PhotosOfPerson[], tested: readonly PhotosOfPerson[]): Nearness {
  const scale = spreads([...reference, ...tested].flat())
  const own = reference.map((person, i) => nearest(person, reference.filter((_, j) => j !== i), scale)).sort(ascending)
  const across = tested.map((person) => nearest(person, reference, scale)).sort(ascending)
  const limit = own[Math.floor(QUANTILE * own.length)] ?? 0
  return {
    ratio: median(across) / median(own), smallest: across[0]! / own[0]!,
    tooNear: across.filter((distance) => distance < limit).length / Math.max(1, across.length)
  }
}

function photoNearness(reference: readonly PhotosOfPerson[], tested: readonly PhotosOfPerson[]) {
  const scale = spreads([...reference, ...tested].flat())
  const same = reference.flatMap((photos) => photos.slice(1).map((photo) => distance(photos[0]!, photo, scale)))
  const other = reference.slice(1).map((photos, i) => distance(reference[i]![0]!, photos[0]!, scale))
  const pairs = same.length * other.length
  const nearer = same.reduce((sum, d) => sum + other.filter((o) => d < o).length, 0)
  return { ...nearness(reference, tested), tellsApart: pairs === 0 ? NaN : nearer / pairs }
}

function nearest(person: PhotosOfPerson, others: readonly PhotosOfPerson[], scale: readonly number[]): number {
  let least = Infinity
  for (const photo of person) for (const other of others) for (const o of other) least = Math.min(least, distance(photo, o, scale))
  return least
}

const distance = (a: readonly number[], b: readonly number[], scale: readonly number[]): number =>
  Math.hypot(...a.map((x, q) => scale[q]! === 0 ? 0 : (x - b[q]!) / scale[q]!))

/** Standard deviation of each feature. */
function spreads(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, q) => {
    const mean = rows.reduce((sum, row) => sum + row[q]!, 0) / rows.length
    return Math.sqrt(rows.reduce((sum, row) => sum + (row[q]! - mean) ** 2, 0) / rows.length)
  })
}

const ascending = (a: number, b: number) => a - b
const median = (sorted: readonly number[]) => sorted[sorted.length >> 1] ?? NaN
