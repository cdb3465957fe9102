import { createHash } from 'node:crypto'
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { ScreeningError } from '../errors.ts'
import type { ModelIdentity } from '../joints/finding.ts'
import { HAND_JOINTS } from '../joints/hand-joint.ts'
import { calibrationSchema, toCalibration } from './calibrate.ts'
import type { Calibration } from './engine/inference-engine.ts'
import { readOnnxGraph } from './onnx-graph.ts'

/**
 * Operators a joint model may use: encoders, fusion and their quantised forms, all pure arithmetic on tensors. Nothing
 * that runs subgraphs, loops, makes random numbers or touches strings.
 */
export const ALLOWED_OPERATORS: ReadonlySet<string> = new Set([
  'Abs', 'Add', 'AveragePool', 'BatchNormalization', 'Cast', 'Clip', 'Concat', 'Constant', 'ConstantOfShape', 'Conv',
  'DequantizeLinear', 'Div', 'Equal', 'Erf', 'Exp', 'Expand', 'Flatten', 'Gather', 'GatherElements', 'GatherND', 'Gemm',
  'GlobalAveragePool', 'Greater', 'GridSample', 'Identity', 'LayerNormalization', 'Less', 'Log', 'MatMul', 'Max', 'MaxPool',
  'Min', 'Mul', 'Neg', 'Not', 'Pad', 'Pow', 'QuantizeLinear', 'Range', 'Reciprocal', 'ReduceL2', 'ReduceMax', 'ReduceMean',
  'ReduceSum', 'Relu', 'Reshape', 'Shape', 'Sigmoid', 'Slice', 'Softmax', 'Split', 'Sqrt', 'Squeeze', 'Sub', 'Tanh', 'Tile',
  'Transpose', 'Unsqueeze', 'Where'
])

/** Operator sets the pinned runtime was tested with. */
const OPSETS = { oldest: 17, newest: 21 }
const MANIFEST_MAX_BYTES = 1_000_000
const BUNDLE_MAX_BYTES = 500_000_000

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 in hex')
const triple = z.array(z.number()).length(3)
const joints = HAND_JOINTS.length

/** manifest.json, written by training/ beside the weights: everything that belongs to the model and not to the code. */
export const manifestSchema = z.object({
  schema: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,60}$/),
  version: z.string().regex(/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/, 'expected a semantic version'),
  serial: z.number().int().positive(),
  tier: z.string().min(1),
  fusion: z.string().min(1),
  status: z.string().min(1),
  evidence: z.enum(['synthetic', 'proxy', 'clinical']),
  files: z.record(z.string(), z.object({ sha256: sha256Hex, bytes: z.number().int().positive().max(BUNDLE_MAX_BYTES) })),
  inputs: z.object({
    global: z.object({ size: z.number().int().min(32).max(1024) }),
    local: z.object({ size: z.number().int().min(16).max(512) }),
    mean: triple,
    std: z.array(z.number().positive()).length(3),
    colour: z.literal('rgb')
  }),
  jointOrder: z.array(z.string()).refine((order) => order.join() === HAND_JOINTS.join(), `expected ${HAND_JOINTS.join(', ')}`),
  crops: z.object({
    globalMargin: z.number().min(0).max(1),
    scales: z.object({ wrist: z.number().positive(), mcp: z.number().positive(), pip: z.number().positive() }),
    mcpProximalShift: z.number()
  }),
  opset: z.number().int(),
  operators: z.array(z.string()),
  runtime: z.string().min(1),
  landmarks: z.object({ package: z.string(), digest: z.string().optional() }),
  calibration: calibrationSchema,
  gates: z.object({
    handPresence: z.number().min(0).max(1),
    /** Wrist to middle MCP as a share of the photo's longer side. */
    palmLengthFraction: z.number().min(0).max(1),
    minSharpness: z.number().nonnegative(),
    minBrightness: z.number().min(0).max(1),
    maxBrightness: z.number().min(0).max(1),
    /** Confidence in left or right below which a hand is nobody's left and nobody's right. */
    minSideConfidence: z.number().min(0.5).max(1).default(0.6),
    /** Photo pixels across a joint's square below which its detail is too low. */
    minCropPx: z.number().nonnegative().default(32)
  }),
  golden: z.object({
    hands: z.number().int().min(1).max(16),
    inputs: z.string(),
    logits: z.array(z.array(z.number()).length(joints)),
    tolerance: z.number().positive().max(0.05)
  }),
  training: z.looseObject({ command: z.string(), seed: z.number(), commit: z.string(), dataSha256: z.string() }),
  labels: z.looseObject({ source: z.string() }),
  weightLicence: z.string().min(1)
})

export type ModelManifest = z.infer<typeof manifestSchema>

/** A verified bundle in memory. Its golden outputs are checked by the session that runs it (joint-model.ts). */
export interface ModelBundle {
  readonly identity: ModelIdentity
  readonly manifest: ModelManifest
  readonly calibration: Calibration
  /** The ONNX file's bytes, those that were digested. */
  readonly onnx: Uint8Array
  /** Per golden hand: global u8 HWC, then 11 local crops u8 HWC. */
  readonly goldenInputs: Uint8Array
}

