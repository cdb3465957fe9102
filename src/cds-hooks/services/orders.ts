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
  medicationReference: z.object({ display: z.string().optional() }).optional(),
  code: concept.optional()
})

/** True when one of the selected drafts (all of them when the client names none) is such an order. */
export function isJointOrder({ draftOrders, selections }: HookContext<'order-select'>): boolean {
  return (draftOrders.entry ?? []).some(({ resource }) => {
    const found = order.safeParse(resource).data
    if (!found) return false
    const selected = !selections || selections.length === 0 || selections.includes(`${found.resourceType}/${found.id ?? ''}`)
    const words = [wordsOf(found.medicationCodeableConcept), found.medicationReference?.display ?? '', wordsOf(found.code)].join(' ')
    return selected && (found.resourceType === 'MedicationRequest' ? isMedicine(found, words) : ULTRASOUND.test(words) && JOINTS.test(words))
  })
}

function isMedicine({ medicationCodeableConcept }: z.infer<typeof order>, words: string): boolean {
  const coding = medicationCodeableConcept?.coding?.map(({ system = '', code = '' }) => ({ system, code })) ?? []
  return GLUCOCORTICOIDS.test(words) || dmardIn({ text: words, coding }) !== undefined
}

function wordsOf(value: z.infer<typeof concept> | undefined): string {
  return [value?.text, ...(value?.coding ?? []).map(({ display }) => display)].filter(Boolean).join(' ')
}
