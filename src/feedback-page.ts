import { wordingFor } from './cds-hooks/wording.ts'
import { jointLabel } from './joints/hand-joint.ts'
import type { FeedbackRate, JointFeedbackRate } from './screening/store/feedback-store.ts'
import { escapeHtml as text, pageOf, type Page } from './plain-page.ts'

export interface TenantFeedback {
  readonly name: string
  readonly rates: readonly FeedbackRate[]
  readonly joints: readonly JointFeedbackRate[]
}

/** In the words that the card offers. */
const REASONS: Readonly<Record<string, string>> = wordingFor('en', 'en').override

/** How clinicians answered our cards, by month, service, model and joint: counts only, no patient and no person. */
export function feedbackPage({ name, rates, joints }: TenantFeedback): Page {
  const tables = rates.length > 0 ? byMonth(rates) + byJoint(joints) : '<p>No feedback yet.</p>'
  return pageOf('JointLens feedback', `<h1>What clinicians did with our cards</h1><h2>${text(name)}</h2>${tables}`)
}

function byMonth(rates: readonly FeedbackRate[]): string {
  return table('Feedback by month', ['Month', 'Service', 'Model', 'Accepted', 'Set aside', 'Why'], rates.map(({ month, serviceId, modelDigest, accepted, overridden, reasons }) => {
    const why = Object.entries(reasons).sort(([, a], [, b]) => b - a).map(([code, count]) => `${REASONS[code] ?? code}: ${count}`).join('; ')
    return [month.slice(0, 7), serviceId, modelDigest?.slice(0, 12) ?? '', share(accepted, overridden), String(overridden), why]
  }))
}

function byJoint(joints: readonly JointFeedbackRate[]): string {
  if (joints.length === 0) return ''
  const rows = joints.map(({ side, joint, modelDigest, accepted, overridden }) => [`${side} ${jointLabel(joint)}`, modelDigest.slice(0, 12), share(accepted, overridden), String(overridden)])
  return `<h3>By joint</h3><p>Of the cards that called the joint swollen. A card is answered as a whole: look here for joints whose cards are set aside often.</p>${
    table('Feedback by joint', ['Joint', 'Model', 'Accepted', 'Set aside'], rows)}`
}

function share(accepted: number, overridden: number): string {
  return `${accepted} (${Math.round((100 * accepted) / Math.max(1, accepted + overridden))} %)`
}

function table(name: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: string) => `<tr>${row.map((cell) => `<${tag}>${text(cell)}</${tag}>`).join('')}</tr>`
  return `<div class="scroll" role="region" aria-label="${text(name)}" tabindex="0"><table><thead>${cells(head, 'th')}</thead><tbody>${rows.map((row) => cells(row, 'td')).join('')}</tbody></table></div>`
}
