import { Operator, type Filter, type SearchRequest } from '@medplum/core'
import { MemoryRepository } from '@medplum/fhir-router'
import type { Bundle, CodeableConcept, Identifier, Reference, Resource } from '@medplum/fhirtypes'

interface Inner {
  resources: Map<string, Map<string, Resource>>
  searchSync(request: SearchRequest): Bundle
}

/**
 * @medplum's engine in memory evaluates FHIRPath on every resource of a type for every parameter, a millisecond each. Here it does so only on those
 * in which what is asked for occurs at all, and only for parameters of which one of them is in doubt: the answers are the same.
 */
export class NarrowedRepository extends MemoryRepository {
  constructor() {
    super()
    const inner = this as unknown as Inner
    const searchAll = inner.searchSync.bind(this)
    inner.searchSync = (request) => {
      const simple = (request.filters ?? []).flatMap((filter) => simplified(filter) ?? [])
      if (simple.length === 0) return searchAll(request)
      const all = inner.resources
      const some = [...all.get(request.resourceType) ?? []].filter(([, resource]) => simple.every(({ words }) => words.some((word) => textOf(resource).includes(word))))
      const certain = simple.filter(({ tokens }) => some.every(([, resource]) => tokensOf(resource).some((token) => tokens.includes(token)))).map(({ filter }) => filter)
      inner.resources = new Map(all).set(request.resourceType, new Map(some))
      try {
        return searchAll({ ...request, filters: (request.filters ?? []).filter((filter) => !certain.includes(filter)) })
      } finally {
        inner.resources = all
      }
    }
  }
}

const TOKENS = ['identifier', 'code']
const PATIENTS = ['patient', 'subject']

/** Any of `words` is written in every resource that this filter finds, and it finds all that have one of `tokens`. Undefined when nobody can say. */
function simplified(filter: Filter): { readonly filter: Filter; readonly words: readonly string[]; readonly tokens: readonly string[] } | undefined {
  const { code, operator, value } = filter
  if (![...TOKENS, ...PATIENTS].includes(code) || operator !== Operator.EQUALS || !/^[\w.:/|,-]+$/.test(value)) return undefined
  const asked = value.split(',')
  const [mark, name] = TOKENS.includes(code) ? ['|', code] : ['/', 'subject']
  return {
    filter,
    words: asked.map((one) => one.slice(one.lastIndexOf(mark) + 1).toLowerCase()),
    tokens: asked.map((one) => `${name} ${mark === '/' && !one.includes('/') ? `Patient/${one}` : one}`)
  }
}

function tokensOf(resource: Resource): readonly string[] {
  const { identifier, code, subject } = resource as { identifier?: Identifier | readonly Identifier[]; code?: CodeableConcept; subject?: Reference }
  return [
    ...[identifier ?? []].flat().map(({ system, value }: Identifier) => `identifier ${system}|${value}`),
    ...(code?.coding ?? []).map(({ system, code: one }) => `code ${system}|${one}`),
    `subject ${subject?.reference}`
  ]
}

/** The engine replaces resources and never changes one. */
const texts = new WeakMap<Resource, string>()

function textOf(resource: Resource): string {
  const text = texts.get(resource) ?? JSON.stringify(resource).toLowerCase()
  texts.set(resource, text)
  return text
}
