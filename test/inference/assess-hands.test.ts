import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { handGate, openHandAssessor, type HandAssessor } from '../../src/inference/assess-hands.ts'
import { readModelBundle } from '../../src/inference/model-bundle.ts'
import type { HandAssessment, PhotoAssessment } from '../../src/joints/finding.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { renderPalm } from '../support/palm-photo.ts'
import { writeTestBundle, type TestBundleOptions } from '../support/test-bundle.ts'
import { storeOriented } from './hand-landmarks-photo.ts'

const photos = join(import.meta.dirname, '../../demo/photos')
const left = await readFile(join(photos, 'demo-1-left.jpg'))
const right = await readFile(join(photos, 'demo-1-right.jpg'))

let base: string
let assessor: HandAssessor
let count = 0

async function open(change?: TestBundleOptions['change']): Promise<HandAssessor> {
  const dir = join(base, String(count++))
  await writeTestBundle(dir, change ? { change } : {})
  return openHandAssessor(await readModelBundle(dir), { device: 'cpu' })
}

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'assess-'))
  assessor = await open()
})
afterAll(async () => {
  await assessor.close()
  await rm(base, { recursive: true, force: true })
})

const only = ({ hands }: PhotoAssessment): HandAssessment => {
  expect(hands).toHaveLength(1)
  return hands[0] as HandAssessment
}
const reasons = ({ joints }: HandAssessment) => joints.map((finding) => finding.kind === 'not-assessed' ? finding.reason : 'assessed')
const probabilities = ({ joints }: HandAssessment) => joints.map((finding) => finding.kind === 'assessed' ? finding.probability : NaN)

async function assessWith(change: TestBundleOptions['change'], photo: Uint8Array): Promise<PhotoAssessment> {
  const one = await open(change)
  try {
    return await one.assess(photo)
  } finally {
    await one.close()
  }
}

describe('a photo of the back of a hand', () => {
  test.each([['left', left], ['right', right]] as const)('gives every joint of a %s hand a probability and says what it was read from', async (side, photo) => {
    const assessment = await assessor.assess(photo)
    expect(assessment).toMatchObject({ photoSha256: createHash('sha256').update(photo).digest('hex'), width: 900, height: 900 })
    const hand = only(assessment)
    expect(hand).toMatchObject({ side, view: 'dorsal' })
    expect(hand.joints.map(({ joint }) => joint)).toEqual(HAND_JOINTS)
    expect(reasons(hand)).toEqual(HAND_JOINTS.map(() => 'assessed'))
    for (const p of probabilities(hand)) expect(p > 0 && p < 1).toBe(true)
    expect(hand.landmarks).toHaveLength(21)
    for (const { x, y, width, height } of hand.regions) expect(x >= 0 && y >= 0 && x + width <= 900 && y + height <= 900).toBe(true)
    expect(JSON.parse(JSON.stringify(assessment))).toEqual(assessment)
  })

  test('gives the same answer again, and another one with a calibration of its own', async () => {
    const first = only(await assessor.assess(left))
    expect(only(await assessor.assess(left))).toEqual(first)
    const { calibration } = await readModelBundle(join(base, '0'))
    const warmer = only(await assessor.assess(left, { ...calibration, bias: calibration.bias + 1, thresholds: { f1: 0.99, gmean: 0.9, sensitivity90: 0.5 } }))
    for (const [index, p] of probabilities(warmer).entries()) expect(p).toBeGreaterThan(probabilities(first)[index] as number)
    expect(warmer.joints.some((finding) => finding.kind === 'assessed' && finding.inflamed)).toBe(false)
  })

  test('reads alike in all four orientations of a camera; in a mirrored file nobody can tell left from right', async () => {
    const upright = only(await assessor.assess(await storeOriented(left, 1)))
    for (const orientation of [3, 6, 8]) {
      const turned = only(await assessor.assess(await storeOriented(left, orientation)))
      expect(turned.side).toBe('left')
      for (const [index, p] of probabilities(turned).entries()) expect(Math.abs(p - (probabilities(upright)[index] as number))).toBeLessThan(0.02)
    }
    for (const orientation of [2, 4, 5, 7])
      expect(new Set(reasons(only(await assessor.assess(await storeOriented(left, orientation)))))).toEqual(new Set(['uncertain-side']))
  })

  test('of both hands reads each on its own side', async () => {
    const both = await sharp({ create: { width: 1800, height: 900, channels: 3, background: '#70757a' } })
      .composite([{ input: left, left: 0, top: 0 }, { input: right, left: 900, top: 0 }]).jpeg({ quality: 92 }).toBuffer()
    const { hands } = await assessor.assess(both)
    expect(hands.map(({ side }) => side)).toEqual(['left', 'right'])
    for (const hand of hands) expect(reasons(hand)).toEqual(HAND_JOINTS.map(() => 'assessed'))
  })

  test('an unknown joint is never healthy: what lies outside the picture has a reason and no probability', async () => {
    const seen: string[] = []
    for (const [width, height] of [[430, 900], [900, 420], [520, 620]] as const) {
      const cut = await sharp(left).extract({ left: 0, top: 0, width, height }).jpeg().toBuffer()
      for (const hand of (await assessor.assess(cut)).hands) {
        seen.push(...reasons(hand))
        for (const [index, finding] of hand.joints.entries()) {
          const { width: across = 0, height: down = 0 } = hand.regions[index] ?? {}
          if (across === 0 || down === 0) expect(finding.kind).toBe('not-assessed')
          if (finding.kind === 'not-assessed') expect(Object.keys(finding).sort()).toEqual(['joint', 'kind', 'reason', 'side'])
        }
      }
    }
    expect(seen).toContain('outside-frame')
    expect(seen).toContain('assessed')
  })
})

