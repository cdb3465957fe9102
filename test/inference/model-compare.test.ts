import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { Command } from 'commander'
import type { Comparison } from '../../src/cli/comparison-report.ts'
import { addCompareCommand } from '../../src/cli/model-compare.ts'
import { isScreeningError } from '../../src/errors.ts'
import { openEngine } from '../../src/inference/engine/open-engine.ts'
import { readModelBundle } from '../../src/inference/model-bundle.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { writeTestBundle } from '../support/test-bundle.ts'

const root = join(import.meta.dirname, '../..')
const demo = join(root, 'demo/photos')
const PAIR = { scale: 0.9, mirror: 0.6, across: 0.3, bias: 0.2, floor: 0.02 }
const names = ['demo-1-left.jpg', 'demo-1-right.jpg', 'demo-2-left.jpg', 'demo-2-right.jpg', 'demo-3-left.jpg', 'demo-5-2026-06-left.jpg']
/** Opening a model is slow where the machine is shared. */
jest.setTimeout(300_000)

interface Said { readonly photo: string; readonly joint: string; readonly probability: number; readonly inflamed: boolean }

let base: string
let old: string
let fresh: string
let photos: string
/** What each bundle says of the photos one by one, asked without the command. */
let before: readonly Said[]
let after: readonly Said[]
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'compare-'))
  ;[old, fresh, photos] = [join(base, 'old'), join(base, 'new'), join(base, 'photos')] as [string, string, string]
  await writeTestBundle(old)
  // Another threshold, other priors and the other hand: real calls of a real network that change.
  await writeTestBundle(fresh, { change: (manifest) => {
    manifest.version = '0.0.2'
    manifest.calibration.priorLogOdds = HAND_JOINTS.map((_, index) => -1.5 + 0.2 * Math.sin(index))
    manifest.calibration.pair = PAIR
    manifest.calibration.thresholds.f1 = 0.25
  } })
  await mkdir(photos)
  for (const name of names) await cp(join(demo, name), join(photos, name))
  ;[before, after] = [await alone(old), await alone(fresh)]
}, 300_000)
afterAll(async () => { await rm(base, { recursive: true, force: true }) })

async function alone(model: string): Promise<readonly Said[]> {
  const engine = await openEngine({ modelDir: model, workers: 1, photoTimeoutMs: 120_000 })
  try {
    const said: Said[] = []
    for (const photo of names)
      for (const { joints } of (await engine.assess(await readFile(join(demo, photo)))).hands)
        said.push(...joints.flatMap((one) => one.kind === 'assessed' ? [{ photo, joint: one.joint, probability: one.probability, inflamed: one.inflamed }] : []))
    return said
  } finally {
    await engine.close()
  }
}

/** As a person starts it. */
function jointlens(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'test/support/inference-cli.ts'), ...args],
    { cwd: base, encoding: 'utf8', timeout: 280_000 })
  return { exit: status, stdout, stderr }
}
const compare = (...args: string[]) => jointlens('model', 'compare', old, fresh, ...args)

/** The code and words that the command ends with before it reads a photo. */
async function refusal(...args: string[]) {
  const program = new Command('model').exitOverride()
  addCompareCommand(program, () => Promise.reject(new Error('Expected no record')), () => Promise.reject(new Error('Expected no engine')))
  const error = await program.parseAsync(['node', 'model', 'compare', ...args]).then(() => undefined, (thrown: unknown) => thrown)
  return isScreeningError(error) ? [error.exitCode, `${error.code}: ${error.message}`] : error
}

/** Every third joint swollen, beginning elsewhere on each photo; the two photos of a patient are one visit. */
const label = (photo: string, index: number) => Number((index + names.indexOf(photo)) % 3 === 0)
const labelsOf = ({ visits, joints }: { visits: boolean; joints: number }) => [
  `photo,side,joint,label,patient${visits ? ',visit' : ''}`,
  ...names.flatMap((photo) => HAND_JOINTS.slice(0, joints).map((joint, index) =>
    [photo, photo.includes('left') ? 'left' : 'right', joint, label(photo, index), photo.slice(0, 6), ...visits ? ['1'] : []].join(',')))
].join('\n')
const rowsOf = async (out: string) => (await readFile(join(out, 'joints.csv'), 'utf8')).trim().split('\r\n').slice(1).map((row) => row.split(','))
const isIt = ({ photo, joint }: { photo?: string; joint: string }) => (photo ?? 'demo-1-left.jpg') === 'demo-1-left.jpg' && joint === 'mcp2'

