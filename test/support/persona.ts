import { readFileSync } from 'node:fs'
import type { Bundle, CapabilityStatementRest, CapabilityStatementRestResource } from 'fhir/r4.js'
import type { SeenRequest } from './fhir-server.ts'

export const VENDORS = ['epic', 'cerner', 'athena'] as const
export type Vendor = (typeof VENDORS)[number]

interface Persona {
  readonly interaction: readonly string[]
  readonly resource: readonly {
    readonly type: string
    readonly interaction: readonly string[]
    readonly searchParam: readonly string[]
    readonly operation?: readonly string[]
    readonly conditionalCreate?: boolean
    readonly updateCreate?: boolean
  }[]
}

/** What one vendor's sandbox says it offers (test/fixtures/ehr-personas), as a server's statement. */
export function personaOf(vendor: Vendor): CapabilityStatementRest {
  const persona = JSON.parse(readFileSync(new URL(`../fixtures/ehr-personas/${vendor}.json`, import.meta.url), 'utf8')) as Persona
  return {
    mode: 'server',
    interaction: persona.interaction.map((code) => ({ code: code as 'batch' })),
    resource: persona.resource.map(({ type, interaction, searchParam, operation = [], conditionalCreate, updateCreate }): CapabilityStatementRestResource => ({
      type: type as CapabilityStatementRestResource['type'],
      interaction: interaction.map((code) => ({ code: code as 'read' })),
      searchParam: searchParam.map((name) => ({ name, type: 'string' })),
      ...(operation.length > 0 ? { operation: operation.map((name) => ({ name, definition: `http://example.org/${name}` })) } : {}),
      ...(conditionalCreate ? { conditionalCreate } : {}),
      ...(updateCreate ? { updateCreate } : {})
    }))
  }
}

/** Why a server that offers this and nothing else refuses a request, with its status; undefined when it offers it. */
export function refusalOf(rest: CapabilityStatementRest, { method, path, query, headers, body }: SeenRequest): { status: number; why: string } | undefined {
  if (path === '/') return refusedBundle(rest, body as Bundle)
  const [, type = '', id] = path.split('/')
  const resource = rest.resource?.find((one) => one.type === type)
  if (!resource) return { status: 404, why: `${type} is not offered` }
  const interaction = interactionOf(method, id)
  if (!resource.interaction?.some(({ code }) => code === interaction)) return { status: 403, why: `${interaction} of ${type} is not offered` }
  if (headers['if-none-exist'] !== undefined && !resource.conditionalCreate) return { status: 400, why: `conditional create of ${type} is not offered` }
  const names = [...new URLSearchParams(query).keys()].map((name) => name.split(':')[0] ?? '').filter((name) => name !== '_page')
  const unlisted = names.find((name) => !resource.searchParam?.some((one) => one.name === name))
  return unlisted === undefined ? undefined : { status: 400, why: `${type}?${unlisted} is not offered` }
}

function refusedBundle(rest: CapabilityStatementRest, bundle: Bundle): { status: number; why: string } | undefined {
  if (!rest.interaction?.some(({ code }) => code === bundle.type)) return { status: 403, why: `${bundle.type} is not offered` }
  for (const { request } of bundle.entry ?? []) {
    const [path = '', query = ''] = (request?.url ?? '').split('?')
    const headers = request?.ifNoneExist ? { 'if-none-exist': request.ifNoneExist } : {}
    const refused = refusalOf(rest, { method: request?.method ?? '', path: `/${path}`, query: query ? `?${query}` : '', headers, body: undefined })
    if (refused) return refused
  }
  return undefined
}

function interactionOf(method: string, id: string | undefined): string {
  if (method === 'GET') return id === undefined ? 'search-type' : 'read'
  return { POST: id === '_search' ? 'search-type' : 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? method
}

/** As Epic refuses a search for Observations that names no patient, or no category or code beside it, whatever its statement lists. */
export function refusalWithout(wanted: readonly ('category' | 'code')[], { method, path, query }: SeenRequest): { status: number; why: string } | undefined {
  if (method !== 'GET' || path !== '/Observation') return undefined
  const asked = new URLSearchParams(query)
  return asked.has('patient') && wanted.some((name) => asked.has(name)) ? undefined : { status: 400, why: `patient and ${wanted.join(' or ')} are required` }
}
