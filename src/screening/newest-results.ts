import type { PatientOfTenant, ScreeningStatus } from './screening.ts'
import { COLUMNS, screeningOf, SPEAKS, type ScreeningRow } from './stored-screening.ts'
import type { Store } from './store/open-store.ts'

export type NewestVisits = Pick<ScreeningStatus, 'latest' | 'before'>

interface NewestRow extends ScreeningRow {
  /** Which of the patients asked for, from 1. */
  readonly place: number
  readonly before: ScreeningRow | null
}

/** The newest visit's result, and the one before it that has a joint that could be assessed, of each patient in one statement. */
export async function newestResults(store: Store, patients: readonly PatientOfTenant[]): Promise<readonly NewestVisits[]> {
  const rows = await store.query<NewestRow>(
    `select place, latest.*, before.before
     from unnest($1::text[], $2::text[]) with ordinality as asked (tenant, patient_id, place)
     cross join lateral (
       select ${COLUMNS}, photo_time from screening
       where tenant = asked.tenant and patient_id = asked.patient_id and ${SPEAKS}
       order by photo_time desc, completed_at desc limit 1) latest
     left join lateral (
       select jsonb_build_object('state', state, 'data', data, 'written', written) as before from screening
       where tenant = asked.tenant and patient_id = asked.patient_id and ${SPEAKS}
         and photo_time < latest.photo_time and (data -> 'count' ->> 'assessable')::integer > 0
       order by photo_time desc, completed_at desc limit 1) before on true`,
    [patients.map(({ tenant }) => tenant), patients.map(({ patientId }) => patientId)])
  const found = patients.map((): NewestVisits => ({}))
  for (const { place, before, ...latest } of rows)
    found[place - 1] = { latest: screeningOf(latest), ...(before ? { before: screeningOf(before) } : {}) }
  return found
}
