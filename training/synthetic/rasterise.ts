/** What a camera sees at each pixel: the nearest triangle (-1 for none), where on it, and how deep. */
export interface Raster {
  /** Index of the triangle's first corner in the triangle list, -1 where there is none. */
  readonly triangle: Int32Array
  /** Barycentric weights of the second and third corner. */
  readonly second: Float32Array
  readonly third: Float32Array
  readonly depth: Float32Array
}

const FAR = 1e9

/** Rasterises triangles given as x, y (pixels), depth per vertex, into width × height pixels with a z-buffer. */
export function rasterise(width: number, height: number, screen: Float32Array, triangles: Uint32Array): Raster {
  const pixels = width * height
  const raster: Raster = {
    triangle: new Int32Array(pixels).fill(-1), second: new Float32Array(pixels), third: new Float32Array(pixels),
    depth: new Float32Array(pixels).fill(FAR)
  }
  fill(width, height, screen, triangles, raster.depth, 1e-6, raster)
  return raster
}

/** Depth of the nearest triangle at each pixel, for shadow maps. */
export function rasteriseDepth(width: number, height: number, screen: Float32Array, triangles: Uint32Array): Float32Array {
  const depth = new Float32Array(width * height).fill(FAR)
  fill(width, height, screen, triangles, depth, 0, undefined)
  return depth
}

function fill(
  width: number, height: number, screen: Float32Array, triangles: Uint32Array, depth: Float32Array, slack: number,
  raster: Raster | undefined
): void {
  for (let t = 0; t < triangles.length; t += 3) {
    const a = triangles[t]! * 3, b = triangles[t + 1]! * 3, c = triangles[t + 2]! * 3
    const ax = screen[a]!, ay = screen[a + 1]!, az = screen[a + 2]!
    const bx = screen[b]!, by = screen[b + 1]!, bz = screen[b + 2]!
    const cx = screen[c]!, cy = screen[c + 1]!, cz = screen[c + 2]!
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if (area === 0) continue
    const inverse = 1 / area
    const left = Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 0.5))
    const right = Math.min(width - 1, Math.floor(Math.max(ax, bx, cx) - 0.5))
    const top = Math.max(0, Math.ceil(Math.min(ay, by, cy) - 0.5))
    const bottom = Math.min(height - 1, Math.floor(Math.max(ay, by, cy) - 0.5))
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const px = x + 0.5 - ax, py = y + 0.5 - ay
        const second = (px * (cy - ay) - py * (cx - ax)) * inverse
        const third = ((bx - ax) * py - (by - ay) * px) * inverse
        const first = 1 - second - third
        if (first < -slack || second < -slack || third < -slack) continue
        const z = first * az + second * bz + third * cz
        const k = y * width + x
        if (z >= depth[k]!) continue
        depth[k] = z
        if (!raster) continue
        raster.triangle[k] = t
        raster.second[k] = second
        raster.third[k] = third
      }
    }
  }
}
