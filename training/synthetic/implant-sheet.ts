import { readFileSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'
import { decodePhoto } from '../../src/inference/decode-photo.ts'
import { openHandLocator } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { sampleBytes } from '../../src/inference/hand-landmarks/photo-square.ts'
import { jointSquare } from '../../src/inference/joint-crops.ts'
import { HAND_JOINTS, type HandJoint } from '../../src/joints/hand-joint.ts'
import type { Grade } from './hand-case.ts'
import { readEdited } from './implant-edit.ts'
import { toBytes } from './implant-camera.ts'
import { takeApart, usableHand } from './photo-hand.ts'

const USAGE = 'Usage: node training/synthetic/implant-sheet.ts PHOTO OUT.jpg [--joints mcp2,pip3] [--cell 150]'

/** One row a joint, one column a grade, 0 to 3, cut as the joint model sees it: for a person to look at before a set is made. */
const [file, out, ...rest] = process.argv.slice(2)
if (file === undefined || out === undefined) throw new Error(USAGE)
const setting = (name: string, fallback: string) => rest.includes(name) ? rest[rest.indexOf(name) + 1]! : fallback
const cell = Number(setting('--cell', '150'))
const joints = setting('--joints', HAND_JOINTS.join(',')).split(',') as HandJoint[]
const GRADES: readonly Grade[] = [0, 1, 2, 3]
const PLAN = { globalSizePx: 1, localSizePx: cell, globalMargin: 0, scales: { wrist: 1, mcp: 0.55, pip: 0.45 }, mcpProximalShift: 0 }

const photo = await decodePhoto(readFileSync(file))
const locator = await openHandLocator()
const hand = usableHand(await locator.locate(photo))
await locator.close()
if ('reason' in hand) throw new Error(`Expected the back of one hand in ${file} but received ${hand.reason}`)
const parts = await takeApart(photo, hand, undefined)
const { width, height } = parts.photo
const sheet = new Uint8Array(GRADES.length * joints.length * cell * cell * 3)
for (const [column, swelling] of GRADES.entries()) {
  const edit = Object.fromEntries(joints.map((joint) => [joint, { swelling, erythema: 0 }]))
  const data = toBytes(readEdited(parts, edit, { rotation: 0, zoom: 1, shift: { x: 0.25, y: 0.25 } }))
  for (const [row, joint] of joints.entries()) {
    const crop = new Uint8Array(cell * cell * 3)
    sampleBytes({ data, width, height }, jointSquare(joint, parts, PLAN), cell, crop)
    for (let y = 0; y < cell; y++) sheet.set(crop.subarray(3 * y * cell, 3 * (y + 1) * cell), 3 * (((row * cell) + y) * GRADES.length * cell + column * cell))
  }
}
writeFileSync(out, await sharp(sheet, { raw: { width: GRADES.length * cell, height: joints.length * cell, channels: 3 } }).jpeg({ quality: 80, mozjpeg: true }).toBuffer())
