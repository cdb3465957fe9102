import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import express, { type Express } from 'express'
import type { makeTenant } from '../src/config.ts'
import { openAuthorizationServer } from './authorization-server.ts'
import { openCdsClient } from './cds-client.ts'
import { openFhirServer } from './fhir-server.ts'
import { freshKey, publicPart } from './keys.ts'
import { CLINICIAN, DEMO_PATIENTS, encounterOf, fillRecord, nameOf } from './patients.ts'
import { DemoRecord } from './record.ts'
import { openRoutes } from './routes.ts'
import { openWeather } from './weather.ts'

export interface DemoEhrOptions {
  /** 0 takes a free one. */
  readonly port: number
  readonly host: string
  /** Where JointLens answers, or will: its hooks, and the redirect address of its app. */
  readonly jointlensUrl: string
  readonly photoDir?: string
  readonly now?: Date
}

export interface DemoEhr {
  readonly url: string
  /** How JointLens must be configured for this EHR, with the keys it is registered with; mode and calibration are its own matter. */
  readonly tenant: TenantSettings
  close(): Promise<void>
}

export type TenantSettings = Parameters<typeof makeTenant>[0]

export const DEMO_PHOTOS = fileURLToPath(new URL('./photos/', import.meta.url))

/** The embedded EHR: FHIR server, authorization server, chart and CDS client on one port, with its patients in memory. */
export async function startDemoEhr({ port, host, jointlensUrl, photoDir = DEMO_PHOTOS, now = new Date() }: DemoEhrOptions): Promise<DemoEhr> {
  const app = express()
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 30_000 }, app)
  server.listen(port, host)
  await once(server, 'listening')
  const url = `http://${host}:${(server.address() as AddressInfo).port}`
  try {
    const tenant = await furnish(app, { url, jointlensUrl, photoDir, now })
    return { url, tenant, close: () => stop(server) }
  } catch (error) {
    await stop(server)
    throw error
  }
}

async function furnish(
  app: Express, { url, jointlensUrl, photoDir, now }: { url: string; jointlensUrl: string; photoDir: string; now: Date }
): Promise<TenantSettings> {
  const [fhirBase, jku] = [`${url}/fhir`, `${url}/demo/keys`]
  const [appKey, backendKey, cdsKey] = await Promise.all([freshKey('ES384'), freshKey('RS384'), freshKey('ES384')])
  const record = new DemoRecord()
  await fillRecord(record, { fhirBase, photoDir, now })
  const authorization = await openAuthorizationServer({
    issuer: `${url}/auth`,
    fhirBase,
    clinician: CLINICIAN,
    clients: [
      { clientId: 'jointlens-app', publicKey: publicPart(appKey), redirectUris: [`${jointlensUrl}/smart/callback`] },
      { clientId: 'jointlens-backend', publicKey: publicPart(backendKey), redirectUris: [] }
    ],
    patients: () => Promise.resolve(DEMO_PATIENTS.map((one) => ({ id: one.id, name: nameOf(one), encounter: encounterOf(one.id) })))
  })
  const cds = openCdsClient({
    jointlensUrl, fhirBase, issuer: fhirBase, jku, key: cdsKey, issueToken: authorization.issueToken, clientId: 'jointlens-backend',
    readAppointment: (id) => record.readResource('Appointment', id)
  })

  app.disable('x-powered-by')
  app.use(onlyHost(new URL(url).host), pageHeaders)
  const sky = openWeather()
  app.use('/fhir', sky.middleware)
  app.use('/fhir', openFhirServer({ base: fhirBase, record, verify: authorization.verify, smartConfiguration: authorization.smartConfiguration }))
  app.use('/auth', authorization.router)
  app.get('/demo/keys', (_request, response) => void response.set('Cache-Control', 'public, max-age=300').json({ keys: [publicPart(cdsKey)] }))
  app.use(openRoutes({ record, fhirBase, jointlensUrl, cds, authorization, onWeather: sky.change }))
  app.use((_request, response) => void response.status(404).json({ error: 'Nothing answers here' }))

  return {
    id: 'demo',
    name: 'Demo EHR (synthetic patients)',
    fhirBase,
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    allowHttp: true,
    allowPrivateNetwork: true,
    allowedOrigins: [url],
    backend: { clientId: 'jointlens-backend', key: backendKey, scope: BACKEND_SCOPE },
    cdsClients: [{ issuer: fhirBase, jku }],
    smart: { clientId: 'jointlens-app', key: appKey, scope: APP_SCOPE }
  }
}

const BACKEND_SCOPE = [
  ...['Patient', 'Condition', 'Encounter', 'Appointment', 'Media', 'DocumentReference', 'Binary', 'MedicationRequest', 'Practitioner'].map((type) => `system/${type}.rs`),
  ...['Observation', 'DiagnosticReport', 'Provenance', 'Device', 'Task'].map((type) => `system/${type}.crus`)
].join(' ')
const APP_SCOPE = [
  'openid', 'fhirUser', 'launch', 'online_access',
  ...['Patient', 'Condition', 'Encounter', 'DocumentReference', 'MedicationRequest', 'Practitioner'].map((type) => `patient/${type}.rs`),
  ...['Media', 'Binary', 'Observation', 'DiagnosticReport', 'Provenance', 'Device'].map((type) => `patient/${type}.crus`)
].join(' ')

/** Whoever comes is signed in, so a page on the internet whose name leads here (DNS rebinding) must get nothing. */
function onlyHost(host: string): express.RequestHandler {
  const port = host.split(':').at(-1)
  const own = new Set([host, `localhost:${port}`, `127.0.0.1:${port}`])
  return (request, response, next) => {
    if (own.has(request.headers.host ?? '')) return next()
    response.status(421).json({ error: `Expected to be called as ${host}` })
  }
}

const pageHeaders: express.RequestHandler = (_request, response, next) => {
  response.set({
    'Content-Security-Policy':
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer'
  })
  next()
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
