import express, { type Request, type RequestHandler, type Response, type Router } from 'express'
import type { Logger } from 'pino'
import type { Audit } from '../audit.ts'
import type { TenantConfig } from '../config.ts'
import { ScreeningError } from '../errors.ts'
import type { CardStore } from '../screening/store/card-store.ts'
import type { FeedbackEntry, FeedbackStore } from '../screening/store/feedback-store.ts'
import { webAddress } from '../web-address.ts'
import type { CardContext } from './cards.ts'
import type { ClientVerifier, VerifiedClient } from './client-jwt.ts'
import { gzipParts, lengthOf, WORTH_PACKING_BYTES } from './gzip-parts.ts'
import { openJsonBody } from './json-body.ts'
import { checkResponse, readFeedback, readHookRequest, serialiseCards, type Card, type FeedbackEvent, type ServiceDefinition } from './protocol.ts'
import { networkOf, openRateLimit } from './rate-limit.ts'
import { answer, type Answer, type AnswerDeps } from './services/answer.ts'
import { SERVICES } from './services/definitions.ts'
import { wordingFor } from './wording.ts'

export interface CdsDeps extends AnswerDeps {
  readonly publicUrl: string
  readonly tenants: readonly TenantConfig[]
  readonly verifier: ClientVerifier
  readonly cards: CardStore
  readonly feedback: FeedbackStore
  readonly audit: Audit
  readonly clock: () => number
  newId(): string
  readonly log: Logger
  /** Calls one address may make in a second, before anything else is looked at. */
  readonly callsPerAddress?: number
}

const BODY_BYTES = 2 * 1024 * 1024

/** CDS Hooks 2.0.1, mounted at `/cds-services`: discovery, services, feedback. Errors are for the app's last resort. */
export function createCdsRouter(deps: CdsDeps): Router {
  const router = express.Router()
  const services = new Map(SERVICES.map((service) => [service.id, service]))
  const readBody = openJsonBody(BODY_BYTES)
  const rate = openRateLimit(deps.callsPerAddress ?? 6_000, deps.clock, 'calls from this address')
  const discoveryNeedsJwt = deps.tenants.some((tenant) => tenant.discoveryNeedsJwt)

  router.use(crossOrigin(deps.tenants))
  router.use((request, _response, next) => {
    const from = fromOf(request)
    rate.check(from)
    rate.take(from)
    next()
  })

  router.get('/', async (request, response) => {
    if (discoveryNeedsJwt) await deps.verifier.verify(request.headers.authorization, `${deps.publicUrl}/cds-services`, fromOf(request))
    response.json({ services: SERVICES })
  })

  router.post('/:id', async (request, response) => {
    const service = serviceOf(services, request)
    const caller = await authenticated(deps, request, `/${service.id}`)
    sendJson(request, response, serialiseCards(await cardsFor(deps, service, caller, request, await readBody(request, response))))
  })

  router.post('/:id/feedback', async (request, response) => {
    const service = serviceOf(services, request)
    const caller = await authenticated(deps, request, `/${service.id}/feedback`)
    const events = readFeedback(await readBody(request, response))
    await deps.cards.stored()
    for (const event of events) await keepFeedback(deps, service.id, caller, event)
    // The client tells us once: what we say we have, a power cut must not take.
    await deps.feedback.kept()
    response.status(200).end()
  })

  router.all(['/', '/:id', '/:id/feedback'], (request, response) => {
    if (request.params['id'] !== undefined) serviceOf(services, request)
    response.set('Allow', request.path === '/' ? 'GET, OPTIONS' : 'POST, OPTIONS')
    throw new ScreeningError('ERR_METHOD_NOT_ALLOWED', `Expected ${request.path === '/' ? 'GET' : 'POST'} here but received ${request.method}`)
  })
  return router
}

const fromOf = ({ ip = '' }: Request): string => networkOf(ip)

/** Who calls comes before what they send: a stranger hears 401 whatever it is, and nobody unknown gets a body read. */
function authenticated(deps: CdsDeps, request: Request, path: string): Promise<VerifiedClient> {
  return deps.verifier.verify(request.headers.authorization, `${deps.publicUrl}/cds-services${path}`, fromOf(request))
}

/**
 * One write to the socket for all parts. A card with its suggestion is 90 kB that shrink to 10 kB, which saves a client far away three
 * round trips.
 */
function sendJson(request: Request, response: Response, parts: readonly Buffer[]): void {
  const packed = lengthOf(parts) >= WORTH_PACKING_BYTES && takesGzip(request.headers['accept-encoding'])
  const sent = packed ? gzipParts(parts) : parts
  response.writeHead(200, {
    'Content-Type': 'application/json; charset=utf-8', 'Content-Length': lengthOf(sent), ...(packed ? { 'Content-Encoding': 'gzip' } : {})
  })
  response.cork()
  for (const part of sent) response.write(part)
  response.end()
}

