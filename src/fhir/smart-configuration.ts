import type { JSONWebKeySet } from 'jose'
import { z } from 'zod'
import type { TenantConfig } from '../config.ts'
import { ScreeningError } from '../errors.ts'
import type { Egress, EgressPurpose } from './egress.ts'

/** What we use of `{fhirBase}/.well-known/smart-configuration` (SMART App Launch 2.2.0). */
export interface SmartConfiguration {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly issuer?: string
  /** Where tokens are given back at logout, RFC 7009. */
  readonly revocationEndpoint?: string
  /** The server says that it names itself in every authorization answer (RFC 9207): one without `iss` is then refused. */
  readonly namesItself?: boolean
}

/** What is odd in a member that we can do without does not keep the app from opening. */
const published = z.object({
  authorization_endpoint: z.url().optional().catch(undefined),
  token_endpoint: z.url(),
  issuer: z.url().optional().catch(undefined),
  revocation_endpoint: z.url().optional().catch(undefined),
  authorization_response_iss_parameter_supported: z.boolean().optional().catch(undefined),
  code_challenge_methods_supported: z.array(z.unknown()).optional().catch(undefined)
})
const openId = z.object({ issuer: z.url(), jwks_uri: z.url() })
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) })

/** Reads the EHR's SMART configuration for a launch. Throws ERR_EHR_ANSWER, ERR_EHR_UNREACHABLE, ERR_EGRESS_REFUSED. */
export async function readSmartConfiguration(tenant: TenantConfig, egress: Egress): Promise<SmartConfiguration> {
  const found = await readPublished(tenant, egress)
  if (!found.authorization_endpoint || !isWebAddress(found.authorization_endpoint, tenant)) throw answer('an authorization endpoint with https in the SMART configuration')
  if (!isWebAddress(found.token_endpoint, tenant)) throw answer('a token endpoint with https in the SMART configuration')
  // The nonce or PKCE binds an answer to its launch: where none is sent, the server must say that it looks at the other (RFC 9700 section 2.1.1).
  if (tenant.smart?.sendNonce === false && !found.code_challenge_methods_supported?.includes('S256'))
    throw answer('S256 in code_challenge_methods_supported of the SMART configuration, as smart.sendNonce is false')
  return {
    authorizationEndpoint: found.authorization_endpoint,
    tokenEndpoint: found.token_endpoint,
    ...(found.issuer ? { issuer: found.issuer } : {}),
    ...(found.revocation_endpoint && isWebAddress(found.revocation_endpoint, tenant) ? { revocationEndpoint: found.revocation_endpoint } : {}),
    ...(found.authorization_response_iss_parameter_supported ? { namesItself: true } : {})
  }
}

/** The browser is sent to it, so what egress asks of an address is asked here: https (http where the tenant allows it), no user name, no fragment. */
function isWebAddress(address: string, { allowHttp }: TenantConfig): boolean {
  const { protocol, username, password } = new URL(address)
  return (protocol === 'https:' || (allowHttp && protocol === 'http:')) && !username && !password && !address.includes('#')
}

/** Where Backend Services ask for tokens; a server may offer nothing else. Throws as readSmartConfiguration. */
export async function readTokenEndpoint(tenant: TenantConfig, egress: Egress): Promise<string> {
  return (await readPublished(tenant, egress)).token_endpoint
}

function readPublished(tenant: TenantConfig, egress: Egress): Promise<z.infer<typeof published>> {
  return readJson(egress, `${tenant.fhirBase}/.well-known/smart-configuration`, 'smart-configuration', published)
}

/**
 * Issuer and keys of an identity that says it is of `claimed`: the SMART configuration says whose word counts, whose OpenID configuration names
 * the keys. Throws as above.
 */
export async function readOpenIdKeys(tenant: TenantConfig, egress: Egress, claimed: string): Promise<{ issuer: string; keys: JSONWebKeySet }> {
  const smart = await readPublished(tenant, egress)
  // Microsoft's FHIR server names no issuer: then an identity is taken of the server that gave the token.
  if (!isIssuerBelow(smart.issuer ?? new URL(smart.token_endpoint).origin, claimed)) throw answer('an identity of the issuer that the SMART configuration names')
  const provider = await readJson(egress.alsoTo('keys', claimed), `${claimed.replace(/\/+$/, '')}/.well-known/openid-configuration`, 'keys', openId)
  if (provider.issuer !== claimed) throw answer('the OpenID configuration to name the issuer that was asked')
  const keys = await readJson(egress.alsoTo('keys', provider.jwks_uri), provider.jwks_uri, 'keys', keySet)
  return { issuer: provider.issuer, keys }
}

/** The issuer that was named, with or without a slash at its end, or one below it: Oracle Health names the tenant, and its identities are of `{tenant}/oidc/idsps/{id}/`. */
export function isIssuerBelow(named: string, issuer: string): boolean {
  if (!URL.canParse(issuer)) return false
  const { origin, pathname, search, hash, href } = new URL(issuer)
  const asWritten = href === issuer || href === `${issuer}/`
  return asWritten && search === '' && hash === '' && `${origin}${pathname}/`.startsWith(`${named.replace(/\/+$/, '')}/`)
}

/** A key set (CDS clients' jku, OpenID). At most 1 MB, at most 5 s. */
export async function readKeySet(egress: Egress, url: string): Promise<JSONWebKeySet> {
  return readJson(egress, url, 'keys', keySet)
}

async function readJson<Schema extends z.ZodType>(
  egress: Egress, url: string, purpose: EgressPurpose, schema: Schema
): Promise<z.infer<Schema>> {
  const response = await egress.fetch(url, { purpose, headers: { accept: 'application/json' }, timeoutMs: 5_000 })
  if (response.status !== 200) throw answer(`status 200 for the ${purpose} document`)
  const result = schema.safeParse(parseJson(response.body))
  if (!result.success) throw answer(`a complete ${purpose} document`)
  return result.data
}

/** undefined for what is no JSON. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body)) as unknown
  } catch {
    return undefined
  }
}

function answer(expected: string): ScreeningError {
  return new ScreeningError('ERR_EHR_ANSWER', `Expected ${expected}`)
}
