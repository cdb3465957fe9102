import type { Bundle, FhirResource } from 'fhir/r4.js'
import { z } from 'zod'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { readCapabilities, type Capabilities } from './capabilities.ts'
import { isBelow, type Egress } from './egress.ts'
import { parseBody } from './large-json.ts'
import { maybe, some } from './lenient.ts'
import { ID_EXPECTED, isLogicalId, LOGICAL_ID } from './logical-id.ts'
import { isOf } from './references.ts'
import { askedUntil } from './retry-after.ts'
import { openTransport, refuseStatus, type ClientOptions, type TransportOptions } from './transport.ts'

type ResourceType = FhirResource['resourceType']
type OfType<T extends ResourceType> = Extract<FhirResource, { resourceType: T }>
export type SearchParameters = Readonly<Record<string, string | number | string[]>>

/** One EHR, one token. Every answer is checked before it is believed; every error is a ScreeningError without address or PHI. */
export interface FhirSession {
  readonly tenant: TenantConfig
  /** ERR_NOT_FOUND when it is not there; ERR_EHR_ANSWER when something else came back. */
  read<T extends ResourceType>(type: T, id: string): Promise<OfType<T>>
  /** Follows pages within the FHIR base, none twice. Without maxPages more than 100 pages are ERR_EHR_ANSWER. */
  search<T extends ResourceType>(type: T, parameters: SearchParameters, options?: { maxPages?: number }): Promise<readonly OfType<T>[]>
  /** Resolves with the reference that the server gave: `Type/id`. `ifNoneExist` is a query (conditional create). */
  create(resource: FhirResource, options?: { ifNoneExist?: string }): Promise<string>
  /** PUT to `Type/id`; `ifMatch` is a versionId. Resolves with where it lies, by the server's account. */
  update(resource: FhirResource, options?: { ifMatch?: string }): Promise<string>
  transaction(bundle: Bundle): Promise<Bundle>
  /** One that only asks (GET entries) is treated as a read. */
  batch(bundle: Bundle): Promise<Bundle>
  /** When the server may be called again, ms since the epoch, if it asked to be left alone; until then every call is ERR_EHR_UNREACHABLE. */
  readonly retryAt: number | undefined
  /** `/metadata`, kept for an hour; for a minute where it lets no results be written. */
  capabilities(): Promise<Capabilities>
  /** Bytes of a Binary by id or by an address on this server, whether it answers raw or in FHIR JSON. */
  readBinary(urlOrId: string, options?: { maxBytes?: number }): Promise<Uint8Array>
  /**
   * An attachment address: on this server with our token, on a configured photo origin without it, elsewhere refused. With `patientId`, a
   * Binary that is kept for another patient (securityContext) is ERR_WRONG_PATIENT.
   */
  readAttachment(url: string, options?: { maxBytes?: number; patientId?: string }): Promise<Uint8Array>
}

export type FhirSessionOptions = TransportOptions

export const MAX_PAGES = 100
export const MAX_PHOTO_BYTES = 25_000_000
const CAPABILITIES_MS = 3_600_000
/** A statement by which nothing can be written may be a gateway's, or of a server that is being mended: it is asked for twice, and kept for as long. */
const DOUBTED_MS = 60_000
const takesResults = (stated: Capabilities) => stated.lists && stated.can('Observation', 'create')
const PHOTO_TYPES = 'image/jpeg, image/png, image/webp, image/*;q=0.9, application/fhir+json;q=0.5'

const PHOTO_INSIDE: ClientOptions = { tooLarge: 'ERR_PHOTO_TOO_LARGE' }

/** What makes an answer of Media and documents too large is a photo inside it, or several. */
const optionsOf = (type: ResourceType): ClientOptions => type === 'Media' || type === 'DocumentReference' ? PHOTO_INSIDE : {}

