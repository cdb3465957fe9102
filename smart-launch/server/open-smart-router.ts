import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import express, { type Request, type Response, type Router } from 'express'
import { z } from 'zod'
import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError, ScreeningError } from '../../src/errors.ts'
import { HAND_JOINTS, LARGE_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { openSession, SESSION_SECONDS, type AppSession } from './app-session.ts'
import { isPatientLaunch, type CaptureDesk } from './capture-desk.ts'
import { addCaptureRoutes } from './capture-routes.ts'
import { finishLaunch, type CallbackDeps } from './callback.ts'
import { clearCookie, readCookie, setCookie } from './cookies.ts'
import { beginLaunch } from './launch.ts'
import { openRefresher } from './refresh.ts'
import type { ReviewDesk, SignedReview } from './review-desk.ts'

export interface SmartDeps extends CallbackDeps {
  readonly desk: ReviewDesk
  readonly capture: CaptureDesk
}

const WEB = fileURLToPath(new URL('../web/dist/', import.meta.url))

const decision = z.strictObject({
  side: z.enum(LATERALITIES),
  joint: z.enum(HAND_JOINTS),
  call: z.enum(['swollen', 'not-swollen', 'not-assessable'])
})
const count28 = z.number().int().min(0).max(28).optional()
const global10 = z.number().min(0).max(10).optional()
const activity = z.strictObject({
  tenderJointCount28: count28, swollenJointCount28: count28, patientGlobal: global10, physicianGlobal: global10,
  crpMgPerL: z.number().min(0).max(1000).optional(), esrMmPerH: z.number().min(1).max(200).optional()
})
const side = z.enum(LATERALITIES)
const examined = z.strictObject({
  tender: z.array(z.strictObject({ side, joint: z.enum([...HAND_JOINTS, ...LARGE_JOINTS]) })).max(28),
  swollen: z.array(z.strictObject({ side, joint: z.enum(LARGE_JOINTS) })).max(6)
})
const review = z.strictObject({
  screeningId: z.string().max(64), decisions: z.array(decision).max(22), activity: activity.optional(), examined: examined.optional()
}).refine((one) => one.decisions.length > 0 || one.activity !== undefined || one.examined !== undefined, 'Nothing was decided or entered.')

/**
 * The SMART app's server: `/launch`, `/callback`, the page and its API, mounted at `/smart`. Tokens stay here; the page
 * carries an opaque launch handle, so two launches for two patients in one browser never mix.
 */
export function openSmartRouter(deps: SmartDeps): Router {
  const router = express.Router()
  const fresh = openRefresher(deps)
  const withRecord = async (request: Request) => freshened(await sessionOf(deps, request), fresh)
  const changingRecord = async (request: Request) => freshened(await changingSessionOf(deps, request), fresh)
  /** Findings are for clinicians: a patient launch takes photos and sees no result. */
  const forClinicians = async (opened: Promise<OpenedSession>) => refusePatients(await opened)

  router.get('/launch', async (request, response) => {
    const { redirect, browserSecret } = await beginLaunch(deps, once(request.query))
    setCookie(response, 'jl-launch', browserSecret, 600)
    response.redirect(302, redirect)
  })

  router.get('/callback', async (request, response) => {
    const { handle, sessionSecret, page: opens } = await finishLaunch(deps, once(request.query), readCookie(request, 'jl-launch'))
    clearCookie(response, 'jl-launch')
    setCookie(response, cookieOf(handle), sessionSecret, SESSION_SECONDS)
    response.redirect(302, `/smart/${opens}/${handle}`)
  })

  router.use('/assets', express.static(`${WEB}assets`, { immutable: true, maxAge: '1y', index: false }))

  router.get('/app/:handle', async (request, response) => {
    const { session, tenant, handle } = await sessionOf(deps, request)
    if (isPatientLaunch(session)) return response.redirect(302, `/smart/capture/${handle}`)
    page(response, tenant)
  })

  router.get('/capture/:handle', async (request, response) => {
    const { tenant } = await sessionOf(deps, request)
    response.set('Permissions-Policy', 'camera=(self)')
    page(response, tenant)
  })

  router.use('/api', express.json({ limit: '64kb', type: 'application/json' }))
  router.use('/api', (_request, response, next) => {
    response.set('Cache-Control', 'no-store')
    next()
  })

  router.get('/api/:handle/session', async (request, response) => {
    const { session, tenant } = await withRecord(request)
    response.json({ ...(await deps.desk.describe(session, tenant)), csrf: session.csrf })
  })

  router.get('/api/:handle/review', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    response.json(await noted(deps, session, 'view-findings', () => deps.desk.review(session, tenant)))
  })

  router.get('/api/:handle/context', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    response.json(await noted(deps, session, 'view-record', () => deps.desk.context(session, tenant)))
  })

  router.get('/api/:handle/photos/:photo', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    const photo = String(request.params['photo'])
    const jpeg = await noted(deps, session, 'view-photo', () => deps.desk.photo(session, tenant, photo, closeUpOf(request.query)), photo)
    response.type('image/jpeg').send(Buffer.from(jpeg))
  })

  router.get('/api/:handle/photos/:photo/map', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    const at = closeUpOf(request.query)
    if (!at) throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected side and joint of the map.')
    const photo = String(request.params['photo'])
    response.json(await noted(deps, session, 'view-photo', () => deps.desk.map(session, tenant, photo, at), photo))
  })

  router.post('/api/:handle/screen', async (request, response) => {
    const { session, tenant } = await changingRecord(request)
    await deps.desk.requestScreening(session, tenant)
    response.status(202).json({ accepted: true })
  })

  router.post('/api/:handle/preview', async (request, response) => {
    const { session, tenant } = await forClinicians(changingRecord(request))
    response.json(await deps.desk.preview(session, tenant, checked(request.body)))
  })

  router.post('/api/:handle/sign', async (request, response) => {
    const { session, tenant } = await forClinicians(changingRecord(request))
    const signed = checked(request.body)
    response.status(201).json(await noted(deps, session, 'sign', () => deps.desk.sign(session, tenant, signed), `Screening/${signed.screeningId}`))
  })

  addCaptureRoutes(router, {
    ...deps.capture,
    save: (session, tenant, photo) => noted(deps, session, 'save-photo', () => deps.capture.save(session, tenant, photo))
  }, changingRecord)

  router.post('/api/:handle/logout', async (request, response) => {
    const { handle, session } = await changingSessionOf(deps, request)
    await noted(deps, session, 'logout', () => deps.sessions.delete(`smart:${handle}`))
    clearCookie(response, cookieOf(handle))
    response.status(204).end()
  })

  // People land on launch, callback and app pages: they get a page that says what to do next, not JSON.
  router.use((error: unknown, request: Request, response: Response, next: (error: unknown) => void) => {
    if (request.path.startsWith('/api') || !isScreeningError(error)) return next(error)
    response.status(error.code === 'ERR_SESSION' ? 401 : 400).type('html').send(errorPage(error.message, error.code))
  })
  return router
}

