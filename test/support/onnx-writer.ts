/** A writer for the few ONNX messages a small test network needs (field numbers of onnx.proto3). Bytes in, bytes out. */
const encode = (text: string) => new TextEncoder().encode(text)

function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 128 : low)
  } while (rest > 0n)
  return Uint8Array.from(bytes)
}

const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts))
const int = (field: number, value: number | bigint) => join(varint(field << 3), varint(value))
export const message = (field: number, ...parts: Uint8Array[]) => {
  const body = join(...parts)
  return join(varint((field << 3) | 2), varint(body.length), body)
}
const string = (field: number, text: string) => message(field, encode(text))
const float = (field: number, value: number) => join(varint((field << 3) | 5), new Uint8Array(new Float32Array([value]).buffer))

/** AttributeProto: an integer, a list of integers, or a float wrapped as `{ f }`. */
function attribute(name: string, value: number | readonly number[] | { readonly f: number }): Uint8Array {
  if (typeof value === 'number') return message(5, string(1, name), int(3, value), int(20, 2))
  if ('f' in value) return message(5, string(1, name), float(2, value.f), int(20, 1))
  return message(5, string(1, name), ...value.map((one) => int(8, one)), int(20, 7))
}

export function node(
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Record<string, number | readonly number[] | { readonly f: number }> = {},
  domain = ''
): Uint8Array {
  return message(1,
    ...inputs.map((name) => string(1, name)), ...outputs.map((name) => string(2, name)), string(4, operator),
    ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    ...(domain ? [string(7, domain)] : []))
}

/** A float32 or int64 initialiser. */
export function weights(name: string, dims: readonly number[], values: Float32Array | BigInt64Array): Uint8Array {
  const type = values instanceof Float32Array ? 1 : 7
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return message(5, ...dims.map((dim) => int(1, dim)), int(2, type), string(8, name), message(9, raw))
}

/** An initialiser whose data lies in another file. */
export function externalWeights(name: string, dims: readonly number[], path: string): Uint8Array {
  return message(5, ...dims.map((dim) => int(1, dim)), int(2, 1), string(8, name),
    message(13, string(1, 'location'), string(2, path)), int(14, 1))
}

function valueInfo(field: number, name: string, dims: readonly (number | string)[]): Uint8Array {
  const shape = dims.map((dim) => message(1, typeof dim === 'string' ? string(2, dim) : int(1, dim)))
  return message(field, string(1, name), message(2, message(1, int(1, 1), message(2, ...shape))))
}

export const input = (name: string, dims: readonly (number | string)[]) => valueInfo(11, name, dims)
export const output = (name: string, dims: readonly (number | string)[]) => valueInfo(12, name, dims)

export function model(graph: readonly Uint8Array[], { opset = 17 }: { opset?: number } = {}): Uint8Array {
  return join(int(1, 8), message(7, string(2, 'test'), ...graph), message(8, string(1, ''), int(2, opset)))
}
