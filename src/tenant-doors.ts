import type { FhirResource } from 'fhir/r4.js'
import type { JSONWebKeySet, JWK } from 'jose'
import { z } from 'zod'
import type { HookRequest } from './cds-hooks/protocol.ts'
import type { HookRecord } from './cds-hooks/services/answer.ts'
import type { Config, TenantConfig } from './config.ts'
import { isScreeningError, ScreeningError } from './errors.ts'
import { fixedToken, openBackendTokens, type TokenSource } from './fhir/backend-auth.ts'
import { openClaimedCreates, type Claims } from './fhir/claimed-creates.ts'
import { readLaboratoryAndScores, readTreatmentStarts } from './fhir/clinical-context.ts'
import { exportPatients, type ExportedPatients } from './fhir/bulk-export.ts'
import { egressForTenant, type Egress } from './fhir/egress.ts'
import { maybe, some } from './fhir/lenient.ts'
import { referenceTo } from './fhir/logical-id.ts'
import { findHandPhotos, photosFromBundle, type HandPhoto, type Whose } from './fhir/photo-sources.ts'
import { correctionHeld, correctReview, preparedCorrection, signedForCorrection, type CorrectionInput } from './fhir/correct-review.ts'
import { unwritable } from './fhir/record-writer.ts'
import { writePhoto } from './fhir/photo-writer.ts'
import { openOwnWrites } from './fhir/own-writes.ts'
import { previewOf, type ClinicianResources } from './fhir/resources/clinician-resources.ts'
import { suggestionResources } from './fhir/resources/screening-bundle.ts'
import { screeningResources } from './fhir/resources/screening-resources.ts'
import { openFhirSession, type FhirSession } from './fhir/session.ts'
import { onceEach, photosSince, preparedReview, reviewHeld, signReview, type ReviewInput } from './fhir/sign-review.ts'
import { readKeySet, readOpenIdKeys, readSmartConfiguration, type SmartConfiguration } from './fhir/smart-configuration.ts'
import { signedFindings, type SignedBy } from './fhir/standing-review.ts'
import { requestToken, revokeToken } from './fhir/token-request.ts'
import type { Calibration, InferenceEngine } from './inference/engine/inference-engine.ts'
import { isKnownToAll } from './known-private-keys.ts'
import { readScreenedPhoto } from './screening/screened-photo.ts'
import { screeningInput, screeningSources } from './screening/screening-input.ts'
import type { Screening } from './screening/screening.ts'
import type { SessionOptions } from './screening/screening-service.ts'
import type { AppSession } from '../smart-launch/server/app-session.ts'
import type { CaptureRecord } from '../smart-launch/server/capture-desk.ts'
import type { ReviewRecord, SignedReview } from '../smart-launch/server/review-desk.ts'

/** One EHR's guarded ways out, opened once: egress with its sockets, and the backend token. */
interface Door {
  readonly tenant: TenantConfig
  readonly egress: Egress
  readonly backend: TokenSource
  /** What people wrote through it a moment ago is found by the next who looks. */
  readonly ownWrites: ReturnType<typeof openOwnWrites>
}

export type TenantDoors = ReturnType<typeof openTenantDoors>

/**
 * Every tenant's connection to its EHR. Nothing reaches an EHR but through the door of its own tenant. What `createsOnce`
 * claims is shared with the other processes through whose doors people sign; `sawIndex` hears how soon a record's searches show what they signed.
 */
