import { parentPort } from 'node:worker_threads'
import { takePhoto } from '../../training/synthetic/camera.ts'
import type { HandCase } from '../../training/synthetic/hand-case.ts'
import { loadHandModel } from '../../training/synthetic/hand-mesh.ts'
import { renderHand } from '../../training/synthetic/render.ts'
import type { Rendering } from '../../training/synthetic/render.ts'

/** Renders in a plain thread: inside Jest's sandbox every `Math` is looked up anew, many times slower. */
export interface RenderJob { readonly hand: HandCase, readonly size: number }
export interface RenderedPhoto { readonly rendering: Rendering, readonly jpeg: Uint8Array }

const model = loadHandModel()
parentPort!.on('message', ({ hand, size }: RenderJob) => {
  const rendering = renderHand(model, hand, { size })
  void takePhoto(rendering, hand.sensor, hand.seed)
    .then((jpeg) => { parentPort!.postMessage({ rendering, jpeg } satisfies RenderedPhoto) })
})
