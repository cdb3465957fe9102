import type { Store } from './open-store.ts'

const KEPT = 500

/**
 * Answers again what was read, as long as nothing was written to the store since. Only where the store has one owner, and so
 * knows of every write; elsewhere each question is asked anew.
 */
export function keptWhileUnchanged<Answer>(store: Store, read: (tenant: string, patientId: string) => Promise<Answer>): typeof read {
  const { changes } = store
  if (!changes) return read
  const kept = new Map<string, Answer>()
  let keptAt = changes()

  return async (tenant, patientId) => {
    const asked = changes()
    if (asked !== keptAt) kept.clear()
    keptAt = asked
    const name = JSON.stringify([tenant, patientId])
    const known = kept.get(name)
    if (known !== undefined) return known
    const answer = await read(tenant, patientId)
    if (changes() !== asked || keptAt !== asked) return answer
    const [oldest] = kept.size >= KEPT ? kept.keys() : []
    if (oldest !== undefined) kept.delete(oldest)
    kept.set(name, answer)
    return answer
  }
}