export function openTenantDoors(config: Config, now: () => number = Date.now, handedOver: HandedOver = () => Promise.resolve([]), createsOnce = openClaimedCreates(ALONE), sawIndex?: (tenant: string, atOnce: boolean) => Promise<void>) {
  const takes = rememberedFor<boolean>(now)
  const discovered = rememberedFor<SmartConfiguration>(now)
  const doors = new Map<string, Door>(config.tenants.map((tenant) => {
    const egress = egressForTenant(tenant)
    return [tenant.id, { tenant, egress, backend: openBackendTokens(tenant, egress, now), ownWrites: openOwnWrites(now, (atOnce) => sawIndex?.(tenant.id, atOnce) ?? Promise.resolve()) }] as const
  }))
  const doorOf = ({ id }: TenantConfig): Door => {
    const door = doors.get(id)
    if (!door) throw new ScreeningError('ERR_CONFIG', `Expected a configured tenant but received "${id}"`)
    return door
  }
  const sessionWith = (tenant: TenantConfig, tokens: TokenSource, more: SessionOptions = {}): FhirSession =>
    openFhirSession({ tenant, egress: doorOf(tenant).egress, tokens, ...more })

  return {
    publicKeys: config.tenants.flatMap(({ backend, smart, publishedKeys }) => [backend?.key, smart?.key, ...publishedKeys as JWK[]]).flatMap((key) => key ? [publicPart(key)] : [])
      .filter((key, index, all) => all.findIndex(({ kid }) => kid === key.kid) === index),

    /** Work without a user, with SMART Backend Services. */
    backendSession: (tenant: TenantConfig, more?: SessionOptions): FhirSession => sessionWith(tenant, doorOf(tenant).backend, more),

    /** The patients of a Group, or of the whole record, by Bulk Data `$export`. */
    exportPatients: (tenant: TenantConfig, options: { readonly group?: string }): Promise<ExportedPatients> => {
      const { egress, backend } = doorOf(tenant)
      return exportPatients({ tenant, egress, tokens: backend, session: sessionWith(tenant, backend), ...options })
    },

    /** In production none that anybody can sign with. */
    async clientKeys(tenant: TenantConfig, jku: string): Promise<JSONWebKeySet> {
      const { keys } = await readKeySet(doorOf(tenant).egress.alsoTo('keys', jku), jku)
      return { keys: config.profile === 'production' ? keys.filter((key) => !isKnownToAll(key)) : keys }
    },

    /** What a card's suggestion would create, from a stored screening. */
    suggestionResources(calibrations: ReadonlyMap<string, Calibration>, engine: InferenceEngine) {
      const kept = new Map<string, readonly FhirResource[]>()
      return (tenant: TenantConfig, screening: Screening, { encounterId }: { encounterId?: string | undefined } = {}): readonly FhirResource[] => {
        const name = JSON.stringify([tenant.id, screening.id, screening.completedAt, encounterId ?? '', screening.answered?.joints])
        const known = kept.get(name)
        if (known) return known
        const made = suggestionResources(screeningResources(screeningInput(screening, calibrations.get(tenant.id) ?? engine.calibration, encounterId)), screening.answered?.joints)
        const [oldest] = kept.size >= KEPT_SUGGESTIONS ? kept.keys() : []
        if (oldest !== undefined) kept.delete(oldest)
        kept.set(name, made)
        return made
      }
    },

    /**
     * Photos and conditions as this hook call lets us see them: prefetched, read with the call's own token (used for this
     * call only), or by our backend registration. What cannot be had is undefined.
     */
    async hookRecord(tenant: TenantConfig, request: HookRequest, needs: { conditions: boolean }): Promise<HookRecord> {
      const { patientId } = request.context
      const token = request.fhirAuthorization?.access_token
      const tokens = token ? fixedToken(token) : tenant.backend ? doorOf(tenant).backend : undefined
      // Opened by the first who needs to read: a hook that brought all it needs asks the EHR nothing.
      const session = openedOnce(() => tokens && openFhirSession({ tenant, egress: doorOf(tenant).egress, tokens, signal: AbortSignal.timeout(HOOK_READ_MS) }))
      const [photos, conditions] = await Promise.all([
        hookPhotos(request.prefetch['photos'], { patientId, fhirBase: tenant.fhirBase }, session, () => handedOver(tenant.id, patientId)),
        needs.conditions ? hookConditions(request.prefetch['conditions'], patientId, session) : undefined
      ])
      const results = bundleOf(request.prefetch['results'])?.resources
      const birthDate = birthDateOf(request.prefetch['patient'], patientId)
      return {
        ...(birthDate ? { birthDate } : {}),
        ...(results ? { results } : {}),
        photos: photos?.found, photosComplete: photos?.complete ?? false, conditions: conditions?.found, conditionsComplete: conditions?.complete ?? false,
        takesObservations: async () => tokens === undefined || takes(tenant.id, () => allowedUnlessSaid(async () => {
          const opened = session()
          return opened === undefined || unwritable(await opened.capabilities()) === undefined
        }))
      }
    },

    /** Kept for a minute: everyone may begin a launch, and none of them makes us ask the EHR. What could not be read is not kept. */
    discover: (tenant: TenantConfig) => discovered(tenant.id, () => readSmartConfiguration(tenant, doorOf(tenant).egress)),
    openIdKeys: (tenant: TenantConfig, issuer: string) => readOpenIdKeys(tenant, doorOf(tenant).egress, issuer),
    requestToken(tenant: TenantConfig, tokenEndpoint: string, form: Record<string, string>) {
      if (!tenant.smart) throw new ScreeningError('ERR_CONFIG', `Expected tenants.${tenant.id}.smart for a launch but received none`)
      return requestToken(doorOf(tenant).egress, tokenEndpoint, tenant.smart, form, now)
    },

    /** Gives tokens back where the EHR takes them; false when one was not taken back or the EHR offers no such thing. */
    async revokeTokens(tenant: TenantConfig, { accessToken, refreshToken }: Pick<AppSession, 'accessToken' | 'refreshToken'>): Promise<boolean> {
      const { egress } = doorOf(tenant)
      const { smart } = tenant
      const { tokenEndpoint, revocationEndpoint } = await readSmartConfiguration(tenant, egress)
      if (!smart || !revocationEndpoint) return false
      const tokens = [...(refreshToken ? [{ token: refreshToken, token_type_hint: 'refresh_token' as const }] : []), { token: accessToken, token_type_hint: 'access_token' as const }]
      const revoked = await Promise.all(tokens.map((one) => revokeToken(egress, { tokenEndpoint, revocationEndpoint }, smart, one, now)))
      return revoked.every(Boolean)
    },

    reviewRecord: reviewRecord((session, tenant) => doorOf(tenant).ownWrites(createsOnce(sessionWith(tenant, tokensOf(session)))), now),

    close: async () => {
      await Promise.all([...doors.values()].map(({ egress }) => egress.close()))
    }
  }
}

