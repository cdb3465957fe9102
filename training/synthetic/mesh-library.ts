import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSkinnedMesh } from './gltf.ts'
import type { SkinnedMesh } from './gltf.ts'
import type { Identity, MeshName } from './hand-case.ts'
import { handModel, loadHandModel } from './hand-mesh.ts'
import type { HandModel } from './hand-mesh.ts'
import { MAKEHUMAN_FILES, readMakehuman } from './makehuman.ts'
import { MESH_DIGESTS } from './mesh-digests.ts'
import { readSkinTexture } from './skin-texture.ts'
import { weld } from './subdivide.ts'
import { scale } from './vectors.ts'

/** What `--mesh` takes. `mix`: each patient is webxr or makehuman; training never sees `godot`. */
export const MESH_CHOICES = {
  webxr: ['webxr'], makehuman: ['makehuman'], godot: ['godot'], mix: ['webxr', 'makehuman']
} as const satisfies Record<string, readonly MeshName[]>
export type MeshChoice = keyof typeof MESH_CHOICES

/** Hands of several makers, ready to be rendered. */
export interface MeshLibrary {
  /** The mesh of this patient's hands: the same object for the same patient called twice in a row. */
  modelOf(identity: Identity): HandModel
}

const GODOT = {
  mesh: 'hand_r.gltf', light: 'caucasian_realistic_baseColor.png', dark: 'african_realistic_baseColor.png',
  normals: 'hands_normal.png'
} as const

/** The model is 215 mm from wrist to finger tip, a game's large hand: this makes it 187 mm. */
const GODOT_SCALE = 0.87
const scaled = (mesh: SkinnedMesh, factor: number): SkinnedMesh => ({
  ...mesh, positions: mesh.positions.map((p) => scale(p, factor)), bonePositions: mesh.bonePositions.map((p) => scale(p, factor))
})

/** Opens the meshes of a choice. `folder` holds `makehuman/` and `hand-meshes/`; webxr needs none. */
export async function openMeshes(choice: MeshChoice, folder?: string): Promise<MeshLibrary> {
  const makers = await Promise.all(MESH_CHOICES[choice].map(async (name) => [name, await openMesh(name, folder)] as const))
  const of = new Map<MeshName, (identity: Identity) => HandModel>(makers)
  return { modelOf: (identity) => of.get(identity.mesh)!(identity) }
}

async function openMesh(name: MeshName, folder: string | undefined): Promise<(identity: Identity) => HandModel> {
  switch (name) {
    case 'webxr': {
      const model = loadHandModel()
      return () => model
    }
    case 'makehuman': {
      const hands = readMakehuman(checkedFolder(name, folder, 'makehuman', MAKEHUMAN_FILES))
      return keepLast((identity) => handModel(hands.shapedLike(identity), { hasForearm: true }))
    }
    case 'godot': {
      const from = checkedFolder(name, folder, 'hand-meshes', Object.values(GODOT))
      const at = (file: keyof typeof GODOT) => join(from, GODOT[file])
      const plain = handModel(scaled(weld(readSkinnedMesh(at('mesh'), { withTexture: true })), GODOT_SCALE))
      const texture = await readSkinTexture({ light: at('light'), dark: at('dark'), normals: at('normals') }, plain.fine)
      const model = { ...plain, texture }
      return () => model
    }
  }
}

/** A patient's photos follow one another: both hands and all visits share one body. */
function keepLast(make: (identity: Identity) => HandModel): (identity: Identity) => HandModel {
  let last: { seed: number, model: HandModel } | undefined
  return (identity) => {
    if (last?.seed !== identity.seed) last = { seed: identity.seed, model: make(identity) }
    return last.model
  }
}

/** The folder, if every file in it is byte for byte the one that the generator was made with. */
export function checkedFolder(mesh: MeshName, folder: string | undefined, name: string, files: readonly string[]): string {
  if (folder === undefined) throw new Error(`Expected --meshes DIR, a folder that holds ${name}/, because mesh ${mesh} is read from it`)
  for (const file of files) {
    const path = join(folder, name, file)
    if (!existsSync(path)) throw new Error(`Expected ${path} but found no such file (see training/synthetic/README.md, Meshes)`)
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex')
    const expected = MESH_DIGESTS[`${name}/${file}`]
    if (digest !== expected) throw new Error(`Expected ${path} with SHA-256 ${expected} but received ${digest}`)
  }
  return join(folder, name)
}
