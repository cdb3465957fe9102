import { createLocalJWKSet, decodeJwt, jwtVerify, type JSONWebKeySet } from 'jose'
import { z } from 'zod'
import type { Audit } from '../../src/audit.ts'
import { isScreeningError, ScreeningError } from '../../src/errors.ts'
import type { TenantConfig } from '../../src/config.ts'
import { logicalId, USER_REFERENCE } from '../../src/fhir/logical-id.ts'
import { PHOTO_REFERENCE } from '../../src/fhir/photo-sources.ts'
import { isIssuerBelow } from '../../src/fhir/smart-configuration.ts'
import type { TokenAnswer } from '../../src/fhir/token-request.ts'
import {
  LAUNCH_SECONDS, matchesHash, randomSecret, SESSION_SECONDS, sha256, type AppSession, type PendingLaunch
} from './app-session.ts'
import { isPatientLaunch, roleOf } from './capture-desk.ts'
import { rememberTenant } from './framers.ts'
import { redirectUri, type LaunchDeps } from './launch.ts'

export interface CallbackDeps extends LaunchDeps {
  readonly audit: Pick<Audit, 'record'>
  /** Posts to the token endpoint through egress with a private_key_jwt assertion (RS384 or ES384). */
  requestToken(tenant: TenantConfig, tokenEndpoint: string, form: Record<string, string>): Promise<TokenAnswer>
  /** Issuer and keys of an identity that says it is of `issuer`, where the EHR's configuration lets that be so; fetched through egress. */
  openIdKeys(tenant: TenantConfig, issuer: string): Promise<{ issuer: string; keys: JSONWebKeySet }>
  /** Takes photos that the launch named; whose they are is checked when they are read. */
  handOver?(tenant: string, patientId: string, references: readonly string[]): Promise<void>
  readonly now: () => number
}

export interface CallbackAnswer {
  /** Where the person lands: the review, or the capture page for a patient and for the intent `capture`. */
  readonly page: 'app' | 'capture'
  readonly handle: string
  readonly sessionSecret: string
}

/** The patient decides; everything else is a help, and in a form that we do not know it is passed over. */
const tokenContext = z.object({
  patient: logicalId,
  encounter: logicalId.optional().catch(undefined),
  /** Epic and eClinicalWorks put it in quotes. */
  need_patient_banner: z.union([z.boolean(), z.stringbool({ truthy: ['true'], falsy: ['false'] })]).optional().catch(undefined),
  appContext: z.string().max(4096).optional().catch(undefined),
  intent: z.string().optional().catch(undefined),
  /** 2.2: objects; anything else in it is passed over. */
  fhirContext: z.array(z.unknown()).max(100).optional().catch(undefined),
  id_token: z.string().optional().catch(undefined)
})

/**
 * SMART App Launch 2.2.0, redirect back: state once and bound to this browser, code exchanged with PKCE and our signed
 * assertion, id_token verified, patient taken from the token response alone. Throws ERR_LAUNCH_REFUSED.
 */
export async function finishLaunch(
  deps: CallbackDeps, query: Record<string, unknown>, browserSecret: string | undefined
): Promise<CallbackAnswer> {
  const pending = await takePending(deps, query['state'], browserSecret)
  const tenant = deps.config.tenants.find(({ id }) => id === pending.tenant)
  if (!tenant?.smart) throw refused('This EHR is no longer configured.')
  try {
    return await launched(deps, query, pending, tenant)
  } catch (error) {
    await deps.audit.record({ tenant: tenant.id, action: 'launch', actor: 'unknown user', outcome: 'failure', code: isScreeningError(error) ? error.code : 'ERR_INTERNAL' })
    throw error
  }
}

async function launched(deps: CallbackDeps, query: Record<string, unknown>, pending: PendingLaunch, tenant: TenantConfig): Promise<CallbackAnswer> {
  if (!isFromServerAsked(pending, query['iss'])) throw refused('The answer came from another authorization server than the one that was asked (RFC 9207).')
  if (query['error'] !== undefined) throw refused(`The EHR did not grant access${reasonOf(query['error'])}. Open JointLens again from the patient record.`)
  const code = query['code']
  if (typeof code !== 'string' || code.length === 0 || code.length > 4096) throw refused('Expected one authorization code.')

  const answer = await deps.requestToken(tenant, pending.tokenEndpoint, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri(deps.config),
    code_verifier: pending.codeVerifier
  })
  const context = tokenContext.safeParse(answer.extra)
  if (!context.success) throw refused('The EHR opened the app without a patient. Choose a patient there and open JointLens again.')
  const { fhirUser, role } = await verifiedUser(deps, tenant, pending, context.data.id_token)

  const [handle, sessionSecret, csrf] = [randomSecret(), randomSecret(), randomSecret()]
  const session: AppSession = {
    tenant: tenant.id,
    patientId: context.data.patient,
    ...(context.data.encounter ? { encounterId: context.data.encounter } : {}),
    ...(fhirUser ? { fhirUser } : {}),
    ...(role ? { role } : {}),
    scope: answer.scope ?? pending.scope,
    accessToken: answer.accessToken,
    ...(answer.refreshToken ? { refreshToken: answer.refreshToken } : {}),
    expiresAt: deps.now() + answer.expiresInSeconds * 1000,
    needPatientBanner: context.data.need_patient_banner ?? true,
    ...(pending.standalone ? { standalone: true } : {}),
    ...(context.data.appContext ? { appContext: context.data.appContext } : {}),
    secretHash: sha256(sessionSecret),
    csrf
  }
  await deps.sessions.put(`smart:${handle}`, session, SESSION_SECONDS)
  await rememberTenant(deps.sessions, handle, tenant.id)
  await deps.audit.record({ tenant: tenant.id, action: 'launch', actor: fhirUser ?? 'unknown user', patientId: session.patientId, outcome: 'success' })
  await deps.handOver?.(tenant.id, session.patientId, photosNamed(context.data, tenant.fhirBase))
  return { handle, sessionSecret, page: isPatientLaunch(session) || context.data.intent === 'capture' ? 'capture' : 'app' }
}

