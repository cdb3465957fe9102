import type { CameraPlace } from './hand-case.ts'
import { add, apply, multiply, radians, rotationAbout, scale, subtract, transpose } from './vectors.ts'
import type { Mat3, Vec3 } from './vectors.ts'

/** A pinhole camera over the hand, in pixels of a square frame. */
export interface View {
  readonly frame: number
  readonly turn: Mat3
  readonly centre: Vec3
  readonly distance: number
  readonly focal: number
  /** -1 for a left hand: the same right hand in a mirror. */
  readonly mirror: 1 | -1
  readonly eye: Vec3
}

/** Aims at the knuckles. */
const AIM: Vec3 = [2, 70, 0]

export function viewOf(camera: CameraPlace, side: 'left' | 'right', frame: number): View {
  const { tiltDegrees: [tiltX, tiltY], rollDegrees, offsetMm, distanceMm: distance } = camera
  const tilt = multiply(rotationAbout([1, 0, 0], radians(tiltX)), rotationAbout([0, 1, 0], radians(tiltY)))
  const turn = multiply(rotationAbout([0, 0, 1], radians(rollDegrees)), tilt)
  const centre = add(AIM, [offsetMm[0], offsetMm[1], 0])
  return {
    frame, turn, centre, distance, focal: frame / 2 / Math.tan(radians(camera.fieldOfViewDegrees) / 2),
    mirror: side === 'left' ? -1 : 1, eye: add(apply(transpose(turn), [0, 0, distance]), centre)
  }
}

/** x, y in pixels and the depth in mm. */
export function projectPoint({ frame, turn, centre, distance, focal, mirror }: View, point: Vec3): Vec3 {
  const [x, y, z] = apply(turn, subtract(point, centre))
  const depth = distance - z
  return [frame / 2 + mirror * focal * x / depth, frame / 2 - focal * y / depth, depth]
}

export function projectAll({ frame, turn, centre, distance, focal, mirror }: View, vertices: Float32Array): Float32Array {
  const [[a, b, c], [d, e, f], [g, h, i]] = turn
  const screen = new Float32Array(vertices.length)
  for (let v = 0; v < vertices.length; v += 3) {
    const x = vertices[v]! - centre[0], y = vertices[v + 1]! - centre[1], z = vertices[v + 2]! - centre[2]
    const depth = distance - (g * x + h * y + i * z)
    screen[v] = frame / 2 + mirror * focal * (a * x + b * y + c * z) / depth
    screen[v + 1] = frame / 2 - focal * (d * x + e * y + f * z) / depth
    screen[v + 2] = depth
  }
  return screen
}

/** Where each pixel's ray meets the table plane z = `height`: x, y, z per pixel. */
export function tablePoints({ frame, turn, eye, focal, mirror }: View, height: number): Float32Array {
  const back = transpose(turn)
  const points = new Float32Array(3 * frame * frame)
  for (let py = 0; py < frame; py++) {
    for (let px = 0; px < frame; px++) {
      const ray = apply(back, [mirror * (px + 0.5 - frame / 2) / focal, -(py + 0.5 - frame / 2) / focal, -1])
      const [x, y, z] = add(eye, scale(ray, (height - eye[2]) / ray[2]))
      points.set([x, y, z], 3 * (py * frame + px))
    }
  }
  return points
}
