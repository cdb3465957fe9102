import type { Annotation, Observation, Provenance } from 'fhir/r4.js'
import { aiTerm } from '../codes.ts'
import { LOGICAL_ID } from '../logical-id.ts'
import { CALL_WORDS, isPresentIn, type ClinicianInput, type JointCall } from './clinician-resources.ts'
import { narrative } from './narrative.ts'

/** Who changes what was signed, and when. */
export type Signature = Pick<ClinicianInput, 'performer' | 'signed'>

/** What stood in the record before, out of the note that a correction leaves. */
export interface EarlierVersion {
  readonly call?: JointCall
  /** `Practitioner/…` */
  readonly performer?: string
  readonly at?: string
}

/**
 * The next version of a signed Observation (R4 Observation.status: after `final` comes `corrected`): the new answer, whoever corrects as
 * performer, and a note that keeps the answer, author and time of the version it replaces, for records whose history nobody can read. What
 * the record added stays, and so does the time of the examination.
 */
export function correctedObservation(there: Observation, wanted: Observation, signature: Signature): Observation {
  const { valueCodeableConcept: _concept, valueQuantity: _quantity, dataAbsentReason: _absent, component: _component, hasMember: _members, method: _method, derivedFrom: before, ...kept } = withoutVersion(there)
  const { valueCodeableConcept, valueQuantity, dataAbsentReason, component, hasMember, method, text, derivedFrom = before } = wanted
  return {
    ...kept,
    status: 'corrected',
    ...by(signature),
    ...(text ? { text } : {}), ...(method ? { method } : {}), ...(derivedFrom ? { derivedFrom } : {}),
    ...(valueCodeableConcept ? { valueCodeableConcept } : {}), ...(valueQuantity ? { valueQuantity } : {}),
    ...(dataAbsentReason ? { dataAbsentReason } : {}), ...(component ? { component } : {}), ...(hasMember ? { hasMember } : {}),
    note: notesAfter(there, signature, wanted.note)
  }
}

/** The next version of a signed Observation that should never have been there: never deleted, `entered-in-error`. */
export function withdrawnObservation(there: Observation, signature: Signature): Observation {
  return {
    ...withoutVersion(there),
    status: 'entered-in-error',
    ...by(signature),
    text: narrative(`Entered in error: ${there.code.text ?? 'clinical finding'}`),
    note: notesAfter(there, signature)
  }
}

/** This version of it was made by this signature: sent before, and its answer was lost. */
export function madeBy(there: Observation, { performer, signed }: Signature): boolean {
  return there.performer?.[0]?.reference === performer && Date.parse(there.issued ?? '') === Date.parse(signed)
}

/** What stood there before, oldest first. */
export function earlierVersions({ note = [] }: Observation): readonly EarlierVersion[] {
  return note.flatMap((one) => {
    const words = EARLIER.exec(one.text)?.[2]
    if (words === undefined) return []
    const [call] = (Object.keys(CALL_WORDS) as JointCall[]).filter((name) => CALL_WORDS[name] === words)
    const performer = one.authorReference?.reference ?? one.authorString
    return [{ ...(call ? { call } : {}), ...(performer ? { performer } : {}), ...(one.time ? { at: one.time } : {}) }]
  })
}

/** Provenance over corrected Observations: a revision of the versions that stood there. */
export function correctionProvenance(made: Provenance, replaced: readonly Observation[]): Provenance {
  const entity = replaced.map((one) => {
    const version = EARLIER.exec(one.note?.at(-1)?.text ?? '')?.[1]
    return { role: 'revision' as const, what: { reference: `Observation/${one.id}${version ? `/_history/${version}` : ''}` } }
  })
  return {
    ...made,
    text: narrative('Clinician’s correction of signed findings'),
    activity: { coding: [aiTerm('UPDATE')] },
    ...(entity.length > 0 || made.entity ? { entity: [...made.entity ?? [], ...entity] } : {})
  }
}

/** `Earlier version 1 (final): swollen.` */
const EARLIER = new RegExp(String.raw`^Earlier version(?: (${LOGICAL_ID}))? \([a-z-]+\): (.*)\.$`, 's')

function earlierNote(there: Observation): Annotation {
  const author = there.performer?.[0]?.reference
  // R4 Annotation.author takes a Practitioner, no PractitionerRole.
  const by = author === undefined ? {} : author.startsWith('Practitioner/') ? { authorReference: { reference: author } } : { authorString: author }
  const time = there.issued ?? there.effectiveDateTime
  const version = there.meta?.versionId
  return { ...by, ...(time ? { time } : {}), text: `Earlier version${version ? ` ${version}` : ''} (${there.status}): ${answerWords(there)}.` }
}

/** What others noted stays, our own words about the answer go with the answer, and the earlier versions stand in their order. */
function notesAfter(there: Observation, signature: Signature, ofAnswer?: readonly Annotation[]): Annotation[] {
  const before = (there.note ?? []).filter((one) => ofAnswer === undefined || EARLIER.test(one.text) || one.authorReference !== undefined || one.authorString !== undefined)
  // Sent again after a lost answer, it is this version itself that is there.
  return [...ofAnswer ?? [], ...before, ...(madeBy(there, signature) ? [] : [earlierNote(there)])]
}

function answerWords(observation: Observation): string {
  const { valueCodeableConcept, valueQuantity, dataAbsentReason } = observation
  const swollen = isPresentIn(observation)
  if (swollen !== undefined) return CALL_WORDS[swollen ? 'swollen' : 'not-swollen']
  if (dataAbsentReason) return CALL_WORDS['not-assessable']
  if (valueQuantity) return [valueQuantity.value, valueQuantity.unit].filter((part) => part !== undefined).join(' ')
  return valueCodeableConcept?.text ?? 'no value'
}

function by({ performer, signed }: Signature): Pick<Observation, 'performer' | 'issued'> {
  return { performer: [{ reference: performer }], issued: signed }
}

/** Version and time of the last change are the server's to give. */
function withoutVersion({ meta, ...rest }: Observation): Observation {
  const { versionId: _version, lastUpdated: _time, ...more } = meta ?? {}
  return { ...rest, ...(Object.keys(more).length > 0 ? { meta: more } : {}) }
}
