import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Resource } from '@medplum/fhirtypes'
import type { CodeableConcept, FhirResource, Reference } from 'fhir/r4.js'
import type { Laterality } from '../src/joints/hand-joint.ts'
import type { DemoRecord } from './record.ts'

export const CLINICIAN = { id: 'demo-clinician', name: 'Dr Demo Rheumatologist (synthetic)' } as const

export interface DemoPatient {
  readonly id: string
  readonly family: string
  readonly gender: 'male' | 'female'
  readonly age: number
  /** One entry a visit at which photos were taken, oldest first. */
  readonly visits: readonly Visit[]
  readonly treatments?: readonly Treatment[]
  readonly laboratory?: readonly LaboratoryResult[]
}

interface Visit {
  readonly taken: (now: Date) => Date
  readonly photos: readonly { readonly file: string; readonly side: Laterality }[]
}

interface Treatment { readonly medicine: CodeableConcept; readonly dosage: string; readonly started: (now: Date) => Date }

interface LaboratoryResult {
  readonly name: 'crp' | 'esr'
  readonly value: number
  readonly unit: string
  readonly taken: (now: Date) => Date
}

export const METHOTREXATE: CodeableConcept = {
  text: 'Methotrexate',
  coding: [
    { system: 'http://www.nlm.nih.gov/research/umls/rxnorm', code: '6851', display: 'methotrexate' },
    { system: 'http://www.whocc.no/atc', code: 'L04AX03', display: 'methotrexate' }
  ]
}
const ADALIMUMAB: CodeableConcept = { text: 'Adalimumab', coding: [{ system: 'http://www.whocc.no/atc', code: 'L04AB04', display: 'adalimumab' }] }

const bothHands = (name: string) => (['left', 'right'] as const).map((side) => ({ file: `${name}-${side}.jpg`, side }))

/** Ages and sexes are those the hands were made with (photos/labels.json). */
export const DEMO_PATIENTS: readonly DemoPatient[] = [
  { id: 'demo-1', family: 'One', gender: 'male', age: 58, visits: [{ taken: yesterday, photos: bothHands('demo-1') }] },
  { id: 'demo-2', family: 'Two', gender: 'female', age: 41, laboratory: [{ name: 'crp', value: 4, unit: 'mg/L', taken: yesterday }], visits: [{ taken: thisMorning, photos: bothHands('demo-2') }] },
  { id: 'demo-3', family: 'Three', gender: 'female', age: 66, visits: [{ taken: yesterday, photos: [{ file: 'demo-3-left.jpg', side: 'left' }] }] },
  { id: 'demo-4', family: 'Four', gender: 'male', age: 47, visits: [] },
  {
    id: 'demo-5', family: 'Five', gender: 'female', age: 52,
    treatments: [
      { medicine: METHOTREXATE, dosage: '15 mg by mouth once a week', started: fiveMonthsAgo },
      { medicine: ADALIMUMAB, dosage: '40 mg under the skin every two weeks', started: twoMonthsAgo }
    ],
    laboratory: [
      { name: 'crp', value: 2.4, unit: 'mg/dL', taken: fiveMonthsAgo }, { name: 'crp', value: 0.9, unit: 'mg/dL', taken: yesterday },
      { name: 'esr', value: 22, unit: 'mm/h', taken: yesterday }
    ],
    visits: [{ taken: fiveMonthsAgo, photos: bothHands('demo-5-2026-06') }, { taken: yesterday, photos: bothHands('demo-5-2026-11') }]
  }
]

export const encounterOf = (patientId: string) => `${patientId}-encounter`
export const proposedAppointmentOf = (patientId: string) => `${patientId}-tomorrow`

