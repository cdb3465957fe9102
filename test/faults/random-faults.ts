import { seeded } from './mutations.ts'
import { READ_FAULTS, WRITE_FAULTS } from './scenarios.ts'
import type { Mode, Rule } from './witness/modes.ts'
import type { Witness } from './witness/witness.ts'

/** Those that only take time would make a run of a few minutes one of waiting. */
const SLOW = new Set(['slow-bytes', 'gzip-bomb', 'commit-then-hang'])

/** What a gateway or a replica that is behind answers in passing; a sweep meets the rest. */
const PASSING: readonly Mode[] = ['403', '404', '410', 'no-entries', 'next-missing']
const READ = ['/Media', '/Observation', '/DiagnosticReport', '/Provenance', '/Patient', '/metadata', '/'] as const

/** Another fault every so many requests, until `end`: the server fails in every way, as the seed has it. */
export function failAtRandom(witness: Witness, seed: number, every = 25): { end(): void } {
  const random = seeded(seed)
  const faults = [...WRITE_FAULTS, '403' as const].map((mode): Rule => ({ mode, method: 'POST', path: '/', delayMs: 600 })).concat(
    [...READ_FAULTS, ...PASSING].flatMap((mode) => READ.map((path): Rule => ({ mode, method: 'GET', path })))).filter(({ mode }) => !SLOW.has(mode))
  let requests = 0
  witness.onRequest = () => {
    if (++requests % every === 0) witness.faults([faults[Math.floor(random() * faults.length)] ?? { mode: '500' }])
  }
  return {
    end() {
      witness.onRequest = () => undefined
      witness.faults([])
    }
  }
}
