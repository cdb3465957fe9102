import { createHash } from 'node:crypto'
import type { Attachment, Binary, CodeableConcept, DocumentReference, Media } from 'fhir/r4.js'
import type { Laterality } from '../../joints/hand-joint.ts'
import { aiTerm, OWN_BASE, term, termFor } from '../codes.ts'
import { URL_NAMESPACE, uuidV5 } from './uuid-v5.ts'

/** A photo of the back of one hand, taken with the capture page, ready for the record: re-encoded, without metadata. */
export interface TakenPhoto {
  readonly tenant: string
  readonly patientId: string
  readonly encounterId?: string
  readonly side: Laterality
  /** Of the file as it was sent, before it was re-encoded; hex. */
  readonly sentSha256: string
  /** JPEG. */
  readonly jpeg: Uint8Array
  readonly width: number
  readonly height: number
  /** When it was taken and when it was sent, FHIR instants. */
  readonly takenAt: string
  readonly sentAt: string
  /** Who took it: `Practitioner/…` or `Patient/…`; undefined when the EHR did not say. */
  readonly operator?: string
  /** What took it, in words: the camera as the browser names it. */
  readonly deviceName: string
  /** Version of the words that the person agreed to. */
  readonly consent: string
}

export const PHOTO_ID = `${OWN_BASE}/photo-id`
const VIEW = `${OWN_BASE}/CodeSystem/hand-photo-view`

/** The same picture of the same patient has the same identifier, however often it is sent. */
export function photoIdentifier({ tenant, patientId, side, sentSha256 }: Pick<TakenPhoto, 'tenant' | 'patientId' | 'side' | 'sentSha256'>): string {
  return uuidV5(URL_NAMESPACE, [PHOTO_ID, tenant, patientId, side, sentSha256].join('|'))
}

export function photoBinary({ patientId, jpeg }: TakenPhoto): Binary {
  return { resourceType: 'Binary', contentType: 'image/jpeg', securityContext: { reference: `Patient/${patientId}` }, data: Buffer.from(jpeg).toString('base64') }
}

/** Media of the back of a hand; `url` of its Binary, or the bytes inside when the record takes no Binary. */
export function photoMedia(photo: TakenPhoto, url: string | undefined): Media {
  return {
    resourceType: 'Media',
    ...labelled(photo),
    identifier: [{ system: PHOTO_ID, value: photoIdentifier(photo) }],
    status: 'completed',
    type: { coding: [term('photo', 'image')] },
    modality: { coding: [term('photo', 'XC')] },
    view: { coding: [{ ...term('photo', 'dorsal'), system: VIEW }] },
    bodySite: dorsum(photo.side),
    subject: { reference: `Patient/${photo.patientId}` },
    ...(photo.encounterId ? { encounter: { reference: `Encounter/${photo.encounterId}` } } : {}),
    createdDateTime: photo.takenAt,
    issued: photo.sentAt,
    ...(photo.operator ? { operator: { reference: photo.operator } } : {}),
    deviceName: photo.deviceName,
    width: photo.width,
    height: photo.height,
    content: attachment(photo, url),
    note: [{ text: consentWords(photo) }]
  }
}

/** The same as a document, for records in which Media cannot be created. R4 gives it no body site, so words carry the side. */
export function photoDocument(photo: TakenPhoto, url: string | undefined): DocumentReference {
  const photograph: CodeableConcept = { coding: [termFor('photo', 'document type of a photograph (DocumentReference.type / category)')], text: 'Photograph' }
  return {
    resourceType: 'DocumentReference',
    ...labelled(photo),
    identifier: [{ system: PHOTO_ID, value: photoIdentifier(photo) }],
    status: 'current',
    docStatus: 'final',
    type: photograph,
    subject: { reference: `Patient/${photo.patientId}` },
    date: photo.sentAt,
    ...(photo.operator ? { author: [{ reference: photo.operator }] } : {}),
    description: `${title(photo)}, dorsal view. Camera: ${photo.deviceName}. ${consentWords(photo)}`,
    content: [{ attachment: attachment(photo, url) }],
    ...(photo.encounterId ? { context: { encounter: [{ reference: `Encounter/${photo.encounterId}` }] } } : {})
  }
}

/** A photo that the patient took is labelled as reported by the patient. */
function labelled({ operator }: TakenPhoto) {
  return operator?.startsWith('Patient/') || operator?.startsWith('RelatedPerson/') ? { meta: { security: [aiTerm('PATRPT')] } } : {}
}

function attachment(photo: TakenPhoto, url: string | undefined): Attachment {
  const { jpeg, takenAt } = photo
  return {
    contentType: 'image/jpeg',
    ...(url === undefined ? { data: Buffer.from(jpeg).toString('base64') } : { url }),
    size: jpeg.byteLength,
    hash: createHash('sha1').update(jpeg).digest('base64'),
    title: title(photo),
    creation: takenAt
  }
}

function dorsum(side: Laterality): CodeableConcept {
  return { coding: [termFor('hand-and-digit', 'dorsal photograph body site', side)], text: `Back of the ${side} hand` }
}

const title = ({ side }: TakenPhoto) => `Back of the ${side} hand`
const consentWords = ({ consent }: TakenPhoto) => `Taken with JointLens after consent (wording ${consent}).`
