import express, { type Request, type Router } from 'express'
import { z } from 'zod'
import type { TenantConfig } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import { LATERALITIES } from '../../src/joints/hand-joint.ts'
import type { AppSession } from './app-session.ts'
import type { CaptureDesk, SentPhoto } from './capture-desk.ts'

type Opened = { readonly session: AppSession; readonly tenant: TenantConfig }

const PHOTO_TYPES = ['image/jpeg', 'image/png', 'image/webp']
const MAX_PHOTO = '25mb'
const query = z.object({
  side: z.enum(LATERALITIES),
  consent: z.string().max(40),
  /** Milliseconds since the photo was taken. */
  age: z.coerce.number().int().min(0).max(1e12),
  /** As the browser names it; letters, digits and a little more. */
  camera: z.string().max(80).regex(/^[\p{L}\p{N} ,.:;()_/+-]*$/u).catch('')
})

/**
 * `GET /api/:handle/capture` says which hands were saved. `POST /api/:handle/capture/check` and `/save`: the body is the picture, the query says which hand, when, with what, and that the
 * person agreed. `opened` has checked session, CSRF token and Origin.
 */
export function addCaptureRoutes(
  router: Router, desk: CaptureDesk, opened: (request: Request) => Promise<Opened>, reading: (request: Request) => Promise<Opened>
): void {
  const picture = express.raw({ type: PHOTO_TYPES, limit: MAX_PHOTO })

  router.get('/api/:handle/capture', async (request, response) => {
    response.json({ saved: await desk.saved((await reading(request)).session) })
  })

  router.post('/api/:handle/capture/check', async (request, response, next) => {
    await opened(request)
    picture(request, response, next)
  }, async (request, response) => {
    response.json(await desk.check(sentPhoto(request)))
  })

  router.post('/api/:handle/capture/save', async (request, response, next) => {
    await opened(request)
    picture(request, response, next)
  }, async (request, response) => {
    const { session, tenant } = await opened(request)
    response.status(201).json(await desk.save(session, tenant, sentPhoto(request)))
  })
}

/** No byte of a body is read before the session is known; what is not a picture never reaches a decoder. */
function sentPhoto(request: Request): SentPhoto {
  const asked = query.safeParse(request.query)
  if (!asked.success) throw new ScreeningError('ERR_REQUEST_INVALID', `Expected side, age, consent and camera for a photo. ${asked.error.issues[0]?.path.join('.') ?? ''}`)
  const body: unknown = request.body
  if (!(body instanceof Uint8Array) || body.length === 0)
    throw new ScreeningError('ERR_MEDIA_TYPE', `Expected a photo as ${PHOTO_TYPES.join(', ')}`)
  const { side, consent, age, camera } = asked.data
  return { bytes: body, side, consent, ageMs: age, camera: camera || 'camera not named' }
}
