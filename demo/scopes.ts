import { RECORD_TYPES } from './r4-definitions.ts'

export type Permission = 'c' | 'r' | 'u' | 'd' | 's'

/** What a bearer of an access token may do, and, for launches and hooks, with whose record. */
export interface Access {
  readonly scope: string
  readonly patient?: string
}

/** Whose resources of one type are open: everybody's, one patient's, nobody's. */
export type Reach = 'everyone' | { readonly patient: string } | 'nobody'

const VERSION_1: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' }
const SCOPE = /^(patient|user|system)\/(\*|[A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)$/

/** SMART App Launch 2.2.0 scopes, and those of version 1 (`patient/Media.read`) that CDS Hooks 2.0 still writes. */
export function reachOf({ scope, patient }: Access, type: string, permission: Permission): Reach {
  const fitting = scope.split(' ').flatMap((one) => {
    const [, context, of, rights = ''] = SCOPE.exec(one) ?? []
    return (of === type || of === '*') && (VERSION_1[rights] ?? rights).includes(permission) ? [context] : []
  })
  if (fitting.includes('user') || fitting.includes('system')) return 'everyone'
  return fitting.includes('patient') && patient !== undefined ? { patient } : 'nobody'
}

/** Every FHIR scope that this server understands, one by one, as the authorization server knows no wildcards. */
export const FHIR_SCOPES: readonly string[] = ['patient', 'user', 'system'].flatMap((context) =>
  ['*', ...RECORD_TYPES].flatMap((type) => [...Object.keys(VERSION_1), ...subsets('cruds')].map((rights) => `${context}/${type}.${rights}`)))

/** `c`, `cr`, `crs`… every choice of letters that keeps their order, but none. */
function subsets(letters: string): string[] {
  return Array.from({ length: 2 ** letters.length - 1 }, (_, index) => [...letters].filter((_letter, at) => (index + 1) & (1 << at)).join(''))
}
