import { z } from 'zod'
import { dmardIn } from '../../fhir/codes.ts'
import type { HookContext } from '../protocol.ts'

/** Orders beside which a joint map helps, besides DMARDs: by ingredient name, English and German. A brand name alone is not recognised. */
const GLUCOCORTICOIDS = /(prednison|prednisolon|dexamethason|triamcinolon|betamethason)/i
const ULTRASOUND = /(ultraso|sonogra|arthrosono)/i
const JOINTS = /(joint|hand|wrist|finger|musculoskelet|arthro|gelenk)/i

const concept = z.object({ text: z.string().optional(), coding: z.array(z.object({ system: z.string().optional(), code: z.string().optional(), display: z.string().optional() })).optional() })
const order = z.object({
  resourceType: z.enum(['MedicationRequest', 'ServiceRequest']),
  id: z.string().optional(),
  medicationCodeableConcept: concept.optional(),
  medicationReference: z.object({ reference: z.string().optional(), display: z.string().optional() }).optional(),
  contained: z.array(z.unknown()).optional(),
  code: concept.optional()
})
const medication = z.object({ resourceType: z.literal('Medication'), id: z.string(), code: concept })
type Concept = z.infer<typeof concept>
type Order = z.infer<typeof order>

/** True when one of the selected drafts (all of them when the client names none) is such an order. */
export function isJointOrder({ draftOrders, selections }: HookContext<'order-select'>): boolean {
  const drafts = (draftOrders.entry ?? []).map(({ resource }) => resource)
  return drafts.some((resource) => {
    const found = order.safeParse(resource).data
    if (!found) return false
    const selected = !selections || selections.length === 0 || selections.includes(`${found.resourceType}/${found.id ?? ''}`)
    return selected && (found.resourceType === 'MedicationRequest' ? isMedicine(found, drafts) : isUltrasound(found))
  })
}

function isUltrasound({ code }: Order): boolean {
  const words = wordsOf(code)
  return ULTRASOUND.test(words) && JOINTS.test(words)
}

function isMedicine(found: Order, drafts: readonly unknown[]): boolean {
  const concepts = [found.medicationCodeableConcept, referredMedicine(found, drafts), found.code]
  const words = [...concepts.map(wordsOf), found.medicationReference?.display ?? ''].join(' ')
  const coding = concepts.flatMap((one) => one?.coding ?? []).map(({ system = '', code = '' }) => ({ system, code }))
  return GLUCOCORTICOIDS.test(words) || dmardIn({ text: words, coding }) !== undefined
}

/** The medicine that an order names by reference: contained in it (`#id`), or beside it among the drafts (`Medication/id`). */
function referredMedicine({ medicationReference, contained = [] }: Order, drafts: readonly unknown[]): Concept | undefined {
  const [, inside, beside] = /^(?:#(.+)|Medication\/(.+))$/.exec(medicationReference?.reference ?? '') ?? []
  if (inside === undefined && beside === undefined) return undefined
  const medicines = (inside === undefined ? drafts : contained).flatMap((one) => medication.safeParse(one).data ?? [])
  return medicines.find(({ id }) => id === (inside ?? beside))?.code
}

function wordsOf(value: Concept | undefined): string {
  return [value?.text, ...(value?.coding ?? []).map(({ display }) => display)].filter(Boolean).join(' ')
}
