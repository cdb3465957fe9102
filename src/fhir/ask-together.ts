import type { BundleEntry, FhirResource } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import type { Capabilities } from './capabilities.ts'
import { searchPage, type FhirSession, type SearchParameters } from './session.ts'

/** A read, or a search. */
export type Question = { readonly type: FhirResource['resourceType'] } & ({ readonly id: string } | { readonly parameters: SearchParameters })
type Answer = FhirResource | readonly FhirResource[]

/** Servers that list batches and answer no questions in them; known as long as their statement is kept. */
const silent = new WeakSet<Capabilities>()

/**
 * The session, which has asked these questions in one request where `/metadata` lists batches. Each answer is given once, to whoever asks
 * it first. It is believed where the server answered 200 with what was asked for, all on one page; everything else is asked on its own,
 * so whatever a caller is told of a failure is the server's answer to that very question. Some servers answer a search in a batch as
 * they did a moment ago (HAPI before it handed `no-cache` on), so nothing may be concluded from an empty one.
 */
export async function askTogether(session: FhirSession, questions: readonly Question[]): Promise<FhirSession> {
  const capabilities = await session.capabilities()
  if (!capabilities.batch || silent.has(capabilities) || questions.length < 2) return session
  const answers = await answersTo(session, questions)
  if (answers.size === 0) silent.add(capabilities)
  const take = (question: Question) => {
    const address = addressOf(question)
    const known = answers.get(address)
    answers.delete(address)
    return known
  }
  return {
    ...session,
    get retryAt() { return session.retryAt },
    read: async (type, id) => take({ type, id }) as Awaited<ReturnType<typeof session.read<typeof type>>> | undefined ?? session.read(type, id),
    search: async (type, parameters, options) =>
      take({ type, parameters }) as Awaited<ReturnType<typeof session.search<typeof type>>> | undefined ?? session.search(type, parameters, options)
  }
}

/** By their addresses. */
async function answersTo(session: FhirSession, questions: readonly Question[]): Promise<Map<string, Answer>> {
  const entry = questions.map((one): BundleEntry => ({ request: { method: 'GET', url: addressOf(one) } }))
  const { entry: entries = [] } = await session.batch({ resourceType: 'Bundle', type: 'batch', entry }).catch(askEach)
  if (entries.length !== questions.length) return new Map()
  return new Map(questions.flatMap((one, at) => {
    const known = answerIn(entries[at], one)
    return known ? [[addressOf(one), known] as const] : []
  }))
}

/** Each on its own: then the server says what is the matter. */
function askEach(error: unknown): { readonly entry?: readonly BundleEntry[] } {
  if (!isScreeningError(error) || error.code === 'ERR_LEASE_LOST') throw error
  return {}
}

function addressOf(question: Question): string {
  if ('id' in question) return `${question.type}/${question.id}`
  const parameters = Object.entries(question.parameters).flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]))
  return `${question.type}?${new URLSearchParams(parameters).toString()}`
}

function answerIn({ response, resource }: BundleEntry = {}, question: Question): Answer | undefined {
  if (!/^200\b/.test(response?.status ?? '') || !resource) return undefined
  if ('id' in question) return resource.resourceType === question.type && resource.id === question.id ? resource as FhirResource : undefined
  try {
    const { matched, next } = searchPage(resource, question.type)
    return next === undefined ? matched : undefined
  } catch (error) {
    if (!isScreeningError(error)) throw error
    return undefined
  }
}
