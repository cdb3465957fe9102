import { generateKeyPairSync } from 'node:crypto'
import type { SigningKey } from '../../src/config.ts'

/** A key made for this run; the witness gives a token to any. */
export function newSigningKey(): SigningKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  return { ...privateKey.export({ format: 'jwk' }), kty: 'EC', kid: 'faults', alg: 'ES384', d: privateKey.export({ format: 'jwk' }).d ?? '' }
}
