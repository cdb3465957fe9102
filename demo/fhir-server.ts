import { getStatus } from '@medplum/core'
import { FhirRouter, type FhirRequest } from '@medplum/fhir-router'
import type { Binary, OperationOutcome, Resource } from '@medplum/fhirtypes'
import express, { type Request, type Response, type Router } from 'express'
import { capabilityStatement } from './capability-statement.ts'
import { GuardedRecord } from './guarded-record.ts'
import type { DemoRecord } from './record.ts'
import type { Access } from './scopes.ts'

export interface FhirServerParts {
  /** `http://127.0.0.1:8081/fhir`: the address this router is mounted at, as others call it. */
  readonly base: string
  readonly record: DemoRecord
  /** undefined for a token that is not ours, expired, or made for someone else. */
  verify(token: string): Promise<Access | undefined>
  /** Served at `.well-known/smart-configuration`. */
  readonly smartConfiguration: Readonly<Record<string, unknown>> & { readonly authorization_endpoint: string; readonly token_endpoint: string }
}

/**
 * FHIR R4 over one record, mounted at `/fhir`. `/metadata` and the SMART configuration are open; everything else needs a
 * Bearer token of our authorization server and shows what its scopes and its patient allow.
 */
export function openFhirServer({ base, record, verify, smartConfiguration }: FhirServerParts): Router {
  const engine = new FhirRouter()
  const oneWriterAtATime = openTurnstile()
  const router = express.Router()

  router.get('/metadata', (_request, response) => void sendFhir(response, 200, capabilityStatement(base, {
    authorize: smartConfiguration.authorization_endpoint, token: smartConfiguration.token_endpoint
  })))
  router.get('/.well-known/smart-configuration', (_request, response) => void response.json(smartConfiguration))

  router.use(async (request, response, next) => {
    const token = /^Bearer ([\w.\-~+/]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
    const access = token === undefined ? undefined : await verify(token)
    if (access) {
      response.locals['record'] = new GuardedRecord(record, access, base)
      return next()
    }
    response.set('WWW-Authenticate', token === undefined ? 'Bearer' : 'Bearer error="invalid_token"')
    sendFhir(response, 401, outcome('login', 'Expected an access token of this server'))
  })
  router.use(express.json({ type: ['application/fhir+json', 'application/json', 'application/json-patch+json'], limit: '25mb' }))
  router.use(express.urlencoded({ extended: false, limit: '64kb' }))

  router.get('/Binary/:id', async (request, response, next) => {
    const [found, resource] = await engine.handleRequest(engineRequest(request, base), recordOf(response))
    if (resource?.resourceType !== 'Binary' || wantsJson(request, resource)) return next()
    response.set('X-Content-Type-Options', 'nosniff').status(getStatus(found)).type(resource.contentType)
    response.send(Buffer.from(resource.data ?? '', 'base64'))
  })

  router.use(async (request, response) => {
    const answer = () => engine.handleRequest(engineRequest(request, base), recordOf(response))
    if (request.path.startsWith('/$')) return void sendFhir(response, 404, outcome('not-found', 'Expected an interaction that /metadata lists'))
    const [result, resource] = await (request.method === 'GET' ? answer() : oneWriterAtATime(answer))
    const status = getStatus(result)
    const { versionId, lastUpdated } = resource?.meta ?? {}
    if (versionId) response.set('ETag', `W/"${versionId}"`)
    if (lastUpdated) response.set('Last-Modified', new Date(lastUpdated).toUTCString())
    if (status === 201 && resource) response.set('Location', `${base}/${resource.resourceType}/${resource.id}/_history/${versionId}`)
    sendFhir(response, status, resource ?? result)
  })

  router.use((error: unknown, _request: Request, response: Response, next: (error: unknown) => void) => {
    const status = typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number' ? error.status : 500
    if (response.headersSent) return next(error)
    sendFhir(response, status, outcome(status < 500 ? 'invalid' : 'exception', status < 500 ? 'The request could not be read' : 'Something unexpected happened'))
  })
  return router
}

function recordOf(response: Response): GuardedRecord {
  return response.locals['record'] as GuardedRecord
}

/** The engine parses path and query itself; transactions must be asked for, or they run as batches. */
function engineRequest(request: Request, base: string): FhirRequest {
  const { pathname, search } = new URL(request.originalUrl, base)
  return {
    method: request.method as FhirRequest['method'],
    url: (pathname.slice(new URL(base).pathname.length) || '/') + search,
    pathname: '', params: {}, query: {}, body: request.body as unknown, headers: request.headers, config: { transactions: true }
  }
}

/** R4 says a Binary comes raw, unless FHIR JSON is what the caller likes best. */
function wantsJson(request: Request, { contentType }: Binary): boolean {
  return request.accepts([contentType, 'application/fhir+json', 'application/json']).toString().endsWith('json')
}

function sendFhir(response: Response, status: number, resource: Resource | object): void {
  response.status(status).set('Cache-Control', 'no-store').type('application/fhir+json').send(JSON.stringify(resource))
}

function outcome(code: OperationOutcome['issue'][0]['code'], diagnostics: string): OperationOutcome {
  return { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, diagnostics }] }
}

/** One at a time, so that a transaction that rolls back takes nobody else's write with it. */
function openTurnstile() {
  let last: Promise<unknown> = Promise.resolve()
  return <R>(work: () => Promise<R>): Promise<R> => {
    const mine = last.then(work)
    last = mine.catch(() => undefined)
    return mine
  }
}
