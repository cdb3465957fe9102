import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express, { type Express, type Response } from 'express'
import pino, { type Logger } from 'pino'
import { openAudit } from './audit.ts'
import { openClientVerifier } from './cds-hooks/client-jwt.ts'
import { createCdsRouter } from './cds-hooks/router.ts'
import type { Config } from './config.ts'
import { isScreeningError, ScreeningError } from './errors.ts'
import { openClaimedCreates } from './fhir/claimed-creates.ts'
import { listen, openHttpServer, stopListening } from './http-server.ts'
import type { Calibration, InferenceEngine } from './inference/engine/inference-engine.ts'
import { openEngine } from './inference/engine/open-engine.ts'
import type { WorkerEnd } from './inference/engine/worker-pool.ts'
import { readCalibrationFile } from './inference/calibrate.ts'
import { lastResort } from './last-resort.ts'
import { openMetrics, type Metrics } from './metrics.ts'
import type { Page } from './plain-page.ts'
import { feedbackPage } from './feedback-page.ts'
import { modelCardPage } from './model-card-page.ts'
import { describeApi } from './openapi.ts'
import { openCardStore } from './screening/store/card-store.ts'
import { openFeedbackStore } from './screening/store/feedback-store.ts'
import { openJtiStore } from './screening/store/jti-store.ts'
import { openResultStore } from './screening/result-store.ts'
import { openSessionStore } from './screening/store/session-store.ts'
import { openStore, type Store } from './screening/store/open-store.ts'
import { bindToRecords } from './screening/store/record-address.ts'
import { openErrandRunner } from './screening/errand-runner.ts'
import { openInbox } from './screening/notifications/inbox.ts'
import { createNotificationRouter } from './screening/notifications/router.ts'
import { requireSecret, secretIn, siteOfSecret } from './shared-secret.ts'
import { openScreeningService } from './screening/screening-service.ts'
import { openTenantDoors } from './tenant-doors.ts'
import { writeWorklist } from './worklist-files.ts'
import { openCaptureDesk } from '../smart-launch/server/capture-desk.ts'
import { openReviewDesk } from '../smart-launch/server/review-desk.ts'
import { openSmartRouter } from '../smart-launch/server/open-smart-router.ts'

export interface RunningJointLens {
  /** Where HTTP answers; absent for a worker alone. */
  readonly url?: string
  close(): Promise<void>
}

export type Role = 'http' | 'worker'

/** Everything one process needs, opened; `close` ends it in the reverse order. */
export interface OpenedJointLens extends Parts {
  close(): Promise<void>
}

/**
 * Opens everything one process needs and starts it. `http` answers, `worker` leases screenings; the embedded default is both.
 * Nothing is left open when a part cannot start. Throws ERR_CONFIG, ERR_MODEL_INVALID, ERR_STORE_LOCKED.
 */
export async function startJointLens(config: Config, roles: readonly Role[] = ['http', 'worker']): Promise<RunningJointLens> {
  const parts = await openJointLens(config)
  try {
    if (roles.includes('worker')) {
      parts.screenings.start()
      parts.errands.start()
    }
    if (!roles.includes('http')) return { close: parts.close }
    const server = openHttpServer(httpApp(config, parts))
    await listen(server, config)
    const { port } = server.address() as AddressInfo
    const close = async () => {
      await stopListening(server)
      await parts.close()
    }
    return { url: `http://${config.host}:${port}`, close }
  } catch (error) {
    await parts.close()
    throw error
  }
}

