import './web-socket.ts'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getStatus, validateResource } from '@medplum/core'
import { FhirRouter, MemoryRepository, type FhirRequest } from '@medplum/fhir-router'
import type { BundleLink, Resource } from '@medplum/fhirtypes'
import express from 'express'
import type { Bundle, CapabilityStatementRest, CapabilityStatementRestResource } from 'fhir/r4.js'
import { indexR4 } from './r4-definitions.ts'

/** One request as the server saw it. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
}
/** What the server does instead of, or after, answering: a fault of a real EHR. */
export type Fault = 'commit-then-500' | 'commit-then-reset' | '500-before-commit' | 'empty-200' | 'html-200' | 'null-200' | '401'

export interface TestFhirServer {
  readonly base: string
  readonly repository: CheckedRepository
  readonly seen: readonly SeenRequest[]
  /** Asked for every request; undefined answers as usual. */
  fault: (request: SeenRequest) => Fault | undefined
  /** Answers that were lost after the commit. */
  lost: number
  /** Requests that `refuse` judged to be none that it offers. */
  readonly refused: readonly string[]
  /** Why this server does not do what is asked, with the status; a persona sets it (persona.ts). */
  refuse: (request: SeenRequest) => { readonly status: number; readonly why: string } | undefined
  /** The token it insists on. */
  token: string | undefined
  /** Pages of this size with `next` links, which the router itself does not make. */
  pageSize: number | undefined
  /** Rewrites `next`, for pages that lead elsewhere. */
  next: (url: string) => string
  /** What it calls its own base in its links, as behind a proxy. */
  called: string
  /** As HAPI by default: a search that was asked a moment ago is answered as it was then, unless it is to be no-cache. */
  cachesSearches: boolean
  /** Raw answers by path, for what the router does not speak. */
  readonly raw: Map<string, { readonly type: string; readonly body: Uint8Array }>
  close(): Promise<void>
}

const SEARCH: Record<string, readonly string[]> = {
  Media: ['patient', 'subject', 'created', 'identifier'],
  DocumentReference: ['patient', 'type', 'date'],
  Observation: ['patient', 'code', 'date', 'identifier'],
  DiagnosticReport: ['patient', 'code', 'date', 'identifier'],
  Provenance: ['target', 'patient'],
  Device: ['identifier'],
  Patient: ['identifier'],
  Binary: ['_id'],
  Appointment: ['patient', 'date', '_count']
}

/** Everything but a GET and a batch of GETs. */
export function isWrite({ method, body }: SeenRequest): boolean {
  const asked = method === 'POST' && (body as Bundle | undefined)?.resourceType === 'Bundle' ? (body as Bundle).entry : undefined
  return method !== 'GET' && !asked?.every(({ request }) => request?.method === 'GET')
}

/** A statement of what a server offers; change it to play a vendor. */
export function everything(): CapabilityStatementRest {
  const interaction = (['read', 'create', 'update', 'search-type'] as const).map((code) => ({ code }))
  return {
    mode: 'server',
    interaction: [{ code: 'transaction' }, { code: 'batch' }],
    resource: Object.entries(SEARCH).map(([type, names]) => ({
      type: type as CapabilityStatementRestResource['type'], interaction: [...interaction], conditionalCreate: true, searchParam: names.map((name) => ({ name, type: 'token' as const }))
    }))
  }
}

