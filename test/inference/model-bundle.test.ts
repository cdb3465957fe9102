import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openJointModel } from '../../src/inference/joint-model.ts'
import { readModelBundle } from '../../src/inference/model-bundle.ts'
import { externalWeights, input, model, node, output, weights } from '../support/onnx-writer.ts'
import { testNetwork, writeTestBundle, type TestBundleOptions } from '../support/test-bundle.ts'

let base: string
let count = 0
const folder = () => join(base, String(count++))

beforeAll(async () => { base = await mkdtemp(join(tmpdir(), 'bundle-')) })
afterAll(async () => { await rm(base, { recursive: true, force: true }) })

/** The code and the words of the refusal, or `accepted`. */
async function refusal(dir: string): Promise<{ code: string; message: string }> {
  try {
    const bundle = await readModelBundle(dir)
    await (await openJointModel(bundle)).close()
    return { code: 'accepted', message: '' }
  } catch (error) {
    return { code: (error as { code?: string }).code ?? '', message: (error as Error).message }
  }
}

const verdict = async (dir: string) => (await refusal(dir)).code

async function verdictOf(options: TestBundleOptions): Promise<string> {
  const dir = folder()
  await writeTestBundle(dir, options)
  return verdict(dir)
}

describe('a model bundle', () => {
  test('that is what its manifest says is accepted and has the digest of its manifest', async () => {
    const dir = folder()
    await writeTestBundle(dir)
    const { identity, calibration } = await readModelBundle(dir)
    expect(identity).toEqual({ name: 'hand-joints', version: '0.0.1', digest: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown })
    expect(calibration.thresholds.f1).toBe(0.35)
    expect(await verdict(dir)).toBe('accepted')
  })

  test.each(['model.onnx', 'golden/inputs.u8', 'MODEL_CARD.md', 'model-card.json'])('with one flipped bit in %s is refused', async (name) => {
    const dir = folder()
    await writeTestBundle(dir)
    const bytes = await readFile(join(dir, name))
    const middle = Math.floor(bytes.length / 2)
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
    await writeFile(join(dir, name), bytes)
    expect(await verdict(dir)).toBe('ERR_MODEL_INVALID')
  })

  test.each(['model.onnx', 'golden/inputs.u8', 'MODEL_CARD.md', 'model-card.json', 'manifest.json'])('without %s is refused', async (name) => {
    const dir = folder()
    await writeTestBundle(dir)
    await rm(join(dir, name))
    expect(await verdict(dir)).toBe('ERR_MODEL_INVALID')
  })

  test('that does not exist is refused', async () => {
    expect(await verdict(folder())).toBe('ERR_MODEL_INVALID')
  })

  test('with a truncated or an enlarged file is refused', async () => {
    const dir = folder()
    await writeTestBundle(dir)
    await writeFile(join(dir, 'model.onnx'), testNetwork().subarray(0, 300))
    expect(await verdict(dir)).toBe('ERR_MODEL_INVALID')
    await writeFile(join(dir, 'model.onnx'), Buffer.concat([testNetwork(), Buffer.alloc(1)]))
    expect(await verdict(dir)).toBe('ERR_MODEL_INVALID')
  })

  test.each(['../secret', '/etc/hostname', 'golden/../../x', 'a\\b', '.hidden', 'golden//x', ''])('that names a file "%s" outside itself is refused', async (name) => {
    expect(await verdictOf({ change: ({ files }) => { files[name] = { sha256: '0'.repeat(64), bytes: 1 } } })).toBe('ERR_MODEL_INVALID')
  })

  test('with a link in place of a file or a folder is refused', async () => {
    const real = folder()
    await writeTestBundle(real)
    const linkedFile = folder()
    await cp(real, linkedFile, { recursive: true })
    await rm(join(linkedFile, 'model.onnx'))
    await symlink(join(real, 'model.onnx'), join(linkedFile, 'model.onnx'))
    expect(await verdict(linkedFile)).toBe('ERR_MODEL_INVALID')
    const linkedFolder = folder()
    await cp(real, linkedFolder, { recursive: true })
    await rm(join(linkedFolder, 'golden'), { recursive: true })
    await symlink(join(real, 'golden'), join(linkedFolder, 'golden'))
    expect(await verdict(linkedFolder)).toBe('ERR_MODEL_INVALID')
  })

  test.each<[string, TestBundleOptions['change']]>([
    ['another joint order', ({ jointOrder }) => jointOrder.reverse()],
    ['another operator set than its graph', (manifest) => { manifest.opset = 18 }],
    ['operators that the graph does not have', ({ operators }) => operators.push('Conv')],
    ['a graph operator that it does not list', ({ operators }) => operators.pop()],
    ['golden logits that the network does not give', ({ golden }) => { (golden.logits[1] as number[])[7] = 9 }],
    ['too few golden logits', ({ golden }) => golden.logits.pop()],
    ['an image size that the network does not take', ({ inputs }) => { inputs.global.size = 32 }],
    ['blue before red', ({ inputs }) => { (inputs as { colour: string }).colour = 'bgr' }],
    ['a temperature of zero', ({ calibration }) => { calibration.temperature = 0 }],
    ['a threshold above one', ({ calibration }) => { calibration.thresholds.f1 = 1.2 }],
    ['ten priors for eleven joints', ({ calibration }) => calibration.priorLogOdds.pop()],
    ['a tolerance that accepts anything', ({ golden }) => { golden.tolerance = 100 }],
    ['another schema', (manifest) => { (manifest as { schema: number }).schema = 2 }]
  ])('with %s is refused', async (_, change) => {
    expect(await verdictOf(change ? { change } : {})).toBe('ERR_MODEL_INVALID')
  })

  test('with a manifest that is not JSON is refused', async () => {
    const dir = folder()
    await writeTestBundle(dir)
    await writeFile(join(dir, 'manifest.json'), '{"schema":1,')
    expect(await verdict(dir)).toBe('ERR_MODEL_INVALID')
  })
})

