import type { Store } from './open-store.ts'

/** Remembers each token id until the token would have expired anyway, so that a stolen one works no second time. */
export interface JtiStore {
  /** True the first time. Throws ERR_STORE when it cannot be remembered, and then nobody is let in. */
  use(tenant: string, issuer: string, jti: string, expiresAtMs: number): Promise<boolean>
}

const SWEEP_EVERY = 500

export function openJtiStore(store: Store): JtiStore {
  let uses = 0
  return {
    async use(tenant, issuer, jti, expiresAtMs) {
      if (uses++ % SWEEP_EVERY === 0) await store.query('delete from jti where expires_at < now() - interval \'10 minutes\'')
      const added = await store.query(
        `insert into jti (tenant, issuer, jti, expires_at) values ($1, $2, $3, to_timestamp($4 / 1000.0))
         on conflict do nothing returning 1`, [tenant, issuer, jti, expiresAtMs])
      return added.length === 1
    }
  }
}
