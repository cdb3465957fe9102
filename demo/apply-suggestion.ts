import { randomUUID } from 'node:crypto'
import { z } from 'zod'

/** One action of a CDS Hooks suggestion. */
export const action = z.union([
  z.object({ type: z.enum(['create', 'update']), resource: z.looseObject({ resourceType: z.string(), id: z.string().optional() }) }),
  z.object({ type: z.literal('delete'), resourceId: z.string() })
])
export type Action = z.infer<typeof action>
type Body = Extract<Action, { resource: unknown }>['resource']

export interface Applied {
  readonly status: 'written' | 'already'
  /** As the record now holds them, in the order of the actions. */
  readonly resources: readonly unknown[]
}

/** A suggestion that this EHR does not apply; nothing was written. */
export class SuggestionRefused extends Error {
  override readonly name = 'SuggestionRefused'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

interface Desk {
  readonly fhirBase: string
  /** Scoped to the patient of the chart. */
  readonly token: string
}

/**
 * Applies the actions of one suggestion as one transaction (CDS Hooks 2.0.1, actions). Actions name each other by `Type/id`;
 * what the record already has, by identifier, is referred to and not written again. Throws SuggestionRefused.
 */
export async function applySuggestion(desk: Desk, patientId: string, actions: readonly Action[]): Promise<Applied> {
  const resources = actions.flatMap((one) => one.type === 'create' ? [{ ...one.resource, id: one.resource.id ?? randomUUID() }] : [])
  for (const one of actions) if ('resource' in one) refuseOthers(one.resource, patientId)
  const places = new Map<string, string>()
  for (const one of resources) await findInRecord(desk, one, places)
  const missing = resources.filter(({ id }) => !places.has(id))
  const changes = actions.filter(({ type }) => type !== 'create')
  const entry = [
    ...actions.flatMap((one) => one.type === 'delete' ? [{ request: { method: 'DELETE', url: one.resourceId } }] : []),
    ...missing.map(({ id, ...body }) => ({
      fullUrl: `urn:uuid:${id}`, resource: pointed(body, places, missing), request: { method: 'POST', url: body.resourceType }
    })),
    ...actions.flatMap((one) => one.type === 'update'
      ? [{ resource: pointed(one.resource, places, missing), request: { method: 'PUT', url: `${one.resource.resourceType}/${one.resource.id}` } }] : [])
  ]
  if (entry.length > 0) await write(desk, entry, missing, changes.filter(({ type }) => type === 'delete').length, places)
  const written = actions.flatMap((one) => one.type === 'update' ? [`${one.resource.resourceType}/${one.resource.id}`] : [])
  const references = [...resources.map(({ id }) => places.get(id) ?? ''), ...written]
  return { status: entry.length > 0 ? 'written' : 'already', resources: await Promise.all(references.map((one) => read(desk, one))) }
}

function refuseOthers(resource: Body, patientId: string): void {
  const { subject, patient } = resource as { subject?: unknown; patient?: unknown }
  const about = [subject, patient].flatMap((one) => typeof one === 'object' && one !== null && 'reference' in one ? [one.reference] : [])
  if (about.some((reference) => reference !== `Patient/${patientId}`))
    throw new SuggestionRefused(409, 'The suggestion is about another patient than this chart; nothing was written')
}

async function findInRecord(desk: Desk, resource: Body & { id: string }, places: Map<string, string>): Promise<void> {
  const { resourceType, id } = resource
  const [identifier] = identifiersOf(resource)
  const target = targetsOf(resource).map((reference) => places.get(idOf(reference)) ?? reference)
  const query = identifier ? `identifier=${encodeURIComponent(identifier)}` : resourceType === 'Provenance' && target[0] ? `target=${target[0]}` : undefined
  if (query === undefined) return
  const found = await searched(desk, `${resourceType}?${query}`)
  const same = found.find((one) => identifier !== undefined
    ? identifiersOf(one).includes(identifier)
    : JSON.stringify(targetsOf(one).sort()) === JSON.stringify([...target].sort()) && JSON.stringify(one['agent']) === JSON.stringify(resource['agent']))
  if (same?.id) places.set(id, `${resourceType}/${same.id}`)
}

function identifiersOf(resource: Body): string[] {
  const found = z.array(z.object({ system: z.string(), value: z.string() })).safeParse(resource['identifier'])
  return found.success ? found.data.map(({ system, value }) => `${system}|${value}`) : []
}

function targetsOf(resource: Body): string[] {
  const found = z.array(z.object({ reference: z.string() })).safeParse(resource['target'])
  return found.success ? found.data.map(({ reference }) => reference) : []
}

const idOf = (reference: string) => reference.slice(reference.indexOf('/') + 1)

/** References to other actions: to where the record has them, or to where this transaction puts them. */
function pointed(value: unknown, places: ReadonlyMap<string, string>, missing: readonly { readonly id: string; readonly resourceType: string }[]): unknown {
  const inside = new Set(missing.map(({ resourceType, id }) => `${resourceType}/${id}`))
  const walk = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(walk)
    if (typeof one !== 'object' || one === null) return one
    return Object.fromEntries(Object.entries(one).map(([name, member]) => [name, name === 'reference' && typeof member === 'string' ? place(member) : walk(member)]))
  }
  const place = (reference: string) => inside.has(reference) ? `urn:uuid:${idOf(reference)}` : places.get(idOf(reference)) ?? reference
  return walk(value)
}