test('a joint under a sticker gets that reason and no probability; its neighbours keep theirs', async () => {
  const { regions } = only(await assessor.assess(left))
  const at = HAND_JOINTS.indexOf('pip2')
  const { x = 0, y = 0, width = 0, height = 0 } = regions[at] ?? {}
  const input = await sharp({ create: { width: Math.round(width), height: Math.round(height), channels: 3, background: '#808080' } }).png().toBuffer()
  const found = reasons(only(await assessor.assess(await sharp(left).composite([{ input, left: Math.round(x), top: Math.round(y) }]).jpeg({ quality: 90 }).toBuffer())))
  expect(found[at]).toBe('occluded')
  expect(found.filter((reason) => reason === 'assessed')).toHaveLength(10)
})

describe('a photo that cannot be read', () => {
  test.each(['left', 'right'] as const)('because it shows the %s palm gets that reason at every joint', async (side) => {
    const hand = only(await assessor.assess(await renderPalm(side)))
    expect(hand).toMatchObject({ side, view: 'palmar' })
    expect(new Set(reasons(hand))).toEqual(new Set(['palmar-view']))
  })

  test('because there is no hand in it says so', async () => {
    const table = await sharp({ create: { width: 800, height: 600, channels: 3, background: '#a08060' } }).jpeg().toBuffer()
    expect(await assessor.assess(table)).toMatchObject({ hands: [], refusal: 'no-hand' })
    const night = await sharp({ create: { width: 800, height: 600, channels: 3, background: '#040404' } }).jpeg().toBuffer()
    expect(await assessor.assess(night)).toMatchObject({ hands: [], refusal: 'too-dark' })
    const stamp = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#a08060' } }).jpeg().toBuffer()
    expect(await assessor.assess(stamp)).toMatchObject({ hands: [], refusal: 'too-small' })
  })

  test.each<[string, string, TestBundleOptions['change']]>([
    ['too far away', 'too-small', ({ gates }) => { gates.palmLengthFraction = 0.9 }],
    ['too dark', 'too-dark', ({ gates }) => { gates.minBrightness = 0.9 }],
    ['too bright', 'too-bright', ({ gates }) => { gates.maxBrightness = 0.1 }],
    ['too blurred', 'blurred', ({ gates }) => { gates.minSharpness = 9 }],
    ['not certainly a hand', 'not-located', ({ gates }) => { gates.handPresence = 1 }],
    ['neither surely left nor right', 'uncertain-side', ({ gates }) => { gates.minSideConfidence = 1 }],
    ['too small in pixels', 'low-detail', ({ gates }) => { gates.minCropPx = 5000 }]
  ])('by a model whose gates find it %s gets its reason', async (_, reason, change) => {
    expect(new Set(reasons(only(await assessWith(change, left))))).toEqual(new Set([reason]))
  })

  test('is told what to change first: the view before the light, the light before the focus', () => {
    const photo = { uprightWidth: 1000, uprightHeight: 1000, mirrored: false }
    const gates = { handPresence: 0.5, palmLengthFraction: 0.1, minSharpness: 0.1, minBrightness: 0.2, maxBrightness: 0.9, minSideConfidence: 0.6, minCropPx: 8 }
    const worst = { presence: 0.9, palmLengthPx: 50, brightness: 0.1, sharpness: 0 }
    expect(handGate(photo, { view: 'palmar', sideConfidence: 0.5 }, worst, gates)).toBe('palmar-view')
    expect(handGate(photo, { view: 'oblique', sideConfidence: 0.5 }, worst, gates)).toBe('oblique-view')
    expect(handGate(photo, { view: 'dorsal', sideConfidence: 0.5 }, worst, gates)).toBe('too-small')
    expect(handGate(photo, { view: 'dorsal', sideConfidence: 0.5 }, { ...worst, palmLengthPx: 200 }, gates)).toBe('too-dark')
    expect(handGate(photo, { view: 'dorsal', sideConfidence: 0.5 }, { ...worst, palmLengthPx: 200, brightness: 0.5 }, gates)).toBe('blurred')
    expect(handGate(photo, { view: 'dorsal', sideConfidence: 0.5 }, { presence: 0.9, palmLengthPx: 200, brightness: 0.5, sharpness: 1 }, gates)).toBe('uncertain-side')
    expect(handGate(photo, { view: 'dorsal', sideConfidence: 0.9 }, { presence: 0.9, palmLengthPx: 200, brightness: 0.5, sharpness: 1 }, gates)).toBeUndefined()
  })
})

test('a model trained on other landmarks is refused', async () => {
  await expect(open((manifest) => { manifest.landmarks.digest = 'f'.repeat(64) })).rejects.toMatchObject({ code: 'ERR_MODEL_INVALID' })
})
