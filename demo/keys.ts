import { randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { SigningKey } from '../src/config.ts'

/** A fresh signing key, made in memory and never written anywhere. */
export async function freshKey(alg: 'ES384' | 'RS384'): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 })
  const key = await exportJWK(privateKey)
  return { ...key, kid: randomUUID(), alg, use: 'sig' } as SigningKey
}

export function publicPart(key: SigningKey): JWK {
  const { kty, kid, alg, crv, x, y, n, e } = key as unknown as JWK
  return JSON.parse(JSON.stringify({ kty, kid, alg, use: 'sig', crv, x, y, n, e })) as JWK
}
