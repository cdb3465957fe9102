import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { fileURLToPath } from 'node:url'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { ScreeningError } from './errors.ts'
import { referenceTo } from './fhir/logical-id.ts'
import { isKnownToAll } from './known-private-keys.ts'
import { webAddress } from './web-address.ts'

const httpUrl = z.url({ protocol: /^https?$/ }).transform((value) => webAddress(value) ?? value)
const webOrigin = httpUrl.refine((value) => URL.parse(value)?.origin === value, 'Expected an origin such as https://ehr.example, without a path')
const algorithm = z.enum(['RS384', 'ES384'])
const privateJwk = z.looseObject({ kty: z.enum(['RSA', 'EC']), kid: z.string(), alg: algorithm, d: z.string() })
const publicJwk = z.looseObject({ kty: z.enum(['RSA', 'EC']), kid: z.string() })

/** The environment variable that holds a shared secret: a file of settings is read by more people than a secret should be. */
const secretEnv = z.string().regex(/^[A-Z][A-Z0-9_]{0,99}$/)

/** A CDS client whose signed calls we accept (specs/security.md section 3). */
const cdsClient = z.strictObject({
  issuer: z.string().min(1),
  /** What the `tenant` claim of its tokens says, for an issuer that calls for several organisations. */
  tenant: z.string().min(1).optional(),
  /** The one key set address that this issuer may name; keys are fetched from nowhere else. */
  jku: z.url({ protocol: /^https?$/ }).optional(),
  keys: z.array(publicJwk).optional(),
  /** Accepted besides the address that was called. */
  audiences: z.array(z.string()).default([]),
  algorithms: z.array(algorithm).min(1).default(['RS384', 'ES384'])
}).refine(({ jku, keys = [] }) => jku !== undefined || keys.length > 0, 'Expected jku or keys: without them every call is refused')

const tenant = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]{1,40}$/),
  name: z.string().min(1),
  fhirBase: httpUrl,
  /** Addresses that this very record had before: what the store knows of its patients still holds. */
  formerFhirBases: z.array(httpUrl).default([]),
  /** shadow: results are stored, nothing is shown or written. assist: cards and, if allowed, preliminary writes. */
  mode: z.enum(['shadow', 'assist']).default('shadow'),
  /** suggest: only an accepted suggestion writes. preliminary: our own writer records the AI's preliminary results too. */
  write: z.enum(['suggest', 'preliminary']).default('suggest'),
  language: z.enum(['en', 'de']).default('en'),
  timeZone: z.string().refine(isTimeZone, 'Expected an IANA time zone, for example Europe/Berlin').default('UTC'),
  /** Browser origins of the EHR: CORS of the hooks and frame-ancestors of the app. */
  allowedOrigins: z.array(webOrigin).default([]),
  /** Further origins photos, keys and exported files that want no token may be fetched from (never with the FHIR token). */
  photoOrigins: z.array(httpUrl).default([]),
  /** The EHR lives in a private network or on loopback: addresses that egress may then connect to. */
  allowPrivateNetwork: z.boolean().default(false),
  /** http instead of https; refused outside development. */
  allowHttp: z.boolean().default(false),
  /** A photo older than this is shown as old and not called current. */
  currentPhotoDays: z.number().int().positive().default(30),
  /** Only patients with a recorded RA diagnosis get a card. */
  requireDiagnosis: z.boolean().default(true),
  calibrationFile: z.string().optional(),
  /** Subscription notifications at /fhir/notifications/{id}: accepted with the secret that this environment variable holds. */
  notifications: z.strictObject({
    secretEnv,
    /** As `channel.header` of the Subscription names it. */
    header: z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/).default('Authorization'),
    /** Ids of the Subscriptions that may notify; every one when absent. */
    subscriptions: z.array(z.string().min(1).max(64)).optional()
  }).optional(),
  /** What clinicians did with the cards, at /feedback/{id}: for whoever knows the secret that this environment variable holds. */
  feedbackPage: z.strictObject({ secretEnv }).optional(),
  /** How often the record is asked for photos that changed, whether or not it notifies. */
  pollMinutes: z.number().int().min(1).max(1440).optional(),
  /** Screen everyone with an appointment, by itself, once per date: from this time on the site's clock. */
  previsit: z.strictObject({
    at: z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'Expected HH:MM'),
    /** 1: tomorrow's appointments. */
    daysAhead: z.number().int().min(0).max(14).default(1),
    /** The worklist is written to a folder of the date below this one. */
    out: z.string().min(1).optional()
  }).optional(),
  /** Whose appointments make the lists, for a record that gives none by date alone. */
  appointmentsOf: z.array(z.string().regex(referenceTo('Practitioner|Location'), 'Expected Practitioner/id or Location/id')).default([]),
  /** What was derived from photos is erased so many days after it was made; kept when absent. */
  retentionDays: z.number().int().min(1).max(36_500).optional(),
  /** SMART Backend Services client. */
  backend: z.strictObject({ clientId: z.string(), key: privateJwk, scope: z.string() }).optional(),
  cdsClients: z.array(cdsClient).default([]),
  discoveryNeedsJwt: z.boolean().default(false),
  /** The SMART app's registration at this EHR. */
  smart: z.strictObject({
    clientId: z.string(), key: privateJwk, scope: z.string(),
    /** false for a server whose id_token comes without the nonce that was sent; PKCE binds the code to the launch then, and the server must say that it does. */
    sendNonce: z.boolean().default(true)
  }).optional(),
  /** Published beside the signing keys while they are exchanged: the next one before it signs, the last one until nobody asks for it. */
  publishedKeys: z.array(publicJwk).default([])
})

