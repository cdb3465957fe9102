/** What a server may do to a request, as real ones have been seen to (specs of faults R6 to R15). */
export type Mode =
  | 'commit-then-401' | 'commit-then-408' | 'commit-then-500' | 'commit-then-reset' | 'commit-then-hang' | 'commit-late' | 'drop-before-commit'
  | '401' | '403' | '404' | '405' | '409' | '410' | '412' | '422' | '429' | '500' | '501' | '502' | '503'
  | 'redirect' | 'wrong-content-type' | 'wrong-type' | 'wrong-id' | 'wrong-subject'
  | 'truncated' | 'empty' | 'null' | 'number' | 'html' | 'slow-bytes' | 'gzip-bomb'
  | 'batch-answer' | 'reordered' | 'entry-422'
  | 'next-self' | 'next-elsewhere' | 'next-missing' | 'no-entries'

export interface Rule {
  readonly mode: Mode
  readonly method?: string
  /** Path below the base: `/Observation`, `/` for bundles; matched as a prefix of whole segments unless it is `/`. */
  readonly path?: string
  /** The first request it acts on, counted from 1 among those that match; 1 unless told. */
  readonly from?: number
  /** On so many of them; 1 unless told. */
  readonly times?: number
  /** The Retry-After header, as it is sent. */
  readonly retryAfter?: string
  /** For commit-late and commit-then-hang. */
  readonly delayMs?: number
}

export interface Request {
  readonly method: string
  readonly path: string
}

/** Says which rule acts now: the first one that does. What a rule acted upon is not counted by those after it. */
export function openModes() {
  let rules: { readonly rule: Rule; seen: number }[] = []
  return {
    set(wanted: readonly Rule[]): void {
      rules = wanted.map((rule) => ({ rule, seen: 0 }))
    },
    /** `suits`: rules of other modes cannot act here, and do not count the request. */
    acting(request: Request, suits: (mode: Mode) => boolean = () => true): Rule | undefined {
      return rules.find((one) => {
        const { from = 1, times = 1 } = one.rule
        if (!suits(one.rule.mode) || !meant(one.rule, request)) return false
        one.seen++
        return one.seen >= from && one.seen < from + times
      })?.rule
    }
  }
}

function meant({ method, path }: Rule, request: Request): boolean {
  if (method !== undefined && method !== request.method) return false
  if (path === undefined) return true
  return path === '/' ? request.path === '/' : request.path === path || request.path.startsWith(`${path}/`)
}

/** When a server that sent this Retry-After may be called again: seconds or an HTTP date; junk says nothing. */
export function notBefore(retryAfter: string | undefined, now: number): number | undefined {
  if (retryAfter === undefined) return undefined
  if (/^\d+$/.test(retryAfter)) return now + Number(retryAfter) * 1000
  const date = Date.parse(retryAfter)
  return /GMT$/.test(retryAfter) && !Number.isNaN(date) ? date : undefined
}
