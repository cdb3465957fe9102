import { gunzipSync } from 'node:zlib'
import { expect, test } from '@jest/globals'
import { gzipParts } from '../../src/cds-hooks/gzip-parts.ts'

/** Text that packs well, with letters of two and three bytes. */
const ofBytes = (length: number) => Buffer.from('{"joint":"MCP 2 – möglich"},'.repeat(length / 20 + 1)).subarray(0, length)

test.each([[[]], [[0]], [[1]], [[4_095, 4_096, 4_097]], [[2_600, 92_000, 5]], [[70_000, 70_000]], [[300_000, 0, 4_095, 65_536]]])('parts of %p bytes are one gzip file', (lengths) => {
  const parts = lengths.map(ofBytes)
  const sent = Buffer.concat(gzipParts(parts))
  expect(gunzipSync(sent).equals(Buffer.concat(parts))).toBe(true)
  expect(gunzipSync(Buffer.concat(gzipParts(parts))).equals(Buffer.concat(parts))).toBe(true)
})

test('every client reads it: the browser\'s own way too, which knows one file and no second', async () => {
  const parts = [2_600, 92_000, 5].map(ofBytes)
  const stream = new Blob([...gzipParts(parts)] as BlobPart[]).stream().pipeThrough(new DecompressionStream('gzip'))
  expect(Buffer.from(await new Response(stream).arrayBuffer()).equals(Buffer.concat(parts))).toBe(true)
})

test('a long part that comes again is not packed again, and another with the same beginning is not taken for it', () => {
  const [long, other] = [ofBytes(92_000), Buffer.concat([ofBytes(91_999), Buffer.from('!')])]
  const packed = gzipParts([Buffer.from('a'), long]).find(({ length }) => length > 100)
  expect(gzipParts([Buffer.from('b'), long])).toContain(packed)
  expect(gunzipSync(Buffer.concat(gzipParts([Buffer.from('b'), other]))).toString()).toBe(`b${other.toString()}`)
})
