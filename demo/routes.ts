import { fileURLToPath } from 'node:url'
import express, { type Request, type Response, type Router } from 'express'
import type { Binary, Resource } from '@medplum/fhirtypes'
import { Operator } from '@medplum/core'
import { z } from 'zod'
import { action, applySuggestion, SuggestionRefused, type Applied } from './apply-suggestion.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import type { CdsClient } from './cds-client.ts'
import { CLINICIAN, DEMO_PATIENTS, encounterOf, nameOf } from './patients.ts'
import { framePage } from './picker-page.ts'
import type { DemoRecord } from './record.ts'
import { weather, type Weather } from './weather.ts'

export interface RouteParts {
  readonly record: DemoRecord
  readonly fhirBase: string
  readonly jointlensUrl: string
  readonly cds: CdsClient
  readonly authorization: AuthorizationServer
  onWeather(next: Weather): void
}

/** A card that this EHR received and may act on. */
interface ReceivedCard {
  readonly patient: string
  readonly service: string
  readonly suggestions: ReadonlyMap<string, readonly z.infer<typeof action>[]>
  readonly reasons: readonly z.infer<typeof overrideReason>[]
}

const overrideReason = z.object({ code: z.string(), system: z.string().optional(), display: z.string().optional() })
const receivedCards = z.object({
  cards: z.array(z.object({
    uuid: z.string(),
    suggestions: z.array(z.object({ uuid: z.string(), actions: z.array(action).default([]) })).default([]),
    overrideReasons: z.array(overrideReason).default([])
  }))
})
const acceptance = z.object({ patient: z.string(), card: z.string(), suggestion: z.string() })
const overriding = z.object({ patient: z.string(), card: z.string(), reason: z.string(), comment: z.string().max(1000).optional() })

const KEPT_CARDS = 2_000
const CHART_TOKEN_SECONDS = 60
const PUBLIC = fileURLToPath(new URL('./public/', import.meta.url))

