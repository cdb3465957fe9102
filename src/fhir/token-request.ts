import { randomUUID } from 'node:crypto'
import { importJWK, SignJWT } from 'jose'
import { z } from 'zod'
import type { SigningKey } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import type { Egress, EgressResponse } from './egress.ts'
import { heed, refuseEarly } from './retry-after.ts'
import { parseJson } from './smart-configuration.ts'

export interface TokenAnswer {
  readonly accessToken: string
  readonly refreshToken?: string
  readonly expiresInSeconds: number
  /** Granted scopes, which may be fewer than asked. */
  readonly scope?: string
  /** The whole answer: patient, encounter, id_token and what else the launch context brings. */
  readonly extra: Readonly<Record<string, unknown>>
}

export interface TokenClient {
  readonly clientId: string
  readonly key: SigningKey
}

const granted = z.looseObject({
  // Visible ASCII: what can stand in an Authorization header (RFC 6749 appendix A.12, RFC 6750 section 2.1).
  access_token: z.string().max(16_384).regex(/^[\x21-\x7e]+$/),
  token_type: z.string().regex(/^bearer$/i),
  // Absent, null, in words or nothing: short. Longer than a day: a day.
  expires_in: z.coerce.number().positive().transform((seconds) => Math.min(seconds, 86_400)).catch(300),
  refresh_token: z.string().max(16_384).nullish(),
  scope: z.string().nullish()
})

/**
 * One call of the token endpoint with a private_key_jwt assertion (SMART client-confidential-asymmetric: iss = sub = client
 * id, aud = the token endpoint, at most five minutes, fresh jti). Throws ERR_EHR_UNAUTHORIZED when the authorization server refuses, ERR_EHR_ANSWER,
 * ERR_EHR_UNREACHABLE.
 */
export async function requestToken(
  egress: Egress, tokenEndpoint: string, client: TokenClient, form: Readonly<Record<string, string>>, now: () => number = Date.now
): Promise<TokenAnswer> {
  refuseEarly(egress)
  const response = await post(egress, tokenEndpoint, { ...form, ...(await proof(client, tokenEndpoint, now)) })
  const retryAt = heed(egress, response)
  if (response.status === 429 || response.status >= 500)
    throw new ScreeningError('ERR_EHR_UNREACHABLE', `Expected a token now but received status ${response.status}`, { retryAt })
  if (response.status >= 400) throw refusal(response)
  if (response.status !== 200) throw new ScreeningError('ERR_EHR_ANSWER', `Expected a token but received status ${response.status}`)
  const result = granted.safeParse(parseJson(response.body))
  if (!result.success) throw new ScreeningError('ERR_EHR_ANSWER', 'Expected a bearer token in the token answer')
  const { access_token, refresh_token, expires_in, scope } = result.data
  return {
    accessToken: access_token,
    expiresInSeconds: expires_in,
    ...(refresh_token ? { refreshToken: refresh_token } : {}),
    ...(typeof scope === 'string' ? { scope } : {}),
    extra: result.data
  }
}

const refused = z.object({ error: z.string() })
/** Of OAuth 2.0, but not of what was asked for (RFC 6749 section 4.1.2.1): some send them from the token endpoint too. */
const PASSING: readonly string[] = ['temporarily_unavailable', 'server_error']

/** An authorization server says so in JSON (RFC 6749 section 5.2); what a gateway says in its stead tells nothing about the client or its grant. */
function refusal({ status, body }: Pick<EgressResponse, 'status' | 'body'>): ScreeningError {
  const said = refused.safeParse(parseJson(body)).data?.error
  if (said === undefined) return new ScreeningError('ERR_EHR_ANSWER', `Expected a token or an OAuth error but received status ${status} and something else`)
  if (PASSING.includes(said)) return new ScreeningError('ERR_EHR_UNREACHABLE', `Expected a token now but received status ${status} (${said})`)
  return new ScreeningError('ERR_EHR_UNAUTHORIZED', `Expected a token but the authorization server answered ${status}`)
}

/**
 * Gives a token back (RFC 7009), so that it opens nothing after a logout. Resolves with true when the server says it is done; a server
 * that cannot be reached or refuses is false, for the session has ended here anyway.
 */
export async function revokeToken(
  egress: Egress, { tokenEndpoint, revocationEndpoint }: { readonly tokenEndpoint: string; readonly revocationEndpoint: string },
  client: TokenClient, form: { readonly token: string; readonly token_type_hint: 'access_token' | 'refresh_token' }, now: () => number = Date.now
): Promise<boolean> {
  try {
    const response = await post(egress, revocationEndpoint, { ...form, ...(await proof(client, tokenEndpoint, now)) }, REVOCATION_TIMEOUT_MS)
    return response.status === 200
  } catch (error) {
    if (!isScreeningError(error)) throw error
    return false
  }
}

/** Whoever logs out does not wait longer for a server that does not answer. */
const REVOCATION_TIMEOUT_MS = 3_000

function post(egress: Egress, endpoint: string, form: Readonly<Record<string, string>>, timeoutMs?: number) {
  return egress.alsoTo('token', endpoint).fetch(endpoint, {
    method: 'POST',
    purpose: 'token',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: new URLSearchParams(form).toString(),
    ...(timeoutMs === undefined ? {} : { timeoutMs })
  })
}

async function proof(client: TokenClient, audience: string, now: () => number) {
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await clientAssertion(client, audience, now)
  }
}

async function clientAssertion({ clientId, key }: TokenClient, audience: string, now: () => number): Promise<string> {
  const issuedAt = Math.floor(now() / 1000)
  return new SignJWT({})
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
    .setIssuer(clientId).setSubject(clientId).setAudience(audience).setJti(randomUUID())
    .setIssuedAt(issuedAt).setExpirationTime(issuedAt + 240)
    .sign(await importJWK(key, key.alg))
}
