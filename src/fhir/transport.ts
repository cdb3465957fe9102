import { Client, type FhirResource, type RequestOptions } from 'fhir-kit-client'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import type { TokenSource } from './backend-auth.ts'
import { isBelow, type Egress, type EgressResponse } from './egress.ts'
import { heed, refuseEarly, retryAtOf } from './retry-after.ts'
import { parseJson } from './smart-configuration.ts'

/** Most of a FHIR answer that we read; Media may carry a photo inline. */
const MAX_FHIR_BYTES = 48_000_000
/** HAPI gives a search of the last minute the same answer again unless it is asked so, and what was just written would not be seen. */
const FRESH = { 'cache-control': 'no-cache' }

export interface TransportOptions {
  readonly tenant: TenantConfig
  readonly egress: Egress
  readonly tokens: TokenSource
  readonly signal?: AbortSignal
  /** Called immediately before anything that may change the record is sent; what it throws keeps it from being sent. */
  readonly beforeWrite?: () => void
  /** False where whoever writes asks the record first, also after a 401: a create is then not repeated with a new token by itself. */
  readonly repeatCreates?: boolean
}

export interface Transport {
  /** Builds paths, queries and bodies; every request it makes goes through `send`. */
  readonly client: Client
  /** One request below the FHIR base with our token, repeated once after a 401: with another token; with the same one where it is the only one and nothing is changed. */
  readonly send: (method: string, url: string, options?: SendOptions) => Promise<EgressResponse>
  /** The HTTP answer that a result of `client` came with. */
  readonly answerTo: (result: object) => EgressResponse | undefined
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly maxBytes?: number
  /** Code of the error for an answer larger than that. */
  readonly tooLarge?: ErrorCode
  /** The answer is JSON: a large one is parsed aside. */
  readonly json?: boolean
  /** A POST that changes nothing, as a batch of questions: it is treated as the GETs that it stands for. */
  readonly asks?: boolean
}

/** What `client` hands on with a request. */
export type ClientOptions = RequestOptions & Pick<SendOptions, 'tooLarge' | 'asks'>

/**
 * fhir-kit-client with its transport replaced. Its own one sends the token to foreign `next` links, follows redirects and
 * reads answers of any size, and Node's fetch honours no dispatcher of another undici (specs/packages.md section 2), so
 * its request function is ours: guarded egress, checked before the token is attached, and errors that carry no address.
 */
export function openTransport({ tenant, egress, tokens, signal, beforeWrite, repeatCreates = true }: TransportOptions): Transport {
  const client = new Client({ baseUrl: tenant.fhirBase })
  const answers = new WeakMap<object, EgressResponse>()

  async function send(method: string, url: string, { headers = {}, body, maxBytes, tooLarge, json = false, asks = method === 'GET' }: SendOptions = {}): Promise<EgressResponse> {
    if (!URL.canParse(url) || !isBelow(new URL(url), tenant.fhirBase))
      throw new ScreeningError('ERR_EGRESS_REFUSED', 'Expected an address below the FHIR base')
    const once = async (token: string) => {
      refuseEarly(egress)
      if (!asks) beforeWrite?.()
      const request = egress.fetch(url, {
        method,
        purpose: 'fhir',
        headers: { accept: 'application/fhir+json', ...(asks ? FRESH : {}), ...headers, authorization: `Bearer ${token}` },
        maxBytes: maxBytes ?? MAX_FHIR_BYTES,
        ...(tooLarge ? { tooLarge } : {}),
        json,
        ...(body === undefined ? {} : { body }),
        ...(signal ? { signal } : {})
      })
      const answer = await (asks ? request : asWrite(request))
      heed(egress, answer)
      return answer
    }
    refuseEarly(egress)
    const token = await tokens.token()
    const first = await once(token)
    if (first.status !== 401) return first
    tokens.invalidate(token)
    if (method === 'POST' && !asks && !repeatCreates) return first
    const renewed = await tokens.token()
    if (renewed !== token) return once(renewed)
    return tokens.isOnly && asks ? askOnceMore(once, token) : first
  }

  /** A gateway may have refused it in passing; where it is refused again its source says that this was the end. */
  async function askOnceMore(once: (token: string) => Promise<EgressResponse>, token: string): Promise<EgressResponse> {
    const second = await once(token)
    if (second.status !== 401) return second
    tokens.invalidate(token)
    await tokens.token()
    return second
  }

  client.httpClient.request = async (method: string, requestUrl: string, options: ClientOptions = {}, body?: unknown) => {
    const url = requestUrl.startsWith('http') ? requestUrl : `${tenant.fhirBase}/${requestUrl.replace(/^\/+/, '')}`
    const response = await send(method, url === `${tenant.fhirBase}/` ? tenant.fhirBase : url, {
      headers: lowerCased(options.headers),
      json: true,
      ...(options.tooLarge ? { tooLarge: options.tooLarge } : {}),
      ...(options.asks ? { asks: true } : {}),
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) })
    })
    const asked = options.asks ? 'GET' : method
    refuseStatus(asked, response)
    const empty = !response.parsed && response.body.byteLength === 0 && asked !== 'GET'
    const result = response.parsed ? response.parsed.value : parseJson(response.body)
    const value = empty ? {} : result
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notFhir(asked)
    answers.set(value, response)
    return value as FhirResource
  }

  return { client, send, answerTo: (result) => answers.get(result) }
}

