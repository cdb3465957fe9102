import type { Reference } from 'fhir/r4.js'

/** What becomes of a reference to another resource of the set: another literal, a logical one, or nothing (leaves its list). */
export type Resolved = Reference | 'drop'

/**
 * A copy of `value` in which every reference to `Type/<uuid>` is what `resolve` says; others stay. Lists that lose their last
 * member disappear, as FHIR has no empty list.
 */
export function withReferences<T>(value: T, resolve: (type: string, id: string, was: Reference) => Resolved | undefined): T {
  return mapped(value, (reference) => {
    const [, type, id] = /^([A-Za-z]+)\/([0-9a-f-]{36})$/.exec(reference.reference ?? '') ?? []
    return type && id ? resolve(type, id, reference) : undefined
  }) as T
}

function mapped(value: unknown, change: (reference: Reference) => Resolved | undefined): unknown {
  if (Array.isArray(value)) {
    const kept = value.map((one) => mapped(one, change)).filter((one) => one !== undefined)
    return kept.length > 0 ? kept : undefined
  }
  if (typeof value !== 'object' || value === null) return value
  if ('reference' in value && typeof value.reference === 'string') {
    const changed = change(value as Reference)
    return changed === 'drop' ? undefined : (changed ?? value)
  }
  const entries = Object.entries(value).map(([name, member]) => [name, mapped(member, change)] as const)
  return Object.fromEntries(entries.filter(([, member]) => member !== undefined))
}
