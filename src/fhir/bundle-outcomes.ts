import type { Bundle, BundleEntry } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { isOfAnother, referenceIn } from './session.ts'
import { lostPatience } from './transport.ts'

/** What became of one entry of a transaction or batch; `reference` is `Type/id`. */
export type Outcome = { readonly kind: 'written'; readonly reference: string } | { readonly kind: 'refused'; readonly status: number } | { readonly kind: 'unknown' }

/**
 * By position, after the length was checked. An answer in which any entry names another type, patient or resource of ours is in another
 * order, or somebody else's: nothing in it is believed. `lying` says where those lie that are updated, as an answer to them may name no place. Throws ERR_WRITE_AMBIGUOUS.
 */
export function outcomesOf(sent: readonly ScreeningResource[], answer: Bundle, lying: readonly (string | undefined)[] = []): readonly Outcome[] {
  const entries = answer.entry ?? []
  if (entries.length !== sent.length) throw new ScreeningError('ERR_WRITE_AMBIGUOUS', `Expected ${sent.length} outcomes but received ${entries.length}`)
  if (sent.some((one, index) => isOutcomeOfAnother(one, entries[index], lying[index]))) throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected the outcomes in the order of the entries')
  return sent.map((one, index): Outcome => {
    const { status = '' } = entries[index]?.response ?? {}
    const reference = lying[index] ?? placed(one, entries[index])
    if (/^2/.test(status) && reference) return { kind: 'written', reference }
    const code = Number(status.slice(0, 3))
    return /^4/.test(status) && !lostPatience(code) ? { kind: 'refused', status: code } : { kind: 'unknown' }
  })
}

function placed(one: ScreeningResource, entry: BundleEntry | undefined): string | undefined {
  const type = one.resourceType
  const fromLocation = entry?.response?.location ? referenceIn(entry.response.location, type) : undefined
  const { resourceType, id } = entry?.resource ?? {}
  return fromLocation ?? (resourceType === type && id ? `${type}/${id}` : undefined)
}

function isOutcomeOfAnother(one: ScreeningResource, entry: BundleEntry | undefined, lying: string | undefined): boolean {
  const { location, status = '' } = entry?.response ?? {}
  if (!/^2/.test(status)) return false
  if (location && !referenceIn(location, one.resourceType)) return true
  if (lying && (placed(one, entry) ?? lying) !== lying) return true
  const named = entry?.resource
  if (!named || named.resourceType === 'OperationOutcome') return false
  return named.resourceType !== one.resourceType || isOfAnother(one, { ...named })
}
