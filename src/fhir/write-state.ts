import type { Reference } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import type { Resolved } from './resources/inner-references.ts'
import { inWritingOrder, logical } from './resources/screening-bundle.ts'
import type { ScreeningResource, ScreeningResources } from './resources/screening-resources.ts'
import type { FhirSession } from './session.ts'

/** What we wrote, kept by us: no EHR can be trusted to find it again (specs/conformance.md section 5, point 3). */
export interface WriteLedger {
  /** The references that these deterministic ids were written as, as far as they were. */
  places(identifiers: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** Where they lie, by identifier; on disk when it resolves. Also ends what `sending` began. */
  record(places: ReadonlyMap<string, string>): Promise<void>
  /**
   * On disk before they are sent, so that a crash leaves word of it. False, and nothing kept, when one of them was sent less than
   * `settleMs` ago, by whomever, and its outcome is not known yet, or when it is known by now where one of them lies.
   */
  sending(identifiers: readonly string[], settleMs: number): Promise<boolean>
  /** Of those that were sent without a known outcome: how long ago, ms. */
  unanswered(identifiers: readonly string[]): Promise<ReadonlyMap<string, number>>
  /** The server did nothing with them. */
  refused(identifiers: readonly string[]): Promise<void>
  /** What we believed was written is not there: from now on it counts as sent without a known outcome. */
  disbelieve(identifier: string): Promise<void>
  /** Whether a search showed at once what was just written. */
  showed(atOnce: boolean): Promise<void>
  /** A search has shown fresh writes, and all of them at once, as far back as a day. */
  showsAtOnce(): Promise<boolean>
  /** It has shown all of a screening within two minutes of its writing, each time in the last day. */
  showsSoon(): Promise<boolean>
}

/** By then a search is believed to show what was written. */
export const LATE_MS = 900_000

/**
 * So long after a send an empty look is no proof of absence: servers index late, and finish what they began after the connection
 * is gone. A condition on a create is answered from the same index, so it proves no more than a look.
 */
export interface Settling {
  /** Where searches have shown at once whatever was written. */
  readonly promptMs: number
  /** Where they have shown within two minutes whatever was written; `lateMs` where absent. */
  readonly soonMs?: number
  /** Where nothing was shown yet, or something late. */
  readonly lateMs: number
}

export interface WriteOptions {
  readonly ledger: WriteLedger
  /** Called immediately before each send; throws ERR_LEASE_LOST when another worker took over. */
  fence(): Promise<void>
  /** Named points for crash tests. */
  readonly failpoint?: (name: string) => void | Promise<void>
  /** Waits before each look after an unknown outcome: servers index late (specs/reliability.md section 7). */
  readonly readBackDelaysMs?: readonly number[]
  readonly settling?: Settling
  /** The site's day, `2026-11-24`: who is not 18 on it gets no results. In UTC unless told. */
  readonly today?: string
}

/** One screening on its way into the record. */
export interface Writer {
  readonly session: FhirSession
  readonly resources: ScreeningResources
  readonly options: WriteOptions
  readonly capabilities: Capabilities
  /** What is to lie in the record. The model leaves it while its own writing, which may be another's, is in doubt. */
  wanted: readonly ScreeningResource[]
  /** Where each of our resources lies in the record: deterministic id → `Type/id`. */
  readonly places: Map<string, string>
  /** What the send under way carries. */
  inDoubt: readonly ScreeningResource[]
  /** Ids of what this server cannot be asked for. */
  readonly unasked: Set<string>
  /** What the server showed of ours in this call, by our id. */
  readonly seen: Map<string, Found>
  /** Ids of what had a place before this call sent anything. */
  before: ReadonlySet<string>
}

/** One of ours, as the record has it. */
export interface Found {
  readonly id: string
  /** `Type/id`. */
  readonly reference: string
  /** What it refers to. */
  readonly refersTo: ReadonlySet<string>
  readonly version?: string
  readonly status?: string
}

export function missing({ wanted, places }: Writer): readonly ScreeningResource[] {
  return wanted.filter((one) => !places.has(ourId(one)))
}

export function ambiguous(expected: string, options?: ConstructorParameters<typeof ScreeningError>[2]): ScreeningError {
  return new ScreeningError('ERR_WRITE_AMBIGUOUS', `Expected ${expected}`, options)
}

/** One commit, however many there are. */
export async function record({ options, places }: Writer, found: Iterable<readonly [id: string, reference: string]>): Promise<void> {
  const news = new Map(found)
  if (news.size === 0) return
  for (const [id, reference] of news) places.set(id, reference)
  await options.ledger.record(news)
}

export function ourId({ id }: ScreeningResource): string {
  if (id === undefined) throw new Error('Expected a deterministic id on every resource')
  return id
}

export function identifierKey(identifier: { system?: string | undefined; value?: string | undefined } | undefined): string {
  return `${identifier?.system}|${identifier?.value}`
}

export function wrongPatient(expected: string): ScreeningError {
  return new ScreeningError('ERR_WRONG_PATIENT', `Expected ${expected}; nothing was written`)
}

/**
 * Inner references on their way out: where it lies, or will lie in this bundle; a Device that the server cannot hold is named
 * by its identifier; what is not written at all (a report where none can be created) is not referred to.
 */
export function resolver(writer: Writer, place: (id: string) => string | undefined) {
  const wanted = new Map(writer.wanted.map((one) => [ourId(one), one]))
  const ours = new Set(inWritingOrder(writer.resources).map(ourId))
  return (type: string, id: string, was: Reference): Resolved | undefined => {
    if (!ours.has(id)) return undefined
    const reference = place(id)
    if (reference) return { ...was, reference }
    if (wanted.has(id)) return undefined
    return type === 'Device' ? logical(writer.resources, was) : 'drop'
  }
}
