import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import { readCalibrationFile } from '../../src/inference/calibrate.ts'
import { openEngine } from '../../src/inference/engine/open-engine.ts'
import { readModelBundle } from '../../src/inference/model-bundle.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { renderPalm } from '../support/palm-photo.ts'
import { writeTestBundle } from '../support/test-bundle.ts'

const root = join(import.meta.dirname, '../..')
const photos = join(root, 'demo/photos')
const left = join(photos, 'demo-1-left.jpg')
const right = join(photos, 'demo-1-right.jpg')

let base: string
let model: string
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'cli-'))
  model = join(base, 'model')
  await writeTestBundle(model)
})
afterAll(async () => { await rm(base, { recursive: true, force: true }) })

/** The program ends by itself: test/support/inference-cli.ts never calls process.exit. */
function jointlens(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'test/support/inference-cli.ts'), ...args],
    { cwd: base, encoding: 'utf8', timeout: 55_000, env: { ...process.env, JOINTLENS_MODEL: model } })
  return { exit: status, stdout, stderr }
}

interface Report {
  model: unknown
  hands: { photo: string; side: string; view: string; quality: object; landmarks: { x: number; y: number }[]; joints: Record<string, unknown>[] }[]
  count: Record<string, number>
}

describe('jointlens assess', () => {
  test('prints exactly the promised JSON for two hands', async () => {
    const { exit, stdout, stderr } = jointlens('assess', left, right, '--json')
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    const report = JSON.parse(stdout) as Report
    expect(Object.keys(report)).toEqual(['model', 'hands', 'count'])
    expect(report.model).toEqual((await readModelBundle(model)).identity)
    expect(report.hands.map(({ photo, side, view }) => [photo, side, view])).toEqual([['demo-1-left.jpg', 'left', 'dorsal'], ['demo-1-right.jpg', 'right', 'dorsal']])
    for (const hand of report.hands) {
      expect(Object.keys(hand)).toEqual(['photo', 'side', 'view', 'quality', 'landmarks', 'joints'])
      expect(Object.keys(hand.quality).sort()).toEqual(['brightness', 'palmLengthPx', 'presence', 'sharpness'])
      expect(hand.landmarks).toHaveLength(21)
      expect(hand.joints.map(({ joint }) => joint)).toEqual(HAND_JOINTS)
      for (const joint of hand.joints) {
        expect(Object.keys(joint)).toEqual(['joint', 'assessed', 'probability', 'inflamed'])
        expect(joint).toMatchObject({ assessed: true, probability: expect.any(Number) as unknown, inflamed: expect.any(Boolean) as unknown })
      }
    }
    expect(Object.keys(report.count)).toEqual(['swollen', 'assessable', 'of', 'low', 'high'])
    expect(report.count).toMatchObject({ assessable: 22, of: 22 })
    expect(report.count['swollen']).toBe(report.hands.flatMap(({ joints }) => joints).filter(({ inflamed }) => inflamed).length)
  })

  test('gives a joint outside the picture null and a reason, and marks photos that show it', async () => {
    const cut = join(base, 'cut.jpg')
    await sharp(left).extract({ left: 0, top: 0, width: 430, height: 900 }).jpeg().toFile(cut)
    const { exit, stdout } = jointlens('assess', cut, '--json', '--overlay', join(base, 'marked', 'photos'))
    expect(exit).toBe(0)
    const joints = (JSON.parse(stdout) as Report).hands.flatMap((hand) => hand.joints)
    const unread = joints.filter(({ assessed }) => assessed === false)
    expect(unread.length).toBeGreaterThan(0)
    for (const joint of unread) expect(joint).toEqual({ joint: joint['joint'], assessed: false, probability: null, inflamed: null, reason: 'outside-frame' })
    expect(await readdir(join(base, 'marked', 'photos'))).toEqual(['cut-overlay.jpg'])
    expect((await sharp(join(base, 'marked', 'photos', 'cut-overlay.jpg')).metadata()).format).toBe('jpeg')
  })

  test('speaks in words, with the line about research, and takes one photo of both hands', async () => {
    const both = join(base, 'both.jpg')
    await sharp({ create: { width: 1800, height: 900, channels: 3, background: '#70757a' } })
      .composite([{ input: left, left: 0, top: 0 }, { input: right, left: 900, top: 0 }]).jpeg({ quality: 92 }).toFile(both)
    const { exit, stdout, stderr } = jointlens('assess', both)
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(stdout).toMatch(/^Left hand, seen from the back \(both\.jpg\)$/m)
    expect(stdout).toMatch(/^Right hand/m)
    expect(stdout).toMatch(/^ {2}MCP 2 {4}— (looks inflamed|not flagged), \d+ %$/m)
    expect(stdout).toMatch(/of 22 assessed hand joints look inflamed \(90 % interval \d+ to \d+\)/)
    expect(stdout).toMatch(/Research software.*synthetic.*Not a diagnosis/)
  })

  test('trusts the picture, not the order of the photos, and says so', () => {
    const { exit, stdout, stderr } = jointlens('assess', right, left, '--json')
    expect(exit).toBe(0)
    expect(stderr).toMatch(/demo-1-right\.jpg was given as the left hand but shows a right hand/)
    expect(stderr).toMatch(/demo-1-left\.jpg was given as the right hand but shows a left hand/)
    expect((JSON.parse(stdout) as Report).hands.map(({ side }) => side)).toEqual(['right', 'left'])
  })

  test('ends with 3 when nothing could be assessed, and says what to change', async () => {
    const palm = join(base, 'palm.jpg')
    await writeFile(palm, await renderPalm('left'))
    const shown = jointlens('assess', palm)
    expect(shown.exit).toBe(3)
    expect(shown.stdout).toMatch(/photograph the back of the hand/)
    expect(shown.stdout).toMatch(/Research software/)
    const report = JSON.parse(jointlens('assess', palm, '--json').stdout) as Report
    expect(report.hands[0]?.joints.every(({ probability, reason }) => probability === null && reason === 'palmar-view')).toBe(true)
    expect(report.count).toEqual({ swollen: 0, assessable: 0, of: 22, low: 0, high: 0 })
    const table = join(base, 'table.jpg')
    await sharp({ create: { width: 800, height: 600, channels: 3, background: '#a08060' } }).jpeg().toFile(table)
    const empty = jointlens('assess', table)
    expect(empty.exit).toBe(3)
    expect(empty.stderr).toMatch(/table\.jpg: no hand was found\. Photograph the back/)
  })

  test('tells bad use (2), a refused photo (3) and a bad model (5) apart, each with its reason', async () => {
    const heic = join(base, 'phone.jpg')
    await writeFile(heic, Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypheic\0\0\0\0mif1heic', 'latin1')]))
    expect(jointlens('assess')).toMatchObject({ exit: 2, stdout: '' })
    expect(jointlens('assess', left, right, left)).toMatchObject({ exit: 2, stdout: '' })
    expect(jointlens('assess', join(base, 'none.jpg'))).toMatchObject({ exit: 2, stdout: '', stderr: expect.stringMatching(/^ERR_USAGE: .*none\.jpg/) as unknown })
    expect(jointlens('assess', left, heic)).toMatchObject({ exit: 3, stdout: '', stderr: expect.stringMatching(/^ERR_PHOTO_HEIC: phone\.jpg: .*send JPEG/) as unknown })
    expect(jointlens('assess', left, '--model', base)).toMatchObject({ exit: 5, stdout: '', stderr: expect.stringMatching(/^ERR_MODEL_INVALID/) as unknown })
    expect(jointlens('assess', left, '--calibration', join(base, 'none.json'))).toMatchObject({ exit: 2, stdout: '', stderr: expect.stringMatching(/^ERR_CONFIG/) as unknown })
  })
})

describe('jointlens model verify', () => {
  test('proves a bundle line by line', () => {
    const { exit, stdout, stderr } = jointlens('model', 'verify', model)
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(stdout.match(/^OK {2}(files|operators|joint order|golden outputs)/gm)).toHaveLength(4)
    expect(stdout).toMatch(/^digest [0-9a-f]{64}$/m)
  })

  test('ends with 5 at the first thing that does not hold', async () => {
    const dir = join(base, 'golden')
    await writeTestBundle(dir, { change: ({ golden }) => { (golden.logits[1] as number[])[0] = 7 } })
    const golden = jointlens('model', 'verify', dir)
    expect(golden).toMatchObject({ exit: 5, stderr: expect.stringMatching(/^ERR_MODEL_INVALID: Expected the golden logit 7/) as unknown })
    expect(golden.stdout).toMatch(/OK {2}joint order/)
    expect(golden.stdout).not.toMatch(/golden outputs/)
    await writeFile(join(dir, 'model.onnx'), 'x')
    expect(jointlens('model', 'verify', dir)).toMatchObject({ exit: 5, stdout: '' })
  })
})

describe('jointlens calibrate', () => {
  test("turns a site's labels into a calibration file of this model that assess then uses", async () => {
    // Labels that follow the scores, loosely: what a site whose model works would send.
    const names = (await readdir(photos)).filter((name) => name.endsWith('.jpg'))
    const engine = await openEngine({ modelDir: model, workers: 1, photoTimeoutMs: 120_000 })
    const read = await Promise.all(names.map(async (photo) => ({ photo, ...await engine.assess(await readFile(join(photos, photo))) })))
    await engine.close()
    const rows = read.flatMap(({ photo, hands }) => hands.flatMap(({ side, joints }) => joints.flatMap((one, index) =>
      one.kind === 'assessed' ? [{ photo, side, joint: one.joint, probability: one.probability + (index % 3 - 1) * 0.03 }] : [])))
    const middle = rows.map(({ probability }) => probability).sort((a, b) => a - b)[Math.floor(rows.length * 0.6)] ?? 0
    const csv = ['photo,side,joint,label,patient', ...rows.map(({ photo, side, joint, probability }) => `${photo},${side},${joint},${probability > middle ? 1 : 0},${photo.slice(0, 6)}`)]
    const [labels, out] = [join(base, 'labels.csv'), join(base, 'site.json')]
    const unread = join(base, 'photos')
    await cp(photos, unread, { recursive: true })
    await writeFile(join(unread, 'phone.jpg'), 'no photo')
    csv.push('phone.jpg,left,mcp2,1,other', 'demo-2-left.jpg,right,mcp2,1,demo-2')
    await writeFile(labels, csv.join('\n'))
    const done = jointlens('calibrate', '--photos', unread, '--labels', labels, '--out', out)
    expect(done.exit).toBe(0)
    expect(done.stdout).toMatch(/^Left out: "phone\.jpg": ERR_PHOTO_FORMAT: .*\.$/m)
    expect(done.stdout).toMatch(/^Left out: "demo-2-left\.jpg": no labelled joint of a right hand can be read in it$/m)
    expect(done.stdout).toMatch(/^Only \d patients have a swollen joint: too few to say/m)
    expect(done.stdout).toMatch(/Calibrated with \d+ joints \(\d+ swollen\) of 4 patients of this site/)
    expect(done.stdout).toMatch(/from the model: a site's own needs at least 9 patients/)
    const { digest } = (await readModelBundle(model)).identity
    const calibration = readCalibrationFile(out, digest)
    expect(calibration.temperature).toBeGreaterThan(0)
    const before = JSON.parse(jointlens('assess', left, '--json').stdout) as Report
    const after = JSON.parse(jointlens('assess', left, '--json', '--calibration', out).stdout) as Report
    expect(after.hands[0]?.joints[0]?.['probability']).not.toBe(before.hands[0]?.joints[0]?.['probability'])
    expect((JSON.parse(await readFile(out, 'utf8')) as { modelDigest: string }).modelDigest).toBe(digest)
  }, 180_000)

  test('says of a fine-tuned model that it needs people it did not learn from', async () => {
    const [tuned, labels] = [join(base, 'tuned'), join(base, 'few.csv')]
    await writeTestBundle(tuned, { change: (manifest) => { Object.assign(manifest.training, { base: '0'.repeat(64) }) } })
    await writeFile(labels, 'photo,side,joint,label\ndemo-1-left.jpg,left,mcp2,1\n')
    expect(jointlens('calibrate', '--photos', photos, '--labels', labels, '--out', join(base, 'never.json'), '--model', tuned))
      .toMatchObject({ exit: 3, stdout: expect.stringMatching(/^This model was fine-tuned: .*Calibrate on others/) as unknown })
  })

  test('refuses too few labels, faulty ones and photos that are not there', async () => {
    const labels = join(base, 'few.csv')
    await writeFile(labels, 'photo,side,joint,label\ndemo-1-left.jpg,left,mcp2,1\ndemo-1-left.jpg,left,mcp3,0\n')
    const args = ['calibrate', '--photos', photos, '--labels', labels, '--out', join(base, 'never.json')]
    expect(jointlens(...args)).toMatchObject({ exit: 3, stdout: '', stderr: expect.stringMatching(/ERR_CALIBRATION_DATA: Expected at least 20 swollen and 20 not swollen joints that can be read but received 1 and 1/) as unknown })
    await writeFile(labels, 'photo,side,joint,label\nnowhere.jpg,left,mcp2,1\n')
    expect(jointlens(...args)).toMatchObject({ exit: 2, stderr: expect.stringMatching(/ERR_USAGE: .*nowhere\.jpg/) as unknown })
    await writeFile(labels, 'photo,side,joint,label\na.jpg,left,mcp9,1\n')
    expect(jointlens(...args)).toMatchObject({ exit: 3, stderr: expect.stringMatching(/line 2/) as unknown })
    expect(await readdir(base)).not.toContain('never.json')
  })
})
