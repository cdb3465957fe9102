import { z } from 'zod'
import { ScreeningError } from '../../src/errors.ts'
import { HAND_JOINTS, LARGE_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import type { Draft } from './drafts.ts'
import type { Previewed, SignedReview } from './review-desk.ts'

const decision = z.strictObject({
  side: z.enum(LATERALITIES),
  joint: z.enum(HAND_JOINTS),
  call: z.enum(['swollen', 'not-swollen', 'not-assessable'])
})
const count28 = z.number().int().min(0).max(28).optional()
const global10 = z.number().min(0).max(10).optional()
const activity = z.strictObject({
  tenderJointCount28: count28, swollenJointCount28: count28, patientGlobal: global10, physicianGlobal: global10,
  crpMgPerL: z.number().min(0).max(1000).optional(), esrMmPerH: z.number().min(1).max(200).optional()
})
const side = z.enum(LATERALITIES)
const examined = z.strictObject({
  tender: z.array(z.strictObject({ side, joint: z.enum([...HAND_JOINTS, ...LARGE_JOINTS]) })).max(28),
  swollen: z.array(z.strictObject({ side, joint: z.enum(LARGE_JOINTS) })).max(6)
})
/** What a correction saw, by our ids: one token for each thing that can be signed. */
const seen = z.record(z.uuid(), z.string().regex(/^[\w-]{16}$/)).refine((one) => Object.keys(one).length <= 100, 'Too many findings.')
const review = z.strictObject({
  screeningId: z.string().max(64), decisions: z.array(decision).max(22), activity: activity.optional(), examined: examined.optional(), corrects: seen.optional()
}).refine((one) => one.decisions.length > 0 || one.activity !== undefined || one.examined !== undefined || one.corrects !== undefined, 'Nothing was decided or entered.')
/** The preview that the signature is for. */
const previewed = z.strictObject({ at: z.iso.datetime(), digest: z.string().regex(/^[\w-]{43}$/) })
const typedText = z.string().max(12).optional()
const draft = z.strictObject({
  screeningId: z.string().max(64), decisions: z.array(decision).max(22), ...examined.shape, examinedAll: z.boolean(),
  typed: z.strictObject({ patientGlobal: typedText, physicianGlobal: typedText, crpMgPerL: typedText, esrMmPerH: typedText }),
  corrects: seen.optional()
})
const keptDraft = z.strictObject({ ...draft.shape, knows: z.iso.datetime().optional() })
const signature = z.strictObject({ review, previewed, entered: draft.optional() })

export const checkedReview = (body: unknown): SignedReview => checked(review, body, '{screeningId, decisions, activity?, examined?, corrects?} for the review')

export const checkedSignature = (body: unknown): { readonly review: SignedReview; readonly previewed: Previewed; readonly entered?: Draft } =>
  checked(signature, body, '{review, previewed, entered?} for the signature')

/** A draft, and the newest signature that its page knows of. */
export function checkedDraft(body: unknown): { readonly draft: Draft; readonly knows?: string } {
  const { knows, ...kept } = checked<Draft & { readonly knows?: string }>(keptDraft, body, '{screeningId, decisions, tender, swollen, examinedAll, typed, corrects?, knows?} for the draft')
  return { draft: kept, ...(knows ? { knows } : {}) }
}

/** The body as the form allows it and nothing else. Throws ERR_REQUEST_INVALID. */
function checked<Checked>(form: z.ZodType<unknown>, body: unknown, expected: string): Checked {
  const result = form.safeParse(body)
  if (result.success) return JSON.parse(JSON.stringify(result.data)) as Checked
  throw new ScreeningError('ERR_REQUEST_INVALID', `Expected ${expected}. ${result.error.issues[0]?.message ?? ''}`)
}
