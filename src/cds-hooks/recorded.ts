import { z } from 'zod'
import { RESULT_ID } from '../fhir/codes.ts'
import { maybe, some, word } from '../fhir/lenient.ts'
import type { Whose } from '../fhir/photo-sources.ts'
import { isOf } from '../fhir/references.ts'
import { writtenIds } from '../screening/screening-input.ts'
import type { Screening } from '../screening/screening.ts'

const observation = z.compile(z.object({
  resourceType: z.literal('Observation'),
  status: maybe(z.string()),
  subject: z.object({ reference: z.string() }),
  identifier: some(z.object({ system: z.literal(RESULT_ID), value: word }))
}))

/** Whether Observations that the record holds are of this result: by our identifiers, of this patient, and not entered in error. */
export function isRecorded(screening: Screening, observations: readonly unknown[], whose: Whose): boolean {
  const values = observations.flatMap((value) => {
    const found = observation.safeParse(value).data
    return found && found.status !== 'entered-in-error' && isOf(whose, found.subject.reference, whose.patientId) ? found.identifier.map((one) => one.value) : []
  })
  return values.length > 0 && writtenIds(screening).some((id) => values.includes(id))
}
