import { parentPort } from 'node:worker_threads'
import type { Point } from '../../src/inference/hand-landmarks/photo-square.ts'
import { decodePhoto } from '../../src/inference/decode-photo.ts'
import { openHandLocator } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { HAND_JOINTS, type HandJoint } from '../../src/joints/hand-joint.ts'
import { takePhoto } from '../../training/synthetic/camera.ts'
import type { HandCase } from '../../training/synthetic/hand-case.ts'
import { loadHandModel } from '../../training/synthetic/hand-mesh.ts'
import { readEdited, type HandEdit, type Reading } from '../../training/synthetic/implant-edit.ts'
import { takeApart, usableHand, type PhotoHand } from '../../training/synthetic/photo-hand.ts'
import { renderHand } from '../../training/synthetic/render.ts'

/** Renders a hand that serves as a real photo, takes it apart, and reads it with edits: in a plain thread, for Jest's sandbox is slow. */
export type ImplantJob = { readonly hand: HandCase, readonly size: number } | { readonly edit: HandEdit, readonly reading: Reading }
export interface PreparedHand {
  readonly width: number
  readonly height: number
  readonly pixelsPerMm: number
  readonly photo: Float32Array
  readonly mask: Float32Array
  readonly showsRedness: number
  readonly places: Readonly<Record<HandJoint, { readonly centre: Point, readonly axis: Point, readonly lateral: Point }>>
}

const model = loadHandModel()
let current: PhotoHand

parentPort!.on('message', (job: ImplantJob) => {
  if ('edit' in job) parentPort!.postMessage(readEdited(current, job.edit, job.reading).data)
  else void prepare(job.hand, job.size).then((prepared) => { parentPort!.postMessage(prepared) })
})

async function prepare(hand: HandCase, size: number): Promise<PreparedHand> {
  const photo = await decodePhoto(await takePhoto(renderHand(model, hand, { size }), hand.sensor, hand.seed))
  const locator = await openHandLocator()
  const located = usableHand(await locator.locate(photo))
  await locator.close()
  if ('reason' in located) throw new Error(`Expected a hand but received ${located.reason}`)
  current = await takeApart(photo, located, undefined)
  const { width, height } = current.photo
  return {
    width, height, pixelsPerMm: current.pixelsPerMm, photo: current.photo.data, mask: current.mask.data, showsRedness: current.skin.showsRedness,
    places: Object.fromEntries(HAND_JOINTS.map((joint) => {
      const { centre, axis, lateral } = current.joints.get(joint)!
      return [joint, { centre, axis, lateral }]
    })) as PreparedHand['places']
  }
}
