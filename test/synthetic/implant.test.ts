import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import sharp from 'sharp'
import type { LocatedHand } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { HAND_JOINTS, type HandJoint } from '../../src/joints/hand-joint.ts'
import { expectedPrevalence } from '../../training/synthetic/case-sampler.ts'
import { SWELLING_MM } from '../../training/synthetic/deform.ts'
import type { Grade, HandCase } from '../../training/synthetic/hand-case.ts'
import { sampleImplant } from '../../training/synthetic/implant-case.ts'
import { placeIn, sourceOf, type HandEdit, type Reading } from '../../training/synthetic/implant-edit.ts'
import type { LabelRow } from '../../training/synthetic/label-row.ts'
import { usableHand } from '../../training/synthetic/photo-hand.ts'
import { toBytes } from '../../training/synthetic/implant-camera.ts'
import { photosOfPeople } from '../../training/synthetic/photo-people.ts'
import { measurePatch } from '../../training/synthetic/skin-statistics.ts'
import { plainHand } from './hands.ts'
import type { PreparedHand } from './implant-worker.ts'
import type { RenderedPhoto } from './render-worker.ts'

jest.setTimeout(300_000) // hands are rendered and edited; a busy machine may take its time

let worker: Worker, hand: PreparedHand
const ask = async (job: object) => {
  worker.postMessage(job)
  return (await once(worker, 'message') as [unknown])[0]
}
/** A rendered hand on a plain blue table serves as the real photo. */
const onBlue = (patient: string): HandCase => {
  const plain = plainHand(patient)
  return { ...plain, background: { ...plain.background, surface: 'plain', hue: 0.6, saturation: 0.45, value: 0.5 } }
}
const prepare = async (of: HandCase) => {
  pictures.clear()
  hand = await ask({ hand: of, size: 640 }) as PreparedHand
}
/** Of the prepared hand, by edit and reading: several tests look at the same ones. */
const pictures = new Map<string, Float32Array>()
const AS_IT_IS: Reading = { rotation: 0, zoom: 1, shift: { x: 0, y: 0 } }
const SLANTED: Reading = { rotation: 0.02, zoom: 1.05, shift: { x: 0.3, y: -0.4 } }
async function read(edit: HandEdit, reading = AS_IT_IS): Promise<Float32Array> {
  const key = JSON.stringify([edit, reading])
  const picture = pictures.get(key) ?? await ask({ edit, reading }) as Float32Array
  pictures.set(key, picture)
  return picture
}
const swollen = (joint: HandJoint, swelling: Grade): HandEdit => ({ [joint]: { swelling, erythema: 0 } })

beforeAll(async () => {
  worker = new Worker(new URL('./implant-worker.ts', import.meta.url))
  await prepare(onBlue('a'))
})
afterAll(async () => { await worker.terminate() })