/** Who did what to whose data, also when it failed. What cannot be written down is not answered. */
async function noted<T>({ audit }: SmartDeps, { tenant, patientId, fhirUser }: AppSession, action: string, work: () => Promise<T>, entity?: string): Promise<T> {
  const event = { tenant, patientId, actor: fhirUser ?? 'unknown user', action, ...(entity ? { entity: entity.slice(0, 100) } : {}) }
  let result: T
  try {
    result = await work()
  } catch (error) {
    await audit.record({ ...event, outcome: 'failure', code: isScreeningError(error) ? error.code : 'ERR_INTERNAL' })
    throw error
  }
  await audit.record({ ...event, outcome: 'success' })
  return result
}

interface OpenedSession { readonly handle: string; readonly session: AppSession; readonly tenant: TenantConfig }

async function freshened(opened: OpenedSession, fresh: ReturnType<typeof openRefresher>): Promise<OpenedSession> {
  return { ...opened, session: await fresh(opened.handle, opened.session, opened.tenant) }
}

function refusePatients(opened: OpenedSession): OpenedSession {
  if (isPatientLaunch(opened.session)) throw new ScreeningError('ERR_FORBIDDEN', 'Expected a clinician: the model’s suggestions are shown to clinicians only.')
  return opened
}

async function sessionOf(deps: SmartDeps, request: Request): Promise<OpenedSession> {
  const handle = String(request.params['handle'])
  const session = await openSession(deps.sessions, handle, readCookie(request, cookieOf(handle)))
  const tenant = deps.config.tenants.find(({ id }) => id === session.tenant)
  if (!tenant) throw new ScreeningError('ERR_SESSION', 'This EHR is no longer configured.')
  return { handle, session, tenant }
}

/** For requests that change something: the page's CSRF token and our own Origin. */
async function changingSessionOf(deps: SmartDeps, request: Request): Promise<OpenedSession> {
  const opened = await sessionOf(deps, request)
  const origin = request.headers.origin
  if (request.headers['x-jointlens-csrf'] !== opened.session.csrf || (origin && origin !== new URL(deps.config.publicUrl).origin))
    throw new ScreeningError('ERR_FORBIDDEN', 'Expected a request from the JointLens page that opened this session.')
  return opened
}

function checked(body: unknown): SignedReview {
  const result = review.safeParse(body)
  if (result.success) return withoutUndefined(result.data) as SignedReview
  throw new ScreeningError('ERR_REQUEST_INVALID', `Expected {screeningId, decisions, activity?, examined?} for the review. ${result.error.issues[0]?.message ?? ''}`)
}

function withoutUndefined(value: object): object {
  return JSON.parse(JSON.stringify(value)) as object
}

function closeUpOf(query: Record<string, unknown>) {
  const side = LATERALITIES.find((one) => one === query['side'])
  const joint = HAND_JOINTS.find((one) => one === query['joint'])
  return side && joint ? { side, joint } : undefined
}

/** Query values that came once; a repeated parameter is no value at all. */
function once(query: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(query).filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
}

function cookieOf(handle: string): string {
  return `jl-${handle.slice(0, 12).replaceAll(/[^\w]/g, '_')}`
}

function page(response: Response, tenant: TenantConfig): void {
  const index = `${WEB}index.html`
  if (!existsSync(index)) throw new ScreeningError('ERR_NOT_READY', 'The app has not been built. Run "npm run build:web" and try again.')
  response.set('Content-Security-Policy', contentSecurityPolicy(tenant.allowedOrigins))
  response.set('Cache-Control', 'no-store').type('html').send(readFileSync(index, 'utf8'))
}

export function contentSecurityPolicy(frameAncestors: readonly string[]): string {
  return [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", `frame-ancestors ${["'self'", ...frameAncestors].join(' ')}`
  ].join('; ')
}

function errorPage(message: string, code: string): string {
  const text = message.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>JointLens cannot open</title><main><h1>JointLens cannot open</h1><p>${text}</p><p><small>${code}</small></p></main></html>`
}
