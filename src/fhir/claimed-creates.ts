import type { Bundle, DocumentReference, Media, Observation, Resource } from 'fhir/r4.js'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { outcomesOf } from './bundle-outcomes.ts'
import { RESULT_ID } from './codes.ts'
import { settleMs } from './record-writer.ts'
import { PHOTO_ID } from './resources/photo-resources.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import type { FhirSession } from './session.ts'
import type { WriteLedger } from './write-state.ts'

/** What one may do and nobody else, for some time; shared by all processes of an installation, and on disk. */
export interface Claims {
  /** True for the one who asked first, until its time is over. */
  claim(name: string, seconds: number): Promise<boolean>
  delete(name: string): Promise<void>
}

type KnownIndex = Pick<WriteLedger, 'showsAtOnce' | 'showsSoon'>
const UNKNOWN: KnownIndex = { showsAtOnce: () => Promise.resolve(false), showsSoon: () => Promise.resolve(false) }

/**
 * Sessions that create each of our Observations and photos once, whoever signs or sends it: before it goes out it is claimed, and until a search
 * could show it nobody sends it again. That holds where the answer was lost, where another process wrote it a moment ago, and where two people do so
 * in the same instant. Free again at once is what the record refused; and after a lost answer what a condition keeps from being there twice, where
 * searches show at once what was written: a condition is answered from the same index. `indexOf` knows a tenant's. Creates throw
 * ERR_WRITE_AMBIGUOUS, with nothing sent, for what is claimed.
 */
export function openClaimedCreates(claims: Claims, indexOf: (tenant: string) => KnownIndex = () => UNKNOWN): (session: FhirSession) => FhirSession {
  async function take(tenant: string, names: readonly string[]): Promise<void> {
    const seconds = names.length > 0 ? await settleMs(indexOf(tenant)) / 1000 : 0
    for (const [index, name] of names.entries()) {
      if (await claims.claim(name, seconds)) continue
      await free(names.slice(0, index))
      throw new ScreeningError('ERR_WRITE_AMBIGUOUS', 'Expected to know what became of this where it was sent a moment ago, but the record does not show it, or not yet; nothing was sent again')
    }
  }
  const free = (names: readonly string[]) => Promise.all(names.map((name) => claims.delete(name)))

  async function sent<T>({ tenant }: FhirSession, names: readonly string[], conditional: boolean, send: () => Promise<T>): Promise<T> {
    await take(tenant.id, names)
    try {
      return await send()
    } catch (error) {
      // Wherever it may have happened the session says ERR_WRITE_AMBIGUOUS.
      if (isScreeningError(error) && (error.code !== 'ERR_WRITE_AMBIGUOUS' || (conditional && await indexOf(tenant.id).showsAtOnce()))) await free(names)
      throw error
    }
  }

  return (session) => ({
    ...session,
    get retryAt() { return session.retryAt },

    create: (resource, options) => sent(session, namesIn(session, resource), options?.ifNoneExist !== undefined, () => session.create(resource, options)),

    async transaction(bundle) {
      const creates = (bundle.entry ?? []).flatMap(({ resource, request }) => resource && request?.method === 'POST' ? [{ names: namesIn(session, resource), request }] : [])
        .filter(({ names }) => names.length > 0)
      const answer = await sent(session, creates.flatMap(({ names }) => names), creates.every(({ request }) => request.ifNoneExist !== undefined), () => session.transaction(bundle))
      await free(refusedIn(session, bundle, answer))
      return answer
    }
  })
}

/** Of what carries an identifier of ours: what people sign, and the photos that they take. */
function namesIn({ tenant }: FhirSession, resource: Resource): readonly string[] {
  const { resourceType, identifier = [] } = resource as Observation | Media | DocumentReference
  const ours = { Observation: RESULT_ID, Media: PHOTO_ID, DocumentReference: PHOTO_ID }[resourceType] as string | undefined
  return identifier.flatMap(({ system, value }) => ours !== undefined && system === ours && value ? [`create:${tenant.id}:${value}`] : [])
}

/** A server may take a transaction for a batch: what it refused of it was not done. */
function refusedIn(session: FhirSession, { entry = [] }: Bundle, answer: Bundle): readonly string[] {
  if (answer.entry?.length !== entry.length || answer.entry.every(({ response }) => response?.status?.startsWith('2'))) return []
  const updated = entry.map(({ request }) => request?.method === 'PUT' ? request.url : undefined)
  const outcomes = outcomesOf(entry.map(({ resource }) => resource as ScreeningResource), answer, updated)
  return entry.flatMap(({ resource }, at) => resource && outcomes[at]?.kind === 'refused' ? namesIn(session, resource) : [])
}
