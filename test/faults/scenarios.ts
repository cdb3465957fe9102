import { seeded } from './mutations.ts'
import type { Mode, Rule } from './witness/modes.ts'
import { PROFILES, type ProfileName } from './witness/profiles.ts'

/** One run: a server with its manners and faults, and the places where the product is killed, one after the other. */
export interface Scenario {
  readonly seed: number
  readonly profile: ProfileName
  readonly rules: readonly Rule[]
  readonly indexLagMs: number
  readonly racy: boolean
  readonly requestsPerToken?: number
  /** `name:hit` for JOINTLENS_FAILPOINT. */
  readonly kills: readonly string[]
}

export const WRITE_FAULTS: readonly Mode[] = [
  'commit-then-500', 'commit-then-reset', 'commit-then-hang', 'commit-late', 'drop-before-commit', '500', '502', '503', '429', '409', '422', '401',
  'redirect', 'truncated', 'empty', 'null', 'number', 'html', 'wrong-type', 'wrong-id', 'slow-bytes', 'entry-422', 'batch-answer', 'reordered'
]
export const READ_FAULTS: readonly Mode[] = [
  '500', '502', '503', '429', '401', 'redirect', 'truncated', 'empty', 'null', 'number', 'html', 'wrong-content-type', 'wrong-type', 'wrong-id',
  'wrong-subject', 'slow-bytes', 'gzip-bomb', 'next-self', 'next-elsewhere', 'drop-before-commit'
]
const READS = ['/Media', '/Observation', '/metadata', '/Device', '/'] as const

/** Seconds, a date, and what is neither. */
export const RETRY_AFTER: readonly (() => string | undefined)[] = [
  () => '1', () => new Date(Date.now() + 2_000).toUTCString(), () => 'soon', () => '-5', () => '0', () => undefined
]

/** Places on the way of every screening, and those that depend on how the server takes writes. */
const EVERYWHERE = ['accepted', 'leased', 'photos-found', 'inferred', 'stored', 'before-ledger', 'written', 'before-end']

/** The n-th scenario of a sweep: profiles, faults and places take turns; what is left to chance follows from the seed. */
export function scenarioOf(seed: number, killsEach: number): Scenario {
  const random = seeded(seed)
  const profiles = Object.keys(PROFILES) as ProfileName[]
  const profile = profiles[seed % profiles.length] ?? 'conditional'
  // Every kind of server meets every fault as the seeds go on: 19 shares no factor with 24, nor 7 with 20.
  const round = Math.floor(seed / profiles.length)
  const write = WRITE_FAULTS[(19 * round + 7 * seed) % WRITE_FAULTS.length] ?? '500'
  const read = READ_FAULTS[(7 * round + 3 * seed) % READ_FAULTS.length] ?? '500'
  const retry = RETRY_AFTER[Math.floor(random() * RETRY_AFTER.length)]?.()
  const places = placesOf(profile)
  const kills = Array.from({ length: killsEach }, (_, index) => {
    const place = places[(round * killsEach + seed % profiles.length + index) % places.length] ?? 'leased'
    return `${place}:${hitOf(place, profile, random)}`
  })
  return {
    seed, profile, kills,
    rules: [
      { mode: write, path: writePath(profile), method: 'POST', from: 1 + Math.floor(random() * 3), times: 1 + Math.floor(random() * 2), delayMs: 600, ...(retry ? { retryAfter: retry } : {}) },
      { mode: read, path: READS[(round + seed) % READS.length] ?? '/Media', method: 'GET', from: 1 + Math.floor(random() * 4), times: 1 + Math.floor(random() * 2), ...(retry ? { retryAfter: retry } : {}) }
    ],
    indexLagMs: round % 2 === 0 ? Math.floor(50 + random() * 250) : 0,
    racy: round % 3 === 0,
    ...((seed + round) % 5 === 0 ? { requestsPerToken: 3 + Math.floor(random() * 30) } : {})
  }
}

/** Where a process can be killed while it writes to such a server. */
export function placesOf(profile: ProfileName): readonly string[] {
  const { system } = PROFILES[profile]
  const writing = (system as readonly string[]).includes('transaction') ? ['before-transaction', 'after-transaction']
    : (system as readonly string[]).includes('batch') ? ['before-batch', 'after-batch', 'before-write', 'after-write'] : ['before-write', 'after-write']
  return [...EVERYWHERE, ...writing, 'before-verify', 'read-back']
}

function writePath(profile: ProfileName): string {
  return (PROFILES[profile].system as readonly string[]).length > 0 ? '/' : '/Observation'
}

/** What is there once for each resource is reached often in one screening, everything else once; a bundle is entered in the ledger at once. */
function hitOf(place: string, profile: ProfileName, random: () => number): number {
  const oneByOne = (PROFILES[profile].system as readonly string[]).length === 0
  return (place === 'before-ledger' && oneByOne) || place.endsWith('-write') ? 1 + Math.floor(random() * 20) : 1
}