/** Servers send null for what they do not have; a member that is there and cannot be read may be a page or a resource that we would miss. */
const searchset = z.object({
  resourceType: z.literal('Bundle'),
  link: z.array(z.object({ relation: z.string(), url: z.string() })).nullish(),
  entry: z.array(z.object({
    resource: z.looseObject({ resourceType: z.string() }).nullish(),
    search: z.object({ mode: z.string().nullish() }).nullish()
  }).nullable()).nullish()
})
const bundleAnswer = z.looseObject({
  resourceType: z.literal('Bundle'),
  entry: z.array(z.looseObject({ response: z.looseObject({ status: z.string() }).optional() })).default([])
})

/** What an EHR allows does not depend on who asks, so it is kept with the tenant's egress, across sessions. */
const knownCapabilities = new WeakMap<Egress, { readonly until: number; readonly value: Promise<Capabilities> }>()

export function openFhirSession(options: FhirSessionOptions): FhirSession {
  const { tenant, egress, signal } = options
  const { client, send, answerTo } = openTransport(options)

  async function readBytes(url: string, maxBytes: number, patientId?: string): Promise<Uint8Array> {
    const whose = patientId === undefined ? undefined : { tenant, patientId }
    const asked = (accept: string) => send('GET', url, { ...PHOTO_INSIDE, headers: { accept }, maxBytes: Math.ceil(maxBytes * 1.4) + 4096 })
    const first = await asked(PHOTO_TYPES)
    // Oracle Health takes the very type of the attachment or that of FHIR, and no list of them.
    const response = first.status === 406 ? await asked('application/fhir+json') : first
    refuseStatus('GET', response)
    refusePage(response.headers)
    refuseOtherPatient(response.headers.get('x-security-context') ?? undefined, whose)
    const json = /json/.test(response.headers.get('content-type') ?? '')
    const bytes = json ? binaryData(await parseBody(response.body), url, whose) : response.body
    if (bytes.byteLength > maxBytes)
      throw new ScreeningError('ERR_PHOTO_TOO_LARGE', `Expected at most ${maxBytes} bytes but received more`)
    return bytes
  }

  const session: FhirSession = {
    tenant,
    get retryAt() { return askedUntil(egress) },

    async read(type, id) {
      const found = await client.read({ resourceType: type, id: checkedId(id), options: optionsOf(type) })
      if (found['resourceType'] !== type || found['id'] !== id) throw answer(`the ${type} that was asked for`)
      return found as unknown as OfType<typeof type>
    },

    async search(type, parameters, { maxPages } = {}) {
      const found: OfType<typeof type>[] = []
      const seen = new Set<string>()
      let called: string | undefined
      let page: unknown = await client.search({ resourceType: type, searchParams: { ...parameters }, options: optionsOf(type) }).catch(nothingSuch)
      for (let count = 1; ; count++) {
        const { matched, next, self } = searchPage(page, type)
        found.push(...matched)
        if (count === 1) called = ownName(self, type, tenant.fhirBase)
        if (next === undefined || count === maxPages) return found
        const url = pageAddress(next, tenant.fhirBase, called)
        if (seen.has(url) || count >= MAX_PAGES) throw answer('an end of the pages')
        seen.add(url)
        page = await client.request(url, { options: optionsOf(type) }).catch(nothingSuch).catch(pageLost)
      }
    },

    async create(resource, { ifNoneExist } = {}) {
      const result = await client.create({
        resourceType: resource.resourceType,
        body: { ...resource },
        ...(ifNoneExist ? { options: { headers: { 'if-none-exist': ifNoneExist } } } : {})
      }).catch(nothingSuch)
      return writtenReference(resource, result, answerTo(result)?.headers.get('location'))
    },

    async update(resource, { ifMatch } = {}) {
      const id = checkedId(resource.id ?? '')
      const result = await client.update({
        resourceType: resource.resourceType,
        id,
        body: { ...resource },
        ...(ifMatch ? { options: { headers: { 'if-match': `W/"${ifMatch}"` } } } : {})
      }).catch(nothingSuch)
      if (result['id'] !== undefined && result['id'] !== id) throw ambiguous('the id that was written')
      // A server that lists update-as-create and gives ids of its own says so here, if anywhere.
      return referenceIn(answerTo(result)?.headers.get('location') ?? '', resource.resourceType) ?? `${resource.resourceType}/${id}`
    },

    transaction: (bundle) => sendBundle(bundle, 'transaction'),
    batch: (bundle) => sendBundle(bundle, 'batch'),

    async capabilities() {
      const known = knownCapabilities.get(egress)
      if (known && known.until > Date.now()) return known.value
      const stated = () => client.capabilityStatement().catch(nothingSuch).then(readCapabilities)
      const value = stated().then((first) => takesResults(first) ? first : stated())
      knownCapabilities.set(egress, { until: Date.now() + CAPABILITIES_MS, value })
      value.then((last) => {
        if (!takesResults(last)) knownCapabilities.set(egress, { until: Date.now() + DOUBTED_MS, value })
      }, () => knownCapabilities.delete(egress))
      return value
    },

    async readBinary(urlOrId, { maxBytes = MAX_PHOTO_BYTES } = {}) {
      const url = isLogicalId(urlOrId) ? `Binary/${urlOrId}` : urlOrId
      return readBytes(absolute(url, tenant.fhirBase), maxBytes)
    },

    async readAttachment(url, { maxBytes = MAX_PHOTO_BYTES, patientId } = {}) {
      const target = absolute(url, tenant.fhirBase)
      if (isBelow(new URL(target), tenant.fhirBase)) return readBytes(target, maxBytes, patientId)
      const response = await egress.fetch(target, {
        purpose: 'photo', headers: { accept: 'image/*' }, maxBytes, tooLarge: 'ERR_PHOTO_TOO_LARGE', ...(signal ? { signal } : {})
      })
      refuseStatus('GET', response)
      refusePage(response.headers)
      return response.body
    }
  }
  return session

  async function sendBundle(bundle: Bundle, type: 'transaction' | 'batch'): Promise<Bundle> {
    const options: ClientOptions = { asks: bundle.entry?.every(({ request }) => request?.method === 'GET') ?? false }
    const result = bundleAnswer.safeParse(await client[type]({ body: { ...bundle, type }, options }).catch(nothingSuch))
    if (!result.success) throw ambiguous(`a ${type} answer`)
    return result.data as unknown as Bundle
  }
}

