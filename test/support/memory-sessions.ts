import type { SessionStore } from '../../smart-launch/server/app-session.ts'

/** Launches, sessions and drafts in memory, each for as long as the test. */
export function openMemorySessions(): SessionStore {
  const kept = new Map<string, unknown>()
  return {
    put: (id, data) => Promise.resolve(void kept.set(id, structuredClone(data))),
    get: (id) => Promise.resolve(structuredClone(kept.get(id))),
    delete: (id) => Promise.resolve(void kept.delete(id)),
    claim: (id) => Promise.resolve(!kept.has(id) && Boolean(kept.set(id, true)))
  }
}
