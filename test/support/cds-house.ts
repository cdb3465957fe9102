import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type { FhirResource } from 'fhir/r4.js'
import { exportJWK, generateKeyPair, SignJWT, type JSONWebKeySet, type JWTPayload } from 'jose'
import pino from 'pino'
import { openAudit, type Audit } from '../../src/audit.ts'
import { openClientVerifier } from '../../src/cds-hooks/client-jwt.ts'
import { checkResponse, type Card } from '../../src/cds-hooks/protocol.ts'
import { createCdsRouter } from '../../src/cds-hooks/router.ts'
import type { HookRecord } from '../../src/cds-hooks/services/answer.ts'
import { makeTenant, type TenantConfig } from '../../src/config.ts'
import { suggestionResources } from '../../src/fhir/resources/screening-bundle.ts'
import { screeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { lastResort } from '../../src/last-resort.ts'
import { openCardStore } from '../../src/screening/store/card-store.ts'
import { openFeedbackStore } from '../../src/screening/store/feedback-store.ts'
import { openJtiStore } from '../../src/screening/store/jti-store.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import type { Screening, ScreeningStatus } from '../../src/screening/screening.ts'
import { LEFT_PHOTO, RIGHT_PHOTO, sampleScreening } from './screening-sample.ts'

export const ISSUER = 'https://ehr.example'
export const JKU = 'https://ehr.example/jwks'
export const NOW = Date.parse('2026-11-24T09:00:00Z')

const es384 = await generateKeyPair('ES384', { extractable: true })
const rs384 = await generateKeyPair('RS384', { extractable: true })
export const KEYS = { ES384: es384, RS384: rs384 }
export async function publicKeys(): Promise<JSONWebKeySet> {
  return { keys: [{ ...(await exportJWK(es384.publicKey)), kid: 'es', alg: 'ES384' }, { ...(await exportJWK(rs384.publicKey)), kid: 'rs', alg: 'RS384' }] }
}

export type Signing = { alg?: 'ES384' | 'RS384'; header?: Record<string, unknown>; claims?: JWTPayload; omit?: string[] }

/** A token as an EHR signs it, with anything changed. */
export async function signed(audience: string, { alg = 'ES384', header = {}, claims = {}, omit = [] }: Signing = {}): Promise<string> {
  const at = Math.floor(NOW / 1000)
  const payload: JWTPayload = { iss: ISSUER, aud: audience, iat: at, exp: at + 300, jti: randomUUID(), ...claims }
  for (const name of omit) delete payload[name]
  return new SignJWT(payload).setProtectedHeader({ alg, kid: alg === 'ES384' ? 'es' : 'rs', typ: 'JWT', jku: JKU, ...header }).sign(KEYS[alg].privateKey)
}

/** A finished screening of two days ago with these changes. */
export function storedScreening(change: Partial<Screening> = {}): Screening {
  const sample = sampleScreening()
  const read = { sha256: 'ab'.repeat(32), assessment: { photoSha256: 'ab'.repeat(32), width: 1, height: 1, model: sample.model, hands: [] } }
  return {
    id: '11111111-2222-4333-8444-555555555555', tenant: 'clinic', patientId: 'pat-1', state: 'done',
    photos: [{ ...LEFT_PHOTO, ...read }, { ...RIGHT_PHOTO, ...read }],
    findings: sample.findings, count: sample.count, model: sample.model,
    photoTime: '2026-11-22T08:12:00Z', completedAt: '2026-11-22T08:13:00.000Z', written: [], ...change
  }
}

export const PATIENT_WITH_RA = {
  resourceType: 'Condition', subject: { reference: 'Patient/pat-1' }, clinicalStatus: { coding: [{ code: 'active' }] },
  code: { coding: [{ system: 'http://hl7.org/fhir/sid/icd-10-cm', code: 'M05.79' }] }
}
export const searchset = (...resources: object[]) => ({ resourceType: 'Bundle', type: 'searchset', entry: resources.map((resource) => ({ resource })) })

interface HouseOptions {
  /** Whose X-Forwarded-For is believed, as the service is told by TRUSTED_PROXIES. */
  readonly trustedProxies?: readonly string[]
  readonly callsPerSecond?: number
  readonly callsPerAddress?: number
}

/** The real router over real HTTP and a real store; screenings and the record are what the test says. */
export async function openCdsHouse(store: Store, settings: Partial<TenantConfig> = {}, { trustedProxies, callsPerSecond, callsPerAddress }: HouseOptions = {}) {
  const house = {
    status: { pending: false } as ScreeningStatus,
    record: { photos: [], conditions: [PATIENT_WITH_RA], conditionsComplete: true } as HookRecord,
    requested: [] as string[],
    /** What the queue says to a request. */
    refuses: undefined as Error | undefined,
    now: NOW,
    keyFetches: 0,
    keys: await publicKeys(),
    keysAnswer: true,
    /** The key set is asked and never answers. */
    keysHang: false
  }
  const tenant = makeTenant({
    id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', mode: 'assist', calibrationFile: 'site.json',
    allowedOrigins: ['https://chart.example'], cdsClients: [{ issuer: ISSUER, jku: JKU }], ...settings
  })
  const app = express()
  app.set('trust proxy', trustedProxies ?? false)
  const server = createServer({ maxHeaderSize: 32_768 }, app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const publicUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const log = pino({ level: 'silent' })
  const audit: Audit = openAudit(store)
  const feedback = openFeedbackStore(store)
  app.use('/cds-services', createCdsRouter({
    publicUrl, tenants: [tenant], audit, feedback, log, cards: openCardStore(store), clock: () => house.now, newId: randomUUID,
    ...(callsPerAddress ? { callsPerAddress } : {}),
    verifier: openClientVerifier({
      tenants: [tenant], jti: openJtiStore(store), clock: () => house.now,
      ...(callsPerSecond ? { callsPerSecond } : {}),
      fetchKeys: () => {
        house.keyFetches++
        if (house.keysHang) return new Promise<never>(() => undefined)
        return house.keysAnswer ? Promise.resolve(house.keys) : Promise.reject(new Error('no answer'))
      }
    }),
    screenings: {
      status: () => Promise.resolve(house.status),
      history: () => Promise.resolve(house.status.latest ? [house.status.latest] : []),
      request: (_tenant, patientId) => house.refuses ? Promise.reject(house.refuses) : Promise.resolve(void house.requested.push(patientId)),
      settled: () => Promise.resolve(house.status),
      signed: () => Promise.resolve()
    },
    resourcesFor: (_tenant, screening): readonly FhirResource[] =>
      suggestionResources(screeningResources(sampleScreening({ findings: screening.findings, count: screening.count })), screening.answered?.joints),
    recordFor: () => Promise.resolve(house.record),
    calibrationOf: () => 'the clinic'
  }))
  app.use(lastResort(log, () => house.now))

  async function post(path: string, body: unknown, { token, headers = {} }: { token?: string; headers?: Record<string, string> } = {}) {
    const url = `${publicUrl}/cds-services${path}`
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token ?? await signed(url)}`, ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: (text ? JSON.parse(text) : undefined) as { cards: Card[] } }
  }

  return {
    house, tenant, publicUrl, feedback, audit, post,
    async call(service: string, request: unknown = patientView(), headers: Record<string, string> = {}): Promise<Card[]> {
      const { status, body } = await post(`/${service}`, request, { headers })
      if (status !== 200) throw new Error(`Expected 200 but received ${status}: ${JSON.stringify(body)}`)
      const faults = checkResponse(body)
      if (faults.length > 0) throw new Error(`Card faults: ${faults.join(', ')}`)
      return body.cards
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

export function patientView(change: Record<string, unknown> = {}) {
  return {
    hook: 'patient-view', hookInstance: 'd1577c69-dfbe-44ad-ba6d-3e05e953b2ea', fhirServer: 'https://ehr.example/fhir',
    context: { userId: 'Practitioner/example', patientId: 'pat-1' }, ...change
  }
}
