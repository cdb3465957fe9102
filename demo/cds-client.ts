import { randomUUID } from 'node:crypto'
import { importJWK, SignJWT } from 'jose'
import { z } from 'zod'
import type { SigningKey } from '../src/config.ts'
import { CLINICIAN, encounterOf, METHOTREXATE, proposedAppointmentOf } from './patients.ts'
import { readPrefetch } from './prefetch.ts'

export interface CdsClientParts {
  readonly jointlensUrl: string
  readonly fhirBase: string
  /** `iss` of our calls, and where the service finds the key. */
  readonly issuer: string
  readonly jku: string
  readonly key: SigningKey
  issueToken(access: { scope: string; patient: string; clientId: string; lifetimeSeconds: number }): Promise<string>
  /** The proposed appointment, as it lies in the record. */
  readAppointment(id: string): Promise<unknown>
  /** What the service is registered as; `subject` of its token. */
  readonly clientId: string
}

export interface HookCall {
  /** HTTP status of the hook, and its time without ours. */
  readonly status: number
  readonly ms: number
  /** The body that was sent, without tokens. */
  readonly request: Readonly<Record<string, unknown>>
  readonly response: unknown
}

export interface CdsClient {
  services(): Promise<readonly CdsService[]>
  /** undefined when no such service is discovered, or its hook is none of ours. */
  call(serviceId: string, patientId: string): Promise<HookCall | undefined>
  feedback(serviceId: string, event: Readonly<Record<string, unknown>>): Promise<number>
}

const discovery = z.object({
  services: z.array(z.object({ id: z.string(), hook: z.string(), title: z.string().optional(), prefetch: z.record(z.string(), z.string()).default({}) }))
})
export type CdsService = z.infer<typeof discovery>['services'][number]

const HOOK_TOKEN_SECONDS = 300
const JWT_SECONDS = 240
const WAIT_MS = 10_000
const READABLE = [
  'Patient', 'Condition', 'Encounter', 'Appointment', 'Media', 'DocumentReference', 'Binary', 'Observation', 'DiagnosticReport',
  'MedicationRequest', 'Device', 'Provenance', 'Practitioner'
]
/** CDS Hooks 2.0 writes scopes of SMART version 1. */
const HOOK_SCOPE = READABLE.map((type) => `patient/${type}.read`).join(' ')

/** A CDS client as an EHR has one: every call signed with a fresh JWT, prefetch filled, a short-lived token for one patient. */
export function openCdsClient(parts: CdsClientParts): CdsClient {
  const { jointlensUrl, fhirBase } = parts

  async function send(method: 'GET' | 'POST', url: string, body?: unknown) {
    const response = await fetch(url, {
      method,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${await signed(parts, url)}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(WAIT_MS)
    })
    const text = await response.text()
    return { status: response.status, body: parsed(text) }
  }

  async function services(): Promise<readonly CdsService[]> {
    const { status, body } = await send('GET', `${jointlensUrl}/cds-services`)
    const found = discovery.safeParse(body)
    if (status !== 200 || !found.success) throw new Error(`Expected the services of JointLens but received status ${status}`)
    return found.data.services
  }

  return {
    services,
    async call(serviceId, patientId) {
      const service = (await services()).find(({ id }) => id === serviceId)
      const context = service && await contextOf(service.hook, patientId, parts)
      if (!context) return undefined
      const token = await parts.issueToken({ scope: HOOK_SCOPE, patient: patientId, clientId: parts.clientId, lifetimeSeconds: HOOK_TOKEN_SECONDS })
      const fhirAuthorization = {
        access_token: token, token_type: 'Bearer', expires_in: HOOK_TOKEN_SECONDS, scope: HOOK_SCOPE, subject: parts.clientId, patient: patientId
      }
      const request = {
        hook: service.hook,
        hookInstance: randomUUID(),
        fhirServer: fhirBase,
        fhirAuthorization,
        context,
        prefetch: await readPrefetch(service.prefetch, context, { base: fhirBase, token })
      }
      const began = performance.now()
      const { status, body } = await send('POST', `${jointlensUrl}/cds-services/${encodeURIComponent(serviceId)}`, request)
      const ms = Math.round((performance.now() - began) * 10) / 10
      return { status, ms, request: { ...request, fhirAuthorization: { ...fhirAuthorization, access_token: '[redacted]' } }, response: body }
    },
    async feedback(serviceId, event) {
      const { status } = await send('POST', `${jointlensUrl}/cds-services/${encodeURIComponent(serviceId)}/feedback`, { feedback: [event] })
      return status
    }
  }
}

/** `aud` is the exact address that is called (CDS Hooks 2.0.1, trusting CDS clients). */
async function signed({ issuer, jku, key }: CdsClientParts, audience: string): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1000)
  return new SignJWT({})
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', jku })
    .setIssuer(issuer).setAudience(audience).setJti(randomUUID())
    .setIssuedAt(issuedAt).setExpirationTime(issuedAt + JWT_SECONDS)
    .sign(await importJWK(key, key.alg))
}

/** What the clinician is doing, for each hook of HL7/cds-hooks-library that this EHR fires. */
async function contextOf(hook: string, patientId: string, parts: CdsClientParts): Promise<Record<string, unknown> | undefined> {
  const inVisit = { userId: `Practitioner/${CLINICIAN.id}`, patientId, encounterId: encounterOf(patientId) }
  const bundleOf = (resource: unknown) => ({ resourceType: 'Bundle', type: 'collection', entry: [{ resource }] })
  if (hook === 'patient-view' || hook === 'encounter-start') return inVisit
  if (hook === 'appointment-book') {
    const { encounterId: _later, ...booking } = inVisit
    return { ...booking, appointments: bundleOf({ ...(await parts.readAppointment(proposedAppointmentOf(patientId)) as object), status: 'proposed' }) }
  }
  if (hook !== 'order-select') return undefined
  const draft = {
    resourceType: 'MedicationRequest', id: 'draft-1', status: 'draft', intent: 'order',
    subject: { reference: `Patient/${patientId}` }, medicationCodeableConcept: METHOTREXATE
  }
  return { ...inVisit, selections: [`MedicationRequest/${draft.id}`], draftOrders: bundleOf(draft) }
}

function parsed(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
