import { randomFrom } from './random.ts'

/** Classic 3-D gradient noise (Perlin 2002), roughly -1..1, and the soft steps every pattern here is made of. */
const PERMUTATION = shuffledBytes()
const GRADIENTS = new Float64Array([
  1, 1, 0, -1, 1, 0, 1, -1, 0, -1, -1, 0, 1, 0, 1, -1, 0, 1, 1, 0, -1, -1, 0, -1,
  0, 1, 1, 0, -1, 1, 0, 1, -1, 0, -1, -1, 1, 1, 0, 0, -1, 1, -1, 1, 0, 0, -1, -1
])

function shuffledBytes(): Uint8Array {
  const random = randomFrom(7)
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
  for (let i = 255; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1))
    const kept = bytes[i]!
    bytes[i] = bytes[j]!
    bytes[j] = kept
  }
  return Uint8Array.from({ length: 512 }, (_, i) => bytes[i & 255]!)
}

function corner(hash: number, x: number, y: number, z: number): number {
  const k = (hash & 15) * 3
  return GRADIENTS[k]! * x + GRADIENTS[k + 1]! * y + GRADIENTS[k + 2]! * z
}

export function noise(px: number, py: number, pz: number): number {
  const fx = Math.floor(px), fy = Math.floor(py), fz = Math.floor(pz)
  const x = px - fx, y = py - fy, z = pz - fz
  const xi = fx & 255, yi = fy & 255, zi = fz & 255
  const u = x * x * x * (x * (x * 6 - 15) + 10)
  const v = y * y * y * (y * (y * 6 - 15) + 10)
  const w = z * z * z * (z * (z * 6 - 15) + 10)
  const a = PERMUTATION[xi]! + yi, b = PERMUTATION[xi + 1]! + yi
  const aa = PERMUTATION[a]! + zi, ab = PERMUTATION[a + 1]! + zi
  const ba = PERMUTATION[b]! + zi, bb = PERMUTATION[b + 1]! + zi
  const c000 = corner(PERMUTATION[aa]!, x, y, z), c100 = corner(PERMUTATION[ba]!, x - 1, y, z)
  const c010 = corner(PERMUTATION[ab]!, x, y - 1, z), c110 = corner(PERMUTATION[bb]!, x - 1, y - 1, z)
  const c001 = corner(PERMUTATION[aa + 1]!, x, y, z - 1), c101 = corner(PERMUTATION[ba + 1]!, x - 1, y, z - 1)
  const c011 = corner(PERMUTATION[ab + 1]!, x, y - 1, z - 1), c111 = corner(PERMUTATION[bb + 1]!, x - 1, y - 1, z - 1)
  const y00 = c000 + u * (c100 - c000), y10 = c010 + u * (c110 - c010)
  const y01 = c001 + u * (c101 - c001), y11 = c011 + u * (c111 - c011)
  const z0 = y00 + v * (y10 - y00), z1 = y01 + v * (y11 - y01)
  return z0 + w * (z1 - z0)
}

/** Sum of octaves, each half as strong and about twice as fine. */
export function fractalNoise(x: number, y: number, z: number, octaves: number): number {
  let sum = 0, amplitude = 1, frequency = 1
  for (let i = 0; i < octaves; i++) {
    sum += amplitude * noise(x * frequency, y * frequency, z * frequency)
    amplitude *= 0.5
    frequency *= 2.03
  }
  return sum
}

/** 0 at `from`, 1 at `to`, smooth between; the ends may be in either order. */
export function smoothstep(from: number, to: number, x: number): number {
  const t = Math.min(1, Math.max(0, (x - from) / (to - from)))
  return t * t * (3 - 2 * t)
}

/** exp(-(x/width)²). */
export const bell = (x: number, width: number): number => Math.exp(-(x * x) / (width * width))
