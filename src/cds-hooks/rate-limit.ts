import { ScreeningError } from '../errors.ts'

export interface RateLimit {
  /** Throws ERR_RATE_LIMITED, which says when to come again, while this key has no call left. Takes none. */
  check(key: string): void
  /** Takes one of its calls; a key that has none left owes it, and waits for that one too. */
  take(key: string): void
}

const KEYS_KEPT = 10_000

/**
 * A token bucket for each key: `perSecond` sustained, three times as many at once. Keys that rest longest are forgotten first.
 * `who` completes “Expected fewer … a second”.
 */
export function openRateLimit(perSecond: number, clock: () => number, who: string): RateLimit {
  const capacity = perSecond * 3
  const buckets = new Map<string, { readonly tokens: number; readonly at: number }>()

  function tokensOf(key: string, now: number): number {
    const bucket = buckets.get(key)
    return bucket ? Math.min(capacity, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond) : capacity
  }

  return {
    check(key) {
      const now = clock()
      const tokens = tokensOf(key, now)
      if (tokens < 1) throw new ScreeningError('ERR_RATE_LIMITED', `Expected fewer ${who} a second`, { retryAt: now + ((1 - tokens) / perSecond) * 1000 })
    },
    take(key) {
      const now = clock()
      const tokens = tokensOf(key, now) - 1
      buckets.delete(key)
      buckets.set(key, { tokens, at: now })
      const [oldest] = buckets.size > KEYS_KEPT ? buckets.keys() : []
      if (oldest !== undefined) buckets.delete(oldest)
    }
  }
}

const GROUPS = 8
const OF_THE_NETWORK = 4

/** What counts as one address: who has one of IPv6 has the 2^64 of its network. IPv4 may come inside IPv6. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const inside = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (inside) return inside
  const [head = [], tail = []] = address.split('::').map((part) => part.split(':').filter(Boolean))
  const zeros = Array.from({ length: Math.max(0, GROUPS - head.length - tail.length) }, () => '0')
  return [...head, ...zeros, ...tail].slice(0, OF_THE_NETWORK).join(':')
}
