import type { Reference } from 'fhir/r4.js'
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { dateTimeFrom } from '../joints/date-precision.ts'
import { LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import type { Capabilities } from './capabilities.ts'
import { aiTerm, handSiteOf, lateralityOf, termFor } from './codes.ts'
import { maybe, some, whole, word } from './lenient.ts'
import { logicalId, referenceTo } from './logical-id.ts'
import { readIfThere } from './read-if-there.ts'
import { isOf, relativeTo } from './references.ts'
import { searchInOneWay } from './search-ways.ts'
import { MAX_PHOTO_BYTES, type FhirSession } from './session.ts'
import { isOfToken } from './transport.ts'

/** One photo of a hand as the record knows it; the bytes are read with readPhotoBytes. */
export interface HandPhoto {
  readonly resourceType: 'Media' | 'DocumentReference'
  readonly id: string
  readonly versionId?: string
  /** Of a document that holds several photos: which of its `content`, from 0. Absent for the best of them, which every document has. */
  readonly part?: number
  /** When it was taken, as the record says: FHIR dateTime, no more precise than the record is. */
  readonly created?: string
  readonly contentType?: string
  /** As the record says; absent when it does not. The model checks for itself. */
  readonly side?: Laterality
  /** Without inline data, which is read again when it is needed. */
  readonly attachment: PhotoAttachment
}

export interface PhotoAttachment {
  readonly contentType?: string
  readonly url?: string
  readonly size?: number
  /** SHA-1, base64 (FHIR Attachment.hash). */
  readonly hash?: string
}

const coding = z.object({ system: maybe(z.string()), code: word, display: maybe(z.string()) })
const codings = some(coding)
const concept = z.object({ coding: codings, text: maybe(z.string()), extension: some(z.object({ valueCodeableConcept: maybe(z.object({ coding: codings })) })) })
const attachment = z.object({
  contentType: maybe(z.string()),
  url: maybe(z.string().min(1)),
  /** Base64, or the bytes themselves out of a large answer (parseBody). */
  data: maybe(z.union([z.string(), z.instanceof(Uint8Array)])),
  /** 0 is what servers say that do not know. */
  size: whole.transform((size) => size === 0 ? undefined : size),
  hash: maybe(z.string().min(1)),
  title: maybe(z.string()),
  creation: maybe(z.string())
})
/** A label is read or the photo is not: one that we cannot read may be the one that closes it. */
const labels = z.array(coding.extend({ system: z.string().nullish(), code: z.string().nullish() })).nullish()
const meta = z.object({ versionId: word, security: labels }).nullish()
const reference = z.object({ reference: maybe(z.string()) })
/** What is read at every look at a chart is compiled: the same answers, several times as fast. */
const media = z.compile(z.object({
  resourceType: z.literal('Media'),
  id: logicalId,
  meta,
  status: z.string(),
  type: maybe(concept),
  subject: reference,
  /** Of one that says something else than a body site we do not know what it shows. */
  bodySite: concept.nullish(),
  createdDateTime: word,
  createdPeriod: maybe(z.object({ start: maybe(z.string()), end: maybe(z.string()) })),
  issued: maybe(z.string()),
  content: attachment
}))
const documentReference = z.compile(z.object({
  resourceType: z.literal('DocumentReference'),
  id: logicalId,
  meta,
  status: z.string(),
  docStatus: maybe(z.string()),
  securityLabel: z.array(z.object({ coding: labels })).nullish(),
  type: maybe(concept),
  subject: reference,
  date: maybe(z.string()),
  description: maybe(z.string()),
  content: some(z.object({ attachment }))
}))
const replacement = z.compile(z.object({
  status: z.literal('current'), docStatus: maybe(z.string()), subject: reference, relatesTo: some(z.object({ code: z.string(), target: reference }))
}))
/** What is said of any photo, whatever the rest of it is like. */
const head = z.object({
  status: maybe(z.string()),
  docStatus: maybe(z.string()),
  subject: maybe(reference),
  meta: maybe(z.object({ security: codings })),
  securityLabel: some(z.object({ coding: codings }))
})
const report = z.object({
  meta,
  status: z.string(),
  code: maybe(concept),
  subject: maybe(reference),
  effectiveDateTime: maybe(z.string()),
  issued: maybe(z.string()),
  media: some(z.object({ comment: maybe(z.string()), link: reference }))
})
const bundle = z.compile(z.object({ entry: some(z.object({ resource: z.unknown() })) }))

type Attachment = z.infer<typeof attachment>
type Concept = z.infer<typeof concept>

const PHOTOGRAPH = termFor('photo', 'document type of a photograph (DocumentReference.type / category)')
const AI_ASSERTED = aiTerm('AIAST')

/**
 * The patient's hand photos, newest first, by the first of these routes that has any: Media where the server can search it by
 * patient, DocumentReference, the Media that a DiagnosticReport shows. No vendor sandbox we know searches Media by patient
 * (specs/conformance.md section 5). `handedOver` are references that a launch or a notification brought: read one by one where no search shows
 * them, or not yet, and held to the same rules. Nothing is asked that `/metadata` does not list.
 */
export async function findHandPhotos(session: FhirSession, patientId: string, handedOver: readonly string[] = []): Promise<readonly HandPhoto[]> {
  const capabilities = await session.capabilities()
  const whose: Whose = { patientId, fhirBase: session.tenant.fhirBase }
  const refusals: { readonly error: ScreeningError; readonly route: () => Promise<readonly unknown[]> }[] = []
  let answered = false
  const ask = async (route: () => Promise<readonly unknown[]>) => {
    try {
      const resources = await route()
      answered = true
      return resources
    } catch (error) {
      refusals.push({ error: onlyRefusal(error), route })
      return []
    }
  }
  const routes = photoRoutes(capabilities)
  if (routes.length === 0 && handedOver.length === 0)
    throw new ScreeningError('ERR_EHR_REFUSED', 'Expected an EHR whose Media, DocumentReference or DiagnosticReport can be searched by patient but its /metadata lists none of them')
  let listed: readonly unknown[] = []
  let found: readonly HandPhoto[] = []
  for (const type of routes) {
    if (found.length > 0) break
    listed = await ask(() => type === 'DiagnosticReport' ? reportedPhotos(session, capabilities, patientId) : ofPatient(session, capabilities, type, patientId))
    found = handPhotosIn(listed, whose)
  }
  const names = new Set(found.map(nameOf))
  const unlisted = handedOver.filter((reference) => !names.has(relativeTo(session.tenant, reference)))
  const others = unlisted.length > 0 ? await ask(() => readNamed(session, capabilities, unlisted)) : []
  const photos = others.length > 0 ? handPhotosIn([...listed, ...others], whose) : found
  if (photos.length > 0) return photos
  // Where another route answered, it holds only if it found something: nothing found beside a refused search is no proof of no photo.
  const unanswered = refusals.find(({ error }) => !answered || error.code === 'ERR_EHR_REFUSED')
  if (unanswered) throw unanswered.error
  const late: unknown[] = []
  for (const { error, route } of refusals) if (isOfToken(error)) late.push(...await route().catch(nothingAllowed))
  return handPhotosIn(late, whose)
}

type PhotoRoute = 'Media' | 'DocumentReference' | 'DiagnosticReport'

/** By what a patient's photos can be found here, best first. */
export function photoRoutes(capabilities: Capabilities): readonly PhotoRoute[] {
  return (['Media', 'DocumentReference', 'DiagnosticReport'] as const).filter((type) =>
    searchable(capabilities, type) && (type !== 'DiagnosticReport' || capabilities.can('Media', 'read')))
}

/** A registration may allow less than `/metadata` lists: a refused route is none, as long as another one answers with the same token. */
function onlyRefusal(error: unknown): ScreeningError {
  if (isScreeningError(error) && (error.code === 'ERR_EHR_UNAUTHORIZED' || error.code === 'ERR_EHR_REFUSED')) return error
  throw error
}

function nothingAllowed(error: unknown): readonly unknown[] {
  if (!isScreeningError(error) || error.code !== 'ERR_EHR_UNAUTHORIZED') throw error
  return []
}

function searchable(capabilities: Capabilities, type: string): string | undefined {
  return ['patient', 'subject'].find((name) => capabilities.canSearch(type, name))
}

/** Everything of one type that a patient has; nothing where the server cannot search it by patient. */
async function ofPatient<T extends PhotoRoute>(
  session: FhirSession, capabilities: Capabilities, type: T, patientId: string, maxPages?: number
) {
  const parameter = searchable(capabilities, type)
  if (!parameter) return []
  const query = { [parameter]: parameter === 'patient' ? patientId : `Patient/${patientId}` }
  // Photos may lie in the answer itself, and a page of them be too large: the next way gives smaller ones, the last one by one.
  const found = await searchInOneWay(session, type, [
    // Documents and reports are many, and some give ten at a time (Oracle Health, Azure).
    ...type !== 'Media' && capabilities.canSearch(type, '_count') ? [[{ ...query, _count: 100 }]] : [], [query], [{ ...query, _count: 1 }]
  ], { unless: 'ERR_PHOTO_TOO_LARGE', ...maxPages ? { maxPages } : {} })
  const subjects = found.map((one) => (one as { subject?: Reference }).subject?.reference)
  if (subjects.some((subject) => /(^|\/)Patient\//.test(subject ?? '')) && !subjects.some((subject) => isOf(session.tenant, subject, patientId)))
    throw new ScreeningError('ERR_EHR_ANSWER', `Expected ${type} of the patient that was asked for but received only those of others`)
  return found
}

/** Reports of every kind are many: so many pages are looked at, and so many pictures of the newest reports. */
const REPORT_PAGES = 5
const REPORT_PHOTOS = 20

/** The pictures that the patient's reports show. Reports show all kinds of pictures: a hand must be named, by Media or report. */
async function reportedPhotos(session: FhirSession, capabilities: Capabilities, patientId: string): Promise<readonly unknown[]> {
  const reports = (await ofPatient(session, capabilities, 'DiagnosticReport', patientId, REPORT_PAGES))
    .flatMap((one) => report.safeParse(one).data ?? [])
    .filter(({ status, subject, meta }) => !['entered-in-error', 'cancelled'].includes(status) && isOf(session.tenant, subject?.reference, patientId) && !isClosed(meta?.security))
    .sort((a, b) => timeOf(b.effectiveDateTime ?? b.issued) - timeOf(a.effectiveDateTime ?? a.issued))
  const shown = reports.flatMap(({ code, media: pictures }) => pictures.map(({ link, comment }) =>
    ({ reference: link.reference ?? '', words: [code?.text, comment, ...(code?.coding ?? []).map(({ display }) => display)].join(' ') })))
    .filter(({ reference }) => /^Media\//.test(relativeTo(session.tenant, reference))).slice(0, REPORT_PHOTOS)
  const handsIn = new Map(shown.map(({ reference, words }) => [relativeTo(session.tenant, reference), handInWords(words) !== undefined]))
  const pictures = await readNamed(session, capabilities, [...handsIn.keys()])
  return pictures.filter((one) => {
    const { bodySite, id: name } = media.safeParse(one).data ?? {}
    return bodySite !== undefined || handsIn.get(`Media/${name}`) === true
  })
}

export const PHOTO_REFERENCE = referenceTo('Media|DocumentReference')

/** Media and DocumentReference by their references, relative or below this FHIR base; what is gone or something else is passed over. */
async function readNamed(session: FhirSession, capabilities: Capabilities, references: readonly string[]): Promise<readonly unknown[]> {
  const found: unknown[] = []
  for (const one of new Set(references.map((reference) => relativeTo(session.tenant, reference)))) {
    const [, type, name] = PHOTO_REFERENCE.exec(one) ?? []
    if (!type || !name || !capabilities.can(type, 'read')) continue
    found.push(await readIfThere(session, type as 'Media' | 'DocumentReference', name).catch(passOverInvalid))
  }
  return found
}

function passOverInvalid(error: unknown): undefined {
  if (!isScreeningError(error) || error.code !== 'ERR_REQUEST_INVALID') throw error
}

/** The patient whose photos are wanted, and the record that numbers patients so. */
export interface Whose extends Pick<TenantConfig, 'fhirBase'> {
  readonly patientId: string
}

/** The same out of a prefetched searchset. What is not a Bundle, or not a photo of this patient's hand, is passed over. */
export function photosFromBundle(value: unknown, whose: Whose): readonly HandPhoto[] {
  const entries = bundle.safeParse(value).data?.entry ?? []
  return handPhotosIn(entries.map(({ resource }) => resource), whose)
}

/** Statuses by which a record takes a photo back. */
const WITHDRAWN = new Set(['entered-in-error', 'not-done', 'stopped', 'on-hold', 'superseded'])

/** A photo that was read: it is this patient's still, it was taken back or may no longer be looked at, or it is filed under another patient. */
export type PhotoStanding = 'stands' | 'taken-back' | 'of-another'

/**
 * What became of a photo that was read, by the record's answer for it. What follows where it no longer stands, results that are entered in
 * error, is too much for an answer that we merely fail to understand: throws ERR_EHR_ANSWER.
 */
export function photoStanding(resource: unknown, whose: Whose): PhotoStanding {
  if (handPhotosIn([resource], whose).length > 0) return 'stands'
  const { status = '', docStatus, subject, meta: about, securityLabel = [] } = head.safeParse(resource).data ?? {}
  const named = subject?.reference
  if (named !== undefined && !isOf(whose, named, whose.patientId)) return 'of-another'
  if (WITHDRAWN.has(status) || docStatus === 'entered-in-error') return 'taken-back'
  if (isClosed(about?.security) || securityLabel.some((label) => isClosed(label.coding))) return 'taken-back'
  const { bodySite } = media.safeParse(resource).data ?? {}
  if (bodySite && !handIn(bodySite)) return 'taken-back'
  throw new ScreeningError('ERR_EHR_ANSWER', 'Expected a photo that was read to be one still, or to have been taken back, but received something else')
}

/**
 * The photo's bytes, at most 25 MB, compared with the size and hash the record gives.
 * With `patientId`, bytes that the record keeps for another patient are ERR_WRONG_PATIENT.
 * Throws ERR_PHOTO_TOO_LARGE, ERR_PHOTO_CORRUPT, ERR_PHOTO_UNREACHABLE, ERR_EGRESS_REFUSED, ERR_EHR_*.
 */
export async function readPhotoBytes(session: FhirSession, photo: HandPhoto, patientId?: string): Promise<Uint8Array> {
  if ((photo.attachment.size ?? 0) > MAX_PHOTO_BYTES) throw tooLarge()
  const bytes = photo.attachment.url ? await fetched(session, photo.attachment.url, patientId) : await inline(session, photo)
  if (bytes.byteLength > MAX_PHOTO_BYTES) throw tooLarge()
  const { size, hash } = photo.attachment
  if (size !== undefined && size !== bytes.byteLength)
    throw corrupt(`${size} bytes as the record says but received ${bytes.byteLength}`)
  if (hash !== undefined && hash !== createHash('sha1').update(bytes).digest('base64'))
    throw corrupt('the hash that the record gives')
  return bytes
}

async function fetched(session: FhirSession, url: string, patientId: string | undefined): Promise<Uint8Array> {
  try {
    return await session.readAttachment(url, patientId === undefined ? {} : { patientId })
  } catch (cause) {
    if (cause instanceof ScreeningError && cause.code === 'ERR_NOT_FOUND')
      throw unreachable('the photo at the address that the record gives but nothing was there', cause)
    throw cause
  }
}

async function inline(session: FhirSession, photo: HandPhoto): Promise<Uint8Array> {
  const resource = await session.read(photo.resourceType, photo.id).catch((cause: unknown) => {
    if (isScreeningError(cause) && cause.code === 'ERR_NOT_FOUND') throw unreachable('the photo in the record but it is gone', cause)
    throw cause
  })
  const contents = [media.safeParse(resource).data?.content ?? documentReference.safeParse(resource).data?.content.map((one) => one.attachment) ?? []].flat()
  const data = photo.part === undefined ? bestOf(contents.filter((one) => one.data !== undefined))?.data : contents[photo.part]?.data
  if (data === undefined) throw unreachable('the photo to have an address or data but it has neither')
  if (data.length > MAX_PHOTO_BYTES * (typeof data === 'string' ? 1.4 : 1)) throw tooLarge()
  return typeof data === 'string' ? Buffer.from(data, 'base64') : data
}

/**
 * Newest first, by the time as it was written: of times without a zone the day is believed, and their order. A document that another one
 * of this patient replaces is none, also where the record left it `current`.
 */
function handPhotosIn(resources: readonly unknown[], whose: Whose): HandPhoto[] {
  const replaced = new Set(resources.flatMap((one) => replacedBy(one, whose)))
  return resources
    .flatMap((resource) => photosOf(resource, whose))
    .filter(({ photo }) => !replaced.has(nameOf(photo)))
    .sort((a, b) => newestFirst(a.written, b.written) || a.photo.id.localeCompare(b.photo.id))
    .map(({ photo }) => photo)
}

/** To read one as what it is not, or for what it does not say, takes longer than to read it. */
function photosOf(resource: unknown, whose: Whose): readonly WrittenPhoto[] {
  const { resourceType } = (resource ?? {}) as { readonly resourceType?: unknown }
  if (resourceType === 'DocumentReference') return documentPhotos(resource, whose)
  const photo = resourceType === 'Media' ? mediaPhoto(resource, whose) : undefined
  return photo ? [photo] : []
}

/** Which documents this one takes the place of; none where it was taken back itself, or is another patient's. */
function replacedBy(value: unknown, whose: Whose): readonly string[] {
  if ((value as { readonly relatesTo?: unknown } | null | undefined)?.relatesTo == null) return []
  const { data: found } = replacement.safeParse(value)
  if (!found || found.docStatus === 'entered-in-error' || !isOf(whose, found.subject.reference, whose.patientId)) return []
  return found.relatesTo.flatMap(({ code, target: { reference: replaced } }) => code === 'replaces' && replaced ? [relativeTo(whose, replaced)] : [])
}

function nameOf({ resourceType, id: name }: HandPhoto): string {
  return `${resourceType}/${name}`
}

interface WrittenPhoto {
  readonly photo: HandPhoto
  /** Its time as the record writes it. */
  readonly written: string | undefined
}

function mediaPhoto(value: unknown, whose: Whose): WrittenPhoto | undefined {
  const { data: found } = media.safeParse(value)
  if (!found || found.status !== 'completed' || !isOf(whose, found.subject.reference, whose.patientId)) return undefined
  const kind = kindOf(found.content)
  if (kind === 'other' || isClosed(found.meta?.security)) return undefined
  const site = found.bodySite ? handIn(found.bodySite) : {}
  // What may be anything must be said to show a hand, and to be no film of it.
  if (!site || (kind === 'unnamed' && (!found.bodySite || found.type?.coding.some(({ code }) => code === 'video' || code === 'audio')))) return undefined
  const { createdDateTime, createdPeriod, issued } = found
  const created = createdDateTime ?? createdPeriod?.end ?? createdPeriod?.start ?? found.content.creation ?? issued
  return handPhoto(found, found.content, created, site.side)
}

/** Every picture of a document that can be read; of one that has none, the best of what it has (HEIC, what may be a picture). */
function documentPhotos(value: unknown, whose: Whose): readonly WrittenPhoto[] {
  const { data: found } = documentReference.safeParse(value)
  if (!found || found.status !== 'current' || found.docStatus === 'entered-in-error') return []
  if (!isOf(whose, found.subject.reference, whose.patientId) || isClosed(found.meta?.security) || found.securityLabel?.some(({ coding: label }) => isClosed(label))) return []
  const attachments = found.content.map((one) => one.attachment)
  const best = bestOf(attachments)
  return attachments.flatMap((image, part) =>
    image === best ? documentPhoto(found, image) ?? [] : kindOf(image) === 'readable' ? documentPhoto(found, image, part) ?? [] : [])
}

/** Records keep all kinds of pictures as documents: only a photograph, or a picture that says it shows a hand, is taken. */
function documentPhoto(found: z.infer<typeof documentReference>, image: Attachment, part?: number): WrittenPhoto | undefined {
  const ofAll = [found.description, found.type?.text].join(' ')
  const words = [ofAll, image.title].join(' ')
  const photograph = found.type?.coding.some(({ system, code }) => system === PHOTOGRAPH.system && code === PHOTOGRAPH.code)
  const site = handInWords(words)
  if (!photograph && (!site || (kindOf(image) === 'unnamed' && !PICTURE_WORDS.test(words)))) return undefined
  // A document of both hands says so; which one a picture shows, its own title may tell.
  const side = sidesIn(ofAll).length > 1 ? onlySideIn(image.title ?? '') : site?.side
  return handPhoto(found, image, image.creation ?? found.date, side, part)
}

function handPhoto(
  found: { resourceType: 'Media' | 'DocumentReference'; id: string; meta?: z.infer<typeof meta> },
  { contentType, url, size, hash }: Attachment, written: string | undefined, side: Laterality | undefined, part?: number
): WrittenPhoto {
  const versionId = found.meta?.versionId
  const created = dateTimeFrom(written ?? '')
  const photo: HandPhoto = {
    resourceType: found.resourceType,
    id: found.id,
    ...(versionId ? { versionId } : {}),
    ...(part === undefined ? {} : { part }),
    ...(created ? { created } : {}),
    ...(contentType ? { contentType } : {}),
    ...(side ? { side } : {}),
    attachment: {
      ...(contentType ? { contentType } : {}), ...(url ? { url } : {}),
      ...(size === undefined ? {} : { size }), ...(hash ? { hash } : {})
    }
  }
  return { photo, written }
}

/** `{ side }` when the body site is a hand or a part of one; undefined when it is something else. */
function handIn(site: Concept): { readonly side?: Laterality } | undefined {
  const named = site.extension.flatMap((one) => one.valueCodeableConcept?.coding ?? []).map(lateralityOf).find(Boolean)
  const coded = site.coding.map((one) => handSiteOf(one)).find(Boolean)
  const hand = coded ?? (site.text === undefined ? undefined : handInWords(site.text))
  if (!hand) return undefined
  const side = hand.side ?? named ?? (site.text === undefined ? undefined : handInWords(site.text)?.side)
  return side ? { side } : {}
}

function handInWords(text: string): { readonly side?: Laterality } | undefined {
  if (!HAND_WORDS.test(text)) return undefined
  const side = onlySideIn(text)
  return side ? { side } : {}
}

function onlySideIn(text: string): Laterality | undefined {
  const [side, other] = sidesIn(text)
  return other ? undefined : side
}

function sidesIn(text: string): readonly Laterality[] {
  return LATERALITIES.filter((side) => SIDE_WORDS[side].test(text))
}

/** English and German, in sentences and in names of files (`left_hand2.jpg`): between letters no word begins or ends. */
const wordIn = (either: string) => new RegExp(`(?<!\\p{L})(?:${either})(?!\\p{L})`, 'iu')
const HAND_WORDS = wordIn('hands?|hände|handrücken|wrists?|handgelenke?|fingers?|knuckles?')
const SIDE_WORDS: Readonly<Record<Laterality, RegExp>> = { left: wordIn('left|links?|linke[mnrs]?'), right: wordIn('right|rechts?|rechte[mnrs]?') }

const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality'

/** Our own annotated copies are no source, and what is labelled restricted or very restricted is not for software to look at. */
function isClosed(security: readonly { readonly system?: string | null | undefined; readonly code?: string | null | undefined }[] | null | undefined): boolean {
  return security?.some(({ system, code }) =>
    (system === AI_ASSERTED.system && code === AI_ASSERTED.code) || (system === CONFIDENTIALITY && (code === 'R' || code === 'V'))) ?? false
}

/** Best first: what the decoder reads, another picture (HEIC), what the record gives no name and may be one, everything else. */
const KINDS = ['readable', 'picture', 'unnamed', 'other'] as const
const PICTURE_WORDS = /\b(photos?|photographs?|pictures?|images?)\b|\.(jpe?g|png|webp)\b/i

/**
 * R4 lets an attachment with an address go without contentType (att-1 asks for one beside data), and some servers call everything
 * octet-stream: the decoder goes by the bytes, and refuses what is no picture.
 */
function kindOf({ contentType, url }: Attachment): typeof KINDS[number] {
  if (contentType === undefined) return url === undefined ? 'other' : 'unnamed'
  if (/^image\/(p?jpe?g|png|webp)\b/i.test(contentType)) return 'readable'
  if (/^image\/[\w.+-]+/i.test(contentType)) return 'picture'
  return /^application\/octet-stream\b/i.test(contentType) ? 'unnamed' : 'other'
}

/** The record calls it a picture; otherwise it may be one. */
export function isCalledPicture({ attachment: one }: HandPhoto): boolean {
  return /^image\//i.test(one.contentType ?? '')
}

function bestOf(attachments: readonly Attachment[]): Attachment | undefined {
  return KINDS.slice(0, -1).flatMap((kind) => attachments.filter((one) => kindOf(one) === kind))[0]
}

/** Of times: negative when the first is the newer one. */
function newestFirst(a: string | undefined, b: string | undefined): number {
  const [first, second] = [timeOf(a), timeOf(b)]
  return first === second ? 0 : second - first
}

/** Milliseconds; without a readable date it is the oldest. */
function timeOf(dateTime: string | undefined): number {
  const time = Date.parse(dateTime ?? '')
  return Number.isNaN(time) ? -Infinity : time
}

function tooLarge(): ScreeningError {
  return new ScreeningError('ERR_PHOTO_TOO_LARGE', `Expected a photo of at most ${MAX_PHOTO_BYTES} bytes but it is larger`)
}

function unreachable(expected: string, cause?: unknown): ScreeningError {
  return new ScreeningError('ERR_PHOTO_UNREACHABLE', `Expected ${expected}`, { cause })
}

function corrupt(expected: string): ScreeningError {
  return new ScreeningError('ERR_PHOTO_CORRUPT', `Expected ${expected}`)
}
