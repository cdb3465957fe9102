import type { RefusedPhoto } from '../inference/read-with-both.ts'
import type { Agreement, Differences } from '../joints/compare-readings.ts'
import { percentOf, type ModelIdentity } from '../joints/finding.ts'
import { jointLabel } from '../joints/hand-joint.ts'
import {
  LABELLED_FIGURES, MIN_GROUPS_FOR_INTERVAL, MIN_LABELLED_PER_CLASS, type Estimate, type LabelledComparison, type LabelledFigure, type PairedEstimate
} from '../joints/labelled-figures.ts'
import type { StoredCohort } from '../screening/stored-visits.ts'
import { RESEARCH } from './assessment-report.ts'

/** One of the two models, and what turned its numbers into calls. */
export interface ComparedModel extends ModelIdentity {
  /** What it learned from: synthetic, proxy or clinical. */
  readonly evidence: string
  readonly calibration: {
    /** The bundle's own, or a site's file. */
    readonly from: 'bundle' | 'file'
    readonly data: string
    /** A joint counts from this probability on. */
    readonly threshold: number
  }
}

/** What `jointlens model compare --json` prints, exactly; other programs read it. Figures without a case are null, never a number. */
export interface Comparison extends Agreement {
  readonly old: ComparedModel
  readonly new: ComparedModel
  readonly source: { readonly from: 'folder' } | ({ readonly from: 'record'; readonly tenant: string } & StoredCohort)
  readonly photos: { readonly read: number; readonly refused: readonly RefusedPhoto[] }
  /** Null where labels name no patients. */
  readonly patients: number | null
  readonly labels: LabelledComparison | null
  /** What changed, a sentence each. */
  readonly verdict: readonly string[]
  /** What a person does next. Nothing is switched over by itself. */
  readonly next: string
}

export type Compared = Omit<Comparison, 'verdict' | 'next'>

/** `newDir` and `calibrationFile` as the person gave them. */
export function concluded(compared: Compared, newDir: string, calibrationFile: string | undefined): Comparison {
  return { ...compared, verdict: verdictOf(compared), next: nextStep(compared, newDir, calibrationFile) }
}

/** For people. The last line says what a person does next. */
export function comparisonText(comparison: Comparison): string {
  const { photos, hands, visits, visitsOfSeveralPhotos, patients, joints, calls, count, labels, verdict, next } = comparison
  return [
    modelLine('Old', comparison.old),
    modelLine('New', comparison.new),
    '',
    `${photos.read} photos read by both, ${photos.refused.length} refused${refusedWords(photos.refused)}; ${hands.old === hands.new ? hands.old : `${hands.old} (old) and ${hands.new} (new)`} hands, ${visits} visits${visitsOfSeveralPhotos > 0 ? ` (${visitsOfSeveralPhotos} of several photos)` : ', each photo by itself'}${patients === null ? '' : `, ${patients} patients`}.`,
    ...cohortLines(comparison.source),
    `Joints: ${joints.both} both could assess, ${joints.onlyOld} only the old model, ${joints.onlyNew} only the new one.`,
    `Calls: ${calls.equal} of ${joints.both} equal${calls.share === null ? '' : ` (${(100 * calls.share).toFixed(1)} %)`}, ${calls.onlyOld} flagged only by the old model, ${calls.onlyNew} only by the new one.`,
    ...count.mean === null || count.meanAbsolute === null ? [] : [`Count of a visit: ${signed(count.mean)} joints on average, ${count.meanAbsolute.toFixed(2)} in size, changed in ${count.changed} of ${count.visits} visits.${largestWords(count.largest)}`],
    '',
    ...changeLines(comparison.largestChanges),
    ...differenceLines(comparison.differences),
    ...labels ? [...labelLines(labels, patients === null), ''] : [],
    'What changed:', ...verdict.map((sentence) => `  ${sentence}`), '',
    RESEARCH,
    next,
    ''
  ].join('\n')
}

