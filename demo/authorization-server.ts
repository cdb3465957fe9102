import { randomBytes, randomUUID } from 'node:crypto'
import express, { type Request, type Response, type Router } from 'express'
import { createLocalJWKSet, importJWK, jwtVerify, SignJWT, type JWK } from 'jose'
import Provider from 'oidc-provider'
import { openGrantStore } from './grant-store.ts'
import { freshKey, publicPart } from './keys.ts'
import { pickerPage, refusalPage } from './picker-page.ts'
import { FHIR_SCOPES, type Access } from './scopes.ts'

/** What a launch carries into the app. */
export interface LaunchContext {
  readonly patient: string
  readonly encounter?: string
  readonly appContext?: string
  /** What the app is opened for, SMART App Launch 2.2.0. */
  readonly intent?: string
}

/** An app or service registered at this EHR; it proves itself with its key (private_key_jwt). */
export interface Registration {
  readonly clientId: string
  readonly publicKey: JWK
  /** Empty for a backend service. */
  readonly redirectUris: readonly string[]
}

export interface AuthorizationServerParts {
  /** `http://127.0.0.1:8081/auth`: the address the router is mounted at, as others call it. */
  readonly issuer: string
  readonly fhirBase: string
  readonly clients: readonly Registration[]
  readonly clinician: { readonly id: string; readonly name: string }
  /** For the patient picker of a standalone launch. */
  patients(): Promise<readonly { readonly id: string; readonly name: string; readonly encounter?: string }[]>
  readonly now?: () => number
}

export interface AuthorizationServer {
  readonly router: Router
  readonly smartConfiguration: Readonly<Record<string, unknown>> & { readonly authorization_endpoint: string; readonly token_endpoint: string }
  /** The opaque `launch` value of an EHR launch; good once, for ten minutes. */
  createLaunch(context: LaunchContext): string
  /** A short-lived token that the EHR hands out itself: with a hook, or to its own chart. */
  issueToken(access: Access & { readonly clientId: string; readonly lifetimeSeconds: number }): Promise<string>
  verify(token: string): Promise<Access | undefined>
}

const LAUNCH_MS = 600_000
const ACCESS_SECONDS = 900
const SHIFT_SECONDS = 8 * 3600
const IDENTITY_SCOPES = ['openid', 'fhirUser', 'profile', 'launch', 'launch/patient', 'launch/encounter', 'online_access', 'offline_access']

/**
 * SMART App Launch 2.2.0 on panva's oidc-provider: EHR launch, standalone launch with a patient picker, PKCE S256, backend
 * services; every client signs its assertions. Whoever comes is signed in as the demo clinician, without a password.
 */
