/** An upright photo: 8-bit RGB, three bytes a pixel. */
export interface RgbPhoto { readonly data: Uint8Array, readonly width: number, readonly height: number }
export type Point = readonly [number, number]

/** Fineness of detail that skin statistics are measured at. */
export const BANDS = ['0-0.25mm', '0.25-0.5mm', '0.5-1mm', '1-2mm'] as const
export type Band = typeof BANDS[number]

export interface PatchStatistics {
  /** RMS of log-luminance in each band, percent. */
  readonly detail: Readonly<Record<Band, number>>
  /** Mean log(red / green), linear light. */
  readonly redness: number
}

const PIXELS_PER_MM = 2, SIZE = 48
const BLUR_MM = [0.25, 0.5, 1, 2] as const

/**
 * Detail and redness of the 24 mm patch around `centre`, resampled to 2 pixels per mm with its columns along `axis`.
 * `pixelsPerMm` is the photo's scale; `halfWidthMm` keeps the measure on the skin, off the finger's edge.
 */
export function measurePatch(
  photo: RgbPhoto, centre: Point, axis: Point, pixelsPerMm: number, halfWidthMm: number
): PatchStatistics {
  const luminance = new Float64Array(SIZE * SIZE), ratio = new Float64Array(SIZE * SIZE)
  const size = Math.hypot(axis[0], axis[1])
  const [ax, ay] = [axis[0] / size, axis[1] / size]
  const step = pixelsPerMm / PIXELS_PER_MM
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      const u = (x - SIZE / 2 + 0.5) * step, v = (y - SIZE / 2 + 0.5) * step
      const [red, green, blue] = linearAt(photo, centre[0] - u * ay + v * ax, centre[1] + u * ax + v * ay, step)
      luminance[y * SIZE + x] = Math.log(0.3 * red + 0.6 * green + 0.1 * blue + 0.01)
      ratio[y * SIZE + x] = Math.log((red + 0.01) / (green + 0.01))
    }
  }
  const halfWidth = Math.round(halfWidthMm * PIXELS_PER_MM)
  return { detail: bandDetail(luminance, halfWidth), redness: mean(ratio, 8, 7) }
}

/** Mean linear colour of the square that one patch pixel covers. */
function linearAt({ data, width, height }: RgbPhoto, x: number, y: number, step: number): [number, number, number] {
  const colour: [number, number, number] = [0, 0, 0]
  const looks = Math.max(1, Math.ceil(step))
  for (let j = 0; j < looks; j++) {
    for (let i = 0; i < looks; i++) {
      const px = Math.min(width - 1, Math.max(0, Math.round(x + ((i + 0.5) / looks - 0.5) * step)))
      const py = Math.min(height - 1, Math.max(0, Math.round(y + ((j + 0.5) / looks - 0.5) * step)))
      for (let q = 0; q < 3; q++) colour[q]! += (data[3 * (py * width + px) + q]! / 255) ** 2.2 / (looks * looks)
    }
  }
  return colour
}

function bandDetail(luminance: Float64Array, halfWidth: number): Record<Band, number> {
  const levels = [luminance, ...BLUR_MM.map((mm) => blur(luminance, mm * PIXELS_PER_MM))]
  const detail = BANDS.map((band, b) => {
    const difference = luminance.map((_, k) => levels[b]![k]! - levels[b + 1]![k]!)
    const centre = mean(difference, 12, halfWidth)
    return [band, 100 * Math.sqrt(mean(difference.map((d) => (d - centre) ** 2), 12, halfWidth))]
  })
  return Object.fromEntries(detail) as Record<Band, number>
}

function mean(values: Float64Array, halfHeight: number, halfWidth: number): number {
  let sum = 0, total = 0
  for (let y = SIZE / 2 - halfHeight; y < SIZE / 2 + halfHeight; y++) {
    for (let x = SIZE / 2 - halfWidth; x < SIZE / 2 + halfWidth; x++) {
      sum += values[y * SIZE + x]!
      total++
    }
  }
  return sum / total
}

function blur(values: Float64Array, sigma: number): Float64Array {
  const reach = Math.ceil(3 * sigma)
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, t) => Math.exp(-((t - reach) ** 2) / (2 * sigma * sigma)))
  const total = kernel.reduce((a, b) => a + b, 0)
  const inside = (x: number) => x < 0 ? 0 : x >= SIZE ? SIZE - 1 : x
  const pass = (from: Float64Array, dx: number, dy: number) => from.map((_, k) => {
    const x = k % SIZE, y = Math.floor(k / SIZE)
    return kernel.reduce((sum, weight, t) =>
      sum + weight * from[inside(y + (t - reach) * dy) * SIZE + inside(x + (t - reach) * dx)]!, 0) / total
  })
  return pass(pass(values, 1, 0), 0, 1)
}
