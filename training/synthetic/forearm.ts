import type { SkinnedMesh } from './gltf.ts'
import type { Vec3 } from './vectors.ts'

const RINGS = 9, RING_STEP_MM = 16, CAP_MM = 13, WRIST_REACH_MM = 45

/**
 * Opens the wrist cap and extrudes a forearm downwards (-Y), in mm. A hand that ends at the wrist is a known gap between
 * synthetic and real hands (arXiv 2503.19307).
 */
export function addForearm(mesh: SkinnedMesh): SkinnedMesh {
  const lowest = Math.min(...mesh.positions.map((p) => p[1]))
  const { triangles, uv } = withoutCap(mesh, lowest + CAP_MM)
  const rim = openRim(mesh, triangles, lowest + WRIST_REACH_MM)
  if (rim.length === 0) return { ...mesh, triangles, ...(mesh.uv ? { uv } : {}) }
  const positions = [...mesh.positions], weights = [...mesh.weights]
  const centre = [0, 1, 2].map((axis) => rim.reduce((sum, v) => sum + positions[v]![axis]!, 0) / rim.length)
  let previous = rim
  for (let ring = 1; ring <= RINGS; ring++) {
    const current = rim.map((vertex) => {
      weights.push(mesh.weights[vertex]!)
      return positions.push(ringPoint(positions[vertex]!, centre as unknown as Vec3, ring)) - 1
    })
    for (let q = 0; q < rim.length; q++) {
      const next = (q + 1) % rim.length
      const a = previous[q]!, b = previous[next]!, c = current[q]!, d = current[next]!
      triangles.push(b, a, c, b, c, d)
    }
    previous = current
  }
  for (let corner = uv.length / 2; mesh.uv && corner < triangles.length; corner++) uv.push(NaN, NaN)
  return { ...mesh, positions, weights, triangles, ...(mesh.uv ? { uv } : {}) }
}

/** The forearm first flares from the wrist, then narrows again; the ragged rim levels out over two rings. */
function ringPoint(p: Vec3, centre: Vec3, ring: number): Vec3 {
  const flare = 1 + 0.05 * ring - 0.0006 * ring ** 3
  const level = Math.min(1, ring / 2)
  return [
    centre[0] + (p[0] - centre[0]) * flare,
    Math.min(p[1], centre[1]) * (1 - level) + centre[1] * level - RING_STEP_MM * ring,
    centre[2] + (p[2] - centre[2]) * flare * 0.98
  ]
}

function withoutCap(
  { positions, triangles, uv }: SkinnedMesh, belowMm: number
): { triangles: number[], uv: number[] } {
  const kept: number[] = [], keptUv: number[] = []
  for (let t = 0; t < triangles.length; t += 3) {
    const corners = [triangles[t]!, triangles[t + 1]!, triangles[t + 2]!]
    const middle = corners.reduce((sum, v) => sum + positions[v]![1], 0) / 3
    if (middle < belowMm) continue
    kept.push(...corners)
    if (uv) keptUv.push(...uv.slice(2 * t, 2 * t + 6))
  }
  return { triangles: kept, uv: keptUv }
}

/** Vertices of the open wrist border, in order around it. */
function openRim({ positions }: SkinnedMesh, triangles: readonly number[], belowMm: number): number[] {
  const edges = new Map<string, readonly [number, number]>()
  for (let t = 0; t < triangles.length; t += 3) {
    for (let e = 0; e < 3; e++) {
      const a = triangles[t + e]!, b = triangles[t + (e + 1) % 3]!
      edges.set(`${a}_${b}`, [a, b])
    }
  }
  const border = [...edges.values()].filter(([a, b]) => !edges.has(`${b}_${a}`) && positions[a]![1] < belowMm)
  const first = border[0]?.[0]
  if (first === undefined) return []
  const next = new Map(border)
  const rim = [first]
  while (rim.length <= border.length) {
    const following = next.get(rim.at(-1)!)
    if (following === undefined || following === first) break
    rim.push(following)
  }
  return rim
}
