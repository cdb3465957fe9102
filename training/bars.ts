/** Fields of `training/results/summary.json` that the bars of the evaluation are about. */
type Figures = Record<string, unknown>

interface Bar {
  readonly words: string
  /** Field that is null where it was not measured; its reason stands in `notes`. */
  readonly field: string
  readonly holds: (figures: Figures) => boolean
}

const number = (figures: Figures, name: string) => Number(figures[name])
const low = (figures: Figures, name: string) => Number((figures[name] as { low?: number }).low ?? Number.NaN)
const fewShot = (figures: Figures) => figures['fewShot'] as readonly { people: number, pretrained: number, scratch: number }[]

const BARS: readonly Bar[] = [
  { words: 'F1 0.20 above the single branch', field: 'deltaF1SingleBranch', holds: (it) => number(it, 'deltaF1SingleBranch') >= 0.2 },
  { words: 'G-mean 0.25 above the single branch', field: 'deltaGmeanSingleBranch', holds: (it) => number(it, 'deltaGmeanSingleBranch') >= 0.25 },
  { words: 'F1 above the tuned baseline', field: 'deltaF1Tuned', holds: (it) => low(it, 'deltaF1Tuned') > 0 },
  { words: 'AUPRC above the tuned baseline', field: 'deltaAuprcTuned', holds: (it) => low(it, 'deltaAuprcTuned') > 0 },
  { words: 'expected calibration error at most 0.03', field: 'ece', holds: (it) => number(it, 'ece') <= 0.03 },
  { words: 'count interval covers 88 to 95 %', field: 'countIntervalCoverage', holds: (it) => number(it, 'countIntervalCoverage') >= 0.88 && number(it, 'countIntervalCoverage') <= 0.95 },
  { words: 'background AUROC within 0.47 to 0.53', field: 'backgroundAuroc', holds: (it) => Math.abs(number(it, 'backgroundAuroc') - 0.5) <= 0.03 },
  { words: 'skin-tone groups within 0.05 AUROC', field: 'skinToneMaxAurocGap', holds: (it) => number(it, 'skinToneMaxAurocGap') <= 0.05 },
  { words: 'transfer AUROC at least 0.80', field: 'transferAuroc', holds: (it) => number(it, 'transferAuroc') >= 0.8 },
  { words: 'few people: pretrained never below scratch', field: 'fewShot', holds: (it) => fewShot(it).length > 0 && fewShot(it).every((row) => row.pretrained >= row.scratch) },
  {
    words: 'few people: 0.10 above scratch at 2 and 5', field: 'fewShot',
    holds: (it) => [2, 5].every((people) => fewShot(it).some((row) => row.people === people && row.pretrained - row.scratch >= 0.1))
  }
]

/** Of a group's figures in the tables, too. */
const ENOUGH_POSITIVES = 20

/**
 * A line for each bar that is not reached and for each that was not measured, which is not the same, though neither is reached; and one where so few
 * joints are swollen that chance decides.
 */
export function missedBars(figures: Figures): readonly string[] {
  const notes = (figures['notes'] ?? {}) as Record<string, string>
  const { patients, positives } = figures['data'] as { readonly patients: number, readonly positives: number }
  const few = positives < ENOUGH_POSITIVES
    ? [`Too few to say: ${positives} swollen joints of ${patients} patients (at least ${ENOUGH_POSITIVES}); chance decides which bars are reached`] : []
  return [...few, ...BARS.flatMap(({ words, field, holds }) => {
    if (figures[field] === null || figures[field] === undefined) return [`Not measured: ${words} (${notes[field] ?? 'no figure'})`]
    return holds(figures) ? [] : [`Not reached: ${words}`]
  })]
}
