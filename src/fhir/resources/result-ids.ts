import type { Reference } from 'fhir/r4.js'
import type { HandJoint, Laterality } from '../../joints/hand-joint.ts'
import type { ModelIdentity } from '../../joints/finding.ts'
import { OWN_BASE } from '../codes.ts'
import { URL_NAMESPACE, uuidV5 } from './uuid-v5.ts'

/** The photo as the result names it. */
export interface SourcePhoto {
  readonly resourceType: 'Media' | 'DocumentReference'
  readonly id: string
  readonly versionId?: string
  readonly created?: string
  /** Which of several photos of one document (HandPhoto). */
  readonly part?: number
}

/** Whose result it is. */
export interface ResultOwner {
  readonly tenant: string
  readonly patientId: string
  /** Counts up when what was retired in the record has to stand there again: an id that was retired is never used again. */
  readonly edition?: number
}

const NAMESPACE = uuidV5(URL_NAMESPACE, OWN_BASE)

/**
 * Ids are computed, not drawn (specs/reliability.md section 3.4): the same photo, model and joint give the same id on every
 * try and every machine, so a result written twice can be recognised. It is identifier and, where we may choose, id. The patient
 * is part of it: a photo that was filed under the wrong patient may keep its id and version when it is moved, and what was
 * written about the one must never be taken for what is to be written about the other.
 */
export function resultIds({ tenant, patientId, edition = 0 }: ResultOwner, photos: readonly SourcePhoto[], model: ModelIdentity) {
  return { ...idsWithin([tenant, patientId, ...(edition > 0 ? [edition] : [])], photos, model), device: uuidOf([tenant, 'device', model.digest]) }
}

/** The same for what a clinician signs about one screening, which is one patient's. */
export function clinicianIds(tenant: string, screeningId: string, photos: readonly SourcePhoto[], model: ModelIdentity) {
  return idsWithin([`${tenant}|clinician|${screeningId}`], photos, model)
}

function idsWithin(scope: readonly unknown[], photos: readonly SourcePhoto[], model: ModelIdentity) {
  const visit = photos.map(photoKey).sort()
  const id = (...parts: unknown[]) => uuidOf([...scope, ...parts, model.digest])
  return {
    /** Of the visit as a whole: what one hand shows is weighed with the other, so another photo of that one changes this one's results too. */
    joint: (photo: SourcePhoto | undefined, side: Laterality, joint: HandJoint) =>
      id(visit, ...(photo ? [photoKey(photo)] : []), `${side}-${joint}`),
    count: id(visit, 'count'),
    report: id(visit, 'report'),
    provenance: id(visit, 'provenance')
  }
}

function uuidOf(parts: readonly unknown[]): string {
  return uuidV5(NAMESPACE, JSON.stringify(parts))
}

/** One version of one photo, for ids and digests. */
export function photoKey({ resourceType, id, versionId, created, part }: SourcePhoto): string {
  return `${resourceType}/${id}/${versionId ?? created ?? ''}${part === undefined ? '' : `#${part}`}`
}

export function photoReference({ resourceType, id, part }: SourcePhoto): Reference {
  return { reference: `${resourceType}/${id}`, ...(part === undefined ? {} : { display: `Picture ${part + 1} of this document` }) }
}

/** Each resource once: a document may hold several of the photos. */
export function photoReferences(photos: readonly SourcePhoto[]): readonly Reference[] {
  return [...new Set(photos.map(({ resourceType, id }) => `${resourceType}/${id}`))].map((reference) => ({ reference }))
}
