import type { Patch, Scar, SkinMarks, Tan } from './hand-case.ts'
import type { HandMesh } from './hand-mesh.ts'
import { bell, fractalNoise, noise, smoothstep } from './noise.ts'
import { randomFrom } from './random.ts'
import type { SkinPoint } from './skin.ts'
import { dot, radians, subtract } from './vectors.ts'

export type PaintMarks = (point: SkinPoint, finger: Float32Array) => void

/** Scars, patches and tan of one hand, as functions of rest position like the rest of its skin. */
export function skinMarks(mesh: HandMesh, { scars, patches, tan }: SkinMarks, handSeed: number): PaintMarks {
  const shift = randomFrom(handSeed).between(0, 300)
  const painters = [
    ...(tan ? [tanPainter(tan)] : []),
    ...patches.map((patch) => patchPainter(mesh, patch, shift)),
    ...scars.map((scar) => scarPainter(mesh, scar, shift))
  ]
  return (point, finger) => { for (const paint of painters) paint(point, finger) }
}

const STRAP_MM = 16

function tanPainter({ depth, pale, edgeMm }: Tan): PaintMarks {
  return (point) => {
    const covered = pale === 'none' ? 0 : smoothstep(edgeMm + 1, edgeMm - 2, point.y) *
      (pale === 'sleeve' ? 1 : smoothstep(edgeMm - STRAP_MM - 2, edgeMm - STRAP_MM + 1, point.y))
    point.melanin += depth * (1 - 0.9 * covered) * (0.15 + 0.85 * point.dorsal) * (0.3 + 0.4 * point.melanin)
  }
}

/** Irregular in outline, and nothing nearer to its joints than it was placed. */
function patchPainter(mesh: HandMesh, { from, to, share, radiusMm, redness, scales }: Patch, shift: number): PaintMarks {
  const a = mesh.frames.get(from)!.centre, b = mesh.frames.get(to)!.centre
  const cx = a[0] + (b[0] - a[0]) * share, cy = a[1] + (b[1] - a[1]) * share
  return (point) => {
    const { x, y, z } = point
    const away = Math.hypot(x - cx, y - cy)
    if (away > 1.6 * radiusMm || point.dorsal < 0.2) return
    const edge = radiusMm * (1 + 0.45 * fractalNoise((x + shift) / 7, y / 7, z / 7, 2))
    const there = smoothstep(edge, edge - 3, away) * smoothstep(0.2, 0.6, point.dorsal)
    const flakes = smoothstep(0.05, 0.45, 0.7 * noise((x - shift) / 2.2, y / 1.8, z / 2.2) + 0.6 * noise(x / 5, y / 5, shift))
    point.haemoglobin += redness * there * (0.9 + 0.4 * noise(x / 2.5, y / 2.5, z / 2.5 + shift))
    point.melanin *= 1 - 0.55 * scales * there * flakes
    point.haemoglobin *= 1 - 0.6 * scales * there * flakes
    point.relief += there * (0.15 + 0.35 * scales * flakes + 0.2 * point.coarse)
    point.roughness += 0.2 * there
  }
}

/** Stitches leave marks this far apart along a scar, mm. */
const STITCH_MM = 4.5

function scarPainter(mesh: HandMesh, { joint, lengthMm, widthMm, turnDegrees, atMm, pink, raisedMm }: Scar, shift: number): PaintMarks {
  const { centre, axis, dorsal, lateral, finger: ofFinger, place } = mesh.frames.get(joint)!
  const cos = Math.cos(radians(turnDegrees)), sin = Math.sin(radians(turnDegrees))
  return (point, finger) => {
    const way = subtract([point.x, point.y, point.z], centre)
    const along = dot(way, axis) - atMm[0], aside = dot(way, lateral) - atMm[1]
    const u = along * cos + aside * sin
    if (Math.abs(u) > lengthMm) return
    const own = place > 1 ? finger[point.fingerAt + ofFinger]! : 1
    const up = dot(way, dorsal), top = smoothstep(0.1, 0.5, up / (Math.hypot(up, aside) || 1e-6)) * own
    if (top <= 0) return
    const w = aside * cos - along * sin + 1.1 * noise(u / 7 + shift, joint.length, 0.5) + 0.25 * noise(u / 1.4, shift, 0.5)
    const ends = smoothstep(lengthMm / 2, lengthMm / 2 - 2.5, Math.abs(u))
    const line = bell(w, widthMm / 2 * (1 + 0.35 * noise(u / 3, shift, 2.5))) * ends * top
    const stitch = 0.35 * bell((u / STITCH_MM - Math.round(u / STITCH_MM)) * STITCH_MM, 0.7) * bell(w, 2.6) * ends * top
    const there = Math.max(line, stitch)
    point.melanin *= 1 - (pink ? 0.4 : 0.6) * there
    point.haemoglobin = pink ? point.haemoglobin + 0.7 * there : point.haemoglobin * (1 - 0.55 * there)
    point.relief = point.relief * (1 - 0.8 * line) + raisedMm * line
    point.roughness -= 0.12 * line
    point.smoothing = Math.max(point.smoothing, line)
  }
}
