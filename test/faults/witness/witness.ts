import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { FinalState, WitnessEvent } from '../history.ts'
import { batch, create, locationOf, onlyAsks, outcome, transaction, update, type Answer, type WriteRules } from './bundles.ts'
import { list, openFhirMemory, statementOf, text, type FhirMemory, type Resource } from './fhir-memory.ts'
import { notBefore, openModes, type Mode, type Rule } from './modes.ts'
import { capabilityStatement, knows, PROFILES, searchable, type ProfileName } from './profiles.ts'

export interface WitnessOptions {
  readonly profile?: ProfileName
  /** One JSON line per event is appended here; without it they stay in memory. */
  readonly historyFile?: string
  readonly indexLagMs?: number
  /** As long as a search does not find what was written, a read does not either. */
  readonly readsLate?: boolean
  /** What is written loses its identifiers. */
  readonly dropsIdentifiers?: boolean
  /** Check and insert of a conditional create are split by a yield. */
  readonly racy?: boolean
  /** So many requests are answered on one token; without it any token will do. */
  readonly requestsPerToken?: number
  readonly pageSize?: number
  /** A search that names several identifiers with commas between finds nothing. */
  readonly knowsNoOr?: boolean
}

export interface Witness {
  /** FHIR base. */
  readonly base: string
  readonly memory: FhirMemory
  readonly events: readonly WitnessEvent[]
  faults(rules: readonly Rule[]): void
  /** Faults that acted, by mode. */
  readonly acted: ReadonlyMap<string, number>
  /** Called with each request before it is acted upon; a driver kills or stops the product here. */
  onRequest: (method: string, path: string) => void | Promise<void>
  finalState(): FinalState
  close(): Promise<void>
}

/**
 * An R4 server in memory that writes down everything that was done to it, and that fails on command the way real ones do. It
 * shares nothing with the product and is small, because it is what the product is judged by.
 */