/** Puts the demo patients into an empty record. Throws, naming the file, when a photo is missing. */
export async function fillRecord(record: DemoRecord, { fhirBase, photoDir, now }: { fhirBase: string; photoDir: string; now: Date }): Promise<void> {
  const resources = [clinician(), ...DEMO_PATIENTS.flatMap((patient, index) => [
    ...chartOf(patient, index, now),
    ...patient.visits.flatMap((visit) => visit.photos.flatMap((photo, at) => photoOf(patient, photo, {
      taken: new Date(visit.taken(now).getTime() + at * 30_000), bytes: readPhoto(photoDir, photo.file), fhirBase
    })))
  ])]
  for (const one of resources) await record.createResource(one as Resource, { assignedId: true })
}

function readPhoto(photoDir: string, file: string): Buffer {
  const path = join(photoDir, file)
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new Error(`Expected the demo photo ${file} in ${photoDir} but it cannot be read; restore demo/photos and start again`, { cause })
  }
}

function clinician(): FhirResource {
  return {
    resourceType: 'Practitioner', id: CLINICIAN.id, active: true,
    name: [{ text: CLINICIAN.name, family: 'Rheumatologist (synthetic)', given: ['Demo'], prefix: ['Dr'] }]
  }
}

function chartOf(patient: DemoPatient, index: number, now: Date): FhirResource[] {
  const { id, family, gender, age, treatments = [], laboratory = [] } = patient
  const subject = { reference: `Patient/${id}`, display: nameOf(patient) }
  return [
    {
      resourceType: 'Patient', id, active: true, gender,
      identifier: [{ system: 'urn:oid:2.999.8081', type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MR', display: 'Medical record number' }], text: 'MRN' }, value: id }],
      name: [{ use: 'official', text: nameOf(patient), family: `${family} (synthetic)`, given: ['Demo'] }],
      birthDate: day(shifted(now, { years: -age, days: -40 }))
    },
    {
      resourceType: 'Condition', id: `${id}-ra`, subject,
      clinicalStatus: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-clinical', code: 'active', display: 'Active' }] },
      verificationStatus: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-ver-status', code: 'confirmed', display: 'Confirmed' }] },
      category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/condition-category', code: 'problem-list-item', display: 'Problem List Item' }] }],
      code: {
        text: 'Rheumatoid arthritis with rheumatoid factor of multiple sites',
        coding: [
          { system: 'http://hl7.org/fhir/sid/icd-10-cm', code: 'M05.79', display: 'Rheumatoid arthritis with rheumatoid factor of multiple sites without organ or systems involvement' },
          { system: 'http://snomed.info/sct', code: '69896004', display: 'Rheumatoid arthritis' }
        ]
      },
      onsetDateTime: day(shifted(now, { years: -3 })),
      recordedDate: day(shifted(now, { years: -3 }))
    },
    {
      resourceType: 'Encounter', id: encounterOf(id), status: 'in-progress', subject,
      class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB', display: 'ambulatory' },
      participant: [{ individual: { reference: `Practitioner/${CLINICIAN.id}`, display: CLINICIAN.name } }],
      period: { start: shifted(now, { minutes: -10 }).toISOString() }
    },
    appointment(`${id}-today`, subject, 'Nurse-led joint check', at(now, 0, 9, index * 30)),
    appointment(proposedAppointmentOf(id), subject, 'Rheumatology consultation', at(now, 1, 9, index * 30)),
    ...treatments.map((one) => treatmentOf(id, subject, one, day(one.started(now)))),
    ...laboratory.map((one, at) => laboratoryOf(`${id}-lab-${at + 1}`, subject, one, one.taken(now)))
  ]
}

function appointment(id: string, subject: Reference, description: string, start: Date): FhirResource {
  return {
    resourceType: 'Appointment', id, status: 'booked', description,
    start: start.toISOString(), end: shifted(start, { minutes: 30 }).toISOString(), minutesDuration: 30,
    participant: [
      { actor: subject, status: 'accepted' },
      { actor: { reference: `Practitioner/${CLINICIAN.id}`, display: CLINICIAN.name }, status: 'accepted' }
    ]
  }
}

function treatmentOf(id: string, subject: Reference, { medicine, dosage }: Treatment, authoredOn: string): FhirResource {
  return {
    resourceType: 'MedicationRequest', id: `${id}-${medicine.text?.toLowerCase()}`, status: 'active', intent: 'order', subject, authoredOn,
    requester: { reference: `Practitioner/${CLINICIAN.id}`, display: CLINICIAN.name },
    medicationCodeableConcept: medicine,
    dosageInstruction: [{ text: dosage }]
  }
}

const LABORATORY_CODES = {
  crp: { system: 'http://loinc.org', code: '1988-5', display: 'C reactive protein [Mass/volume] in Serum or Plasma' },
  esr: { system: 'http://loinc.org', code: '4537-7', display: 'Erythrocyte sedimentation rate by Westergren method' }
} as const

function laboratoryOf(id: string, subject: Reference, { name, value, unit }: LaboratoryResult, taken: Date): FhirResource {
  return {
    resourceType: 'Observation', id, status: 'final', subject,
    category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: 'laboratory', display: 'Laboratory' }] }],
    code: { coding: [LABORATORY_CODES[name]], text: name.toUpperCase() },
    effectiveDateTime: taken.toISOString(),
    valueQuantity: { value, unit, system: 'http://unitsofmeasure.org', code: unit }
  }
}