/** What a page of a search shows, and where the next one is. Throws ERR_EHR_ANSWER, ERR_EHR_REFUSED. */
export function searchPage<T extends ResourceType>(
  page: unknown, type: T
): { readonly matched: readonly OfType<T>[]; readonly next: string | undefined; readonly self: string | undefined } {
  const result = searchset.safeParse(page)
  if (!result.success) throw answer('a searchset Bundle')
  refuseFailed(result.data)
  const linked = (wanted: string) => result.data.link?.find(({ relation }) => relation === wanted)?.url
  return { matched: matches(result.data, type) as OfType<T>[], next: linked('next'), self: linked('self') }
}

/** FHIR id; `.` and `..` fit its pattern and would walk up the path. */
export function checkedId(id: string): string {
  if (!isLogicalId(id)) throw new ScreeningError('ERR_REQUEST_INVALID', ID_EXPECTED)
  return id
}

/**
 * What was asked for. Some include what it refers to, or an OperationOutcome, and do not say so in `search.mode`: that is passed over
 * beside something of the right type. Resources of other types alone are the answer to another question, and prove nothing.
 */
function matches(bundle: z.infer<typeof searchset>, type: ResourceType): unknown[] {
  const found = (bundle.entry ?? []).flatMap((entry) => entry?.resource ? [{ resource: entry.resource, mode: entry.search?.mode ?? undefined }] : [])
    .filter(({ resource, mode }) => mode !== 'include' && mode !== 'outcome' && resource.resourceType !== 'OperationOutcome')
  const [asked, others] = [found.filter(({ resource }) => resource.resourceType === type), found.filter(({ resource }) => resource.resourceType !== type)]
  if (others.some(({ mode }) => mode !== undefined) || (others.length > 0 && asked.length === 0)) throw answer(`only ${type} in the searchset`)
  return asked.map(({ resource }) => resource)
}

