import type { Coding, FhirResource } from 'fhir/r4.js'
import { z } from 'zod'
import { ScreeningError } from '../errors.ts'
import { maybe, orNull, some } from '../fhir/lenient.ts'
import { logicalId, USER_REFERENCE } from '../fhir/logical-id.ts'

/**
 * CDS Hooks 2.0.1 on the wire: what we read, what we send, and the check of what we send. No hand words here. Of what we read, a member
 * that is null is not there: the specification knows none, but many libraries write what is not set as null.
 */

/** The longest nesting a FHIR resource in a prefetch needs is far below this (security.md: depth cap). */
const DEEPEST = 60

const userId = z.string().regex(USER_REFERENCE)

/** Members every context that we read has in common. */
const person = { userId, patientId: logicalId }
/** Orders that are being written are odd at times: what can be read of them is. */
const draftBundle = z.object({
  resourceType: z.literal('Bundle'),
  entry: some(z.object({ fullUrl: maybe(z.string()), resource: maybe(z.looseObject({ resourceType: z.string() })) }))
})

/** Contexts of HL7/cds-hooks-library 1.0.1; members that we do not use are dropped. */
export const HOOK_CONTEXTS = {
  'patient-view': z.compile(z.object({ ...person, encounterId: maybe(logicalId) })),
  'encounter-start': z.compile(z.object({ ...person, encounterId: logicalId })),
  'appointment-book': z.compile(z.object({ ...person, encounterId: maybe(logicalId), appointments: draftBundle })),
  'order-select': z.compile(z.object({ ...person, encounterId: maybe(logicalId), selections: some(z.string()), draftOrders: draftBundle }))
} as const

export type Hook = keyof typeof HOOK_CONTEXTS
export type HookContext<Name extends Hook> = z.infer<(typeof HOOK_CONTEXTS)[Name]>

/** What the token is good for shows when it is used: its scope, its time and its subject are not looked at. */
const fhirAuthorization = z.object({
  access_token: z.string().min(1).max(16_384),
  token_type: z.string().regex(/^bearer$/i),
  patient: orNull(logicalId)
})
export type FhirAuthorization = z.infer<typeof fhirAuthorization>

/** Compiled, as is everything that each hook is read with: it gives the same answers and messages, several times as fast. */
const envelope = z.compile(z.object({
  hook: z.string(),
  hookInstance: z.guid(),
  // Compared with the tenant's own address later: no need to take it apart.
  fhirServer: orNull(z.string().max(2_000).regex(/^https?:\/\/[^\s]+$/i)),
  fhirAuthorization: orNull(fhirAuthorization),
  context: z.unknown(),
  prefetch: orNull(z.record(z.string(), z.unknown()))
}).refine((request) => !request.fhirAuthorization || request.fhirServer !== undefined, {
  path: ['fhirServer'], message: 'Expected fhirServer beside fhirAuthorization'
}))

export interface HookRequest<Name extends Hook = Hook> {
  readonly hook: Name
  readonly hookInstance: string
  readonly fhirServer?: string
  readonly fhirAuthorization?: FhirAuthorization
  readonly context: HookContext<Name>
  /** Values as they came, to be checked where they are read; a missing key was not supplied. */
  readonly prefetch: Readonly<Record<string, unknown>>
}

/** Reads a hook call into a fresh object. Throws ERR_REQUEST_INVALID naming the member, never its value. */
export function readHookRequest<Name extends Hook>(hook: Name, body: unknown): HookRequest<Name> {
  const request = checked(envelope, harmless(body))
  if (request.hook !== hook) throw invalid(`hook: Expected "${hook}", the hook of this service`)
  const context = checked(HOOK_CONTEXTS[hook], request.context, 'context') as HookContext<Name>
  if (request.fhirAuthorization?.patient && request.fhirAuthorization.patient !== context.patientId)
    throw invalid('fhirAuthorization.patient: Expected the patient of the context')
  return {
    hook,
    hookInstance: request.hookInstance,
    ...(request.fhirServer ? { fhirServer: request.fhirServer } : {}),
    ...(request.fhirAuthorization ? { fhirAuthorization: request.fhirAuthorization } : {}),
    context,
    prefetch: request.prefetch ?? {}
  }
}

