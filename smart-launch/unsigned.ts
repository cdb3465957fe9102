import { activityScores, INPUTS_OF, type ActivityInputs } from '../src/joints/activity-scores.ts'

/** A draft: what was entered and not signed, as the page sends it and the server keeps it. */
interface Entered {
  readonly decisions: readonly { readonly side: string; readonly joint: string; readonly call: string }[]
  readonly tender: readonly Place[]
  readonly swollen: readonly Place[]
  readonly examinedAll: boolean
  readonly typed: Readonly<Partial<Record<string, string>>>
  readonly corrects?: Readonly<Record<string, string>>
}
interface Place { readonly side: string; readonly joint: string }

const LABORATORY = ['crpMgPerL', 'esrMmPerH'] as const

/** Typed laboratory values that no score is made with: a signature of these inputs does not write them. */
export function unwrittenLaboratory(typed: Entered['typed'], inputs: ActivityInputs): readonly (typeof LABORATORY)[number][] {
  const computed = activityScores(inputs).flatMap(({ kind, index }) => (kind === 'computed' ? [index] : []))
  return LABORATORY.filter((name) => typed[name] && !computed.some((index) => INPUTS_OF[index].includes(name)))
}

/**
 * What of a draft is still unsigned once `signed` is in the record: the draft as it stood when its signature was sent, and the inputs of the
 * scores that were signed with it. What was entered or changed since stays, and so does a laboratory value that was not written. A correction
 * is over with its signature; one that began with something else goes on as it is.
 */
export function unsignedOf<Draft extends Entered>(draft: Draft, signed: Entered, inputs: ActivityInputs = {}): Draft {
  const { corrects, ...entered } = draft
  if (corrects && !isSame(corrects, signed.corrects)) return draft
  const unwritten: readonly string[] = signed.corrects ? [] : unwrittenLaboratory(signed.typed, inputs)
  const without = <One extends Place & { readonly call?: string }>(all: readonly One[], gone: readonly (Place & { readonly call?: string })[]) =>
    all.filter(({ side, joint, call }) => !gone.some((one) => one.side === side && one.joint === joint && one.call === call))
  return {
    ...entered as Draft,
    decisions: without(draft.decisions, signed.decisions), tender: without(draft.tender, signed.tender), swollen: without(draft.swollen, signed.swollen),
    examinedAll: draft.examinedAll && !signed.examinedAll,
    typed: Object.fromEntries(Object.entries(draft.typed).filter(([name, value]) => value !== signed.typed[name] || unwritten.includes(name)))
  }
}

function isSame(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>> = {}): boolean {
  const names = Object.keys({ ...one, ...other })
  return names.every((name) => one[name] === other[name])
}
