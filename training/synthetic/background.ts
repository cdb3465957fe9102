import type { Background } from './hand-case.ts'
import { fractalNoise, noise, smoothstep } from './noise.ts'
import type { Vec3 } from './vectors.ts'

/** Linear RGB reflectance of the table at each pixel that no hand covers. */
export function paintBackground(background: Background, table: Float32Array, entry: Int32Array): Float32Array {
  const { hue, saturation, value } = background
  const light = linearColour(hue, saturation, value)
  const dark = linearColour((hue + 0.04) % 1, Math.min(1, saturation * 1.3), value * 0.72)
  const colour = new Float32Array(table.length)
  for (let k = 0; k < entry.length; k++) {
    if (entry[k]! >= 0) continue
    const mix = Math.min(1, Math.max(0, pattern(background, table[3 * k]!, table[3 * k + 1]!)))
    for (let q = 0; q < 3; q++) colour[3 * k + q] = light[q]! * (1 - mix) + dark[q]! * mix
  }
  return colour
}

function pattern({ surface, scale: s, seed }: Background, x: number, y: number): number {
  const o = seed % 1000
  switch (surface) {
    case 'wood': {
      const rings = fractalNoise(x / (70 * s) + o, y / (9 * s), o, 3) * 2.2
      return 0.75 * (0.5 + 0.5 * Math.sin(6.28 * (y / (26 * s) + rings))) + 0.25 * (0.5 + noise(x / 3 + o, y / 0.6, 1))
    }
    case 'cloth':
      return 0.5 + 0.28 * Math.sin(x * 3.1 / s) * Math.sin(y * 3.1 / s) + 0.35 * fractalNoise(x / 40 + o, y / 40, o, 2) +
        0.15 * noise(x * 1.3, y * 1.3, o)
    case 'stone': {
      const cloud = 0.5 + 0.8 * fractalNoise(x / (30 * s) + o, y / (30 * s), o, 5)
      return cloud * 0.7 + 0.3 * smoothstep(0.06, 0, Math.abs(fractalNoise(x / 60 + o, y / 60, o + 9, 3)))
    }
    case 'paper':
      return 0.15 + 0.12 * noise(x / 0.9, y / 0.9, o) + 0.1 * fractalNoise(x / 90 + o, y / 90, o, 2)
    case 'plain':
      return 0.1 + 0.15 * fractalNoise(x / 120 + o, y / 120, o, 2)
  }
}

export function linearColour(hue: number, saturation: number, value: number): Vec3 {
  const band = (n: number) => {
    const k = (n + hue * 6) % 6
    return (value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1))) ** 2.2
  }
  return [band(5), band(3), band(1)]
}
