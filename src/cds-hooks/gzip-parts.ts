import { constants, crc32, deflateRawSync } from 'node:zlib'

/** To pack what is shorter takes longer than to send it. */
export const WORTH_PACKING_BYTES = 4_096
const LONGEST_STORED_BLOCK = 65_535
/** Deflate, no name, no time, from no system in particular (RFC 1952 section 2.3). */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
/** An empty block that is the last one (RFC 1951 section 3.2.3). */
const LAST_BLOCK = Buffer.from([3, 0])

/**
 * One gzip file of all parts, in parts. A long part that was packed before is not packed again: the packed part is kept for as long as
 * the part itself. Deflate allows that, as each part becomes blocks of its own that look back at no other part.
 */
export function gzipParts(parts: readonly Buffer[]): readonly Buffer[] {
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(parts.reduce((sum, part) => crc32(part, sum), 0), 0)
  trailer.writeUInt32LE(lengthOf(parts) % 2 ** 32, 4)
  return [HEADER, ...parts.map(blocksOf), LAST_BLOCK, trailer]
}

/** In bytes. */
export function lengthOf(parts: readonly Buffer[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0)
}

function blocksOf(part: Buffer): Buffer {
  return part.length < WORTH_PACKING_BYTES ? storedBlock(part) : packedOnce(part)
}

const packed = new WeakMap<Buffer, Buffer>()

/** Ends at a whole byte, as a flush does, and is not the last. */
function packedOnce(part: Buffer): Buffer {
  const known = packed.get(part) ?? deflateRawSync(part, { level: 1, finishFlush: constants.Z_SYNC_FLUSH })
  packed.set(part, known)
  return known
}

/** RFC 1951 section 3.2.4. */
function storedBlock(part: Buffer): Buffer {
  const block = Buffer.alloc(5 + part.length)
  block.writeUInt16LE(part.length, 1)
  block.writeUInt16LE(LONGEST_STORED_BLOCK - part.length, 3)
  part.copy(block, 5)
  return block
}