describe('jointlens model compare', () => {
  test('prints exactly the promised JSON of a folder, and every figure follows from what each bundle says of each photo', async () => {
    const { exit, stdout, stderr } = compare('--photos', photos, '--json')
    expect(exit).toBe(0)
    expect(stderr.trim().split('\n').at(-1)).toBe('{"done":6,"total":6}')
    const report = JSON.parse(stdout) as Comparison
    expect(Object.keys(report)).toEqual([
      'old', 'new', 'source', 'photos', 'patients', 'visits', 'visitsOfSeveralPhotos', 'hands', 'joints', 'calls', 'count', 'largestChanges', 'differences',
      'labels', 'verdict', 'next'
    ])
    const identity = async (dir: string) => (await readModelBundle(dir)).identity
    expect(report).toMatchObject({
      old: { ...await identity(old), evidence: 'synthetic', calibration: { from: 'bundle', data: 'test data', threshold: 0.35 } },
      new: { ...await identity(fresh), evidence: 'synthetic', calibration: { from: 'bundle', data: 'test data', threshold: 0.25 } },
      source: { from: 'folder' }, photos: { read: 6, refused: [] }, patients: null, visits: 6, visitsOfSeveralPhotos: 0, hands: { old: 6, new: 6 }, labels: null
    })

    const pairs = before.map((one, index) => ({ ...one, after: after[index] as typeof one }))
    expect(pairs.every(({ photo, joint, after: other }) => photo === other.photo && joint === other.joint)).toBe(true)
    const [onlyOld, onlyNew] = [true, false].map((was) => pairs.filter(({ inflamed, after: other }) => inflamed === was && other.inflamed !== was).length) as [number, number]
    expect(onlyOld + onlyNew).toBeGreaterThan(0)
    expect(report.joints).toEqual({ both: 66, onlyOld: 0, onlyNew: 0 })
    expect(report.calls).toEqual({ equal: 66 - onlyOld - onlyNew, share: (66 - onlyOld - onlyNew) / 66, onlyOld, onlyNew })
    const changes = names.map((name) => [after, before].map((all) => all.filter((one) => one.photo === name && one.inflamed).length) as [number, number])
    expect(report.count).toMatchObject({ visits: 6, mean: changes.reduce((sum, [is, was]) => sum + is - was, 0) / 6, changed: changes.filter(([is, was]) => is !== was).length })
    const largest = pairs.map(({ probability, after: other }) => other.probability - probability).sort((a, b) => Math.abs(b) - Math.abs(a))
    expect(report.largestChanges.map(({ change }) => change)).toEqual(largest.slice(0, 10))
    expect(Object.keys(report.largestChanges[0] ?? {})).toEqual(['photo', 'side', 'joint', 'old', 'new', 'change', 'oldInflamed', 'newInflamed'])
    expect(Object.entries(report.differences).map(([group, { joints }]) => [group, joints])).toEqual([['wrist', 6], ['mcp', 30], ['pip', 30], ['all', 66]])
    expect(Object.keys(report.differences.all)).toEqual(['joints', 'mean', 'meanAbsolute', 'p5', 'median', 'p95'])
    expect(report.verdict).toContain('Without labels this says what changed, not which of the two is right.')
    expect(report.next).toMatch(/nothing was switched over.*set JOINTLENS_MODEL to .*new, make the site's calibration anew with "jointlens calibrate --model .*new" on people that it did not learn from/)
  })

  test('weighs the hands of a visit together where the labels name patient and visit', async () => {
    const table = join(base, 'labels.csv')
    const { hands } = JSON.parse(jointlens('assess', join(demo, 'demo-1-left.jpg'), join(demo, 'demo-1-right.jpg'), '--model', fresh, '--json').stdout) as { hands: { joints: Said[] }[] }
    const together = hands[0]?.joints.find(isIt)
    expect(together?.probability).not.toBe(after.find(isIt)?.probability)

    await writeFile(table, `${labelsOf({ visits: true, joints: 4 })}\ndemo-3-left.jpg,right,wrist,1,demo-3,1\n`)
    const out = join(base, 'visits')
    const { exit, stdout } = compare('--photos', photos, '--labels', table, '--out', out, '--json')
    expect(exit).toBe(0)
    const report = JSON.parse(stdout) as Comparison
    expect(report).toMatchObject({ patients: 4, visits: 4, visitsOfSeveralPhotos: 2 })
    expect(Number((await rowsOf(out)).find(([photo, side, joint]) => photo === 'demo-1-left.jpg' && side === 'left' && joint === 'mcp2')?.[4])).toBe(together?.probability)
    expect(JSON.parse(await readFile(join(out, 'comparison.json'), 'utf8'))).toEqual(report)
    expect((await stat(join(out, 'joints.csv'))).mode & 0o077).toBe(0)
    // Of 24 labels 8 are swollen; the right hand that one more names is not in its photo.
    expect(report.labels).toEqual({ joints: 24, swollen: 8, groups: 4, visits: 4, leftOut: 1, tooFew: true })
    expect(report.verdict.at(-1)).toBe('Too few labels to say which of the two is right.')
    expect(await refusal(old, fresh, '--photos', photos, '--out', out)).toEqual([2, expect.stringMatching(/new or empty folder but ".*" holds 3 files/)])
  })

  test('says in words which is right where labels are enough, with the line about research, and ends with what a person does next', async () => {
    const table = join(base, 'all.csv')
    await writeFile(table, labelsOf({ visits: false, joints: 11 }))
    const out = join(base, 'figures')
    const { exit, stdout } = compare('--photos', photos, '--labels', table, '--out', out)
    expect(exit).toBe(0)
    expect(await readFile(join(out, 'comparison.txt'), 'utf8')).toBe(stdout)
    const { labels, ...report } = JSON.parse(await readFile(join(out, 'comparison.json'), 'utf8')) as Comparison
    // Without a visit in the labels every photo stands alone.
    expect(report).toMatchObject({ patients: 4, visits: 6, visitsOfSeveralPhotos: 0 })
    expect((await rowsOf(out)).map((row) => Number(row[4]))).toEqual(after.map(({ probability }) => probability))
    expect(labels).toMatchObject({ joints: 66, swollen: 22, groups: 4, visits: 6, leftOut: 0, tooFew: false })
    for (const [said, figure] of [[before, 'old'], [after, 'new']] as const) {
      const cell = (flagged: boolean, swollen: number) =>
        said.filter(({ photo, joint, inflamed }) => inflamed === flagged && label(photo, HAND_JOINTS.findIndex((one) => one === joint)) === swollen).length
      const [hits, missed, alarms, clear] = [cell(true, 1), cell(false, 1), cell(true, 0), cell(false, 0)]
      expect(labels?.figures?.sensitivity[figure]).toEqual({ value: hits / (hits + missed), low: null, high: null })
      expect(labels?.figures?.specificity[figure].value).toBe(clear / (clear + alarms))
      expect(labels?.figures?.f1[figure].value).toBe(2 * hits / (2 * hits + missed + alarms))
      const errors = names.map((name, photo) => said.filter((one) => one.photo === name && one.inflamed).length - HAND_JOINTS.filter((_, index) => (index + photo) % 3 === 0).length)
      expect(labels?.figures?.countError[figure].value).toBeCloseTo(errors.reduce((sum, error) => sum + Math.abs(error), 0) / 6, 12)
    }
    expect(stdout).toMatch(/^Old {2}hand-joints 0\.0\.1 \([0-9a-f]{12}, evidence synthetic\), its own calibration: test data; a joint counts from 35 %$/m)
    expect(stdout).toMatch(/^6 photos read by both, 0 refused; 6 hands, 6 visits, each photo by itself, 4 patients\.$/m)
    expect(stdout).toMatch(/^Calls: \d+ of 66 equal \(\d+\.\d %\), \d+ flagged only by the old model, \d+ only by the new one\.$/m)
    expect(stdout).toMatch(/^ {2}demo-\S+-(left|right)\.jpg {2}(left|right) [\w ]+ {2}\d+ % → \d+ % \([+−]\d+\.\d\)/m)
    expect(stdout).toMatch(/Against the labels: 66 joints that both could assess, 22 swollen, of 4 patients \(6 visits\); 0 labels left out\./)
    expect(stdout).toMatch(/Too few for one: that needs 10\. They hold only for people from whom neither model nor calibration learned\.$/m)
    expect(stdout).toMatch(/^What changed:$/m)
    const [research, next] = stdout.trimEnd().split('\n').slice(-2)
    expect(research).toMatch(/Research software.*Not a diagnosis/)
    expect(next).toMatch(/^Next: nothing was switched over; a person decides\. To go on, set JOINTLENS_MODEL/)
  })

  test('reads each bundle with the calibration file of its own, and counts a photo that cannot be read and goes on', async () => {
    const { digest } = (await readModelBundle(fresh)).identity
    const file = join(base, 'site.json')
    const { calibration } = JSON.parse(await readFile(join(old, 'manifest.json'), 'utf8')) as { calibration: { thresholds: object } }
    await writeFile(file, JSON.stringify({ modelDigest: digest, calibration: { ...calibration, thresholds: { ...calibration.thresholds, f1: 0.99 }, data: 'the site' } }))
    const mixed = join(base, 'mixed')
    await mkdir(join(mixed, 'phone'), { recursive: true })
    await cp(join(demo, 'demo-1-left.jpg'), join(mixed, 'hand.JPG'))
    await writeFile(join(mixed, 'phone', 'a.heic'), Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypheic\0\0\0\0mif1heic', 'latin1')]))
    await writeFile(join(mixed, 'notes.txt'), 'no photo')
    const { exit, stdout } = compare('--photos', mixed, '--calibration-new', file, '--json')
    expect(exit).toBe(0)
    const report = JSON.parse(stdout) as Comparison
    expect(report.photos).toEqual({ read: 1, refused: [{ photo: 'phone/a.heic', code: 'ERR_PHOTO_HEIC', by: 'both' }] })
    expect(report.new.calibration).toEqual({ from: 'file', data: 'the site', threshold: 0.99 })
    expect(report.calls).toMatchObject({ onlyOld: before.filter(({ photo, inflamed }) => photo === 'demo-1-left.jpg' && inflamed).length, onlyNew: 0 })
    expect(report.next).toContain(`name ${file} in calibrationFile`)
    expect(await refusal(old, fresh, '--photos', photos, '--calibration-old', file)).toEqual([2, expect.stringMatching(/ERR_CONFIG: .*calibrate this model anew/)])
  })

  test('ends with 3 when both could read none', async () => {
    const phone = join(base, 'phone')
    await mkdir(phone)
    await writeFile(join(phone, 'a.jpg'), 'not a photo')
    const { exit, stdout, stderr } = compare('--photos', phone)
    expect(exit).toBe(3)
    expect(stderr).toMatch(/No joint could be read by both models\.\n$/)
    expect(stdout).toMatch(/1 refused \(1 ERR_PHOTO_FORMAT\)/)
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^Next: choose photos of the backs of hands/)
  })

  test('refuses two bundles of one digest, bad use (2), faulty labels (3) and a bad model (5) before it reads a photo, each with its reason', async () => {
    const table = join(base, 'faulty.csv')
    const same = join(base, 'same')
    await cp(old, same, { recursive: true })
    const words = (pattern: RegExp) => expect.stringMatching(pattern) as unknown
    expect(await refusal(old, same, '--photos', photos)).toEqual([2, words(/^ERR_USAGE: Expected two different models but .*same" hold the same one, digest [0-9a-f]{64}$/)])
    for (const args of [[], ['--photos', photos, '--recent', '3'], ['--photos', photos, '--tenant', 'a'], ['--recent', '3', '--labels', table], ['--recent', 'soon']])
      expect(await refusal(old, fresh, ...args)).toEqual([2, words(/^ERR_USAGE: Expected/)])
    expect(await refusal(old, fresh, '--photos', join(base, 'nowhere'))).toEqual([2, words(/^ERR_USAGE: Expected a folder of photos/)])
    expect(await refusal(old, fresh, '--photos', old)).toEqual([2, words(/^ERR_USAGE: Expected photos \(JPEG/)])
    const withLabels = async (csv: string) => {
      await writeFile(table, csv)
      return refusal(old, fresh, '--photos', photos, '--labels', table)
    }
    expect(await withLabels('photo,side,joint,label\nnone.jpg,left,wrist,1\n')).toEqual([2, words(/^ERR_USAGE: Expected the photo "none\.jpg"/)])
    expect(await withLabels('photo,side,joint,label\n')).toEqual([3, words(/^ERR_CALIBRATION_DATA: Expected labels below the header/)])
    expect(await withLabels('photo,side,joint,label,patient\ndemo-1-left.jpg,left,wrist,1,a\ndemo-1-left.jpg,left,mcp1,1,b\n'))
      .toEqual([3, words(/^ERR_CALIBRATION_DATA: Expected the patient . of demo-1-left\.jpg in line 3/)])
    expect(await refusal(old, base, '--photos', photos)).toEqual([5, words(/^ERR_MODEL_INVALID: new model: /)])
    const golden = join(base, 'golden')
    await writeTestBundle(golden, { change: (manifest) => { manifest.version = '0.0.3'; (manifest.golden.logits[1] as number[])[0] = 7 } })
    expect(jointlens('model', 'compare', golden, fresh, '--photos', photos))
      .toMatchObject({ exit: 5, stdout: '', stderr: words(/^ERR_MODEL_INVALID: old model: Expected the golden logit 7/) })
  })
})