describe('swelling edited into a photo', () => {
  test('widens a PIP joint by its grade in mm, and leaves the next finger as wide as it was', async () => {
    const calm = await read({})
    for (const grade of [1, 2, 3] as const) {
      const edited = await read(swollen('pip3', grade))
      const grown = widthMm(edited, 'pip3') - widthMm(calm, 'pip3')
      expect(grown).toBeGreaterThan(0.8 * 2 * 0.87 * SWELLING_MM[grade])
      expect(grown).toBeLessThan(1.2 * 2 * 0.87 * SWELLING_MM[grade])
      expect(Math.abs(widthMm(edited, 'pip4') - widthMm(calm, 'pip4'))).toBeLessThan(0.3)
    }
  })

  test('fades the folds over the joint, the more the higher the grade, and leaves the grain of the camera where it was', async () => {
    const skin: ReturnType<typeof detailAt>[] = []
    for (const grade of [0, 1, 2, 3] as const) skin.push(detailAt(await read(swollen('pip3', grade)), 'pip3'))
    const folds = skin.map((detail) => detail['0.5-1mm'] / skin[0]!['0.5-1mm'])
    expect(folds[1]).toBeLessThan(0.9)
    expect(folds[2]).toBeLessThan(folds[1]! - 0.08)
    expect(folds[3]).toBeLessThan(folds[2]! - 0.08)
    expect(skin[3]!['0-0.25mm'] / skin[0]!['0-0.25mm']).toBeGreaterThan(folds[3]! + 0.15)
    const [calm, marked] = [await read({}), await read(swollen('pip3', 3))]
    expect(correlation(grainAt(calm, 'pip3'), grainAt(marked, 'pip3'))).toBeGreaterThan(0.8)
  })

  test('fills the valleys between the knuckles over swollen MCP joints', async () => {
    const joints = ['mcp2', 'mcp3', 'mcp4', 'mcp5'] as const
    const unevenness = async (grade: Grade) => spread(acrossKnuckles(await read(Object.fromEntries(joints.map((joint) => [joint, { swelling: grade, erythema: 0 }])))))
    const calm = await unevenness(0), moderate = await unevenness(2), marked = await unevenness(3)
    expect(moderate).toBeLessThan(0.85 * calm)
    expect(marked).toBeLessThan(moderate)
  })

  test('leaves the table beside the hand as it was, to the last bit', async () => {
    const everywhere = Object.fromEntries(HAND_JOINTS.map((joint) => [joint, { swelling: 3, erythema: 1 }])) as HandEdit
    const calm = await read({}), edited = await read(everywhere)
    const reach = Math.ceil((SWELLING_MM[3] + 2) * hand.pixelsPerMm)
    let table = 0, changed = 0, skin = 0
    for (let y = 0; y < hand.height; y++) {
      for (let x = 0; x < hand.width; x++) {
        const k = y * hand.width + x
        const isEdited = [0, 1, 2].some((q) => calm[3 * k + q] !== edited[3 * k + q])
        if (hand.mask[k]! > 0.5 && isEdited) skin++
        if (isNearHand(x, y, reach)) continue
        table++
        if (isEdited) changed++
      }
    }
    expect(table).toBeGreaterThan(0.3 * hand.width * hand.height)
    expect(skin).toBeGreaterThan(5000)
    expect(changed).toBe(0)
  })

  test('reads an untouched version as nothing but the photo, sampled at the places of the reading', async () => {
    const untouched = await read({}, SLANTED)
    for (let k = 7; k < hand.width * hand.height; k += 4999) {
      const { x, y } = sourceOf(SLANTED, hand, k % hand.width + 0.5, Math.floor(k / hand.width) + 0.5)
      for (let q = 0; q < 3; q++) expect(untouched[3 * k + q]).toBeCloseTo(bilinear(x - 0.5, y - 0.5, q), 5)
    }
    const back = placeIn(SLANTED, hand, sourceOf(SLANTED, hand, 100, 200))
    expect([back.x, back.y]).toEqual([expect.closeTo(100, 6), expect.closeTo(200, 6)])
  })

  test('leaves the joints that are not swollen exactly as in the untouched version, resampling and all', async () => {
    const untouched = await read({}, SLANTED), edited = await read(swollen('pip3', 3), SLANTED)
    for (const joint of ['pip5', 'ip1', 'mcp1', 'wrist'] as const) {
      const { x, y } = placeIn(SLANTED, hand, hand.places[joint].centre)
      for (let dy = -8; dy <= 8; dy++) {
        const k = 3 * ((Math.round(y) + dy) * hand.width + Math.round(x) - 8)
        expect(edited.slice(k, k + 51)).toEqual(untouched.slice(k, k + 51))
      }
    }
  })

  test('has decoys that widen nothing: a shove moves both sides of a finger alike', async () => {
    const calm = await read({}), shoved = await read({ pip3: { swelling: 0, erythema: 0, decoy: { kind: 'shove', strength: 1 } } })
    expect(differs(shoved, calm)).toBe(true)
    expect(Math.abs(widthMm(shoved, 'pip3') - widthMm(calm, 'pip3'))).toBeLessThan(0.3)
    for (const kind of ['blur', 'light'] as const) {
      const edited = await read({ pip3: { swelling: 0, erythema: 0, decoy: { kind, strength: 1 } } })
      expect(differs(edited, calm)).toBe(true)
      expect(Math.abs(widthMm(edited, 'pip3') - widthMm(calm, 'pip3'))).toBeLessThan(0.3)
    }
  })

  // Last: the hand is another one from here on.
  test('reddens skin only, to the last bit of the table, and shows less on dark skin', async () => {
    const red: HandEdit = { pip3: { swelling: 0, erythema: 1 } }
    const calm = await read({}), edited = await read(red)
    let reddened = 0, darkened = 0, beside = 0
    for (let k = 0; k < hand.mask.length; k++) {
      if (hand.mask[k]! <= 0.5) {
        if ([0, 1, 2].some((q) => edited[3 * k + q] !== calm[3 * k + q])) beside++
      } else if (edited[3 * k + 1]! < 0.9 * calm[3 * k + 1]!) {
        reddened++
        if (edited[3 * k]! < 0.95 * calm[3 * k]!) darkened++
      }
    }
    expect(reddened).toBeGreaterThan(100)
    expect([beside, darkened]).toEqual([0, 0])
    const light = rednessAt(edited, 'pip3') - rednessAt(calm, 'pip3')
    expect(light).toBeGreaterThan(0.15)
    const { identity, ...rest } = onBlue('a')
    await prepare({ ...rest, identity: { ...identity, monkTone: 9, skin: { ...identity.skin, melanin: 2.4 } } })
    const dark = rednessAt(await read(red), 'pip3') - rednessAt(await read({}), 'pip3')
    expect(dark).toBeGreaterThan(0)
    expect(dark).toBeLessThan(0.8 * light)
  })
})