/**
 * Relative or absolute `next`; HAPI pages at the base itself with a query. Where a server behind a proxy calls itself by another name, the
 * same page is asked for at the base that we know: nothing is ever sent elsewhere.
 */
function pageAddress(next: string, fhirBase: string, called: string | undefined): string {
  const url = absolute(next, fhirBase)
  const ours = called !== undefined && isBelow(new URL(url), called) ? `${fhirBase}${url.slice(called.length)}` : url
  if (isBelow(new URL(ours), fhirBase)) return ours
  throw new ScreeningError('ERR_EGRESS_REFUSED', 'Expected the next page on the same FHIR server but its link leads to another one; behind a proxy the server has to know the address it is reached at')
}

/** What the server calls its own base, by the `self` of a first page: `{base}/Media?…`. Undefined where it does not say. */
function ownName(self: string | undefined, type: ResourceType, fhirBase: string): string | undefined {
  if (self === undefined || !URL.canParse(self, `${fhirBase}/`)) return undefined
  const { origin, pathname } = new URL(self, `${fhirBase}/`)
  const [, path] = new RegExp(`^(.*)/${type}/?$`).exec(pathname) ?? []
  return path === undefined ? undefined : `${origin}${path}`
}

/** A page that the server has forgotten, or does not take its own link for, says nothing of the search: it is done again later. */
function pageLost(error: unknown): never {
  if (!isScreeningError(error) || error.code !== 'ERR_EHR_REFUSED') throw error
  throw new ScreeningError('ERR_EHR_UNREACHABLE', `Expected the next page of a search but the server gives it no more (${error.answered ?? 'no status'})`, { cause: error })
}

/** An address as a server gives it. Behind a proxy it may write http for the https that it is reached by. Throws ERR_EHR_ANSWER. */
export function absolute(url: string, fhirBase: string): string {
  if (!URL.canParse(url, `${fhirBase}/`)) throw answer('an address that can be read')
  const [given, ours] = [new URL(url, `${fhirBase}/`), new URL(fhirBase)]
  if (given.protocol === 'http:' && given.host === ours.host) given.protocol = ours.protocol
  return given.href
}

function writtenReference(resource: FhirResource, result: Record<string, unknown>, location: string | null | undefined): string {
  const { resourceType } = resource
  if (isOfAnother(resource, result)) throw ambiguous('an answer about what was sent')
  const fromLocation = location ? referenceIn(location, resourceType) : undefined
  const { resourceType: type, id } = result
  const fromBody = type === resourceType && typeof id === 'string' ? `${resourceType}/${checkedId(id)}` : undefined
  const reference = fromLocation ?? fromBody
  if (!reference) throw ambiguous('the id of what was created')
  return reference
}

/** A body that names another patient or carries another identifier is the answer to somebody else's request, and so is its Location. */
export function isOfAnother(sent: FhirResource, answered: Readonly<Record<string, unknown>>): boolean {
  const [ours, theirs] = [sent, answered].map((one) => namesOf.safeParse(one).data)
  if (!ours || !theirs || answered['resourceType'] !== sent.resourceType) return false
  const patientOf = ({ subject }: z.infer<typeof namesOf>) => PATIENT_ANYWHERE.exec(subject?.reference ?? '')?.[1]
  const [mine, other] = [patientOf(ours), patientOf(theirs)]
  if (mine !== undefined && other !== undefined && mine !== other) return true
  const comparable = (theirs.identifier ?? []).filter(({ system }) => ours.identifier?.some((one) => one.system === system))
  return comparable.length > 0 && !comparable.some(({ system, value }) => ours.identifier?.some((one) => one.system === system && one.value === value))
}

