import type { FhirResource } from 'fhir/r4.js'
import type { Audit } from '../audit.ts'
import type { TenantConfig } from '../config.ts'
import { readIfThere } from '../fhir/read-if-there.ts'
import { isOf, referencesIn, relativeTo } from '../fhir/references.ts'
import type { FhirSession } from '../fhir/session.ts'
import { findDoubles, retireDoubles, type Double } from './doubles.ts'
import { openResultStore, type ResultStore } from './result-store.ts'
import type { Screening, ScreeningService } from './screening.ts'
import { provenanceId, writtenIds } from './screening-input.ts'
import type { Row, Store } from './store/open-store.ts'

export interface ReconcileReport {
  readonly checked: number
  /** Written, but of a type that this record does not let anyone read. */
  readonly unreadable: number
  /** In our ledger, gone from the record. */
  readonly missing: readonly string[]
  /** Of another patient than the ledger says, or withdrawn there by someone else: a person must look. */
  readonly changed: readonly { readonly reference: string; readonly what: string }[]
  /** In the record more than once, live. */
  readonly doubled: readonly { readonly kept: string; readonly extra: string }[]
  /** Ours, and no longer true (its photo left, or a newer one came), but still standing in the record. */
  readonly standing: readonly string[]
  /** Only when asked to mend. */
  readonly mended?: {
    /** Written again, from the stored result and under the same ids, of patients' newest results. */
    readonly written: readonly string[]
    /** Entered in error or cancelled. */
    readonly retired: readonly string[]
    /**
     * What was left as it is: of an earlier result than the newest, touched by someone, refused by the record, or a report or Provenance that
     * refers to what was missing in a record that takes no update of it.
     */
    readonly left: readonly string[]
  }
}

export interface ReconcileDeps {
  readonly store: Store
  readonly sessionFor: (tenant: TenantConfig) => FhirSession
  readonly tenant: TenantConfig
  /** To mend; without it nothing is changed. */
  readonly mend?: {
    /** Its worker runs: what is missing is written by it, under a lease like everything else. */
    readonly screenings: Pick<ScreeningService, 'request' | 'settled' | 'history'>
    readonly audit: Audit
  }
}

interface LedgerRow extends Row {
  readonly identifier: string
  readonly reference: string
  readonly patient_id: string
}

/**
 * Compares what we wrote with what the record holds now. Without `mend` it changes nothing. Mending writes again what is missing,
 * takes back what is there twice or no longer true, and leaves alone whatever a person may have touched. Throws ERR_EHR_*.
 */
export async function reconcile({ store, sessionFor, tenant, mend }: ReconcileDeps): Promise<ReconcileReport> {
  const session = sessionFor(tenant)
  const results = openResultStore(store)
  const { rows, missing, believedGone, ...compared } = await compareLedger(store, session, tenant.id)
  const doubles = await allDoubles(session, results, tenant.id)
  const standing = [...await standingReferences(store, tenant.id), ...believedGone]
  const report = {
    ...compared, missing: missing.map(({ reference }) => reference), doubled: doubles.map(({ kept, extra }) => ({ kept, extra })),
    standing: standing.map(({ reference }) => reference)
  }
  if (!mend || tenant.mode !== 'assist' || tenant.write !== 'preliminary') return { checked: rows - compared.unreadable, ...report }
  const retired: string[] = []
  for (const double of doubles) {
    const gone = await retireDoubles(session, double.patientId, [double], () => Promise.resolve())
    retired.push(...gone)
    for (const entity of gone)
      await mend.audit.record({ tenant: tenant.id, action: 'retire', actor: 'system', patientId: double.patientId, entity, outcome: 'success' })
  }
  await results.retireAgain(tenant.id, believedGone.map(({ identifier }) => identifier))
  const again = await reopen(results, mend.screenings, tenant.id, missing)
  const stood = new Set(standing.map(({ patient_id: patientId }) => patientId))
  for (const patientId of new Set([...again.patients, ...stood])) {
    await mend.screenings.request(tenant.id, patientId, 'command')
    await mend.screenings.settled(tenant.id, patientId, { waitForParkedMs: WAIT_FOR_PARKED_MS })
  }
  const left = new Set((await standingReferences(store, tenant.id)).map(({ reference }) => reference))
  retired.push(...report.standing.filter((one) => !left.has(one)))
  const ledger = await ledgerOf(store, tenant.id)
  const known = new Set(ledger.map(({ identifier }) => identifier))
  const written = again.reopened.filter(({ identifier }) => known.has(identifier)).map(({ reference }) => reference)
  const done = new Set([...written, ...retired])
  const outdated = written.length > 0 ? await outdatedBeside(session, ledger, again) : []
  return {
    checked: rows - compared.unreadable, ...report,
    mended: { written, retired, left: [...[...report.missing, ...doubles.map(({ extra }) => extra), ...report.standing].filter((one) => !done.has(one)), ...outdated] }
  }
}

const WAIT_FOR_PARKED_MS = 60_000

async function compareLedger(store: Store, session: FhirSession, tenant: string) {
  const capabilities = await session.capabilities()
  const rows = await ledgerOf(store, tenant)
  const retired = new Map((await store.query<{ identifier: string; outcome: string | null }>('select identifier, outcome from retirement where tenant = $1', [tenant]))
    .map(({ identifier, outcome }) => [identifier, outcome]))
  const readable = rows.filter(({ reference }) => capabilities.can(reference.split('/')[0] ?? '', 'read'))
  const judge = (row: LedgerRow) => whatBecameOf(session, row, retired)
  // One 404, or one answer that names another patient, may be a gateway's, or of a replica that is behind: it is asked again when all were.
  const odd: LedgerRow[] = []
  for (const row of readable) if (await judge(row) !== 'as-written') odd.push(row)
  const missing: LedgerRow[] = []
  const changed: { reference: string; what: string }[] = []
  const believedGone: LedgerRow[] = []
  for (const row of odd) {
    const found = await judge(row)
    if (found === 'missing') missing.push(row)
    else if (found === 'believed-gone') believedGone.push(row)
    else if (found !== 'as-written') changed.push({ reference: row.reference, what: found.changed })
  }
  return { rows: rows.length, unreadable: rows.length - readable.length, missing, changed, believedGone }
}