describe('a version of a photo', () => {
  const cases = Array.from({ length: 600 }, (_, k) =>
    sampleImplant({ seed: 4, split: 'check', patient: `p${k}` }, { photo: 'a.jpg', version: 1, side: 'left', size: [600, 800] }, 'balanced'))
  const joints = cases.flatMap((one) => Object.values(one.joints))

  test('swells about as many joints as the prevalence says, several of a hand together', () => {
    const share = joints.filter(({ swelling }) => swelling > 0).length / joints.length
    expect(Math.abs(share - expectedPrevalence('balanced'))).toBeLessThan(0.05)
    const counts = cases.map((one) => Object.values(one.joints).filter(({ swelling }) => swelling > 0).length)
    expect(variance(counts)).toBeGreaterThan(1.5 * 11 * share * (1 - share))
  })

  test('has decoys as often on swollen joints as on others, so that an edit alone says nothing', () => {
    const rate = (part: typeof joints) => part.filter(({ decoy }) => decoy).length / part.length
    const [onSwollen, onOthers] = [true, false].map((is) => rate(joints.filter(({ swelling }) => swelling > 0 === is)))
    expect(onOthers).toBeGreaterThan(0.1)
    expect(Math.abs(onSwollen! - onOthers!)).toBeLessThan(0.03)
  })

  test('never asks for a place outside the photo', () => {
    const size = { width: 600, height: 800 }
    for (const { reading } of cases) {
      for (const [x, y] of [[0, 0], [600, 0], [0, 800], [600, 800]] as const) {
        const at = sourceOf(reading, size, x, y)
        expect(at.x).toBeGreaterThan(-0.5)
        expect(at.x).toBeLessThan(600.5)
        expect(at.y).toBeGreaterThan(-0.5)
        expect(at.y).toBeLessThan(800.5)
      }
    }
  })
})

