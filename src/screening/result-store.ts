import type { WriteLedger } from '../fhir/record-writer.ts'
import type { RetiredStatus } from '../fhir/retire.ts'
import type { PhotoAssessment } from '../joints/finding.ts'
import { newestResults } from './newest-results.ts'
import { UNTOUCHED, type PatientOfTenant, type PhotoReference, type Screening, type SignedAnswers } from './screening.ts'
import { askLater } from './errands.ts'
import { writtenIds } from './screening-input.ts'
import { COLUMNS, screeningOf, SPEAKS, type Result, type ScreeningRow } from './stored-screening.ts'
import type { Job } from './queue.ts'
import { inBatches } from './store/in-batches.ts'
import type { Queries, Store } from './store/open-store.ts'

/** Where a screening belongs among the patient's: at most one result per day speaks, the newest. */
export interface ResultPlace {
  readonly day: string
  /** What decided the result: photos, model, calibration. */
  readonly photoSet: string
}

/** Asks, inside a step's transaction, whether the job is still ours. */
export type Guard = (queries: Queries) => Promise<void>

export type ResultStore = ReturnType<typeof openResultStore>

/**
 * What a worker found out is kept also when it lost its lease, but not when the patient was erased meanwhile, and the job with it. The
 * lock makes whoever erases wait until it is kept, and whoever keeps it until it is erased.
 */
const notErased = (parameter: string) => `(${parameter}::uuid is null or exists (select 1 from job where id = ${parameter}::uuid for key share))`
const SHA256_OF_SCREENINGS = "select photo ->> 'sha256' from screening, jsonb_array_elements(data -> 'photos') photo where tenant = $1"
/** When what was written is looked at again for doubles (specs/reliability.md section 3.7). */
const SWEEPS = [60_000, 3_600_000]
/** By then the first of them has come, where somebody is at work. */
const SOON_MS = 2 * 60_000

const ANSWERED = "(case when $5::boolean then '[]' else answered end || $4::jsonb)"
const ALL_FLAGGED_ANSWERED = `not exists (
  select 1 from jsonb_array_elements(data -> 'findings') as finding where (finding ->> 'inflamed')::boolean
    and not ${ANSWERED} @> jsonb_build_array(jsonb_build_object('side', finding -> 'side', 'joint', finding -> 'joint')))`

