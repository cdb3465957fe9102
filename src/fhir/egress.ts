import { lookup } from 'node:dns'
import { BlockList, isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import { Agent, fetch } from 'undici'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { LARGE_BYTES, parseAside } from './large-json.ts'
import { untilAborted } from './until-aborted.ts'

/** What an outgoing request is for; each purpose has its own list of exact origins. */
export type EgressPurpose = 'fhir' | 'token' | 'keys' | 'smart-configuration' | 'photo' | 'bulk'

export interface EgressRules {
  /** Exact origins (scheme, host, port) by purpose. */
  readonly origins: Readonly<Partial<Record<EgressPurpose, readonly string[]>>>
  /** Requests for `fhir` and `smart-configuration` stay at or below this address. */
  readonly fhirBase: string
  readonly allowHttp: boolean
  readonly allowPrivateNetwork: boolean
}

export interface EgressRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly purpose: EgressPurpose
  /** Bytes of the decompressed answer. */
  readonly maxBytes?: number
  /** From the call to the last byte. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Code of the error for an answer larger than maxBytes. */
  readonly tooLarge?: ErrorCode
  /** The answer is JSON: a large one is parsed aside while it arrives. */
  readonly json?: boolean
}

export interface EgressResponse {
  readonly status: number
  readonly headers: Headers
  /** Empty when it was parsed aside. */
  readonly body: Uint8Array
  /** What a large answer to a request for JSON holds; undefined inside when it is no JSON. */
  readonly parsed?: { readonly value: unknown }
  readonly url: string
}

/** An answer too large to be held: its bytes as they arrive. Whoever takes it reads it to its end or breaks off. */
export interface EgressStream {
  readonly status: number
  readonly headers: Headers
  readonly chunks: AsyncIterable<Uint8Array>
}

export interface Egress {
  /** Throws ERR_EGRESS_REFUSED before anything is sent, ERR_EHR_UNREACHABLE for time-outs and network faults. */
  fetch(url: string, request: EgressRequest): Promise<EgressResponse>
  /** The same for a file of any size: `maxBytes` over all of it, `timeoutMs` from one chunk to the next. Its chunks throw like `fetch`. */
  stream(url: string, request: EgressRequest): Promise<EgressStream>
  /** This egress with one more origin, for an endpoint that the tenant's own SMART configuration names. Same sockets. */
  alsoTo(purpose: EgressPurpose, url: string): Egress
  close(): Promise<void>
}

export const CONNECT_TIMEOUT_MS = 2_000
export const TOTAL_TIMEOUT_MS = 10_000
const MAX_BYTES = 1_000_000

/**
 * The one door for outgoing requests (specs/security.md section 2). The address is compared by exact origin after
 * normalisation; the host is resolved, each address checked, and the socket opened to a checked address; redirects end the
 * request; the answer is counted while it arrives.
 */
export function openEgress(rules: EgressRules): Egress {
  const agent = new Agent({
    allowH2: false,
    connections: 16,
    connect: { timeout: CONNECT_TIMEOUT_MS, lookup: checkedLookup(rules.allowPrivateNetwork) }
  })
  return withRules(rules, agent)
}

/** Egress for one EHR: its FHIR origin, and the photo and key origins it is configured with. */
export function egressForTenant(
  tenant: TenantConfig, extraOrigins: Readonly<Partial<Record<EgressPurpose, readonly string[]>>> = {}
): Egress {
  const fhir = originOf(tenant.fhirBase)
  const own: Record<EgressPurpose, readonly string[]> = {
    fhir: [fhir],
    'smart-configuration': [fhir],
    token: [fhir],
    keys: [fhir, ...tenant.photoOrigins, ...tenant.cdsClients.flatMap(({ jku }) => (jku ? [jku] : []))],
    photo: tenant.photoOrigins,
    bulk: [fhir]
  }
  const origins = Object.fromEntries(Object.entries(own).map(([purpose, listed]) =>
    [purpose, [...listed, ...(extraOrigins[purpose as EgressPurpose] ?? [])].map(originOf)]))
  return openEgress({
    origins, fhirBase: tenant.fhirBase, allowHttp: tenant.allowHttp, allowPrivateNetwork: tenant.allowPrivateNetwork
  })
}