/** A write whose connection broke after it was sent may have happened. */
async function asWrite(answer: Promise<EgressResponse>): Promise<EgressResponse> {
  try {
    return await answer
  } catch (cause) {
    const broken = cause instanceof ScreeningError && (cause.code === 'ERR_EHR_UNREACHABLE' || cause.code === 'ERR_EHR_ANSWER')
    if (!broken || /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT/.test(cause.message)) throw cause
    throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected the outcome of a write but the connection broke', { cause })
  }
}

/** HTTP status → our code. 5xx to a write is no outcome: the server may have committed before it failed. */
export function refuseStatus(method: string, response: Pick<EgressResponse, 'status' | 'headers'>): void {
  const { status } = response
  if (status >= 200 && status < 300) return
  const heard = `the FHIR server answered ${status}`
  const asked = { retryAt: retryAtOf(response) }
  if (status === 401 || status === 403) throw new ScreeningError('ERR_EHR_UNAUTHORIZED', `Expected access but ${heard}`, { answered: status })
  if (status === 404 || status === 410) throw new ScreeningError('ERR_NOT_FOUND', `Expected a resource but ${heard}`, { answered: status })
  if (status === 409 || status === 412) throw new ScreeningError('ERR_CONFLICT', `Expected no conflict but ${heard}`)
  if (status === 429) throw new ScreeningError('ERR_EHR_UNREACHABLE', `Expected an answer now but ${heard}`, asked)
  const refused = new ScreeningError('ERR_EHR_REFUSED', `Expected the request to be accepted but ${heard}`, { answered: status })
  if (status === 501) throw refused
  const unknown = status >= 500 || lostPatience(status)
  if (unknown && method !== 'GET') throw new ScreeningError('ERR_WRITE_AMBIGUOUS', `Expected the outcome of a write but ${heard}`, asked)
  if (unknown) throw new ScreeningError('ERR_EHR_UNREACHABLE', `Expected an answer but ${heard}`, asked)
  throw refused
}

/** A gateway that lost its patience does not know what became of a write. */
export function lostPatience(status: number): boolean {
  return [408, 425, 499].includes(status)
}

/** The server has no such way to write at all, whatever its /metadata lists: nothing was done. */
export function isNotOffered(error: unknown): boolean {
  return isScreeningError(error) && error.code === 'ERR_EHR_REFUSED' && [404, 405, 410, 501].includes(error.answered ?? 0)
}

/** 401 may tell of a token that was taken back a moment ago: what it refused is asked again when something else has been answered. */
export function isOfToken({ answered }: ScreeningError): boolean {
  return answered === 401
}

function notFhir(method: string): ScreeningError {
  return method === 'GET'
    ? new ScreeningError('ERR_EHR_ANSWER', 'Expected FHIR JSON but received something else')
    : new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected the outcome of a write as FHIR JSON but received something else')
}

function lowerCased(headers: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {})
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => name !== 'authorization'))
}
