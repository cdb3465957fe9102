import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { renderOverlay } from '../../src/inference/overlay.ts'
import { drawMark, openCanvas, type MarkKind } from '../../src/inference/overlay-marks.ts'
import { placePlate } from '../../src/inference/overlay-words.ts'
import type { JointFinding, PhotoAssessment } from '../../src/joints/finding.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { storeOriented } from './hand-landmarks-photo.ts'

const LANDMARKS = [
  [300, 560], [380, 500], [430, 430], [460, 370], [480, 330], [360, 330], [370, 240], [375, 190], [380, 150], [310, 320], [310, 220], [310, 165], [310, 120],
  [260, 330], [250, 235], [245, 185], [240, 145], [215, 350], [190, 280], [180, 240], [172, 205]
].map(([x = 0, y = 0]) => ({ x, y }))

/** A plain photo whose joints are known: as an assessment would describe it. */
async function assessed(background: string, finding: (index: number) => Partial<JointFinding>, { width = 600, height = 640 } = {}): Promise<{ photo: Buffer; assessment: PhotoAssessment }> {
  const photo = await sharp({ create: { width, height, channels: 3, background } }).jpeg().toBuffer()
  const at = [0, 2, 5, 9, 13, 17, 3, 6, 10, 14, 18].map((index) => LANDMARKS[index] ?? { x: 0, y: 0 })
  return {
    photo,
    assessment: {
      photoSha256: createHash('sha256').update(photo).digest('hex'), width, height, model: { name: 'hand-joints', version: '0.1.0', digest: 'd' },
      hands: [{
        side: 'left', sideConfidence: 1, view: 'dorsal', quality: { presence: 1, palmLengthPx: 240, sharpness: 1, brightness: 0.5 }, landmarks: LANDMARKS,
        joints: HAND_JOINTS.map((joint, index) => ({ joint, side: 'left', ...finding(index) }) as JointFinding),
        regions: at.map(({ x, y }) => ({ x: x - 40, y: y - 40, width: 80, height: 80 }))
      }]
    }
  }
}

const inflamed = { kind: 'assessed', probability: 0.62, inflamed: true } as const
const calm = { kind: 'assessed', probability: 0.05, inflamed: false } as const
const unread = { kind: 'not-assessed', reason: 'low-detail' } as const

/** How many pixels of a square around a joint differ from the plain photo. */
async function inkAround(overlay: Uint8Array, photo: { width: number }, index: number): Promise<number> {
  const { data, info } = await sharp(overlay).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const scale = info.width / photo.width
  const { x, y } = LANDMARKS[index] ?? { x: 0, y: 0 }
  const plain = data.subarray(0, 3)
  let ink = 0
  for (let row = Math.round(y * scale) - 20; row < y * scale + 20; row++) {
    for (let column = Math.round(x * scale) - 20; column < x * scale + 20; column++) {
      const place = (row * info.width + column) * 3
      if ([0, 1, 2].some((channel) => Math.abs((data[place + channel] ?? 0) - (plain[channel] ?? 0)) > 40)) ink++
    }
  }
  return ink
}

