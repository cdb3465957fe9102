import { isPaired, quantile, type Call, type ComparedVisit } from './compare-readings.ts'
import { seeded } from './seeded.ts'

/** A figure with its 95 % interval over resampled patients; null where it is not defined, or patients are too few. */
export interface Estimate { readonly value: number | null; readonly low: number | null; readonly high: number | null }

/** `difference` is new − old on the same joints, resampled together. */
export interface PairedEstimate { readonly old: Estimate; readonly new: Estimate; readonly difference: Estimate }

/** `countError` is the mean size of the visit's count error in joints, `countBias` its mean: above 0 the model counts too many. */
export const LABELLED_FIGURES = ['sensitivity', 'specificity', 'f1', 'gmean', 'auroc', 'countError', 'countBias'] as const
export type LabelledFigure = (typeof LABELLED_FIGURES)[number]

export interface LabelledComparison {
  /** Labelled joints that both could assess. */
  readonly joints: number
  readonly swollen: number
  readonly groups: number
  readonly visits: number
  /** Labels of joints that not both could assess, or whose hand was not found: in no figure. */
  readonly leftOut: number
  /** Fewer than 20 swollen or 20 not swollen joints: no figure is given. */
  readonly tooFew: boolean
  readonly figures?: Readonly<Record<LabelledFigure, PairedEstimate>>
}

/** Own bar, that of `jointlens calibrate`: below it a figure says more about chance than about the model. */
export const MIN_LABELLED_PER_CLASS = 20
/** Own bar: fewer people resampled give an interval that is too narrow to be one. */
export const MIN_GROUPS_FOR_INTERVAL = 10
const REPEATS = 2000
const LEVEL = 0.95

interface Row { readonly group: number; readonly old: Call; readonly new: Call; readonly swollen: boolean }
interface Counted { readonly group: number; readonly old: number; readonly new: number; readonly swollen: number }
type Figures = Readonly<Record<LabelledFigure, number>>

/** Both models against the labels. Deterministic: the same readings give the same interval. */
export function compareWithLabels(visits: readonly ComparedVisit[], labels: number): LabelledComparison {
  const names = new Map<string, number>()
  const numberOf = (group: string) => {
    const known = names.get(group) ?? names.size
    names.set(group, known)
    return known
  }
  const rows = visits.flatMap(({ group, joints }) => joints.filter(isPaired).flatMap(({ swollen, ...joint }): Row[] =>
    swollen === undefined ? [] : [{ group: numberOf(group), old: joint.old, new: joint.new, swollen }]))
  const counted = visits.flatMap(({ group, labelled }): Counted[] => labelled ? [{ group: numberOf(group), ...labelled }] : [])
  const swollen = rows.filter((row) => row.swollen).length
  const tooFew = Math.min(swollen, rows.length - swollen) < MIN_LABELLED_PER_CLASS
  return {
    joints: rows.length, swollen, groups: names.size, visits: counted.length, leftOut: labels - rows.length, tooFew,
    ...(tooFew ? {} : { figures: pairedFigures(rows, counted, names.size) })
  }
}

function pairedFigures(rows: readonly Row[], counted: readonly Counted[], groups: number): Readonly<Record<LabelledFigure, PairedEstimate>> {
  const models = (['old', 'new'] as const).map((model) => figuresOf(rows, counted, model))
  const at = (timesDrawn: Uint16Array) => models.map((figures) => figures(timesDrawn)) as [Figures, Figures]
  const whole = at(new Uint16Array(groups).fill(1))
  const random = seeded(1)
  const draws = groups < MIN_GROUPS_FOR_INTERVAL ? [] : Array.from({ length: REPEATS }, () => at(drawn(groups, random)))
  const estimate = (of: (figures: [Figures, Figures]) => number): Estimate => ({ value: defined(of(whole)), ...intervalOf(draws.map(of)) })
  return Object.fromEntries(LABELLED_FIGURES.map((name): [LabelledFigure, PairedEstimate] => [name, {
    old: estimate(([before]) => before[name]),
    new: estimate(([, after]) => after[name]),
    difference: estimate(([before, after]) => after[name] - before[name])
  }])) as Record<LabelledFigure, PairedEstimate>
}

/** Figures of one model, with every group counted as often as it was drawn. NaN where a ratio has no cases. */
function figuresOf(rows: readonly Row[], counted: readonly Counted[], model: 'old' | 'new'): (timesDrawn: Uint16Array) => Figures {
  const ranked = rows.toSorted((a, b) => a[model].probability - b[model].probability)
  return (timesDrawn) => {
    const times = (group: number) => timesDrawn[group] ?? 0
    let [hits, missed, alarms, clear] = [0, 0, 0, 0]
    for (const { group, swollen, [model]: { inflamed } } of rows) {
      if (swollen && inflamed) hits += times(group)
      else if (swollen) missed += times(group)
      else if (inflamed) alarms += times(group)
      else clear += times(group)
    }
    let [size, bias, visits] = [0, 0, 0]
    for (const one of counted) {
      size += times(one.group) * Math.abs(one[model] - one.swollen)
      bias += times(one.group) * (one[model] - one.swollen)
      visits += times(one.group)
    }
    const [sensitivity, specificity] = [hits / (hits + missed), clear / (clear + alarms)]
    return {
      sensitivity, specificity, f1: 2 * hits / (2 * hits + missed + alarms), gmean: Math.sqrt(sensitivity * specificity),
      auroc: aurocOf(ranked, model, times), countError: size / visits, countBias: bias / visits
    }
  }
}

/** Chance that a swollen joint scores above one that is not, ties half. `ranked` rises; each row counts `times` its group was drawn. */
function aurocOf(ranked: readonly Row[], model: 'old' | 'new', times: (group: number) => number): number {
  let [swollen, not, wins] = [0, 0, 0]
  for (let start = 0; start < ranked.length;) {
    const score = ranked[start]?.[model].probability
    let [tiedSwollen, tiedNot, end] = [0, 0, start]
    for (let row = ranked[end]; row && row[model].probability === score; row = ranked[++end]) {
      if (row.swollen) tiedSwollen += times(row.group)
      else tiedNot += times(row.group)
    }
    wins += tiedSwollen * (not + tiedNot / 2)
    swollen += tiedSwollen
    not += tiedNot
    start = end
  }
  return wins / (swollen * not)
}

/** As many groups as there are, drawn with replacement: how often each was drawn. */
function drawn(groups: number, random: () => number): Uint16Array {
  const times = new Uint16Array(groups)
  for (let draw = 0; draw < groups; draw++) {
    const group = Math.floor(random() * groups)
    times[group] = (times[group] ?? 0) + 1
  }
  return times
}

function intervalOf(draws: readonly number[]): Pick<Estimate, 'low' | 'high'> {
  const sorted = draws.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  return { low: quantile(sorted, (1 - LEVEL) / 2), high: quantile(sorted, (1 + LEVEL) / 2) }
}

const defined = (value: number) => Number.isNaN(value) ? null : value