/** For doors through which nobody signs. */
const ALONE: Claims = { claim: () => Promise.resolve(true), delete: () => Promise.resolve() }

/** Photos that launches named, `Media/…`, by tenant and patient. */
type HandedOver = (tenant: string, patientId: string) => Promise<readonly string[]>

const REMEMBERED_MS = 60_000

/** One answer per tenant and minute; what failed is not kept. */
function rememberedFor<T>(now: () => number) {
  const known = new Map<string, { readonly until: number; readonly value: Promise<T> }>()
  return (tenant: string, ask: () => Promise<T>): Promise<T> => {
    const kept = known.get(tenant)
    if (kept && kept.until > now()) return kept.value
    const value = ask()
    known.set(tenant, { until: now() + REMEMBERED_MS, value })
    value.catch(() => known.delete(tenant))
    return value
  }
}

/** An EHR that does not answer is taken to allow it, and, since that is an answer, not asked again at every hook. */
async function allowedUnlessSaid(ask: () => Promise<boolean>): Promise<boolean> {
  return ask().catch((error: unknown) => {
    if (!isScreeningError(error)) throw error
    return true
  })
}

/** A chart is looked at several times in a visit; the same screening makes the same resources. */
const KEPT_SUGGESTIONS = 200

/** A token that the record refuses although its time is not over is renewed; with nothing to renew it the session ends when it is refused twice. */
function tokensOf({ accessToken, refreshToken, renewed }: AppSession): TokenSource {
  let token = accessToken
  let refusals = 0
  return {
    isOnly: !refreshToken,
    async token() {
      if (!renewed || refusals < (refreshToken ? 1 : 2)) return token
      token = await renewed(token)
      refusals = 0
      return token
    },
    invalidate: () => { refusals++ }
  }
}

