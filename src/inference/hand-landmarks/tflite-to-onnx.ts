import { graphInput, graphOutput, model, node, tensor, type OnnxAttribute, type OnnxType } from './onnx-messages.ts'
import { readTflite, type TfliteModel, type TfliteOperator, type TfliteOptions } from './tflite-model.ts'

/** First operator set with everything used here and ReduceMean's axes still an attribute. */
const OPSET = 17
/** Channels first: where the axes of an NHWC tensor come from in NCHW order, and back. */
const TO_NCHW = [0, 3, 1, 2] as const
const TO_NHWC = [0, 2, 3, 1] as const

/** A constant of the TFLite graph; half precision stays half precision in the file. */
interface Constant {
  readonly shape: readonly number[]
  readonly type: OnnxType | 'i32'
  readonly values: Uint16Array | Float32Array | Int32Array
}

/**
 * Converts a float TFLite network into ONNX bytes: input `image` NHWC float32, outputs `out0`, `out1`, … in the TFLite
 * order, weights unchanged, pictures channels-first inside. Knows the 12 operators of MediaPipe's palm and hand networks and
 * throws for any other.
 */
export function tfliteToOnnx(bytes: Uint8Array, name: string): Uint8Array {
  const network = readTflite(bytes)
  const graph = new GraphWriter(network)
  const input = only(network.inputs)
  graph.add('Transpose', ['image'], graph.nameOf(input), { perm: TO_NCHW })
  for (const operator of network.operators) convertOperator(graph, operator)
  const outputs = network.outputs.map((id, index) => {
    graph.add('Identity', [graph.nameOf(id)], `out${index}`)
    return graphOutput(`out${index}`, graph.shapeOf(id))
  })
  return model(name, [...graph.nodes, ...graph.initialisers, graphInput('image', graph.shapeOf(input)), ...outputs], OPSET)
}

function convertOperator(graph: GraphWriter, operator: TfliteOperator): void {
  const convert = CONVERTERS[operator.name]
  if (!convert) throw new Error(`Expected an operator of the hand networks but received ${operator.name}`)
  convert(graph, { ...operator, x: operator.inputs[0] ?? -1, y: only(operator.outputs) })
}

type Step = TfliteOperator & { readonly x: number; readonly y: number }