const settings = z.strictObject({ tenants: z.array(tenant).default([]) })

export type TenantConfig = z.infer<typeof tenant>
export type CdsClientConfig = z.infer<typeof cdsClient>
export type SigningKey = z.infer<typeof privateJwk>

/** The model that comes with JointLens, from whatever folder it is started. */
export const BUNDLED_MODEL = fileURLToPath(new URL('../models/hand-joints/0.1.0', import.meta.url))

/** Characters of a shared secret: 128 random bits in hex. */
const MIN_SECRET = 32

const environment = z.object({
  PORT: z.coerce.number().int().min(0).max(65535).default(8080),
  HOST: z.string().default('127.0.0.1'),
  PUBLIC_URL: httpUrl.optional(),
  /** As Express's `trust proxy` takes them. */
  TRUSTED_PROXIES: z.string().default('').transform((value) => value.split(',').map((one) => one.trim()).filter(Boolean))
    .refine((listed) => listed.every(isNetwork), 'Expected addresses or networks, for example "10.0.0.0/8, 127.0.0.1"'),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  JOINTLENS_DATA: z.string().default('data'),
  INFERENCE_URL: httpUrl.optional(),
  JOINTLENS_MODEL: z.string().default(BUNDLED_MODEL),
  JOINTLENS_DEVICE: z.enum(['auto', 'cpu', 'webgpu', 'cuda']).default('auto'),
  JOINTLENS_MODE: z.enum(['shadow', 'assist']).optional(),
  JOINTLENS_CONFIG: z.string().optional(),
  JOINTLENS_WORKERS: z.coerce.number().int().min(1).max(64).optional(),
  JOINTLENS_PATIENTS_AT_ONCE: z.coerce.number().int().min(1).max(32).optional(),
  JOINTLENS_PROFILE: z.enum(['development', 'production']).default('production'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  METRICS_SECRET: z.string().min(MIN_SECRET, `Expected a secret of at least ${MIN_SECRET} characters`).optional()
})

export interface Config {
  readonly host: string
  readonly port: number
  /** The address others call us by; audience of CDS tokens, redirect base of the app. Never taken from a Host header. */
  readonly publicUrl: string
  /** Whom we believe when they say for which address they call (X-Forwarded-For); nobody when absent. */
  readonly trustedProxies?: readonly string[]
  readonly databaseUrl?: string
  /** Folder of the embedded store. */
  readonly dataDir: string
  readonly inferenceUrl?: string
  readonly modelDir: string
  readonly device: 'auto' | 'cpu' | 'webgpu' | 'cuda'
  readonly workers?: number
  /** Patients that one process screens side by side. */
  readonly patientsAtOnce?: number
  readonly profile: 'development' | 'production'
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'silent'
  readonly tenants: readonly TenantConfig[]
  /** By tenant, what `notifications.secretEnv` named. Kept apart from the tenants, which travel everywhere. */
  readonly notificationSecrets?: Readonly<Record<string, string>>
  /** The same of `feedbackPage.secretEnv`. */
  readonly feedbackSecrets?: Readonly<Record<string, string>>
  /** Asked for at /metrics; without it everybody who reaches that address may read it. */
  readonly metricsSecret?: string
}

/** Reads and checks the environment and JOINTLENS_CONFIG once. Throws ERR_CONFIG naming the setting, the value's fault and what was expected. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const values = check(environment, withoutEmpty(env), 'environment')
  const file = values.JOINTLENS_CONFIG ? readSettings(values.JOINTLENS_CONFIG) : { tenants: [] }
  return makeConfig({
    host: values.HOST,
    port: values.PORT,
    publicUrl: values.PUBLIC_URL ?? `http://${values.HOST}:${values.PORT}`,
    trustedProxies: values.TRUSTED_PROXIES,
    ...(values.DATABASE_URL ? { databaseUrl: values.DATABASE_URL } : {}),
    dataDir: values.JOINTLENS_DATA,
    ...(values.INFERENCE_URL ? { inferenceUrl: values.INFERENCE_URL } : {}),
    modelDir: values.JOINTLENS_MODEL,
    device: values.JOINTLENS_DEVICE,
    ...(values.JOINTLENS_WORKERS ? { workers: values.JOINTLENS_WORKERS } : {}),
    ...(values.JOINTLENS_PATIENTS_AT_ONCE ? { patientsAtOnce: values.JOINTLENS_PATIENTS_AT_ONCE } : {}),
    profile: values.JOINTLENS_PROFILE,
    logLevel: values.LOG_LEVEL,
    ...(values.METRICS_SECRET ? { metricsSecret: values.METRICS_SECRET } : {}),
    tenants: file.tenants.map((one) => (values.JOINTLENS_MODE ? { ...one, mode: values.JOINTLENS_MODE } : one)),
    notificationSecrets: secretsOf(file.tenants, 'notifications', env),
    feedbackSecrets: secretsOf(file.tenants, 'feedbackPage', env)
  })
}

type SecretSetting = 'notifications' | 'feedbackPage'

function secretsOf(tenants: readonly TenantConfig[], setting: SecretSetting, env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  return Object.fromEntries(tenants.flatMap(({ id, [setting]: named }) => named ? [[id, env[named.secretEnv] ?? '']] : []))
}

/** The rules that hold between settings; also for a config put together in code (demo, tests). */
export function makeConfig(config: Config): Config {
  const ids = config.tenants.map(({ id }) => id)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice) throw new ScreeningError('ERR_CONFIG', `Expected each tenant id once but received "${twice}" twice`)
  const bases = config.tenants.map(({ fhirBase }) => fhirBase)
  const shared = bases.find((base, index) => bases.indexOf(base) !== index)
  if (shared) throw new ScreeningError('ERR_CONFIG', `Expected each tenants.fhirBase once but received "${shared}" twice`)
  const callers = config.tenants.flatMap(({ id, cdsClients }) => cdsClients.map(({ issuer, tenant = id }) => JSON.stringify([issuer, tenant])))
  const calledTwice = callers.find((one, index) => callers.indexOf(one) !== index)
  if (calledTwice) throw new ScreeningError('ERR_CONFIG', `Expected each issuer and tenant of tenants.cdsClients once but received ${calledTwice} twice`)
  for (const one of config.tenants) {
    if (one.mode === 'assist' && !one.calibrationFile)
      throw new ScreeningError('ERR_CONFIG', `Expected tenants.${one.id}.calibrationFile (made by "jointlens calibrate") for mode assist but received none; use mode shadow until the site is calibrated`)
    for (const [setting, secrets] of [['notifications', config.notificationSecrets], ['feedbackPage', config.feedbackSecrets]] as const)
      if (one[setting] && (secrets?.[one.id] ?? '').length < MIN_SECRET)
        throw new ScreeningError('ERR_CONFIG', `Expected ${one[setting].secretEnv} (tenants.${one.id}.${setting}.secretEnv) to hold a secret of at least ${MIN_SECRET} characters but it does not`)
    if (config.profile === 'production' && (one.allowHttp || one.fhirBase.startsWith('http:')))
      throw new ScreeningError('ERR_CONFIG', `Expected https for tenants.${one.id}.fhirBase in the production profile but received http; JOINTLENS_PROFILE=development allows it`)
    const unsafe = one.cdsClients.find(({ jku }) => jku?.startsWith('http:'))
    if (config.profile === 'production' && unsafe)
      throw new ScreeningError('ERR_CONFIG', `Expected https for jku of tenants.${one.id}.cdsClients in the production profile but received "${unsafe.jku}"; JOINTLENS_PROFILE=development allows it`)
    const open = one.cdsClients.find(({ keys = [] }) => keys.some(isKnownToAll))
    if (config.profile === 'production' && open)
      throw new ScreeningError('ERR_CONFIG', `Expected keys of tenants.${one.id}.cdsClients that only the client can sign with but received, for ${open.issuer}, one whose private half is public; JOINTLENS_PROFILE=development allows it`)
  }
  return Object.freeze(config)
}