/**
 * Reads `models/<name>/<version>/` and proves it is what its manifest says: every file's size and SHA-256 (a flipped bit
 * loads silently otherwise, packages.md section 4), safe file names, operator set and operators, joint order, no external
 * data. Throws ERR_MODEL_INVALID.
 */
export async function readModelBundle(dir: string): Promise<ModelBundle> {
  const manifestBytes = await readRegularFile(dir, 'manifest.json', MANIFEST_MAX_BYTES)
  const manifest = parseManifest(manifestBytes)
  const files = await readListedFiles(dir, manifest)
  const onnx = fileOf(files, 'model.onnx')
  checkGraph(onnx, manifest)
  const goldenInputs = fileOf(files, manifest.golden.inputs)
  checkGolden(goldenInputs, manifest)
  checkModelCard(files)
  return {
    identity: { name: manifest.name, version: manifest.version, digest: sha256(manifestBytes) },
    manifest,
    calibration: toCalibration(manifest.calibration),
    onnx,
    goldenInputs
  }
}

/** Bytes of one golden hand. */
export function goldenHandBytes({ inputs }: ModelManifest): { global: number; local: number } {
  return { global: inputs.global.size ** 2 * 3, local: joints * inputs.local.size ** 2 * 3 }
}

function parseManifest(bytes: Uint8Array): ModelManifest {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw invalid('Expected manifest.json to be JSON but received something else', cause)
  }
  const result = manifestSchema.safeParse(json)
  if (result.success) return result.data
  const faults = result.error.issues.map((issue) => `${issue.path.join('.') || 'manifest'}: ${issue.message}`)
  throw invalid(`manifest.json is not valid. ${faults.join('; ')}`)
}

async function readListedFiles(dir: string, { files }: ModelManifest): Promise<ReadonlyMap<string, Uint8Array>> {
  const read = new Map<string, Uint8Array>()
  for (const [name, { sha256: expected, bytes }] of Object.entries(files)) {
    const content = await readRegularFile(dir, safeName(name), bytes)
    if (content.length !== bytes) throw invalid(`Expected ${bytes} bytes in ${name} but received ${content.length}`)
    const actual = sha256(content)
    if (actual !== expected) throw invalid(`Expected SHA-256 ${expected} for ${name} but received ${actual}`)
    read.set(name, content)
  }
  return read
}

/** Names stay inside the bundle: relative, forward slashes, no dot segments, no hidden files. */
function safeName(name: string): string {
  if (name.length <= 200 && name.split('/').every((part) => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(part))) return name
  throw invalid(`Expected a file name inside the bundle but received "${name}"`)
}

async function readRegularFile(dir: string, name: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const parts = name.split('/')
    for (let depth = 1; depth <= parts.length; depth++) {
      const status = await lstat(join(dir, ...parts.slice(0, depth)))
      if (status.isSymbolicLink()) throw invalid(`Expected ${name} to be a file but received a link`)
      if (depth < parts.length) continue
      if (!status.isFile()) throw invalid(`Expected ${name} to be a file`)
      if (status.size > maxBytes) throw invalid(`Expected at most ${maxBytes} bytes in ${name} but received ${status.size}`)
    }
    return await readFile(join(dir, name))
  } catch (cause) {
    if (cause instanceof ScreeningError) throw cause
    throw invalid(`Expected a model bundle with ${name} in "${dir}" but it cannot be read`, cause)
  }
}

function checkGraph(onnx: Uint8Array, manifest: ModelManifest): void {
  const { opset, operators } = readOnnxGraph(onnx)
  if (opset !== manifest.opset || opset < OPSETS.oldest || opset > OPSETS.newest)
    throw invalid(`Expected operator set ${manifest.opset}, between ${OPSETS.oldest} and ${OPSETS.newest}, but received ${opset}`)
  const foreign = operators.filter((operator) => !ALLOWED_OPERATORS.has(operator))
  if (foreign.length > 0) throw invalid(`Expected only known operators but received ${foreign.join(', ')}`)
  const listed = [...new Set(manifest.operators)].sort()
  if (listed.join() !== operators.join())
    throw invalid(`Expected the operators ${listed.join(', ')} but received ${operators.join(', ')}`)
}

function checkGolden(inputs: Uint8Array, manifest: ModelManifest): void {
  const { hands, logits } = manifest.golden
  const { global, local } = goldenHandBytes(manifest)
  if (logits.length !== hands) throw invalid(`Expected golden logits of ${hands} hands but received ${logits.length}`)
  if (inputs.length !== hands * (global + local))
    throw invalid(`Expected ${hands * (global + local)} bytes of golden inputs but received ${inputs.length}`)
}

function checkModelCard(files: ReadonlyMap<string, Uint8Array>): void {
  fileOf(files, 'MODEL_CARD.md')
  try {
    JSON.parse(Buffer.from(fileOf(files, 'model-card.json')).toString('utf8'))
  } catch (cause) {
    if (cause instanceof ScreeningError) throw cause
    throw invalid('Expected model-card.json to be JSON but received something else', cause)
  }
}

function fileOf(files: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  const content = files.get(name)
  if (!content) throw invalid(`Expected ${name} among the files of manifest.json but it is not listed`)
  return content
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const invalid = (message: string, cause?: unknown) => new ScreeningError('ERR_MODEL_INVALID', message, { cause })
