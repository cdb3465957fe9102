import { z } from 'zod'
import { ScreeningError } from '../../errors.ts'
import { isLogicalId } from '../../fhir/logical-id.ts'

/** What a Subscription told us. Only ids are taken out of it: whose photo it is and what it shows, the record is asked. */
export type Notification =
  /** R4 rest-hook: without a body something changed; with one, this resource did. */
  | { readonly kind: 'changed'; readonly references: readonly string[] }
  /** R5 Subscriptions Backport: beginning of a Subscription, or a sign of life. */
  | { readonly kind: 'handshake' | 'heartbeat'; readonly subscription: string; readonly eventsSinceStart: number | undefined }
  | { readonly kind: 'events'; readonly subscription: string; readonly eventsSinceStart: number | undefined; readonly events: readonly NotifiedEvent[] }

export interface NotifiedEvent {
  /** Absent where the server does not number its events. */
  readonly number: number | undefined
  /** What it is about: `Media/12`, also absolute; none in an empty notification. */
  readonly references: readonly string[]
}

const text = z.string().max(2_000)
const reference = z.object({ reference: text.optional() })
const part = z.object({ name: text, valueReference: reference.optional(), valueString: text.optional(), valueCode: text.optional(), valueUnsignedInt: z.number().optional() })
const parameters = z.object({
  resourceType: z.literal('Parameters'),
  parameter: z.array(part.extend({ part: z.array(part).max(20).optional() })).max(1_100)
})
const subscriptionStatus = z.object({
  resourceType: z.literal('SubscriptionStatus'),
  type: text,
  subscription: reference.optional(),
  eventsSinceSubscriptionStart: z.union([text, z.number()]).optional(),
  notificationEvent: z.array(z.object({ eventNumber: z.union([text, z.number()]).optional(), focus: reference.optional() })).max(1_000).optional()
})
const entry = z.object({ fullUrl: text.optional(), resource: z.object({ resourceType: text, id: text.optional() }).optional(), request: z.object({ url: text }).optional() })
const bundle = z.object({
  resourceType: z.literal('Bundle'),
  type: z.enum(['history', 'subscription-notification']),
  entry: z.array(z.unknown()).min(1).max(1_001)
})
const one = z.object({ resourceType: z.string().regex(/^[A-Za-z]{1,40}$/), id: z.string() })

interface Status {
  readonly type: string
  readonly subscription: string
  readonly eventsSinceStart: number | undefined
  readonly events: readonly NotifiedEvent[]
}

/** A body as JSON.parse gave it, undefined for none. Throws ERR_REQUEST_INVALID. */
export function readNotification(body: unknown): Notification {
  if (body === undefined) return { kind: 'changed', references: [] }
  const notification = bundle.safeParse(body).data
  if (!notification) {
    const resource = one.safeParse(body).data
    if (!resource || resource.resourceType === 'Bundle') throw invalid()
    return { kind: 'changed', references: [`${resource.resourceType}/${resource.id}`] }
  }
  const [first, ...rest] = notification.entry
  const { type, ...status } = statusIn(first)
  const { subscription, eventsSinceStart } = status
  if (type === 'handshake' || type === 'heartbeat') return { kind: type, subscription, eventsSinceStart }
  if (type !== 'event-notification' && type !== 'query-event' && type !== 'query-status') throw invalid()
  const named = status.events.some(({ references }) => references.length > 0)
  // Some servers name what changed in the entries alone.
  const events = named ? status.events : [...status.events, ...rest.flatMap(namedBy).map((name): NotifiedEvent => ({ number: undefined, references: [name] }))]
  return { kind: 'events', subscription, eventsSinceStart, events }
}

/** R4: Parameters; R4B and R5: SubscriptionStatus. */
function statusIn(first: unknown): Status {
  const { resource } = z.object({ resource: z.unknown() }).safeParse(first).data ?? {}
  const r5 = subscriptionStatus.safeParse(resource).data
  if (r5)
    return {
      type: r5.type, subscription: idOf(r5.subscription?.reference), eventsSinceStart: numberOf(r5.eventsSinceSubscriptionStart),
      events: (r5.notificationEvent ?? []).map(({ eventNumber, focus }) => ({ number: numberOf(eventNumber), references: listOf(focus?.reference) }))
    }
  const r4 = parameters.safeParse(resource).data
  if (!r4) throw invalid()
  const find = (name: string) => r4.parameter.find((parameter) => parameter.name === name)
  return {
    type: find('type')?.valueCode ?? '',
    subscription: idOf(find('subscription')?.valueReference?.reference),
    eventsSinceStart: numberOf(find('events-since-subscription-start')?.valueString ?? find('events-since-subscription-start')?.valueUnsignedInt),
    events: r4.parameter.filter(({ name }) => name === 'notification-event').map(({ part: parts = [] }) => {
      const number = parts.find(({ name }) => name === 'event-number')
      return {
        number: numberOf(number?.valueString ?? number?.valueUnsignedInt),
        references: parts.filter(({ name }) => name === 'focus').flatMap(({ valueReference }) => listOf(valueReference?.reference))
      }
    })
  }
}

function namedBy(value: unknown): readonly string[] {
  const { fullUrl, resource, request } = entry.safeParse(value).data ?? {}
  return listOf(resource?.id ? `${resource.resourceType}/${resource.id}` : (fullUrl ?? request?.url))
}

function idOf(value: string | undefined): string {
  const id = value?.split('/').at(-1) ?? ''
  if (!isLogicalId(id)) throw invalid()
  return id
}

/** Event numbers are 64-bit integers written as text. */
function numberOf(value: string | number | undefined): number | undefined {
  const number = Number(value ?? NaN)
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

function listOf(value: string | undefined): readonly string[] {
  return value === undefined ? [] : [value]
}

function invalid(): ScreeningError {
  return new ScreeningError('ERR_REQUEST_INVALID', 'Expected a Subscription notification: no body, one resource, or a history Bundle of the Subscriptions Backport')
}
