import { linearColour } from './background.ts'
import type { Cuff } from './hand-case.ts'
import { fractalNoise, noise, smoothstep } from './noise.ts'
import type { SkinPoint } from './skin.ts'

const STRAP_MM = 15, CASE_MM = 12.5

/** How far a place along the hand (mm, 0 at the wrist) is covered: 0 bare to 1, over `softMm` at each edge. */
export function cuffShare({ kind, edgeMm }: Pick<Cuff, 'kind' | 'edgeMm'>, y: number, softMm: number): number {
  const below = smoothstep(edgeMm, edgeMm - softMm, y)
  return kind === 'sleeve' ? below : below * smoothstep(edgeMm - STRAP_MM, edgeMm - STRAP_MM + softMm, y)
}

/** Cloth with its hem, or a strap with the case of a watch on the back of the wrist. A function of rest position: no seams. */
export function paintCuff(point: SkinPoint, cuff: Cuff): void {
  const { x, y, z } = point
  const middle = cuff.edgeMm - STRAP_MM / 2
  const fromCase = Math.hypot(x, y - middle)
  const onCase = cuff.kind === 'watch' && z > 0 && fromCase < CASE_MM + 2
  if (!onCase && cuffShare(cuff, y, 0.6) < 0.5) return
  if (onCase) paintCase(point, cuff, fromCase)
  else if (cuff.kind === 'sleeve') paintCloth(point, cuff)
  else setColour(point, linearColour(cuff.hue, cuff.saturation, cuff.value), 0.9 + 0.15 * noise(x, y, z))
  point.translucency = 0
}

function paintCloth(point: SkinPoint, { hue, saturation, value, edgeMm }: Cuff): void {
  const { x, y, z } = point
  const weave = 0.08 * Math.sin(2.6 * y) * Math.sin(2.6 * (x + z)) + 0.12 * noise(x / 0.9, y / 0.9, z / 0.9)
  const seam = smoothstep(0.7, 0.2, Math.abs(y - edgeMm + 9))
  setColour(point, linearColour(hue, saturation, value), 0.95 + weave - 0.35 * seam)
  point.relief = 1.8 * fractalNoise(x / 18, y / 9, z / 18, 2) - 0.8 * seam + 0.8 * smoothstep(edgeMm, edgeMm - 1.5, y)
  point.roughness = 0.85
}

function paintCase(point: SkinPoint, { hue, value }: Cuff, fromCase: number): void {
  const rim = fromCase > CASE_MM - 1.5
  setColour(point, rim ? [0.6, 0.6, 0.62] : linearColour(hue, 0.1, value > 0.5 ? 0.15 : 0.9), 1)
  point.relief = 2.5 * smoothstep(CASE_MM + 2, CASE_MM, fromCase)
  point.roughness = rim ? 0.18 : 0.3
}

function setColour(point: SkinPoint, [red, green, blue]: readonly [number, number, number], factor: number): void {
  point.red = red * factor
  point.green = green * factor
  point.blue = blue * factor
}