/** Text as a database keeps it: PostgreSQL takes no NUL, and JSON no half of a character. What a client cut in two is no reason to lose it. */
const text = (longest: number, shortest = 0) =>
  z.string().transform((value) => value.toWellFormed().replaceAll('\u0000', '')).pipe(z.string().min(shortest).max(longest))

/** Seconds and a zone are left out in the wild; the specification wants UTC. */
const whole = (instant: string): string => instant.toUpperCase().replace(
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/,
  (_all, minute: string, second = ':00', zone = 'Z') => `${minute}${String(second)}${String(zone).replace(/(\d\d)(\d\d)$/, '$1:$2')}`)

/** Any spelling of an instant, as the database reads it: it knows no year 0 and no offset of 23 hours. */
const instant = z.string().transform(whole).pipe(z.iso.datetime({ offset: true })).transform((value) => new Date(value))
  .refine((date) => date.getUTCFullYear() >= 1970 && date.getUTCFullYear() < 3000, 'Expected a time between the years 1970 and 2999')
  .transform((date) => date.toISOString())

/** A comment that is longer is cut: it is no reason to lose the batch it came in. */
const LONGEST_COMMENT = 4_000

const feedbackEvent = z.object({
  card: z.guid().toLowerCase(),
  outcome: z.enum(['accepted', 'overridden']),
  acceptedSuggestions: orNull(z.array(z.object({ id: text(200, 1) })).max(50)),
  overrideReason: orNull(z.object({
    reason: orNull(z.object({ code: text(200, 1), system: orNull(text(500)), display: orNull(text(500)) })),
    userComment: orNull(text(Infinity).transform((comment) => comment.slice(0, LONGEST_COMMENT).toWellFormed()))
  })),
  outcomeTimestamp: instant
}).refine((event) => event.outcome !== 'accepted' || (event.acceptedSuggestions?.length ?? 0) > 0, {
  path: ['acceptedSuggestions'], message: 'Expected the accepted suggestions beside outcome "accepted"'
})

export type FeedbackEvent = z.infer<typeof feedbackEvent>

const feedbackBody = z.object({ feedback: z.array(feedbackEvent).min(1).max(200) })

/** Reads a feedback call. Throws ERR_REQUEST_INVALID. */
export function readFeedback(body: unknown): readonly FeedbackEvent[] {
  return checked(feedbackBody, harmless(body)).feedback
}

/**
 * Parsed JSON without `__proto__` members and not deeper than 60: 20,000-deep arrays parse and then crash code that follows them all the
 * way down. Throws ERR_REQUEST_INVALID.
 */
export function harmless(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) searchHarm(value, 0)
  return value
}

/** In place and member by member: a list of the members of each object would take three times as long. */
function searchHarm(value: object, depth: number): void {
  if (depth > DEEPEST) throw invalid(`Expected at most ${DEEPEST} levels of nesting`)
  if (Array.isArray(value)) {
    for (const inner of value as unknown[]) if (typeof inner === 'object' && inner !== null) searchHarm(inner, depth + 1)
    return
  }
  for (const name in value) {
    if (name === '__proto__') throw invalid('Expected no member named __proto__')
    const inner = (value as Readonly<Record<string, unknown>>)[name]
    if (typeof inner === 'object' && inner !== null) searchHarm(inner, depth + 1)
  }
}

/** A value in the shape asked for, as a fresh object. Throws ERR_REQUEST_INVALID naming members, never values. */
export function checked<Schema extends z.ZodType>(schema: Schema, value: unknown, where = ''): z.infer<Schema> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const faults = result.error.issues.slice(0, 5).map((issue) => {
    const path = [where, ...issue.path.map(String)].filter(Boolean).join('.').replace(/[^\w.\-]/g, '?').slice(0, 80)
    return `${path || 'body'}: ${expectation(issue)}`
  })
  throw invalid(faults.join('; '))
}

