import * as ort from './onnx-runtime.ts'
import { ScreeningError } from '../errors.ts'
import { HAND_JOINTS } from '../joints/hand-joint.ts'
import { goldenHandBytes, type ModelBundle, type ModelManifest } from './model-bundle.ts'

export type Device = 'auto' | 'cpu' | 'webgpu' | 'cuda'

/** One hand as the network sees it: crops of the canonical hand, u8 RGB, HWC. */
export interface HandInput {
  /** S*S*3 */
  readonly global: Uint8Array
  /** 11*h*h*3 */
  readonly local: Uint8Array
  /** 11 joint positions in the global image, x then y, 0..1. */
  readonly xy: Float32Array
  /** 11 flags, 1 = assessable. */
  readonly mask: Uint8Array
}

export interface JointModel {
  /** What the session really runs on, for example `cpu` or `cpu (cuda not available)`. */
  readonly executionProvider: string
  /** 11 uncalibrated logits per hand. `pairs[i]` is the row of the same patient's other hand, or -1. Throws ERR_MODEL_OUTPUT. */
  logits(hands: readonly HandInput[], pairs?: readonly number[]): Promise<readonly Float32Array[]>
  close(): Promise<void>
}

const JOINTS = HAND_JOINTS.length
const INPUTS = ['global', 'local', 'xy', 'mask', 'pair_index']

/**
 * Opens the bundle's network, checks names, types and shapes of what goes in and out and runs the golden hands. A GPU is
 * only tried when asked for; without one the processor is used and `executionProvider` says so.
 * Throws ERR_MODEL_INVALID (not the model of the manifest) or ERR_MODEL_OUTPUT (golden outputs differ).
 */
export async function openJointModel(bundle: ModelBundle, { device = 'auto' }: { device?: Device } = {}): Promise<JointModel> {
  const { session, executionProvider } = await openSession(bundle.onnx, device)
  try {
    checkSignature(session, bundle.manifest)
    const model = makeModel(session, executionProvider, bundle.manifest)
    await checkGolden(model, bundle)
    return model
  } catch (error) {
    await session.release()
    throw error
  }
}

async function openSession(onnx: Uint8Array, device: Device) {
  if (device === 'webgpu' || device === 'cuda') {
    try {
      return { session: await createSession(onnx, device), executionProvider: device as string }
    } catch {
      return { session: await createSession(onnx, 'cpu'), executionProvider: `cpu (${device} not available)` }
    }
  }
  return { session: await createSession(onnx, 'cpu'), executionProvider: 'cpu' }
}

/** One thread, no spinning: the engine runs one session per worker (stack.md, onnxruntime-node). */
async function createSession(onnx: Uint8Array, provider: string): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(onnx, {
      executionProviders: [provider],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } }
    })
  } catch (cause) {
    throw new ScreeningError('ERR_MODEL_INVALID', `Expected a network that runs on ${provider} but the runtime refused it`, { cause })
  }
}

function makeModel(session: ort.InferenceSession, executionProvider: string, manifest: ModelManifest): JointModel {
  const normalise = normaliser(manifest)
  return {
    executionProvider,
    async logits(hands, pairs = hands.map(() => -1)) {
      if (hands.length === 0) return []
      const all = feedsFor(hands, pairs, manifest, normalise)
      const feeds = Object.fromEntries(session.inputNames.map((name) => [name, all[name as keyof typeof all]()]))
      const { logit } = await session.run(feeds, ['logit'])
      return splitLogits(logit, hands.length)
    },
    close: () => session.release()
  }
}

/** Tensors by input name, made only when the session asks for them. */
function feedsFor(hands: readonly HandInput[], pairs: readonly number[], { inputs }: ModelManifest, normalise: Normaliser) {
  const count = hands.length
  const { global: { size: S }, local: { size: h } } = inputs
  return {
    global: () => new ort.Tensor('float32', normalise(hands.map((hand) => hand.global), S), [count, 3, S, S]),
    local: () => new ort.Tensor('float32', normalise(hands.map((hand) => hand.local), h), [count, JOINTS, 3, h, h]),
    xy: () => new ort.Tensor('float32', Float32Array.from(hands.flatMap((hand) => [...hand.xy])), [count, JOINTS, 2]),
    mask: () => new ort.Tensor('float32', Float32Array.from(hands.flatMap((hand) => [...hand.mask])), [count, JOINTS]),
    pair_index: () => new ort.Tensor('int64', BigInt64Array.from(pairs.map(BigInt)), [count])
  }
}

