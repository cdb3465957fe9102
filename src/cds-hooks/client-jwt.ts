import { hash } from 'node:crypto'
import type { JSONWebKeySet } from 'jose'
import type { CdsClientConfig, TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { openRateLimit, type RateLimit } from './rate-limit.ts'
import { isSignedBy, type SignatureAlgorithm } from './token-signature.ts'

/** Who is calling: a configured client of one tenant. */
export interface VerifiedClient {
  readonly tenant: TenantConfig
  readonly issuer: string
}

export interface ClientVerifier {
  /**
   * `calledUrl` is the address of this call under our public address (never from a Host header), `from` the network that it came
   * from. Throws ERR_UNAUTHORIZED, the same for every cause, ERR_RATE_LIMITED, or ERR_STORE when token ids cannot be remembered.
   */
  verify(authorization: string | undefined, calledUrl: string, from: string): Promise<VerifiedClient>
}

export interface VerifierDeps {
  readonly tenants: readonly TenantConfig[]
  fetchKeys(tenant: TenantConfig, jku: string): Promise<JSONWebKeySet>
  readonly jti: { use(tenant: string, issuer: string, jti: string, expiresAtMs: number): Promise<boolean> }
  readonly clock: () => number
  /** Calls one issuer may make in a second, sustained; three times as many at once. */
  readonly callsPerSecond?: number
  /** Tokens in one issuer's name that one network may have refused in a second. */
  readonly refusedPerSecond?: number
}

const TOKEN_MAX_CHARACTERS = 16_384
const HEADER_MAX_CHARACTERS = 2_048
/** Epic's documented tokens live 900 s. */
const MAX_AGE_SECONDS = 900
const TOLERANCE_SECONDS = 30

interface Registration { readonly tenant: TenantConfig; readonly client: CdsClientConfig }
type Claims = Readonly<Record<string, unknown>> & { readonly iss: string; readonly exp: number }

/**
 * Verifies the signed JWT of a CDS client (CDS Hooks 2.0.1, trusting CDS clients; specs: security section 3). Cheap checks come
 * first: size, header, known issuer, expiry, rates; only then key, signature, claims and, last, the token id's single use.
 *
 * Anybody can write an issuer's name into a token. So only what was let in counts as a call of that issuer, and what is refused
 * counts against the network that sent it: who forges tokens soon costs us no signature, and the issuer none of its calls. A name
 * that nobody has counts as one that somebody has: neither 401 nor 429 tells who calls here.
 */
export function openClientVerifier({ tenants, fetchKeys, jti, clock, callsPerSecond = 3_000, refusedPerSecond = 20 }: VerifierDeps): ClientVerifier {
  const registered = tenants.flatMap((tenant) => tenant.cdsClients.map((client): Registration => ({ tenant, client })))
  const calls = openRateLimit(callsPerSecond, clock, 'calls of this client')
  const refused = openRateLimit(refusedPerSecond, clock, 'calls that are refused')
  const ofNobody = openRateLimit(refusedPerSecond, clock, 'calls that are refused')
  const keys = openKeyCache(fetchKeys, clock)

  /** Who is meant, rate, key, signature, claims and single use. */
  async function prove(token: string, header: CheckedHeader, claims: Claims, calledUrl: string): Promise<VerifiedClient> {
    const { tenant, client } = registrationOf(registered, claims)
    if (header.jku !== undefined && header.jku !== client.jku) throw unauthorized()
    if (!client.algorithms.some((algorithm) => algorithm === header.alg)) throw unauthorized()
    const name = `${tenant.id} ${client.issuer}`
    calls.check(name)
    if (!(await isSignedBy(await keys.of(tenant, client, header.kid), token, header).catch(fail))) throw unauthorized()
    const { iat, id } = checkedClaims(claims, [calledUrl, ...client.audiences], clock())
    const expiresAt = (iat + MAX_AGE_SECONDS + TOLERANCE_SECONDS) * 1000
    if (!(await jti.use(tenant.id, client.issuer, id, expiresAt))) throw unauthorized()
    calls.take(name)
    return { tenant, issuer: client.issuer }
  }

  /** Names that nobody has are no longer than a digest, and push out none that somebody has. */
  function limitOf(iss: string, from: string): { readonly limit: RateLimit; readonly key: string } {
    return registered.some(({ client }) => client.issuer === iss) ? { limit: refused, key: `${iss} ${from}` } : { limit: ofNobody, key: `${hash('sha256', iss)} ${from}` }
  }

  return {
    async verify(authorization, calledUrl, from) {
      const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization ?? '')?.[1]
      if (!token || token.length > TOKEN_MAX_CHARACTERS) throw unauthorized()
      const header = checkedHeader(token)
      const claims = unverifiedClaims(token, clock())
      const { limit, key } = limitOf(claims.iss, from)
      limit.check(key)
      try {
        return await prove(token, header, claims, calledUrl)
      } catch (error) {
        if (isScreeningError(error) && error.code === 'ERR_UNAUTHORIZED') limit.take(key)
        throw error
      }
    }
  }
}

interface CheckedHeader { readonly alg: SignatureAlgorithm; readonly kid: string; readonly jku?: string }

const checkedHeaders = new Map<string, CheckedHeader>()
const HEADERS_KEPT = 100

/** A client sends the same header with every token. */
function checkedHeader(token: string): CheckedHeader {
  const encoded = token.slice(0, token.indexOf('.'))
  const known = checkedHeaders.get(encoded)
  if (known) return known
  const header = checkHeader(encoded)
  if (checkedHeaders.size >= HEADERS_KEPT) checkedHeaders.clear()
  checkedHeaders.set(encoded, header)
  return header
}

