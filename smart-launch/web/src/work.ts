import type { ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { HAND_JOINTS, LARGE_JOINTS, LATERALITIES, type HandJoint, type JointOf28, type LargeJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { DraftView, Review, ReviewCall, ReviewView, SignedBy, SignedByClinicians, SignedView } from './api.ts'

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
  /** It is what shall stand instead of what was signed, of which this was seen. */
  readonly corrects?: Readonly<Record<string, string>>
}

export const NO_WORK: Work = { calls: new Map(), tender: new Set(), swollen: new Set(), examinedAll: false, typed: {} }

export function isEmpty({ calls, tender, swollen, examinedAll, typed, corrects }: Work): boolean {
  return corrects === undefined && calls.size + tender.size + swollen.size + Object.keys(typed).length === 0 && !examinedAll
}

/** As the server keeps it, so that nothing is lost with the page. */
export function draftOf(work: Work, screeningId: string): DraftView {
  return { screeningId, decisions: decisionsOf(work), ...examinedOf(work), examinedAll: work.examinedAll, typed: work.typed, ...correctsOf(work) }
}

export function workOf(draft: DraftView): Work {
  return {
    calls: new Map(draft.decisions.map(({ side, joint, call }) => [`${side}-${joint}`, call])),
    tender: keysOf(draft.tender), swollen: keysOf(draft.swollen), examinedAll: draft.examinedAll, typed: draft.typed, ...(draft.corrects ? { corrects: draft.corrects } : {})
  }
}

/** What went on with newer photos, and what did not: calls on joints, and a correction of what was signed for the earlier ones. */
export interface CarriedOver { readonly work: Work; readonly calls: Work['calls']; readonly correction: boolean }

/**
 * What does not depend on a photo: tender and large joints, globals and laboratory values. That all 28 joints were examined is to be said again,
 * since without the calls on the earlier photos a count would be too low.
 */
export function carriedOver({ calls, tender, swollen, typed, corrects }: Work): CarriedOver {
  if (corrects) return { work: NO_WORK, calls: new Map(), correction: true }
  return { work: { ...NO_WORK, tender, swollen, typed }, calls, correction: false }
}

/** Calls made on earlier photos that could be taken over: none for a joint that is called or signed by now (`known`). */
export function callsToTakeOver({ earlierCalls }: ReviewView, carried: CarriedOver | undefined, known: ReadonlyMap<string, ReviewCall>): Work['calls'] {
  const all = carried && !carried.correction ? carried.calls : new Map((earlierCalls?.decisions ?? []).map(({ side, joint, call }) => [`${side}-${joint}`, call]))
  return new Map(HAND_PLACES.flatMap(({ key }) => { const call = all.get(key); return call && !known.has(key) ? [[key, call] as const] : [] }))
}

/** The review on the screen; `newer` waits until it is asked for, `carried` came from the photos that were shown before. */
export interface OnScreen { readonly shown: ReviewView; readonly newer?: ReviewView; readonly carried?: CarriedOver }

/**
 * What is on the screen after the server was asked again. A newer result does not take the place of one with unsigned work; it waits until it is asked for. Where the
 * result on the screen does not stand any more, the newer one is shown at once.
 */
export function received(before: OnScreen | undefined, next: ReviewView, entered: Work): OnScreen {
  const was = before?.shown.latest?.id
  if (before && next.latest?.id === was) return { shown: next, ...(before.carried ? { carried: before.carried } : {}) }
  if (before && was !== undefined && next.latest && (before.newer || !isEmpty(entered))) {
    const stands = next.history.some(({ id }) => id === was)
    return stands ? { shown: { ...before.shown, pending: next.pending }, newer: next, ...(before.carried ? { carried: before.carried } : {}) } : taking(next, entered)
  }
  return { shown: next, ...(!next.draft && next.earlierDraft ? { carried: carriedOver(workOf(next.earlierDraft)) } : {}) }
}

/** The newer result takes its place. */
export function withNewer(before: OnScreen, entered: Work): OnScreen {
  return before.newer ? taking(before.newer, entered) : before
}

const taking = (shown: ReviewView, entered: Work): OnScreen => (isEmpty(entered) ? { shown } : { shown, carried: carriedOver(entered) })

/** What a page begins with: its own draft, and what was carried over. */
export function begun(draft: DraftView | undefined, carried: CarriedOver | undefined): Work {
  const own = draft ? workOf(draft) : NO_WORK
  if (!carried || own.corrects) return own
  return { ...own, tender: new Set([...own.tender, ...carried.work.tender]), swollen: new Set([...own.swollen, ...carried.work.swollen]), typed: { ...carried.work.typed, ...own.typed } }
}

/** What was signed, as a correction begins with it: laboratory values are those that were signed, and none where none were. */
export function workOfSigned({ decisions, examined, activity, seen }: SignedView): Work {
  const typed = (['patientGlobal', 'physicianGlobal'] as const).flatMap((name) => (activity[name] === undefined ? [] : [[name, String(activity[name])] as [string, string]]))
  const laboratory = (['crpMgPerL', 'esrMmPerH'] as const).map((name): [string, string] => [name, String(activity[name] ?? '')])
  return { ...workOf({ screeningId: '', decisions, ...examined, examinedAll: activity.swollenJointCount28 !== undefined, typed: Object.fromEntries([...typed, ...laboratory]) }), corrects: seen }
}

/** What was changed in `work` since it was `from`, made to `onto`: own changes outlive a colleague's signature. */
export function rebased(work: Work, from: Work, onto: Work): Work {
  const set = (name: 'tender' | 'swollen') => new Set([...onto[name], ...work[name]].filter((key) => (work[name].has(key) === from[name].has(key) ? onto : work)[name].has(key)))
  const typed = (name: TypedName) => (work.typed[name] === from.typed[name] ? onto : work).typed[name]
  return {
    calls: new Map(HAND_PLACES.flatMap(({ key }) => {
      const call = (work.calls.get(key) === from.calls.get(key) ? onto : work).calls.get(key)
      return call ? [[key, call] as const] : []
    })),
    tender: set('tender'), swollen: set('swollen'), examinedAll: (work.examinedAll === from.examinedAll ? onto : work).examinedAll,
    typed: Object.fromEntries(TYPED.flatMap((name) => { const value = typed(name); return value === undefined ? [] : [[name, value]] })),
    ...correctsOf(onto)
  }
}

/** Joints that are called otherwise than in `from`, and how many things differ in all. */
export function changesOf(work: Work, from: Work): { readonly calls: ReadonlyMap<string, ReviewCall>; readonly count: number } {
  const called = HAND_PLACES.filter(({ key }) => work.calls.get(key) !== from.calls.get(key)).map(({ key }) => key)
  const sets = (['tender', 'swollen'] as const).flatMap((name) => [...work[name], ...from[name]].filter((key) => work[name].has(key) !== from[name].has(key)))
  const typed = TYPED.filter((name) => (work.typed[name] ?? '') !== (from.typed[name] ?? ''))
  return {
    calls: new Map(called.flatMap((key) => { const call = work.calls.get(key); return call ? [[key, call] as const] : [] })),
    count: called.length + sets.length + typed.length + Number(work.examinedAll !== from.examinedAll)
  }
}

const TYPED: readonly TypedName[] = ['patientGlobal', 'physicianGlobal', 'crpMgPerL', 'esrMmPerH']
const correctsOf = ({ corrects }: Work) => (corrects ? { corrects } : {})
const keysOf = (places: readonly { readonly side: Laterality; readonly joint: HandJoint | LargeJoint }[]) => new Set(places.map(({ side, joint }) => `${side}-${joint}`))

/** What is previewed and signed; undefined as long as there is nothing. `activity` is what the scores are made of. */
export function reviewOf(work: Work, screeningId: string, activity: ActivityInputs | undefined): Review | undefined {
  const [decisions, examined] = [decisionsOf(work), examinedOf(work)]
  const found = examined.tender.length + examined.swollen.length > 0
  if (decisions.length === 0 && !activity && !found && !work.corrects) return undefined
  return { screeningId, decisions, ...(activity ? { activity } : {}), ...(found ? { examined } : {}), ...correctsOf(work) }
}

/** What stands signed of the examination that is going on, by `side-joint`: it counts with what is marked now. */
export interface Standing {
  readonly calls: ReadonlyMap<string, ReviewCall>
  readonly tender: ReadonlyMap<string, SignedBy>
  readonly swollen: ReadonlyMap<string, SignedBy>
}

export const NOTHING_STANDS: Standing = { calls: new Map(), tender: new Map(), swollen: new Map() }

export function standingOf({ joints, tender, swollen }: SignedByClinicians): Standing {
  const byKey = <One extends JointOf28 & SignedBy>(all: readonly One[]) => all.filter(({ sameExamination }) => sameExamination).map((one) => [`${one.side}-${one.joint}`, one] as const)
  return { calls: new Map(byKey(joints).map(([key, { call }]) => [key, call])), tender: new Map(byKey(tender)), swollen: new Map(byKey(swollen)) }
}

/** What was marked with what stands signed; a joint that is in both counts once, with the newer call. */
export function withStanding(work: Work, standing: Standing): Pick<Work, 'calls' | 'tender' | 'swollen'> {
  return {
    calls: new Map([...standing.calls, ...work.calls]),
    tender: new Set([...standing.tender.keys(), ...work.tender]), swollen: new Set([...standing.swollen.keys(), ...work.swollen])
  }
}

/** Counts of what was marked: swollen and tender of 28, and hand joints that could not be assessed. */
export function countsOf({ calls, tender, swollen }: Pick<Work, 'calls' | 'tender' | 'swollen'>) {
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
