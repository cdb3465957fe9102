import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { sampleVisit } from '../../training/synthetic/case-sampler.ts'
import { challengeVisit } from '../../training/synthetic/challenge.ts'
import type { Challenge, HandCase } from '../../training/synthetic/hand-case.ts'
import { labelRow } from '../../training/synthetic/label-row.ts'
import type { LabelRow } from '../../training/synthetic/label-row.ts'
import { SURFACE_JOINTS } from '../../training/synthetic/surface-joint.ts'
import type { RenderedPhoto } from './render-worker.ts'

type Kind = keyof Challenge
const WHOLE_HAND: readonly Kind[] = ['ulnarDrift', 'patches', 'tan', 'stout', 'motionBlur', 'warmLight']
const AT_JOINTS: readonly Kind[] = ['swanNeck', 'boutonniere', 'scars']
const KINDS: readonly Kind[] = [...WHOLE_HAND, ...AT_JOINTS, 'sleeve', 'watch']

interface Pair { readonly drawn: HandCase, readonly challenged: HandCase }
const keyOf = (index: number) => ({ seed: 5, split: 'test', patient: `challenge-test-${index}` })
const pairs = Array.from({ length: 200 }, (_, i) => {
  const drawn = sampleVisit(keyOf(i), 1, 'natural'), challenged = challengeVisit(keyOf(i), 1, drawn)
  return LATERALITIES.map((side): Pair => ({ drawn: drawn[side], challenged: challenged[side] }))
}).flat()
const kindsOf = ({ challenged }: Pair) => Object.keys(challenged.challenge ?? {}) as Kind[]

/** The row of a hand whose joint centres nobody looks at. */
const rowOf = (hand: HandCase): LabelRow => labelRow(
  { photo: 'x.jpg', patient: 'x', visit: 1, split: 'test', seed: 5 }, hand,
  new Map(SURFACE_JOINTS.map((joint) => [joint, [0, 0] as const])), { kappa: 0.8, prevalence: 0.1 })

describe('a challenge', () => {
  test('gives every hand one or two confounders, and each of them to some hand', () => {
    const seen = new Map(KINDS.map((kind) => [kind, 0]))
    for (const pair of pairs) {
      const kinds = kindsOf(pair)
      expect([1, 2]).toContain(kinds.length)
      for (const kind of kinds) seen.set(kind, seen.get(kind)! + 1)
    }
    expect([...seen.keys()].sort()).toEqual([...KINDS].sort())
    for (const total of seen.values()) expect(total).toBeGreaterThan(0.04 * pairs.length)
  })

  test('is named in the row as an evaluation reads it: by joint, or as strong enough to count', () => {
    for (const { challenged } of pairs) {
      const { confounders } = rowOf(challenged)
      expect(confounders).toMatchObject(challenged.challenge!)
      for (const kind of WHOLE_HAND) if (confounders[kind] !== undefined) expect(confounders[kind]).toBeGreaterThanOrEqual(0.6)
      for (const kind of AT_JOINTS) {
        const joints = confounders[kind] as readonly string[] | undefined
        if (joints) expect(HAND_JOINTS).toEqual(expect.arrayContaining([...joints]))
        if (joints) expect(joints.length).toBeGreaterThan(0)
      }
    }
  })

  test('leaves joints and what readers say of them as they were drawn', () => {
    for (const { drawn, challenged } of pairs) {
      expect(challenged.joints).toEqual(drawn.joints)
      expect(rowOf(challenged).joints).toEqual(rowOf(drawn).joints)
    }
  })

  test('keeps what a patient has and changes what a photo has from visit to visit', () => {
    let lasting = 0
    for (let i = 0; i < 60; i++) {
      const [first, second] = [1, 2].map((visit) => challengeVisit(keyOf(i), visit, sampleVisit(keyOf(i), visit, 'natural')).left)
      if (first!.marks?.scars.length) {
        lasting++
        expect(second!.marks!.scars).toEqual(first!.marks.scars)
      }
      expect(second!.challenge!.stout).toBe(first!.challenge!.stout)
    }
    expect(lasting).toBeGreaterThan(0)
  })
})

describe('a set without a challenge', () => {
  test('is made of the same cases as before challenges were there', () => {
    const cases = JSON.stringify(sampleVisit({ seed: 1, split: 'test', patient: 'test-0001' }, 1, 'natural'),
      (_, value: unknown) => typeof value === 'number' ? value.toPrecision(9) : value)
    expect(createHash('sha256').update(cases).digest('hex')).toBe('bd1189b7fa354a60235f5ceaff94d664888634a42dd9645e03c7558305d84aba')
  })

  test('names no confounder of a challenge', () => {
    for (const { drawn } of pairs) for (const kind of KINDS) expect(Object.keys(rowOf(drawn).confounders)).not.toContain(kind)
  })
})