class DemoError extends Error {
  override readonly name = 'DemoError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The chart's pages, and the addresses behind them; scripts use the same ones. */
export function openRoutes({ record, fhirBase, jointlensUrl, cds, authorization, onWeather }: RouteParts): Router {
  const cards = new Map<string, ReceivedCard>()
  const accepting = new Map<string, Promise<Applied>>()
  const reported = new Set<string>()
  const router = express.Router()

  router.use('/assets', express.static(PUBLIC, { index: false }))
  router.get('/', (_request, response) => void response.sendFile('index.html', { root: PUBLIC }))
  router.get('/patients/:id', (request, response) => {
    knownPatient(request.params.id)
    response.sendFile('chart.html', { root: PUBLIC })
  })

  router.get('/patients/:id/app', (request, response) => {
    const id = knownPatient(request.params.id)
    response.set('Content-Security-Policy', `default-src 'none'; style-src 'self'; frame-src 'self' ${new URL(jointlensUrl).origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`)
    const found = DEMO_PATIENTS.find((one) => one.id === id)
    response.type('html').send(framePage(`/demo/launch?${new URLSearchParams({ patient: id }).toString()}`, found ? nameOf(found) : id))
  })

  router.use('/demo', (_request, response, next) => {
    response.set('Cache-Control', 'no-store')
    next()
  })
  router.get('/demo/patients', async (_request, response) => {
    const patients = await Promise.all(DEMO_PATIENTS.map(async ({ id }) => ({
      ...(await record.readResource(`Patient`, id)), photos: (await of(record, 'Media', id)).length, appointments: await of(record, 'Appointment', id)
    })))
    response.json({ clinician: CLINICIAN.name, patients })
  })
  router.get('/demo/patients/:id', async (request, response) => {
    const id = knownPatient(request.params.id)
    const [patient, conditions, medications, appointments, photos, observations, reports] = await Promise.all([
      record.readResource('Patient', id),
      ...(['Condition', 'MedicationRequest', 'Appointment', 'Media', 'Observation', 'DiagnosticReport'] as const).map((type) => of(record, type, id))
    ])
    response.json({ clinician: CLINICIAN.name, patient, conditions, medications, appointments, photos, observations, reports })
  })
  router.get('/demo/photos/:id', async (request, response) => {
    const binary = await record.readResource<Binary>('Binary', request.params.id).catch(() => undefined)
    if (!binary?.contentType.startsWith('image/')) throw new DemoError(404, 'There is no such photo')
    response.type(binary.contentType).send(Buffer.from(binary.data ?? '', 'base64'))
  })
  router.get('/demo/services', async (_request, response) => {
    response.json({ services: (await reached(cds.services())).map(({ id, hook, title }) => ({ id, hook, title })) })
  })

  router.get('/demo/cds/:service', async (request, response) => {
    const patient = knownPatient(once(request.query['patient']))
    const { service } = request.params
    const call = await reached(cds.call(service, patient))
    if (!call) throw new DemoError(404, `Expected a service that JointLens offers for a hook of this EHR but received "${service}"`)
    if (call.status === 200) remember(cards, patient, service, call.response)
    response.json(call)
  })

  router.get('/demo/launch', (request, response) => {
    const patient = knownPatient(once(request.query['patient']))
    const appContext = once(request.query['appContext'])
    const intent = once(request.query['intent'])
    const launch = authorization.createLaunch({
      patient, encounter: encounterOf(patient), ...(appContext ? { appContext } : {}), ...(intent ? { intent } : {})
    })
    response.redirect(302, `${jointlensUrl}/smart/launch?${new URLSearchParams({ iss: fhirBase, launch }).toString()}`)
  })

  router.use('/demo', sameOriginJson, express.json({ type: 'application/json', limit: '16kb' }))
  router.post('/demo/accept', async (request, response) => {
    const { patient, card, suggestion } = checked(acceptance, request.body)
    const received = cardOf(cards, card, patient)
    const actions = received.suggestions.get(suggestion)
    if (!actions) throw new DemoError(404, 'There is no such suggestion on this card')
    const key = `${card} ${suggestion}`
    const before = accepting.get(key)
    const work = before ?? apply(patient, actions)
    accepting.set(key, work)
    const applied = await work.catch((error: unknown) => {
      accepting.delete(key)
      throw error
    })
    const feedback = reported.has(card) ? undefined : await cds.feedback(received.service, {
      card, outcome: 'accepted', acceptedSuggestions: [{ id: suggestion }], outcomeTimestamp: new Date().toISOString()
    }).catch(() => 0)
    if (feedback !== undefined && feedback >= 200 && feedback < 300) reported.add(card)
    response.json({ ...applied, ...(before ? { status: 'already' } : {}), ...(feedback === undefined ? {} : { feedback: { status: feedback } }) })
  })
  router.post('/demo/weather', (request, response) => {
    onWeather(checked(weather, request.body))
    response.status(204).end()
  })
  router.post('/demo/override', async (request, response) => {
    const { patient, card, reason, comment } = checked(overriding, request.body)
    const received = cardOf(cards, card, patient)
    const chosen = received.reasons.find(({ code }) => code === reason)
    if (!chosen) throw new DemoError(400, 'Expected the code of one of the reasons on the card')
    const status = await reached(cds.feedback(received.service, {
      card, outcome: 'overridden', overrideReason: { reason: chosen, ...(comment ? { userComment: comment } : {}) }, outcomeTimestamp: new Date().toISOString()
    }))
    response.json({ status: 'overridden', feedback: { status } })
  })

  router.use((error: unknown, _request: Request, response: Response, next: (error: unknown) => void) => {
    if (response.headersSent) return next(error)
    const known = error instanceof DemoError || error instanceof SuggestionRefused
    const status = known ? error.status : isHttpError(error) ? error.status : 500
    response.status(status).json({ error: known ? error.message : status < 500 ? 'The request could not be read' : 'Something unexpected happened' })
  })
  return router

  async function apply(patient: string, actions: readonly z.infer<typeof action>[]): Promise<Applied> {
    const token = await authorization.issueToken({ scope: 'patient/*.cruds', patient, clientId: 'demo-chart', lifetimeSeconds: CHART_TOKEN_SECONDS })
    return applySuggestion({ fhirBase, token }, patient, actions)
  }
}

async function of(record: DemoRecord, type: Resource['resourceType'], patient: string): Promise<readonly Resource[]> {
  return record.searchResources({ resourceType: type, filters: [{ code: 'patient', operator: Operator.EQUALS, value: `Patient/${patient}` }] })
}

function remember(cards: Map<string, ReceivedCard>, patient: string, service: string, answer: unknown): void {
  const received = receivedCards.safeParse(answer)
  for (const { uuid, suggestions, overrideReasons } of received.data?.cards ?? [])
    cards.set(uuid, { patient, service, suggestions: new Map(suggestions.map((one) => [one.uuid, one.actions])), reasons: overrideReasons })
  for (const oldest of cards.keys()) if (cards.size > KEPT_CARDS) cards.delete(oldest)
}

function cardOf(cards: ReadonlyMap<string, ReceivedCard>, uuid: string, patient: string): ReceivedCard {
  const card = cards.get(uuid)
  if (!card) throw new DemoError(404, 'This EHR has not received such a card')
  if (card.patient !== patient) throw new DemoError(409, 'This card is about another patient; nothing was written')
  return card
}

function knownPatient(id: string | undefined): string {
  if (!DEMO_PATIENTS.some((patient) => patient.id === id)) throw new DemoError(404, `Expected one of ${DEMO_PATIENTS.map((one) => one.id).join(', ')} for patient`)
  return id ?? ''
}

function once(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The person clicking is signed in without a password, so only our own pages, and scripts that are no pages, may post. */
function sameOriginJson(request: Request, _response: Response, next: (error?: unknown) => void): void {
  const { origin, host } = request.headers
  if (request.method !== 'POST') return next()
  if (origin !== undefined && origin !== `http://${host}`) return next(new DemoError(403, 'Expected a request from the chart itself'))
  if (!request.is('application/json')) return next(new DemoError(415, 'Expected application/json'))
  next()
}

function checked<Schema extends z.ZodType>(schema: Schema, body: unknown): z.infer<Schema> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw new DemoError(400, `Expected ${Object.keys((schema as unknown as { shape: object }).shape).join(', ')} as texts`)
}

async function reached<T>(answer: Promise<T>): Promise<T> {
  return answer.catch(() => {
    throw new DemoError(502, 'JointLens did not answer; is it running?')
  })
}

function isHttpError(error: unknown): error is { readonly status: number } {
  return typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number'
}