/** zod's own messages can repeat values (record keys, literals): only what was expected is said. */
function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'custom') return issue.message
  if (issue.code === 'invalid_type') return `Expected ${issue.expected}`
  if (issue.code === 'invalid_value') return `Expected ${issue.values.map(String).join(' or ')}`
  if (issue.code === 'invalid_format') return `Expected ${issue.format === 'regex' ? 'another form' : issue.format}`
  if (issue.code === 'too_big') return `Expected at most ${String(issue.maximum)}`
  if (issue.code === 'too_small') return `Expected at least ${String(issue.minimum)}`
  return 'Expected another form'
}

function invalid(message: string): ScreeningError {
  return new ScreeningError('ERR_REQUEST_INVALID', message)
}

// ---- what we send

export type Indicator = 'info' | 'warning' | 'critical'

export interface Action {
  readonly type: 'create'
  readonly description: string
  readonly resource: FhirResource
}

export interface Suggestion {
  readonly label: string
  readonly uuid: string
  readonly actions: readonly Action[]
}

export type Link =
  | { readonly label: string; readonly url: string; readonly type: 'absolute' }
  | { readonly label: string; readonly url: string; readonly type: 'smart'; readonly appContext: string }

export interface OverrideReason { readonly code: string; readonly system: string; readonly display: string }

export interface Card {
  readonly uuid: string
  readonly summary: string
  readonly detail: string
  readonly indicator: Indicator
  readonly source: { readonly label: string; readonly url: string; readonly topic: Coding }
  readonly suggestions?: readonly Suggestion[]
  readonly selectionBehavior?: 'at-most-one'
  readonly overrideReasons?: readonly OverrideReason[]
  readonly links: readonly Link[]
}

/** Everything a card says that is the same however often it is shown. */
export type CardBody = Omit<Card, 'uuid' | 'suggestions' | 'selectionBehavior'>

const bodies = new WeakMap<Card, CardBody>()

/** A card to be shown now. Its body is checked and made into text once, however often it is shown. */
export function cardWith(body: CardBody, uuid: string, suggestion?: Suggestion): Card {
  const card: Card = { uuid, ...body, ...(suggestion ? { suggestions: [suggestion], selectionBehavior: 'at-most-one' as const } : {}) }
  bodies.set(card, body)
  return card
}

export interface ServiceDefinition<Name extends Hook = Hook> {
  readonly hook: Name
  readonly id: string
  readonly title: string
  readonly description: string
  readonly prefetch: Readonly<Record<string, string>>
}

/** Under 140 characters (CDS Hooks, card attributes). */
export const SUMMARY_LIMIT = 139

/**
 * What is wrong with an answer of ours, as paths: members that are null or empty (`cards` and `services` themselves may be),
 * and the card rules cds-resp-1..7 and of the link and action tables. An empty list is a good answer.
 */
export function checkResponse(answer: unknown): readonly string[] {
  const cards = Object(answer) === answer && 'cards' in (answer as object) ? (answer as { cards: unknown }).cards : []
  return [...emptyMembers(answer), ...(Array.isArray(cards) ? cards.flatMap((card, at) => cardFaults(card as Card, `cards.${at}`)) : ['cards'])]
}

const textOfActions = new WeakMap<readonly Action[], Buffer>()
const textOfBodies = new WeakMap<CardBody, string>()

/**
 * The body of an answer, UTF-8, in parts to be sent one after the other. Actions that were sent before are not made into text
 * again, nor copied: a suggestion is some 100 kB of them.
 */
export function serialiseCards(cards: readonly Card[]): readonly Buffer[] {
  const parts: Buffer[] = []
  let text = '{"cards":['
  for (const [at, card] of cards.entries()) {
    text += `${at > 0 ? ',' : ''}${openCard(card)}`
    const { suggestions = [] } = card
    for (const [place, { actions, ...suggestion }] of suggestions.entries()) {
      const known = textOfActions.get(actions) ?? Buffer.from(JSON.stringify(actions))
      textOfActions.set(actions, known)
      parts.push(Buffer.from(`${text}${place > 0 ? ',' : ',"suggestions":['}${open(suggestion)},"actions":`), known)
      text = '}'
    }
    text += suggestions.length > 0 ? ']}' : '}'
  }
  return [...parts, Buffer.from(`${text}]}`)]
}

