/** A treatment that began long before the first visit must not squeeze the visits together: at most this share of their span is shown before them. */
const BEFORE = 0.35
/** A single visit has no span of its own. */
const LEAST_MS = 90 * 86_400_000

/** Where times lie between 0 and 1: all of `shown`, and of `earlier` what is near; what began before the left end lies on it. */
export function placeTimes(shown: readonly string[], earlier: readonly string[]) {
  const times = (all: readonly string[]) => all.map((one) => Date.parse(one)).filter((time) => !Number.isNaN(time))
  const visible = shown.length > 0 ? times(shown) : times(earlier)
  const [first, last] = [Math.min(...visible), Math.max(...visible, ...times(earlier))]
  const span = Math.max(LEAST_MS, last - first)
  const reach = Math.min(first, Math.max(first - BEFORE * span, Math.min(...visible, ...times(earlier))))
  const start = last - reach < LEAST_MS ? last - LEAST_MS : reach
  return {
    place: (time: string) => Math.max(0, (Date.parse(time) - start) / Math.max(1, last - start)),
    isBefore: (time: string) => Date.parse(time) < start
  }
}

/** Where the axis of scores ends: a little above the highest, and above 0 also where nothing but 0 was signed (remission). */
export const topOfScores = (values: readonly number[]) => Math.max(1, Math.ceil(Math.max(...values) * 1.1))