/** Checks one tenant's settings, for configs put together in code. */
export function makeTenant(settings: z.input<typeof tenant>): TenantConfig {
  return check(tenant, settings, 'tenant')
}

function readSettings(path: string): z.infer<typeof settings> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected JOINTLENS_CONFIG to name a readable YAML file but received "${path}"`, { cause })
  }
  return check(settings, parsed(text, path) ?? {}, path)
}

/** What is wrong and where, but not the lines themselves: they may hold a key. */
function parsed(text: string, path: string): unknown {
  const document = parseDocument(text, { prettyErrors: true })
  const [fault] = document.errors
  if (fault) throw new ScreeningError('ERR_CONFIG', `Expected ${path} to be YAML but received something else in line ${fault.linePos?.[0].line ?? '?'} (${fault.code})`)
  try {
    return document.toJS()
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected ${path} to be YAML without aliases that lead nowhere`, { cause })
  }
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.infer<Schema> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const faults = result.error.issues.map((issue) => `${issue.path.join('.') || where}: ${issue.message}`)
  throw new ScreeningError('ERR_CONFIG', `${where} is not valid. ${faults.join('; ')}`)
}

function isNetwork(value: string): boolean {
  const [, address = '', prefix = '0'] = /^([\da-f.:]+)(?:\/(\d{1,3}))?$/i.exec(value) ?? []
  return isIP(address) !== 0 && Number(prefix) <= (isIP(address) === 6 ? 128 : 32)
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

function withoutEmpty(env: Readonly<Record<string, string | undefined>>) {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
}
