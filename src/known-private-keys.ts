import { createHash } from 'node:crypto'

/** A public key as JWK, as far as its thumbprint needs it. */
interface PublicKey { readonly kty?: string; readonly crv?: unknown; readonly x?: unknown; readonly y?: unknown; readonly n?: unknown; readonly e?: unknown }

/** Thumbprints (RFC 7638) of keys whose private half anybody can read. */
const THUMBPRINTS = new Set([
  // sandbox.cds-hooks.org signs in the browser: the key is in its public repository, and in every copy of it.
  's9fOe-KDYD1myZ8YCzleUqJQgrYZL49kVijBxhnZvZc'
])

/** Whether anybody can sign with it (specs: security section 3, public test issuers). */
export function isKnownToAll({ kty, crv, x, y, n, e }: PublicKey): boolean {
  const members = kty === 'EC' ? { crv, kty, x, y } : { e, kty, n }
  return THUMBPRINTS.has(createHash('sha256').update(JSON.stringify(members)).digest('base64url'))
}
