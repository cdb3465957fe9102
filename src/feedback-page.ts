import type { FeedbackRate } from './screening/store/feedback-store.ts'
import { escapeHtml as text, pageOf, type Page } from './plain-page.ts'

/** How clinicians answered our cards, by month, service and model: counts only, no patient and no person. */
export function feedbackPage(tenants: readonly { readonly name: string; readonly rates: readonly FeedbackRate[] }[]): Page {
  const sections = tenants.map(({ name, rates }) => `<h2>${text(name)}</h2>${rates.length > 0 ? table(rates) : '<p>No feedback yet.</p>'}`)
  return pageOf('JointLens feedback', `<h1>What clinicians did with our cards</h1>${sections.join('')}`)
}

function table(rates: readonly FeedbackRate[]): string {
  const rows = rates.map(({ month, serviceId, modelDigest, accepted, overridden, reasons }) => {
    const share = Math.round((100 * accepted) / Math.max(1, accepted + overridden))
    const why = Object.entries(reasons).sort(([, a], [, b]) => b - a).map(([code, count]) => `${code} ${count}`).join(', ')
    return [month.slice(0, 7), serviceId, modelDigest?.slice(0, 12) ?? '', `${accepted} (${share} %)`, String(overridden), why]
  })
  const head = ['Month', 'Service', 'Model', 'Accepted', 'Set aside', 'Why']
  const cells = (row: readonly string[], tag: string) => `<tr>${row.map((cell) => `<${tag}>${text(cell)}</${tag}>`).join('')}</tr>`
  return `<div class="scroll" role="region" aria-label="Feedback by month" tabindex="0"><table><thead>${cells(head, 'th')}</thead><tbody>${rows.map((row) => cells(row, 'td')).join('')}</tbody></table></div>`
}