function withRules(rules: EgressRules, agent: Agent): Egress {
  return {
    async fetch(address, request) {
      const url = checkedUrl(address, request, rules)
      return send(url, request, agent)
    },
    stream: async (address, request) => openStream(checkedUrl(address, request, rules), request, agent),
    alsoTo(purpose, url) {
      const listed = rules.origins[purpose] ?? []
      return withRules({ ...rules, origins: { ...rules.origins, [purpose]: [...listed, originOf(url)] } }, agent)
    },
    close: () => agent.destroy()
  }
}

function checkedUrl(address: string, request: EgressRequest, rules: EgressRules): URL {
  if (/[\s\p{Cc}\\]/u.test(address)) throw refused('an address without spaces, control characters or backslashes')
  if (!URL.canParse(address)) throw refused('a complete address')
  const url = new URL(address)
  if (url.protocol !== 'https:' && !(rules.allowHttp && url.protocol === 'http:')) throw refused('https')
  if (url.username || url.password || address.includes('#')) throw refused('an address without user name and fragment')
  if (!(rules.origins[request.purpose] ?? []).includes(url.origin)) throw refused(`an origin listed for ${request.purpose}`)
  if (request.purpose === 'fhir' || request.purpose === 'smart-configuration') {
    if (!isBelow(url, rules.fhirBase)) throw refused('an address below the FHIR base')
  } else if (request.purpose !== 'bulk' && Object.keys(request.headers ?? {}).some((name) => name.toLowerCase() === 'authorization')) {
    throw refused('no token except for the FHIR server')
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host)) checkAddress(host, rules.allowPrivateNetwork)
  return url
}

/** True for the base itself and what lies below it. `%2e` is already normalised by URL; encoded slashes have no place in a FHIR path. */
export function isBelow(url: URL, base: string): boolean {
  const root = new URL(base.endsWith('/') ? base : `${base}/`)
  return url.origin === root.origin && `${url.pathname}/`.startsWith(root.pathname) && !/%(2f|5c|00)/i.test(url.pathname)
}

interface FetchedResponse {
  readonly headers: { get(name: string): string | null }
  readonly body: AsyncIterable<Uint8Array> | null
}

async function send(url: URL, request: EgressRequest, agent: Agent): Promise<EgressResponse> {
  const timeout = AbortSignal.timeout(request.timeoutMs ?? TOTAL_TIMEOUT_MS)
  const signal = request.signal ? AbortSignal.any([timeout, request.signal]) : timeout
  try {
    const response = await fetch(url, {
      method: request.method ?? 'GET',
      headers: { ...request.headers },
      redirect: 'manual',
      dispatcher: agent,
      signal,
      ...(request.body === undefined ? {} : { body: request.body })
    })
    if (response.status >= 300 && response.status < 400 && response.status !== 304) {
      await response.body?.cancel()
      throw refused('an answer without redirect')
    }
    const read = await readCapped(response, request, signal)
    return { status: response.status, headers: new Headers([...response.headers]), ...read, url: url.href }
  } catch (cause) {
    throw coded(cause, request.signal)
  }
}

async function openStream(url: URL, request: EgressRequest, agent: Agent): Promise<EgressStream> {
  const idle = new AbortController()
  const alive = () => setTimeout(() => { idle.abort(new DOMException('idle', 'TimeoutError')) }, request.timeoutMs ?? TOTAL_TIMEOUT_MS)
  let timer = alive()
  try {
    const signal = request.signal ? AbortSignal.any([idle.signal, request.signal]) : idle.signal
    const response = await fetch(url, { method: request.method ?? 'GET', headers: { ...request.headers }, redirect: 'manual', dispatcher: agent, signal })
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel()
      throw refused('an answer without redirect')
    }
    async function* chunks(): AsyncGenerator<Uint8Array> {
      let size = 0
      try {
        for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
          clearTimeout(timer)
          size += chunk.byteLength
          if (size > (request.maxBytes ?? MAX_BYTES)) throw new ScreeningError(request.tooLarge ?? 'ERR_EHR_ANSWER', `Expected at most ${request.maxBytes ?? MAX_BYTES} bytes but received more`)
          yield chunk
          timer = alive()
        }
      } catch (cause) {
        throw coded(cause, request.signal)
      } finally {
        clearTimeout(timer)
      }
    }
    return { status: response.status, headers: new Headers([...response.headers]), chunks: chunks() }
  } catch (cause) {
    clearTimeout(timer)
    throw coded(cause, request.signal)
  }
}