describe('a hand that cannot be edited', () => {
  const found = { points: Array.from({ length: 21 }, (_, k) => ({ x: 10 * k, y: 20 * k })), presence: 1, side: 'left', sideConfidence: 0.9, view: 'dorsal', palmLengthPx: 300 } as const
  test.each<[string, readonly LocatedHand[]]>([
    ['no-hand', []], ['several-hands', [found, found]], ['palmar-view', [{ ...found, view: 'palmar' }]], ['oblique-view', [{ ...found, view: 'oblique' }]],
    ['side-unclear', [{ ...found, sideConfidence: 0.55 }]], ['hand-too-small', [{ ...found, points: found.points.map(({ x, y }) => ({ x: x / 4, y: y / 4 })) }]]
  ])('is refused: %s', (reason, hands) => { expect(usableHand(hands)).toEqual({ reason }) })
})

describe('the second maker', () => {
  let folder: string
  const run = promisify(execFile)
  const node = async (...words: string[]) => await run(process.execPath, ['--disable-warning=ExperimentalWarning', ...words])
  const rows = async (name: string) => (await readFile(join(folder, name), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as LabelRow)
  const implant = async (out: string, seed: number) =>
    await node('training/synthetic/implant.ts', '--photos', join(folder, 'photos'), '--seed', String(seed), '--prevalence', 'balanced', '--versions', '2', '--out', join(folder, out))

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'implants-'))
    await mkdir(join(folder, 'photos', 'ann'), { recursive: true })
    const renderer = new Worker(new URL('./render-worker.ts', import.meta.url))
    for (const [file, patient, side] of [['ann/left.jpg', 'a', 'left'], ['ann/right.jpg', 'a', 'right'], ['bob.jpg', 'b', 'left']] as const) {
      renderer.postMessage({ hand: { ...plainHand(patient), side }, size: 320 })
      await writeFile(join(folder, 'photos', file), (await once(renderer, 'message') as [RenderedPhoto])[0].jpeg)
    }
    await renderer.terminate()
    await writeFile(join(folder, 'photos', 'table.jpg'), await sharp({ create: { width: 300, height: 300, channels: 3, background: '#875' } }).jpeg().toBuffer())
    await writeFile(join(folder, 'photos', 'torn.jpg'), 'no photo')
  })
  afterAll(async () => { await rm(folder, { recursive: true }) })

  test('writes edited and untouched versions with rows like those of the generator, and refuses what shows no hand', async () => {
    const { stdout } = await implant('one', 5)
    const edited = await rows('one/labels.jsonl'), untouched = await rows('one/untouched.jsonl')
    expect(edited.map(({ patient, visit, source, maker }) => [patient, visit, source, maker])).toEqual(
      ['ann/left.jpg', 'ann/right.jpg', 'bob.jpg'].flatMap((source) => [1, 2].map((visit) => [source.slice(0, 3), visit, source, 'implant'])))
    expect(edited.map(({ side }) => side)).toEqual(['left', 'left', 'right', 'right', 'left', 'left'])
    for (const { joints } of [...edited, ...untouched]) {
      expect(Object.keys(joints)).toEqual([...HAND_JOINTS])
      for (const { swelling, trueLabel } of Object.values(joints)) expect(trueLabel).toBe(swelling >= 1 ? 1 : 0)
    }
    expect(untouched.flatMap(({ joints }) => Object.values(joints)).every(({ swelling, label }) => swelling === 0 && label === 0)).toBe(true)
    const refused = (await readFile(join(folder, 'one/refused.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as object)
    expect(refused).toEqual([{ photo: 'table.jpg', reason: 'no-hand' }, { photo: 'torn.jpg', reason: 'ERR_PHOTO_FORMAT' }])
    expect(stdout).toContain('2 of 5 photos refused')
    expect(stdout).toContain('no-hand: 1')
  })

  test('gives the same labels and photos for the same seed, and others for another', async () => {
    await implant('again', 5)
    await implant('other', 6)
    for (const file of ['labels.jsonl', 'untouched.jsonl', 'ann-1-1.jpg', 'bob-3-2-untouched.jpg']) {
      const [once, again, other] = await Promise.all(['one', 'again', 'other'].map((out) => readFile(join(folder, out, file))))
      expect(again!.equals(once!)).toBe(true)
      expect(other!.equals(once!)).toBe(false)
    }
  })

  test('makes photos that the exporter finds the labelled hand in', async () => {
    for (const labels of ['labels', 'untouched']) {
      const out = join(folder, `${labels}-crops`)
      await node('training/export-crops.ts', '--labels', join(folder, 'one', `${labels}.jsonl`), '--photos', join(folder, 'one'), '--out', out, '--local', '64')
      expect(JSON.parse(await readFile(join(out, 'crops.json'), 'utf8'))).toMatchObject({ rows: 6, missing: 0 })
    }
  })

  test('takes people from people.csv, and says which photo it does not name', async () => {
    const photos = join(folder, 'named')
    await mkdir(photos)
    await writeFile(join(photos, 'a.jpg'), '')
    await writeFile(join(photos, 'people.csv'), 'photo,person,skinTone,age\na.jpg,p7,4,61\n')
    expect(photosOfPeople(photos)).toEqual([{ file: 'a.jpg', person: 'p7', skinTone: 4, age: 61, sex: null }])
    await writeFile(join(photos, 'b.jpg'), '')
    expect(() => photosOfPeople(photos)).toThrow('Expected a row for b.jpg in people.csv')
    await writeFile(join(photos, 'people.csv'), 'photo,person,skinTone\na.jpg,p7,12\n')
    expect(() => photosOfPeople(photos)).toThrow('Expected skintone from 1 to 10 in line 2 of people.csv but received 12')
  })

  test('takes the backs of hands of 11k Hands that are there, a few of each hand', async () => {
    const photos = join(folder, '11k')
    await mkdir(photos)
    for (const name of [1, 2, 3, 4, 5, 6, 7]) await writeFile(join(photos, `Hand_${name}.jpg`), '')
    const line = (id: string, aspect: string, name: number) => `"${id}",27,"male","fair",0,0,"${aspect}","Hand_${name}.jpg",0`
    await writeFile(join(photos, 'HandInfo.csv'), ['id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,irregularities',
      line('01', 'dorsal right', 4), line('01', 'dorsal right', 1), line('01', 'dorsal right', 2), line('01', 'dorsal right', 3),
      line('01', 'dorsal left', 5), line('02', 'palmar left', 6), line('02', 'dorsal left', 7), line('02', 'dorsal right', 8)].join('\n'))
    const named = (person: string, ...names: number[]) => names.map((name) => ({ file: `Hand_${name}.jpg`, person, skinTone: null, age: 27, sex: 'male' }))
    expect(photosOfPeople(photos)).toEqual([...named('11k-01', 1, 2, 3, 4, 5), ...named('11k-02', 7)])
    expect(photosOfPeople(photos, 2)).toEqual([...named('11k-01', 1, 3, 5), ...named('11k-02', 7)])
    await writeFile(join(photos, 'HandInfo.csv'), 'id,imageName\n1,a.jpg\n')
    expect(() => photosOfPeople(photos)).toThrow('Expected a column age in HandInfo.csv')
  })
})

function bilinear(x: number, y: number, channel: number, from = hand.photo): number {
  const left = Math.min(hand.width - 2, Math.max(0, Math.floor(x))), top = Math.min(hand.height - 2, Math.max(0, Math.floor(y)))
  const fx = Math.min(1, Math.max(0, x - left)), fy = Math.min(1, Math.max(0, y - top))
  const at = (dx: number, dy: number) => from[3 * ((top + dy) * hand.width + left + dx) + channel]!
  return (at(0, 0) * (1 - fx) + at(1, 0) * fx) * (1 - fy) + (at(0, 1) * (1 - fx) + at(1, 1) * fx) * fy
}

/** Jest's toEqual makes a word of every index first. */
const differs = (a: Float32Array, b: Float32Array) => a.some((value, k) => value !== b[k])

const rgbAt = (picture: Float32Array, x: number, y: number) => [0, 1, 2].map((q) => bilinear(x, y, q, picture))
const apart = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((value, q) => Math.sqrt(value) - Math.sqrt(b[q]!)))