/** The same parts without a server or a running worker: for commands. */
export async function openJointLens(config: Config): Promise<OpenedJointLens> {
  if (config.inferenceUrl)
    throw new ScreeningError('ERR_CONFIG', 'Expected no INFERENCE_URL but received one: remote inference is not part of this version')
  const closers: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const one of closers.splice(0).reverse()) await one()
  }
  const log = pino({ level: config.logLevel, base: null })
  const workerEnded = (end: WorkerEnd) => log.error(end, 'a process that reads photos ended by itself')
  try {
    // Side by side: each takes a second or more, and neither needs the other.
    const [store, engine] = await bothOrNeither(
      openStore(storeOf(config)),
      openEngine({ modelDir: config.modelDir, device: config.device, workerEnded, ...(config.workers ? { workers: config.workers } : {}) }))
    closers.push(() => store.close(), () => engine.close())
    await bindToRecords(store, config.tenants)
    const parts = openParts(config, store, engine, log)
    closers.push(() => parts.cards.close(), () => Promise.resolve(parts.jti.close()), () => parts.doors.close(), () => parts.screenings.stop(), () => parts.errands.stop())
    return { ...parts, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The store and the way to each record without an engine: for a command that brings its own. Throws ERR_STORE_LOCKED. */
export async function openRecord(config: Config) {
  const store = await openStore(storeOf(config))
  await bindToRecords(store, config.tenants).catch(async (error: unknown) => {
    await store.close()
    throw error
  })
  const doors = openTenantDoors(config, Date.now, openResultStore(store).handedOver)
  return {
    config, store, audit: openAudit(store), sessionFor: doors.backendSession,
    async close() {
      await doors.close()
      await store.close()
    }
  }
}

const storeOf = ({ databaseUrl, dataDir }: Config) => databaseUrl ? { databaseUrl } : { dataDir }

/** When one of the two fails, the other is closed before the failure goes on. */
async function bothOrNeither<One extends { close(): Promise<unknown> }, Other extends { close(): Promise<unknown> }>(one: Promise<One>, other: Promise<Other>): Promise<[One, Other]> {
  const settled = await Promise.allSettled([one, other])
  const failed = settled.find(({ status }) => status === 'rejected')
  if (!failed) return Promise.all([one, other])
  for (const opened of settled) if (opened.status === 'fulfilled') await opened.value.close()
  throw (failed as PromiseRejectedResult).reason
}

type Parts = ReturnType<typeof openParts>

function openParts(config: Config, store: Store, opened: InferenceEngine, log: Logger) {
  const feedback = openFeedbackStore(store)
  const metrics = openMetrics({
    jobs: () => screenings.counts(),
    feedback: async () => (await Promise.all(config.tenants.map(({ id }) => feedback.rates(id)))).flat()
  })
  const engine = metrics.counting(opened)
  const sessions = openSessionStore(store)
  const results = openResultStore(store)
  const doors = openTenantDoors(config, Date.now, results.handedOver, openClaimedCreates(sessions, (tenant) => results.ledger(tenant, '')),
    (tenant, atOnce) => results.ledger(tenant, '').showed(atOnce))
  const calibrations = new Map<string, Calibration>(config.tenants.flatMap((tenant) =>
    tenant.calibrationFile ? [[tenant.id, readCalibrationFile(tenant.calibrationFile, engine.model.digest)] as const] : []))
  const audit = openAudit(store)
  const screenings = openScreeningService({
    store, engine, tenants: config.tenants, calibrations, sessionFor: doors.backendSession, audit, log,
    ...(config.patientsAtOnce ? { atOnce: config.patientsAtOnce } : {})
  })
  return {
    store, engine, log, doors, calibrations, audit, screenings,
    errands: openErrandRunner({
      store, tenants: config.tenants, screenings, sessionFor: doors.backendSession, log, audit,
      keepWorklist(tenant, date, list) {
        if (tenant.previsit?.out) writeWorklist(join(tenant.previsit.out, date), { tenant, date, ...list, madeAt: new Date().toISOString() })
      }
    }),
    inbox: openInbox(store),
    sessions,
    jti: openJtiStore(store),
    cards: openCardStore(store, (error) => {
      log.warn({ code: isScreeningError(error) ? error.code : 'ERR_INTERNAL' }, 'cards that were shown could not be stored yet: they are kept in a file and tried again')
    }),
    feedback,
    metrics
  }
}

function httpApp(config: Config, parts: Parts): Express {
  const app = express()
  app.disable('x-powered-by')
  // Nothing here may be kept by a cache, so nothing needs its digest.
  app.disable('etag')
  app.set('trust proxy', config.trustedProxies ?? false)
  app.use(securityHeaders(config))
  app.use(measure(parts.metrics, parts.log))
  const now = () => Date.now()

  const verifier = openClientVerifier({
    tenants: config.tenants, fetchKeys: parts.doors.clientKeys, jti: parts.jti, clock: now
  })
  app.use('/cds-services', createCdsRouter({
    publicUrl: config.publicUrl,
    tenants: config.tenants,
    verifier,
    screenings: parts.screenings,
    cards: parts.cards,
    feedback: parts.feedback,
    resourcesFor: parts.doors.suggestionResources(parts.calibrations, parts.engine),
    recordFor: parts.doors.hookRecord,
    calibrationOf: ({ id }) => parts.calibrations.get(id)?.data,
    audit: parts.audit,
    clock: now,
    newId: randomUUID,
    log: parts.log
  }))

  operations(app, config, parts)
  app.use('/smart', openSmartRouter({
    config,
    audit: parts.audit,
    sessions: parts.sessions,
    discover: parts.doors.discover,
    requestToken: parts.doors.requestToken,
    openIdKeys: parts.doors.openIdKeys,
    revokeTokens: parts.doors.revokeTokens,
    handOver: parts.screenings.handOver,
    now,
    capture: openCaptureDesk({
      engine: parts.engine, record: parts.doors.reviewRecord, sessions: parts.sessions, handOver: parts.screenings.handOver, now
    }),
    desk: openReviewDesk({
      screenings: parts.screenings, engine: parts.engine, record: parts.doors.reviewRecord, sessions: parts.sessions, now,
      calibrationOf: ({ id }) => parts.calibrations.get(id)
    })
  }))

  app.use('/fhir/notifications', createNotificationRouter({
    tenants: config.tenants, secrets: config.notificationSecrets ?? {}, inbox: parts.inbox, audit: parts.audit, heard: parts.errands.wake
  }))

  app.use((request) => {
    throw new ScreeningError('ERR_NOT_FOUND', `Nothing answers ${request.method} here`)
  })
  app.use(lastResort(parts.log))
  return app
}

/** `/livez`, `/readyz`, `/metrics`, `/openapi.json`, which a person who opens the bare address sees, `/models/current`, `/feedback`, our public keys. */
function operations(app: Express, config: Config, { engine, store, metrics, calibrations, doors, feedback }: Parts): void {
  app.get('/livez', (_request, response) => void response.json({ status: 'ok' }))
  app.get('/readyz', async (_request, response) => {
    const { ready } = engine.health()
    const stored = await store.query('select 1').then(() => true, () => false)
    const calibrated = config.tenants.length > 0 && config.tenants.every(({ id }) => calibrations.has(id))
    response.status(ready && stored ? 200 : 503).json({
      status: ready && stored ? 'ready' : 'not-ready',
      details: { model: ready, store: stored, executionProvider: engine.health().executionProvider, calibration: calibrated ? 'calibrated' : 'not calibrated' }
    })
  })
  app.get('/metrics', async (request, response) => {
    if (config.metricsSecret !== undefined) requireSecret(secretIn(request.headers.authorization), config.metricsSecret)
    response.type('text/plain').send(await metrics.registry.metrics())
  })
  app.get('/', (_request, response) => void response.redirect('openapi.json'))
  app.get('/openapi.json', (_request, response) => void response.json(describeApi(config.publicUrl)))
  app.get('/models/current', (request, response) => {
    const card = readFileSync(join(config.modelDir, 'MODEL_CARD.md'), 'utf8')
    if (request.accepts(['json', 'html']) === 'html') return sendPage(response, modelCardPage(card))
    response.json({ manifest: JSON.parse(readFileSync(join(config.modelDir, 'manifest.json'), 'utf8')) as unknown, card })
  })
  // Codes of reasons are the client's own words, and how often a site's clinicians disagree is that site's business.
  app.get('/feedback/:tenant', async (request, response) => {
    response.set('WWW-Authenticate', 'Basic realm="JointLens feedback", charset="UTF-8"')
    const { id, name } = siteOfSecret(
      { tenants: config.tenants, setting: 'feedbackPage', secrets: config.feedbackSecrets }, request.params.tenant, () => secretIn(request.headers.authorization))
    response.removeHeader('WWW-Authenticate')
    const found = { id, name, rates: await feedback.rates(id), joints: await feedback.jointRates(id) }
    if (request.accepts(['json', 'html']) === 'html') return sendPage(response, feedbackPage(found))
    response.json(found)
  })
  app.get('/.well-known/jwks.json', (_request, response) => {
    response.set('Cache-Control', 'public, max-age=300').json({ keys: doors.publicKeys })
  })
}

function sendPage(response: Response, { html, policy }: Page): void {
  response.set('Content-Security-Policy', policy).type('html').send(html)
}

function securityHeaders(config: Config): express.RequestHandler {
  const headers = new Map([
    ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
    ['X-Content-Type-Options', 'nosniff'],
    ['Referrer-Policy', 'no-referrer'],
    ['Cache-Control', 'no-store'],
    ...(config.publicUrl.startsWith('https:') ? [['Strict-Transport-Security', 'max-age=31536000'] as const] : [])
  ])
  return (_request, response, next) => {
    response.setHeaders(headers)
    next()
  }
}

/** One log line and one measurement an answer: route template, status and time; never an address, an id or a body. */
function measure(metrics: Metrics, log: Logger): express.RequestHandler {
  return (request, response, next) => {
    const began = performance.now()
    response.on('finish', () => {
      const route = routeOf(request)
      const seconds = (performance.now() - began) / 1000
      metrics.request(route, response.statusCode, seconds)
      log.info({ route, method: request.method, status: response.statusCode, ms: Math.round(seconds * 1000) }, 'answered')
    })
    next()
  }
}

const MOUNTS = ['/cds-services', '/smart', '/fhir/notifications']

/** A template out of a closed list, however the caller spelled the address: each name is a time series of its own. */
function routeOf({ originalUrl, route }: express.Request): string {
  const [path = ''] = originalUrl.toLowerCase().split('?')
  const mount = MOUNTS.find((one) => path === one || path.startsWith(`${one}/`)) ?? ''
  const { path: template } = (route ?? {}) as { readonly path?: unknown }
  return `${mount}${typeof template === 'string' && template !== '/' ? template : ''}` || 'other'
}
