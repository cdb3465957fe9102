import type { SkinnedMesh } from './gltf.ts'
import type { Vec3 } from './vectors.ts'

/** Joins vertices at the same place (glTF splits them along texture seams), so that the surface is closed. */
export function weld(mesh: SkinnedMesh, tolerance = 1e-5): SkinnedMesh {
  const seen = new Map<string, number>()
  const positions: Vec3[] = [], weights: Float64Array[] = []
  const renamed = mesh.positions.map((position, i) => {
    const key = position.map((x) => Math.round(x / tolerance)).join(',')
    const known = seen.get(key)
    if (known !== undefined) return known
    seen.set(key, positions.length)
    weights.push(mesh.weights[i]!)
    return positions.push(position) - 1
  })
  const triangles: number[] = [], uv: number[] = []
  for (let t = 0; t < mesh.triangles.length; t += 3) {
    const a = renamed[mesh.triangles[t]!]!, b = renamed[mesh.triangles[t + 1]!]!, c = renamed[mesh.triangles[t + 2]!]!
    if (a === b || b === c || a === c) continue
    triangles.push(a, b, c)
    if (mesh.uv) uv.push(...mesh.uv.slice(2 * t, 2 * t + 6))
  }
  return { ...mesh, positions, weights, triangles, ...(mesh.uv ? { uv } : {}) }
}

interface Edge { readonly a: number, readonly b: number, readonly opposite: number[], id: number }
/** New vertex as a weighted mean of old ones: [vertex, weight] pairs. */
type Stencil = readonly (readonly [number, number])[]

/** What subdivision makes of triangles and weights, wherever the vertices lie. */
interface Plan {
  readonly stencils: readonly Stencil[]
  readonly triangles: readonly number[]
  readonly weights: readonly Float64Array[]
}
/** Bodies of one base mesh share their triangles and weights: both are subdivided once, not once a patient. */
const plans = new WeakMap<readonly Float64Array[], Plan & { readonly of: readonly number[] }>()

/** One step of Loop subdivision (Loop 1987, Warren's weights); bone weights follow the same stencils as positions. */
export function subdivide(mesh: SkinnedMesh): SkinnedMesh {
  const known = plans.get(mesh.weights)
  const { stencils, triangles, weights } = known?.of === mesh.triangles ? known : planFor(mesh)
  if (known?.of !== mesh.triangles) plans.set(mesh.weights, { stencils, triangles, weights, of: mesh.triangles })
  return {
    ...mesh, weights, triangles, positions: blendPositions(mesh, stencils),
    ...(mesh.uv ? { uv: quarterCorners(mesh.uv) } : {})
  }
}

function planFor(mesh: SkinnedMesh): Plan {
  const whole = mesh.triangles
  const edges = collectEdges(whole)
  const stencils = vertexStencils(mesh.positions.length, edges)
  for (const edge of edges.values()) edge.id = stencils.push(edgeStencil(edge)) - 1
  const middle = (a: number, b: number) => edges.get(edgeKey(a, b))!.id
  const triangles: number[] = []
  for (let t = 0; t < whole.length; t += 3) {
    const a = whole[t]!, b = whole[t + 1]!, c = whole[t + 2]!
    const ab = middle(a, b), bc = middle(b, c), ca = middle(c, a)
    triangles.push(a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca)
  }
  return { stencils, triangles, weights: blendWeights(mesh, stencils) }
}

/** Texture places of the four triangles that each triangle becomes, in the order of `planFor`. */
function quarterCorners(uv: readonly number[]): number[] {
  const quarters: number[] = []
  for (let t = 0; t < uv.length; t += 6) {
    const [au, av, bu, bv, cu, cv] = uv.slice(t, t + 6) as [number, number, number, number, number, number]
    const ab = [(au + bu) / 2, (av + bv) / 2], bc = [(bu + cu) / 2, (bv + cv) / 2], ca = [(cu + au) / 2, (cv + av) / 2]
    quarters.push(au, av, ...ab, ...ca, ...ab, bu, bv, ...bc, ...ca, ...bc, cu, cv, ...ab, ...bc, ...ca)
  }
  return quarters
}

const edgeKey = (a: number, b: number): number => a < b ? a * 1e7 + b : b * 1e7 + a

function collectEdges(triangles: readonly number[]): Map<number, Edge> {
  const edges = new Map<number, Edge>()
  for (let t = 0; t < triangles.length; t += 3) {
    for (let e = 0; e < 3; e++) {
      const a = triangles[t + e]!, b = triangles[t + (e + 1) % 3]!, c = triangles[t + (e + 2) % 3]!
      const edge = edges.get(edgeKey(a, b)) ?? { a, b, opposite: [], id: -1 }
      edge.opposite.push(c)
      edges.set(edgeKey(a, b), edge)
    }
  }
  return edges
}

function vertexStencils(total: number, edges: ReadonlyMap<number, Edge>): Stencil[] {
  const neighbours = Array.from({ length: total }, () => new Set<number>())
  const border = Array.from({ length: total }, (): number[] => [])
  for (const { a, b, opposite } of edges.values()) {
    neighbours[a]!.add(b)
    neighbours[b]!.add(a)
    if (opposite.length === 1) {
      border[a]!.push(b)
      border[b]!.push(a)
    }
  }
  return neighbours.map((around, v): Stencil => {
    const [p, q] = border[v]!
    if (border[v]!.length === 2) return [[v, 0.75], [p!, 0.125], [q!, 0.125]]
    if (border[v]!.length > 0 || around.size < 3) return [[v, 1]]
    const share = around.size === 3 ? 3 / 16 : 3 / (8 * around.size)
    return [[v, 1 - around.size * share], ...[...around].map((u): [number, number] => [u, share])]
  })
}

function edgeStencil({ a, b, opposite }: Edge): Stencil {
  if (opposite.length !== 2) return [[a, 0.5], [b, 0.5]]
  return [[a, 0.375], [b, 0.375], [opposite[0]!, 0.125], [opposite[1]!, 0.125]]
}

function blendPositions({ positions }: SkinnedMesh, stencils: readonly Stencil[]): Vec3[] {
  return stencils.map((stencil) => {
    let x = 0, y = 0, z = 0
    for (const [vertex, share] of stencil) {
      const from = positions[vertex]!
      x += from[0] * share
      y += from[1] * share
      z += from[2] * share
    }
    return [x, y, z]
  })
}

function blendWeights({ weights, boneNames }: SkinnedMesh, stencils: readonly Stencil[]): Float64Array[] {
  return stencils.map((stencil) => {
    const row = new Float64Array(boneNames.length)
    for (const [vertex, share] of stencil) {
      const old = weights[vertex]!
      for (let bone = 0; bone < row.length; bone++) row[bone]! += old[bone]! * share
    }
    return row
  })
}
