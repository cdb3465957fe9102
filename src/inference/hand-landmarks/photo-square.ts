import type { Photo } from '../decode-photo.ts'

/** What sampling needs of a photo: RGB bytes, row by row. */
export type Pixels = Pick<Photo, 'data' | 'width' | 'height'>

/**
 * A square laid over a photo, in its working pixels. `rotation` (radians, clockwise as seen) turns the square's own axes
 * against the photo's; a mirrored square is read right to left.
 */
export interface PhotoSquare {
  readonly cx: number
  readonly cy: number
  readonly size: number
  readonly rotation: number
  readonly mirrored?: boolean
}

export interface Point { readonly x: number; readonly y: number }

/** A position in the square (0..1, origin top left) to working pixels of the photo. */
export function toPhoto({ cx, cy, size, rotation, mirrored = false }: PhotoSquare, { x, y }: Point): Point {
  const u = (mirrored ? 0.5 - x : x - 0.5) * size
  const v = (y - 0.5) * size
  return { x: cx + u * Math.cos(rotation) - v * Math.sin(rotation), y: cy + u * Math.sin(rotation) + v * Math.cos(rotation) }
}

/** The inverse of `toPhoto`. */
export function toSquare({ cx, cy, size, rotation, mirrored = false }: PhotoSquare, { x, y }: Point): Point {
  const u = ((x - cx) * Math.cos(rotation) + (y - cy) * Math.sin(rotation)) / size
  const v = ((y - cy) * Math.cos(rotation) - (x - cx) * Math.sin(rotation)) / size
  return { x: mirrored ? 0.5 - u : u + 0.5, y: v + 0.5 }
}

/** The square as `side` x `side` x 3 floats 0..1, as the hand networks take it. What lies outside the photo is black. */
export function sampleFloats(photo: Pixels, square: PhotoSquare, side: number): Float32Array {
  const out = new Float32Array(side * side * 3)
  sample(photo, square, side, { out, start: 0, gain: 1 / 255, offset: 0 })
  return out
}

/** The square as `side` x `side` x 3 bytes, written to `out` from `start`. What lies outside the photo is black. */
export function sampleBytes(photo: Pixels, square: PhotoSquare, side: number, out: Uint8Array, start = 0): void {
  sample(photo, square, side, { out, start, gain: 1, offset: 0.5 })
}

/** Where values go: out[start…] = value * gain + offset. */
interface Target {
  readonly out: Float32Array | Uint8Array
  readonly start: number
  readonly gain: number
  readonly offset: number
}

/** Bilinear, after halving the photo as often as the square shrinks by two, so that fine texture does not alias. */
function sample(photo: Pixels, square: PhotoSquare, side: number, { out, start, gain, offset }: Target): void {
  const shrink = square.size / side
  const { data, width, height, factor } = reduced(photo, Math.max(0, Math.floor(Math.log2(shrink))))
  const step = shrink / factor
  const cos = Math.cos(square.rotation) * step
  const sin = Math.sin(square.rotation) * step
  const across = square.mirrored ? -1 : 1
  const cx = square.cx / factor - 0.5
  const cy = square.cy / factor - 0.5
  for (let row = 0, at = start; row < side; row++) {
    const v = row + 0.5 - side / 2
    for (let column = 0; column < side; column++, at += 3) {
      const u = (column + 0.5 - side / 2) * across
      const x = cx + u * cos - v * sin
      const y = cy + u * sin + v * cos
      if (!(x > -1 && y > -1 && x < width && y < height)) {
        out[at] = out[at + 1] = out[at + 2] = 0
        continue
      }
      const left = ((x + 1) | 0) - 1
      const top = ((y + 1) | 0) - 1
      const fx = x - left
      const fy = y - top
      const inLeft = left >= 0
      const inTop = top >= 0
      const inRight = left + 1 < width
      const inBottom = top + 1 < height
      const a = inLeft && inTop ? (1 - fx) * (1 - fy) : 0
      const b = inRight && inTop ? fx * (1 - fy) : 0
      const c = inLeft && inBottom ? (1 - fx) * fy : 0
      const d = inRight && inBottom ? fx * fy : 0
      // A corner outside the photo has no weight: any valid address will do for it.
      const above = (inTop ? top : 0) * width * 3
      const below = (inBottom ? top + 1 : top) * width * 3
      const west = (inLeft ? left : 0) * 3
      const east = (inRight ? left + 1 : left) * 3
      for (let channel = 0; channel < 3; channel++) {
        const value = a * (data[above + west + channel] as number) + b * (data[above + east + channel] as number) +
          c * (data[below + west + channel] as number) + d * (data[below + east + channel] as number)
        out[at + channel] = value * gain + offset
      }
    }
  }
}

interface Level extends Pixels {
  /** Working pixels per pixel of this level. */
  readonly factor: number
}

/** Halved copies of each photo, made when first needed, gone with the photo. */
const levelsOf = new WeakMap<Pixels, Level[]>()

function reduced(photo: Pixels, wanted: number): Level {
  const levels = levelsOf.get(photo) ?? [{ ...pick(photo), factor: 1 }]
  levelsOf.set(photo, levels)
  let level = levels[levels.length - 1] as Level
  while (levels.length <= wanted && level.width > 1 && level.height > 1) levels.push(level = halved(level))
  return levels[Math.min(wanted, levels.length - 1)] as Level
}

const pick = ({ data, width, height }: Pixels) => ({ data, width, height })

/** Mean of each 2 x 2 block; an odd last row or column pairs with itself. */
function halved({ data, width, height, factor }: Level): Level {
  const w = Math.ceil(width / 2)
  const h = Math.ceil(height / 2)
  const out = new Uint8Array(w * h * 3)
  for (let y = 0, at = 0; y < h; y++) {
    const above = 2 * y * width * 3
    const below = (2 * y + 1 < height ? 2 * y + 1 : 2 * y) * width * 3
    for (let x = 0; x < w; x++) {
      const west = 2 * x * 3
      const east = (2 * x + 1 < width ? 2 * x + 1 : 2 * x) * 3
      for (let channel = 0; channel < 3; channel++, at++) {
        const sum = (data[above + west + channel] as number) + (data[above + east + channel] as number) +
          (data[below + west + channel] as number) + (data[below + east + channel] as number)
        out[at] = (sum + 2) >> 2
      }
    }
  }
  return { data: out, width: w, height: h, factor: factor * 2 }
}
