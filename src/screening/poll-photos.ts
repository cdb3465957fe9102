import { z } from 'zod'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { maybe, some, word } from '../fhir/lenient.ts'
import { logicalId } from '../fhir/logical-id.ts'
import { patientIn } from '../fhir/references.ts'
import type { FhirSession } from '../fhir/session.ts'
import { isOfToken } from '../fhir/transport.ts'

/** A photo that the record says changed. */
export interface ChangedPhoto {
  readonly reference: string
  readonly patientId: string
  /** Which change of it: its version, or when it changed. */
  readonly version: string
}

const attachment = z.object({ contentType: maybe(z.string()), url: maybe(z.string()) })
const changed = z.object({
  resourceType: z.enum(['Media', 'DocumentReference', 'DiagnosticReport']),
  id: logicalId,
  meta: maybe(z.object({ versionId: word, lastUpdated: maybe(z.string()) })),
  status: maybe(z.string()),
  subject: maybe(z.object({ reference: maybe(z.string()) })),
  content: z.union([some(z.object({ attachment })).refine((list) => list.length > 0), attachment.transform((one) => [{ attachment: one }])]).catch([]),
  media: some(z.unknown())
})

const dated = z.object({ meta: maybe(z.object({ lastUpdated: maybe(z.string()) })) })

/** A picture, or a report that shows some, with the patient it is of; undefined for everything else. */
export function changedPhoto({ tenant }: FhirSession, value: unknown): ChangedPhoto | undefined {
  const found = changed.safeParse(value).data
  const patientId = patientIn(tenant, found?.subject?.reference)
  if (!found || patientId === undefined) return undefined
  const pictures = found.content.some((one) => mayBePicture(one.attachment)) || found.media.length > 0
  // A withdrawn photo matters as much as a new one, and may have lost its content.
  if (!pictures && found.status !== 'entered-in-error') return undefined
  const { versionId, lastUpdated } = found.meta ?? {}
  return { reference: `${found.resourceType}/${found.id}`, patientId, version: versionId ?? lastUpdated ?? '' }
}

/** What the record gives no kind, or calls octet-stream, may be one; whoever screens the patient finds out. */
function mayBePicture({ contentType, url }: z.infer<typeof attachment>): boolean {
  return contentType === undefined ? url !== undefined : /^(?:image\/|application\/octet-stream\b)/i.test(contentType)
}

/** What can show a photo to whoever asks for changes. */
export type PolledType = 'Media' | 'DocumentReference'
const POLLED: readonly PolledType[] = ['Media', 'DocumentReference']

export interface Changes {
  readonly photos: readonly ChangedPhoto[]
  /** Types that `/metadata` lets be asked and that were refused this time: what changed of them is not known. */
  readonly refused: readonly PolledType[]
  /** Everything that was looked through, pictures or not: what the record dates each with, where it does. */
  readonly dates: readonly (string | undefined)[]
}

/**
 * Photos of every patient that changed since then (and before `until`), by each of the types that `/metadata` lets be searched by `_lastUpdated`, in
 * the server's own spelling. A server that lists the parameter and refuses it without a patient, as some vendors do, offers no such
 * search. Throws ERR_EHR_REFUSED when none of the types can be asked, ERR_EHR_*.
 */
export async function photosChangedSince(session: FhirSession, since: Date, until?: Date, polled: readonly PolledType[] = POLLED): Promise<Changes> {
  const capabilities = await session.capabilities()
  const photos: ChangedPhoto[] = []
  const dates: (string | undefined)[] = []
  /** Of types that may not be searched so. */
  const refusals = new Map<PolledType, ScreeningError>()

  async function ask(type: PolledType, parameter: string): Promise<void> {
    const count = capabilities.canSearch(type, '_count') ? { _count: 100 } : {}
    const from = `ge${since.toISOString()}`
    try {
      const page = await session.search(type, { [parameter]: until ? [from, `lt${until.toISOString()}`] : from, ...count })
      photos.push(...page.flatMap((one) => changedPhoto(session, one) ?? []))
      dates.push(...page.map((one) => dated.safeParse(one).data?.meta?.lastUpdated))
      refusals.delete(type)
    } catch (error) {
      if (!isScreeningError(error) || (error.code !== 'ERR_EHR_REFUSED' && error.code !== 'ERR_EHR_UNAUTHORIZED')) throw error
      refusals.set(type, error)
    }
  }

  const types = polled.flatMap((type) => {
    const parameter = capabilities.spelled(type, '_lastUpdated')
    return parameter ? [[type, parameter] as const] : []
  })
  for (const one of types) await ask(...one)
  for (const [type, parameter] of types) {
    const refusal = refusals.get(type)
    if (refusal && isOfToken(refusal)) await ask(type, parameter)
  }
  if (refusals.size === types.length) throw new ScreeningError('ERR_EHR_REFUSED', 'Expected an EHR whose Media or DocumentReference can be searched by _lastUpdated but it offers neither')
  return { photos, dates, refused: [...refusals.keys()] }
}
