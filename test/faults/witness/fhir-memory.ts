import type { Statement } from '../history.ts'

export interface Resource {
  readonly resourceType: string
  readonly id?: string
  readonly [member: string]: unknown
}

interface Version {
  readonly resource: Resource
  readonly version: number
  /** Milliseconds, from when a search finds it. */
  readonly searchableAt: number
}

export type FhirMemory = ReturnType<typeof openFhirMemory>

/** Versioned resources in memory, searchable after `indexLagMs`. */
export function openFhirMemory(clock: () => number) {
  const resources = new Map<string, Version[]>()
  /** Where a search has to look; what was there once stays in it. Without it the record of many patients would be the slowest part. */
  const index = new Map<string, Set<string>>()
  let numbered = 0
  const newest = (reference: string) => resources.get(reference)?.at(-1)

  function indexed(resource: Resource, reference: string): void {
    for (const key of keysOf(resource)) index.set(key, (index.get(key) ?? new Set()).add(reference))
  }

  /** In the order of their first version; undefined where the index knows none of the parameters. */
  function candidates(wanted: readonly (readonly [name: string, value: string])[]): Set<string> | undefined {
    const [name, value] = wanted.find(([one]) => one in INDEXED) ?? []
    if (name === undefined || value === undefined) return undefined
    const keys = value.split(',').map((one) => INDEXED[name]?.(one) ?? '')
    return new Set(keys.flatMap((key) => [...index.get(key) ?? []]))
  }

  return {
    indexLagMs: 0,
    readsLate: false,
    dropsIdentifiers: false,
    /** Searches answer in the other order. */
    newestFirst: false,

    read(type: string, id: string, version?: number): Resource | undefined {
      const versions = resources.get(`${type}/${id}`)
      if (this.readsLate) return versions?.findLast(({ searchableAt }) => searchableAt <= clock())?.resource
      return (version === undefined ? versions?.at(-1) : versions?.[version - 1])?.resource
    },

    /** A new id unless one is given; a next version where one is there. */
    put(resource: Resource, id = `w${++numbered}`): Resource {
      const reference = `${resource.resourceType}/${id}`
      const versions = resources.get(reference) ?? []
      const version = versions.length + 1
      const { identifier: _dropped, ...unnamed } = resource
      const kept = { ...(this.dropsIdentifiers ? { ...unnamed, resourceType: resource.resourceType } : resource), id, meta: { ...(resource['meta'] as object | undefined), versionId: String(version) } }
      versions.push({ resource: kept, version, searchableAt: clock() + this.indexLagMs })
      resources.set(reference, versions)
      indexed(kept, reference)
      return kept
    },

    /** As a server without versions would: the same version says something else. */
    rewrite(type: string, id: string, change: object): Resource | undefined {
      const one = newest(`${type}/${id}`)?.resource
      if (one) indexed(Object.assign(one, change), `${type}/${id}`)
      return one
    },

    /** As a database administrator would: without a trace. */
    remove(type: string, id: string): void {
      resources.delete(`${type}/${id}`)
    },

    history: (type: string, id: string): readonly Resource[] => (resources.get(`${type}/${id}`) ?? []).map(({ resource }) => resource),

    search(type: string, parameters: URLSearchParams): readonly Resource[] {
      const wanted = [...parameters].filter(([name]) => !name.startsWith('_'))
      const found = [...candidates(wanted) ?? resources.keys()]
        .flatMap((reference) => resources.get(reference)?.findLast(({ searchableAt }) => searchableAt <= clock())?.resource ?? [])
        .filter((one) => one.resourceType === type && wanted.every(([name, value]) => matches(one, name, value)))
      return this.newestFirst ? found.reverse() : found
    },

    all: (): readonly Resource[] => [...resources.keys()].flatMap((reference) => newest(reference)?.resource ?? []),

    snapshot(): Map<string, Version[]> {
      return new Map([...resources].map(([reference, versions]) => [reference, [...versions]]))
    },

    restore(before: Map<string, Version[]>): void {
      resources.clear()
      for (const [reference, versions] of before) resources.set(reference, versions)
    }
  }
}