/**
 * `believed-gone`: taken back, or left because it seemed gone or another's, and yet there as we wrote it: a server that lost an update, or an
 * answer that was mixed up. What we took back ourselves is as it should be.
 */
type Became = 'as-written' | 'missing' | 'believed-gone' | { readonly changed: string }

async function whatBecameOf(session: FhirSession, { reference, identifier, patient_id: patientId }: LedgerRow, retired: ReadonlyMap<string, string | null>): Promise<Became> {
  const [type = '', id = ''] = reference.split('/')
  const there = await readIfThere(session, type as FhirResource['resourceType'], id, [0])
  const outcome = retired.get(identifier)
  if (!there) return outcome === undefined ? 'missing' : 'as-written'
  const what = difference(session, there, patientId)
  if (outcome === 'retired' && isTakenBack(there)) return 'as-written'
  if (!what) return ENDED.includes(outcome ?? '') && isAsWritten(there) ? 'believed-gone' : 'as-written'
  return outcome !== undefined && what.startsWith('status ') ? 'as-written' : { changed: what }
}

const ENDED = ['retired', 'gone', 'left']

/** Nobody confirmed or took it over. */
function isAsWritten(resource: FhirResource): boolean {
  return 'status' in resource && resource.status === 'preliminary' && !('performer' in resource && resource.performer !== undefined)
}

function isTakenBack(resource: FhirResource): resource is FhirResource & { readonly status: 'cancelled' | 'entered-in-error' } {
  return 'status' in resource && (resource.status === 'entered-in-error' || resource.status === 'cancelled')
}

function ledgerOf(store: Store, tenant: string): Promise<readonly LedgerRow[]> {
  return store.query<LedgerRow>('select identifier, reference, patient_id from ledger where tenant = $1 order by recorded_at, identifier', [tenant])
}

function difference({ tenant }: FhirSession, resource: FhirResource, patientId: string): string | undefined {
  const subject = 'subject' in resource ? (resource.subject as { reference?: string } | undefined)?.reference : undefined
  if (subject !== undefined && !isOf(tenant, subject, patientId)) return 'another patient'
  return isTakenBack(resource) ? `status ${resource.status}` : undefined
}

async function allDoubles(session: FhirSession, results: ResultStore, tenant: string): Promise<readonly (Double & { readonly patientId: string })[]> {
  const found: (Double & { readonly patientId: string })[] = []
  for (const patientId of await results.patients(tenant))
    for (const screening of await results.history(tenant, patientId)) {
      if (screening.written.length === 0) continue
      for (const double of (await findDoubles(session, results, screening)).doubles) found.push({ ...double, patientId })
    }
  return found
}

/** Asked to be taken back and not done yet, or refused by the record. */
async function standingReferences(store: Store, tenant: string): Promise<readonly LedgerRow[]> {
  return store.query<LedgerRow>(
    `select identifier, reference, ledger.patient_id from retirement join ledger using (tenant, identifier)
     where tenant = $1 and (outcome is null or outcome = 'no-updates') order by identifier`, [tenant])
}

/** Of what is missing, what belongs to a patient's newest result is forgotten by the ledger, so that the worker writes it. */
async function reopen(
  results: ResultStore, screenings: Pick<ScreeningService, 'history'>, tenant: string, missing: readonly LedgerRow[]
): Promise<Reopened> {
  const reopened: LedgerRow[] = []
  const beside = new Set<string>()
  for (const [patientId, rows] of Map.groupBy(missing, (row) => row.patient_id)) {
    const [newest] = await screenings.history(tenant, patientId)
    const ids = newest && idsOf(newest)
    const mine = rows.filter(({ identifier }) => ids?.has(identifier))
    if (!newest || mine.length === 0) continue
    await results.reopen(newest, mine.map(({ identifier }) => identifier))
    reopened.push(...mine)
    for (const id of ids ?? []) beside.add(id)
  }
  for (const { identifier } of reopened) beside.delete(identifier)
  return { patients: new Set(reopened.map((row) => row.patient_id)), reopened, beside }
}

interface Reopened {
  readonly patients: ReadonlySet<string>
  readonly reopened: readonly LedgerRow[]
  /** Identifiers of what else belongs to the same results. */
  readonly beside: ReadonlySet<string>
}

/** Reports and Provenances that name the former place of what was written again, and cannot be updated. */
async function outdatedBeside(session: FhirSession, ledger: readonly LedgerRow[], { reopened, beside }: Reopened): Promise<readonly string[]> {
  const capabilities = await session.capabilities()
  const former = new Set(reopened.map(({ reference }) => reference))
  const found: string[] = []
  for (const { identifier, reference } of ledger) {
    const [type = '', id = ''] = reference.split('/')
    if (!beside.has(identifier) || capabilities.can(type, 'update') || !capabilities.can(type, 'read')) continue
    const there = await readIfThere(session, type as FhirResource['resourceType'], id)
    if (there && referencesIn(there).some((one) => former.has(relativeTo(session.tenant, one)))) found.push(reference)
  }
  return found
}

/** Those of a patient alone: the model's Device is everybody's, and whether it should stand there again is a person's decision. */
function idsOf(screening: Screening): ReadonlySet<string> {
  return new Set([...writtenIds(screening), provenanceId(screening)])
}