/** Copied as it arrives, into room for what is announced: a photo of many megabytes is never moved in one go. Large JSON goes aside. */
async function readCapped(response: FetchedResponse, { maxBytes = MAX_BYTES, tooLarge = 'ERR_EHR_ANSWER', json = false }: EgressRequest, signal: AbortSignal): Promise<Pick<EgressResponse, 'body' | 'parsed'>> {
  const announced = announcedBytes(response.headers)
  let aside = json && announced !== undefined && announced >= LARGE_BYTES ? parseAside() : undefined
  let held = aside ? Buffer.alloc(0) : Buffer.allocUnsafe(Math.min(maxBytes, announced ?? ROOM_BYTES))
  let size = 0
  try {
    for await (const chunk of response.body ?? []) {
      const needed = size + chunk.byteLength
      if (needed > maxBytes) throw new ScreeningError(tooLarge, `Expected an answer of at most ${maxBytes} bytes but received more`)
      if (json && !aside && needed >= LARGE_BYTES) {
        aside = parseAside()
        aside.add(held.subarray(0, size))
      }
      size = needed
      if (aside) aside.add(chunk)
      else {
        if (needed > held.byteLength) held = enlarged(held, Math.min(maxBytes, Math.max(needed, 2 * held.byteLength)))
        held.set(chunk, needed - chunk.byteLength)
      }
    }
    return aside ? { body: held.subarray(0, 0), parsed: { value: await untilAborted(aside.value(), signal) } } : { body: held.subarray(0, size) }
  } catch (error) {
    aside?.drop()
    throw error
  }
}

const ROOM_BYTES = 64 * 1024

/** Of what is sent packed, the size is not known. */
function announcedBytes(headers: FetchedResponse['headers']): number | undefined {
  const announced = Number(headers.get('content-length') ?? Number.NaN)
  return headers.get('content-encoding') === null && Number.isSafeInteger(announced) && announced >= 0 ? announced : undefined
}

function enlarged(held: Buffer, bytes: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafe(bytes)
  held.copy(larger)
  return larger
}

/** Resolves, refuses the name when any of its addresses is forbidden, and hands the socket only what was checked. */
function checkedLookup(allowPrivateNetwork: boolean): LookupFunction {
  return (hostname, options, done) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return done(error, [])
      try {
        for (const { address } of addresses) checkAddress(address, allowPrivateNetwork)
      } catch (refusal) {
        return done(refusal as NodeJS.ErrnoException, [])
      }
      const [first] = addresses
      if (options.all) return done(null, addresses)
      done(null, first?.address ?? '', first?.family)
    })
  }
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [network = '', prefix = ''] = range.split('/')
    list.addSubnet(network, Number(prefix), isIP(network) === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

/** Link-local (cloud metadata), unspecified, multicast, reserved, and translations that hide an IPv4 address: no EHR lives there. */
const never = blockList([
  '0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4',
  '::/128', 'fe80::/10', 'fec0::/10', 'ff00::/8', '64:ff9b::/96', '64:ff9b:1::/48', '2001::/32', '2002::/16', 'fd00:ec2::254/128'
])
/** Loopback and private networks: only for a tenant that says its EHR is there. */
const privateNetworks = blockList([
  '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7'
])

/** Throws ERR_EGRESS_REFUSED for an address we must not connect to. IPv4-mapped IPv6 addresses count as their IPv4 address. */
export function checkAddress(address: string, allowPrivateNetwork: boolean): void {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (never.check(address, family) || (!allowPrivateNetwork && privateNetworks.check(address, family)))
    throw refused('a public network address')
}

function originOf(url: string): string {
  return new URL(url).origin
}

function refused(expected: string): ScreeningError {
  return new ScreeningError('ERR_EGRESS_REFUSED', `Expected ${expected} for an outgoing request`)
}

/** Our own refusal out of undici's wrapping, the caller's abort as it is unless it is a time-out, all else as unreachable, without the address. */
function coded(error: unknown, signal: AbortSignal | undefined): unknown {
  for (let one = error; one instanceof Error; one = one.cause) if (isScreeningError(one)) return one
  if (signal?.aborted && !isTimeout(signal.reason)) return signal.reason
  const timedOut = isTimeout(error) || signal?.aborted === true
  return new ScreeningError('ERR_EHR_UNREACHABLE', timedOut
    ? 'Expected an answer in time but received none' : `Expected an answer but the connection failed (${networkCode(error)})`)
}

function isTimeout(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'TimeoutError'
}

function networkCode(error: unknown): string {
  for (let one = error; one instanceof Error; one = one.cause)
    if ('code' in one && typeof one.code === 'string') return one.code
  return 'network error'
}
