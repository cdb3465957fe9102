import type { HandAssessment, JointFinding } from './finding.ts'
import { handThatSpeaks, visitFindings } from './hand-joint-count.ts'
import { HAND_JOINTS, jointGroup, LATERALITIES, type HandJoint, type JointGroup, type Laterality } from './hand-joint.ts'

/** One photo as two models read it, hands of a visit weighed together where their calibration says so. */
export interface PhotoReadings {
  readonly photo: string
  readonly old: readonly HandAssessment[]
  readonly new: readonly HandAssessment[]
  /** What a person found at the joints of this photo. */
  readonly labels?: readonly { readonly side: Laterality; readonly joint: HandJoint; readonly swollen: boolean }[]
}

/** What one model says about a joint that it could assess. */
export interface Call { readonly probability: number; readonly inflamed: boolean }

/** One joint of one photo. A model that could not assess it says nothing. */
export interface ComparedJoint {
  readonly photo: string
  readonly side: Laterality
  readonly joint: HandJoint
  readonly old?: Call
  readonly new?: Call
  readonly swollen?: boolean
}

export type PairedJoint = ComparedJoint & { readonly old: Call; readonly new: Call }

/** The count that a clinician sees of one visit, over what each model could assess. */
export interface VisitCounts {
  readonly photos: readonly string[]
  readonly old: { readonly swollen: number; readonly assessable: number }
  readonly new: { readonly swollen: number; readonly assessable: number }
}

/** The count over the labelled joints of one visit that both could assess, each joint once. */
export interface LabelledCount { readonly old: number; readonly new: number; readonly swollen: number }

export interface ComparedVisit {
  /** Who it is about: a patient, or a photo where patients are not known. */
  readonly group: string
  readonly hands: { readonly old: number; readonly new: number }
  readonly joints: readonly ComparedJoint[]
  readonly counts: VisitCounts
  readonly labelled?: LabelledCount
}

/** Of several hands of one side in a photo the one with the most assessed joints speaks, for each model by itself. */
export function compareVisit(group: string, photos: readonly PhotoReadings[]): ComparedVisit {
  const joints = photos.flatMap(jointsOf)
  const labelled = labelledCount(joints)
  return {
    group,
    hands: { old: sum(photos.map((one) => one.old.length)), new: sum(photos.map((one) => one.new.length)) },
    joints,
    counts: { photos: photos.map(({ photo }) => photo), old: countOf(photos.flatMap((one) => one.old)), new: countOf(photos.flatMap((one) => one.new)) },
    ...(labelled ? { labelled } : {})
  }
}

function jointsOf(readings: PhotoReadings): readonly ComparedJoint[] {
  const { photo, labels = [] } = readings
  return LATERALITIES.flatMap((side) => {
    const [before, after] = [readings.old, readings.new].map((hands) => handThatSpeaks(hands.filter((hand) => hand.side === side)))
    if (!before && !after) return []
    return HAND_JOINTS.map((joint): ComparedJoint => {
      const [was, is] = [callOf(before, joint), callOf(after, joint)]
      const label = labels.find((one) => one.side === side && one.joint === joint)
      return { photo, side, joint, ...(was ? { old: was } : {}), ...(is ? { new: is } : {}), ...(label ? { swollen: label.swollen } : {}) }
    })
  })
}

function callOf(hand: HandAssessment | undefined, joint: HandJoint): Call | undefined {
  const finding = hand?.joints.find((one) => one.joint === joint)
  return finding?.kind === 'assessed' ? { probability: finding.probability, inflamed: finding.inflamed } : undefined
}

function countOf(hands: readonly HandAssessment[]): VisitCounts['old'] {
  const assessed = visitFindings(hands).filter((finding): finding is JointFinding & { kind: 'assessed' } => finding.kind === 'assessed')
  return { swollen: assessed.filter(({ inflamed }) => inflamed).length, assessable: assessed.length }
}

/** Of several labelled photos of a side the one with the most labelled joints that both could assess counts: no joint twice. */
function labelledCount(joints: readonly ComparedJoint[]): LabelledCount | undefined {
  const known = joints.filter(isPaired).filter(({ swollen }) => swollen !== undefined)
  const counted = LATERALITIES.flatMap((side) => {
    const byPhoto = [...Map.groupBy(known.filter((one) => one.side === side), ({ photo }) => photo).values()]
    return byPhoto.sort((a, b) => b.length - a.length)[0] ?? []
  })
  if (counted.length === 0) return undefined
  const count = (wanted: (one: PairedJoint) => boolean | undefined) => counted.filter(wanted).length
  return { old: count((one) => one.old.inflamed), new: count((one) => one.new.inflamed), swollen: count((one) => one.swollen) }
}

export function isPaired(joint: ComparedJoint): joint is PairedJoint {
  return joint.old !== undefined && joint.new !== undefined
}