/** The key under which a value of a search parameter lies in the index. */
const INDEXED: Readonly<Record<string, (value: string) => string>> = {
  identifier: (value) => `identifier ${value}`,
  patient: (value) => `patient Patient/${value.replace(/^Patient\//, '')}`,
  subject: (value) => `patient Patient/${value.replace(/^Patient\//, '')}`,
  target: (value) => `target ${value}`
}

function keysOf(resource: Resource): readonly string[] {
  return [
    ...list(resource['identifier']).flatMap((one) => [`identifier ${token(one)}`, `identifier ${valueOf(one)}`]),
    ...patientsOf(resource).map((one) => `patient ${one}`),
    ...list(resource['target']).map((one) => `target ${text(one, 'reference')}`)
  ]
}

/** Comma is or; dates know `ge`, `le` and equality of the day; references are compared by their end. */
function matches(resource: Resource, name: string, value: string): boolean {
  return value.split(',').some((one) => {
    if (name === 'identifier') return list(resource['identifier']).some((found) => token(found) === one || valueOf(found) === one)
    if (name === 'code') return list(at(resource, 'code', 'coding')).some((found) => `${text(found, 'system')}|${text(found, 'code')}` === one || text(found, 'code') === one)
    if (name === 'patient' || name === 'subject') return patientsOf(resource).includes(`Patient/${one.replace(/^Patient\//, '')}`)
    if (name === 'target') return list(resource['target']).some((found) => text(found, 'reference') === one)
    if (name === 'date') return dateMatches(text(resource, 'effectiveDateTime') || text(resource, 'start') || text(resource, 'date'), one)
    if (name === 'status') return resource['status'] === one
    return false
  })
}

function dateMatches(found: string, wanted: string): boolean {
  const [, prefix = 'eq', date = ''] = /^(ge|le|gt|lt|eq)?(.+)$/.exec(wanted) ?? []
  const day = found.slice(0, date.length)
  return prefix === 'eq' ? day === date : prefix.startsWith('g') ? day >= date : day <= date
}

function patientsOf(resource: Resource): readonly string[] {
  const actors = list(resource['participant']).map((one) => text(at(one, 'actor'), 'reference'))
  return [text(at(resource, 'subject'), 'reference'), ...actors]
}

/** What the history says of a resource. */
export function statementOf(resource: Resource): Statement {
  const { resourceType: type, id = '' } = resource
  const references = (...path: string[]) => list(at(resource, ...path)).map((one) => text(one, 'reference')).filter(Boolean)
  const photos = type === 'DiagnosticReport' ? list(resource['media']).map((one) => text(at(one, 'link'), 'reference')) : references('derivedFrom')
  const subject = text(at(resource, 'subject'), 'reference')
  return {
    type, id, version: Number(at(resource, 'meta', 'versionId')),
    identifiers: list(resource['identifier']).map(token),
    ...(subject ? { subject } : {}),
    ...(typeof resource['status'] === 'string' ? { status: resource['status'] } : {}),
    photos: photos.filter((one) => one.startsWith('Media/')).sort(),
    ...optional('code', codes(resource['code'])),
    ...optional('site', codes(resource['bodySite']) + text(resource['bodySite'], 'text')),
    ...optional('device', text(at(resource, 'device'), 'reference') || token(at(resource, 'device', 'identifier'))),
    members: [...references('hasMember'), ...references('result'), ...references('target')],
    ...optional('effective', text(resource, 'effectiveDateTime'))
  }
}

function optional<Name extends string>(name: Name, value: string): Partial<Record<Name, string>> {
  return value && value !== '|' ? { [name]: value } as Record<Name, string> : {}
}

function codes(concept: unknown): string {
  return list(at(concept, 'coding')).map(token).sort().join(' ')
}

function token(value: unknown): string {
  return `${text(value, 'system')}|${text(value, 'value') || text(value, 'code')}`
}

function valueOf(value: unknown): string {
  return text(value, 'value')
}

export function at(value: unknown, ...path: string[]): unknown {
  return path.reduce<unknown>((one, name) => typeof one === 'object' && one !== null ? (one as Record<string, unknown>)[name] : undefined, value)
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function text(value: unknown, name: string): string {
  const found = at(value, name)
  return typeof found === 'string' ? found : ''
}