describe('a challenge photo', () => {
  let worker: Worker
  beforeAll(() => { worker = new Worker(new URL('./render-worker.ts', import.meta.url)) })
  afterAll(async () => { await worker.terminate() })
  const shoot = async (hand: HandCase): Promise<RenderedPhoto> => {
    worker.postMessage({ hand, size: SIZE })
    return (await once(worker, 'message') as [RenderedPhoto])[0]
  }

  const only = (kind: Kind) => pairs.find((pair) => kindsOf(pair).length === 1 && kindsOf(pair)[0] === kind)!

  test.each(KINDS)('shows %s', async (kind) => {
    const { drawn, challenged } = only(kind)
    const before = await shoot(drawn), after = await shoot(challenged)
    expect(Buffer.from(after.jpeg).equals(Buffer.from(before.jpeg))).toBe(false)
    if (kind === 'motionBlur') return
    expect(changedPixels(before, after).length).toBeGreaterThan(SMALLEST_SCARS)
  })

  test('has scars at the joints that its row names and nowhere else', async () => {
    const { drawn, challenged } = only('scars')
    const before = await shoot(drawn), after = await shoot(challenged)
    const { joints } = after.rendering, named = challenged.challenge!.scars!.map((joint) => joints.get(joint)!)
    const changed = changedPixels(before, after)
    for (const [x, y] of changed) expect(Math.min(...named.map(([jx, jy]) => Math.hypot(x - jx, y - jy)))).toBeLessThan(30 * PIXELS_PER_MM)
    for (const [jx, jy] of named) expect(changed.some(([x, y]) => Math.hypot(x - jx, y - jy) < 15 * PIXELS_PER_MM)).toBe(true)
  })

  test('has patches off the joints', async () => {
    const { drawn, challenged } = only('patches')
    const before = await shoot(drawn), after = await shoot(challenged)
    const centres = HAND_JOINTS.map((joint) => after.rendering.joints.get(joint)!)
    for (const [x, y] of changedPixels(before, after)) {
      expect(Math.min(...centres.map(([jx, jy]) => Math.hypot(x - jx, y - jy)))).toBeGreaterThan(6 * PIXELS_PER_MM)
    }
  })

  test('has fingers that lean to the little finger where they drift', async () => {
    const { drawn, challenged } = pairs.find((pair) => kindsOf(pair)[0] === 'ulnarDrift' && pair.drawn.side === 'left')!
    const lean = async (hand: HandCase) => {
      const { joints } = (await shoot({ ...hand, camera: { ...hand.camera, rollDegrees: 0, tiltDegrees: [0, 0] } })).rendering
      const [mx, my] = joints.get('mcp3')!, [px, py] = joints.get('pip3')!
      return Math.atan2(mx - px, my - py) * 180 / Math.PI
    }
    expect(await lean(challenged) - await lean(drawn)).toBeGreaterThan(15)
  })
})

const SIZE = 128
/** About: the camera sees 262 mm of its knuckles' plane. */
const PIXELS_PER_MM = SIZE / 262
/** Half the area of two of the smallest scars (9 by 1.5 mm), pixels. */
const SMALLEST_SCARS = 9 * 1.5 * PIXELS_PER_MM ** 2

/** x, y of pixels that differ by more than 0.05 of linear light in some channel. */
function changedPixels({ rendering: { rgb: before } }: RenderedPhoto, { rendering: { rgb: after } }: RenderedPhoto): (readonly [number, number])[] {
  return Array.from({ length: SIZE * SIZE }, (_, k) => k)
    .filter((k) => [0, 1, 2].some((q) => Math.abs(before[3 * k + q]! - after[3 * k + q]!) > 0.05))
    .map((k) => [k % SIZE, Math.floor(k / SIZE)] as const)
}

describe('generate.ts --challenge', () => {
  let folder: string
  beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'synthetic-challenge-')) })
  afterAll(async () => { await rm(folder, { recursive: true }) })

  test('writes patients of its own whose rows name what was drawn', async () => {
    await promisify(execFile)(process.execPath, ['training/synthetic/generate.ts', '--patients', '1', '--seed', '3', '--split', 'test',
      '--size', '96', '--challenge', '--out', folder])
    const rows = (await readFile(join(folder, 'labels.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as LabelRow)
    expect(rows.map(({ photo }) => photo)).toEqual(['challenge-test-0001-1-left.jpg', 'challenge-test-0001-1-right.jpg'])
    for (const { patient, confounders } of rows) {
      expect(patient).toBe('challenge-test-0001')
      expect(KINDS.filter((kind) => kind in confounders).length).toBeGreaterThan(0)
    }
  })
})
