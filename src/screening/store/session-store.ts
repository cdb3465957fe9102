import type { Store } from './open-store.ts'

/**
 * Launches and sessions of the SMART app, each until its time is over. They hold EHR tokens as they are, not yet encrypted:
 * protect the store's disk. Nothing of them is ever logged.
 */
export function openSessionStore(store: Store) {
  let writes = 0
  return {
    async put(id: string, data: unknown, ttlSeconds: number): Promise<void> {
      if (writes++ % 100 === 0) await store.query('delete from session where expires_at < now()')
      await store.query(
        `insert into session (id, data, expires_at) values ($1, $2, now() + make_interval(secs => $3))
         on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`, [id, JSON.stringify(data), ttlSeconds])
    },
    /** True for the one who asked first, until its time is over; for what only one process may do. */
    async claim(id: string, ttlSeconds: number): Promise<boolean> {
      const claimed = await store.query(
        `insert into session (id, data, expires_at) values ($1, 'true', now() + make_interval(secs => $2))
         on conflict (id) do update set expires_at = excluded.expires_at where session.expires_at <= now() returning id`, [id, ttlSeconds])
      return claimed.length > 0
    },
    async get(id: string): Promise<unknown> {
      const [row] = await store.query<{ data: unknown }>('select data from session where id = $1 and expires_at > now()', [id])
      return row?.data
    },
    async delete(id: string): Promise<void> {
      await store.query('delete from session where id = $1', [id])
    }
  }
}
