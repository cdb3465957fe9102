import type { Store } from './store/open-store.ts'

/** Tables of what was derived from photos, or names whose photo it was, with the time it was made. */
export const DERIVED = [
  ['screening', 'completed_at'], ['assessment', 'made_at'], ['ledger', 'recorded_at'], ['card', 'created_at'], ['handed_photo', 'handed_at'],
  ['sent_unanswered', 'sent_at'], ['retirement', 'asked_at'], ['read_photo', 'read_at']
] as const

/**
 * Erases what was derived from one EHR's photos before this time: findings, readings, the ledger of what was written, cards, photos
 * that launches named, jobs that ended, and what clinicians wrote beside a card. What lies in the record is the record's. A patient
 * who is looked at again is read again; what was written before is then found in the record itself. Counts of feedback and the audit
 * chain stay: neither holds a finding.
 */
export async function eraseMadeBefore(store: Store, tenant: string, before: Date): Promise<void> {
  const parameters = [tenant, before.toISOString()]
  await store.transaction(async ({ query }) => {
    for (const [table, made] of DERIVED) await query(`delete from ${table} where tenant = $1 and ${made} < $2`, parameters)
    await query("delete from job where tenant = $1 and updated_at < $2 and state in ('done', 'refused', 'dead-letter')", parameters)
    await query('update feedback set user_comment = null where tenant = $1 and received_at < $2 and user_comment is not null', parameters)
  })
}
