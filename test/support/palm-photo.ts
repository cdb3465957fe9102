import sharp from 'sharp'
import type { Laterality } from '../../src/joints/hand-joint.ts'
import { sampleVisit } from '../../training/synthetic/case-sampler.ts'
import { deformHand } from '../../training/synthetic/deform.ts'
import { loadHandModel } from '../../training/synthetic/hand-mesh.ts'
import { rasterise } from '../../training/synthetic/rasterise.ts'
import { vertexNormals, visibleSurface } from '../../training/synthetic/surface.ts'
import { projectAll, viewOf } from '../../training/synthetic/view.ts'

const SKIN = [205, 150, 120] as const
const TABLE = [150, 155, 160] as const

/** A JPEG of the palm of a hand: the generator's hand, seen from below in plain light (it only paints backs of hands). */
export async function renderPalm(side: Laterality, size = 400): Promise<Buffer> {
  const hand = sampleVisit({ seed: 7, split: 'test', patient: 'test-0007' }, 1, 'natural')[side]
  const { fine } = loadHandModel()
  const { vertices } = deformHand(fine, hand)
  const view = viewOf({ ...hand.camera, tiltDegrees: [0, 180] }, side, size)
  const raster = rasterise(size, size, projectAll(view, vertices), fine.triangles)
  const { entry, normal } = visibleSurface(fine, vertices, vertexNormals(vertices, fine.triangles), raster, size)
  const rgb = Buffer.alloc(size * size * 3)
  for (let pixel = 0; pixel < size * size; pixel++) {
    const at = entry[pixel] ?? -1
    const light = at < 0 ? 1 : 0.45 + 0.55 * Math.max(0, -(normal[3 * at + 2] ?? 0))
    for (const [channel, value] of (at < 0 ? TABLE : SKIN).entries()) rgb[pixel * 3 + channel] = value * light
  }
  return sharp(rgb, { raw: { width: size, height: size, channels: 3 } }).jpeg({ quality: 90 }).toBuffer()
}