export async function openAuthorizationServer(parts: AuthorizationServerParts): Promise<AuthorizationServer> {
  const { issuer, fhirBase, clinician, now = Date.now } = parts
  const key = await freshKey('ES384')
  const launches = new Map<string, { readonly context: LaunchContext; readonly until: number }>()
  /** Grant id → what was launched. Each launch gets a grant of its own, so two charts in one browser never mix. */
  const granted = new Map<string, LaunchContext>()
  const provider = new Provider(issuer, configuration(parts, key, granted))
  addLaunchContext(provider, granted)

  function takeLaunch(id: string | undefined): LaunchContext | undefined {
    const found = id === undefined ? undefined : launches.get(id)
    if (id !== undefined) launches.delete(id)
    return found && found.until > now() ? found.context : undefined
  }

  async function grant(request: Request, response: Response, context: LaunchContext | undefined): Promise<void> {
    const { params } = await provider.interactionDetails(request, response)
    const asked = (params['scope'] ?? '').split(' ')
    const agreed = new provider.Grant({ accountId: clinician.id, clientId: params['client_id'] ?? '' })
    const identity = asked.filter((scope) => IDENTITY_SCOPES.includes(scope))
    const record = asked.filter((scope) => FHIR_SCOPES.includes(scope))
    if (identity.length > 0) agreed.addOIDCScope(identity.join(' '))
    if (record.length > 0) agreed.addResourceScope(fhirBase, record.join(' '))
    const grantId = await agreed.save()
    if (context) granted.set(grantId, context)
    await provider.interactionFinished(request, response, { login: { accountId: clinician.id }, consent: { grantId } }, { mergeWithLastSubmission: false })
  }

  const refuse = (request: Request, response: Response, description: string) =>
    provider.interactionFinished(request, response, { error: 'invalid_request', error_description: description }, { mergeWithLastSubmission: false })

  const router = express.Router()
  const formTargets = ["'self'", ...parts.clients.flatMap(({ redirectUris }) => redirectUris.map((uri) => new URL(uri).origin))]
  router.use('/interaction', (_request, response, next) => {
    response.set({
      'Content-Security-Policy': `default-src 'none'; style-src 'self'; base-uri 'none'; form-action ${formTargets.join(' ')}; frame-ancestors 'none'`,
      'Cache-Control': 'no-store'
    })
    next()
  })
  router.get('/interaction/:uid', async (request, response) => {
    const { uid, params } = await provider.interactionDetails(request, response)
    const asked = (params['scope'] ?? '').split(' ')
    if (params['aud'] !== fhirBase) return refuse(request, response, `Expected aud to be ${fhirBase}`)
    if (params['launch'] === undefined && asked.includes('launch/patient'))
      return void response.type('html').send(pickerPage(`${issuer}/interaction/${uid}`, clinician.name, await parts.patients()))
    if (params['launch'] === undefined && !asked.includes('launch')) return grant(request, response, undefined)
    const context = takeLaunch(params['launch'])
    return context ? grant(request, response, context) : refuse(request, response, 'Expected a launch that this EHR began in the last ten minutes')
  })
  router.post('/interaction/:uid', express.urlencoded({ extended: false, limit: '4kb' }), async (request, response) => {
    const chosen = (request.body as Record<string, unknown>)['patient']
    const patient = (await parts.patients()).find(({ id }) => id === chosen)
    if (!patient) return void response.status(400).type('html').send(refusalPage('Choose one of the patients and try again.'))
    return grant(request, response, { patient: patient.id, ...(patient.encounter ? { encounter: patient.encounter } : {}) })
  })
  router.use('/interaction', (error: unknown, _request: Request, response: Response, next: (error: unknown) => void) => {
    if (response.headersSent) return next(error)
    response.status(400).type('html').send(refusalPage('This launch has expired. Open the app again from the chart.'))
  })
  const authorize = provider.callback()
  router.use((request, response) => authorize(request, response))

  return {
    router,
    smartConfiguration: smartConfiguration(issuer),
    createLaunch(context) {
      for (const [id, { until }] of launches) if (until <= now()) launches.delete(id)
      const id = randomBytes(32).toString('base64url')
      launches.set(id, { context, until: now() + LAUNCH_MS })
      return id
    },
    async issueToken({ scope, patient, clientId, lifetimeSeconds }) {
      const issued = Math.floor(now() / 1000)
      return new SignJWT({ scope, client_id: clientId, ...(patient === undefined ? {} : { patient }) })
        .setProtectedHeader({ alg: 'ES384', kid: key.kid, typ: 'at+jwt' })
        .setIssuer(issuer).setSubject(clinician.id).setAudience(fhirBase).setJti(randomUUID())
        .setIssuedAt(issued).setExpirationTime(issued + lifetimeSeconds)
        .sign(await importJWK(key, key.alg))
    },
    verify: openVerifier({ keys: [publicPart(key)] }, issuer, fhirBase, now)
  }
}

function openVerifier(keys: { keys: JWK[] }, issuer: string, audience: string, now: () => number) {
  const keySet = createLocalJWKSet(keys)
  return async (token: string): Promise<Access | undefined> => {
    try {
      const { payload } = await jwtVerify(token, keySet, {
        issuer, audience, algorithms: ['ES384'], typ: 'at+jwt', requiredClaims: ['exp'], currentDate: new Date(now())
      })
      const { scope = '', patient } = payload
      if (typeof scope !== 'string') return undefined
      return { scope, ...(typeof patient === 'string' ? { patient } : {}) }
    } catch {
      return undefined
    }
  }
}

