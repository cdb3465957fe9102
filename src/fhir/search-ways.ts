import type { FhirResource } from 'fhir/r4.js'
import type { TenantConfig } from '../config.ts'
import { isScreeningError, type ErrorCode } from '../errors.ts'
import type { FhirSession, SearchParameters } from './session.ts'

/** Ways to ask for one thing: each is some searches that give it together, and the next is for servers that refuse the one before. */
export type SearchWays = readonly (readonly SearchParameters[])[]

const REMEMBERED_MS = 3_600_000

/** Until when a record is not asked again in a way that it refused though it lists the parameters, by type and names of parameters. */
const refusedWays = new WeakMap<TenantConfig, Map<string, number>>()

function nameOf(type: string, way: SearchWays[number]): string {
  return `${type}?${[...new Set(way.flatMap((parameters) => Object.keys(parameters)))].sort().join('&')}`
}

/** The ways that the record has not refused within the hour; all where it has refused all. */
export function waysLeft(tenant: TenantConfig, type: string, ways: SearchWays): SearchWays {
  const refused = refusedWays.get(tenant)
  const left = ways.filter((way) => (refused?.get(nameOf(type, way)) ?? 0) < Date.now())
  return left.length > 0 ? left : ways
}

function remember(tenant: TenantConfig, names: readonly string[]): void {
  if (names.length === 0) return
  const refused = refusedWays.get(tenant) ?? new Map<string, number>()
  for (const name of names) refused.set(name, Date.now() + REMEMBERED_MS)
  refusedWays.set(tenant, refused)
}

/**
 * A search may need more than its listed parameters, and is then refused; or give pages too large to be read (`unless`). A way that was refused
 * where a later one was not is left out for an hour (Epic lists a search of results by identifier, and wants the patient all the same). Throws
 * that code where every way ends with it, ERR_EHR_*.
 */
export async function searchInOneWay<T extends FhirResource['resourceType']>(
  session: FhirSession, type: T, ways: SearchWays, { unless = 'ERR_EHR_REFUSED', ...pages }: { readonly unless?: ErrorCode; readonly maxPages?: number } = {}
): Promise<readonly Extract<FhirResource, { resourceType: T }>[]> {
  const left = waysLeft(session.tenant, type, ways)
  const refused: string[] = []
  for (const [index, way] of left.entries()) {
    const found: Extract<FhirResource, { resourceType: T }>[] = []
    try {
      for (const parameters of way) found.push(...await session.search(type, parameters, pages))
      remember(session.tenant, refused)
      return found
    } catch (error) {
      if (!isScreeningError(error) || error.code !== unless || index === left.length - 1) throw error
      if (unless === 'ERR_EHR_REFUSED') refused.push(nameOf(type, way))
    }
  }
  return []
}
