import { z } from 'zod'
import { inCohort } from '../fhir/codes.ts'
import { maybe, some, word } from '../fhir/lenient.ts'
import type { Whose } from '../fhir/photo-sources.ts'
import { isOf } from '../fhir/references.ts'

/** Whether the record says that the patient has rheumatoid arthritis. `unknown`: the conditions could not be seen completely. */
export type Cohort = 'in' | 'out' | 'unknown'

/** As nearly all are; what can be read of the others takes three times as long, on a path that is there for each condition of a list. */
const concept = z.compile(z.object({ coding: z.array(z.object({ system: z.string(), code: z.string() })).optional() }))
const oddConcept = z.object({ coding: some(z.object({ system: maybe(z.string()), code: word })) })
/** A status is read or the condition is not: one that we cannot read may be the one that refutes it. */
const status = z.object({ coding: z.array(z.object({ code: z.string() })).nullish() }).nullish()
const condition = z.compile(z.object({
  resourceType: z.literal('Condition'),
  subject: z.object({ reference: z.string() }),
  code: z.unknown(),
  clinicalStatus: status,
  verificationStatus: status
}))
const OVER = ['inactive', 'resolved']
const NOT_HELD = ['refuted', 'entered-in-error']

/**
 * Reads the coded condition list: exact codes of the cohort (terminology: never a prefix), of this patient, not refuted and not
 * resolved. Free text decides nothing.
 */
export function cohortOf(conditions: readonly unknown[] | undefined, complete: boolean, whose: Whose): Cohort {
  if (conditions === undefined) return 'unknown'
  const held = conditions.some((value) => {
    const found = condition.safeParse(value).data
    if (!found || !isOf(whose, found.subject.reference, whose.patientId)) return false
    if (has(found.clinicalStatus, OVER) || has(found.verificationStatus, NOT_HELD)) return false
    const { coding } = concept.safeParse(found.code).data ?? oddConcept.safeParse(found.code).data ?? {}
    return coding?.some(({ system, code }) => inCohort(system, code)) ?? false
  })
  if (held) return 'in'
  return complete ? 'out' : 'unknown'
}

function has(value: z.infer<typeof status>, codes: readonly string[]): boolean {
  return value?.coding?.some(({ code }) => codes.includes(code)) ?? false
}