export async function startWitness({ profile: name = 'conditional', historyFile, indexLagMs = 0, readsLate = false, dropsIdentifiers = false, racy = false, requestsPerToken, pageSize = 100, knowsNoOr = false }: WitnessOptions = {}): Promise<Witness> {
  const profile = PROFILES[name]
  const memory = openFhirMemory(now)
  memory.indexLagMs = indexLagMs
  memory.readsLate = readsLate
  memory.dropsIdentifiers = dropsIdentifiers
  const modes = openModes()
  const events: WitnessEvent[] = []
  const acted = new Map<string, number>()
  const connections = new WeakMap<Socket, number>()
  const asking = new WeakSet<IncomingMessage>()
  let connected = 0
  let tokens = 0
  let usesOfToken = 0
  const rules: WriteRules = {
    memory, conditionalCreate: profile.conditionalCreate, updateCreate: profile.updateCreate, get: askedInside,
    ...(racy ? { betweenCheckAndInsert: () => sleep(5) } : {})
  }

  const canary = createServer((request, response) => {
    log(request, { decision: 'canary', status: 200, bytes: 2 })
    response.end('{}')
  })
  const server = createServer((request, response) => void answer(request, response).catch(() => request.socket.destroy()))
  server.on('connection', (socket) => connections.set(socket, ++connected))
  for (const one of [server, canary]) one.listen(0, '127.0.0.1')
  await Promise.all([server, canary].map((one) => once(one, 'listening')))
  const origin = addressOf(server)
  const base = `${origin}/fhir`

  const self: Witness = {
    base, memory, events, acted,
    faults: (wanted) => modes.set(wanted),
    onRequest: () => undefined,
    finalState: () => ({
      statements: memory.all().filter(({ resourceType }) => RESULT_TYPES.has(resourceType)).map(statementOf),
      photos: Object.fromEntries(memory.all().filter(({ resourceType }) => resourceType === 'Media')
        .map((one) => [`Media/${one.id}`, text(one['subject'], 'reference')]))
    }),
    close: async () => {
      await Promise.all([server, canary].map(stop))
    }
  }
  return self

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', origin)
    const path = url.pathname.replace(/^\/fhir/, '') || '/'
    const method = request.method ?? 'GET'
    const body = await bodyOf(request)
    // A bundle that only asks is a GET, whatever carries it.
    if (path === '/' && onlyAsks(parsed(body))) asking.add(request)
    const kind = asking.has(request) ? 'GET' : method
    await self.onRequest(kind, path)
    if (path === '/.well-known/smart-configuration') return sendJson(request, response, body, { token_endpoint: `${base}/token` })
    if (path === '/token') {
      usesOfToken = 0
      return sendJson(request, response, body, { access_token: `token-${++tokens}`, token_type: 'bearer', expires_in: 3600 })
    }
    const rule = modes.acting({ method: kind, path })
    if (rule) acted.set(rule.mode, (acted.get(rule.mode) ?? 0) + 1)
    if (requestsPerToken !== undefined && (request.headers.authorization !== `Bearer token-${tokens}` || ++usesOfToken > requestsPerToken))
      return send(request, response, body, { ...outcome(401, 'login'), ...(rule ? { rule } : {}) })
    if (rule && await before(rule, request, response, body)) return
    if (rule?.mode === 'commit-late') await sleep(rule.delayMs ?? 2_000)
    const done = await perform(method, path, url, request, body, rule?.mode)
    if (rule?.mode === 'commit-then-hang') {
      log(request, { body, commits: done.commits, decision: 'committed', status: null, bytes: 0, rule })
      await sleep(rule.delayMs ?? 2_000)
      return void request.socket.destroy()
    }
    if (rule) return after(rule, request, response, body, done)
    return send(request, response, body, done)
  }

  /** Faults instead of acting. True when it is answered. */
  async function before(rule: Rule, request: IncomingMessage, response: ServerResponse, body: string): Promise<boolean> {
    const { mode, retryAfter } = rule
    if (mode === 'drop-before-commit') {
      log(request, { body, decision: 'dropped', status: null, bytes: 0, rule })
      request.socket.destroy()
      return true
    }
    if (ofStatus(mode)) {
      await send(request, response, body, { ...outcome(Number(mode)), rule, ...(retryAfter ? { headers: { 'retry-after': retryAfter } } : {}) })
      return true
    }
    if (mode === 'redirect') {
      await send(request, response, body, { ...outcome(307), rule, headers: { location: `${addressOf(canary)}/fhir` } })
      return true
    }
    return false
  }

  /** Faults of the answer to what was done. */
  async function after(rule: Rule, request: IncomingMessage, response: ServerResponse, body: string, done: Answer): Promise<void> {
    const { mode } = rule
    const sent = (raw: string | Buffer, headers: Record<string, string> = {}, status = done.status) =>
      sendRaw(request, response, body, { commits: done.commits, status, raw, headers, rule })
    const json = JSON.stringify(done.body)
    const [, status] = /^commit-then-(\d+)$/.exec(mode) ?? []
    if (status) return sent('', {}, Number(status))
    if (mode === 'commit-then-reset') {
      log(request, { body, commits: done.commits, decision: 'committed', status: null, bytes: 0, rule })
      return void request.socket.destroy()
    }
    if (mode === 'truncated') return sent(json.slice(0, json.length / 2))
    if (mode === 'empty') return sent('')
    if (mode === 'null') return sent('null')
    if (mode === 'number') return sent('42')
    if (mode === 'html') return sent('<html><body>Please sign in</body></html>', { 'content-type': 'text/html' })
    if (mode === 'wrong-content-type') return sent(json, { 'content-type': 'application/fhir+xml' })
    if (ofOneAnswer(mode)) return sent(JSON.stringify(altered(mode, done.body)))
    if (mode === 'gzip-bomb') return sent(gzipSync(Buffer.alloc(200_000_000)), { 'content-encoding': 'gzip' })
    if (mode === 'reordered') return sent(JSON.stringify({ ...done.body, entry: [...list(done.body['entry'])].reverse() }))
    if (mode === 'next-missing') return sent(JSON.stringify({ ...done.body, link: [] }))
    if (mode === 'next-self') return sent(JSON.stringify({ ...done.body, link: [{ relation: 'next', url: `${origin}${request.url ?? ''}` }] }))
    if (mode === 'next-elsewhere') return sent(JSON.stringify({ ...done.body, link: [{ relation: 'next', url: `${addressOf(canary)}/fhir/Media?page=2` }] }))
    if (mode === 'slow-bytes') {
      log(request, { body, commits: done.commits, decision: done.commits.length > 0 ? 'committed' : 'answered', status: done.status, bytes: 0, rule })
      response.writeHead(done.status, { 'content-type': 'application/fhir+json' })
      for (const byte of json) {
        if (response.destroyed) return
        response.write(byte)
        await sleep(1_000)
      }
      return void response.end()
    }
    return send(request, response, body, { ...done, rule })
  }

  async function perform(method: string, path: string, url: URL, request: IncomingMessage, body: string, mode?: string): Promise<Answer> {
    const [, type = '', id] = path.split('/')
    if (method === 'GET' && type === 'metadata') return found(capabilityStatement(profile) as Resource)
    if (path === '/' && method === 'POST') return performBundle(body, mode)
    if (!knows(type)) return outcome(404, 'not-found')
    if (method === 'GET') return get(path, url)
    const resource = parsed(body)
    if (!resource) return outcome(400, 'structure')
    if (mode === 'entry-422') return outcome(422)
    if (method === 'POST' && !id) return create(rules, resource, header(request, 'if-none-exist'))
    if (method === 'PUT' && id) return update(rules, type, id, resource, header(request, 'if-match'))
    return outcome(405, 'not-supported')
  }

  function get(path: string, url: URL): Answer {
    const [, type = '', id, history, version] = path.split('/')
    if (!id) return search(type, url)
    if (history === '_history' && !version) return found(searchset(memory.history(type, id)))
    const resource = memory.read(type, id, version ? Number(version) : undefined)
    return resource ? found(resource) : outcome(404, 'not-found')
  }

  /** Rules for GETs act on those inside a bundle as well, as far as one answer of several can be wrong by itself. */
  function askedInside(address: string): Answer {
    const url = new URL(`${base}/${address}`)
    const path = url.pathname.replace(/^\/fhir/, '')
    const rule = modes.acting({ method: 'GET', path }, ofOneAnswer)
    if (rule) acted.set(rule.mode, (acted.get(rule.mode) ?? 0) + 1)
    const answer = rule && ofStatus(rule.mode) ? outcome(Number(rule.mode)) : knows(path.split('/')[1] ?? '') ? get(path, url) : outcome(404, 'not-found')
    return { ...answer, body: rule ? altered(rule.mode, answer.body) : answer.body, asked: true }
  }

  function performBundle(body: string, mode?: string): Answer | Promise<Answer> {
    const bundle = parsed(body)
    if (!bundle) return outcome(400, 'structure')
    const refuse = mode === 'entry-422' || mode === 'batch-answer' ? Math.min(5, list(bundle['entry']).length - 1) : undefined
    const kind = text(bundle, 'type')
    if (!(profile.system as readonly string[]).includes(kind)) return outcome(400, 'not-supported')
    return kind === 'transaction' && mode !== 'batch-answer' ? transaction(rules, bundle, refuse) : batch(rules, bundle, refuse)
  }

  function search(type: string, url: URL): Answer {
    const unknown = [...url.searchParams.keys()].filter((one) => !one.startsWith('_') && !searchable(profile, type).includes(one))
    if (unknown.length > 0) return outcome(400, 'not-supported')
    const all = knowsNoOr && url.searchParams.get('identifier')?.includes(',') ? [] : memory.search(type, url.searchParams)
    const size = Math.min(pageSize, Number(url.searchParams.get('_count') ?? pageSize))
    const page = Number(url.searchParams.get('_page') ?? 0)
    const next = new URL(url)
    next.searchParams.set('_page', String(page + 1))
    const more = all.length > (page + 1) * size
    return found({ ...searchset(all.slice(page * size, (page + 1) * size)), total: all.length, ...(more ? { link: [{ relation: 'next', url: next.href }] } : {}) })
  }

  interface Sending extends Answer { readonly rule?: Rule; readonly headers?: Readonly<Record<string, string>> }

  function send(request: IncomingMessage, response: ServerResponse, sent: string, { body, status, commits, location, rule, headers = {} }: Sending): Promise<void> {
    const image = body.resourceType === 'Binary' && /image/.test(request.headers.accept ?? '')
    return sendRaw(request, response, sent, {
      commits, status, ...(rule ? { rule } : {}),
      raw: image ? Buffer.from(text(body, 'data'), 'base64') : JSON.stringify(body),
      headers: {
        'content-type': image ? text(body, 'contentType') : 'application/fhir+json',
        ...(location && request.method !== 'GET' ? { location: `${base}/${location}` } : {}), ...headers
      }
    })
  }

  function sendRaw(
    request: IncomingMessage, response: ServerResponse, sent: string,
    { commits, status, raw, headers, rule }: { commits: readonly Resource[]; status: number; raw: string | Buffer; headers: Record<string, string>; rule?: Rule }
  ): Promise<void> {
    const decision = commits.length > 0 ? 'committed' : status >= 300 ? 'refused' : 'answered'
    log(request, { body: sent, commits, decision, status, bytes: Buffer.byteLength(raw), ...(rule ? { rule } : {}) })
    response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers })
    response.end(raw)
    return Promise.resolve()
  }

  function sendJson(request: IncomingMessage, response: ServerResponse, sent: string, value: object): Promise<void> {
    return sendRaw(request, response, sent, { commits: [], status: 200, raw: JSON.stringify(value), headers: { 'content-type': 'application/json' } })
  }

  function log(
    request: IncomingMessage,
    { body = '', commits = [], decision, status, bytes, rule }: Pick<WitnessEvent, 'decision' | 'status' | 'bytes'> & { body?: string; commits?: readonly Resource[]; rule?: Rule }
  ): void {
    const url = new URL(request.url ?? '/', 'http://witness')
    const until = status === 429 || status === 503 ? notBefore(rule?.retryAfter, now()) : undefined
    const event: WitnessEvent = {
      seq: events.length + 1, ms: now(), connection: connections.get(request.socket) ?? 0, method: request.method ?? '',
      path: url.pathname.replace(/^\/fhir/, '') || '/', ...(asking.has(request) ? { asks: true } : {}), query: url.search,
      ...optional('ifNoneExist', header(request, 'if-none-exist')), ...optional('ifMatch', header(request, 'if-match')),
      ...(body ? { bodySha256: createHash('sha256').update(body).digest('hex') } : {}),
      decision, status, ...(rule ? { mode: rule.mode } : {}), ...(until === undefined ? {} : { notBefore: until }),
      commits: commits.map(statementOf), bytes
    }
    events.push(event)
    if (historyFile) appendFileSync(historyFile, `${JSON.stringify(event)}\n`)
  }
}

