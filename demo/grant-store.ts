interface Stored {
  readonly payload: Record<string, unknown>
  readonly until: number
}

/** Where oidc-provider keeps sessions, grants and codes: memory, as everything in the demo. */
export function openGrantStore(now: () => number = Date.now) {
  const stored = new Map<string, Stored>()
  const live = (key: string) => {
    const found = stored.get(key)
    if (found && found.until <= now()) stored.delete(key)
    return stored.get(key)?.payload
  }
  const forgetExpired = () => [...stored.keys()].forEach(live)

  return (model: string) => ({
    async upsert(id: string, payload: Record<string, unknown>, expiresIn?: number) {
      if (stored.size > 5_000) forgetExpired()
      stored.set(`${model}:${id}`, { payload, until: expiresIn === undefined ? Infinity : now() + expiresIn * 1000 })
      return Promise.resolve()
    },
    find: (id: string) => Promise.resolve(live(`${model}:${id}`)),
    findByUid: (uid: string) =>
      Promise.resolve([...stored.keys()].filter((key) => key.startsWith(`${model}:`)).map(live).find((payload) => payload?.['uid'] === uid)),
    findByUserCode: () => Promise.resolve(undefined),
    async consume(id: string) {
      const payload = live(`${model}:${id}`)
      if (payload) payload['consumed'] = Math.floor(now() / 1000)
      return Promise.resolve()
    },
    async destroy(id: string) {
      stored.delete(`${model}:${id}`)
      return Promise.resolve()
    },
    async revokeByGrantId(grantId: string) {
      for (const [key, { payload }] of stored) if (payload['grantId'] === grantId) stored.delete(key)
      return Promise.resolve()
    }
  })
}