/** Option fields by position: strides, dilations, kernel and activation of the schema's tables. */
const CONVERTERS: Readonly<Record<string, (graph: GraphWriter, step: Step) => void>> = {
  DEQUANTIZE: (graph, { x, y }) => graph.alias(y, x),

  CONV_2D(graph, step) {
    const { x, y, options } = step
    const [, kh = 1, kw = 1] = graph.shapeOf(at(step, 1))
    const window = { kernel: [kh, kw], strides: [options.int32(2), options.int32(1)], dilations: [options.int32(5, 1), options.int32(4, 1)] }
    graph.activated(options.int8(3), graph.nameOf(y), (out) => graph.add('Conv',
      [graph.nameOf(x), graph.weight(at(step, 1), { perm: TO_NCHW }), graph.weight(at(step, 2))], out, windowAttributes(graph, step, window)))
  },

  DEPTHWISE_CONV_2D(graph, step) {
    const { x, y, options } = step
    const [, kh = 1, kw = 1] = graph.shapeOf(at(step, 1))
    const window = { kernel: [kh, kw], strides: [options.int32(2), options.int32(1)], dilations: [options.int32(6, 1), options.int32(5, 1)] }
    const group = graph.shapeOf(x)[3] ?? 1
    graph.activated(options.int8(4), graph.nameOf(y), (out) => graph.add('Conv',
      [graph.nameOf(x), graph.weight(at(step, 1), { perm: [3, 0, 1, 2] }), graph.weight(at(step, 2))], out,
      { ...windowAttributes(graph, step, window), group }))
  },

  MAX_POOL_2D(graph, step) {
    const { x, y, options } = step
    const window = { kernel: [options.int32(4), options.int32(3)], strides: [options.int32(2), options.int32(1)] }
    graph.activated(options.int8(5), graph.nameOf(y), (out) => graph.add('MaxPool', [graph.nameOf(x)], out, windowAttributes(graph, step, window)))
  },

  ADD(graph, { inputs, y, options }) {
    graph.activated(options.int8(0), graph.nameOf(y), (out) => graph.add('Add', inputs.map((id) => graph.nameOf(id)), out))
  },

  PRELU(graph, step) {
    const channels = graph.shapeOf(at(step, 1)).at(-1) ?? 1
    graph.add('PRelu', [graph.nameOf(step.x), graph.weight(at(step, 1), { dims: [channels, 1, 1] })], graph.nameOf(step.y))
  },

  PAD(graph, step) {
    const amounts = graph.constant(at(step, 1)).values
    const before = TO_NCHW.map((axis) => amounts[2 * axis] ?? 0)
    const after = TO_NCHW.map((axis) => amounts[2 * axis + 1] ?? 0)
    graph.add('Pad', [graph.nameOf(step.x), graph.int64s([...before, ...after])], graph.nameOf(step.y), { mode: 'constant' })
  },

  RESIZE_BILINEAR(graph, { x, y, options }) {
    const mode = options.int8(2) ? 'align_corners' : options.int8(3) ? 'half_pixel' : 'asymmetric'
    const sizes = TO_NCHW.map((axis) => graph.shapeOf(y)[axis] ?? 1)
    graph.add('Resize', [graph.nameOf(x), '', '', graph.int64s(sizes)], graph.nameOf(y), { mode: 'linear', coordinate_transformation_mode: mode })
  },

  RESHAPE(graph, { x, y }) {
    const shape = graph.shapeOf(y)
    if (shape.length === 4) throw new Error('Expected RESHAPE to flatten a picture but it makes one')
    graph.add('Reshape', [graph.channelsLast(x), graph.int64s(shape)], graph.nameOf(y))
  },

  CONCATENATION(graph, { inputs, y, options }) {
    if (graph.shapeOf(y).length === 4) throw new Error('Expected CONCATENATION of flat tensors but received pictures')
    graph.activated(options.int8(1), graph.nameOf(y), (out) => graph.add('Concat', inputs.map((id) => graph.nameOf(id)), out, { axis: options.int32(0) }))
  },

  MEAN(graph, step) {
    if (graph.shapeOf(step.y).length === 4) throw new Error('Expected MEAN to drop its axes but it keeps them')
    const axes = [...graph.constant(at(step, 1)).values].map((axis) => TO_NHWC[(axis + 4) % 4] ?? 0)
    graph.add('ReduceMean', [graph.nameOf(step.x)], graph.nameOf(step.y), { axes, keepdims: 0 })
  },

  FULLY_CONNECTED(graph, step) {
    const { x, y, options } = step
    const features = graph.shapeOf(at(step, 1))[1] ?? 1
    let input = graph.nameOf(x)
    if (graph.shapeOf(x).length !== 2) {
      input = `${graph.nameOf(y)}_flat`
      graph.add('Reshape', [graph.channelsLast(x), graph.int64s([1, features])], input)
    }
    graph.activated(options.int8(0), graph.nameOf(y), (out) =>
      graph.add('Gemm', [input, graph.weight(at(step, 1)), graph.weight(at(step, 2))], out, { transB: 1 }))
  },

  LOGISTIC: (graph, { x, y }) => graph.add('Sigmoid', [graph.nameOf(x)], graph.nameOf(y))
}

interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations?: readonly number[]
}

/** Padding is field 0 of every windowed operator: 0 = SAME (uneven rest goes to the end), 1 = VALID. */
function windowAttributes(graph: GraphWriter, { x, y, options }: { x: number; y: number; options: TfliteOptions }, { kernel, strides, dilations }: Window) {
  const [, inHeight = 1, inWidth = 1] = graph.shapeOf(x)
  const [, outHeight = 1, outWidth = 1] = graph.shapeOf(y)
  const total = (from: number, to: number, axis: number) =>
    Math.max((to - 1) * (strides[axis] ?? 1) + ((kernel[axis] ?? 1) - 1) * (dilations?.[axis] ?? 1) + 1 - from, 0)
  const rows = options.int8(0) === 1 ? 0 : total(inHeight, outHeight, 0)
  const columns = options.int8(0) === 1 ? 0 : total(inWidth, outWidth, 1)
  const pads = [rows >> 1, columns >> 1, rows - (rows >> 1), columns - (columns >> 1)]
  return { kernel_shape: kernel, strides, pads, ...(dilations ? { dilations } : {}) }
}

/** Collects nodes and initialisers. A four-dimensional tensor holds channels-first data under its name. */
class GraphWriter {
  readonly nodes: Uint8Array[] = []
  readonly initialisers: Uint8Array[] = []
  readonly #network: TfliteModel
  readonly #constants = new Map<number, Constant>()

  constructor(network: TfliteModel) {
    this.#network = network
    for (const { id, shape, type, data } of network.tensors) {
      if (data && type !== 'other') this.#constants.set(id, { shape, type, values: valuesOf(type, data) })
    }
  }

  nameOf(id: number): string {
    return `t${id}`
  }

