import { hash } from 'node:crypto'
import { inBatches } from './in-batches.ts'
import type { Store } from './open-store.ts'
import { openTokenIdFiles } from './token-id-files.ts'

/** Remembers each token id until the token would have expired anyway, so that a stolen one works no second time. */
export interface JtiStore {
  /** True the first time. Throws ERR_STORE when it cannot be remembered, and then nobody is let in. */
  use(tenant: string, issuer: string, jti: string, expiresAtMs: number): Promise<boolean>
  close(): void
}

const SWEEP_EVERY = 500

interface Use { readonly digest: string; readonly expiresAt: string }

/**
 * Only a digest is kept: a token id may be of any length. Several processes share a table; the one owner of an embedded store
 * decides in memory and keeps files beside it. Either holds no more than the tokens that may still live.
 */
export function openJtiStore(store: Store, clock: () => number = Date.now): JtiStore {
  return store.kind === 'embedded' ? openOwnJtiStore(store.folder, clock) : openSharedJtiStore(store)
}

function openOwnJtiStore(folder: string | undefined, clock: () => number): JtiStore {
  const files = openTokenIdFiles(folder)
  return {
    use: (tenant, issuer, jti, expiresAtMs) => files.use(digestOf(tenant, issuer, jti), expiresAtMs, clock()),
    close: files.close
  }
}

function openSharedJtiStore(store: Store): JtiStore {
  let uses = 0
  const keep = inBatches(async (batch: readonly Use[]): Promise<readonly boolean[]> => {
    // In one order everywhere, so that two processes never wait for each other.
    const sorted = batch.toSorted((one, other) => one.digest < other.digest ? -1 : 1)
    const added = await store.query<{ digest: string }>(
      'insert into jti (digest, expires_at) select * from unnest($1::text[], $2::timestamptz[]) on conflict do nothing returning digest',
      [sorted.map(({ digest }) => digest), sorted.map(({ expiresAt }) => expiresAt)])
    const fresh = new Set(added.map(({ digest }) => digest))
    // Of the same id twice in one batch the first alone is let in.
    return batch.map(({ digest }) => fresh.delete(digest))
  })
  return {
    async use(tenant, issuer, jti, expiresAtMs) {
      if (uses++ % SWEEP_EVERY === 0) await store.query('delete from jti where expires_at < now() - interval \'10 minutes\'')
      return keep({ digest: digestOf(tenant, issuer, jti), expiresAt: new Date(expiresAtMs).toISOString() })
    },
    close: () => undefined
  }
}

function digestOf(tenant: string, issuer: string, jti: string): string {
  return hash('sha256', JSON.stringify([tenant, issuer, jti]))
}