/** Screenings, readings of single photos, and the ledger of what was written to the record. Tenants never meet. */
export function openResultStore(store: Store) {
  /** Of which it is on disk already that their records show at once what was written. */
  const promptTenants = new Set<string>()
  const newest = inBatches((patients: readonly PatientOfTenant[]) => newestResults(store, patients))
  return {
    /** The newest visit's result, and the one before it that has a joint that could be assessed. */
    newest: (tenant: string, patientId: string) => newest({ tenant, patientId }),

    /** One result per visit, newest photo first. */
    async history(tenant: string, patientId: string): Promise<readonly Screening[]> {
      const rows = await store.query<ScreeningRow>(
        `select ${COLUMNS} from screening where tenant = $1 and patient_id = $2 and ${SPEAKS}
         order by photo_time desc, completed_at desc limit 200`, [tenant, patientId])
      return rows.map(screeningOf)
    },

    /** One that still speaks. */
    async speaking(tenant: string, id: string): Promise<Screening | undefined> {
      const [row] = await store.query<ScreeningRow>(`select ${COLUMNS} from screening where tenant = $1 and id = $2 and ${SPEAKS}`, [tenant, id])
      return row && screeningOf(row)
    },

    async signed(tenant: string, id: string, { at, joints, isAll }: SignedAnswers): Promise<void> {
      await store.query(
        `update screening set answered_at = greatest(answered_at, $3::timestamptz),
           answered = (select coalesce(jsonb_agg(distinct one), '[]') from jsonb_array_elements(${ANSWERED}) as one),
           signed_at = case when ${ALL_FLAGGED_ANSWERED} then greatest(signed_at, $3::timestamptz) when $5 then null else signed_at end
         where tenant = $1 and id = $2`, [tenant, id, at, JSON.stringify(joints), isAll])
    },

    /** Patients with a result that was not withdrawn. */
    async patients(tenant: string): Promise<readonly string[]> {
      const rows = await store.query<{ patient_id: string }>(
        'select distinct patient_id from screening where tenant = $1 and withdrawn_code is null order by patient_id', [tenant])
      return rows.map(({ patient_id: id }) => id)
    },

    /** Patients with a result of photos taken since, and which of their results those are. */
    async since(tenant: string, time: Date): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
      const rows = await store.query<{ patient_id: string; ids: readonly string[] }>(
        `select patient_id, array_agg(id::text) as ids from screening where tenant = $1 and photo_time >= $2 and ${SPEAKS}
         group by patient_id order by patient_id`, [tenant, time.toISOString()])
      return new Map(rows.map(({ patient_id: id, ids }) => [id, new Set(ids)]))
    },

    /** Results of a version of a model that speak, and those that were withdrawn for this reason. */
    async madeBy(tenant: string, version: string, code: string): Promise<readonly { readonly id: string; readonly patientId: string; readonly speaks: boolean }[]> {
      const rows = await store.query<{ id: string; patient_id: string; speaks: boolean }>(
        `select id::text, patient_id, withdrawn_code is null as speaks from screening
         where tenant = $1 and data -> 'model' ->> 'version' = $2 and ((${SPEAKS}) or withdrawn_code = $3) order by patient_id, id`, [tenant, version, code])
      return rows.map(({ id, patient_id: patientId, speaks }) => ({ id, patientId, speaks }))
    },

    /** Everything that was ever shown of a patient and not withdrawn, oldest photo first: a clinician may have signed any of it. */
    async everShown(tenant: string, patientId: string): Promise<readonly Screening[]> {
      const rows = await store.query<ScreeningRow>(
        `select ${COLUMNS} from screening where tenant = $1 and patient_id = $2 and withdrawn_code is null
         order by photo_time, completed_at`, [tenant, patientId])
      return rows.map(screeningOf)
    },

    /** The result that already speaks for this photo set. */
    async find(tenant: string, patientId: string, { photoSet }: ResultPlace): Promise<Screening | undefined> {
      const [row] = await store.query<ScreeningRow>(
        `select ${COLUMNS} from screening where tenant = $1 and patient_id = $2 and photo_set = $3 and ${SPEAKS}`, [tenant, patientId, photoSet])
      return row && screeningOf(row)
    },

    /** The result that speaks for a day, whatever it was made of. */
    async ofDay(tenant: string, patientId: string, day: string): Promise<Screening | undefined> {
      const [row] = await store.query<ScreeningRow>(
        `select ${COLUMNS} from screening where tenant = $1 and patient_id = $2 and day = $3 and ${SPEAKS} order by completed_at desc limit 1`,
        [tenant, patientId, day])
      return row && screeningOf(row)
    },

    /** Stored before anything is written; the first result of a photo set stays. It replaces the day's earlier one. */
    async save(result: Result, { day, photoSet }: ResultPlace, state: 'inferred' | 'done', guard: Guard): Promise<Screening> {
      return store.transaction(async (queries) => {
        await guard(queries)
        await queries.query(
          'update screening set superseded = true where tenant = $1 and patient_id = $2 and day = $3 and photo_set <> $4',
          [result.tenant, result.patientId, day, photoSet])
        await queries.query(
          `insert into read_photo (tenant, reference, patient_id) select $1, reference, $2 from unnest($3::text[]) as reference on conflict do nothing`,
          [result.tenant, result.patientId, result.photos.map(({ resourceType, id }) => `${resourceType}/${id}`)])
        const [row] = await queries.query<ScreeningRow>(
          `insert into screening (id, tenant, patient_id, day, photo_set, photo_time, state, data, completed_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           on conflict (tenant, patient_id, photo_set) do update set superseded = false, withdrawn_code = null
           returning ${COLUMNS}`,
          [result.id, result.tenant, result.patientId, day, photoSet, result.photoTime, state, JSON.stringify(result), result.completedAt])
        if (!row) throw new Error('Expected the row that was just stored')
        return screeningOf(row)
      })
    },

    /** What is to be written now. The edition tells under which ids; another one than before has not been written at all. */
    async begin({ tenant, id, edition }: Screening, guard: Guard): Promise<void> {
      await store.transaction(async (queries) => {
        await guard(queries)
        await queries.query(
          `update screening set state = 'writing',
             written = case when coalesce((data ->> 'edition')::int, 0) = $3 then written else '[]' end,
             data = case when $3 = 0 then data - 'edition' else jsonb_set(data, '{edition}', to_jsonb($3::int)) end
           where tenant = $1 and id = $2`, [tenant, id, edition ?? 0])
      })
    },

    /** Nothing more is to be written of it. */
    async end({ tenant, id }: Screening, guard: Guard, written?: readonly string[]): Promise<void> {
      await store.transaction(async (queries) => {
        await guard(queries)
        await end(queries, tenant, id, written)
      })
    },

    /**
     * It lies in the record. What it replaces there is to be cancelled from now on: the day's earlier results, and those of earlier
     * days whose writing was broken off, which will not be continued after a newer one.
     */
    async endWritten(screening: Screening, written: readonly string[], guard: Guard): Promise<void> {
      const { tenant, patientId, id, photoTime } = screening
      await store.transaction(async (queries) => {
        await guard(queries)
        await end(queries, tenant, id, written)
        const replaced = await queries.query<ScreeningRow>(
          `update screening set state = case when state = 'writing' then 'inferred' else state end
           where tenant = $1 and patient_id = $2 and id <> $3 and withdrawn_code is null
             and ((superseded and day = (select day from screening where tenant = $1 and id = $3)) or (state = 'writing' and photo_time <= $4))
           returning ${COLUMNS}`, [tenant, patientId, id, photoTime])
        const kept = new Set(writtenIds(screening))
        await askLater(queries, tenant, SWEEPS.map((delayMs, round) => ({ what: `sweep ${id} ${round + 1}`, delayMs })))
        await toRetire(queries, screening, replaced.flatMap((row) => writtenIds(row.data)).filter((one) => !kept.has(one)), 'cancelled')
      })
    },

    /** The photo was not, or is no longer, this patient's: the result is shown to nobody, and what lies in the record is to be taken back. */
    async withdraw(tenant: string, id: string, code: string, guard: Guard): Promise<void> {
      await store.transaction(async (queries) => {
        await guard(queries)
        const [row] = await queries.query<ScreeningRow>(
          `update screening set state = 'refused', withdrawn_code = $3 where tenant = $1 and id = $2 returning ${COLUMNS}`, [tenant, id, code])
        if (row && !UNTOUCHED.includes(code)) await toRetire(queries, row.data, writtenIds(row.data), 'entered-in-error')
      })
    },

    /** Part of it was seen to be gone from the record: the next worker writes that again. */
    async reopen({ tenant, id }: Screening, identifiers: readonly string[]): Promise<void> {
      await store.transaction(async ({ query }) => {
        await query('delete from ledger where tenant = $1 and identifier = any($2::text[])', [tenant, identifiers])
        await query("update screening set state = 'inferred' where tenant = $1 and id = $2 and state = 'done'", [tenant, id])
      })
    },

    /** Whether anything of ours was ever taken by this record, as far as it is kept. */
    async hasWritten(tenant: string): Promise<boolean> {
      return (await store.query('select 1 from ledger where tenant = $1 limit 1', [tenant])).length > 0
    },

    /** Ids that were or will be retired in the record: nothing is written under them again. */
    async retiredIds(tenant: string, patientId: string): Promise<ReadonlySet<string>> {
      const rows = await store.query<{ identifier: string }>('select identifier from retirement where tenant = $1 and patient_id = $2', [tenant, patientId])
      return new Set(rows.map(({ identifier }) => identifier))
    },

    /** The photos of the result that lies in the record under this id, in this edition or an earlier one; none where it is not known. */
    async photosBehind(tenant: string, patientId: string, identifier: string): Promise<readonly PhotoReference[]> {
      const rows = await store.query<ScreeningRow>(`select ${COLUMNS} from screening where tenant = $1 and patient_id = $2`, [tenant, patientId])
      const mine = rows.find(({ data }) => Array.from({ length: (data.edition ?? 0) + 1 }, (_, edition) => edition)
        .some((edition) => writtenIds({ ...data, edition }).includes(identifier)))
      return mine?.data.photos ?? []
    },

    /** What is still to be retired in the record. */
    async retirements(tenant: string, patientId: string): Promise<readonly { readonly identifier: string; readonly status: RetiredStatus }[]> {
      return store.query<{ identifier: string; status: RetiredStatus }>(
        'select identifier, status from retirement where tenant = $1 and patient_id = $2 and outcome is null order by asked_at, identifier', [tenant, patientId])
    },

    /** A fact, like the ledger's: kept even if the lease was lost meanwhile. */
    async retired(tenant: string, identifier: string, outcome: string): Promise<void> {
      await store.query('update retirement set outcome = $3 where tenant = $1 and identifier = $2', [tenant, identifier, outcome])
    },

    /** What the record refused to change is tried once more, and these, which seemed to be done and still stand there. */
    async retireAgain(tenant: string, identifiers: readonly string[] = []): Promise<void> {
      await store.query("update retirement set outcome = null where tenant = $1 and (outcome = 'no-updates' or identifier = any($2::text[]))", [tenant, identifiers])
    },

    /** Patients with results, not withdrawn, that were read from one of these photos. */
    async patientsOf(tenant: string, photos: readonly PhotoReference[]): Promise<readonly string[]> {
      const rows = await store.query<{ patient_id: string }>(
        `select distinct patient_id from read_photo as was where tenant = $1 and reference = any($2::text[]) and exists (
           select 1 from screening, jsonb_array_elements(data -> 'photos') photo
           where tenant = was.tenant and patient_id = was.patient_id and withdrawn_code is null
             and (photo ->> 'resourceType') || '/' || (photo ->> 'id') = was.reference)`,
        [tenant, photos.map(({ resourceType, id }) => `${resourceType}/${id}`)])
      return rows.map((row) => row.patient_id)
    },

    /** One photo as one model with one calibration read it before. */
    async reading(tenant: string, photoSha256: string, reader: string): Promise<PhotoAssessment | undefined> {
      const [row] = await store.query<{ data: PhotoAssessment }>(
        'select data from assessment where tenant = $1 and photo_sha256 = $2 and reader = $3', [tenant, photoSha256, reader])
      return row?.data
    },

    /** For a job, unless it was erased. */
    async keepReading(tenant: string, reader: string, assessment: PhotoAssessment, job?: Pick<Job, 'id'>): Promise<void> {
      await store.query(
        `insert into assessment (tenant, photo_sha256, reader, data) select $1, $2, $3, $4 where ${notErased('$5')} on conflict do nothing`,
        [tenant, assessment.photoSha256, reader, JSON.stringify(assessment), job?.id ?? null])
    },

    /** Whether a search showed all that was written of a screening; of one that was written longer ago it proves nothing. */
    async showedSoon(tenant: string, screening: Screening, all: boolean): Promise<void> {
      await store.query(
        `insert into shown (tenant, soon_at, not_soon_at)
           select $1, case when $2 then clock_timestamp() end, case when not $2 then clock_timestamp() end
           where not $2 or clock_timestamp() - (select max(recorded_at) from ledger where tenant = $1 and identifier = any($3::text[])) < make_interval(secs => $4)
         on conflict (tenant) do update set soon_at = coalesce(excluded.soon_at, shown.soon_at), not_soon_at = coalesce(excluded.not_soon_at, shown.not_soon_at)`,
        [tenant, all, writtenIds(screening), SOON_MS / 1000])
    },

    /** What a write did is a fact, so it is kept even if the lease was lost meanwhile; for a job, unless it was erased. */
    ledger(tenant: string, patientId: string, job?: Pick<Job, 'id'>): WriteLedger {
      const jobId = job?.id ?? null
      const refused = async (identifiers: readonly string[]) => {
        await store.query('delete from sent_unanswered where tenant = $1 and identifier = any($2::text[])', [tenant, identifiers])
      }
      const places = async (identifiers: readonly string[]) => {
        const rows = await store.query<{ identifier: string; reference: string }>(
          'select identifier, reference from ledger where tenant = $1 and identifier = any($2::text[])', [tenant, identifiers])
        return new Map(rows.map(({ identifier, reference }) => [identifier, reference]))
      }
      return {
        refused,
        async disbelieve(identifier) {
          await store.query(
            `with gone as (delete from ledger where tenant = $1 and identifier = $2)
             insert into sent_unanswered (tenant, identifier, patient_id) select $1, $2, $3 where ${notErased('$4')}
             on conflict (tenant, identifier) do update set sent_at = excluded.sent_at`, [tenant, identifier, patientId, jobId])
        },
        async showed(atOnce) {
          if (atOnce && promptTenants.has(tenant)) return
          await store.query(
            `insert into shown (tenant, at_once_at, late_at) values ($1, $2, $3) on conflict (tenant) do update set
               at_once_at = coalesce(excluded.at_once_at, shown.at_once_at), late_at = coalesce(excluded.late_at, shown.late_at)`,
            [tenant, ...(atOnce ? [new Date().toISOString(), null] : [null, new Date().toISOString()])])
          if (atOnce) promptTenants.add(tenant)
          else promptTenants.delete(tenant)
        },
        async showsAtOnce() {
          const rows = await store.query("select 1 from shown where tenant = $1 and at_once_at is not null and (late_at is null or late_at < clock_timestamp() - interval '1 day')", [tenant])
          return rows.length > 0
        },
        async showsSoon() {
          const rows = await store.query("select 1 from shown where tenant = $1 and soon_at > clock_timestamp() - interval '1 day' and (not_soon_at is null or not_soon_at < clock_timestamp() - interval '1 day')", [tenant])
          return rows.length > 0
        },
        places,
        async record(places) {
          await store.query(
            `with answered as (delete from sent_unanswered where tenant = $1 and identifier = any($2::text[]))
             insert into ledger (tenant, identifier, reference, patient_id)
               select $1, identifier, reference, $4 from unnest($2::text[], $3::text[]) as news (identifier, reference) where ${notErased('$5')}
             on conflict (tenant, identifier) do update set reference = excluded.reference`,
            [tenant, [...places.keys()], [...places.values()], patientId, jobId])
          await store.flush()
        },
        async sending(identifiers, settleMs) {
          const kept = await store.query<{ identifier: string }>(
            `insert into sent_unanswered (tenant, identifier, patient_id) select $1, identifier, $3 from unnest($2::text[]) as identifier where ${notErased('$5')}
             on conflict (tenant, identifier) do update set sent_at = excluded.sent_at, patient_id = excluded.patient_id
               where sent_unanswered.sent_at < clock_timestamp() - make_interval(secs => $4)
             returning identifier`, [tenant, identifiers, patientId, settleMs / 1000, jobId])
          // Asked after the announcement: whoever sends the same, the model, from now on sees it, and whoever did before has said where.
          if (kept.length === identifiers.length && (await places(identifiers)).size === 0) {
            await store.flush()
            return true
          }
          await refused(kept.map(({ identifier }) => identifier))
          return false
        },
        async unanswered(identifiers) {
          const rows = await store.query<{ identifier: string; age: number }>(
            `select identifier, extract(epoch from clock_timestamp() - sent_at)::float8 * 1000 as age from sent_unanswered
             where tenant = $1 and identifier = any($2::text[])`, [tenant, identifiers])
          return new Map(rows.map(({ identifier, age }) => [identifier, age]))
        }
      }
    },

    /** Photos that launches of the app named, `Media/…` or `DocumentReference/…`: for records that cannot be searched for them, or not yet. */
    async handedOver(tenant: string, patientId: string): Promise<readonly string[]> {
      const rows = await store.query<{ reference: string }>(
        'select reference from handed_photo where tenant = $1 and patient_id = $2 and (until is null or until > clock_timestamp()) order by handed_at desc limit 20',
        [tenant, patientId])
      return rows.map(({ reference }) => reference)
    },

    /** `forMs`: only until the patient's search is believed to show them; without it for good. */
    async handOver(tenant: string, patientId: string, references: readonly string[], forMs?: number): Promise<void> {
      await store.query(
        `insert into handed_photo (tenant, patient_id, reference, until)
         select $1, $2, reference, clock_timestamp() + make_interval(secs => $4::float8) from unnest($3::text[]) as reference
         on conflict (tenant, patient_id, reference) do update set handed_at = now(), until = case when handed_photo.until is not null then excluded.until end`,
        [tenant, patientId, [...new Set(references)], forMs === undefined ? null : forMs / 1000])
      await store.flush()
    },

    /** How many rows of each table are about one patient, where there are any: what `erase` removes. */
    async derivedFrom(tenant: string, patientId: string): Promise<Readonly<Record<string, number>>> {
      const found: Record<string, number> = {}
      for (const [table, which] of OF_PATIENT) {
        const [row] = await store.query<{ count: number }>(`select count(*)::int as count from ${table} where ${which}`, [tenant, patientId])
        if (row && row.count > 0) found[table] = row.count
      }
      return found
    },

    /** Removes everything derived from one patient's photos; what the record holds is the record's. */
    async erase(tenant: string, patientId: string): Promise<void> {
      await store.transaction(async ({ query }) => {
        for (const [table, which] of OF_PATIENT)
          await query(table === 'feedback' ? `update feedback set user_comment = null where ${which}` : `delete from ${table} where ${which}`, [tenant, patientId])
      })
      await store.flush()
    }
  }
}