  shapeOf(id: number): readonly number[] {
    const found = this.#network.tensors[id]
    if (!found) throw new Error(`Expected tensor ${id} but the network has none`)
    return found.shape
  }

  constant(id: number): Constant {
    const found = this.#constants.get(id)
    if (!found) throw new Error(`Expected tensor ${id} to be a constant`)
    return found
  }

  /** `id` is the same constant as `source`. */
  alias(id: number, source: number): void {
    this.#constants.set(id, this.constant(source))
  }

  add(operator: string, inputs: readonly string[], output: string, attributes?: Record<string, OnnxAttribute>): void {
    this.nodes.push(node(operator, inputs, [output], attributes))
  }

  /** Emits under `out`, followed by the fused activation when there is one: 1 = RELU, 3 = RELU6. */
  activated(activation: number, out: string, emit: (out: string) => void): void {
    if (activation === 0) return emit(out)
    const before = `${out}_linear`
    emit(before)
    if (activation === 1) return this.add('Relu', [before], out)
    if (activation !== 3) throw new Error(`Expected RELU or RELU6 but received activation ${activation}`)
    this.add('Clip', [before, this.#float(0), this.#float(6)], out)
  }

  /** A weight as float32: half precision is cast in the graph, which the runtime folds at load. */
  weight(id: number, { perm, dims }: { perm?: readonly number[]; dims?: readonly number[] } = {}): string {
    const { shape, type, values } = this.constant(id)
    if (type === 'i32') throw new Error(`Expected tensor ${id} to be a weight but received integers`)
    const arranged = perm ? permute(values, shape, perm) : values
    const raw = new Uint8Array(arranged.buffer, arranged.byteOffset, arranged.byteLength)
    const name = this.#initialiser(type, dims ?? perm?.map((axis) => shape[axis] ?? 1) ?? shape, raw)
    if (type === 'f32') return name
    this.add('Cast', [name], `${name}_f32`, { to: 1 })
    return `${name}_f32`
  }

  int64s(values: readonly number[]): string {
    return this.#initialiser('i64', [values.length], new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer))
  }

  /** The tensor's name in the order TFLite stores it. */
  channelsLast(id: number): string {
    if (this.shapeOf(id).length !== 4) return this.nameOf(id)
    const name = `${this.nameOf(id)}_nhwc${this.nodes.length}`
    this.add('Transpose', [this.nameOf(id)], name, { perm: TO_NHWC })
    return name
  }

  #float(value: number): string {
    return this.#initialiser('f32', [], new Uint8Array(Float32Array.of(value).buffer))
  }

  #initialiser(type: OnnxType, dims: readonly number[], raw: Uint8Array): string {
    const name = `c${this.initialisers.length}`
    this.initialisers.push(tensor(name, type, dims, raw))
    return name
  }
}

/** Copies, because constants need not be aligned in the file. */
function valuesOf(type: 'f32' | 'f16' | 'i32', data: Uint8Array): Constant['values'] {
  const { buffer } = data.slice()
  if (type === 'f16') return new Uint16Array(buffer)
  return type === 'i32' ? new Int32Array(buffer) : new Float32Array(buffer)
}

/** A flat array of `shape` with its axes reordered: axis i of the result is axis `perm[i]` of the source. */
function permute<T extends Constant['values']>(source: T, shape: readonly number[], perm: readonly number[]): T {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
  // Axes of one have no order; without them most weights are long rows.
  const axes = perm.filter((axis) => shape[axis] !== 1)
  const [row = 1, ...sizes] = axes.map((axis) => shape[axis] ?? 1).reverse()
  const [step = 1, ...steps] = axes.map((axis) => strides[axis] ?? 0).reverse()
  const result = source.slice() as T
  const index = sizes.map(() => 0)
  for (let to = 0, start = 0; to < source.length;) {
    for (let from = start, end = start + row * step; from < end; from += step) result[to++] = source[from] as number
    for (const [axis, size] of sizes.entries()) {
      const next = (index[axis] ?? 0) + 1
      start += steps[axis] ?? 0
      index[axis] = next
      if (next < size) break
      start -= (steps[axis] ?? 0) * next
      index[axis] = 0
    }
  }
  return result
}

function at({ inputs }: TfliteOperator, index: number): number {
  const id = inputs[index]
  if (id === undefined) throw new Error(`Expected input ${index} of an operator but it has ${inputs.length}`)
  return id
}

function only(ids: readonly number[]): number {
  const [id] = ids
  if (id === undefined || ids.length !== 1) throw new Error(`Expected one tensor but received ${ids.length}`)
  return id
}
