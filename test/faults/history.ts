/**
 * The files of one run, which are all that the history checker sees: `witness.jsonl` (events), `callers.jsonl` (what callers
 * were told), `ledger.json` (what the product says it did) and `final.json` (what lies in the record at the end).
 */

/** What a statement is about, in the resource's own words; two live Observations that agree in all of it are a double. */
export interface Statement {
  readonly type: string
  readonly id: string
  readonly version: number
  /** `system|value`. */
  readonly identifiers: readonly string[]
  readonly subject?: string
  readonly status?: string
  /** `Media/id`, sorted: derivedFrom of an Observation, media of a report. */
  readonly photos: readonly string[]
  readonly code?: string
  readonly site?: string
  readonly device?: string
  /** hasMember, result, target. */
  readonly members: readonly string[]
  /** When what it describes was so: effectiveDateTime. */
  readonly effective?: string
}

export interface WitnessEvent {
  readonly seq: number
  /** Milliseconds since the epoch by a clock that never goes back. */
  readonly ms: number
  readonly connection: number
  readonly method: string
  readonly path: string
  /** A Bundle that only asks: a read, whatever its method. */
  readonly asks?: true
  readonly query: string
  readonly ifNoneExist?: string
  readonly ifMatch?: string
  readonly bodySha256?: string
  /** `answered`: nothing to commit. `canary`: the listener that nobody may call. */
  readonly decision: 'committed' | 'refused' | 'dropped' | 'answered' | 'canary'
  /** Null when the connection was cut. */
  readonly status: number | null
  /** The fault that acted. */
  readonly mode?: string
  /** The moment, on the clock of `ms`, before which the server asked not to be called again. */
  readonly notBefore?: number
  readonly commits: readonly Statement[]
  readonly bytes: number
}

/** What a caller of the product saw, in the order of `ms`. */
export type CallerEvent =
  /** Durably accepted (2xx, or the command returned). */
  | { readonly ms: number; readonly kind: 'accepted'; readonly tenant: string; readonly patientId: string }
  /** A card or a result was shown and says how many joints the record holds. */
  | { readonly ms: number; readonly kind: 'shown'; readonly tenant: string; readonly patientId: string; readonly written: readonly string[]; readonly pending: boolean }
  | { readonly ms: number; readonly kind: 'started' | 'killed' | 'stopped' | 'woken' }

/** The product's own account, exported after the run. */
export interface LedgerExport {
  readonly jobs: readonly { readonly tenant: string; readonly patientId: string; readonly state: string; readonly code?: string }[]
  readonly screenings: readonly {
    readonly id: string; readonly tenant: string; readonly patientId: string; readonly state: string
    readonly written: readonly string[]; readonly photos: readonly string[]; readonly superseded: boolean
  }[]
  readonly ledger: readonly { readonly tenant: string; readonly patientId: string; readonly identifier: string; readonly reference: string }[]
}

/** What lies in the record at the end. */
export interface FinalState {
  readonly statements: readonly Statement[]
  /** `Media/id` → `Patient/id`. */
  readonly photos: Readonly<Record<string, string>>
}

/** What the run promised, for rules that need a number. */
export interface RunExpectation {
  /** A set that is whole has so many Observations. */
  readonly observationsPerScreening: number
  /** `tenant/patient` of those who have readable photos: refusing them is losing them. */
  readonly mustBeWritten: readonly string[]
  /** From a restart to the next commit, when there was something to do. */
  readonly recoveryMs: number
  /** Requests of the whole run; more is a retry storm. */
  readonly maxRequests: number
}
