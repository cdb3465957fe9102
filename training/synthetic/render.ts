import { paintBackground } from './background.ts'
import type { Radiance } from './camera.ts'
import { deformHand } from './deform.ts'
import { dorsalAnatomy } from './dorsal-anatomy.ts'
import type { HandCase } from './hand-case.ts'
import type { HandModel } from './hand-mesh.ts'
import { TABLE_STEP, lightScene } from './lighting.ts'
import type { Lit } from './lighting.ts'
import { rasterise } from './rasterise.ts'
import { paintSkin } from './skin.ts'
import { textureNormals } from './skin-texture.ts'
import { scatterUnderSkin } from './subsurface.ts'
import { reliefNormals, vertexNormals, visibleSurface } from './surface.ts'
import type { VisibleSurface } from './surface.ts'
import type { SurfaceJoint } from './surface-joint.ts'
import { projectAll, projectPoint, tablePoints, viewOf } from './view.ts'

export interface RenderOptions {
  /** Width and height of the picture, pixels. */
  readonly size: number
  /** Rays per pixel side; 1 is what training uses. */
  readonly supersampling?: number
  /** Lamps that cast shadows; 9 is what training uses. */
  readonly lamps?: number
}

export interface Rendering extends Radiance {
  /** True joint centres, pixels of the picture. */
  readonly joints: ReadonlyMap<SurfaceJoint, readonly [number, number]>
}

/** Renders one hand on a table in plain TypeScript: no graphics card, the same numbers everywhere. */
export function renderHand(model: HandModel, hand: HandCase, options: RenderOptions): Rendering {
  const { size, supersampling = 1, lamps = 9 } = options
  const frame = size * supersampling
  const { fine, coarse } = model
  const { dorsum } = hand.identity
  const anatomy = dorsum ? dorsalAnatomy(fine, dorsum, hand.joints, hand.handSeed) : undefined
  const posed = deformHand(fine, hand, anatomy), caster = deformHand(coarse, hand, anatomy)
  const view = viewOf(hand.camera, hand.side, frame)
  const raster = rasterise(frame, frame, projectAll(view, posed.vertices), fine.triangles)
  const surface = visibleSurface(fine, posed.vertices, vertexNormals(posed.vertices, fine.triangles), raster, frame)
  const paint = paintSkin(fine, surface, hand, { texture: model.texture, anatomy })
  const bumped = reliefNormals(surface, paint.relief)
  const normals = model.texture ? textureNormals(surface, bumped, model.texture.normals, paint.textureRelief!) : bumped
  const table = tablePoints(view, tableHeight(posed.vertices))
  const lit = lightScene(hand, lamps, view, surface, normals, paint, table, { mesh: coarse, vertices: caster.vertices })
  const skinLight = scatterUnderSkin(surface, lit.diffuse, paint.translucency, view.focal / view.distance)
  const rgb = composeTable(surface, paintBackground(hand.background, table, surface.entry), lit)
  composeSkin(rgb, surface, paint.albedo, skinLight, lit.specular)
  softenOutline(rgb, surface)
  return {
    ...shrink(rgb, surface, supersampling), handAlbedo: meanLuminance(paint.albedo),
    joints: new Map([...posed.joints].map(([joint, at]) => {
      const [x, y] = projectPoint(view, at)
      return [joint, [x / supersampling, y / supersampling] as const]
    }))
  }
}

/** The table touches the lowest tenth of the hand. */
function tableHeight(vertices: Float32Array): number {
  const heights: number[] = []
  for (let v = 0; v < vertices.length; v += 30) if (vertices[v + 1]! > 0) heights.push(vertices[v + 2]!)
  heights.sort((a, b) => a - b)
  return heights[Math.floor(heights.length * 0.1)]! - 1
}

function composeTable({ frame, entry }: VisibleSurface, colour: Float32Array, { table, tableFrame }: Lit): Float32Array {
  const rgb = new Float32Array(3 * frame * frame)
  for (let y = 0; y < frame; y++) {
    for (let x = 0; x < frame; x++) {
      const k = y * frame + x
      if (entry[k]! >= 0) continue
      const gx = Math.min(tableFrame - 1.001, x / TABLE_STEP), gy = Math.min(tableFrame - 1.001, y / TABLE_STEP)
      const left = Math.floor(gx), top = Math.floor(gy), fx = gx - left, fy = gy - top
      const o = 3 * (top * tableFrame + left), below = o + 3 * tableFrame
      for (let q = 0; q < 3; q++) {
        const light = (table[o + q]! * (1 - fx) + table[o + 3 + q]! * fx) * (1 - fy) +
          (table[below + q]! * (1 - fx) + table[below + 3 + q]! * fx) * fy
        rgb[3 * k + q] = colour[3 * k + q]! * light
      }
    }
  }
  return rgb
}

function composeSkin(
  rgb: Float32Array, { count, pixel }: VisibleSurface, albedo: Float32Array, light: Float32Array, specular: Float32Array
): void {
  for (let i = 0; i < count; i++) {
    for (let q = 0; q < 3; q++) {
      rgb[3 * pixel[i]! + q] = albedo[3 * i + q]! * light[3 * i + q]! + specular[3 * i + q]! * 0.8
    }
  }
}

/** One ray per pixel leaves stairs along the outline: pixels beside it take a 1-2-1 mean of their surroundings. */
function softenOutline(rgb: Float32Array, { frame, entry }: VisibleSurface): void {
  const from = rgb.slice()
  const isHand = (k: number) => entry[k]! >= 0
  for (let y = 1; y < frame - 1; y++) {
    for (let x = 1; x < frame - 1; x++) {
      const k = y * frame + x, hand = isHand(k)
      if (hand === isHand(k - 1) && hand === isHand(k + 1) && hand === isHand(k - frame) && hand === isHand(k + frame)) continue
      for (let q = 0; q < 3; q++) {
        const row = (r: number) => from[3 * (r - 1) + q]! + 2 * from[3 * r + q]! + from[3 * (r + 1) + q]!
        rgb[3 * k + q] = (row(k - frame) + 2 * row(k) + row(k + frame)) / 16
      }
    }
  }
}

function shrink(
  rgb: Float32Array, { frame, entry }: VisibleSurface, factor: number
): Pick<Radiance, 'size' | 'rgb' | 'hand'> {
  const size = frame / factor
  const small = new Float32Array(3 * size * size), hand = new Float32Array(size * size)
  const share = 1 / (factor * factor)
  for (let y = 0; y < frame; y++) {
    for (let x = 0; x < frame; x++) {
      const from = y * frame + x, to = Math.floor(y / factor) * size + Math.floor(x / factor)
      for (let q = 0; q < 3; q++) small[3 * to + q]! += rgb[3 * from + q]! * share
      if (entry[from]! >= 0) hand[to]! += share
    }
  }
  return { size, rgb: small, hand }
}

function meanLuminance(albedo: Float32Array): number {
  let sum = 0
  for (let i = 0; i < albedo.length; i += 3) sum += 0.3 * albedo[i]! + 0.6 * albedo[i + 1]! + 0.1 * albedo[i + 2]!
  return sum / Math.max(1, albedo.length / 3)
}