const DORSUM = {
  left: { system: 'http://snomed.info/sct', code: '789218009', display: 'Structure of dorsum of left hand' },
  right: { system: 'http://snomed.info/sct', code: '789219001', display: 'Structure of dorsum of right hand' }
} as const

function photoOf(
  patient: DemoPatient, { file, side }: Visit['photos'][0], { taken, bytes, fhirBase }: { taken: Date; bytes: Buffer; fhirBase: string }
): FhirResource[] {
  const id = file.replace(/\.jpg$/, '')
  const subject = { reference: `Patient/${patient.id}`, display: nameOf(patient) }
  return [
    { resourceType: 'Binary', id, contentType: 'image/jpeg', securityContext: { reference: `Patient/${patient.id}` }, data: bytes.toString('base64') },
    {
      resourceType: 'Media', id, status: 'completed', subject,
      type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/media-type', code: 'image', display: 'Image' }] },
      modality: { coding: [{ system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'XC', display: 'External-camera Photography' }] },
      view: { coding: [{ system: 'https://jointlens.dev/fhir/CodeSystem/hand-photo-view', code: 'dorsal', display: 'Dorsal view, fingers extended' }] },
      bodySite: { coding: [DORSUM[side]], text: `Back of the ${side} hand` },
      createdDateTime: taken.toISOString(),
      issued: taken.toISOString(),
      operator: subject,
      content: {
        contentType: 'image/jpeg', url: `${fhirBase}/Binary/${id}`, size: bytes.length,
        hash: createHash('sha1').update(bytes).digest('base64'), title: `Synthetic ${side} hand`, creation: taken.toISOString()
      }
    }
  ]
}

export function nameOf({ family }: DemoPatient): string {
  return `Demo ${family} (synthetic)`
}

function yesterday(now: Date): Date {
  return at(now, -1, 17, 40)
}

/** Today, but never in the future. */
function thisMorning(now: Date): Date {
  return new Date(Math.min(at(now, 0, 7, 30).getTime(), now.getTime() - 120_000))
}

function fiveMonthsAgo(now: Date): Date {
  const then = at(now, 0, 9, 15)
  const day = then.getDate()
  then.setDate(1)
  then.setMonth(then.getMonth() - 5)
  then.setDate(Math.min(day, 28))
  return then
}

function twoMonthsAgo(now: Date): Date {
  return at(now, -61, 10, 0)
}

function at(now: Date, days: number, hour: number, minute: number): Date {
  const then = new Date(now)
  then.setDate(then.getDate() + days)
  then.setHours(hour, minute, 0, 0)
  return then
}

function shifted(now: Date, { years = 0, days = 0, minutes = 0 }: { years?: number; days?: number; minutes?: number }): Date {
  const then = new Date(now)
  then.setFullYear(then.getFullYear() + years)
  then.setDate(then.getDate() + days)
  then.setMinutes(then.getMinutes() + minutes)
  return then
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
