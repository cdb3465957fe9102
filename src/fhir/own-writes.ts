import type { Bundle, FhirResource } from 'fhir/r4.js'
import { isScreeningError } from '../errors.ts'
import { outcomesOf } from './bundle-outcomes.ts'
import type { ScreeningResource } from './resources/screening-resources.ts'
import type { FhirSession, SearchParameters } from './session.ts'
import { LATE_MS } from './write-state.ts'

/** Something that was written a moment ago. */
interface Written {
  readonly resource: FhirResource
  /** A search that shows it may show what it was before. */
  readonly changed: boolean
  readonly at: number
  readonly until: number
}

const KEPT = 5_000
/** A search that begins so soon after a write and shows it is one that shows at once what was written. */
const AT_ONCE_MS = 1_000

/**
 * Sessions that find what others of them have just written. Searches show that late (Google, AWS), or leave out for a while what was changed
 * (AWS HealthLake), and a signature that is not found would be signed again. What is asked for by identifier, patient or target and is not
 * shown is read where it lies. Kept by this process for a quarter of an hour; one for each record. `sawIndex` hears whether searches showed at
 * once what was created, as the writer's look after each screening does (write-state.ts): by it a signature whose answer is lost waits or does not.
 */
export function openOwnWrites(now: () => number = Date.now, sawIndex: (atOnce: boolean) => Promise<void> = () => Promise.resolve()): (session: FhirSession) => FhirSession {
  const written = new Map<string, Written>()

  function keep(reference: string, resource: FhirResource, changed: boolean): void {
    for (const [known, { until }] of written) if (until < now() || written.size >= KEPT) written.delete(known)
    written.set(reference, { resource, changed, at: now(), until: now() + LATE_MS })
  }

  /** Under the references that they got. Throws ERR_WRITE_AMBIGUOUS for an answer that nothing in can be believed of. */
  function keepEntries({ entry = [] }: Bundle, answer: Bundle): void {
    const updated = entry.map(({ request }) => request?.method === 'PUT' ? request.url : undefined)
    const outcomes = outcomesOf(entry.map(({ resource }) => resource as ScreeningResource), answer, updated)
    const places = entry.flatMap(({ fullUrl = '', resource }, at) => {
      const outcome = outcomes[at]
      return resource && outcome?.kind === 'written' ? [{ fullUrl, resource, reference: outcome.reference, changed: updated[at] !== undefined }] : []
    })
    for (const { reference, resource, changed } of places) {
      const text = places.reduce((body, place) => body.replaceAll(`"${place.fullUrl}"`, `"${place.reference}"`), JSON.stringify(resource))
      keep(reference, JSON.parse(text) as FhirResource, changed)
    }
  }

  return (session) => ({
    ...session,
    get retryAt() { return session.retryAt },

    async create(resource, options) {
      const reference = await session.create(resource, options)
      keep(reference, resource, false)
      return reference
    },

    async update(resource, options) {
      const reference = await session.update(resource, options)
      keep(reference, resource, true)
      return reference
    },

    async transaction(bundle) {
      const answer = await session.transaction(bundle)
      keepEntries(bundle, answer)
      return answer
    },

    async search(type, parameters, options) {
      const asked = now()
      let found = await session.search(type, parameters, options)
      const shownAtOnce = new Set<boolean>()
      for (const [reference, { resource, changed, at, until }] of [...written]) {
        if (resource.resourceType !== type || until < now() || !isAskedFor(resource, parameters)) continue
        const isIt = ({ id }: FhirResource) => `${type}/${id}` === reference
        const shown = found.some(isIt)
        if (!changed && shown && asked - at < AT_ONCE_MS) shownAtOnce.add(true)
        // Whoever asks for more than the identifier may not want it.
        if (!changed && !shown && typeof parameters['identifier'] === 'string') shownAtOnce.add(false)
        if (!changed && shown) written.delete(reference)
        else {
          const there = await session.read(type, reference.split('/')[1] ?? '').catch(goneIsNothing)
          found = [...found.filter((one) => !isIt(one)), ...there ? [there] : []]
        }
      }
      for (const atOnce of shownAtOnce) await sawIndex(atOnce)
      return found
    }
  })
}

function goneIsNothing(error: unknown): undefined {
  if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND') throw error
}

interface Named {
  readonly identifier?: readonly { readonly system?: string; readonly value?: string }[]
  readonly subject?: { readonly reference?: string }
  readonly target?: readonly { readonly reference?: string }[]
  readonly code?: { readonly coding?: readonly { readonly system?: string; readonly code?: string }[] }
}

/** By what tells one thing from others; whoever asks for a day as well looks at what comes. */
function isAskedFor(resource: FhirResource, { identifier, patient, target, code }: SearchParameters): boolean {
  const named = resource as Named
  const among = (tokens: string, system: string | undefined, value: string | undefined) => tokens.split(',').includes(`${system}|${value}`)
  if (typeof code === 'string' && !named.code?.coding?.some((one) => among(code, one.system, one.code))) return false
  if (typeof identifier === 'string') return named.identifier?.some(({ system, value }) => among(identifier, system, value)) ?? false
  if (typeof target === 'string') return named.target?.some(({ reference }) => reference === target) ?? false
  return typeof patient === 'string' && named.subject?.reference === `Patient/${patient}`
}
