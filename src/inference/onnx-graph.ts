import { ScreeningError } from '../errors.ts'

/** What we check of an ONNX file before the runtime sees it. */
export interface OnnxGraph {
  /** Version of the standard operator set (domain `ai.onnx`). */
  readonly opset: number
  /** Operator types of the graph, sorted, each once. */
  readonly operators: readonly string[]
}

/**
 * Reads operator set and operators out of an ONNX ModelProto (field numbers of onnx.proto3, ONNX 1.16). Refuses what a
 * joint model never needs: external data (it points at other files), functions, subgraphs, foreign operator domains,
 * embedded training. Throws ERR_MODEL_INVALID.
 */
export function readOnnxGraph(bytes: Uint8Array): OnnxGraph {
  let opset: number | undefined
  let graph: Uint8Array | undefined
  for (const field of fieldsOf(bytes)) {
    if (field.number === 7) graph = payload(field)
    if (field.number === 8) opset = opsetOf(payload(field)) ?? opset
    if (field.number === 20 || field.number === 25) throw invalid('Expected a plain inference graph but received one with functions or training steps')
  }
  if (!graph || opset === undefined) throw invalid('Expected an ONNX model with one graph and an operator set but received none')
  return { opset, operators: operatorsOf(graph) }
}

function opsetOf(bytes: Uint8Array): number | undefined {
  let domain = ''
  let version = 0
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) domain = text(field)
    if (field.number === 2) version = Number(field.varint ?? 0n)
  }
  return isStandard(domain) ? version : undefined
}

function operatorsOf(graph: Uint8Array): readonly string[] {
  const operators = new Set<string>()
  for (const field of fieldsOf(graph)) {
    if (field.number === 1) operators.add(operatorOf(payload(field)))
    if (field.number === 5) refuseExternalData(payload(field))
    if (field.number === 15) throw invalid('Expected dense initialisers but received a sparse one')
  }
  return [...operators].sort()
}

function operatorOf(node: Uint8Array): string {
  let operator = ''
  for (const field of fieldsOf(node)) {
    if (field.number === 4) operator = text(field)
    if (field.number === 5) refuseUnsafeAttribute(payload(field))
    if (field.number === 7 && !isStandard(text(field)))
      throw invalid(`Expected standard ONNX operators but received one of domain "${text(field)}"`)
  }
  return operator
}

/** AttributeProto: t = 5, g = 6, tensors = 10, graphs = 11. */
function refuseUnsafeAttribute(attribute: Uint8Array): void {
  for (const field of fieldsOf(attribute)) {
    if (field.number === 5 || field.number === 10) refuseExternalData(payload(field))
    if (field.number === 6 || field.number === 11) throw invalid('Expected a graph without subgraphs but received one with')
  }
}

/** TensorProto: external_data = 13, data_location = 14 (1 = EXTERNAL). */
function refuseExternalData(tensor: Uint8Array): void {
  for (const field of fieldsOf(tensor)) {
    if (field.number === 13 || (field.number === 14 && field.varint !== 0n))
      throw invalid('Expected all weights inside model.onnx but received external data')
  }
}

interface Field {
  readonly number: number
  readonly varint?: bigint
  readonly bytes?: Uint8Array
}

/** The fields of one protobuf message, in order (protobuf encoding guide: varint, 64-bit, length-delimited, 32-bit). */
function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0
  const take = (length: number) => {
    if (length > message.length - at) throw invalid('Expected a complete ONNX file but received a truncated one')
    at += length
    return message.subarray(at - length, at)
  }
  const varint = () => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = take(1)[0] ?? 0
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
    throw invalid('Expected a protobuf number but received more than ten bytes')
  }
  while (at < message.length) {
    const key = Number(varint())
    const number = key >>> 3
    const wire = key & 7
    if (wire === 0) yield { number, varint: varint() }
    else if (wire === 1) yield { number, bytes: take(8) }
    else if (wire === 2) yield { number, bytes: take(Number(varint())) }
    else if (wire === 5) yield { number, bytes: take(4) }
    else throw invalid(`Expected an ONNX file but received a protobuf wire type ${wire}`)
  }
}

function payload(field: Field): Uint8Array {
  if (!field.bytes) throw invalid(`Expected a message in ONNX field ${field.number} but received a number`)
  return field.bytes
}

const text = (field: Field) => Buffer.from(payload(field)).toString('utf8')
const isStandard = (domain: string) => domain === '' || domain === 'ai.onnx'
const invalid = (message: string) => new ScreeningError('ERR_MODEL_INVALID', message)
