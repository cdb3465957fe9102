import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { JWK } from 'jose'
import { isSignedBy } from '../../src/cds-hooks/token-signature.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'es', alg: 'ES384' } as JWK
const asSigned = (token: string, signature: Buffer) => isSignedBy({ keys: [jwk] }, `${token}.${signature.toString('base64url')}`, { alg: 'ES384', kid: 'es' })
const asNodeReads = (token: string, signature: Buffer) => verify('sha384', Buffer.from(token), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, signature)
const signed = (token: string) => sign('sha384', Buffer.from(token), { key: privateKey, dsaEncoding: 'ieee-p1363' })

test('a P-384 signature is good whatever its two numbers begin with: zeros, or a bit that DER would take for a minus', async () => {
  const beginnings = new Set<string>()
  for (let time = 0; beginnings.size < 6 && time < 5_000; time++) {
    const signature = signed(`head.claims-${time}`)
    const kinds = [signature[0] ?? 0, signature[48] ?? 0].map((first, at) => `${'rs'.charAt(at)} ${first === 0 ? 'zero' : first >= 0x80 ? 'high' : 'low'}`)
    if (kinds.every((kind) => beginnings.has(kind))) continue
    for (const kind of kinds) beginnings.add(kind)
    expect(await asSigned(`head.claims-${time}`, signature)).toBe(true)
  }
  expect(beginnings.size).toBe(6)
})

test('whatever else stands in its place is good exactly when Node takes it as the two numbers of RFC 7518', async () => {
  const number = fc.oneof(fc.uint8Array({ minLength: 48, maxLength: 48 }), fc.constantFrom(0, 0x7f, 0x80, 0xff).map((byte) => new Uint8Array(48).fill(byte)), fc.constant(Uint8Array.of(...new Uint8Array(47), 1)))
  const made = fc.oneof(
    fc.tuple(number, number).map(([r, s]) => Buffer.concat([r, s])), fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(0, 47, 48, 95, 96).map((length) => signed('head.claims').subarray(0, length)), fc.constant(sign('sha384', Buffer.from('head.claims'), privateKey)),
    fc.tuple(fc.nat(95), fc.nat(7)).map(([at, bit]) => {
      const changed = signed('head.claims')
      changed[at] = (changed[at] ?? 0) ^ (1 << bit)
      return changed
    })
  )
  await fc.assert(fc.asyncProperty(made, async (signature) => {
    expect(await asSigned('head.claims', signature)).toBe(asNodeReads('head.claims', signature))
  }), { numRuns: 300 })
})
