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
  const triangles: number[] = []
  for (let t = 0; t < mesh.triangles.length; t += 3) {
    const a = renamed[mesh.triangles[t]!]!, b = renamed[mesh.triangles[t + 1]!]!, c = renamed[mesh.triangles[t + 2]!]!
    if (a !== b && b !== c && a !== c) triangles.push(a, b, c)
  }
  return { ...mesh, positions, weights, triangles }
}

interface Edge { readonly a: number, readonly b: number, readonly opposite: number[], id: number }
/** New vertex as a weighted mean of old ones: [vertex, weight] pairs. */
type Stencil = readonly (readonly [number, number])[]

/** One step of Loop subdivision (Loop 1987, Warren's weights); bone weights follow the same stencils as positions. */
export function subdivide(mesh: SkinnedMesh): SkinnedMesh {
  const edges = collectEdges(mesh.triangles)
  const stencils = vertexStencils(mesh.positions.length, edges)
  for (const edge of edges.values()) edge.id = stencils.push(edgeStencil(edge)) - 1
  const middle = (a: number, b: number) => edges.get(edgeKey(a, b))!.id
  const triangles: number[] = []
  for (let t = 0; t < mesh.triangles.length; t += 3) {
    const a = mesh.triangles[t]!, b = mesh.triangles[t + 1]!, c = mesh.triangles[t + 2]!
    const ab = middle(a, b), bc = middle(b, c), ca = middle(c, a)
    triangles.push(a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca)
  }
  return { ...mesh, triangles, ...blend(mesh, stencils) }
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

function blend(mesh: SkinnedMesh, stencils: readonly Stencil[]): Pick<SkinnedMesh, 'positions' | 'weights'> {
  const bones = mesh.boneNames.length
  const positions: Vec3[] = [], weights: Float64Array[] = []
  for (const stencil of stencils) {
    let x = 0, y = 0, z = 0
    const row = new Float64Array(bones)
    for (const [vertex, share] of stencil) {
      const from = mesh.positions[vertex]!, old = mesh.weights[vertex]!
      x += from[0] * share
      y += from[1] * share
      z += from[2] * share
      for (let bone = 0; bone < bones; bone++) row[bone]! += old[bone]! * share
    }
    positions.push([x, y, z])
    weights.push(row)
  }
  return { positions, weights }
}
