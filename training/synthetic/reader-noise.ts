import type { Random } from './random.ts'

export interface ReaderChoice {
  /** Cohen's kappa wanted between any two readers, 0..1. */
  readonly kappa: number
  /** Share of positive joints, 0..1: what a guessing reader falls back on. */
  readonly prevalence: number
}

/**
 * One simulated reader: sees the truth with probability sqrt(kappa), otherwise guesses at the prevalence. Two such readers
 * agree with expected Cohen's kappa exactly `kappa`, and call as many joints positive as there are.
 */
export function readJoint(truth: 0 | 1, { kappa, prevalence }: ReaderChoice, random: Random): 0 | 1 {
  if (random.chance(Math.sqrt(kappa))) return truth
  return random.chance(prevalence) ? 1 : 0
}

/** Two readers; where they differ a third decides. */
export function readTwice(
  truth: 0 | 1, choice: ReaderChoice, random: Random
): { readonly readers: readonly [0 | 1, 0 | 1], readonly label: 0 | 1 } {
  const first = readJoint(truth, choice, random), second = readJoint(truth, choice, random)
  const third = readJoint(truth, choice, random)
  return { readers: [first, second], label: first === second ? first : third }
}

/** Cohen's kappa of paired binary readings. */
export function cohenKappa(pairs: readonly (readonly [0 | 1, 0 | 1])[]): number {
  const total = pairs.length
  const agreed = pairs.filter(([a, b]) => a === b).length / total
  const first = pairs.filter(([a]) => a === 1).length / total, second = pairs.filter(([, b]) => b === 1).length / total
  const byChance = first * second + (1 - first) * (1 - second)
  return (agreed - byChance) / (1 - byChance)
}
