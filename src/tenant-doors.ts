import type { FhirResource } from 'fhir/r4.js'
import type { JSONWebKeySet, JWK } from 'jose'
import type { Config, TenantConfig } from './config.ts'
import { ScreeningError } from './errors.ts'
import { fixedToken, openBackendTokens, type TokenSource } from './fhir/backend-auth.ts'
import { egressForTenant, type Egress } from './fhir/egress.ts'
import { findHandPhotos, photosFromBundle, readPhotoBytes, type HandPhoto } from './fhir/photo-sources.ts'
import { clinicianResources, previewOf } from './fhir/resources/clinician-resources.ts'
import { suggestionResources } from './fhir/resources/screening-bundle.ts'
import { screeningResources } from './fhir/resources/screening-resources.ts'
import { openFhirSession, type FhirSession } from './fhir/session.ts'
import { onceEach, signReview, type ReviewInput } from './fhir/sign-review.ts'
import { readKeySet, readOpenIdKeys, readSmartConfiguration } from './fhir/smart-configuration.ts'
import { requestToken } from './fhir/token-request.ts'
import type { Calibration, InferenceEngine } from './inference/engine/inference-engine.ts'
import { screeningInput, screeningSources } from './screening/screening-input.ts'
import type { ScreenedPhoto, Screening } from './screening/screening.ts'
import type { AppSession } from '../smart-launch/server/app-session.ts'
import type { ReviewRecord, SignedReview } from '../smart-launch/server/review-desk.ts'

/** One EHR's guarded ways out, opened once: egress with its sockets, and the backend token. */
interface Door {
  readonly tenant: TenantConfig
  readonly egress: Egress
  readonly backend: TokenSource
}

export type TenantDoors = ReturnType<typeof openTenantDoors>

/** Every tenant's connection to its EHR. Nothing reaches an EHR but through the door of its own tenant. */
export function openTenantDoors(config: Config, now: () => number = Date.now) {
  const doors = new Map<string, Door>(config.tenants.map((tenant) => {
    const egress = egressForTenant(tenant)
    return [tenant.id, { tenant, egress, backend: openBackendTokens(tenant, egress, now) }] as const
  }))
  const doorOf = ({ id }: TenantConfig): Door => {
    const door = doors.get(id)
    if (!door) throw new ScreeningError('ERR_CONFIG', `Expected a configured tenant but received "${id}"`)
    return door
  }
  const sessionWith = (tenant: TenantConfig, tokens: TokenSource): FhirSession =>
    openFhirSession({ tenant, egress: doorOf(tenant).egress, tokens })

  return {
    publicKeys: config.tenants.flatMap(({ backend, smart }) => [backend?.key, smart?.key]).flatMap((key) => key ? [publicPart(key)] : [])
      .filter((key, index, all) => all.findIndex(({ kid }) => kid === key.kid) === index),

    /** Work without a user, with SMART Backend Services. */
    backendSession: (tenant: TenantConfig): FhirSession => sessionWith(tenant, doorOf(tenant).backend),

    clientKeys: (tenant: TenantConfig, jku: string): Promise<JSONWebKeySet> =>
      readKeySet(doorOf(tenant).egress.alsoTo('keys', jku), jku),

    /** What a card's suggestion would create, from a stored screening. */
    suggestionResources(calibrations: ReadonlyMap<string, Calibration>, engine: InferenceEngine) {
      return (tenant: TenantConfig, screening: Screening, context: { encounterId?: string | undefined } = {}): readonly FhirResource[] =>
        suggestionResources(screeningResources(screeningInput(
          screening, calibrations.get(tenant.id) ?? engine.calibration, context.encounterId
        )))
    },

    /**
     * The patient's hand photos as this hook call lets us see them: prefetched, read with the call's own token, or by our
     * backend registration. undefined when there is no way to know.
     */
    async photosWithRequestToken(
      tenant: TenantConfig,
      request: { readonly fhirAuthorization?: { readonly access_token: string }; readonly prefetch: Readonly<Record<string, unknown>> },
      patientId: string
    ): Promise<readonly HandPhoto[] | undefined> {
      const prefetched = request.prefetch['photos']
      if (isCompleteBundle(prefetched)) return photosFromBundle(prefetched, patientId)
      if (request.fhirAuthorization)
        return findHandPhotos(sessionWith(tenant, fixedToken(request.fhirAuthorization.access_token)), patientId)
      return tenant.backend ? findHandPhotos(sessionWith(tenant, doorOf(tenant).backend), patientId) : undefined
    },

    discover: (tenant: TenantConfig) => readSmartConfiguration(tenant, doorOf(tenant).egress),
    openIdKeys: (tenant: TenantConfig) => readOpenIdKeys(tenant, doorOf(tenant).egress),
    requestToken(tenant: TenantConfig, tokenEndpoint: string, form: Record<string, string>) {
      if (!tenant.smart) throw new ScreeningError('ERR_CONFIG', `Expected tenants.${tenant.id}.smart for a launch but received none`)
      return requestToken(doorOf(tenant).egress, tokenEndpoint, tenant.smart, form, now)
    },

    reviewRecord: reviewRecord((session, tenant) => sessionWith(tenant, fixedToken(session.accessToken)), now),

    close: async () => {
      await Promise.all([...doors.values()].map(({ egress }) => egress.close()))
    }
  }
}