/** Named, and not ruled out by `q=0` (RFC 9110 section 12.5.3). */
function takesGzip(acceptEncoding: string | undefined): boolean {
  return (acceptEncoding ?? '').split(',').some((one) => /^\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*$)[\d.]+\s*)?$/i.test(one))
}

function serviceOf(services: ReadonlyMap<string, ServiceDefinition>, request: Request): ServiceDefinition {
  const service = services.get(String(request.params['id']))
  if (!service) throw new ScreeningError('ERR_NOT_FOUND', 'Expected the id of a service that discovery lists')
  return service
}

async function cardsFor(deps: CdsDeps, service: ServiceDefinition, { tenant }: VerifiedClient, request: Request, body: unknown): Promise<readonly Card[]> {
  const call = readHookRequest(service.hook, body)
  if (call.fhirServer !== undefined && call.fhirServer !== tenant.fhirBase && webAddress(call.fhirServer) !== webAddress(tenant.fhirBase))
    throw new ScreeningError('ERR_REQUEST_INVALID', 'fhirServer: Expected the FHIR server that this client is registered with')
  const context: CardContext = {
    tenant, publicUrl: deps.publicUrl, now: deps.clock(), newId: deps.newId,
    wording: wordingFor(request.headers['accept-language'], tenant.language)
  }
  const result = await answer(call, context, deps)
  const faults = checkResponse({ cards: result.cards })
  if (faults.length > 0) throw new Error(`Expected cards that keep CDS Hooks 2.0.1 but ${faults.join(', ')}`)
  await remember(deps, service.id, tenant, call.context.patientId, result)
  return result.cards
}

/** Cards are remembered by their uuid before they are sent: whose result went out on which card, and what its feedback counts for. */
async function remember({ cards, clock, log }: CdsDeps, serviceId: string, tenant: TenantConfig, patientId: string, result: Answer): Promise<void> {
  await Promise.all(result.cards.map(({ uuid, suggestions }) =>
    cards.put({
      uuid, tenant: tenant.id, serviceId, patientId, suggestions: (suggestions ?? []).map((one) => one.uuid),
      createdAt: new Date(clock()).toISOString(),
      ...(result.screening ? { screeningId: result.screening.id, modelDigest: result.screening.model.digest } : {})
    }).catch(() => { log.warn({ code: 'ERR_STORE', card: uuid }, 'a card was shown but could not be remembered: its feedback will count for no model') })))
}

/**
 * Each distinct event once. Acceptance reported here never causes a write: the EHR applied the suggestion itself. The audit comes
 * first: what a power cut leaves is then an event that was not answered and comes again, never one that is kept without a trace.
 */
async function keepFeedback(deps: CdsDeps, serviceId: string, { tenant, issuer }: VerifiedClient, event: FeedbackEvent): Promise<void> {
  const { reason } = event.overrideReason ?? {}
  const entry: FeedbackEntry = {
    tenant: tenant.id, serviceId, cardUuid: event.card, outcome: event.outcome, outcomeTimestamp: event.outcomeTimestamp,
    acceptedSuggestions: (event.acceptedSuggestions ?? []).map(({ id }) => id),
    ...(reason ? { overrideReason: { code: reason.code, ...(reason.system ? { system: reason.system } : {}), ...(reason.display ? { display: reason.display } : {}) } } : {}),
    ...(event.overrideReason?.userComment ? { userComment: event.overrideReason.userComment } : {})
  }
  if (!await deps.feedback.knows(entry)) {
    const card = await deps.cards.get(tenant.id, event.card)
    await deps.audit.record({
      tenant: tenant.id, action: `feedback-${event.outcome}`, actor: issuer, entity: event.card, outcome: 'success',
      ...(card ? { patientId: card.patientId } : {})
    })
  }
  await deps.feedback.record(entry)
}

/** Browser clients: preflight answered for configured origins only. */
function crossOrigin(tenants: readonly TenantConfig[]): RequestHandler {
  const allowed = new Set(tenants.flatMap(({ allowedOrigins }) => allowedOrigins))
  return (request, response, next) => {
    const { origin } = request.headers
    response.setHeader('Vary', 'Origin, Accept-Encoding')
    if (origin !== undefined && allowed.has(origin))
      response.set({
        'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Methods': 'GET, POST, OPTIONS',
        'Access-Control-Allow-Headers': 'authorization, content-type, accept-language', 'Access-Control-Expose-Headers': 'retry-after', 'Access-Control-Max-Age': '600'
      })
    if (request.method === 'OPTIONS') return void response.status(204).end()
    next()
  }
}
