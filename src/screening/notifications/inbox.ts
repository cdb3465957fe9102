import type { TenantConfig } from '../../config.ts'
import { referenceTo } from '../../fhir/logical-id.ts'
import { relativeTo } from '../../fhir/references.ts'
import { askFor } from '../errands.ts'
import type { Queries, Store } from '../store/open-store.ts'
import type { Notification, NotifiedEvent } from './read-notification.ts'

export type Inbox = ReturnType<typeof openInbox>

/** What a notification may be about; all else is passed over. */
const PHOTO = referenceTo('Media|DocumentReference|DiagnosticReport')

/**
 * Notifications become errands in one transaction, which is on disk before the EHR hears 200. Each numbered event counts once, in
 * whatever order and however often it comes; a number that is missing, or a notification that names nothing, becomes a poll. A number that
 * comes again for something else tells of a server that counts anew, as after a restart, without a handshake.
 */
export function openInbox(store: Store) {
  return {
    async accept(tenant: TenantConfig, notification: Notification): Promise<void> {
      await store.transaction(async (queries) => {
        const wanted = await wantedBy(queries, tenant, notification)
        for (const what of new Set(wanted)) await askFor(queries, tenant.id, what)
      })
      await store.flush()
    }
  }
}

async function wantedBy(queries: Queries, tenant: TenantConfig, notification: Notification): Promise<readonly string[]> {
  if (notification.kind === 'changed') return looksAt(tenant, notification.references) ?? ['poll']
  const { subscription, eventsSinceStart } = notification
  const last = await lastHeard(queries, tenant, subscription)
  if (notification.kind === 'handshake') {
    // A Subscription that comes back after an outage goes on counting: what it counted meanwhile was sent to nobody.
    const missed = (eventsSinceStart ?? 0) > (last ?? 0)
    await queries.query('delete from heard_event where tenant = $1 and source = $2', [tenant.id, subscription])
    await countUpTo(queries, tenant, subscription, eventsSinceStart ?? 0)
    return missed ? ['poll'] : []
  }
  const events = notification.kind === 'events' ? notification.events : []
  const fresh: NotifiedEvent[] = []
  for (const event of events) {
    const heard = event.number === undefined ? 'new' : await hear(queries, tenant, subscription, event.number, event.references)
    if (heard === 'counted-anew') return countAnew(queries, tenant, notification, events)
    if (heard === 'new') fresh.push(event)
  }
  const looks = fresh.map(({ references }) => looksAt(tenant, references) ?? ['poll']).flat()
  return await isMissing(queries, tenant, notification, last) ? [...looks, 'poll'] : looks
}

/** True when an event before the newest one we know of has not been heard. */
async function isMissing(queries: Queries, tenant: TenantConfig, notification: Exclude<Notification, { kind: 'changed' }>, last: number | undefined): Promise<boolean> {
  const numbers = notification.kind === 'events' ? notification.events.flatMap(({ number }) => number ?? []) : []
  const newest = Math.max(-1, notification.eventsSinceStart ?? -1, ...numbers)
  if (newest < 0) return notification.kind === 'events' && notification.events.length === 0
  if (last === undefined) {
    await countUpTo(queries, tenant, notification.subscription, newest)
    return newest > numbers.length
  }
  if (newest <= last) return false
  const [row] = await queries.query<{ heard: number }>(
    'select count(*)::int as heard from heard_event where tenant = $1 and source = $2 and number > $3 and number <= $4 and event = number::text',
    [tenant.id, notification.subscription, last, newest])
  await countUpTo(queries, tenant, notification.subscription, newest)
  return (row?.heard ?? 0) < newest - last
}

async function lastHeard({ query }: Queries, { id }: TenantConfig, subscription: string): Promise<number | undefined> {
  const [row] = await query<{ last: number | null }>('select max(number) as last from heard_event where tenant = $1 and source = $2', [id, subscription])
  return row?.last ?? undefined
}

/** What is missing up to here is polled for, so that the next sign of life does not ask for the same poll; the events themselves may still come. */
async function countUpTo({ query }: Queries, { id }: TenantConfig, subscription: string, number: number): Promise<void> {
  await query('insert into heard_event (tenant, source, event, number) values ($1, $2, $3, $4) on conflict do nothing', [id, subscription, `up to ${number}`, number])
}

/** Everything that was heard is of the count before: what this one has counted by now was sent to nobody, or is here. */
async function countAnew(
  queries: Queries, tenant: TenantConfig, { subscription, eventsSinceStart }: Exclude<Notification, { kind: 'changed' }>, events: readonly NotifiedEvent[]
): Promise<readonly string[]> {
  await queries.query('delete from heard_event where tenant = $1 and source = $2', [tenant.id, subscription])
  for (const { number, references } of events) if (number !== undefined) await hear(queries, tenant, subscription, number, references)
  await countUpTo(queries, tenant, subscription, Math.max(eventsSinceStart ?? 0, ...events.map(({ number }) => number ?? 0)))
  return [...events.flatMap(({ references }) => looksAt(tenant, references) ?? []), 'poll']
}

/** Kept with what it is about. */
async function hear({ query }: Queries, { id }: TenantConfig, subscription: string, number: number, references: readonly string[]): Promise<'new' | 'known' | 'counted-anew'> {
  const kept = async (event: string, of: number | null) => {
    const added = await query('insert into heard_event (tenant, source, event, number) values ($1, $2, $3, $4) on conflict do nothing returning 1', [id, subscription, event, of])
    return added.length === 1
  }
  const isNew = await kept(String(number), number)
  const isOther = references.length > 0 && await kept(`${number} ${[...references].sort().join(' ')}`, null)
  return isNew ? 'new' : isOther ? 'counted-anew' : 'known'
}

/** Errands for what is below this FHIR base; undefined when nothing is named at all. A name on another server is not believed and not looked at. */
function looksAt(tenant: TenantConfig, references: readonly string[]): readonly string[] | undefined {
  if (references.length === 0) return undefined
  return references.map((one) => relativeTo(tenant, one)).filter((one) => PHOTO.test(one)).map((one) => `look ${one}`)
}