/** A real FHIR R4 engine on loopback: @medplum's router over memory, which validates and rolls transactions back. */
export async function startFhirServer(rest: CapabilityStatementRest = everything()): Promise<TestFhirServer> {
  indexR4()
  const repository = new CheckedRepository()
  const router = new FhirRouter()
  const seen: SeenRequest[] = []
  const refused: string[] = []
  const cached = new Map<string, Resource>()
  const app = express().use(express.json({ type: () => true, limit: '50mb' }))
  const server = createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const self: TestFhirServer = {
    base: `${origin}/fhir`, repository, seen, refused, refuse: () => undefined, fault: () => undefined, lost: 0, token: undefined, pageSize: undefined, next: (url) => url,
    called: `${origin}/fhir`, cachesSearches: false, raw: new Map(), close: () => stop(server)
  }

  app.get('/fhir/metadata', (_request, response) => void response.json({
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1', format: ['json'], rest: [rest]
  }))
  app.use('/fhir', async (request, response) => {
    const url = new URL(request.originalUrl, origin)
    const path = url.pathname.slice('/fhir'.length) || '/'
    const one: SeenRequest = { method: request.method, path, query: url.search, headers: request.headers, body: request.body }
    seen.push(one)
    const refusal = self.refuse(one)
    if (refusal) {
      refused.push(`${one.method} ${one.path}${one.query}: ${refusal.why}`)
      return void response.status(refusal.status).json({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'not-supported', diagnostics: refusal.why }] })
    }
    const fault = self.fault(one)
    if (fault === '401' || (self.token !== undefined && request.headers.authorization !== `Bearer ${self.token}`))
      return void response.status(401).json({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'login' }] })
    if (fault === '500-before-commit') return void response.status(500).end()
    if (fault === 'empty-200') return void response.status(200).end()
    if (fault === 'html-200') return void response.status(200).type('html').send('<html>sign in</html>')
    if (fault === 'null-200') return void response.status(200).type('json').send('null')
    const raw = self.raw.get(path + url.search) ?? self.raw.get(path)
    if (raw) return void response.type(raw.type).send(Buffer.from(raw.body))
    if (request.method === 'PUT' && rest.resource?.some((type) => type.updateCreate && path.startsWith(`/${type.type}/`)))
      await repository.admit(request.body as Resource)
    const [outcome, resource] = await router.handleRequest({
      method: request.method as FhirRequest['method'], url: path + withoutPage(url), pathname: '', params: {}, query: {},
      body: request.body as unknown, headers: request.headers, config: { transactions: rest.interaction?.some(({ code }) => code === 'transaction') ?? false }
    }, repository)
    const status = getStatus(outcome)
    const isSearch = request.method === 'GET' && resource?.resourceType === 'Bundle'
    const stored = isSearch && self.cachesSearches && request.headers['cache-control'] !== 'no-cache' ? cached.get(request.originalUrl) : undefined
    if (isSearch) cached.set(request.originalUrl, stored ?? resource)
    if (fault?.startsWith('commit-then') && status < 400) {
      self.lost++
      return fault === 'commit-then-500' ? void response.status(500).end() : void request.socket.destroy()
    }
    if (status === 201 && resource) response.set('Location', `${self.base}/${resource.resourceType}/${resource.id}/_history/1`)
    response.status(status).type('application/fhir+json').json(paged(self, url, stored ?? resource) ?? outcome)
  })
  return self
}

function paged({ pageSize, next, called }: TestFhirServer, url: URL, resource: Resource | undefined): Resource | undefined {
  if (pageSize === undefined || resource?.resourceType !== 'Bundle' || resource.type !== 'searchset') return resource
  const page = Number(url.searchParams.get('_page') ?? 0)
  const entry = resource.entry ?? []
  const address = () => `${called}${url.pathname.slice('/fhir'.length)}${url.search}`
  const self: BundleLink = { relation: 'self', url: address() }
  url.searchParams.set('_page', String(page + 1))
  const more = entry.length > (page + 1) * pageSize
  return {
    ...resource,
    entry: entry.slice(page * pageSize, (page + 1) * pageSize),
    link: [self, ...(more ? [{ relation: 'next' as const, url: next(address()) }] : [])]
  }
}

function withoutPage(url: URL): string {
  const rest = new URLSearchParams([...url.searchParams].filter(([name]) => name !== '_page')).toString()
  return rest ? `?${rest}` : ''
}

class CheckedRepository extends MemoryRepository {
  /** At the end of every id that it gives: Epic's have some 70 characters where R4 allows 64. */
  idEnding = ''

  override async createResource<T extends Resource>(...[resource, ...rest]: Parameters<MemoryRepository['createResource']>) {
    validateResource(resource)
    if (this.idEnding === '') return super.createResource<T>(resource as T, ...rest)
    return super.createResource<T>({ ...resource as T, id: randomUUID() + this.idEnding }, { assignedId: true })
  }

  /** Update-as-create: the id is the client's. */
  async admit(resource: Resource): Promise<void> {
    const { resourceType, id = '' } = resource
    await this.readResource(resourceType, id).catch(() => super.createResource(resource, { assignedId: true }))
  }

  override async withTransaction<R>(callback: (repository: this) => Promise<R>): Promise<R> {
    const inner = this as unknown as { resources: unknown; history: unknown }
    const before = structuredClone({ resources: inner.resources, history: inner.history })
    try {
      return await callback(this)
    } catch (error) {
      Object.assign(inner, before)
      throw error
    }
  }
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
