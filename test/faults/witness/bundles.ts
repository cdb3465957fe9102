import { at, list, text, type FhirMemory, type Resource } from './fhir-memory.ts'

export interface Answer {
  readonly status: number
  readonly body: Resource
  /** Versions that this request made. */
  readonly commits: readonly Resource[]
  readonly location?: string
  /** It answers a GET of a bundle, and stands in the answer. */
  readonly asked?: boolean
}

export interface WriteRules {
  readonly memory: FhirMemory
  readonly conditionalCreate: boolean
  readonly updateCreate: boolean
  /** Between the check and the insert of a conditional create, as in servers that race. */
  readonly betweenCheckAndInsert?: () => Promise<void>
  /** A GET inside a bundle, by its address below the base. */
  readonly get: (address: string) => Answer
}

export function outcome(status: number, code = 'processing'): Answer {
  return { status, body: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code }] }, commits: [] }
}

/** POST of one resource; `ifNoneExist` is ignored where conditions are not offered, as vendors do. */
export async function create(rules: WriteRules, resource: Resource, ifNoneExist?: string): Promise<Answer> {
  if (ifNoneExist && rules.conditionalCreate) {
    const found = rules.memory.search(resource.resourceType, new URLSearchParams(ifNoneExist))
    if (found.length > 1) return outcome(412, 'duplicate')
    const [there] = found
    if (there) return { status: 200, body: there, commits: [], location: locationOf(there) }
    await rules.betweenCheckAndInsert?.()
  }
  const { id: _, ...unnamed } = resource
  const kept = rules.memory.put({ ...unnamed, resourceType: resource.resourceType })
  return { status: 201, body: kept, commits: [kept], location: locationOf(kept) }
}

export function update(rules: WriteRules, type: string, id: string, resource: Resource, ifMatch?: string): Answer {
  const there = rules.memory.read(type, id)
  if (!there && !rules.updateCreate) return outcome(405, 'not-supported')
  if (resource.resourceType !== type || resource.id !== id) return outcome(400, 'invalid')
  if (ifMatch && ifMatch !== `W/"${String(at(there, 'meta', 'versionId'))}"`) return outcome(412, 'conflict')
  const kept = rules.memory.put(resource, id)
  return { status: there ? 200 : 201, body: kept, commits: [kept], location: locationOf(kept) }
}

/** All or nothing. References to `urn:uuid:` entries become what they were created as. */
export async function transaction(rules: WriteRules, bundle: Resource, refuseEntry?: number): Promise<Answer> {
  const before = rules.memory.snapshot()
  const answers = await entries(rules, bundle, refuseEntry)
  if (answers.some(({ status }) => status >= 400)) {
    rules.memory.restore(before)
    return outcome(answers.find(({ status }) => status >= 400)?.status ?? 400)
  }
  return responseOf('transaction-response', answers)
}

/** Each entry on its own: references between them are not resolved. */
export async function batch(rules: WriteRules, bundle: Resource, refuseEntry?: number): Promise<Answer> {
  return responseOf('batch-response', await entries(rules, bundle, refuseEntry, false))
}

async function entries(rules: WriteRules, bundle: Resource, refuseEntry: number | undefined, linked = true): Promise<Answer[]> {
  const places = new Map<string, string>()
  const answers: Answer[] = []
  for (const [index, one] of list(bundle['entry']).entries()) {
    const resource = resolved(at(one, 'resource'), places) as Resource
    const answer = index === refuseEntry ? outcome(422) : await perform(rules, resource, at(one, 'request'))
    const fullUrl = text(one, 'fullUrl')
    if (linked && fullUrl && answer.location) places.set(fullUrl, answer.location.split('/_history')[0] ?? '')
    answers.push(answer)
  }
  // Members may be named before they come: a second look at what was just made, as part of the same write.
  return answers.map((answer) => ({ ...answer, commits: answer.commits.map((one) => settle(rules, one, places)) }))
}

async function perform(rules: WriteRules, resource: Resource, request: unknown): Promise<Answer> {
  const [type = '', id] = text(request, 'url').split('/')
  if (text(request, 'method') === 'POST') return create(rules, resource, text(request, 'ifNoneExist') || undefined)
  if (text(request, 'method') === 'PUT' && id) return update(rules, type, id, resource, text(request, 'ifMatch') || undefined)
  if (text(request, 'method') === 'GET') return rules.get(text(request, 'url'))
  return outcome(400, 'not-supported')
}

/** A bundle that only asks. */
export function onlyAsks(bundle: Resource | undefined): boolean {
  const all = list(bundle?.['entry'])
  return all.length > 0 && all.every((one) => text(at(one, 'request'), 'method') === 'GET')
}

function settle({ memory }: WriteRules, made: Resource, places: ReadonlyMap<string, string>): Resource {
  const now = resolved(made, places) as Resource
  return memory.rewrite(made.resourceType, made.id ?? '', now) ?? now
}

function responseOf(type: string, answers: readonly Answer[]): Answer {
  const entry = answers.map(({ status, location, asked, body }) => ({ ...(asked ? { resource: body } : {}), response: { status: `${status}`, ...(location ? { location } : {}) } }))
  return { status: 200, body: { resourceType: 'Bundle', type, entry }, commits: answers.flatMap(({ commits }) => commits) }
}

function resolved(value: unknown, places: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((one) => resolved(one, places))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) =>
    [name, name === 'reference' && typeof member === 'string' ? (places.get(member) ?? member) : resolved(member, places)]))
}

export function locationOf(resource: Resource): string {
  return `${resource.resourceType}/${resource.id}/_history/${String(at(resource, 'meta', 'versionId'))}`
}