function modelLine(which: string, { name, version, digest, evidence, calibration }: ComparedModel): string {
  return `${which}  ${name} ${version} (${digest.slice(0, 12)}, evidence ${evidence}), ${calibration.from === 'file' ? "the site's calibration" : 'its own calibration'}: ${calibration.data}; a joint counts from ${percentOf(calibration.threshold)} %`
}

function refusedWords(refused: readonly RefusedPhoto[]): string {
  if (refused.length === 0) return ''
  const kinds = [...Map.groupBy(refused, ({ code, by }) => by === 'both' ? code : `${code} by the ${by} model alone`)]
  return ` (${kinds.map(([kind, { length }]) => `${length} ${kind}`).join(', ')})`
}

function cohortLines(source: Comparison['source']): string[] {
  if (source.from === 'folder') return []
  const without = [source.withoutResult > 0 ? `${source.withoutResult} patients have no stored screening` : '', source.withheld > 0 ? `${source.withheld} do not agree that their photos are read` : ''].filter(Boolean)
  return without.length === 0 ? [] : [`Left out: ${without.join('; ')}.`]
}

function largestWords(largest: Agreement['count']['largest']): string {
  return largest === null ? '' : ` Most: ${largest.old} → ${largest.new} (${largest.photos.join(', ')}).`
}

function changeLines(changes: Agreement['largestChanges']): string[] {
  if (changes.length === 0) return []
  return ['Largest changes of probability', ...changes.map(({ photo, side, joint, old, new: fresh, change, oldInflamed, newInflamed }) => {
    const call = oldInflamed === newInflamed ? '' : newInflamed ? ', now flagged' : ', no longer flagged'
    return `  ${photo}  ${side} ${jointLabel(joint)}  ${percentOf(old)} % → ${percentOf(fresh)} % (${points(change)})${call}`
  }), '']
}

const GROUP_WORDS = { wrist: 'wrist', mcp: 'MCP', pip: 'PIP and thumb IP', all: 'all' } as const

function differenceLines(differences: Agreement['differences']): string[] {
  if (differences.all.joints === 0) return []
  const row = (cells: readonly string[]) => `  ${cells.map((cell, index) => index === 0 ? cell.padEnd(17) : cell.padStart(9)).join('')}`.trimEnd()
  const cells = ({ joints, mean, meanAbsolute, p5, median, p95 }: Differences) =>
    [String(joints), ...[mean, meanAbsolute, p5, median, p95].map((value, index) => value === null ? '–' : index === 1 ? `${(100 * value).toFixed(1)}` : points(value))]
  return [
    'Differences of probability, new − old, in points of 100',
    row(['', 'joints', 'mean', 'size', '5th', 'median', '95th']),
    ...(Object.keys(GROUP_WORDS) as (keyof typeof GROUP_WORDS)[]).map((group) => row([GROUP_WORDS[group], ...cells(differences[group])])), ''
  ]
}

const FIGURE_WORDS: Readonly<Record<LabelledFigure, string>> = {
  sensitivity: 'sensitivity', specificity: 'specificity', f1: 'F1', gmean: 'G-mean', auroc: 'AUROC',
  countError: 'count error, size', countBias: 'count error, mean'
}

function labelLines({ joints, swollen, groups, visits, leftOut, tooFew, figures }: LabelledComparison, byPhoto: boolean): string[] {
  const head = `Against the labels: ${joints} joints that both could assess, ${swollen} swollen, of ${groups} ${byPhoto ? 'photos' : 'patients'} (${visits} visits); ${leftOut} labels left out.`
  if (tooFew || !figures) return [`${head} Too few: figures need ${MIN_LABELLED_PER_CLASS} swollen and ${MIN_LABELLED_PER_CLASS} not swollen.`]
  return [
    head,
    `  95 % intervals by resampling ${byPhoto ? 'photos: the labels name no patients, so they are too narrow' : 'patients'}.${groups < MIN_GROUPS_FOR_INTERVAL ? ` Too few for one: that needs ${MIN_GROUPS_FOR_INTERVAL}.` : ''} They hold only for people from whom neither model nor calibration learned.`,
    `  ${''.padEnd(19)}${'old'.padEnd(26)}${'new'.padEnd(26)}new − old`,
    ...LABELLED_FIGURES.map((name) => {
      const { old, new: fresh, difference } = figures[name]
      return `  ${FIGURE_WORDS[name].padEnd(19)}${estimateWords(old).padEnd(26)}${estimateWords(fresh).padEnd(26)}${estimateWords(difference, signed)}`
    })
  ]
}

