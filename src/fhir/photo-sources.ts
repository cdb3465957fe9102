import { createHash } from 'node:crypto'
import { z } from 'zod'
import { ScreeningError } from '../errors.ts'
import type { Laterality } from '../joints/hand-joint.ts'
import { aiTerm, handSiteOf, lateralityOf, termFor } from './codes.ts'
import { MAX_PHOTO_BYTES, type FhirSession } from './session.ts'

/** One photo of a hand as the record knows it; the bytes are read with readPhotoBytes. */
export interface HandPhoto {
  readonly resourceType: 'Media' | 'DocumentReference'
  readonly id: string
  readonly versionId?: string
  /** When it was taken, as the record says: FHIR dateTime. */
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

const coding = z.object({ system: z.string().optional(), code: z.string().optional() })
const concept = z.object({
  coding: z.array(coding).optional(),
  text: z.string().optional(),
  extension: z.array(z.object({ valueCodeableConcept: z.object({ coding: z.array(coding).optional() }).optional() })).optional()
})
const attachment = z.object({
  contentType: z.string().optional(),
  url: z.string().optional(),
  data: z.string().optional(),
  size: z.number().optional(),
  hash: z.string().optional(),
  title: z.string().optional(),
  creation: z.string().optional()
})
const meta = z.object({ versionId: z.string().optional(), security: z.array(coding).optional() }).optional()
const id = z.string().regex(/^(?!\.{1,2}$)[A-Za-z0-9\-.]{1,64}$/)
const reference = z.object({ reference: z.string().optional() })
const media = z.object({
  resourceType: z.literal('Media'),
  id,
  meta,
  status: z.string(),
  subject: reference,
  bodySite: concept.optional(),
  createdDateTime: z.string().optional(),
  createdPeriod: z.object({ start: z.string().optional(), end: z.string().optional() }).optional(),
  issued: z.string().optional(),
  content: attachment
})
const documentReference = z.object({
  resourceType: z.literal('DocumentReference'),
  id,
  meta,
  status: z.string(),
  docStatus: z.string().optional(),
  type: concept.optional(),
  subject: reference,
  date: z.string().optional(),
  description: z.string().optional(),
  content: z.array(z.object({ attachment }))
})
const bundle = z.object({ entry: z.array(z.unknown()).optional() })
const entry = z.object({ resource: z.unknown() })

type Attachment = z.infer<typeof attachment>
type Concept = z.infer<typeof concept>

const PHOTOGRAPH = termFor('photo', 'document type of a photograph (DocumentReference.type / category)')
const AI_ASSERTED = aiTerm('AIAST')

/**
 * The patient's hand photos, newest first: Media where the server can search it by patient, otherwise (or when there are
 * none) DocumentReference. No vendor sandbox we know searches Media by patient (specs/conformance.md section 5).
 */
export async function findHandPhotos(session: FhirSession, patientId: string): Promise<readonly HandPhoto[]> {
  const capabilities = await session.capabilities()
  const byPatient = (type: 'Media' | 'DocumentReference') => ['patient', 'subject'].find((name) => capabilities.canSearch(type, name))
  for (const type of ['Media', 'DocumentReference'] as const) {
    const parameter = byPatient(type)
    if (!parameter) continue
    const found = await session.search(type, { [parameter]: parameter === 'patient' ? patientId : `Patient/${patientId}` })
    const photos = handPhotosIn(found, patientId)
    if (photos.length > 0) return photos
  }
  return []
}

/** The same out of a prefetched searchset. What is not a Bundle, or not a photo of this patient's hand, is passed over. */
export function photosFromBundle(value: unknown, patientId: string): readonly HandPhoto[] {
  const result = bundle.safeParse(value)
  const entries = result.data?.entry ?? []
  return handPhotosIn(entries.map((one) => entry.safeParse(one).data?.resource), patientId)
}

/**
 * The photo's bytes, at most 25 MB, compared with the size and hash the record gives.
 * Throws ERR_PHOTO_TOO_LARGE, ERR_PHOTO_CORRUPT, ERR_PHOTO_UNREACHABLE, ERR_EGRESS_REFUSED, ERR_EHR_*.
 */
export async function readPhotoBytes(session: FhirSession, photo: HandPhoto): Promise<Uint8Array> {
  if ((photo.attachment.size ?? 0) > MAX_PHOTO_BYTES) throw tooLarge()
  const bytes = photo.attachment.url ? await fetched(session, photo.attachment.url) : await inline(session, photo)
  if (bytes.byteLength > MAX_PHOTO_BYTES) throw tooLarge()
  const { size, hash } = photo.attachment
  if (size !== undefined && size !== bytes.byteLength)
    throw corrupt(`${size} bytes as the record says but received ${bytes.byteLength}`)
  if (hash !== undefined && hash !== createHash('sha1').update(bytes).digest('base64'))
    throw corrupt('the hash that the record gives')
  return bytes
}

async function fetched(session: FhirSession, url: string): Promise<Uint8Array> {
  try {
    return await session.readAttachment(url)
  } catch (cause) {
    if (cause instanceof ScreeningError && cause.code === 'ERR_NOT_FOUND')
      throw unreachable('the photo at the address that the record gives but nothing was there', cause)
    throw cause
  }
}

async function inline(session: FhirSession, photo: HandPhoto): Promise<Uint8Array> {
  const resource = await session.read(photo.resourceType, photo.id)
  const contents = resource.resourceType === 'Media' ? [resource.content] : resource.content.map((one) => one.attachment)
  const data = contents.find((one) => one.data !== undefined && isImage(one.contentType))?.data
  if (data === undefined) throw unreachable('the photo to have an address or data but it has neither')
  if (data.length > MAX_PHOTO_BYTES * 1.4) throw tooLarge()
  return Buffer.from(data, 'base64')
}

function handPhotosIn(resources: readonly unknown[], patientId: string): HandPhoto[] {
  return resources
    .flatMap((resource) => mediaPhoto(resource, patientId) ?? documentPhoto(resource, patientId) ?? [])
    .sort((a, b) => takenAt(b) - takenAt(a) || a.id.localeCompare(b.id))
}

function mediaPhoto(value: unknown, patientId: string): HandPhoto | undefined {
  const { data: found } = media.safeParse(value)
  if (!found || found.status !== 'completed' || !isOf(found.subject.reference, patientId)) return undefined
  if (!isImage(found.content.contentType) || isAiMade(found.meta?.security)) return undefined
  const site = found.bodySite ? handIn(found.bodySite) : {}
  if (!site) return undefined
  const { createdDateTime, createdPeriod, issued } = found
  const created = createdDateTime ?? createdPeriod?.end ?? createdPeriod?.start ?? found.content.creation ?? issued
  return handPhoto(found, found.content, created, site.side)
}

/** Records keep all kinds of pictures as documents: only a photograph, or a picture that says it shows a hand, is taken. */
function documentPhoto(value: unknown, patientId: string): HandPhoto | undefined {
  const { data: found } = documentReference.safeParse(value)
  if (!found || found.status !== 'current' || found.docStatus === 'entered-in-error') return undefined
  if (!isOf(found.subject.reference, patientId) || isAiMade(found.meta?.security)) return undefined
  const image = found.content.find((one) => isImage(one.attachment.contentType))?.attachment
  if (!image) return undefined
  const words = [found.description, image.title, found.type?.text].join(' ')
  const photograph = found.type?.coding?.some(({ system, code }) => system === PHOTOGRAPH.system && code === PHOTOGRAPH.code)
  const site = handInWords(words)
  if (!site && !photograph) return undefined
  return handPhoto(found, image, image.creation ?? found.date, site?.side)
}

function handPhoto(
  found: { resourceType: 'Media' | 'DocumentReference'; id: string; meta?: z.infer<typeof meta> },
  { contentType, url, size, hash }: Attachment, created: string | undefined, side: Laterality | undefined
): HandPhoto {
  const versionId = found.meta?.versionId
  return {
    resourceType: found.resourceType,
    id: found.id,
    ...(versionId ? { versionId } : {}),
    ...(created ? { created } : {}),
    ...(contentType ? { contentType } : {}),
    ...(side ? { side } : {}),
    attachment: {
      ...(contentType ? { contentType } : {}), ...(url ? { url } : {}),
      ...(size === undefined ? {} : { size }), ...(hash ? { hash } : {})
    }
  }
}

/** `{ side }` when the body site is a hand or a part of one; undefined when it is something else. */
function handIn(site: Concept): { readonly side?: Laterality } | undefined {
  const named = (site.extension ?? []).flatMap((one) => one.valueCodeableConcept?.coding ?? []).map(lateralityOf).find(Boolean)
  const coded = (site.coding ?? []).map((one) => handSiteOf(one)).find(Boolean)
  const hand = coded ?? (site.text === undefined ? undefined : handInWords(site.text))
  if (!hand) return undefined
  const side = hand.side ?? named ?? (site.text === undefined ? undefined : handInWords(site.text)?.side)
  return side ? { side } : {}
}

function handInWords(text: string): { readonly side?: Laterality } | undefined {
  if (!/\b(hands?|wrists?|fingers?|knuckles?)\b/i.test(text)) return undefined
  const sides = (['left', 'right'] as const).filter((side) => new RegExp(`\\b${side}\\b`, 'i').test(text))
  return sides.length === 1 && sides[0] ? { side: sides[0] } : {}
}

/** Our own annotated copies are no source. */
function isAiMade(security: readonly z.infer<typeof coding>[] | undefined): boolean {
  return security?.some(({ system, code }) => system === AI_ASSERTED.system && code === AI_ASSERTED.code) ?? false
}

function isImage(contentType: string | undefined): boolean {
  return /^image\/[\w.+-]+/i.test(contentType ?? '')
}

/** `Patient/id`, relative or absolute. */
export function isOf(reference: string | undefined, patientId: string): boolean {
  return reference === `Patient/${patientId}` || (reference?.startsWith('http') === true && reference.endsWith(`/Patient/${patientId}`))
}

/** Milliseconds; a photo without a readable date is the oldest. */
function takenAt({ created }: HandPhoto): number {
  const time = Date.parse(created ?? '')
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