async function write(desk: Desk, entry: readonly unknown[], created: readonly { readonly id: string }[], before: number, places: Map<string, string>): Promise<void> {
  const { status, body } = await ask(desk, '', { resourceType: 'Bundle', type: 'transaction', entry })
  if (status === 403) throw new SuggestionRefused(409, 'The suggestion reaches beyond the patient of this chart; nothing was written')
  const answer = z.object({ entry: z.array(z.object({ response: z.object({ location: z.string().optional() }) })) }).safeParse(body)
  if (status !== 200 || !answer.success) throw new SuggestionRefused(422, `The record refused the suggestion (${status}); nothing was written. ${diagnosticsOf(body)}`)
  for (const [index, { id }] of created.entries()) {
    const [type, given] = (answer.data.entry[before + index]?.response.location ?? '').replace(`${desk.fhirBase}/`, '').split('/')
    if (!type || !given) throw new Error('Expected a location for every resource that was written')
    places.set(id, `${type}/${given}`)
  }
}

async function searched(desk: Desk, query: string): Promise<Body[]> {
  const { status, body } = await ask(desk, query)
  const found = z.object({ entry: z.array(z.object({ resource: z.looseObject({ resourceType: z.string(), id: z.string().optional() }) })).default([]) }).safeParse(body)
  if (status !== 200 || !found.success) throw new SuggestionRefused(422, `The record could not be searched (${status}); nothing was written`)
  return found.data.entry.map(({ resource }) => resource)
}

async function read(desk: Desk, reference: string): Promise<unknown> {
  const { status, body } = await ask(desk, reference)
  if (status !== 200) throw new Error(`Expected to read what was written but received status ${status}`)
  return body
}

async function ask({ fhirBase, token }: Desk, path: string, bundle?: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(path === '' ? fhirBase : `${fhirBase}/${path}`, {
    method: bundle === undefined ? 'GET' : 'POST',
    headers: { accept: 'application/fhir+json', 'content-type': 'application/fhir+json', authorization: `Bearer ${token}` },
    ...(bundle === undefined ? {} : { body: JSON.stringify(bundle) })
  })
  return { status: response.status, body: await response.json() as unknown }
}

function diagnosticsOf(body: unknown): string {
  const outcome = z.object({ issue: z.array(z.object({ diagnostics: z.string().optional(), details: z.object({ text: z.string().optional() }).optional() })) }).safeParse(body)
  const [issue] = outcome.data?.issue ?? []
  return issue?.details?.text ?? issue?.diagnostics ?? ''
}
