import type { FhirResource } from 'fhir/r4.js'
import { isScreeningError, type ErrorCode } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import type { FhirSession, SearchParameters } from './session.ts'

/** Ways to ask for one thing: each is some searches that give it together, and the next is for servers that refuse the one before. */
export type SearchWays = readonly (readonly SearchParameters[])[]

/** Ways that a record lists and refuses, by type and names of parameters; known as long as its statement is kept. */
const refusedWays = new WeakMap<Capabilities, Set<string>>()

function refusedBy(capabilities: Capabilities): Set<string> {
  const known = refusedWays.get(capabilities) ?? new Set<string>()
  refusedWays.set(capabilities, known)
  return known
}

function nameOf(type: string, way: SearchWays[number]): string {
  return `${type}?${[...new Set(way.flatMap((parameters) => Object.keys(parameters)))].sort().join('&')}`
}

/** The ways that the record has not refused; all where it has refused all. */
export function waysLeft(capabilities: Capabilities, type: string, ways: SearchWays): SearchWays {
  const left = ways.filter((way) => !refusedBy(capabilities).has(nameOf(type, way)))
  return left.length > 0 ? left : ways
}

/**
 * A search may need more than its listed parameters, and is then refused; or give pages too large to be read (`unless`). A way that was refused
 * where a later one was not is left out (Epic lists a search of results by identifier, and wants the patient all the same). Throws
 * that code where every way ends with it, ERR_EHR_*.
 */
export async function searchInOneWay<T extends FhirResource['resourceType']>(
  session: FhirSession, type: T, ways: SearchWays, { unless = 'ERR_EHR_REFUSED', ...pages }: { readonly unless?: ErrorCode; readonly maxPages?: number } = {}
): Promise<readonly Extract<FhirResource, { resourceType: T }>[]> {
  const capabilities = await session.capabilities()
  const left = waysLeft(capabilities, type, ways)
  const refused: string[] = []
  for (const [index, way] of left.entries()) {
    const found: Extract<FhirResource, { resourceType: T }>[] = []
    try {
      for (const parameters of way) found.push(...await session.search(type, parameters, pages))
      for (const name of refused) refusedBy(capabilities).add(name)
      return found
    } catch (error) {
      if (!isScreeningError(error) || error.code !== unless || index === left.length - 1) throw error
      if (unless === 'ERR_EHR_REFUSED') refused.push(nameOf(type, way))
    }
  }
  return []
}
