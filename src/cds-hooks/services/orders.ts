import { z } from 'zod'
import type { HookContext } from '../protocol.ts'

/**
 * Orders beside which a joint map helps: by ingredient name, since no licensed drug code set is part of this project. English
 * and German names; a brand name alone is not recognised.
 */
const MEDICINES = new RegExp([
  'methotrexat', 'leflunomid', 'sulfasalazin', 'hydroxychloroquin', 'adalimumab', 'etanercept', 'infliximab', 'golimumab', 'certolizumab',
  'tocilizumab', 'sarilumab', 'abatacept', 'rituximab', 'anakinra', 'tofacitinib', 'baricitinib', 'upadacitinib', 'filgotinib',
  'prednison', 'prednisolon', 'dexamethason', 'triamcinolon', 'betamethason'
].join('|'), 'i')
const ULTRASOUND = /(ultraso|sonogra|arthrosono)/i
const JOINTS = /(joint|hand|wrist|finger|musculoskelet|arthro|gelenk)/i

const concept = z.object({ text: z.string().optional(), coding: z.array(z.object({ display: z.string().optional() })).optional() })
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
    return selected && (found.resourceType === 'MedicationRequest' ? MEDICINES.test(words) : ULTRASOUND.test(words) && JOINTS.test(words))
  })
}

function wordsOf(value: z.infer<typeof concept> | undefined): string {
  return [value?.text, ...(value?.coding ?? []).map(({ display }) => display)].filter(Boolean).join(' ')
}