type Normaliser = (images: readonly Uint8Array[], side: number) => Float32Array

/** u8 HWC images of `side` pixels (several may lie in one array) to float32 CHW: `(u8 / 255 - mean) / std`. */
function normaliser({ inputs: { mean, std } }: ModelManifest): Normaliser {
  const tables = [0, 1, 2].map((channel) =>
    Float32Array.from({ length: 256 }, (_, value) => (value / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 1)))
  return (images, side) => {
    const plane = side * side
    const total = images.reduce((sum, image) => sum + image.length, 0)
    const out = new Float32Array(total)
    let base = 0
    for (const image of images) {
      if (image.length % (plane * 3) !== 0) throw new Error(`Expected images of ${side} x ${side} x 3 bytes but received ${image.length}`)
      for (let start = 0; start < image.length; start += plane * 3) {
        for (const [channel, table] of tables.entries()) {
          const to = base + start + channel * plane
          for (let pixel = 0, from = start + channel; pixel < plane; pixel++, from += 3)
            out[to + pixel] = table[image[from] as number] as number
        }
      }
      base += image.length
    }
    return out
  }
}

function splitLogits(output: ort.Tensor | undefined, count: number): readonly Float32Array[] {
  const data = output?.data
  if (!(data instanceof Float32Array) || data.length !== count * JOINTS)
    throw new ScreeningError('ERR_MODEL_OUTPUT', `Expected ${count} x ${JOINTS} logits but received ${data?.length ?? 'none'}`)
  if (!data.every(Number.isFinite))
    throw new ScreeningError('ERR_MODEL_OUTPUT', 'Expected finite logits but received a value that is not a number')
  return Array.from({ length: count }, (_, hand) => data.slice(hand * JOINTS, (hand + 1) * JOINTS))
}

function checkSignature(session: ort.InferenceSession, { inputs }: ModelManifest): void {
  const { global: { size: S }, local: { size: h } } = inputs
  const shapes: Record<string, readonly number[]> = {
    global: [3, S, S], local: [JOINTS, 3, h, h], xy: [JOINTS, 2], mask: [JOINTS], pair_index: [], logit: [JOINTS]
  }
  const names = session.inputNames
  if (!names.includes('global') || !names.includes('local') || names.some((name) => !INPUTS.includes(name)))
    throw invalid(`Expected the inputs global and local (optionally xy, mask, pair_index) but received ${names.join(', ')}`)
  if (!session.outputNames.includes('logit'))
    throw invalid(`Expected an output logit but received ${session.outputNames.join(', ')}`)
  const logit = session.outputMetadata.filter(({ name }) => name === 'logit')
  for (const value of [...session.inputMetadata, ...logit]) {
    const expected = shapes[value.name] ?? []
    const type = value.name === 'pair_index' ? 'int64' : 'float32'
    if (!value.isTensor || value.type !== type) throw invalid(`Expected ${value.name} to be a ${type} tensor`)
    const [rows, ...rest] = value.shape
    if (typeof rows === 'number' && rows > 0) throw invalid(`Expected ${value.name} to take any number of hands but received ${rows}`)
    if (rest.join() !== expected.join())
      throw invalid(`Expected the shape N,${expected.join()} for ${value.name} but received ${value.shape.join()}`)
  }
}

/** The golden hands must give the golden logits (training section 11.5). They carry no position: centre, assessable, unpaired. */
async function checkGolden(model: JointModel, { manifest, goldenInputs }: ModelBundle): Promise<void> {
  const { global, local } = goldenHandBytes(manifest)
  const { hands, logits: expected, tolerance } = manifest.golden
  const inputs = Array.from({ length: hands }, (_, hand): HandInput => {
    const start = hand * (global + local)
    return {
      global: goldenInputs.subarray(start, start + global),
      local: goldenInputs.subarray(start + global, start + global + local),
      xy: new Float32Array(JOINTS * 2).fill(0.5),
      mask: new Uint8Array(JOINTS).fill(1)
    }
  })
  const actual = await model.logits(inputs)
  for (const [hand, row] of expected.entries()) {
    for (const [joint, logit] of row.entries()) {
      const given = actual[hand]?.[joint] ?? NaN
      if (!(Math.abs(given - logit) <= tolerance))
        throw new ScreeningError('ERR_MODEL_INVALID', `Expected the golden logit ${logit} for ${HAND_JOINTS[joint]} of golden hand ${hand} but received ${given}`)
    }
  }
}

const invalid = (message: string) => new ScreeningError('ERR_MODEL_INVALID', message)