describe('the marked photo', () => {
  test.each(['#f3d6c6', '#3b2219', '#ffffff', '#000000'])('has a mark at every joint that can be seen on %s', async (background) => {
    const { photo, assessment } = await assessed(background, (index) => index % 3 === 0 ? inflamed : index % 3 === 1 ? calm : unread)
    const overlay = await renderOverlay(photo, assessment)
    for (const index of [0, 2, 5, 9, 13, 17, 3, 6, 10, 14, 18]) expect(await inkAround(overlay, assessment, index)).toBeGreaterThan(60)
  })

  test('is an upright JPEG without metadata, with a band below for what it means', async () => {
    const { photo } = await assessed('#c09070', () => calm)
    const turned = await storeOriented(photo, 6)
    const overlay = await renderOverlay(turned, { ...(await assessed('#c09070', () => calm)).assessment, photoSha256: createHash('sha256').update(turned).digest('hex') })
    const { format, width, height, orientation, exif, icc, xmp } = await sharp(overlay).metadata()
    expect({ format, orientation, exif, icc, xmp }).toEqual({ format: 'jpeg', orientation: undefined, exif: undefined, icc: undefined, xmp: undefined })
    expect(width).toBe(938)
    expect(height).toBeGreaterThan(1000)
    expect(height).toBeLessThan(1150)
  })

  test('is the same for the same photo, and refused for another', async () => {
    const { photo, assessment } = await assessed('#c09070', () => inflamed)
    expect(Buffer.from(await renderOverlay(photo, assessment)).equals(await renderOverlay(photo, assessment))).toBe(true)
    const other = await sharp(photo).negate().jpeg().toBuffer()
    await expect(renderOverlay(other, assessment)).rejects.toMatchObject({ code: 'ERR_REQUEST_INVALID' })
  })

  test('without any hand says so in the band', async () => {
    const { photo, assessment } = await assessed('#c09070', () => calm)
    const bare = await sharp(await renderOverlay(photo, { ...assessment, hands: [] })).metadata()
    const refused = await sharp(await renderOverlay(photo, { ...assessment, hands: [], refusal: 'too-dark' })).metadata()
    const marked = await sharp(await renderOverlay(photo, assessment)).metadata()
    expect(bare.height).toBeGreaterThan(marked.height)
    expect(refused.height).toBe(bare.height)
  })

  test('marks joints at and beyond the edge where they can still be seen', async () => {
    const { photo, assessment } = await assessed('#c09070', () => ({ kind: 'not-assessed', reason: 'outside-frame' }))
    const [hand] = assessment.hands
    const beyond = { ...assessment, hands: [{ ...hand!, landmarks: LANDMARKS.map(({ x, y }) => ({ x: x + 500, y: y - 700 })), regions: hand!.regions.map(() => ({ x: 600, y: 0, width: 0, height: 0 })) }] }
    const { data, info } = await sharp(await renderOverlay(photo, beyond)).removeAlpha().raw().toBuffer({ resolveWithObject: true })
    const corner = Array.from({ length: 60 }, (_, row) => data.subarray((row * info.width + info.width - 60) * 3, (row + 1) * info.width * 3)).some((pixels) => pixels.some((value) => value < 70))
    expect(corner).toBe(true)
  })

  test('of a sliver of a photo is still made', async () => {
    const { photo, assessment } = await assessed('#c09070', () => inflamed, { width: 600, height: 3 })
    expect((await renderOverlay(photo, assessment)).length).toBeGreaterThan(100)
  })

  test('marks apart by shape where the machine has no font', () => {
    const program = `
      import { renderOverlay } from ${JSON.stringify(new URL('../../src/inference/overlay.ts', import.meta.url).href)}
      import { readFileSync } from 'node:fs'
      import { createHash } from 'node:crypto'
      const photo = readFileSync('demo/photos/demo-1-left.jpg')
      const overlay = await renderOverlay(photo, { photoSha256: createHash('sha256').update(photo).digest('hex'), width: 900, height: 900, model: { name: 'm', version: '1', digest: '' }, hands: [] })
      console.log(overlay.length > 1000)`
    const { status, stdout } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program], {
      cwd: join(import.meta.dirname, '../..'), encoding: 'utf8', env: { PATH: process.env['PATH'], FONTCONFIG_FILE: '/dev/null', FONTCONFIG_PATH: '/dev/null' }
    })
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'true\n' })
  })
})

describe('marks', () => {
  test('differ in shape, not only in colour', () => {
    const shape = (kind: MarkKind) => {
      const canvas = openCanvas(48, 48)
      drawMark(canvas, { x: 24, y: 24, radius: 18, rotation: 0.4, kind })
      return Array.from({ length: 48 * 48 }, (_, pixel) => (canvas.data[pixel * 4 + 3] ?? 0) > 128)
    }
    const [inflamedShape, calmShape, unreadShape] = [shape('inflamed'), shape('not-inflamed'), shape('not-assessed')]
    const differing = (a: boolean[], b: boolean[]) => a.filter((ink, pixel) => ink !== b[pixel]).length
    expect(differing(inflamedShape, calmShape)).toBeGreaterThan(200)
    expect(differing(inflamedShape, unreadShape)).toBeGreaterThan(200)
    expect(differing(calmShape, unreadShape)).toBeGreaterThan(200)
  })

  test('keep their words inside the picture and off each other where there is room', () => {
    const plate = { png: Buffer.alloc(0), width: 80, height: 20 }
    const frame = { width: 400, height: 400 }
    const taken: { x: number; y: number; width: number; height: number }[] = []
    for (let row = 0; row < 12; row++) {
      const box = placePlate(plate, { x: 200 + (row % 3) * 30, y: 120 + row * 10, radius: 10 }, frame, taken, { x: 200, y: 200 })
      expect(box.x >= 0 && box.y >= 0 && box.x + 80 <= 400 && box.y + 20 <= 400).toBe(true)
      for (const other of taken) expect(Math.abs(other.x - box.x) >= 80 || Math.abs(other.y - box.y) >= 20).toBe(true)
      taken.push(box)
    }
  })

  test('of a photo from the demo are drawn in reasonable time', async () => {
    const photo = await readFile(join(import.meta.dirname, '../../demo/photos/demo-2-right.jpg'))
    const { assessment } = await assessed('#c09070', () => inflamed)
    const start = performance.now()
    await renderOverlay(photo, { ...assessment, photoSha256: createHash('sha256').update(photo).digest('hex'), width: 900, height: 900 })
    expect(performance.now() - start).toBeLessThan(10_000)
  })
})
