import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import type { Identity } from './hand-case.ts'
import type { HandMesh } from './hand-mesh.ts'
import { smoothstep } from './noise.ts'
import { reflectance } from './skin.ts'
import type { SkinPoint } from './skin.ts'
import type { VisibleSurface } from './surface.ts'
import { add, normalise, perpendicularTo, scale } from './vectors.ts'
import type { Vec3 } from './vectors.ts'

/** A picture of skin in linear RGB, and the same without anything finer than a fold. */
export interface SkinPicture { readonly size: number, readonly rgb: Float32Array, readonly smooth: Float32Array }

/** Skin that comes with a mesh: two tones and the directions of its relief. */
export interface SkinTexture {
  readonly light: TonedPicture
  readonly dark: TonedPicture
  /** Tangent-space normals, -1..1. */
  readonly normals: SkinPicture
  /** The texture ends here; below, on the forearm, skin is drawn. mm along the hand, 0 at the wrist. */
  readonly endsAtMm: number
}
interface TonedPicture { readonly picture: SkinPicture, readonly dorsum: Vec3 }

/** The texture as one person wears it. */
export interface OwnTexture {
  /** Share of texture at a place of the hand: 0 drawn skin, 1 texture. */
  share(u: number, y: number): number
  colour(band: 0 | 1 | 2, u: number, v: number, smoothing: number): number
  /** Gives drawn skin the texture's own tint, so that hand and forearm belong together. */
  tint(point: SkinPoint): void
}

/** Monk tones from here on wear the dark texture. */
const DARK_FROM_TONE = 6
/** How far the texture's tint gives way to the tint that skin of this melanin has in drawn hands. */
const DRAWN_TINT = 0.5
/** Largest reflectance: a dark texture worn by a lighter tone would have nails of chalk. */
const LIMIT = { light: 0.95, dark: 0.6 } as const
const BLEND_MM = 14

export function textureOf({ light, dark, endsAtMm }: SkinTexture, { monkTone, skin }: Identity): OwnTexture {
  const which = monkTone < DARK_FROM_TONE ? 'light' : 'dark'
  const { picture, dorsum } = { light, dark }[which]
  const bands = [0, 1, 2] as const
  const wanted = bands.map((band) => reflectance(band, skin.melanin, skin.haemoglobin))
  const brightness = luminance(wanted) / luminance(dorsum)
  const factor = bands.map((band) => brightness ** (1 - DRAWN_TINT) * (wanted[band]! / dorsum[band]) ** DRAWN_TINT)
  const drawnToOwn = bands.map((band) => dorsum[band] * factor[band]! / wanted[band]!)
  return {
    share: (u, y) => Number.isNaN(u) ? 0 : smoothstep(endsAtMm, endsAtMm + BLEND_MM, y),
    colour: (band, u, v, smoothing) => Math.min(LIMIT[which], lookUp(picture, u, v, smoothing, band) * factor[band]!),
    tint(point) {
      point.red *= drawnToOwn[0]!
      point.green *= drawnToOwn[1]!
      point.blue *= drawnToOwn[2]!
    }
  }
}

const luminance = (c: readonly number[]) => 0.3 * c[0]! + 0.6 * c[1]! + 0.1 * c[2]!

/** Sigma of the smooth copy, texture pixels (about 2 mm): folds and tendons are gone, blotches stay. */
const SMOOTH_PIXELS = 7

/** `mesh` is the hand that wears the texture. */
export async function readSkinTexture(
  files: { light: string, dark: string, normals: string }, mesh: HandMesh
): Promise<SkinTexture> {
  const linear = (byte: number) => (byte / 255) ** 2.2
  const toned = async (file: string): Promise<TonedPicture> => {
    const picture = await readPicture(file, linear)
    return { picture, dorsum: dorsumColour(mesh, picture) }
  }
  return {
    light: await toned(files.light), dark: await toned(files.dark),
    normals: await readPicture(files.normals, (byte) => byte / 127.5 - 1), endsAtMm: textureEnd(mesh)
  }
}

