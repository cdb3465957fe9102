import type { HandCase, Light } from './hand-case.ts'
import type { HandMesh } from './hand-mesh.ts'
import { hashSeed, randomFrom } from './random.ts'
import { rasteriseDepth } from './rasterise.ts'
import type { SkinPaint } from './skin.ts'
import type { VisibleSurface } from './surface.ts'
import { cross, normalise, radians, scale } from './vectors.ts'
import type { Vec3 } from './vectors.ts'
import type { View } from './view.ts'

interface Lamp { readonly direction: Vec3, readonly colour: Vec3, readonly key: boolean }

/** Light that reaches each visible point, linear RGB. */
export interface Lit {
  /** Diffuse irradiance and mirror-like reflection per entry of the surface. */
  readonly diffuse: Float32Array
  readonly specular: Float32Array
  /** Irradiance of the table on a grid of every TABLE_STEP-th pixel. */
  readonly table: Float32Array
  readonly tableFrame: number
}

export const TABLE_STEP = 2
const GOLDEN_ANGLE = 2.399963
/** Wrap of diffuse light per band: red spreads furthest in skin. */
const WRAP = [0.22, 0.09, 0.05] as const

/** 40 % of the lamps form the (soft) key light, the others a dome; each casts its own shadow. */
export function placeLamps(light: Light, total: number, seed: number): Lamp[] {
  const random = randomFrom(seed)
  const { azimuthDegrees, elevationDegrees, warmth } = light
  const azimuth = radians(azimuthDegrees), elevation = radians(elevationDegrees)
  const towards: Vec3 = [
    Math.cos(elevation) * Math.cos(azimuth), Math.cos(elevation) * Math.sin(azimuth), Math.sin(elevation)
  ]
  const keyColour: Vec3 = [1 + 0.16 * warmth, 1, 1 - 0.22 * warmth]
  const domeColour: Vec3 = [1 - 0.05 * warmth, 1, 1 + 0.08 * warmth]
  const keys = Math.max(3, Math.round(total * 0.4)), domes = total - keys
  const keyLamps = Array.from({ length: keys }, (_, q): Lamp => {
    const turn = q * GOLDEN_ANGLE, reach = Math.sqrt((q + 0.5) / keys) * 1.6 * light.softness
    return {
      direction: normalise([towards[0] + reach * Math.cos(turn), towards[1] + reach * Math.sin(turn), towards[2]]),
      colour: scale(keyColour, light.key * 2.1 / keys), key: true
    }
  })
  const domeLamps = Array.from({ length: domes }, (_, q): Lamp => {
    const z = 1 - (q + 0.5) / domes * 0.97, turn = q * GOLDEN_ANGLE + random.uniform()
    const r = Math.sqrt(1 - z * z)
    const strength = light.ambient * 1.25 / domes * (0.6 + 0.8 * (0.5 + 0.5 * Math.cos(turn - azimuth)))
    return { direction: [r * Math.cos(turn), r * Math.sin(turn), z], colour: scale(domeColour, strength), key: false }
  })
  return [...keyLamps, ...domeLamps]
}

export function lightScene(
  hand: HandCase, lampTotal: number, view: View, surface: VisibleSurface, normals: Float32Array, paint: SkinPaint,
  table: Float32Array, caster: { mesh: HandMesh, vertices: Float32Array }
): Lit {
  const { count, frame } = surface
  const tableFrame = Math.ceil(frame / TABLE_STEP)
  const lit: Lit = {
    diffuse: new Float32Array(3 * count), specular: new Float32Array(3 * count),
    table: new Float32Array(3 * tableFrame * tableFrame), tableFrame
  }
  const towardsEye = eyeDirections(surface, view.eye)
  for (const lamp of placeLamps(hand.light, lampTotal, hashSeed(hand.seed, 'lamps'))) {
    const shadow = shadowMap(lamp.direction, caster.mesh, caster.vertices)
    lightSkin(lit, lamp, shadow, surface, normals, towardsEye, paint)
    if (lamp.direction[2] > 0) lightTable(lit, lamp, shadow, table, frame)
  }
  return { ...lit, table: smoothTable(lit) }
}

