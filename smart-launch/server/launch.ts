import { createHash } from 'node:crypto'
import { ScreeningError } from '../../src/errors.ts'
import type { Config, TenantConfig } from '../../src/config.ts'
import type { SmartConfiguration } from '../../src/fhir/smart-configuration.ts'
import { rememberTenant } from './framers.ts'
import { LAUNCH_SECONDS, launchCookie, randomSecret, sha256, type PendingLaunch, type SessionStore } from './app-session.ts'

export interface LaunchDeps {
  readonly config: Config
  readonly sessions: SessionStore
  discover(tenant: TenantConfig): Promise<SmartConfiguration>
}

export interface LaunchAnswer {
  readonly redirect: string
  /** Secret that binds the callback to this browser, and the cookie it travels in. */
  readonly browserSecret: string
  readonly cookie: string
}

/**
 * SMART App Launch 2.2.0, authorization request. Only `iss` and `launch` are read from the address; `iss` is looked up in
 * the allow-list before any request is made, and nothing of the address is echoed. Throws ERR_LAUNCH_REFUSED.
 */
export async function beginLaunch(deps: LaunchDeps, query: { iss?: unknown; launch?: unknown }): Promise<LaunchAnswer> {
  const tenant = tenantOfIssuer(deps.config, query.iss)
  const smart = tenant.smart
  if (!smart) throw refused('This EHR is known, but the app is not registered there yet.')
  const launch = query.launch
  if (launch !== undefined && (typeof launch !== 'string' || launch.length > LONGEST_LAUNCH || !/^[\x21-\x7e]+$/.test(launch)))
    throw refused('Expected launch to be the value that the EHR gave, once.')

  const { authorizationEndpoint, tokenEndpoint, issuer, namesItself } = await deps.discover(tenant)
  const scope = launch === undefined ? smart.scope.replace(/\blaunch\b(?!\/)/, 'launch/patient') : smart.scope
  const [state, browserSecret, codeVerifier] = [randomSecret(), randomSecret(), randomSecret()]
  const nonce = smart.sendNonce ? { nonce: randomSecret() } : {}
  const pending: PendingLaunch = {
    tenant: tenant.id, codeVerifier, ...nonce, tokenEndpoint, browserHash: sha256(browserSecret), ...(issuer ? { issuer } : {}), ...(namesItself ? { namesItself } : {}),
    scope, ...(launch === undefined ? { standalone: true } : {})
  }
  await deps.sessions.put(`smart-state:${state}`, pending, LAUNCH_SECONDS)
  await rememberTenant(deps.sessions, state, tenant.id)

  const redirect = new URL(authorizationEndpoint)
  const parameters = {
    response_type: 'code',
    client_id: smart.clientId,
    redirect_uri: redirectUri(deps.config),
    scope,
    state,
    ...nonce,
    aud: audienceOf(tenant, query.iss),
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...(launch === undefined ? {} : { launch })
  }
  for (const [name, value] of Object.entries(parameters)) redirect.searchParams.set(name, value)
  return { redirect: redirect.href, browserSecret, cookie: launchCookie(state) ?? '' }
}

export function redirectUri(config: Config): string {
  return `${config.publicUrl}/smart/callback`
}

/** “In the case of launch flow, this aud value is the same as the launch’s iss value” (SMART App Launch 2.2.0, authorization request): also when that ends with a slash. */
const audienceOf = ({ fhirBase }: TenantConfig, iss: unknown) => (iss === `${fhirBase}/` ? `${fhirBase}/` : fhirBase)

const LONGEST_ISSUER = 2048
/** The SMART launcher puts all that it plays into it, the app’s key set among it. */
const LONGEST_LAUNCH = 8192

/** The tenant whose FHIR base this is, character by character but for slashes at its end. */
export function issuerOf(config: Config, iss: unknown): TenantConfig | undefined {
  const wanted = typeof iss === 'string' && iss.length <= LONGEST_ISSUER ? iss.replace(/\/+$/, '') : undefined
  return config.tenants.find(({ fhirBase }) => fhirBase === wanted)
}

function tenantOfIssuer(config: Config, iss: unknown): TenantConfig {
  const tenant = issuerOf(config, iss)
  if (!tenant) throw refused('Expected iss to be a FHIR server that this JointLens is configured for.')
  return tenant
}

function refused(message: string): ScreeningError {
  return new ScreeningError('ERR_LAUNCH_REFUSED', message)
}
