/** What we read of a resource in the preview; the rest is shown as it is. */
export interface PreviewedResource {
  readonly resourceType: string
  readonly status?: string
  readonly code?: Concept
  readonly bodySite?: Concept
  readonly method?: Concept
  readonly valueCodeableConcept?: Concept
  readonly valueQuantity?: { readonly value?: number; readonly unit?: string }
  readonly dataAbsentReason?: Concept
  readonly recorded?: string
  readonly issued?: string
  readonly performer?: readonly { readonly reference?: string }[]
  readonly note?: readonly { readonly text: string }[]
  readonly agent?: readonly { readonly who?: { readonly reference?: string } }[]
}
interface Concept { readonly text?: string; readonly coding?: readonly { readonly display?: string; readonly code?: string }[] }

export interface PreviewLine { readonly what: string; readonly where: string; readonly value: string; readonly status: string; readonly how: string
  /** What it replaces, as the resource says it. */
  readonly was?: string
}

/** One line for each Observation, and who signs when. Nothing is added to what the resources say. */
export function linesOf(resources: readonly PreviewedResource[]): {
  readonly observations: readonly PreviewLine[]
  readonly signature?: { readonly who: string; readonly when: string }
} {
  const observations = resources.filter(({ resourceType }) => resourceType === 'Observation')
  const signed = resources.find(({ resourceType }) => resourceType === 'Provenance')
  const who = (signed?.agent?.[0]?.who ?? observations[0]?.performer?.[0])?.reference
  return {
    observations: observations.map(lineOf),
    ...(who === undefined ? {} : { signature: { who, when: signed?.recorded ?? observations[0]?.issued ?? '' } })
  }
}

/** LOINC: which joint is tender, which is swollen. The joint is the value; it stands under the places, as in lines on swelling, where a reader looks for it. */
const JOINT_IS_VALUE = ['88983-2', '88984-0']

function lineOf({ code, bodySite, method, status = '', note, ...resource }: PreviewedResource): PreviewLine {
  // The number of the version is in the resource for whoever looks for it there.
  const was = status === 'final' ? undefined : note?.at(-1)?.text.replace(/^(Earlier version) \S+ (?=\()/, '$1 ')
  const found = code?.coding?.some((one) => JOINT_IS_VALUE.includes(one.code ?? '')) ? resource.valueCodeableConcept : undefined
  return { what: words(code), where: words(found ?? bodySite), value: found ? 'Present' : valueOf(resource), status, how: words(method), ...(was ? { was } : {}) }
}

function valueOf({ valueCodeableConcept, valueQuantity, dataAbsentReason }: Partial<PreviewedResource>): string {
  // A score has no unit but that word.
  if (valueQuantity) return [valueQuantity.value, valueQuantity.unit].filter((one) => one !== undefined && one !== 'score').join(' ')
  return words(valueCodeableConcept ?? dataAbsentReason)
}

function words(concept: Concept | undefined): string {
  return concept?.text ?? concept?.coding?.[0]?.display ?? concept?.coding?.[0]?.code ?? ''
}
