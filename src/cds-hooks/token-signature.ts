import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import type { JSONWebKeySet, JWK } from 'jose'

export type SignatureAlgorithm = 'RS384' | 'ES384'

const SHORTEST_RSA_BITS = 2048
/** Above this an RSA signature is checked off the thread that answers, as an elliptic one always is. */
const LONGEST_RSA_BITS_AT_ONCE = 4096

/**
 * Whether a compact JWS was signed with the one key of the set that has this kid and is made for this algorithm (RFC 7515,
 * RFC 7518 section 3). An RSA signature takes 30 µs, less than handing it to another thread and back: it is checked at once.
 * P-384 takes twenty times as long and goes to the thread pool. Throws for a key that is none; that is as good as false.
 */
export async function isSignedBy(keySet: JSONWebKeySet, token: string, { alg, kid }: { readonly alg: SignatureAlgorithm; readonly kid: string }): Promise<boolean> {
  const [jwk, another] = keySet.keys.filter((key) => isMeant(key, alg, kid))
  if (!jwk || another) return false
  const { key, rsaBits } = importedOnce(jwk)
  const end = token.lastIndexOf('.')
  const signed = Buffer.from(token.slice(0, end), 'latin1')
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  if (alg === 'ES384') return signature.length === 2 * P384_BYTES && inThreadPool(signed, key, derOf(signature))
  if (rsaBits < SHORTEST_RSA_BITS) return false
  return rsaBits > LONGEST_RSA_BITS_AT_ONCE ? inThreadPool(signed, key, signature) : verify('sha384', signed, key, signature)
}

/** Whether a signature of one of these algorithms can be checked with it: it is made for that, is a key, and an RSA one is long enough. */
export function isUsable(key: JWK, algorithms: readonly SignatureAlgorithm[]): boolean {
  try {
    const { rsaBits } = importedOnce(key)
    return algorithms.some((alg) => isMadeFor(key, alg)) && (key.kty !== 'RSA' || rsaBits >= SHORTEST_RSA_BITS)
  } catch {
    return false
  }
}

function isMeant(key: JWK, alg: SignatureAlgorithm, kid: string): boolean {
  return key.kid === kid && isMadeFor(key, alg)
}

function isMadeFor(key: JWK, alg: SignatureAlgorithm): boolean {
  const kind = alg === 'RS384' ? key.kty === 'RSA' : key.kty === 'EC' && key.crv === 'P-384'
  return kind && (key.alg ?? alg) === alg && (key.use ?? 'sig') === 'sig' && (key.key_ops ?? ['verify']).includes('verify')
}

interface ImportedKey { readonly key: KeyObject; readonly rsaBits: number }
const imported = new WeakMap<JWK, ImportedKey>()

/** Importing a key costs as much as a signature: each once, for as long as its set is kept. */
function importedOnce(jwk: JWK): ImportedKey {
  const known = imported.get(jwk)
  if (known) return known
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  const made = { key, rsaBits: key.asymmetricKeyDetails?.modulusLength ?? 0 }
  imported.set(jwk, made)
  return made
}

function inThreadPool(signed: Buffer, key: KeyObject, signature: Buffer): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify('sha384', signed, key, signature, (error, good) => (error ? reject(error) : resolve(good)))
  })
}

/** Bytes of r, and of s. */
const P384_BYTES = 48

/**
 * The two numbers of an ES384 signature (RFC 7518 section 3.4) as the DER that OpenSSL reads: where Node does it, it looks up the curve's order
 * on the thread that answers, which takes three times as long as handing the signature over.
 */
function derOf(signature: Buffer): Buffer {
  const [r, s] = [derInteger(signature.subarray(0, P384_BYTES)), derInteger(signature.subarray(P384_BYTES))]
  return Buffer.concat([Buffer.from([0x30, r.length + s.length]), r, s])
}

/** As short as it can be said, with a zero before what would be a negative number (X.690 section 8.3). */
function derInteger(number: Buffer): Buffer {
  const begins = number.findIndex((byte) => byte !== 0)
  const digits = number.subarray(begins < 0 ? number.length - 1 : begins)
  const sign = (digits[0] ?? 0) >= 0x80 ? [0] : []
  return Buffer.concat([Buffer.from([0x02, digits.length + sign.length, ...sign]), digits])
}