/** All of a card but its suggestions, still open. */
function openCard(card: Card): string {
  const body = bodies.get(card)
  const { suggestions: _suggestions, ...rest } = card
  if (!body) return open(rest)
  const text = textOfBodies.get(body) ?? open(body).slice(1)
  textOfBodies.set(body, text)
  const { uuid, selectionBehavior } = card
  return `${open({ uuid, selectionBehavior })},${text}`
}

function open(members: object): string {
  return JSON.stringify(members).slice(0, -1)
}

/** Actions without an empty member and card bodies without any fault; the same ones are sent again and again. */
const sound = new WeakSet<object>()

/** Names are put together only once something is wrong: this runs for every answer. */
function emptyMembers(answer: unknown): readonly string[] {
  return hasEmptyMember(answer) ? searchEmptyMembers(answer, '') : []
}

function hasEmptyMember(value: unknown, path = ''): boolean {
  if (isEmpty(value)) return true
  if (typeof value !== 'object' || value === null || sound.has(value)) return false
  const unchecked = hasSoundBody(value) ? decisionOf(value as Card) : value
  let members = 0
  for (const name in unchecked) {
    members++
    const inner = (unchecked as Readonly<Record<string, unknown>>)[name]
    if (hasEmptyMember(inner, path === '' ? name : 'deeper')) return true
    if (name === 'actions' && typeof inner === 'object' && inner !== null) sound.add(inner)
  }
  return members === 0 && path !== 'cards' && path !== 'services'
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === '' || (typeof value === 'number' && !Number.isFinite(value))
}

function searchEmptyMembers(value: unknown, path: string): readonly string[] {
  if (isEmpty(value)) return [path || 'answer']
  if (typeof value !== 'object' || value === null) return []
  const members = Object.entries(value)
  if (members.length === 0) return path === 'cards' || path === 'services' ? [] : [path || 'answer']
  return members.flatMap(([name, inner]) => searchEmptyMembers(inner, path ? `${path}.${name}` : name))
}

function hasSoundBody(card: object): boolean {
  const body = bodies.get(card as Card)
  return body !== undefined && sound.has(body)
}

/** What differs each time a card is shown. */
function decisionOf({ uuid, suggestions, selectionBehavior }: Card): Partial<Card> {
  return { uuid, ...(suggestions ? { suggestions } : {}), ...(selectionBehavior ? { selectionBehavior } : {}) }
}

function cardFaults(card: Card, path: string): readonly string[] {
  const body = bodies.get(card)
  const faults = { ...(hasSoundBody(card) ? {} : bodyFaults(card)), ...decisionFaults(card) }
  const found = Object.entries(faults).filter(([, wrong]) => wrong).map(([name]) => `${path}.${name}`)
  if (body && found.length === 0 && !hasEmptyMember(body)) sound.add(body)
  return found
}

function bodyFaults(card: Card): Readonly<Record<string, boolean>> {
  return {
    summary: [...card.summary].length > SUMMARY_LIMIT || card.summary.length > SUMMARY_LIMIT,
    indicator: !['info', 'warning', 'critical'].includes(card.indicator),
    'source.label': !card.source?.label,
    links: card.links?.some((link) => !URL.canParse(link.url) || (link.type === 'smart') !== ('appContext' in link)) ?? false,
    overrideReasons: card.overrideReasons?.some(({ code, system, display }) => !code || !system || !display) ?? false
  }
}

function decisionFaults({ uuid, suggestions = [], selectionBehavior }: Card): Readonly<Record<string, boolean>> {
  return {
    selectionBehavior: (suggestions.length > 0) !== (selectionBehavior !== undefined),
    actionSelectionBehavior: suggestions.some((one) => 'actionSelectionBehavior' in one),
    isRecommended: suggestions.filter((one) => 'isRecommended' in one && one.isRecommended).length > 1,
    uuid: !uuid || new Set([uuid, ...suggestions.map((one) => one.uuid)]).size !== suggestions.length + 1,
    actions: suggestions.some(({ actions }) => actions.some((action) => !action.description || !action.resource))
  }
}
