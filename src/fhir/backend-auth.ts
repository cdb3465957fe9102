import type { TenantConfig } from '../config.ts'
import { ScreeningError } from '../errors.ts'
import type { Egress } from './egress.ts'
import { readTokenEndpoint } from './smart-configuration.ts'
import { requestToken } from './token-request.ts'

export interface TokenSource {
  token(): Promise<string>
  /** Forgets the token; with `used`, only if that is still the current one, so that one refusal costs one renewal. */
  invalidate(used?: string): void
  /** There is no other one: after a second refusal `token` throws. */
  readonly isOnly?: boolean
}

export type Clock = () => number
const RENEW_BEFORE_MS = 60_000
const ENDPOINT_KEPT_MS = 60_000

/**
 * SMART Backend Services: client_credentials with a signed assertion, discovered from the FHIR base, kept until a minute
 * before it expires (half its life when it lives shorter), and asked for once however many wait for it. Where tokens are refused
 * early, the endpoint is not looked up each time: it is kept for a minute, and no longer than it answers.
 * Throws ERR_CONFIG without a backend registration, ERR_EHR_UNAUTHORIZED, ERR_EHR_ANSWER, ERR_EHR_UNREACHABLE.
 */
export function openBackendTokens(tenant: TenantConfig, egress: Egress, clock: Clock = Date.now): TokenSource {
  const { backend } = tenant
  let current: { readonly token: string; readonly until: number } | undefined
  let asking: Promise<string> | undefined
  let endpoint: { readonly url: string; readonly until: number } | undefined

  async function endpointNow(): Promise<string> {
    if (endpoint && clock() < endpoint.until) return endpoint.url
    const url = await readTokenEndpoint(tenant, egress)
    endpoint = { url, until: clock() + ENDPOINT_KEPT_MS }
    return url
  }

  async function ask(): Promise<string> {
    if (!backend) throw new ScreeningError('ERR_CONFIG', `Expected tenants.${tenant.id}.backend for work without a user but received none`)
    const url = await endpointNow()
    const asked = clock()
    const answer = await requestToken(egress, url, backend, { grant_type: 'client_credentials', scope: backend.scope }, clock).catch((error: unknown) => {
      endpoint = undefined
      throw error
    })
    const lifeMs = answer.expiresInSeconds * 1000
    current = { token: answer.accessToken, until: asked + Math.max(lifeMs - RENEW_BEFORE_MS, lifeMs / 2) }
    return answer.accessToken
  }

  return {
    async token() {
      if (current && clock() < current.until) return current.token
      asking ??= ask().finally(() => { asking = undefined })
      return asking
    },
    invalidate(used) {
      if (used === undefined || used === current?.token) current = undefined
    }
  }
}

/** A token that someone else obtained: a hook's, a SMART session's. A server without authorization: no token. */
export function fixedToken(token: string): TokenSource {
  return { token: () => Promise.resolve(token), invalidate: () => undefined }
}