/** Width of the finger across a joint: from its middle outwards until the colour is nearer to the table's than to the untouched skin's. */
function widthMm(picture: Float32Array, joint: HandJoint): number {
  const { centre, lateral } = hand.places[joint]
  const skin = rgbAt(hand.photo, centre.x, centre.y), table = rgbAt(hand.photo, 6, 6)
  return [-1, 1].reduce((width, sign) => {
    let mm = 0
    for (; mm < 30; mm += 0.05) {
      const here = rgbAt(picture, centre.x + sign * mm * hand.pixelsPerMm * lateral.x, centre.y + sign * mm * hand.pixelsPerMm * lateral.y)
      if (apart(here, table) < apart(here, skin)) break
    }
    return width + mm
  }, 0)
}

function detailAt(picture: Float32Array, joint: HandJoint) {
  const { centre, axis } = hand.places[joint]
  return measurePatch({ data: toBytes({ data: picture }), width: hand.width, height: hand.height }, [centre.x, centre.y], [axis.x, axis.y], hand.pixelsPerMm, 4.5).detail
}

/** What a pixel has more than its four neighbours, over the middle of the joint. */
function grainAt(picture: Float32Array, joint: HandJoint): number[] {
  const { x, y } = hand.places[joint].centre
  return Array.from({ length: 400 }, (_, k) => {
    const at = 3 * ((Math.round(y) - 10 + Math.floor(k / 20)) * hand.width + Math.round(x) - 10 + k % 20) + 1
    return picture[at]! - (picture[at - 3]! + picture[at + 3]! + picture[at - 3 * hand.width]! + picture[at + 3 * hand.width]!) / 4
  })
}