/** Mean colour of the back of the hand. */
function dorsumColour({ rest, triangles, cornerUv, frames }: HandMesh, picture: SkinPicture): Vec3 {
  const sum = [0, 0, 0]
  let total = 0
  const knuckles = frames.get('mcp3')!.centre[1]
  triangles.forEach((v, corner) => {
    const x = rest[3 * v]!, y = rest[3 * v + 1]!, z = rest[3 * v + 2]!
    if (z < 5 || Math.abs(x) > 25 || y < 0.3 * knuckles || y > knuckles || Number.isNaN(cornerUv![2 * corner]!)) return
    total++
    for (let q = 0; q < 3; q++) sum[q]! += lookUp(picture, cornerUv![2 * corner]!, cornerUv![2 * corner + 1]!, 1, q)
  })
  return [sum[0]! / total, sum[1]! / total, sum[2]! / total]
}

function textureEnd({ rest, triangles, cornerUv }: HandMesh): number {
  let highest = -Infinity
  triangles.forEach((v, corner) => {
    if (Number.isNaN(cornerUv![2 * corner]!)) highest = Math.max(highest, rest[3 * v + 1]!)
  })
  return highest
}

async function readPicture(file: string, value: (byte: number) => number): Promise<SkinPicture> {
  const image = sharp(await readFile(file)).removeAlpha().toColourspace('srgb')
  const { data, info: { width: size } } = await image.clone().raw().toBuffer({ resolveWithObject: true })
  const smooth = await image.blur(SMOOTH_PIXELS).raw().toBuffer()
  return { size, rgb: Float32Array.from(data, value), smooth: Float32Array.from(smooth, value) }
}

/** Blends the four nearest texture pixels, and the picture with its smooth copy by `smoothing` 0..1. */
export function lookUp({ size, rgb, smooth }: SkinPicture, u: number, v: number, smoothing: number, band: number): number {
  const x = Math.min(size - 1.001, Math.max(0, u * size - 0.5)), y = Math.min(size - 1.001, Math.max(0, v * size - 0.5))
  const left = Math.floor(x), top = Math.floor(y), fx = x - left, fy = y - top
  const k = 3 * (top * size + left) + band, below = k + 3 * size
  const of = (p: Float32Array) => (p[k]! * (1 - fx) + p[k + 3]! * fx) * (1 - fy) + (p[below]! * (1 - fx) + p[below + 3]! * fx) * fy
  return of(rgb) * (1 - smoothing) + (smoothing > 0 ? of(smooth) * smoothing : 0)
}

/**
 * Tilts normals by the texture's own relief: its tangents are found from how place and texture change between
 * neighbouring pixels.
 */
export function textureNormals(
  { frame, count, pixel, entry, position, uv }: VisibleSurface, normals: Float32Array, picture: SkinPicture, share: Float32Array
): Float32Array {
  const tilted = normals.slice()
  for (let i = 0; i < count; i++) {
    if (share[i]! <= 0) continue
    const k = pixel[i]!
    const right = entry[k + 1] ?? -1, down = entry[k + frame] ?? -1
    if (right < 0 || down < 0) continue
    const du1 = uv![2 * right]! - uv![2 * i]!, dv1 = uv![2 * right + 1]! - uv![2 * i + 1]!
    const du2 = uv![2 * down]! - uv![2 * i]!, dv2 = uv![2 * down + 1]! - uv![2 * i + 1]!
    const det = du1 * dv2 - du2 * dv1
    // A seam of the texture lies between these pixels.
    if (!(Math.abs(det) > 1e-9) || Math.abs(du1) + Math.abs(dv1) + Math.abs(du2) + Math.abs(dv2) > 0.02) continue
    const u = uv![2 * i]!, v = uv![2 * i + 1]!
    const a = lookUp(picture, u, v, 0, 0) * share[i]!, b = lookUp(picture, u, v, 0, 1) * share[i]!
    const n: Vec3 = [normals[3 * i]!, normals[3 * i + 1]!, normals[3 * i + 2]!]
    const side = (q: number, from: number) => position[3 * from + q]! - position[3 * i + q]!
    const tangent = normalise(perpendicularTo(n, [0, 1, 2].map((q) => (side(q, right) * dv2 - side(q, down) * dv1) / det) as unknown as Vec3))
    const bitangent = normalise(perpendicularTo(n, [0, 1, 2].map((q) => (side(q, down) * du1 - side(q, right) * du2) / det) as unknown as Vec3))
    const up = Math.sqrt(Math.max(0.05, 1 - a * a - b * b))
    // Green points up the picture (glTF 2.0, 3.9.3), v down.
    tilted.set(normalise(add(add(scale(tangent, a), scale(bitangent, -b)), scale(n, up))), 3 * i)
  }
  return tilted
}
