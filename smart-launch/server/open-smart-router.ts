import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import express, { type Request, type Response, type Router } from 'express'
import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError, ScreeningError } from '../../src/errors.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { LAUNCH_SECONDS, launchCookie, openSession, SESSION_SECONDS, type AppSession } from './app-session.ts'
import { isPatientLaunch, type CaptureDesk } from './capture-desk.ts'
import { addCaptureRoutes } from './capture-routes.ts'
import { finishLaunch, type CallbackDeps } from './callback.ts'
import { clearCookie, readCookie, setCookie } from './cookies.ts'
import { beginLaunch } from './launch.ts'
import { openRefresher, type Refresher } from './refresh.ts'
import { framersOf } from './framers.ts'
import { refusalPage } from './refusal-page.ts'
import type { ReviewDesk } from './review-desk.ts'
import { checkedDraft, checkedReview, checkedSignature } from './review-form.ts'

export interface SmartDeps extends CallbackDeps {
  readonly desk: ReviewDesk
  readonly capture: CaptureDesk
  /** Gives the session's tokens back to the EHR; false where it was not done. */
  revokeTokens(tenant: TenantConfig, session: AppSession): Promise<boolean>
}

const WEB = fileURLToPath(new URL('../web/dist/', import.meta.url))

/**
 * The SMART app's server: `/launch`, `/callback`, the page and its API, mounted at `/smart`. Tokens stay here; the page
 * carries an opaque launch handle, so two launches for two patients in one browser never mix.
 */