function correlation(a: readonly number[], b: readonly number[]): number {
  return (variance(a.map((value, k) => value + b[k]!)) - variance(a) - variance(b)) / 2 / Math.sqrt(variance(a) * variance(b))
}

function rednessAt(picture: Float32Array, joint: HandJoint): number {
  const { centre } = hand.places[joint]
  const [red, green] = rgbAt(picture, centre.x, centre.y)
  return Math.log((red! + 0.01) / (green! + 0.01))
}

/** Luminance along the knuckles from index to little finger, each step a mean over 6 mm along the hand. */
function acrossKnuckles(picture: Float32Array): number[] {
  const [from, to, axis] = [hand.places.mcp2.centre, hand.places.mcp5.centre, hand.places.mcp3.axis]
  return Array.from({ length: 60 }, (_, k) => {
    const x = from.x + (to.x - from.x) * k / 59, y = from.y + (to.y - from.y) * k / 59
    const steps = [-3, -1.5, 0, 1.5, 3].map((mm) => rgbAt(picture, x + mm * hand.pixelsPerMm * axis.x, y + mm * hand.pixelsPerMm * axis.y)[1]!)
    return Math.log(steps.reduce((sum, value) => sum + value, 0) / steps.length)
  })
}

/** Standard deviation about a running mean of a quarter of the line: bumps and valleys, not the slope of the light. */
function spread(values: readonly number[]): number {
  const mean = (part: readonly number[]) => part.reduce((sum, value) => sum + value, 0) / part.length
  return Math.sqrt(variance(values.map((value, k) => value - mean(values.slice(Math.max(0, k - 8), k + 9)))))
}

function variance(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
}

function isNearHand(x: number, y: number, reach: number): boolean {
  for (let dy = -reach; dy <= reach; dy += 2) {
    for (let dx = -reach; dx <= reach; dx += 2) {
      const px = x + dx, py = y + dy
      if (px >= 0 && py >= 0 && px < hand.width && py < hand.height && hand.mask[py * hand.width + px]! > 0.3) return true
    }
  }
  return false
}
