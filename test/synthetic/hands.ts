import { sampleVisit } from '../../training/synthetic/case-sampler.ts'
import type { HandCase, JointState, JointStates } from '../../training/synthetic/hand-case.ts'
import { SURFACE_JOINTS } from '../../training/synthetic/surface-joint.ts'
import type { SurfaceJoint } from '../../training/synthetic/surface-joint.ts'

const CALM: JointState = { swelling: 0, erythema: 0, node: 0 }

/** A left hand without rings, polish, redness or blur whose joints are calm except the given ones. */
export function plainHand(patient: string, changed: Partial<Record<SurfaceJoint, Partial<JointState>>> = {}): HandCase {
  const drawn = sampleVisit({ seed: 11, split: 'check', patient }, 1, 'natural').left
  const joints = Object.fromEntries(SURFACE_JOINTS.map((joint) => [joint, { ...CALM, ...changed[joint] }])) as JointStates
  const identity = { ...drawn.identity, skin: { ...drawn.identity.skin, redness: 0, spots: 0 } }
  return {
    ...drawn, joints, identity, adornments: { polish: null, ring: null },
    camera: { distanceMm: 380, tiltDegrees: [0, 0], rollDegrees: 0, offsetMm: [0, 0], fieldOfViewDegrees: 38 },
    pose: { ...drawn.pose, abductionDegrees: [4, 3, 0, 3, 4] },
    sensor: { ...drawn.sensor, blur: 0, noise: 0.006, jpegQuality: 92, exposureStops: 0 }
  }
}
