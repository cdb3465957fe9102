import './sandbox.ts'
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { FhirResource } from 'fhir/r4.js'
import { createRemoteJWKSet, importJWK, jwtVerify, SignJWT } from 'jose'
import type { SigningKey } from '../../src/config.ts'
import { startDemoEhr, type DemoEhr } from '../../demo/ehr.ts'

export interface Registered {
  readonly clientId: string
  readonly key: SigningKey
  readonly scope: string
}

/** What a service under test saw: body and verified claims. */
export interface SeenCall {
  readonly path: string
  readonly body: Record<string, unknown>
  readonly claims: Record<string, unknown>
}

/** A CDS service of a few lines that checks every JWT as CDS Hooks asks and answers the cards it is given. */
export interface SmallCdsService {
  readonly url: string
  readonly seen: SeenCall[]
  cards: readonly object[]
  feedbackStatus: number
  /** Set once the EHR is up: whose keys sign the calls. */
  trusts: { readonly issuer: string; readonly jku: string } | undefined
  close(): Promise<void>
}

export const SERVICES = [
  {
    id: 'small', hook: 'patient-view', title: 'Small', description: 'For the tests',
    prefetch: {
      patient: 'Patient/{{context.patientId}}',
      photos: 'Media?patient={{context.patientId}}',
      clinician: 'Practitioner/{{userPractitionerId}}',
      never: 'Observation?subject={{context.nothing}}',
      missing: 'Patient/nobody-{{context.patientId}}'
    }
  },
  { id: 'small-order', hook: 'order-select', description: 'For the tests' },
  { id: 'small-booking', hook: 'appointment-book', description: 'For the tests' },
  { id: 'small-other', hook: 'no-hook-of-ours', description: 'For the tests' }
]

export async function startSmallCdsService(): Promise<SmallCdsService> {
  const app = express()
  const server = createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const self: SmallCdsService = {
    url, seen: [], cards: [], feedbackStatus: 200, trusts: undefined,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
  const used = new Set<unknown>()
  app.use(async (request, response, next) => {
    const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
    const { issuer = '', jku = '' } = self.trusts ?? {}
    const verified = await jwtVerify(token, createRemoteJWKSet(new URL(jku)), {
      issuer, audience: `${url}${request.path}`, typ: 'JWT', algorithms: ['ES384', 'RS384'], requiredClaims: ['exp', 'iat', 'jti'], maxTokenAge: '5m'
    }).catch(() => undefined)
    if (!verified || used.has(verified.payload.jti) || verified.protectedHeader['jku'] !== jku) return void response.status(401).end()
    used.add(verified.payload.jti)
    response.locals['claims'] = verified.payload
    next()
  }, express.json({ limit: '2mb' }))
  app.get('/cds-services', (_request, response) => void response.json({ services: SERVICES }))
  const note = (request: express.Request, response: express.Response) =>
    void self.seen.push({ path: request.path, body: request.body as Record<string, unknown>, claims: response.locals['claims'] as Record<string, unknown> })
  app.post('/cds-services/:id', (request, response) => {
    note(request, response)
    response.json({ cards: self.cards })
  })
  app.post('/cds-services/:id/feedback', (request, response) => {
    note(request, response)
    response.status(self.feedbackStatus).end()
  })
  return self
}

export interface DemoSite {
  readonly ehr: DemoEhr
  readonly service: SmallCdsService
  readonly backend: Registered
  readonly app: Registered
  get(path: string, token?: string, headers?: Record<string, string>): Promise<Response>
  post(path: string, body: unknown, token?: string): Promise<Response>
  /** The token endpoint, with the client's signed assertion. */
  token(client: Registered, form: Record<string, string>, change?: { key?: SigningKey; audience?: string }): Promise<{ status: number; body: Record<string, unknown> }>
  backendToken(scope?: string): Promise<string>
  close(): Promise<void>
}

export async function startDemoSite(): Promise<DemoSite> {
  const service = await startSmallCdsService()
  const ehr = await startDemoEhr({ port: 0, host: '127.0.0.1', jointlensUrl: service.url })
  service.trusts = ehr.tenant.cdsClients?.[0] as SmallCdsService['trusts']
  const [backend, app] = [ehr.tenant.backend as Registered, ehr.tenant.smart as Registered]
  const authorization = (token: string | undefined) => token === undefined ? {} : { authorization: `Bearer ${token}` }
  const site: DemoSite = {
    ehr, service, backend, app,
    get: (path, token, headers = {}) => fetch(ehr.url + path, { headers: { ...headers, ...authorization(token) }, redirect: 'manual' }),
    post: (path, body, token) => fetch(ehr.url + path, {
      method: 'POST', headers: { 'content-type': path.startsWith('/fhir') ? 'application/fhir+json' : 'application/json', ...authorization(token) }, body: JSON.stringify(body)
    }),
    async token(client, form, { key = client.key, audience = `${ehr.url}/auth/token` } = {}) {
      const assertion = await new SignJWT({})
        .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
        .setIssuer(client.clientId).setSubject(client.clientId).setAudience(audience).setJti(randomUUID()).setIssuedAt().setExpirationTime('4m')
        .sign(await importJWK(key, key.alg))
      const response = await fetch(`${ehr.url}/auth/token`, {
        method: 'POST',
        body: new URLSearchParams({ ...form, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: assertion })
      })
      return { status: response.status, body: await response.json() as Record<string, unknown> }
    },
    async backendToken(scope = backend.scope) {
      const { body } = await site.token(backend, { grant_type: 'client_credentials', scope })
      return String(body['access_token'])
    },
    async close() {
      await ehr.close()
      await service.close()
    }
  }
  return site
}

/** A browser's part in a launch: cookies kept, redirects followed until they leave the EHR. */
export function openBrowser(ehrUrl: string) {
  const jar = new Map<string, string>()
  async function request(url: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') } })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      jar.set(name, value)
    }
    return response
  }
  return {
    /** The page where it ends, or the address outside the EHR that it leads to. */
    async go(url: string, init: RequestInit = {}): Promise<{ page?: string; url: string; status: number }> {
      for (let [next, first] = [url, init] as const, hops = 0; hops < 10; hops++) {
        if (!next.startsWith(ehrUrl)) return { url: next, status: 302 }
        const response = await request(next, first)
        const location = response.headers.get('location')
        if (location === null) return { page: await response.text(), url: next, status: response.status }
        await response.arrayBuffer()
        next = new URL(location, next).href
        first = {}
      }
      throw new Error('Too many redirects')
    }
  }
}

export const VERIFIER = 'a-code-verifier-of-more-than-forty-three-characters'

export function authorizeUrl(site: DemoSite, change: Record<string, string | undefined> = {}): string {
  const parameters: Record<string, string | undefined> = {
    response_type: 'code', client_id: site.app.clientId, redirect_uri: `${site.service.url}/smart/callback`, scope: site.app.scope, state: 'the-state',
    nonce: 'the-nonce', aud: site.ehr.tenant.fhirBase, code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'), code_challenge_method: 'S256', ...change
  }
  const url = new URL(`${site.ehr.url}/auth/auth`)
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value)
  return url.href
}

export function redeem(site: DemoSite, callback: string, verifier = VERIFIER) {
  return site.token(site.app, {
    grant_type: 'authorization_code', code: new URL(callback).searchParams.get('code') ?? '', redirect_uri: `${site.service.url}/smart/callback`, code_verifier: verifier
  })
}

export async function fhirJson<T = FhirResource>(response: Response): Promise<T> {
  return await response.json() as T
}
