import { readFileSync } from 'node:fs'
import { inverse } from './vectors.ts'
import type { Vec3 } from './vectors.ts'

/** A triangle mesh bound to named bones. Triangles are three indices each; weights are one row of bones per vertex. */
export interface SkinnedMesh {
  readonly positions: readonly Vec3[]
  readonly weights: readonly Float64Array[]
  readonly triangles: readonly number[]
  /** Texture place of each triangle corner (u, v; NaN where the texture does not reach). Absent without a texture. */
  readonly uv?: readonly number[]
  readonly boneNames: readonly string[]
  /** Rest position of every bone's joint. */
  readonly bonePositions: readonly Vec3[]
}

interface Gltf {
  buffers: { uri?: string }[]
  accessors: { bufferView: number, byteOffset?: number, componentType: number, count: number, type: string, normalized?: boolean }[]
  bufferViews: { byteOffset?: number, byteStride?: number }[]
  nodes: { name: string, mesh?: number, skin?: number }[]
  skins: { joints: number[], inverseBindMatrices: number }[]
  meshes: { primitives: { attributes: Record<string, number>, indices: number }[] }[]
}

const COMPONENTS: Record<string, number> = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 }
const GLB_MAGIC = 0x46546c67, JSON_CHUNK = 0x4e4f534a, BINARY_CHUNK = 0x004e4942

/**
 * First skinned mesh of a glTF 2.0 file (one buffer, in a binary file or embedded in base64; four weights a vertex).
 * `withTexture` keeps the texture places of its corners.
 */
export function readSkinnedMesh(file: string, { withTexture = false } = {}): SkinnedMesh {
  const { json, binary } = readChunks(file)
  const read = (accessor: number) => readAccessor(json, binary, accessor)
  const node = json.nodes.find(({ mesh, skin }) => mesh !== undefined && skin !== undefined)
  if (!node) throw new Error(`Expected a skinned mesh in ${file} but found none`)
  const skin = json.skins[node.skin!]!
  const positions: Vec3[] = [], weights: Float64Array[] = [], triangles: number[] = [], uv: number[] = []
  for (const { attributes, indices } of json.meshes[node.mesh!]!.primitives) {
    const first = positions.length
    const place = read(attributes['POSITION']!), bone = read(attributes['JOINTS_0']!), weight = read(attributes['WEIGHTS_0']!)
    for (let v = 0; v < place.length / 3; v++) {
      positions.push([place[3 * v]!, place[3 * v + 1]!, place[3 * v + 2]!])
      const row = new Float64Array(skin.joints.length)
      for (let c = 0; c < 4; c++) row[bone[4 * v + c]!]! += weight[4 * v + c]!
      weights.push(row)
    }
    const texture = withTexture ? read(attributes['TEXCOORD_0']!) : undefined
    for (const index of read(indices)) {
      triangles.push(index + first)
      if (texture) uv.push(texture[2 * index]!, texture[2 * index + 1]!)
    }
  }
  const bind = read(skin.inverseBindMatrices)
  return {
    positions, weights, triangles, ...(withTexture ? { uv } : {}),
    boneNames: skin.joints.map((joint) => json.nodes[joint]!.name),
    bonePositions: skin.joints.map((_, bone) => bindPosition(bind.subarray(16 * bone, 16 * bone + 16)))
  }
}

function readChunks(file: string): { json: Gltf, binary: Buffer } {
  const bytes = readFileSync(file)
  if (bytes.readUInt32LE(0) !== GLB_MAGIC) return readText(file, bytes)
  const chunks = new Map<number, Buffer>()
  for (let at = 12; at < bytes.length;) {
    const size = bytes.readUInt32LE(at)
    chunks.set(bytes.readUInt32LE(at + 4), bytes.subarray(at + 8, at + 8 + size))
    at += 8 + size
  }
  return { json: JSON.parse(chunks.get(JSON_CHUNK)!.toString()) as Gltf, binary: chunks.get(BINARY_CHUNK)! }
}

function readText(file: string, bytes: Buffer): { json: Gltf, binary: Buffer } {
  const json = JSON.parse(bytes.toString()) as Gltf
  const base64 = /^data:[^,]*;base64,(.*)$/s.exec(json.buffers[0]?.uri ?? '')
  if (!base64) throw new Error(`Expected a binary glTF file or one with an embedded buffer but received ${file}`)
  return { json, binary: Buffer.from(base64[1]!, 'base64') }
}

function readAccessor(json: Gltf, binary: Buffer, index: number): Float64Array {
  const { bufferView, byteOffset = 0, componentType, count, type, normalized } = json.accessors[index]!
  const view = json.bufferViews[bufferView]!
  const components = COMPONENTS[type]!
  const { size, read, unit } = componentReader(componentType)
  const stride = view.byteStride ?? components * size
  const values = new Float64Array(count * components)
  for (let k = 0; k < count; k++) {
    for (let c = 0; c < components; c++) {
      const value = read(binary, (view.byteOffset ?? 0) + byteOffset + k * stride + c * size)
      values[k * components + c] = normalized ? value / unit : value
    }
  }
  return values
}

function componentReader(componentType: number) {
  switch (componentType) {
    case 5126: return { size: 4, unit: 1, read: (bytes: Buffer, at: number) => bytes.readFloatLE(at) }
    case 5125: return { size: 4, unit: 1, read: (bytes: Buffer, at: number) => bytes.readUInt32LE(at) }
    case 5123: return { size: 2, unit: 65535, read: (bytes: Buffer, at: number) => bytes.readUInt16LE(at) }
    case 5121: return { size: 1, unit: 255, read: (bytes: Buffer, at: number) => bytes.readUInt8(at) }
    default: throw new Error(`Expected a glTF component type of 5121, 5123, 5125 or 5126 but received ${componentType}`)
  }
}

/** Where a bone sits: the inverse of its column-major inverse bind matrix, applied to the origin. */
function bindPosition(m: Float64Array): Vec3 {
  const rotation = inverse([[m[0]!, m[4]!, m[8]!], [m[1]!, m[5]!, m[9]!], [m[2]!, m[6]!, m[10]!]])
  const at = (row: Vec3) => -(row[0] * m[12]! + row[1] * m[13]! + row[2] * m[14]!)
  return [at(rotation[0]), at(rotation[1]), at(rotation[2])]
}