const RESULT_TYPES = new Set(['Observation', 'DiagnosticReport', 'Provenance', 'Device'])

/** Milliseconds since the epoch, by a clock that never goes back. */
export function now(): number {
  return performance.timeOrigin + performance.now()
}

function found(body: Resource): Answer {
  return { status: 200, body, commits: [] }
}

function searchset(resources: readonly Resource[]): Resource {
  return { resourceType: 'Bundle', type: 'searchset', entry: resources.map((resource) => ({ fullUrl: locationOf(resource), resource, search: { mode: 'match' } })) }
}

function ofStatus(mode: Mode): boolean {
  return /^[45]\d\d$/.test(mode)
}

/** What can be wrong with one answer of several. */
function ofOneAnswer(mode: Mode): boolean {
  return ofStatus(mode) || mode === 'wrong-type' || mode === 'wrong-id' || mode === 'wrong-subject' || mode === 'no-entries'
}

function altered(mode: Mode, body: Resource): Resource {
  if (mode === 'wrong-type') return { resourceType: 'Basic', id: 'x' }
  if (mode === 'wrong-id') return { ...body, id: 'another' }
  // As of a replica that has not heard of anything yet.
  if (mode === 'no-entries') return body.resourceType === 'Bundle' ? { resourceType: 'Bundle', type: 'searchset', total: 0 } : body
  return mode === 'wrong-subject' ? withSubject(body, 'Patient/somebody-else') : body
}

function withSubject(body: Resource, reference: string): Resource {
  const entry = list(body['entry']).map((one) => ({ ...(one as object), resource: { ...((one as { resource?: object }).resource), subject: { reference } } }))
  return body.resourceType === 'Bundle' ? { ...body, entry } : { ...body, subject: { reference } }
}

function parsed(body: string): Resource | undefined {
  try {
    const value = JSON.parse(body) as unknown
    return text(value, 'resourceType') ? value as Resource : undefined
  } catch {
    return undefined
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' ? value : undefined
}

function optional<Name extends string>(name: Name, value: string | undefined): Partial<Record<Name, string>> {
  return value === undefined ? {} : { [name]: value } as Record<Name, string>
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
