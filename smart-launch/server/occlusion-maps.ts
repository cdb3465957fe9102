import type { Calibration, InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import type { OcclusionMap } from '../../src/joints/occlusion-map.ts'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'

export interface MapOf {
  readonly tenant: string
  readonly photoSha256: string
  readonly side: Laterality
  readonly joint: HandJoint
}

/** A clinic day looks at some hundred joints; a map is a kilobyte. */
const KEPT = 500

/**
 * Occlusion maps by tenant, photo, joint, model and calibration, in memory only. A map takes a worker about a second, so whoever asks for one
 * that is being made waits for the same one; one that failed is tried again.
 */
export function openOcclusionMaps(engine: InferenceEngine, kept = KEPT) {
  const maps = new Map<string, Promise<OcclusionMap>>()
  return {
    of({ tenant, photoSha256, side, joint }: MapOf, calibration: Calibration, bytes: () => Promise<Uint8Array>): Promise<OcclusionMap> {
      const name = JSON.stringify([tenant, photoSha256, side, joint, engine.model.digest, calibration])
      const known = maps.get(name)
      if (known) return known
      const made = bytes().then((photo) => engine.explainJoint(photo, { side, joint, calibration }))
      const [oldest] = maps.size >= kept ? maps.keys() : []
      if (oldest !== undefined) maps.delete(oldest)
      maps.set(name, made)
      made.catch(() => maps.delete(name))
      return made
    }
  }
}
