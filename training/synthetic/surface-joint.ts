import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { HandJoint } from '../../src/joints/hand-joint.ts'

/** The 11 labelled joints and the four DIP joints, which only ever carry Heberden nodes. */
export type SurfaceJoint = HandJoint | 'dip2' | 'dip3' | 'dip4' | 'dip5'
export const SURFACE_JOINTS: readonly SurfaceJoint[] = [...HAND_JOINTS, 'dip2', 'dip3', 'dip4', 'dip5']

export const FINGERS = ['thumb', 'index', 'middle', 'ring', 'little'] as const
export const THUMB = 0

export type JointKind = 'wrist' | 'mcp' | 'pip' | 'dip'

/** The thumb's IP joint swells, folds and wears nodes like a PIP joint. */
export function jointKind(joint: SurfaceJoint): JointKind {
  if (joint === 'wrist') return 'wrist'
  if (joint.startsWith('mcp')) return 'mcp'
  return joint.startsWith('dip') ? 'dip' : 'pip'
}

/** Joint of finger 0..4 at place 1, 2, 3 along its chain (0 is the CMC joint). */
export function jointAt(finger: number, place: number): SurfaceJoint {
  if (finger === THUMB) return place === 1 ? 'mcp1' : 'ip1'
  return `${['mcp', 'pip', 'dip'][place - 1]!}${finger + 1}` as SurfaceJoint
}
