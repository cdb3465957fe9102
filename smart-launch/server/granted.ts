import { lettersOf } from '../../src/fhir/scopes.ts'

/**
 * Whether granted scopes allow `right` (`c`, `r`, `u`, `s`) on a type of this patient: version 1 and 2, wildcards. A scope narrowed by a
 * query (`?category=…`) counts; what it leaves out the record refuses itself.
 */
export function granted(scope: string, type: string, right: 'c' | 'r' | 'u' | 's'): boolean {
  return scope.split(' ').some((one) => {
    const { of, rights } = rightsIn(one)
    return (of === type || of === '*') && rights.includes(right)
  })
}

/** Scopes after a renewal: never more than before, whatever the server answers (RFC 6749 section 6). */
export function narrowed(before: string, now: string): string {
  const had = new Set(before.split(' '))
  return now.split(' ').filter((one) => {
    const { of, rights } = rightsIn(one)
    return had.has(one) || (of !== undefined && rights !== '' && [...rights].every((right) => granted(before, of, right as 'c')))
  }).join(' ')
}

/** Of which type a scope of this patient speaks, and its rights in letters of version 2; Epic also writes `.Read`. */
function rightsIn(scope: string): { readonly of?: string; readonly rights: string } {
  const [, of, rights = ''] = /^(?:patient|user)\/(\*|[A-Za-z]+)\.([Rr]ead|[Ww]rite|\*|c?r?u?d?s?)(?:\?.*)?$/.exec(scope) ?? []
  return { ...(of ? { of } : {}), rights: lettersOf(rights.toLowerCase()) }
}