function configuration(
  { issuer, fhirBase, clients, clinician }: AuthorizationServerParts, key: object, granted: ReadonlyMap<string, LaunchContext>
): Record<string, unknown> {
  const contextOf = (token: { readonly grantId?: string }) => token.grantId === undefined ? undefined : granted.get(token.grantId)
  return {
    adapter: openGrantStore(),
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    clients: clients.map(registeredClient),
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'], idTokenSigningAlgValues: ['ES384'] },
    scopes: IDENTITY_SCOPES,
    claims: { openid: ['sub'], fhirUser: ['fhirUser'], profile: ['name'] },
    conformIdTokenClaims: false,
    extraParams: ['aud', 'launch'],
    pkce: { required: () => true },
    responseTypes: ['code'],
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `${new URL(issuer).pathname}/interaction/${uid}` },
    loadExistingGrant: (context: { oidc: { result?: { consent?: { grantId?: string } }; provider: Provider } }) => {
      const grantId = context.oidc.result?.consent?.grantId
      return grantId === undefined ? undefined : context.oidc.provider.Grant.find(grantId)
    },
    findAccount: (_context: unknown, id: string) => id !== clinician.id ? undefined : {
      accountId: id,
      claims: () => ({ sub: id, fhirUser: `${fhirBase}/Practitioner/${clinician.id}`, name: clinician.name })
    },
    extraTokenClaims: (_context: unknown, token: { readonly grantId?: string }) => {
      const patient = contextOf(token)?.patient
      return patient === undefined ? undefined : { patient }
    },
    expiresWithSession: () => false,
    issueRefreshToken: (_context: unknown, client: { grantTypeAllowed(type: string): boolean }, code: { scopes: Set<string> }) =>
      client.grantTypeAllowed('refresh_token') && (code.scopes.has('online_access') || code.scopes.has('offline_access')),
    rotateRefreshToken: true,
    clientBasedCORS: () => false,
    renderError: (context: { type: string; body: unknown }) => {
      context.type = 'html'
      context.body = refusalPage('This EHR cannot accept the request of the app. Open the app again from the chart.')
    },
    ttl: {
      AccessToken: ACCESS_SECONDS, AuthorizationCode: 60, ClientCredentials: ACCESS_SECONDS, IdToken: ACCESS_SECONDS,
      Grant: SHIFT_SECONDS, Interaction: 600, RefreshToken: SHIFT_SECONDS, Session: SHIFT_SECONDS
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      rpInitiatedLogout: { enabled: false },
      userinfo: { enabled: false },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => fhirBase,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: FHIR_SCOPES.join(' '), audience: fhirBase, accessTokenTTL: ACCESS_SECONDS, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES384' } }
        })
      }
    }
  }
}

function registeredClient({ clientId, publicKey, redirectUris }: Registration): Record<string, unknown> {
  const app = redirectUris.length > 0
  return {
    client_id: clientId,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: publicKey.alg,
    jwks: { keys: [publicKey] },
    redirect_uris: redirectUris,
    response_types: app ? ['code'] : [],
    grant_types: app ? ['authorization_code', 'refresh_token'] : ['client_credentials'],
    id_token_signed_response_alg: 'ES384'
  }
}

/** `patient`, `encounter` and the rest beside the access token, where SMART apps look for them. */
function addLaunchContext(provider: Provider, granted: ReadonlyMap<string, LaunchContext>): void {
  provider.use(async (context, next) => {
    await next()
    const grantId = context.oidc?.entities?.['AccessToken']?.grantId
    const launched = grantId === undefined ? undefined : granted.get(grantId)
    if (context.oidc?.route !== 'token' || context.status !== 200 || !launched) return
    context.body = { ...(context.body as object), ...launched, need_patient_banner: true }
  })
}

function smartConfiguration(issuer: string) {
  return {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    revocation_endpoint: `${issuer}/token/revocation`,
    authorization_response_iss_parameter_supported: true,
    token_endpoint_auth_methods_supported: ['private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384'],
    grant_types_supported: ['authorization_code', 'client_credentials', 'refresh_token'],
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    scopes_supported: [...IDENTITY_SCOPES, 'patient/*.cruds', 'user/*.cruds', 'system/*.cruds'],
    capabilities: [
      'launch-ehr', 'launch-standalone', 'client-confidential-asymmetric', 'sso-openid-connect', 'context-banner', 'context-ehr-patient',
      'context-ehr-encounter', 'context-standalone-patient', 'permission-online', 'permission-offline', 'permission-patient', 'permission-user',
      'permission-v1', 'permission-v2', 'authorize-post'
    ]
  }
}
