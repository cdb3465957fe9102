import type { FhirResource } from 'fhir/r4.js'
import { isScreeningError, type ErrorCode } from '../errors.ts'
import type { FhirSession, SearchParameters } from './session.ts'

/** Ways to ask for one thing: each is some searches that give it together, and the next is for servers that refuse the one before. */
export type SearchWays = readonly (readonly SearchParameters[])[]

/**
 * A search may need more than its listed parameters, and is then refused; or give pages too large to be read (`unless`). Throws that code where
 * every way ends with it, ERR_EHR_*.
 */
export async function searchInOneWay<T extends FhirResource['resourceType']>(
  session: FhirSession, type: T, ways: SearchWays, { unless = 'ERR_EHR_REFUSED', ...pages }: { readonly unless?: ErrorCode; readonly maxPages?: number } = {}
): Promise<readonly Extract<FhirResource, { resourceType: T }>[]> {
  for (const [index, searches] of ways.entries()) {
    const found: Extract<FhirResource, { resourceType: T }>[] = []
    try {
      for (const parameters of searches) found.push(...await session.search(type, parameters, pages))
      return found
    } catch (error) {
      if (!isScreeningError(error) || error.code !== unless || index === ways.length - 1) throw error
    }
  }
  return []
}