const MINE = 'tenant = $1 and patient_id = $2'
/**
 * What is one patient's in each table. The job goes first: from then on no worker keeps anything of this patient, nor sends anything.
 * Readings that belong to no result, which may be of photos of this patient that were just read, go as well; others' are read again. Of
 * feedback, what was written beside a card goes and the count stays. A draft that nobody signed names the result it is about.
 */
const OF_PATIENT = [
  ['job', MINE],
  ['assessment', `tenant = $1 and (photo_sha256 in (${SHA256_OF_SCREENINGS} and patient_id = $2) or photo_sha256 not in (${SHA256_OF_SCREENINGS}))`],
  ['feedback', `tenant = $1 and user_comment is not null and card_uuid in (select uuid from card where ${MINE})`],
  ['errand', `tenant = $1 and split_part(what, ' ', 1) = 'sweep' and split_part(what, ' ', 2) in (select id::text from screening where ${MINE})`],
  ['session', `data ->> 'screeningId' in (select id::text from screening where ${MINE})`],
  ...['screening', 'ledger', 'sent_unanswered', 'card', 'handed_photo', 'retirement', 'read_photo'].map((table) => [table, MINE] as const)
] as const

async function end({ query }: Queries, tenant: string, id: string, written: readonly string[] | undefined): Promise<void> {
  await query("update screening set state = 'done', written = coalesce($3::jsonb, written) where tenant = $1 and id = $2",
    [tenant, id, written ? JSON.stringify(written) : null])
}

/** What is called an error stays one; what was cancelled may turn out to be one. */
async function toRetire({ query }: Queries, { tenant, patientId }: PatientOfTenant, identifiers: readonly string[], status: RetiredStatus): Promise<void> {
  if (identifiers.length === 0) return
  await query(
    `insert into retirement (tenant, identifier, patient_id, status) select $1, identifier, $3, $4 from unnest($2::text[]) as identifier
     on conflict (tenant, identifier) do update set status = excluded.status, outcome = null, asked_at = excluded.asked_at
       where retirement.status = 'cancelled' and excluded.status = 'entered-in-error'`, [tenant, [...new Set(identifiers)], patientId, status])
}
