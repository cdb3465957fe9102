import { createHash } from 'node:crypto'
import type { Store } from './open-store.ts'

/** Remembers each token id until the token would have expired anyway, so that a stolen one works no second time. */
export interface JtiStore {
  /** True the first time. Throws ERR_STORE when it cannot be remembered, and then nobody is let in. */
  use(tenant: string, issuer: string, jti: string, expiresAtMs: number): Promise<boolean>
}

const SWEEP_EVERY = 500

/** Only a digest is kept: a token id may be of any length, and the table holds no more than the tokens that still live. */
export function openJtiStore(store: Store): JtiStore {
  let uses = 0
  return {
    async use(tenant, issuer, jti, expiresAtMs) {
      if (uses++ % SWEEP_EVERY === 0) await store.query('delete from jti where expires_at < now() - interval \'10 minutes\'')
      const digest = createHash('sha256').update(JSON.stringify([tenant, issuer, jti])).digest('hex')
      const added = await store.query(
        'insert into jti (digest, expires_at) values ($1, $2) on conflict do nothing returning 1', [digest, new Date(expiresAtMs).toISOString()])
      return added.length === 1
    }
  }
}