/** Why, for whoever looks after the installation: RFC 6749 section 4.1.2.1 and OpenID Connect Core 3.1.2.6. Nothing else of the address is repeated. */
const REASONS = [
  'invalid_request', 'unauthorized_client', 'access_denied', 'unsupported_response_type', 'invalid_scope', 'server_error', 'temporarily_unavailable', 'invalid_client',
  'login_required', 'interaction_required', 'consent_required', 'account_selection_required'
]

const reasonOf = (error: unknown) => (typeof error === 'string' && REASONS.includes(error) ? ` (${error})` : '')

/**
 * References to photos in the launch context: `fhirContext` of SMART 2.2, and `appContext` where the EHR puts references into it
 * (`Media/1 Media/2`). Some records cannot be searched for photos at all, and this is then the only way to them.
 */
function photosNamed({ fhirContext = [], appContext = '' }: z.infer<typeof tokenContext>, fhirBase: string): readonly string[] {
  const named = fhirContext.flatMap((one) => z.object({ reference: z.string() }).safeParse(one).data?.reference ?? [])
  return [...named, ...appContext.split(/[\s,]+/)]
    .map((one) => (one.startsWith(`${fhirBase}/`) ? one.slice(fhirBase.length + 1) : one))
    .filter((one) => PHOTO_REFERENCE.test(one))
    .slice(0, 20)
}

async function takePending(deps: CallbackDeps, state: unknown, browserSecret: string | undefined): Promise<PendingLaunch> {
  if (typeof state !== 'string' || !/^[\w-]{43}$/.test(state)) throw refused('Expected the state of a launch that began here.')
  const key = `smart-state:${state}`
  const pending = (await deps.sessions.get(key)) as PendingLaunch | undefined
  await deps.sessions.delete(key)
  // Of callbacks that come at once, one goes on: a code that is sent twice makes some servers take back its tokens.
  if (!pending || !matchesHash(browserSecret, pending.browserHash) || !await deps.sessions.claim(`smart-used:${sha256(state)}`, LAUNCH_SECONDS))
    throw refused('This launch has expired or began in another browser. Open JointLens again from the patient record.')
  return pending
}

/** RFC 9207: an `iss` must be the issuer that was asked, and a server that says it sends one must send it. */
function isFromServerAsked({ issuer, namesItself }: PendingLaunch, iss: unknown): boolean {
  if (iss === undefined) return !namesItself
  return issuer === undefined || iss === issuer
}

/** Who launched, from a verified id_token; nothing when the EHR sends none. A token that does not verify ends the launch. */
async function verifiedUser(
  deps: CallbackDeps, tenant: TenantConfig, pending: PendingLaunch, idToken: string | undefined
): Promise<Pick<AppSession, 'fhirUser' | 'role'>> {
  if (!idToken) return {}
  try {
    const { issuer, keys } = await deps.openIdKeys(tenant, decodeJwt(idToken).iss ?? '')
    if (pending.issuer && !isIssuerBelow(pending.issuer, issuer)) throw refused('The identity that the EHR sent is of another issuer than the one that was asked.')
    const { payload } = await jwtVerify(idToken, createLocalJWKSet(keys), {
      issuer,
      audience: tenant.smart?.clientId ?? '',
      algorithms: ['RS256', 'RS384', 'ES256', 'ES384'],
      requiredClaims: ['sub', 'exp', 'iat'],
      clockTolerance: 30,
      currentDate: new Date(deps.now())
    })
    // OpenID Connect Core 3.1.3.7, point 11: what was sent comes back, and nothing else does.
    if (payload['nonce'] !== pending.nonce) throw refused(`The identity that the EHR sent ${payload['nonce'] === undefined ? 'lacks the nonce that was asked for' : 'is that of another launch (nonce)'}.`)
    // OpenID Connect Core 3.1.3.7: with several audiences the token must say that it was made for us.
    const azp = payload['azp'] ?? (Array.isArray(payload.aud) && payload.aud.length > 1 ? undefined : tenant.smart?.clientId)
    if (azp !== tenant.smart?.clientId) throw refused('The identity that the EHR sent was made for another app (azp).')
    const [fhirUser, role] = [relativeUser(payload['fhirUser'], tenant.fhirBase), roleOf(payload['fhirUser'])]
    return { ...(fhirUser ? { fhirUser } : {}), ...(role ? { role } : {}) }
  } catch (cause) {
    if (isScreeningError(cause) && cause.code === 'ERR_LAUNCH_REFUSED') throw cause
    throw new ScreeningError('ERR_LAUNCH_REFUSED', 'The identity that the EHR sent could not be verified.', { cause })
  }
}

function relativeUser(fhirUser: unknown, fhirBase: string): string | undefined {
  if (typeof fhirUser !== 'string') return undefined
  const relative = fhirUser.startsWith(`${fhirBase}/`) ? fhirUser.slice(fhirBase.length + 1) : fhirUser
  return USER_REFERENCE.test(relative) ? relative : undefined
}

function refused(message: string): ScreeningError {
  return new ScreeningError('ERR_LAUNCH_REFUSED', message)
}
