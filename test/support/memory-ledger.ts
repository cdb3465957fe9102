import type { WriteLedger } from '../../src/fhir/record-writer.ts'

/** A ledger without a store, with what it holds. */
export function memoryLedger(): WriteLedger & { readonly entries: Map<string, string>; readonly sent: Map<string, number> } {
  const entries = new Map<string, string>()
  const sent = new Map<string, number>()
  let prompt = false
  return {
    entries, sent,
    showed(atOnce) {
      prompt = atOnce
      return Promise.resolve()
    },
    showsAtOnce: () => Promise.resolve(prompt),
    showsSoon: () => Promise.resolve(false),
    places: (ids) => Promise.resolve(new Map([...entries].filter(([id]) => ids.includes(id)))),
    record(places) {
      for (const [id, reference] of places) {
        sent.delete(id)
        entries.set(id, reference)
      }
      return Promise.resolve()
    },
    sending(ids, settleMs) {
      const now = performance.now()
      if (ids.some((id) => entries.has(id) || now - (sent.get(id) ?? -Infinity) < settleMs)) return Promise.resolve(false)
      for (const id of ids) sent.set(id, now)
      return Promise.resolve(true)
    },
    unanswered: (ids) => Promise.resolve(new Map(ids.flatMap((id) => sent.has(id) ? [[id, performance.now() - (sent.get(id) ?? 0)] as const] : []))),
    disbelieve(id) {
      entries.delete(id)
      sent.set(id, performance.now())
      return Promise.resolve()
    },
    refused(ids) {
      for (const id of ids) sent.delete(id)
      return Promise.resolve()
    }
  }
}
