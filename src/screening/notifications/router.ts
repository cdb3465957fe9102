import express, { type Request, type RequestHandler, type Response, type Router } from 'express'
import type { Audit } from '../../audit.ts'
import type { TenantConfig } from '../../config.ts'
import { ScreeningError } from '../../errors.ts'
import { secretIn, siteOfSecret } from '../../shared-secret.ts'
import type { Inbox } from './inbox.ts'
import { readNotification, type Notification } from './read-notification.ts'

export interface NotificationDeps {
  readonly tenants: readonly TenantConfig[]
  /** By tenant id. */
  readonly secrets: Readonly<Record<string, string>>
  readonly inbox: Inbox
  readonly audit: Audit
  /** Wakes a worker of this process. */
  heard(): void
}

/** A full-resource notification may carry a photo inline; what we take of it is an id. */
const MAX_BODY = '2mb'

/**
 * `POST /fhir/notifications/{tenant}`: Subscription notifications, R4 rest-hook and R5 Subscriptions Backport. Nobody gets a body
 * parsed, or learns which tenants there are, without the secret that the Subscription's `channel.header` carries. 200 means that
 * what follows is on disk. R4 servers that send the resource itself PUT it to `{endpoint}/{type}/{id}`.
 */
export function createNotificationRouter(deps: NotificationDeps): Router {
  const router = express.Router()
  const json = express.json({ limit: MAX_BODY, type: ['application/json', 'application/fhir+json'] })
  const receive = (read: (request: Request) => Notification): RequestHandler => async (request, response) => {
    const tenant = siteOfSecret({ ...deps, setting: 'notifications' }, request.params['tenant'], (site) => secretIn(request.get(site?.notifications?.header ?? 'Authorization')))
    await parsed(json, request, response)
    await accept(deps, tenant, read(request))
    response.status(200).end()
  }
  router.post('/:tenant', receive(({ body }) => readNotification(body)))
  router.put('/:tenant/:type/:id', receive(({ params }) => readNotification({ resourceType: params['type'], id: params['id'] })))
  router.delete('/:tenant/:type/:id', receive(({ params }) => readNotification({ resourceType: params['type'], id: params['id'] })))
  router.all(['/:tenant', '/:tenant/:type/:id'], (_request, response) => {
    response.set('Allow', 'POST, PUT, DELETE')
    throw new ScreeningError('ERR_METHOD_NOT_ALLOWED', 'Expected POST here, or PUT of the resource that changed')
  })
  return router
}

async function accept({ inbox, audit, heard }: NotificationDeps, tenant: TenantConfig, notification: Notification): Promise<void> {
  const listed = tenant.notifications?.subscriptions
  if (listed && notification.kind !== 'changed' && !listed.includes(notification.subscription))
    throw new ScreeningError('ERR_NOT_FOUND', 'Expected a Subscription that this site lists')
  await inbox.accept(tenant, notification)
  await audit.record({ tenant: tenant.id, action: 'notification', actor: 'ehr', entity: notification.kind, outcome: 'success' })
  heard()
}

/** No body is a notification too (R4, empty payload); one that is no JSON is refused. */
function parsed(json: RequestHandler, request: Request, response: Response): Promise<void> {
  const sent = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  if (sent && !request.is(['application/json', 'application/fhir+json']))
    throw new ScreeningError('ERR_MEDIA_TYPE', 'Expected application/fhir+json')
  return new Promise((resolve, reject) => {
    void json(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error instanceof Error ? error : new Error('body'))))
  })
}
