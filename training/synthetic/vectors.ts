/** Small 3-D vectors and matrices for set-up code; pixel loops use typed arrays instead. */
export type Vec3 = readonly [number, number, number]
/** Rows of a 3×3 matrix. */
export type Mat3 = readonly [Vec3, Vec3, Vec3]

export const IDENTITY: Mat3 = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]

export const add = (a: Vec3, b: Vec3): Vec3 => [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
export const subtract = (a: Vec3, b: Vec3): Vec3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
export const scale = (a: Vec3, s: number): Vec3 => [a[0] * s, a[1] * s, a[2] * s]
export const dot = (a: Vec3, b: Vec3): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
export const length = (a: Vec3): number => Math.hypot(a[0], a[1], a[2])
export const normalise = (a: Vec3): Vec3 => scale(a, 1 / (length(a) || 1e-12))
export const cross = (a: Vec3, b: Vec3): Vec3 =>
  [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]

export const apply = (m: Mat3, v: Vec3): Vec3 => [dot(m[0], v), dot(m[1], v), dot(m[2], v)]
export const transpose = (m: Mat3): Mat3 =>
  [[m[0][0], m[1][0], m[2][0]], [m[0][1], m[1][1], m[2][1]], [m[0][2], m[1][2], m[2][2]]]

export function multiply(a: Mat3, b: Mat3): Mat3 {
  const columns = transpose(b)
  return [apply(columns, a[0]), apply(columns, a[1]), apply(columns, a[2])]
}

export function rotationAbout([x, y, z]: Vec3, radians: number): Mat3 {
  const c = Math.cos(radians), s = Math.sin(radians), k = 1 - c
  return [
    [c + x * x * k, x * y * k - z * s, x * z * k + y * s],
    [y * x * k + z * s, c + y * y * k, y * z * k - x * s],
    [z * x * k - y * s, z * y * k + x * s, c + z * z * k]
  ]
}

export function inverse([[a, b, c], [d, e, f], [g, h, i]]: Mat3): Mat3 {
  const p = e * i - f * h, q = f * g - d * i, r = d * h - e * g
  const det = a * p + b * q + c * r
  return [
    [p / det, (c * h - b * i) / det, (b * f - c * e) / det],
    [q / det, (a * i - c * g) / det, (c * d - a * f) / det],
    [r / det, (b * g - a * h) / det, (a * e - b * d) / det]
  ]
}

export const radians = (degrees: number): number => degrees * Math.PI / 180

/** Component of `v` at right angles to the unit vector `axis`. */
export const perpendicularTo = (axis: Vec3, v: Vec3): Vec3 => subtract(v, scale(axis, dot(v, axis)))
