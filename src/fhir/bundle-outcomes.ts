import type { Bundle, BundleEntry } from 'fhir/r4.js'
import { ScreeningError } from '../errors.ts'
import { identifierOf } from './resources/screening-bundle.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import { referenceIn } from './session.ts'
import { lostPatience } from './transport.ts'
import { identifierKey } from './write-state.ts'

/** What became of one entry of a transaction or batch; `reference` is `Type/id`. */
export type Outcome = { readonly kind: 'written'; readonly reference: string } | { readonly kind: 'refused'; readonly status: number } | { readonly kind: 'unknown' }

/**
 * By position, after the length was checked. An answer in which any entry names another type or another of our resources is in another
 * order: nothing in it is believed. `lying` says where those lie that are updated, as an answer to them may name no place. Throws ERR_WRITE_AMBIGUOUS.
 */
export function outcomesOf(sent: readonly ScreeningResource[], answer: Bundle, lying: readonly (string | undefined)[] = []): readonly Outcome[] {
  const entries = answer.entry ?? []
  if (entries.length !== sent.length) throw new ScreeningError('ERR_WRITE_AMBIGUOUS', `Expected ${sent.length} outcomes but received ${entries.length}`)
  if (sent.some((one, index) => isOfAnother(one, entries[index], lying[index]))) throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected the outcomes in the order of the entries')
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

function isOfAnother(one: ScreeningResource, entry: BundleEntry | undefined, lying: string | undefined): boolean {
  const { location, status = '' } = entry?.response ?? {}
  const named = entry?.resource as { resourceType: string; identifier?: unknown } | undefined
  const [identifier] = Array.isArray(named?.identifier) ? named.identifier as { system?: string; value?: string }[] : []
  if (!/^2/.test(status)) return false
  if (location && !referenceIn(location, one.resourceType)) return true
  if (named && named.resourceType !== 'OperationOutcome' && named.resourceType !== one.resourceType) return true
  if (lying && (placed(one, entry) ?? lying) !== lying) return true
  return identifier !== undefined && identifierOf(one) !== undefined && identifierKey(identifier) !== identifierKey(identifierOf(one))
}
