/** Rights of SMART scopes of version 1, as letters of version 2. */
const VERSION_1: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' }

/**
 * Whether granted scopes allow `right` (`c`, `r`, `u`, `s`) on a type of this patient: version 1 and 2, wildcards. A scope narrowed by a
 * query (`?category=…`) counts; what it leaves out the record refuses itself.
 */
export function granted(scope: string, type: string, right: 'c' | 'r' | 'u' | 's'): boolean {
  return scope.split(' ').some((one) => {
    const [, of, rights = ''] = /^(?:patient|user)\/(\*|[A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(?:\?.*)?$/.exec(one) ?? []
    return (of === type || of === '*') && (VERSION_1[rights] ?? rights).includes(right)
  })
}