/** A 1-2-1 mean both ways takes the grid's teeth out of the shadow edges. */
function smoothTable({ table, tableFrame: n }: Lit): Float32Array {
  const line = (from: Float32Array, step: number, place: (o: number) => number) => {
    const to = from.slice()
    for (let o = 0; o < n * n; o++) {
      if (place(o) === 0 || place(o) === n - 1) continue
      for (let q = 3 * o; q < 3 * o + 3; q++) to[q] = (from[q - 3 * step]! + 2 * from[q]! + from[q + 3 * step]!) / 4
    }
    return to
  }
  return line(line(table, 1, (o) => o % n), n, (o) => Math.floor(o / n))
}

function eyeDirections({ count, position }: VisibleSurface, eye: Vec3): Float32Array {
  const directions = new Float32Array(3 * count)
  for (let i = 0; i < 3 * count; i += 3) {
    const x = eye[0] - position[i]!, y = eye[1] - position[i + 1]!, z = eye[2] - position[i + 2]!
    const inverse = 1 / Math.hypot(x, y, z)
    directions[i] = x * inverse
    directions[i + 1] = y * inverse
    directions[i + 2] = z * inverse
  }
  return directions
}

/** A depth map of the hand as the lamp sees it, 320 pixels over 300 mm. */
interface ShadowMap {
  readonly depth: Float32Array
  readonly across: Vec3
  readonly up: Vec3
  readonly towards: Vec3
}
const SHADOW_PIXELS = 320, SHADOW_HALF_MM = 150, SHADOW_X = 10, SHADOW_Y = 75
const SHADOW_SCALE = SHADOW_PIXELS / 2 / SHADOW_HALF_MM

function shadowMap(towards: Vec3, { triangles }: HandMesh, vertices: Float32Array): ShadowMap {
  const across = normalise(cross(Math.abs(towards[2]) < 0.95 ? [0, 0, 1] : [1, 0, 0], towards))
  const up = cross(towards, across)
  const screen = new Float32Array(vertices.length)
  for (let v = 0; v < vertices.length; v += 3) {
    const x = vertices[v]! - SHADOW_X, y = vertices[v + 1]! - SHADOW_Y, z = vertices[v + 2]!
    screen[v] = SHADOW_PIXELS / 2 + SHADOW_SCALE * (x * across[0] + y * across[1] + z * across[2])
    screen[v + 1] = SHADOW_PIXELS / 2 + SHADOW_SCALE * (x * up[0] + y * up[1] + z * up[2])
    screen[v + 2] = -(x * towards[0] + y * towards[1] + z * towards[2])
  }
  return { across, up, towards, depth: rasteriseDepth(SHADOW_PIXELS, SHADOW_PIXELS, screen, triangles) }
}

/** Share of the lamp seen from a point, 0..1, blended over the four nearest map pixels. */
function visibility({ depth, across, up, towards }: ShadowMap, px: number, py: number, z: number, bias: number): number {
  const x = px - SHADOW_X, y = py - SHADOW_Y
  const sx = SHADOW_PIXELS / 2 + SHADOW_SCALE * (x * across[0] + y * across[1] + z * across[2]) - 0.5
  const sy = SHADOW_PIXELS / 2 + SHADOW_SCALE * (x * up[0] + y * up[1] + z * up[2]) - 0.5
  const mx = Math.floor(sx), my = Math.floor(sy)
  if (mx < 0 || my < 0 || mx >= SHADOW_PIXELS - 1 || my >= SHADOW_PIXELS - 1) return 1
  const own = -(x * towards[0] + y * towards[1] + z * towards[2]) - bias
  const fx = sx - mx, fy = sy - my, k = my * SHADOW_PIXELS + mx
  return (depth[k]! < own ? 0 : (1 - fx) * (1 - fy)) + (depth[k + 1]! < own ? 0 : fx * (1 - fy)) +
    (depth[k + SHADOW_PIXELS]! < own ? 0 : (1 - fx) * fy) + (depth[k + SHADOW_PIXELS + 1]! < own ? 0 : fx * fy)
}

