export interface RateLimit {
  /** False when this key has used up its calls. */
  allow(key: string): boolean
}

const KEYS_KEPT = 10_000

/** A token bucket for each key: `perSecond` sustained, three times as many at once. Keys that rest longest are forgotten first. */
export function openRateLimit(perSecond: number, clock: () => number): RateLimit {
  const capacity = perSecond * 3
  const buckets = new Map<string, { tokens: number; at: number }>()
  return {
    allow(key) {
      const now = clock()
      const bucket = buckets.get(key) ?? { tokens: capacity, at: now }
      const tokens = Math.min(capacity, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond)
      buckets.delete(key)
      buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now })
      const [oldest] = buckets.size > KEYS_KEPT ? buckets.keys() : []
      if (oldest !== undefined) buckets.delete(oldest)
      return tokens >= 1
    }
  }
}
