import { createHash } from 'node:crypto'
import type { PhotoAssessment } from '../joints/finding.ts'
import type { WriteLedger } from '../fhir/record-writer.ts'
import type { Screening } from './screening.ts'
import type { Row, Store } from './store/open-store.ts'

interface ScreeningRow extends Row {
  readonly id: string
  readonly data: Omit<Screening, 'written'>
  readonly written: readonly string[]
}

export type ResultStore = ReturnType<typeof openResultStore>

/** Finished screenings, findings of single photos, and the ledger of what we wrote. Every row belongs to one tenant. */
export function openResultStore(store: Store) {
  const screeningOf = ({ data, written }: ScreeningRow): Screening => ({ ...data, written })
  return {
    async history(tenant: string, patientId: string): Promise<readonly Screening[]> {
      const rows = await store.query<ScreeningRow>(
        `select id, data, written from screening where tenant = $1 and patient_id = $2
         order by photo_time desc, completed_at desc limit 50`, [tenant, patientId])
      return rows.map(screeningOf)
    },

    async ofPhotoSet(tenant: string, patientId: string, photoSet: string): Promise<Screening | undefined> {
      const [row] = await store.query<ScreeningRow>(
        'select id, data, written from screening where tenant = $1 and patient_id = $2 and photo_set = $3', [tenant, patientId, photoSet])
      return row && screeningOf(row)
    },

    /** Stored once per set of photos, model and calibration; a second result of the same set is dropped. */
    async add(screening: Screening, photoSet: string): Promise<void> {
      const { written, ...data } = screening
      await store.query(
        `insert into screening (id, tenant, patient_id, photo_set, photo_time, data, written) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant, patient_id, photo_set) do nothing`,
        [screening.id, screening.tenant, screening.patientId, photoSet, screening.photoTime, JSON.stringify(data), JSON.stringify(written)])
    },

    async wrote(screeningId: string, written: readonly string[]): Promise<void> {
      await store.query('update screening set written = $2 where id = $1', [screeningId, JSON.stringify(written)])
    },

    /** Findings of one photo by one reader (model and calibration), so that no photo is read twice. */
    async assessment(tenant: string, photoSha256: string, reader: string): Promise<PhotoAssessment | undefined> {
      const [row] = await store.query<{ data: PhotoAssessment }>(
        'select data from assessment where tenant = $1 and photo_sha256 = $2 and reader = $3', [tenant, photoSha256, reader])
      return row?.data
    },

    async keep(tenant: string, assessment: PhotoAssessment, reader: string): Promise<void> {
      await store.query(
        'insert into assessment (tenant, photo_sha256, reader, data) values ($1, $2, $3, $4) on conflict do nothing',
        [tenant, assessment.photoSha256, reader, JSON.stringify(assessment)])
    },

    ledger(tenant: string, patientId: string): WriteLedger {
      return {
        async has(identifier) {
          const [row] = await store.query<{ reference: string }>(
            'select reference from ledger where tenant = $1 and identifier = $2', [tenant, identifier])
          return row?.reference
        },
        async record(identifier, reference) {
          await store.query(
            'insert into ledger (tenant, identifier, reference, patient_id) values ($1, $2, $3, $4) on conflict do nothing',
            [tenant, identifier, reference, patientId])
        }
      }
    },

    /** Removes everything derived from one patient's photos; what the record holds is the record's. */
    async erase(tenant: string, patientId: string): Promise<void> {
      await store.transaction(async ({ query }) => {
        const photos = await query<{ sha: string }>(
          `select distinct photo ->> 'sha256' as sha from screening, jsonb_array_elements(data -> 'photos') photo where tenant = $1 and patient_id = $2`,
          [tenant, patientId])
        await query('delete from assessment where tenant = $1 and photo_sha256 = any($2)', [tenant, photos.map(({ sha }) => sha)])
        for (const table of ['screening', 'job', 'ledger', 'card'])
          await query(`delete from ${table} where tenant = $1 and patient_id = $2`, [tenant, patientId])
      })
    }
  }
}

/** SHA-256 over a value's JSON, hex. */
export function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}