describe('a network', () => {
  const inputs = [input('global', ['N', 3, 64, 64]), input('local', ['N', 11, 3, 32, 32])]
  const body = (operator: string, domain = '') => [
    node('ReduceMean', ['local'], ['joints'], { axes: [2, 3, 4], keepdims: 0 }),
    node('ReduceMean', ['global'], ['hand'], { axes: [1, 2, 3], keepdims: 0 }),
    node('Unsqueeze', ['hand', 'axis'], ['column']),
    weights('axis', [1], BigInt64Array.from([1n])),
    node('Add', ['joints', 'column'], ['sum']),
    node(operator, ['sum'], ['logit'], {}, domain)
  ]
  const finish = [...inputs, output('logit', ['N', 11])]

  test.each<[string, string, Uint8Array[], string, RegExp]>([
    ['an operator outside the list', 'RandomNormalLike', [...body('RandomNormalLike'), ...finish], 'ERR_MODEL_INVALID', /RandomNormalLike/],
    ['an operator of a foreign domain', 'Relu', [...body('Relu', 'com.example'), ...finish], 'ERR_MODEL_INVALID', /domain "com.example"/],
    ['weights in another file', 'Relu', [...body('Relu'), externalWeights('w', [1], '/etc/hostname'), ...finish], 'ERR_MODEL_INVALID', /external data/],
    ['another output name', 'Neg', [...body('Neg').slice(0, -1), node('Neg', ['sum'], ['score']), ...inputs, output('score', ['N', 11])], 'ERR_MODEL_INVALID', /output logit/],
    ['an unknown input', 'Relu', [...body('Relu'), ...finish, input('secret', ['N', 3])], 'ERR_MODEL_INVALID', /secret/],
    ['a fixed number of hands', 'Relu', [...body('Relu'), input('global', [1, 3, 64, 64]), input('local', [1, 11, 3, 32, 32]), output('logit', [1, 11])], 'ERR_MODEL_INVALID', /any number of hands/],
    ['roots of negative numbers', 'Sqrt', [...body('Sqrt'), ...finish], 'ERR_MODEL_OUTPUT', /finite/]
  ])('with %s is refused', async (_, last, graph, code, words) => {
    const dir = folder()
    await writeTestBundle(dir, {
      onnx: model(graph),
      change: (manifest) => {
        manifest.operators = ['Add', last, 'ReduceMean', 'Unsqueeze'].sort()
        manifest.inputs.mean = [5, 5, 5]
      }
    })
    expect(await refusal(dir)).toEqual({ code, message: expect.stringMatching(words) as unknown })
  })

  test('that is not ONNX at all is refused', async () => {
    expect(await verdictOf({ onnx: Buffer.from('not a network') })).toBe('ERR_MODEL_INVALID')
  })
})
