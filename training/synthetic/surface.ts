import type { HandMesh } from './hand-mesh.ts'
import type { Raster } from './rasterise.ts'

/** The visible skin, one entry per hand pixel: what it is made of and where it lay at rest. */
export interface VisibleSurface {
  readonly frame: number
  readonly count: number
  /** Pixel of each entry, and entry of each pixel (-1 for none). */
  readonly pixel: Int32Array
  readonly entry: Int32Array
  readonly position: Float32Array
  readonly normal: Float32Array
  /** Position in the rest pose: skin detail is a function of it, so there are no seams (solid texturing). */
  readonly rest: Float32Array
  /** Five finger weights per entry. */
  readonly finger: Float32Array
  /** Texture place (u, v) per entry, where the mesh has a texture; NaN where that does not reach. */
  readonly uv?: Float32Array
  /** Depth per pixel of the frame. */
  readonly depth: Float32Array
}

export function visibleSurface(
  mesh: HandMesh, vertices: Float32Array, normals: Float32Array, raster: Raster, frame: number
): VisibleSurface {
  const entry = new Int32Array(frame * frame).fill(-1)
  let count = 0
  for (let k = 0; k < entry.length; k++) if (raster.triangle[k]! >= 0) entry[k] = count++
  const surface: VisibleSurface = {
    frame, count, entry, pixel: new Int32Array(count), depth: raster.depth, position: new Float32Array(3 * count),
    normal: new Float32Array(3 * count), rest: new Float32Array(3 * count), finger: new Float32Array(5 * count),
    ...(mesh.cornerUv ? { uv: new Float32Array(2 * count) } : {})
  }
  const { rest, triangles, fingerWeight, cornerUv } = mesh
  for (let k = 0; k < entry.length; k++) {
    const i = entry[k]!
    if (i < 0) continue
    surface.pixel[i] = k
    const t = raster.triangle[k]!
    const a = triangles[t]!, b = triangles[t + 1]!, c = triangles[t + 2]!
    const wb = raster.second[k]!, wc = raster.third[k]!, wa = 1 - wb - wc
    for (let q = 0; q < 3; q++) {
      surface.position[3 * i + q] = wa * vertices[3 * a + q]! + wb * vertices[3 * b + q]! + wc * vertices[3 * c + q]!
      surface.normal[3 * i + q] = wa * normals[3 * a + q]! + wb * normals[3 * b + q]! + wc * normals[3 * c + q]!
      surface.rest[3 * i + q] = wa * rest[3 * a + q]! + wb * rest[3 * b + q]! + wc * rest[3 * c + q]!
    }
    for (let q = 0; surface.uv && q < 2; q++) {
      surface.uv[2 * i + q] = wa * cornerUv![2 * t + q]! + wb * cornerUv![2 * t + 2 + q]! + wc * cornerUv![2 * t + 4 + q]!
    }
    for (let f = 0; f < 5; f++) {
      const weight = fingerWeight[f]!
      surface.finger[5 * i + f] = wa * weight[a]! + wb * weight[b]! + wc * weight[c]!
    }
  }
  return surface
}

export function vertexNormals(vertices: Float32Array, triangles: Uint32Array): Float32Array {
  const normals = new Float32Array(vertices.length)
  for (let t = 0; t < triangles.length; t += 3) {
    const a = triangles[t]! * 3, b = triangles[t + 1]! * 3, c = triangles[t + 2]! * 3
    const ux = vertices[b]! - vertices[a]!, uy = vertices[b + 1]! - vertices[a + 1]!, uz = vertices[b + 2]! - vertices[a + 2]!
    const vx = vertices[c]! - vertices[a]!, vy = vertices[c + 1]! - vertices[a + 1]!, vz = vertices[c + 2]! - vertices[a + 2]!
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx
    for (let e = 0; e < 3; e++) {
      const k = triangles[t + e]! * 3
      normals[k]! += nx
      normals[k + 1]! += ny
      normals[k + 2]! += nz
    }
  }
  for (let k = 0; k < normals.length; k += 3) {
    const size = Math.hypot(normals[k]!, normals[k + 1]!, normals[k + 2]!) || 1
    normals[k]! /= size
    normals[k + 1]! /= size
    normals[k + 2]! /= size
  }
  return normals
}

/** Tilts normals by the skin's relief (mm), from its differences between neighbouring pixels (Mikkelsen's surface gradient). */
export function reliefNormals(surface: VisibleSurface, relief: Float32Array): Float32Array {
  const { frame, count, pixel, entry, position, normal } = surface
  const tilted = new Float32Array(3 * count)
  const neighbour = (k: number, i: number) => {
    const found = entry[k]
    return found === undefined || found < 0 ? i : found
  }
  for (let i = 0; i < count; i++) {
    const k = pixel[i]!
    let nx = normal[3 * i]!, ny = normal[3 * i + 1]!, nz = normal[3 * i + 2]!
    const size = Math.hypot(nx, ny, nz) || 1
    nx /= size
    ny /= size
    nz /= size
    const r = neighbour(k + 1, i), l = neighbour(k - 1, i), d = neighbour(k + frame, i), u = neighbour(k - frame, i)
    const sx = position[3 * r]! - position[3 * l]!, sy = position[3 * r + 1]! - position[3 * l + 1]!
    const sz = position[3 * r + 2]! - position[3 * l + 2]!
    const tx = position[3 * d]! - position[3 * u]!, ty = position[3 * d + 1]! - position[3 * u + 1]!
    const tz = position[3 * d + 2]! - position[3 * u + 2]!
    const smooth = sx * sx + sy * sy + sz * sz < 16 && tx * tx + ty * ty + tz * tz < 16
    if (r !== l && d !== u && smooth) {
      const px = ty * nz - tz * ny, py = tz * nx - tx * nz, pz = tx * ny - ty * nx
      const qx = ny * sz - nz * sy, qy = nz * sx - nx * sz, qz = nx * sy - ny * sx
      const det = sx * px + sy * py + sz * pz
      if (Math.abs(det) > 1e-5) {
        const across = Math.sign(det) * (relief[r]! - relief[l]!), down = Math.sign(det) * (relief[d]! - relief[u]!)
        const x = Math.abs(det) * nx - across * px - down * qx
        const y = Math.abs(det) * ny - across * py - down * qy
        const z = Math.abs(det) * nz - across * pz - down * qz
        const full = Math.hypot(x, y, z) || 1
        nx = x / full
        ny = y / full
        nz = z / full
      }
    }
    tilted[3 * i] = nx
    tilted[3 * i + 1] = ny
    tilted[3 * i + 2] = nz
  }
  return tilted
}
