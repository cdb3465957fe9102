import type { HandJoint, Laterality } from '../../../src/joints/hand-joint.ts'
import type { EarlierVisit, JointFinding } from './api.ts'

/** Beside the close-up of now there is room for so many; older visits are in the table. */
const SHOWN = 2

export interface EarlierCloseUp {
  readonly id: string
  readonly photoTime: string
  readonly photo: string
  /** Absent in shadow mode. */
  readonly finding?: JointFinding
}

/** The same joint at earlier visits whose photos show that hand, newest first. */
export function earlierOf(visits: readonly EarlierVisit[], side: Laterality, joint: HandJoint): readonly EarlierCloseUp[] {
  return visits.flatMap(({ id, photoTime, findings, photos }) => {
    const photo = photos.find(({ sides }) => sides.includes(side))
    const finding = findings.find((one) => one.side === side && one.joint === joint)
    return photo ? [{ id, photoTime, photo: photo.id, ...(finding ? { finding } : {}) }] : []
  }).slice(0, SHOWN)
}
