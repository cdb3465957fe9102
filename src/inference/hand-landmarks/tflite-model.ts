/** A reader for the few tables of a TFLite flatbuffer that hold a network (schema.fbs of TensorFlow Lite, version 3). */

export interface TfliteTensor {
  readonly id: number
  /** NHWC for pictures. */
  readonly shape: readonly number[]
  readonly type: 'f32' | 'f16' | 'i32' | 'other'
  /** Bytes of a constant; absent for what is computed. */
  readonly data?: Uint8Array
}

export interface TfliteOperator {
  /** Name in the schema's BuiltinOperator, for example `CONV_2D`. */
  readonly name: string
  readonly inputs: readonly number[]
  readonly outputs: readonly number[]
  readonly options: TfliteOptions
}

/** Fields of an operator's options by their position in the schema. A field that is not stored has the default. */
export interface TfliteOptions {
  int8(field: number, fallback?: number): number
  int32(field: number, fallback?: number): number
}

export interface TfliteModel {
  readonly tensors: readonly TfliteTensor[]
  readonly operators: readonly TfliteOperator[]
  readonly inputs: readonly number[]
  readonly outputs: readonly number[]
}

const OPERATOR_NAMES: Readonly<Record<number, string>> = {
  0: 'ADD', 2: 'CONCATENATION', 3: 'CONV_2D', 4: 'DEPTHWISE_CONV_2D', 6: 'DEQUANTIZE', 9: 'FULLY_CONNECTED', 14: 'LOGISTIC',
  17: 'MAX_POOL_2D', 22: 'RESHAPE', 23: 'RESIZE_BILINEAR', 34: 'PAD', 40: 'MEAN', 54: 'PRELU'
}
const TENSOR_TYPES: readonly TfliteTensor['type'][] = ['f32', 'f16', 'i32']

/** Model: operator_codes = 1, subgraphs = 2, buffers = 4. SubGraph: tensors = 0, inputs = 1, outputs = 2, operators = 3. */
export function readTflite(bytes: Uint8Array): TfliteModel {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const model = new FlatTable(view, view.getUint32(0, true))
  const [graph] = model.tables(2)
  if (!graph) throw new Error('Expected a TFLite model with a graph but received none')
  const names = model.tables(1).map(operatorName)
  const buffers = model.tables(4).map((buffer) => buffer.bytes(0))
  return {
    tensors: graph.tables(0).map((tensor, id) => readTensor(tensor, id, buffers)),
    operators: graph.tables(3).map((operator) => readOperator(operator, names, view)),
    inputs: graph.int32s(1),
    outputs: graph.int32s(2)
  }
}

/** OperatorCode: deprecated_builtin_code = 0 (a byte), builtin_code = 3; the larger one counts. */
function operatorName(code: FlatTable): string {
  const number = Math.max(code.int8(0), code.int32(3))
  return OPERATOR_NAMES[number] ?? `operator ${number}`
}

/** Tensor: shape = 0, type = 1, buffer = 2. */
function readTensor(tensor: FlatTable, id: number, buffers: readonly (Uint8Array | undefined)[]): TfliteTensor {
  const data = buffers[tensor.uint32(2)]
  return {
    id,
    shape: tensor.int32s(0),
    type: TENSOR_TYPES[tensor.int8(1)] ?? 'other',
    ...(data && data.length > 0 ? { data } : {})
  }
}

/** Operator: opcode_index = 0, inputs = 1, outputs = 2, builtin_options = 4. */
function readOperator(operator: FlatTable, names: readonly string[], view: DataView): TfliteOperator {
  return {
    name: names[operator.uint32(0)] ?? 'unknown operator',
    inputs: operator.int32s(1),
    outputs: operator.int32s(2),
    options: operator.table(4) ?? new FlatTable(view, undefined)
  }
}

/** A flatbuffer table: a signed offset to its vtable, which tells where each field lies. Without a position all is default. */
class FlatTable implements TfliteOptions {
  readonly #view: DataView
  readonly #position: number
  readonly #fields: number
  readonly #fieldsLength: number

  constructor(view: DataView, position: number | undefined) {
    this.#view = view
    this.#position = position ?? 0
    this.#fields = position === undefined ? 0 : position - view.getInt32(position, true)
    this.#fieldsLength = position === undefined ? 0 : view.getUint16(this.#fields, true)
  }

  int8(field: number, fallback = 0): number {
    const at = this.#at(field)
    return at === undefined ? fallback : this.#view.getInt8(at)
  }

  int32(field: number, fallback = 0): number {
    const at = this.#at(field)
    return at === undefined ? fallback : this.#view.getInt32(at, true)
  }

  uint32(field: number): number {
    const at = this.#at(field)
    return at === undefined ? 0 : this.#view.getUint32(at, true)
  }

  table(field: number): FlatTable | undefined {
    const at = this.#at(field)
    return at === undefined ? undefined : new FlatTable(this.#view, this.#follow(at))
  }

  tables(field: number): readonly FlatTable[] {
    const { length, start } = this.#vector(field)
    return Array.from({ length }, (_, index) => new FlatTable(this.#view, this.#follow(start + 4 * index)))
  }

  int32s(field: number): readonly number[] {
    const { length, start } = this.#vector(field)
    return Array.from({ length }, (_, index) => this.#view.getInt32(start + 4 * index, true))
  }

  bytes(field: number): Uint8Array | undefined {
    if (this.#at(field) === undefined) return undefined
    const { length, start } = this.#vector(field)
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, length)
  }

  #at(field: number): number | undefined {
    const entry = 4 + 2 * field
    const offset = entry < this.#fieldsLength ? this.#view.getUint16(this.#fields + entry, true) : 0
    return offset === 0 ? undefined : this.#position + offset
  }

  #follow(at: number): number {
    return at + this.#view.getUint32(at, true)
  }

  #vector(field: number): { length: number; start: number } {
    const at = this.#at(field)
    if (at === undefined) return { length: 0, start: 0 }
    const vector = this.#follow(at)
    return { length: this.#view.getUint32(vector, true), start: vector + 4 }
  }
}