export function openSmartRouter(deps: SmartDeps): Router {
  const router = express.Router()
  const refresher = openRefresher(deps)
  const withRecord = async (request: Request) => freshened(await sessionOf(deps, request), refresher)
  const changingRecord = async (request: Request) => freshened(await changingSessionOf(deps, request), refresher)
  /** Findings are for clinicians: a patient launch takes photos and sees no result. */
  const forClinicians = async (opened: Promise<OpenedSession>) => refusePatients(deps, await opened)

  router.get('/launch', async (request, response) => {
    const { redirect, browserSecret, cookie } = await beginLaunch(deps, once(request.query))
    setCookie(response, cookie, browserSecret, LAUNCH_SECONDS)
    response.redirect(302, redirect)
  })

  router.get('/callback', async (request, response) => {
    const cookie = launchCookie(request.query['state'])
    if (cookie) clearCookie(response, cookie)
    const { handle, sessionSecret, page: opens } = await finishLaunch(deps, request.query, cookie && readCookie(request, cookie))
    setCookie(response, cookieOf(handle), sessionSecret, SESSION_SECONDS)
    response.redirect(302, `/smart/${opens}/${handle}`)
  })

  router.use('/assets', express.static(`${WEB}assets`, { immutable: true, maxAge: '1y', index: false }))

  router.get('/app/:handle', async (request, response) => {
    const { session, tenant, handle } = await sessionOf(deps, request)
    if (isPatientLaunch(session)) return response.redirect(302, `/smart/capture/${handle}`)
    page(response, tenant, 'index.html', await firstNeeded(deps, session, handle))
  })

  router.get('/capture/:handle', async (request, response) => {
    const { tenant } = await sessionOf(deps, request)
    response.set('Permissions-Policy', 'camera=(self)')
    page(response, tenant, 'capture.html', '')
  })

  router.use('/api', express.json({ limit: '64kb', type: 'application/json' }))
  router.use('/api', (_request, response, next) => {
    response.set({ 'Cache-Control': 'no-store', 'Cross-Origin-Resource-Policy': 'same-origin' })
    next()
  })

  router.get('/api/:handle/session', async (request, response) => {
    const { session, tenant } = await withRecord(request)
    response.json({ ...(await noted(deps, session, 'view-record', () => deps.desk.describe(session, tenant))), csrf: session.csrf })
  })

  router.get('/api/:handle/review', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    const screening = screeningShown(request.query)
    response.json(await noted(deps, session, 'view-findings', () => deps.desk.review(session, tenant, screening)))
  })

  router.get('/api/:handle/context', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    const screening = screeningShown(request.query)
    response.json(await noted(deps, session, 'view-record', () => deps.desk.context(session, tenant, screening)))
  })

  router.get('/api/:handle/signed', async (request, response) => {
    const { session, tenant } = await forClinicians(withRecord(request))
    const { screening } = request.query
    if (typeof screening !== 'string' || screening.length > 64) throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected the screening that was signed.')
    response.json(await noted(deps, session, 'view-record', () => deps.desk.signed(session, tenant, screening), `Screening/${screening}`))
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

  // Needs nothing of the EHR, so that a draft is kept when the sign-in there has ended.
  router.put('/api/:handle/draft', async (request, response) => {
    const { session } = await forClinicians(changingSessionOf(deps, request))
    const { draft, knows } = checkedDraft(request.body)
    await deps.desk.keepDraft(session, draft, knows)
    response.status(204).end()
  })

  router.post('/api/:handle/preview', async (request, response) => {
    const { session, tenant } = await forClinicians(changingRecord(request))
    const review = checkedReview(request.body)
    response.json(await noted(deps, session, 'view-record', () => deps.desk.preview(session, tenant, review), `Screening/${review.screeningId}`))
  })

  router.post('/api/:handle/sign', async (request, response) => {
    const { session, tenant } = await forClinicians(changingRecord(request))
    const { review, previewed, entered } = checkedSignature(request.body)
    response.status(201).json(await noted(deps, session, review.corrects ? 'correct' : 'sign', () => deps.desk.sign(session, tenant, review, previewed, entered), `Screening/${review.screeningId}`))
  })

  router.post('/api/:handle/held', async (request, response) => {
    const { session, tenant } = await forClinicians(changingRecord(request))
    const { review, previewed } = checkedSignature(request.body)
    response.json(await noted(deps, session, 'view-record', () => deps.desk.held(session, tenant, review, previewed), `Screening/${review.screeningId}`))
  })

  addCaptureRoutes(router, {
    ...deps.capture,
    save: (session, tenant, photo) => noted(deps, session, 'save-photo', () => deps.capture.save(session, tenant, photo))
  }, changingRecord, (request) => sessionOf(deps, request))

  router.post('/api/:handle/logout', async (request, response) => {
    const { handle, session, tenant } = await changingSessionOf(deps, request)
    clearCookie(response, cookieOf(handle))
    await noted(deps, session, 'logout', () => deps.sessions.delete(`smart:${handle}`))
    // What the EHR answers changes nothing here: the session is gone.
    await deps.revokeTokens(tenant, session).catch((error: unknown) => { if (!isScreeningError(error)) throw error })
    response.status(204).end()
  })

  // People land on launch, callback and app pages: they get a page that says what to do next, not JSON.
  router.use(async (error: unknown, request: Request, response: Response, next: (error: unknown) => void) => {
    if (request.path.startsWith('/api') || !isScreeningError(error)) return next(error)
    const language = request.acceptsLanguages(['en', 'de']) === 'de' ? 'de' : 'en'
    const { html, policy } = refusalPage(error.code, error.message, language, await framersOf(deps, request.path, request.query))
    response.status(error.code === 'ERR_SESSION' ? 401 : 400).set('Content-Security-Policy', policy).type('html').send(html)
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

async function freshened({ handle, session, tenant }: OpenedSession, { fresh, another }: Refresher): Promise<OpenedSession> {
  return { handle, tenant, session: { ...(await fresh(handle, session, tenant)), renewed: (refused) => another(handle, refused, tenant) } }
}

async function refusePatients(deps: SmartDeps, opened: OpenedSession): Promise<OpenedSession> {
  if (isPatientLaunch(opened.session)) throw await denied(deps, opened.session, 'Expected a clinician: the model’s suggestions are shown to clinicians only.')
  return opened
}

/** Who was refused what is written down like what was done. */
async function denied({ audit }: SmartDeps, { tenant, patientId, fhirUser }: AppSession, why: string): Promise<ScreeningError> {
  await audit.record({ tenant, patientId, actor: fhirUser ?? 'unknown user', action: 'refuse', outcome: 'failure', code: 'ERR_FORBIDDEN' })
  return new ScreeningError('ERR_FORBIDDEN', why)
}

async function sessionOf(deps: SmartDeps, request: Request): Promise<OpenedSession> {
  const handle = String(request.params['handle'])
  const session = await openSession(deps.sessions, handle, readCookie(request, cookieOf(handle)))
  const tenant = deps.config.tenants.find(({ id }) => id === session.tenant)
  if (!tenant) throw new ScreeningError('ERR_SESSION', 'This EHR is no longer configured.')
  return { handle, session, tenant }
}

/**
 * For requests that change something: the page's CSRF token, and a page of our own as their origin. Browsers name it with everything but
 * GET and HEAD; one that leaves it out must say `Sec-Fetch-Site: same-origin`, which no script can set (specs: security section 4).
 */
async function changingSessionOf(deps: SmartDeps, request: Request): Promise<OpenedSession> {
  const opened = await sessionOf(deps, request)
  const { origin, 'sec-fetch-site': site } = request.headers
  const ownPage = origin === undefined ? site === 'same-origin' : origin === new URL(deps.config.publicUrl).origin
  if (request.headers['x-jointlens-csrf'] !== opened.session.csrf || !ownPage)
    throw await denied(deps, opened.session, 'Expected a request from the JointLens page that opened this session.')
  return opened
}

/** One that is named, or the newest. */
function screeningShown({ screening }: Record<string, unknown>): string | undefined {
  if (screening === undefined || (typeof screening === 'string' && screening.length <= 64)) return screening
  throw new ScreeningError('ERR_REQUEST_INVALID', 'Expected the screening that is shown.')
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

function page(response: Response, tenant: TenantConfig, file: 'index.html' | 'capture.html', head: string): void {
  const path = `${WEB}${file}`
  if (!existsSync(path)) throw new ScreeningError('ERR_NOT_READY', 'The app has not been built. Run "npm run build:web" and try again.')
  response.set('Content-Security-Policy', contentSecurityPolicy(tenant.allowedOrigins))
  response.set('Cache-Control', 'no-store').type('html').send(readFileSync(path, 'utf8').replace('</head>', `${head}</head>`))
}

/** What the review shows first, asked for while the script is still on its way. */
async function firstNeeded({ desk }: SmartDeps, session: AppSession, handle: string): Promise<string> {
  const api = `/smart/api/${handle}`
  const photos = (await desk.newestPhotos(session)).map((id) => `photos/${encodeURIComponent(id)}`)
  return ['session', 'review', ...photos].map((one) => `<link rel="preload" as="fetch" crossorigin="anonymous" href="${api}/${one}">`).join('')
}

export function contentSecurityPolicy(frameAncestors: readonly string[]): string {
  return [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", `frame-ancestors ${["'self'", ...frameAncestors].join(' ')}`
  ].join('; ')
}
