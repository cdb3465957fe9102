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
}

const NAMESPACE = uuidV5(URL_NAMESPACE, OWN_BASE)

/**
 * Ids are computed, not drawn (specs/reliability.md section 3.4): the same photo, model and joint give the same id on every
 * try and every machine, so a result written twice can be recognised. It is identifier and, where we may choose, id.
 */
export function resultIds(tenant: string, photos: readonly SourcePhoto[], model: ModelIdentity) {
  const visit = photos.map(photoKey).sort()
  const id = (...parts: unknown[]) => uuidV5(NAMESPACE, JSON.stringify([tenant, ...parts, model.digest]))
  return {
    /** A joint of a hand without photo belongs to the whole visit. */
    joint: (photo: SourcePhoto | undefined, side: Laterality, joint: HandJoint) =>
      id(photo ? photoKey(photo) : visit, `${side}-${joint}`),
    count: id(visit, 'count'),
    report: id(visit, 'report'),
    provenance: id(visit, 'provenance'),
    device: id('device')
  }
}

function photoKey({ resourceType, id, versionId, created }: SourcePhoto): string {
  return `${resourceType}/${id}/${versionId ?? created ?? ''}`
}
