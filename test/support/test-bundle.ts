import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { ModelManifest } from '../../src/inference/model-bundle.ts'
import * as ort from '../../src/inference/onnx-runtime.ts'
import { input, model, node, output, weights } from './onnx-writer.ts'

export interface TestBundleOptions {
  /** Side of the global image and of the joint crops; small ones keep tests quick. */
  readonly global?: number
  readonly local?: number
  /** Replaces the network. */
  readonly onnx?: Uint8Array
  /** Changes the manifest before it is written, digests included. */
  readonly change?: (manifest: ModelManifest) => unknown
}

const JOINTS = HAND_JOINTS.length

/**
 * Writes a complete, valid model bundle with a real (tiny) network into `dir` and returns its manifest. The network says
 * how red each joint's crop is, next to the whole hand's brightness: its logits depend on every input.
 */
export async function writeTestBundle(dir: string, options: TestBundleOptions = {}): Promise<ModelManifest> {
  const { global = 64, local = 32 } = options
  const onnx = options.onnx ?? testNetwork(global, local)
  const golden = goldenInputs(global, local)
  const card = { name: 'hand-joints', evidence: 'synthetic', note: 'A test network. Not trained.' }
  const files: Record<string, Uint8Array> = {
    'model.onnx': onnx,
    'golden/inputs.u8': golden,
    'MODEL_CARD.md': Buffer.from('# Test network\n\nNot trained; for tests only.\n'),
    'model-card.json': Buffer.from(JSON.stringify(card))
  }
  const manifest: ModelManifest = {
    schema: 1, name: 'hand-joints', version: '0.0.1', serial: 1, tier: 'S', fusion: 'paper', status: 'research', evidence: 'synthetic',
    files: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, { sha256: sha256(bytes), bytes: bytes.length }])),
    inputs: { global: { size: global }, local: { size: local }, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], colour: 'rgb' },
    jointOrder: [...HAND_JOINTS],
    crops: { globalMargin: 0.15, scales: { wrist: 1, mcp: 0.55, pip: 0.45 }, mcpProximalShift: 0 },
    opset: 17,
    operators: ['Add', 'Gemm', 'GlobalAveragePool', 'Flatten', 'MatMul', 'ReduceMean', 'Squeeze'].sort(),
    runtime: 'onnxruntime-node 1.30.0',
    landmarks: { package: '@mediapipe/hands@0.4.1675469240' },
    calibration: {
      priorLogOdds: HAND_JOINTS.map(() => -1.5), temperature: 1.2, bias: 0.1,
      thresholds: { f1: 0.35, gmean: 0.2, sensitivity90: 0.1 }, interval: { factor: 1.6, level: 0.9 }, patients: 20, data: 'test data'
    },
    gates: { handPresence: 0.5, palmLengthFraction: 0.08, minSharpness: 0, minBrightness: 0.08, maxBrightness: 0.97, minSideConfidence: 0.6, minCropPx: 8 },
    golden: { hands: 2, inputs: 'golden/inputs.u8', logits: await goldenLogits(onnx, golden, global, local), tolerance: 0.001 },
    training: { command: 'none', seed: 1, commit: 'none', dataSha256: '0'.repeat(64) },
    labels: { source: 'test' },
    weightLicence: 'Apache-2.0'
  }
  options.change?.(manifest)
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), bytes)
  }
  await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest, null, 2))
  return manifest
}

/** GlobalAveragePool and Gemm over the hand, mean colour and MatMul over each joint, added: `logit [N,11]`. */
export function testNetwork(global = 64, local = 32): Uint8Array {
  const mixing = Float32Array.from({ length: 3 * JOINTS }, (_, index) => 0.1 * Math.sin(index + 1))
  return model([
    node('GlobalAveragePool', ['global'], ['hand']),
    node('Flatten', ['hand'], ['handColour'], { axis: 1 }),
    node('Gemm', ['handColour', 'mixing', 'offsets'], ['handTerm']),
    node('ReduceMean', ['local'], ['jointColour'], { axes: [3, 4], keepdims: 0 }),
    node('MatMul', ['jointColour', 'redness'], ['jointColumn']),
    node('Squeeze', ['jointColumn', 'lastAxis'], ['jointTerm']),
    node('Add', ['handTerm', 'jointTerm'], ['logit']),
    weights('mixing', [3, JOINTS], mixing),
    weights('offsets', [JOINTS], new Float32Array(JOINTS).fill(0.2)),
    weights('redness', [3, 1], Float32Array.from([2, -1, -1])),
    weights('lastAxis', [1], BigInt64Array.from([2n])),
    input('global', ['N', 3, global, global]),
    input('local', ['N', JOINTS, 3, local, local]),
    output('logit', ['N', JOINTS])
  ])
}

/** Two hands of reproducible noise: global u8 HWC, then 11 crops u8 HWC, each. */
function goldenInputs(global: number, local: number): Uint8Array {
  let state = 12345
  return Uint8Array.from({ length: 2 * (global ** 2 * 3 + JOINTS * local ** 2 * 3) }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return state >>> 24
  })
}

/** Computed apart from src/inference, straight with the runtime; zeros for a network that is broken on purpose. */
async function goldenLogits(onnx: Uint8Array, golden: Uint8Array, global: number, local: number): Promise<number[][]> {
  const zeros = [HAND_JOINTS.map(() => 0), HAND_JOINTS.map(() => 0)]
  const session = await ort.InferenceSession.create(onnx, { intraOpNumThreads: 1, logSeverityLevel: 4 }).catch(() => undefined)
  if (!session) return zeros
  if (session.inputNames.length !== 2 || session.outputNames[0] !== 'logit') return zeros
  const mean = [0.485, 0.456, 0.406]
  const std = [0.229, 0.224, 0.225]
  const planar = (bytes: Uint8Array, side: number) => Float32Array.from({ length: bytes.length }, (_, index) => {
    const pixel = index % (side * side)
    const channel = Math.floor(index / (side * side)) % 3
    const image = Math.floor(index / (side * side * 3))
    const value = bytes[(image * side * side + pixel) * 3 + channel] ?? 0
    return (value / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 1)
  })
  const perHand = golden.length / 2
  const rows: number[][] = []
  for (const start of [0, perHand]) {
    const cut = start + global ** 2 * 3
    const { logit } = await session.run({
      global: new ort.Tensor('float32', planar(golden.subarray(start, cut), global), [1, 3, global, global]),
      local: new ort.Tensor('float32', planar(golden.subarray(cut, start + perHand), local), [1, JOINTS, 3, local, local])
    })
    rows.push([...(logit?.data as Float32Array)])
  }
  await session.release()
  return rows
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
