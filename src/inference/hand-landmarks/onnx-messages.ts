/** Writes the few ONNX protobuf messages a converted network needs (field numbers of onnx.proto3). Bytes in, bytes out. */

const encoder = new TextEncoder()
const DATA_TYPES = { f32: 1, i64: 7, f16: 10 } as const

export type OnnxType = keyof typeof DATA_TYPES
export type OnnxAttribute = number | string | readonly number[]

export function node(operator: string, inputs: readonly string[], outputs: readonly string[], attributes: Record<string, OnnxAttribute> = {}): Uint8Array {
  return message(1, concat(
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(3, `${outputs.join()}/${operator}`),
    text(4, operator),
    ...Object.entries(attributes).map(([name, value]) => attribute(name, value))
  ))
}

/** An initialiser whose raw bytes are little-endian values of `type`. */
export function tensor(name: string, type: OnnxType, dims: readonly number[], raw: Uint8Array): Uint8Array {
  return message(5, concat(...dims.map((dim) => integer(1, dim)), integer(2, DATA_TYPES[type]), text(8, name), message(9, raw)))
}

export const graphInput = (name: string, dims: readonly number[]) => floatValue(11, name, dims)
export const graphOutput = (name: string, dims: readonly number[]) => floatValue(12, name, dims)

/** ModelProto of IR version 8 around the parts of one graph. */
export function model(graphName: string, parts: readonly Uint8Array[], opset: number): Uint8Array {
  return concat(integer(1, 8), text(2, 'jointlens'), message(7, concat(text(2, graphName), ...parts)), message(8, concat(text(1, ''), integer(2, opset))))
}

/** AttributeProto: type 2 = integer, 3 = string, 7 = list of integers. */
function attribute(name: string, value: OnnxAttribute): Uint8Array {
  if (typeof value === 'string') return message(5, concat(text(1, name), message(4, encoder.encode(value)), integer(20, 3)))
  if (typeof value === 'number') return message(5, concat(text(1, name), integer(3, value), integer(20, 2)))
  return message(5, concat(text(1, name), ...value.map((one) => integer(8, one)), integer(20, 7)))
}

function floatValue(field: number, name: string, dims: readonly number[]): Uint8Array {
  const shape = concat(...dims.map((dim) => message(1, integer(1, dim))))
  return message(field, concat(text(1, name), message(2, message(1, concat(integer(1, DATA_TYPES.f32), message(2, shape))))))
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 128 : low)
  } while (rest > 0n)
  return Uint8Array.from(bytes)
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts)
const integer = (field: number, value: number) => concat(varint(field << 3), varint(value))
const message = (field: number, body: Uint8Array) => concat(varint((field << 3) | 2), varint(body.length), body)
const text = (field: number, value: string) => message(field, encoder.encode(value))
