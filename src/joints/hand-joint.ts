/** The 11 joints of one hand, in the order of every tensor, manifest and table (method: WRIST, MCP1-5, IP1, PIP2-5). */
export const HAND_JOINTS = [
  'wrist', 'mcp1', 'mcp2', 'mcp3', 'mcp4', 'mcp5', 'ip1', 'pip2', 'pip3', 'pip4', 'pip5'
] as const

export type HandJoint = (typeof HAND_JOINTS)[number]

export const LATERALITIES = ['left', 'right'] as const
export type Laterality = (typeof LATERALITIES)[number]

/** Both hands: the 22 joints of the 28-joint count that a photo can show (Fuchs 1989). */
export const HAND_JOINT_TOTAL = HAND_JOINTS.length * LATERALITIES.length

/** One joint of one hand. */
export interface JointAt { readonly side: Laterality; readonly joint: HandJoint }

/** The six of the 28 that no photo of a hand shows. */
export const LARGE_JOINTS = ['shoulder', 'elbow', 'knee'] as const
export type LargeJoint = (typeof LARGE_JOINTS)[number]
/** One joint of the 28-joint set. */
export interface JointOf28 { readonly side: Laterality; readonly joint: HandJoint | LargeJoint }

export type JointGroup = 'wrist' | 'mcp' | 'pip'

export function jointGroup(joint: HandJoint): JointGroup {
  if (joint === 'wrist') return 'wrist'
  return joint.startsWith('mcp') ? 'mcp' : 'pip'
}

export function isHandJoint(value: unknown): value is HandJoint {
  return typeof value === 'string' && (HAND_JOINTS as readonly string[]).includes(value)
}

/** `L-MCP2`: the lateralised code of terminology/codes.json. */
export function lateralisedJointCode(side: Laterality, joint: HandJoint): string {
  return `${side === 'left' ? 'L' : 'R'}-${joint.toUpperCase()}`
}

/** The name a clinician uses: `MCP 2`, `PIP 3`, `thumb IP`, `wrist`. */
export function jointLabel(joint: HandJoint): string {
  if (joint === 'wrist') return 'wrist'
  if (joint === 'ip1') return 'thumb IP'
  return `${joint.slice(0, 3).toUpperCase()} ${joint.slice(3)}`
}
