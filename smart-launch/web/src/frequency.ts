export type Frequency = readonly ['fewer' | 'about' | 'more', part: number, of: number]

/** A calibrated probability as a frequency that can be imagined: tenths, twentieths near the ends, and never none or all. */
export function frequencyOf(probability: number): Frequency {
  if (probability < 0.02) return ['fewer', 1, 50]
  if (probability > 0.98) return ['more', 49, 50]
  if (probability < 0.075) return ['about', 1, 20]
  if (probability > 0.925) return ['about', 19, 20]
  return ['about', Math.round(probability * 10), 10]
}