/** The app's view of the record, always with the token of the person who launched it. */
function reviewRecord(sessionOf: (session: AppSession, tenant: TenantConfig) => FhirSession, now: () => number): ReviewRecord & CaptureRecord {
  return {
    patient: (session, tenant) => sessionOf(session, tenant).read('Patient', session.patientId),
    treatments: (session, tenant) => readTreatmentStarts(sessionOf(session, tenant), session.patientId),
    laboratoryAndScores: (session, tenant) => readLaboratoryAndScores(sessionOf(session, tenant), session.patientId),
    photoBytes: (session, tenant, photo) => readScreenedPhoto(sessionOf(session, tenant), session.patientId, photo),
    async previewFinal(session, tenant, screening, review, signed) {
      const [fhir, input] = [sessionOf(session, tenant), reviewInput(session, screening, review, signed)]
      const [prepared, signer] = await Promise.all([corrects(input) ? preparedCorrection(fhir, input) : preparedReview(fhir, input), nameOfPractitioner(fhir, input.performer)])
      return { resources: previewOf(prepared), ...(signer ? { signer } : {}) }
    },
    writePhoto: (session, tenant, photo, ledger) => writePhoto(sessionOf(session, tenant), photo, ledger),
    writeFinal(session, tenant, screening, review, signed, agreed) {
      const [fhir, input] = [sessionOf(session, tenant), reviewInput(session, screening, review, signed)]
      const agreedTo = (resources: ClinicianResources) => agreed(previewOf(resources))
      return corrects(input) ? correctReview(fhir, input, agreedTo) : signReview(fhir, input, agreedTo)
    },
    heldOf(session, tenant, screening, review, signed) {
      const [fhir, input] = [sessionOf(session, tenant), reviewInput(session, screening, review, signed)]
      return corrects(input) ? correctionHeld(fhir, input) : reviewHeld(fhir, input)
    },
    async signed(session, tenant, screening) {
      const fhir = sessionOf(session, tenant)
      const of = reviewed(screening)
      const { joints, tender, swollen, numbers } = await signedFindings(fhir, of, now(), photosSince(of))
      const named = await namesFor(fhir, session, [...joints, ...joints.flatMap(({ earlier = [] }) => earlier), ...tender, ...swollen, ...numbers].map(({ performer }) => performer))
      const byName = <One extends Pick<SignedBy, 'performer'>>({ performer, ...one }: One) => ({ ...one, ...named(performer) })
      return {
        joints: joints.map(({ earlier, ...joint }) => ({ ...byName(joint), ...(earlier ? { earlier: earlier.map(byName) } : {}) })),
        tender: tender.map(byName), swollen: swollen.map(byName), numbers: numbers.map(byName)
      }
    },
    async signedReview(session, tenant, screening) {
      const fhir = sessionOf(session, tenant)
      const { entries, ...standing } = await signedForCorrection(fhir, reviewed(screening))
      const named = await namesFor(fhir, session, entries.map(({ performer }) => performer))
      return { ...standing, entries: entries.map(({ performer, ...entry }) => ({ ...entry, ...named(performer) })) }
    }
  }
}

const reviewed = (screening: Screening) => ({
  tenant: screening.tenant, patientId: screening.patientId, screeningId: screening.id, model: screening.model, photos: screeningSources(screening).photos
})

/** Whether whoever looks is the author, and the name of anybody else, where the record lets us read it. */
async function namesFor(fhir: FhirSession, { fhirUser }: AppSession, performers: readonly (string | undefined)[]) {
  const others = new Set(performers.filter((one) => one !== undefined && one !== fhirUser))
  const names = new Map(await Promise.all([...others].map(async (one) => [one, await nameOfPractitioner(fhir, one ?? '')] as const)))
  return (performer: string | undefined) => {
    const by = names.get(performer)
    return { own: performer !== undefined && performer === fhirUser, ...(by ? { by } : {}) }
  }
}

const corrects = (input: ReviewInput | CorrectionInput): input is CorrectionInput => 'seen' in input

const PRACTITIONER = referenceTo('Practitioner')

/** A name for people; undefined where the record does not let us read it. */
async function nameOfPractitioner(fhir: FhirSession, reference: string): Promise<string | undefined> {
  const [, , id] = PRACTITIONER.exec(reference) ?? []
  const mayRead = id !== undefined && (await fhir.capabilities()).can('Practitioner', 'read')
  const found = mayRead ? await fhir.read('Practitioner', id).catch(nothingToRead) : undefined
  const name = found?.name?.[0]
  return name?.text ?? (name ? [...(name.prefix ?? []), ...(name.given ?? []), name.family].filter(Boolean).join(' ') : undefined)
}

function reviewInput(session: AppSession, screening: Screening, { decisions, activity, examined, corrects: seen }: SignedReview, signed: string): ReviewInput | CorrectionInput {
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
    ...(examined ? { examined: { tender: onceEach(examined.tender), swollen: onceEach(examined.swollen) } } : {}),
    signed,
    ...(seen ? { seen } : {})
  }
}

/** A hook answers within half a second, whatever the EHR's own FHIR server does. */
const HOOK_READ_MS = 400

type OpenedSession = () => FhirSession | undefined