/** A parser would take the last of two `alg` members; we take neither. What a token says of its own key (`jwk`, `x5u`, `x5c`) is not looked at. */
function checkHeader(encoded: string): CheckedHeader {
  if (encoded.length > HEADER_MAX_CHARACTERS) throw unauthorized()
  const text = Buffer.from(encoded, 'base64url').toString()
  const header = parsed(text)
  const names = [...text.matchAll(/("(?:[^"\\]|\\.)*")\s*:/g)].map(([, name = '']) => JSON.parse(name) as unknown)
  const { alg, kid, typ, jku } = header
  const sound = new Set(names).size === names.length && !('crit' in header) && !('b64' in header)
  if (!sound || typ !== 'JWT' || (alg !== 'RS384' && alg !== 'ES384')) throw unauthorized()
  if (typeof kid !== 'string' || !/^[\w.\-=]{1,200}$/.test(kid)) throw unauthorized()
  if (jku !== undefined && typeof jku !== 'string') throw unauthorized()
  return { alg, kid, ...(jku === undefined ? {} : { jku }) }
}

/** Issuer and tenant, to look up who may be meant; nothing of it is believed before the signature. */
function unverifiedClaims(token: string, now: number): Claims {
  const claims = parsed(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const { iss, exp } = claims
  if (typeof iss !== 'string' || !isTime(exp)) throw unauthorized()
  if (exp <= Math.floor(now / 1000) - TOLERANCE_SECONDS) throw unauthorized()
  return { ...claims, iss, exp }
}

/**
 * By issuer and, where the site says what it holds, by the `tenant` claim: an issuer may call for many organisations, and of one that is not
 * ours nothing is answered. One that calls for several of our tenants names them there, by our id unless the site says otherwise.
 */
function registrationOf(registered: readonly Registration[], { iss, tenant }: Claims): Registration {
  const candidates = registered.filter(({ client }) => client.issuer === iss)
  const chosen = candidates.find(({ client, tenant: { id } }) => {
    const expected = client.tenant ?? (candidates.length > 1 ? id : undefined)
    return expected === undefined || expected === tenant
  })
  if (!chosen) throw unauthorized()
  return chosen
}

/** Of a token that was signed by its client: made for this address, lately, not for later, and with an id. `exp` was looked at first. */
function checkedClaims({ aud, iat, nbf, jti }: Claims, audiences: readonly string[], nowMs: number): { readonly iat: number; readonly id: string } {
  const now = Math.floor(nowMs / 1000)
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!named.some((one) => typeof one === 'string' && audiences.includes(one))) throw unauthorized()
  if (!isTime(iat) || now - iat > MAX_AGE_SECONDS + TOLERANCE_SECONDS || iat - now > TOLERANCE_SECONDS) throw unauthorized()
  if (nbf !== undefined && (!isTime(nbf) || nbf > now + TOLERANCE_SECONDS)) throw unauthorized()
  if (typeof jti !== 'string' || jti.length < 1 || jti.length > 200) throw unauthorized()
  return { iat, id: jti }
}

/** NumericDate (RFC 7519 section 2): seconds since the epoch. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

const KEYS_MS = 10 * 60_000
const REFETCH_MS = 30_000
/** An outage of the client's key set does not stop its clinicians: known keys stay good for a day. */
const STALE_MS = 24 * 3_600_000

const configuredKeys = new WeakMap<CdsClientConfig, JSONWebKeySet>()

function configured(client: CdsClientConfig, keys: NonNullable<CdsClientConfig['keys']>): JSONWebKeySet {
  const known = configuredKeys.get(client) ?? { keys: [...keys] }
  configuredKeys.set(client, known)
  return known
}

interface CachedKeys { readonly keys: JSONWebKeySet; readonly fetchedAt: number }

/** Key sets by address. A kid that is not known asks again, at most every 30 seconds however many such tokens come. */
function openKeyCache(fetchKeys: VerifierDeps['fetchKeys'], clock: () => number) {
  const cached = new Map<string, CachedKeys>()
  const asking = new Map<string, Promise<CachedKeys>>()
  const askedAt = new Map<string, number>()

  async function ask(tenant: TenantConfig, jku: string, name: string): Promise<CachedKeys> {
    askedAt.set(name, clock())
    const fetched = { keys: await fetchKeys(tenant, jku), fetchedAt: clock() }
    cached.set(name, fetched)
    return fetched
  }

  return {
    async of(tenant: TenantConfig, client: CdsClientConfig, kid: string): Promise<JSONWebKeySet> {
      if (client.keys) return configured(client, client.keys)
      const { jku } = client
      if (!jku) throw unauthorized()
      const name = `${tenant.id} ${jku}`
      const known = cached.get(name)
      const has = known?.keys.keys.some((key) => key.kid === kid) ?? false
      if (known && has && clock() - known.fetchedAt < KEYS_MS) return known.keys
      const usable = known && clock() - known.fetchedAt < STALE_MS ? known.keys : undefined
      if (clock() - (askedAt.get(name) ?? -Infinity) < REFETCH_MS && !asking.has(name)) return usable ?? fail()
      const shared = asking.get(name) ?? ask(tenant, jku, name).finally(() => asking.delete(name))
      asking.set(name, shared)
      // A key that is known is looked after beside the call: a key set that hangs makes no clinician wait.
      if (usable && has) {
        shared.catch(() => undefined)
        return usable
      }
      try {
        return (await shared).keys
      } catch {
        return usable ?? fail()
      }
    }
  }
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Not JSON is as unauthorized as everything else here.
  }
  throw unauthorized()
}

function fail(): never {
  throw unauthorized()
}

function unauthorized(): ScreeningError {
  return new ScreeningError('ERR_UNAUTHORIZED', 'The caller could not be authenticated.')
}