/** Differences are new − old, of probabilities or counts. */
export interface Agreement {
  readonly visits: number
  /** Visits with more than one photo, whose hands were weighed together where the calibration says so. */
  readonly visitsOfSeveralPhotos: number
  readonly hands: { readonly old: number; readonly new: number }
  /** Joints that both, or only one of the two, could assess. */
  readonly joints: { readonly both: number; readonly onlyOld: number; readonly onlyNew: number }
  /** Of the joints that both could assess. `share` is null without one. */
  readonly calls: { readonly equal: number; readonly share: number | null; readonly onlyOld: number; readonly onlyNew: number }
  /** Over the visits of which each could assess something. */
  readonly count: {
    readonly visits: number
    readonly changed: number
    readonly mean: number | null
    readonly meanAbsolute: number | null
    /** The visit whose count changes most; null where none changes. */
    readonly largest: { readonly photos: readonly string[]; readonly old: number; readonly new: number; readonly change: number } | null
  }
  readonly largestChanges: readonly {
    readonly photo: string; readonly side: Laterality; readonly joint: HandJoint
    readonly old: number; readonly new: number; readonly change: number
    readonly oldInflamed: boolean; readonly newInflamed: boolean
  }[]
  readonly differences: Readonly<Record<JointGroup | 'all', Differences>>
}

/** How probabilities moved: null without a joint. */
export interface Differences {
  readonly joints: number
  readonly mean: number | null
  readonly meanAbsolute: number | null
  readonly p5: number | null
  readonly median: number | null
  readonly p95: number | null
}

const LARGEST = 10

/** What two models say of the same photos, beside each other; says nothing about which of them is right. */
export function agreementOf(visits: readonly ComparedVisit[]): Agreement {
  const all = visits.flatMap(({ joints }) => joints)
  const both = all.filter(isPaired)
  const changeOf = (one: PairedJoint) => one.new.probability - one.old.probability
  const equal = both.filter((one) => one.old.inflamed === one.new.inflamed).length
  const within = (groups: readonly JointGroup[]) => differencesOf(both.filter(({ joint }) => groups.includes(jointGroup(joint))).map(changeOf))
  return {
    visits: visits.length,
    visitsOfSeveralPhotos: visits.filter(({ counts }) => counts.photos.length > 1).length,
    hands: { old: sum(visits.map(({ hands }) => hands.old)), new: sum(visits.map(({ hands }) => hands.new)) },
    joints: { both: both.length, onlyOld: all.filter((one) => one.old && !one.new).length, onlyNew: all.filter((one) => !one.old && one.new).length },
    calls: {
      equal, share: both.length === 0 ? null : equal / both.length,
      onlyOld: both.filter((one) => one.old.inflamed && !one.new.inflamed).length,
      onlyNew: both.filter((one) => !one.old.inflamed && one.new.inflamed).length
    },
    count: countChange(visits.map(({ counts }) => counts)),
    largestChanges: [...both].sort((a, b) => Math.abs(changeOf(b)) - Math.abs(changeOf(a))).slice(0, LARGEST).map((one) => ({
      photo: one.photo, side: one.side, joint: one.joint, old: one.old.probability, new: one.new.probability, change: changeOf(one),
      oldInflamed: one.old.inflamed, newInflamed: one.new.inflamed
    })),
    differences: { wrist: within(['wrist']), mcp: within(['mcp']), pip: within(['pip']), all: within(['wrist', 'mcp', 'pip']) }
  }
}

function countChange(counts: readonly VisitCounts[]): Agreement['count'] {
  const read = counts.filter((one) => one.old.assessable > 0 && one.new.assessable > 0)
    .map((one) => ({ photos: one.photos, old: one.old.swollen, new: one.new.swollen, change: one.new.swollen - one.old.swollen }))
  const changed = read.filter(({ change }) => change !== 0)
  const [largest] = changed.toSorted((a, b) => Math.abs(b.change) - Math.abs(a.change))
  return {
    visits: read.length, changed: changed.length, mean: meanOf(read.map(({ change }) => change)),
    meanAbsolute: meanOf(read.map(({ change }) => Math.abs(change))), largest: largest ?? null
  }
}

function differencesOf(changes: readonly number[]): Differences {
  const sorted = changes.toSorted((a, b) => a - b)
  return {
    joints: changes.length, mean: meanOf(changes), meanAbsolute: meanOf(changes.map(Math.abs)),
    p5: quantile(sorted, 0.05), median: quantile(sorted, 0.5), p95: quantile(sorted, 0.95)
  }
}

/** Linear between neighbours, as numpy's; null of nothing. */
export function quantile(sorted: readonly number[], share: number): number | null {
  const place = share * (sorted.length - 1)
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  return below === undefined || above === undefined ? null : below + (above - below) * (place - Math.floor(place))
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
const meanOf = (values: readonly number[]) => values.length === 0 ? null : sum(values) / values.length