/** The time to read begins with the opening. */
function openedOnce(open: OpenedSession): OpenedSession {
  let opened: { readonly session: FhirSession | undefined } | undefined
  return () => (opened ??= { session: open() }).session
}

async function hookPhotos(
  prefetched: unknown, whose: Whose, session: OpenedSession, handedOver: () => Promise<readonly string[]>
): Promise<{ readonly found: readonly HandPhoto[]; readonly complete: boolean } | undefined> {
  const bundle = bundleOf(prefetched)
  const found = bundle && photosFromBundle(prefetched, whose)
  // Newest first: a first page shows the newest, and that is all a hook needs. An empty Media list may hide photos kept as documents.
  const seen = found && found.length > 0 && { found, complete: bundle?.complete ?? false }
  if (seen && (seen.complete || isNewestFirst(bundle?.resources ?? []))) return seen
  const opened = session()
  const read = opened && await findHandPhotos(opened, whose.patientId, await handedOver()).catch(nothingToRead)
  if (read) return { found: read, complete: true }
  return seen || (bundle?.complete && found ? { found, complete: true } : undefined)
}

/** Servers may leave `_sort` aside (R4 search, lenient handling): the first page of such a one can hold the oldest. */
function isNewestFirst(resources: readonly unknown[]): boolean {
  const times = resources.map((one) => Date.parse(datedMedia.safeParse(one).data?.createdDateTime ?? '')).filter((time) => !Number.isNaN(time))
  return times.every((time, at) => at === 0 || time <= (times[at - 1] ?? Infinity))
}

const datedMedia = z.object({ createdDateTime: z.string().optional() })

async function hookConditions(
  prefetched: unknown, patientId: string, session: OpenedSession
): Promise<{ found: readonly unknown[]; complete: boolean } | undefined> {
  const bundle = bundleOf(prefetched)
  if (bundle?.complete) return { found: bundle.resources, complete: true }
  const opened = session()
  const read = opened && await conditionsOf(opened, patientId).catch(nothingToRead)
  if (read) return { found: read, complete: true }
  return bundle && { found: bundle.resources, complete: false }
}

async function conditionsOf(session: FhirSession, patientId: string): Promise<readonly unknown[] | undefined> {
  const capabilities = await session.capabilities()
  return capabilities.canSearch('Condition', 'patient') ? session.search('Condition', { patient: patientId }) : undefined
}

/** An EHR that does not let us read, or is too slow, is the same to a hook as one that gave no token. */
function nothingToRead(error: unknown): undefined {
  if (!isScreeningError(error)) throw error
}

/** Of the patient whose chart it is, and of nobody else. */
function birthDateOf(prefetched: unknown, patientId: string): string | undefined {
  const { id, birthDate } = prefetchedPatient.safeParse(prefetched).data ?? {}
  return id === patientId ? birthDate : undefined
}

const prefetchedPatient = z.compile(z.object({ resourceType: z.literal('Patient'), id: z.string(), birthDate: maybe(z.string()) }))

/** A prefetched searchset with what it holds; undefined for null, OperationOutcome and everything else. */
function bundleOf(value: unknown): { readonly resources: readonly unknown[]; readonly complete: boolean } | undefined {
  const bundle = prefetchedBundle.safeParse(value).data
  if (!bundle) return undefined
  const entries = bundle.entry ?? []
  const resources = entries.flatMap(resourceIn)
  // One odd entry, such as null, does not hide the others; but what it was to say may be just what matters.
  return { resources, complete: resources.length === entries.length && !bundle.link.some(({ relation }) => relation === 'next') }
}

const prefetchedBundle = z.compile(z.object({
  resourceType: z.literal('Bundle'),
  link: some(z.object({ relation: z.string() })),
  entry: z.array(z.unknown()).nullish()
}))

/** By hand, as there may be hundreds and each is parsed by whoever reads it. */
function resourceIn(entry: unknown): readonly object[] {
  const { resource } = (entry ?? {}) as { readonly resource?: unknown }
  return typeof resource === 'object' && resource !== null && typeof (resource as { resourceType?: unknown }).resourceType === 'string' ? [resource] : []
}

function publicPart(key: JWK): JWK {
  const { kty, kid, alg, crv, x, y, n, e } = key
  return JSON.parse(JSON.stringify({ kty, kid, alg, use: 'sig', crv, x, y, n, e })) as JWK
}