const PATIENT_ANYWHERE = new RegExp(`(?:^|/)Patient/(${LOGICAL_ID})$`)

const namesOf = z.object({
  subject: z.object({ reference: z.string().optional() }).optional().catch(undefined),
  identifier: z.array(z.object({ system: z.string().optional(), value: z.string().optional() })).optional().catch(undefined)
})

/** `Type/id` out of a Location such as `http://ehr/fhir/Observation/12/_history/1`. */
export function referenceIn(location: string, type: string): string | undefined {
  const id = new RegExp(`(?:^|/)${type}/(${LOGICAL_ID})(?:/_history/[^/]+)?/?$`).exec(location)?.[1]
  return id ? `${type}/${id}` : undefined
}

/** Some answer 200 to a search that they did not do, with an error among the entries: what is not in it may be there all the same. */
function refuseFailed(bundle: z.infer<typeof searchset>): void {
  const outcomes = (bundle.entry ?? []).flatMap((entry) => entry?.resource?.resourceType === 'OperationOutcome' ? [outcome.parse(entry.resource)] : [])
  const severities = outcomes.flatMap(({ issue }) => issue.map(({ severity }) => severity))
  if (severities.some((one) => one === 'error' || one === 'fatal'))
    throw new ScreeningError('ERR_EHR_REFUSED', 'Expected a search to be done but the FHIR server answered it with an error')
}

const outcome = z.object({ issue: some(z.object({ severity: maybe(z.string()) })) })

/** Only a read asks for one thing that may be gone: elsewhere 404 and 410 tell of the server, which may be another one tomorrow. */
function nothingSuch(error: unknown): never {
  if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND') throw error
  throw new ScreeningError('ERR_EHR_REFUSED', error.message, { cause: error, answered: error.answered })
}

/** A page to sign in at, or one that says that the server is being mended, is no photo, and tells nothing of the photo. */
function refusePage(headers: Headers): void {
  if (/^(?!image\/).*\b(?:html|xml)\b/.test(headers.get('content-type') ?? '')) throw answer('a photo')
}

/** What a Binary's security context names, where it names a patient: a resource that points to another's photo must not show it. */
function refuseOtherPatient(context: string | undefined, whose: { readonly tenant: TenantConfig; readonly patientId: string } | undefined): void {
  if (whose === undefined || context === undefined || !/(^|\/)Patient\//.test(context) || isOf(whose.tenant, context, whose.patientId)) return
  throw new ScreeningError('ERR_WRONG_PATIENT', 'Expected a photo of this patient but the record keeps its bytes for another one')
}

/** Base64 may come with line breaks (R4 base64Binary). A Binary that says its id is the one that was asked for, or it holds somebody else's photo. */
function binaryData(value: unknown, url: string, whose: Parameters<typeof refuseOtherPatient>[1]): Uint8Array {
  const binary = z.object({
    resourceType: z.literal('Binary'),
    id: z.string().nullish(),
    data: z.union([z.string().transform((text) => text.replace(/\s+/g, '')).pipe(z.base64()), z.instanceof(Uint8Array)]),
    securityContext: z.object({ reference: z.string().nullish() }).nullish()
  }).safeParse(value)
  if (!binary.success) throw answer('a Binary with data')
  const [, asked] = /\/Binary\/([^/]+)(?:\/_history\/[^/]+)?\/?$/.exec(new URL(url).pathname) ?? []
  const { id, data, securityContext } = binary.data
  if (asked !== undefined && (id ?? asked) !== asked) throw answer('the Binary that was asked for')
  refuseOtherPatient(securityContext?.reference ?? undefined, whose)
  return typeof data === 'string' ? Buffer.from(data, 'base64') : data
}

function answer(expected: string): ScreeningError {
  return new ScreeningError('ERR_EHR_ANSWER', `Expected ${expected} but received something else`)
}

function ambiguous(expected: string): ScreeningError {
  return new ScreeningError('ERR_WRITE_AMBIGUOUS', `Expected ${expected} but received something else`)
}
