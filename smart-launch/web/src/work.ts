import type { ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { HAND_JOINTS, LARGE_JOINTS, LATERALITIES, type HandJoint, type JointOf28, type LargeJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { DraftView, Review, ReviewCall } from './api.ts'

/** The 22 joints of both hands in the order in which the keyboard visits them. */
export const HAND_PLACES = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint, key: `${side}-${joint}` })))
export const LARGE_PLACES = LARGE_JOINTS.flatMap((joint) => LATERALITIES.map((side) => ({ side, joint, key: `${side}-${joint}` })))

export type TypedName = 'patientGlobal' | 'physicianGlobal' | 'crpMgPerL' | 'esrMmPerH'

/** What a clinician has entered and not signed; joints by `side-joint`. */
export interface Work {
  readonly calls: ReadonlyMap<string, ReviewCall>
  /** Tender joints of all 28. */
  readonly tender: ReadonlySet<string>
  /** Swollen shoulders, elbows and knees. */
  readonly swollen: ReadonlySet<string>
  readonly examinedAll: boolean
  readonly typed: Readonly<Partial<Record<TypedName, string>>>
}

export const NO_WORK: Work = { calls: new Map(), tender: new Set(), swollen: new Set(), examinedAll: false, typed: {} }

export function isEmpty({ calls, tender, swollen, examinedAll, typed }: Work): boolean {
  return calls.size + tender.size + swollen.size + Object.keys(typed).length === 0 && !examinedAll
}

/** As the server keeps it, so that nothing is lost with the page. */
export function draftOf(work: Work, screeningId: string): DraftView {
  return { screeningId, decisions: decisionsOf(work), ...examinedOf(work), examinedAll: work.examinedAll, typed: work.typed }
}

export function workOf(draft: DraftView): Work {
  const keys = (places: readonly { readonly side: Laterality; readonly joint: HandJoint | LargeJoint }[]) => new Set(places.map(({ side, joint }) => `${side}-${joint}`))
  return {
    calls: new Map(draft.decisions.map(({ side, joint, call }) => [`${side}-${joint}`, call])),
    tender: keys(draft.tender), swollen: keys(draft.swollen), examinedAll: draft.examinedAll, typed: draft.typed
  }
}

/** What is previewed and signed; undefined as long as there is nothing. `activity` is what the scores are made of. */
export function reviewOf(work: Work, screeningId: string, activity: ActivityInputs | undefined): Review | undefined {
  const [decisions, examined] = [decisionsOf(work), examinedOf(work)]
  const found = examined.tender.length + examined.swollen.length > 0
  if (decisions.length === 0 && !activity && !found) return undefined
  return { screeningId, decisions, ...(activity ? { activity } : {}), ...(found ? { examined } : {}) }
}

/** Counts of what was marked: swollen and tender of 28, and hand joints that could not be assessed. */
export function countsOf({ calls, tender, swollen }: Work) {
  const called = (wanted: ReviewCall) => [...calls.values()].filter((call) => call === wanted).length
  return { swollen: called('swollen') + swollen.size, tender: tender.size, notAssessable: called('not-assessable') }
}

/** The same set with this joint in it, or without it when it was there. */
export function toggled(set: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const next = new Set(set)
  if (!next.delete(key)) next.add(key)
  return next
}

export function withCall(calls: ReadonlyMap<string, ReviewCall>, key: string, call: ReviewCall | undefined): ReadonlyMap<string, ReviewCall> {
  const next = new Map(calls)
  if (call) next.set(key, call)
  else next.delete(key)
  return next
}

function decisionsOf({ calls }: Work): Review['decisions'] {
  return HAND_PLACES.flatMap(({ side, joint, key }) => {
    const call = calls.get(key)
    return call ? [{ side, joint, call }] : []
  })
}

function examinedOf({ tender, swollen }: Work): { readonly tender: readonly JointOf28[]; readonly swollen: readonly (JointOf28 & { readonly joint: LargeJoint })[] } {
  const places: readonly (JointOf28 & { readonly key: string })[] = [...HAND_PLACES, ...LARGE_PLACES]
  return {
    tender: places.filter(({ key }) => tender.has(key)).map(({ side, joint }) => ({ side, joint })),
    swollen: LARGE_PLACES.filter(({ key }) => swollen.has(key)).map(({ side, joint }) => ({ side, joint }))
  }
}