/** The app's view of the record, always with the token of the person who launched it. */
function reviewRecord(sessionOf: (session: AppSession, tenant: TenantConfig) => FhirSession, now: () => number): ReviewRecord {
  return {
    patient: (session, tenant) => sessionOf(session, tenant).read('Patient', session.patientId),
    photoBytes: (session, tenant, photo) => readScreenedPhoto(sessionOf(session, tenant), session.patientId, photo),
    previewFinal(session, _tenant, screening, review) {
      return previewOf(clinicianResources({ ...reviewInput(session, screening, review, now), aiObservation: () => undefined }))
    },
    writeFinal: (session, tenant, screening, review) =>
      signReview(sessionOf(session, tenant), reviewInput(session, screening, review, now))
  }
}

/** The photo again, by the reference that was screened; it must still be this patient's. */
async function readScreenedPhoto(session: FhirSession, patientId: string, { resourceType, id }: ScreenedPhoto): Promise<Uint8Array> {
  const resource = await session.read(resourceType, id)
  const [photo] = photosFromBundle({ entry: [{ resource }] }, patientId)
  if (!photo) throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected the photo that was read, of this patient; it has been withdrawn or moved')
  return readPhotoBytes(session, photo)
}

function reviewInput(session: AppSession, screening: Screening, { decisions, activity }: SignedReview, now: () => number): ReviewInput {
  if (!session.fhirUser) throw new ScreeningError('ERR_FORBIDDEN', 'Expected to know who signs, but the EHR sent no identity; nothing was written.')
  return {
    tenant: screening.tenant,
    patientId: session.patientId,
    ...(session.encounterId ? { encounterId: session.encounterId } : {}),
    performer: session.fhirUser,
    screeningId: screening.id,
    ...screeningSources(screening),
    findings: screening.findings,
    model: screening.model,
    decisions: onceEach(decisions),
    ...(activity ? { activity } : {}),
    signed: new Date(now()).toISOString()
  }
}

/** A searchset that is not one page of several. */
function isCompleteBundle(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('resourceType' in value) || value.resourceType !== 'Bundle') return false
  const links: unknown = 'link' in value ? value.link : []
  return !(Array.isArray(links) && links.some((link: unknown) => typeof link === 'object' && link !== null && 'relation' in link && link.relation === 'next'))
}

function publicPart(key: JWK): JWK {
  const { kty, kid, alg, crv, x, y, n, e } = key
  return JSON.parse(JSON.stringify({ kty, kid, alg, use: 'sig', crv, x, y, n, e })) as JWK
}
