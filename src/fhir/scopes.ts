/** Rights of SMART scopes of version 1, as letters of version 2. */
const VERSION_1: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' }

/** The rights that a scope ends with, in letters of version 2: create, read, update, delete, search. */
export function lettersOf(rights: string): string {
  return VERSION_1[rights] ?? rights
}

/**
 * What the registration may do: create (c), read (r), update (u) or search (s), in SMART 1 and 2: `system/Consent.read`, `system/Consent.rs`,
 * `system/*.rs`.
 */
export function isGranted(scope: string | undefined, type: string, how: 'c' | 'r' | 'u' | 's'): boolean {
  return scope?.split(/\s+/).some((one) => {
    const [, of, rights = ''] = /^system\/([A-Za-z]+|\*)\.(read|write|\*|[cruds]+)(?:\?.*)?$/.exec(one) ?? []
    return (of === type || of === '*') && lettersOf(rights).includes(how)
  }) ?? false
}