function lightSkin(
  { diffuse, specular }: Lit, { direction: d, colour, key }: Lamp, shadow: ShadowMap, surface: VisibleSurface,
  normals: Float32Array, towardsEye: Float32Array, { roughness, translucency }: SkinPaint
): void {
  const { count, position, normal } = surface
  const [dx, dy, dz] = d
  for (let i = 0; i < count; i++) {
    const gx = normal[3 * i]!, gy = normal[3 * i + 1]!, gz = normal[3 * i + 2]!
    if (gx * dx + gy * dy + gz * dz < -0.3) continue
    const nx = normals[3 * i]!, ny = normals[3 * i + 1]!, nz = normals[3 * i + 2]!
    const facing = nx * dx + ny * dy + nz * dz
    const seen = visibility(
      shadow, position[3 * i]! + gx * 1.2, position[3 * i + 1]! + gy * 1.2, position[3 * i + 2]! + gz * 1.2, 1.6)
    for (let q = 0; q < 3; q++) {
      const wrap = WRAP[q]! * translucency[i]!
      const spread = Math.max(0, (facing + wrap) / (1 + wrap))
      // Red light leaks a little into shadow.
      diffuse[3 * i + q]! += colour[q]! * spread * (q === 0 ? 0.88 * seen + 0.12 * Math.sqrt(seen) : seen)
    }
    if (facing <= 0 || seen <= 0) continue
    const vx = towardsEye[3 * i]!, vy = towardsEye[3 * i + 1]!, vz = towardsEye[3 * i + 2]!
    const shine = reflection(facing, nx * vx + ny * vy + nz * vz, vx * dx + vy * dy + vz * dz,
      roughness[i]! * (key ? 1 : 1.25)) * seen
    for (let q = 0; q < 3; q++) specular[3 * i + q]! += colour[q]! * shine
  }
}

/** GGX reflection of skin (F0 = 0.028) from the cosines normal·light, normal·eye and eye·light. */
function reflection(normalLight: number, normalEye: number, eyeLight: number, roughness: number): number {
  const half = Math.sqrt(Math.max(1e-9, 2 + 2 * eyeLight))
  const normalHalf = Math.max(0, (normalLight + normalEye) / half)
  const eyeHalf = Math.max(0, (1 + eyeLight) / half)
  const a2 = roughness * roughness * roughness * roughness
  const spread = normalHalf * normalHalf * (a2 - 1) + 1
  const grazing = 1 - eyeHalf, grazing2 = grazing * grazing
  const fresnel = 0.028 + 0.972 * grazing2 * grazing2 * grazing
  return a2 / (Math.PI * spread * spread) * fresnel / (4 * Math.max(0.15, normalEye))
}

/** Shadows on the table, softened by four jittered looks. */
function lightTable({ table: lit, tableFrame }: Lit, lamp: Lamp, shadow: ShadowMap, table: Float32Array, frame: number): void {
  for (let gy = 0; gy < tableFrame; gy++) {
    for (let gx = 0; gx < tableFrame; gx++) {
      const k = Math.min(frame - 1, gy * TABLE_STEP) * frame + Math.min(frame - 1, gx * TABLE_STEP)
      const x = table[3 * k]!, y = table[3 * k + 1]!, z = table[3 * k + 2]! + 0.3
      let seen = 0
      for (let look = 0; look < 4; look++) {
        const jx = (look & 1 ? 2.2 : -2.2) * (1 + 0.7 * Math.sin(gx * 12.9 + gy * 78.2 + look))
        const jy = (look & 2 ? 2.2 : -2.2) * (1 + 0.7 * Math.sin(gx * 39.3 + gy * 11.1 + look * 3))
        seen += 0.25 * visibility(shadow, x + jx, y + jy, z, 0.8)
      }
      const o = 3 * (gy * tableFrame + gx)
      for (let q = 0; q < 3; q++) lit[o + q]! += lamp.colour[q]! * lamp.direction[2] * seen
    }
  }
}
