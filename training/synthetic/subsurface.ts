import type { VisibleSurface } from './surface.ts'

/** How far red, green and blue light spread under skin (Gaussian sigma, mm), and the share that does. */
const SPREAD_MM = [1.5, 0.6, 0.35] as const
const SPREAD_SHARE = 0.72
const SAME_SURFACE_MM = 5

/** Screen-space subsurface scattering: blurs the diffuse light along the skin, not across depth edges. */
export function scatterUnderSkin(
  surface: VisibleSurface, diffuse: Float32Array, translucency: Float32Array, pixelsPerMm: number
): Float32Array {
  const { frame, count, pixel } = surface
  const scattered = new Float32Array(3 * count)
  const light = new Float32Array(frame * frame), pass = new Float32Array(frame * frame)
  for (let q = 0; q < 3; q++) {
    for (let i = 0; i < count; i++) light[pixel[i]!] = diffuse[3 * i + q]!
    const kernel = gaussian(SPREAD_MM[q]! * pixelsPerMm)
    blurLine(surface, light, pass, kernel, 1)
    blurLine(surface, pass, light, kernel, frame)
    for (let i = 0; i < count; i++) {
      const share = SPREAD_SHARE * translucency[i]!
      scattered[3 * i + q] = light[pixel[i]!]! * share + diffuse[3 * i + q]! * (1 - share)
    }
  }
  return scattered
}

function gaussian(sigma: number): Float64Array {
  const reach = Math.max(1, Math.ceil(2 * sigma))
  return Float64Array.from({ length: 2 * reach + 1 }, (_, t) => Math.exp(-((t - reach) ** 2) / (2 * sigma * sigma)))
}

function blurLine(
  { count, pixel, entry, depth }: VisibleSurface, from: Float32Array, to: Float32Array, kernel: Float64Array, step: number
): void {
  const reach = (kernel.length - 1) / 2
  for (let i = 0; i < count; i++) {
    const k = pixel[i]!, z = depth[k]!
    let sum = 0, total = 0
    for (let t = -reach; t <= reach; t++) {
      const near = k + t * step
      if (near < 0 || near >= entry.length || entry[near]! < 0 || Math.abs(depth[near]! - z) >= SAME_SURFACE_MM) continue
      const weight = kernel[t + reach]!
      sum += weight * from[near]!
      total += weight
    }
    to[k] = sum / total
  }
}
