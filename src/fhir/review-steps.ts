import type { Observation } from 'fhir/r4.js'
import { isScreeningError, ScreeningError, type ErrorCode } from '../errors.ts'
import { RESULT_ID } from './codes.ts'
import { withReferences } from './resources/inner-references.ts'
import { identifierQuery } from './resources/screening-bundle.ts'
import type { FhirSession } from './session.ts'
import { tokenOf } from './standing-review.ts'

/** One Observation of a signature on its way into the record. Its references to others of the set carry our ids. */
export interface ReviewStep {
  /** Our id. */
  readonly ours: string
  readonly body: Observation
  /** What lies there: it is updated; undefined where nothing is. */
  readonly there?: Observation | undefined
  /** It says already what it shall say. */
  readonly done: boolean
}

/**
 * Carries out the steps in their order and resolves with where each lies. Everything that is updated is read again before anything is
 * sent, since some servers take no note of If-Match (specs/conformance.md section 5, point 4). Throws ERR_CONFLICT when one of them
 * has changed, ERR_WRITE_PARTIAL when the record refused one after it had taken others, ERR_EHR_*, ERR_WRITE_AMBIGUOUS.
 */
export async function carryOut(session: FhirSession, steps: readonly ReviewStep[]): Promise<readonly string[]> {
  const open = steps.filter(({ done }) => !done)
  const versions = new Map(await Promise.all(open.flatMap(({ ours, there }) => (there ? [versionNow(session, ours, there)] : []))))
  const places = new Map(steps.flatMap(({ ours, there }) => (there ? [[ours, referenceOf(there)] as const] : [])))
  let sent = 0
  for (const { ours, body, there } of open) {
    const resource = bodyOf(body, places)
    try {
      places.set(ours, there
        ? await session.update({ ...resource, id: there.id ?? '' }, ifMatch(versions.get(ours)))
        : await session.create(resource, await ifNoneExist(session, ours)))
    } catch (error) {
      throw sent > 0 ? partly(error, sent, open.length) : error
    }
    sent++
  }
  return steps.map(({ ours }) => places.get(ours) ?? '')
}

export const referenceOf = ({ id }: Observation): string => `Observation/${id}`

/** Inner references become the places the server gave; the id is the server's to give. */
export function bodyOf(observation: Observation, places: ReadonlyMap<string, string>): Observation {
  const { id: _ours, ...body } = withReferences(observation, (_type, id, was) => {
    const reference = places.get(id)
    return reference ? { ...was, reference } : undefined
  })
  return body
}

async function versionNow(session: FhirSession, ours: string, seen: Observation): Promise<readonly [string, string | undefined]> {
  const now = await session.read('Observation', seen.id ?? '')
  if (tokenOf(session, now) !== tokenOf(session, seen))
    throw new ScreeningError('ERR_CONFLICT', `Someone changed ${seen.bodySite?.text ?? seen.code.text ?? 'one of them'} just now. Nothing was written; reload to see it.`)
  return [ours, now.meta?.versionId]
}

const ifMatch = (version: string | undefined) => (version === undefined ? {} : { ifMatch: version })

async function ifNoneExist(session: FhirSession, ours: string) {
  const capabilities = await session.capabilities()
  return capabilities.conditionalCreate('Observation') ? { ifNoneExist: identifierQuery({ system: RESULT_ID, value: ours }) } : {}
}

const REFUSALS: readonly ErrorCode[] = ['ERR_EHR_REFUSED', 'ERR_EHR_UNAUTHORIZED', 'ERR_EHR_UNREACHABLE', 'ERR_CONFLICT', 'ERR_NOT_FOUND', 'ERR_SESSION']

function partly(error: unknown, sent: number, of: number): unknown {
  if (!isScreeningError(error) || !REFUSALS.includes(error.code)) return error
  return new ScreeningError('ERR_WRITE_PARTIAL', `Expected ${of} resources to be written but the record took ${sent} and refused the next; sign again to write the rest`, { cause: error })
}