function estimateWords({ value, low, high }: Estimate, write: (value: number) => string = plain): string {
  if (value === null) return '–'
  return low === null || high === null ? write(value) : `${write(value)} (${write(low)} to ${write(high)})`
}

function verdictOf({ joints, calls, count, labels }: Compared): string[] {
  if (joints.both === 0) return ['No joint could be read by both models: nothing can be said.']
  const other = calls.onlyOld + calls.onlyNew
  return [
    other === 0 ? 'Every joint that both could assess is called the same.'
      : `The new model calls ${other} of ${joints.both} joints otherwise: it flags ${calls.onlyNew} more and no longer flags ${calls.onlyOld}.`,
    ...joints.onlyOld + joints.onlyNew === 0 ? [] : [`It cannot assess ${joints.onlyOld} joints that the old one could, and can assess ${joints.onlyNew} that the old one could not.`],
    ...count.mean === null ? [] : [count.changed === 0 ? 'No visit gets another count.' : `The count changes in ${count.changed} of ${count.visits} visits, by ${signed(count.mean)} joints on average.`],
    ...labelVerdict(labels)
  ]
}

function labelVerdict(labels: LabelledComparison | null): string[] {
  if (!labels) return ['Without labels this says what changed, not which of the two is right.']
  if (!labels.figures) return ['Too few labels to say which of the two is right.']
  return LABELLED_FIGURES.filter((name) => name !== 'countBias').map((name) => figureVerdict(name, labels.figures?.[name]))
}

/** Only an interval that leaves out 0 shows a difference; one that holds it shows none, which is not the same as there being none. */
function figureVerdict(name: LabelledFigure, figure: PairedEstimate | undefined): string {
  const { value, low, high } = figure?.difference ?? { value: null, low: null, high: null }
  const words = FIGURE_WORDS[name]
  if (value === null || low === null || high === null) return `${words}: no interval, so nothing is shown${value === null ? '' : ` (${signed(value)})`}.`
  const range = `${signed(value)}, ${signed(low)} to ${signed(high)}`
  if (low <= 0 && high >= 0) return `${words}: no difference is shown (${range}).`
  const better = name === 'countError' ? value < 0 : value > 0
  return `${words}: ${better ? 'better' : 'worse'} with the new model (${range}).`
}

function nextStep({ joints }: Compared, newDir: string, calibrationFile: string | undefined): string {
  if (joints.both === 0) return 'Next: choose photos of the backs of hands that both models can read. Nothing was switched over.'
  const calibration = calibrationFile === undefined
    ? `make the site's calibration anew with "jointlens calibrate --model ${newDir}" on people that it did not learn from, since the old one belongs to the old model, name it in calibrationFile`
    : `name ${calibrationFile} in calibrationFile`
  return `Next: nothing was switched over; a person decides. To go on, set JOINTLENS_MODEL to ${newDir}, ${calibration}, and restart; to keep the old model, do nothing.`
}

/** With the sign of what was rounded: never a −0.00. */
function signed(value: number, digits = 2): string {
  const size = Math.abs(value).toFixed(digits)
  return Number(size) === 0 ? size : `${value > 0 ? '+' : '−'}${size}`
}

const points = (share: number) => signed(100 * share, 1)
const plain = (value: number) => value.toFixed(2)
