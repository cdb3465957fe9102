import { z } from 'zod'
import { dmardIn } from '../../fhir/codes.ts'
import { maybe, some, word } from '../../fhir/lenient.ts'
import type { HookContext } from '../protocol.ts'

/** Orders beside which a joint map helps, besides DMARDs: by ingredient name, English and German. A brand name alone is not recognised. */
const GLUCOCORTICOIDS = /(prednison|prednisolon|dexamethason|triamcinolon|betamethason)/i
const ULTRASOUND = /(ultraso|sonogra|arthrosono)/i
const JOINTS = /(joint|hand|wrist|finger|musculoskelet|arthro|gelenk)/i

const concept = z.object({ text: maybe(z.string()), coding: some(z.object({ system: maybe(z.string()), code: word, display: maybe(z.string()) })) })
const reference = z.object({ reference: maybe(z.string()), display: maybe(z.string()) })
/** Where R4 has an element for a concept and one for a reference, or a concept alone, R5 has one for both. */
const codeableReference = z.object({ concept: maybe(concept), reference: maybe(reference) })
const order = z.object({
  resourceType: z.enum(['MedicationRequest', 'ServiceRequest']),
  medicationCodeableConcept: maybe(concept),
  medicationReference: maybe(reference),
  medication: maybe(codeableReference),
  contained: some(z.unknown()),
  code: maybe(concept.extend({ concept: maybe(concept) })),
  bodySite: some(concept)
})
const medication = z.object({
  resourceType: z.literal('Medication'),
  id: word,
  code: maybe(concept),
  ingredient: some(z.object({ itemCodeableConcept: maybe(concept), item: maybe(codeableReference) }))
})
type Concept = z.infer<typeof concept>
type Order = z.infer<typeof order>
type Draft = HookContext<'order-select'>['draftOrders']['entry'][number]

/** True when one of the selected drafts is such an order; one of all drafts when the client names none, or none that is there. */
export function isJointOrder({ draftOrders: { entry: drafts }, selections }: HookContext<'order-select'>): boolean {
  const selected = drafts.filter((draft) => selections.some((one) => isNamed(draft, one)))
  return (selected.length > 0 ? selected : drafts).some(({ resource }) => {
    const { data: found } = order.safeParse(resource)
    return found !== undefined && (found.resourceType === 'MedicationRequest' ? isMedicine(found, drafts) : isUltrasound(found))
  })
}

/** By `Type/id`, relative or absolute, with a version or without, by its id alone, or by its fullUrl. */
function isNamed({ fullUrl, resource }: Draft, name: string): boolean {
  const id = word.parse(resource?.['id'])
  if (fullUrl !== undefined && fullUrl === name) return true
  return id !== undefined && (name === id || `/${name.replace(/\/_history\/[^/]*$/, '')}`.endsWith(`/${resource?.resourceType}/${id}`))
}

function isUltrasound({ code, bodySite }: Order): boolean {
  const words = [code, code?.concept, ...bodySite].map(wordsOf).join(' ')
  return ULTRASOUND.test(words) && JOINTS.test(words)
}

function isMedicine(found: Order, drafts: readonly Draft[]): boolean {
  const named = found.medicationReference ?? found.medication?.reference
  const concepts = [found.medicationCodeableConcept, found.medication?.concept, found.code, ...referredMedicine(named?.reference, found.contained, drafts)]
  const words = [...concepts.map(wordsOf), named?.display ?? ''].join(' ')
  const coding = concepts.flatMap((one) => one?.coding ?? []).map(({ system = '', code = '' }) => ({ system, code }))
  return GLUCOCORTICOIDS.test(words) || dmardIn({ text: words, coding }) !== undefined
}

/** What the medicine is that an order names by reference: contained in it (`#id`), or beside it among the drafts. */
function referredMedicine(name: string | undefined, contained: readonly unknown[], drafts: readonly Draft[]): readonly (Concept | undefined)[] {
  if (name === undefined) return []
  const candidates = name.startsWith('#') ? contained : drafts.filter((draft) => isNamed(draft, name)).map(({ resource }) => resource)
  const medicines = candidates.flatMap((one) => medication.safeParse(one).data ?? [])
  const found = name.startsWith('#') ? medicines.find(({ id }) => id === name.slice(1)) : medicines[0]
  return found ? [found.code, ...found.ingredient.flatMap(({ itemCodeableConcept, item }) => [itemCodeableConcept, item?.concept])] : []
}

function wordsOf(value: Concept | undefined): string {
  return [value?.text, ...(value?.coding ?? []).map(({ display }) => display)].filter(Boolean).join(' ')
}
