import type { Store } from './open-store.ts'

/** Each runs once, in order, and is never changed after a release: new tables come as new entries. */
const MIGRATIONS: readonly string[] = [
  `create table job (
     id uuid primary key,
     tenant text not null,
     patient_id text not null,
     reason text not null,
     priority integer not null,
     state text not null,
     attempts integer not null default 0,
     parked integer not null default 0,
     asked_again boolean not null default false,
     run_after timestamptz not null default clock_timestamp(),
     lease_owner text,
     leased_at timestamptz,
     lease_until timestamptz,
     fence bigint not null default 0,
     failure_code text,
     failed_at timestamptz,
     created_at timestamptz not null default clock_timestamp(),
     updated_at timestamptz not null default clock_timestamp()
   );
   create unique index job_open on job (tenant, patient_id) where state in ('accepted', 'leased', 'parked');
   create index job_due on job (priority, run_after) where state in ('accepted', 'leased', 'parked');
   create index job_served on job (tenant, leased_at desc);
   create index job_of_patient on job (tenant, patient_id, created_at desc);
   create table screening (
     id uuid primary key,
     tenant text not null,
     patient_id text not null,
     day text not null,
     photo_set text not null,
     photo_time timestamptz not null,
     state text not null,
     data jsonb not null,
     written jsonb not null default '[]',
     superseded boolean not null default false,
     withdrawn_code text,
     completed_at timestamptz not null,
     unique (tenant, patient_id, photo_set)
   );
   create index screening_newest on screening (tenant, patient_id, photo_time desc, completed_at desc)
     where not superseded and withdrawn_code is null;
   create table assessment (
     tenant text not null,
     photo_sha256 text not null,
     reader text not null,
     data jsonb not null,
     made_at timestamptz not null default now(),
     primary key (tenant, photo_sha256, reader)
   );
   create table ledger (
     tenant text not null,
     identifier text not null,
     reference text not null,
     patient_id text not null,
     recorded_at timestamptz not null default now(),
     primary key (tenant, identifier)
   );
   create table jti (
     digest text primary key,
     expires_at timestamptz not null
   );
   create index jti_old on jti (expires_at);
   create table card (
     tenant text not null,
     uuid text not null,
     service_id text not null,
     patient_id text not null,
     screening_id text,
     model_digest text,
     suggestions jsonb not null,
     created_at timestamptz not null,
     primary key (tenant, uuid)
   );
   create table feedback (
     tenant text not null,
     card_uuid text not null,
     outcome text not null,
     outcome_at timestamptz not null,
     service_id text not null,
     accepted jsonb not null,
     override_reason jsonb,
     user_comment text,
     received_at timestamptz not null default now(),
     primary key (tenant, card_uuid, outcome, outcome_at)
   );
   create table session (
     id text primary key,
     data jsonb not null,
     expires_at timestamptz not null
   );
   create index session_old on session (expires_at);
   create table audit (
     seq bigint primary key,
     event jsonb not null,
     previous text not null,
     hash text not null
   );`,
  `create table handed_photo (
     tenant text not null,
     patient_id text not null,
     reference text not null,
     handed_at timestamptz not null default now(),
     primary key (tenant, patient_id, reference)
   )`,
  `create table errand (
     tenant text not null,
     what text not null,
     asked bigint not null default 1,
     attempts integer not null default 0,
     run_after timestamptz not null default clock_timestamp(),
     done_at timestamptz,
     failure_code text,
     created_at timestamptz not null default clock_timestamp(),
     primary key (tenant, what)
   );
   create index errand_due on errand (run_after) where done_at is null;
   create table heard_event (
     tenant text not null,
     source text not null,
     event text not null,
     number bigint,
     heard_at timestamptz not null default clock_timestamp(),
     primary key (tenant, source, event)
   );
   create table watermark (
     tenant text primary key,
     until timestamptz not null
   )`,
  `create table sent_unanswered (
     tenant text not null,
     identifier text not null,
     patient_id text not null,
     sent_at timestamptz not null default clock_timestamp(),
     primary key (tenant, identifier)
   );
   create table pause (
     tenant text primary key,
     failures integer not null,
     until timestamptz not null
   )`,
  `create table retirement (
     tenant text not null,
     identifier text not null,
     patient_id text not null,
     status text not null,
     asked_at timestamptz not null default clock_timestamp(),
     outcome text,
     primary key (tenant, identifier)
   );
   create index retirement_of_patient on retirement (tenant, patient_id);
   create table read_photo (
     tenant text not null,
     reference text not null,
     patient_id text not null,
     read_at timestamptz not null default now(),
     primary key (tenant, reference, patient_id)
   );
   insert into read_photo (tenant, reference, patient_id)
     select distinct tenant, (photo ->> 'resourceType') || '/' || (photo ->> 'id'), patient_id
     from screening, jsonb_array_elements(data -> 'photos') photo`,
  `create table shown (
     tenant text primary key,
     at_once_at timestamptz,
     late_at timestamptz
   )`,
  `create table record_address (
     tenant text primary key,
     fhir_base text not null
   )`,
  'alter table job add column company boolean not null default false',
  `alter table screening add column accepted_at timestamptz;
   update screening set accepted_at = reported.at from (
     select card.tenant, card.screening_id, min(outcome_at) as at from feedback join card on card.tenant = feedback.tenant and card.uuid = feedback.card_uuid
     where outcome = 'accepted' and jsonb_array_length(suggestions) > 0 group by card.tenant, card.screening_id) reported
   where screening.tenant = reported.tenant and screening.id::text = reported.screening_id`,
  'alter table screening add column signed_at timestamptz',
  "alter table screening add column set_aside jsonb not null default '{}'",
  "alter table screening add column answered jsonb not null default '[]', add column answered_at timestamptz",
  `alter table handed_photo add column until timestamptz;
   create table poll_gap (
     tenant text not null,
     type text not null,
     since timestamptz not null,
     primary key (tenant, type)
   )`,
  'alter table shown add column soon_at timestamptz, add column not_soon_at timestamptz'
]

/** Several processes may start at once: one runs what is missing, the others wait for it. */
export async function migrate(store: Store): Promise<void> {
  await store.transaction(async ({ query }) => {
    if (store.kind === 'server') await query('select pg_advisory_xact_lock(724511)')
    await query('create table if not exists migration (number integer primary key, run_at timestamptz not null default now())')
    const done = new Set((await query<{ number: number }>('select number from migration')).map(({ number }) => number))
    for (const [number, sql] of MIGRATIONS.entries()) {
      if (done.has(number)) continue
      for (const statement of sql.split(';').map((one) => one.trim()).filter(Boolean)) await query(statement)
      await query('insert into migration (number) values ($1)', [number])
    }
  })
}
