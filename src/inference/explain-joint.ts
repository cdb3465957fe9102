import { HAND_JOINTS } from '../joints/hand-joint.ts'
import type { HandInput, JointModel } from './joint-model.ts'

/** Cells along each side of a map: 64 coverings, about a second on one core. */
export const MAP_GRID = 8
/** Hands that go through the network together; more would only take more memory. */
const BATCH = 16

export interface JointLogits {
  /** Logits of the hand with nothing covered, HAND_JOINTS order. */
  readonly base: ArrayLike<number>
  /** The joint's logit with each cell covered, row by row. */
  readonly covered: readonly number[]
}

/**
 * Covers the joint's crop cell by cell with the crop's mean colour and asks the network each time. What is covered reaches half
 * a cell beyond the cell on every side, so that an edge does not fall between two cells. The view of the whole hand, the
 * other ten crops and the other hand stay as they are. Throws ERR_MODEL_OUTPUT.
 */
export async function coverJoint(
  model: JointModel, hand: HandInput, jointIndex: number, sizePx: number, other?: HandInput
): Promise<JointLogits> {
  const colour = meanColour(hand.local, jointIndex, sizePx)
  const variants = Array.from({ length: MAP_GRID ** 2 }, (_, cell) => covered(hand, jointIndex, sizePx, cell, colour))
  const logits: number[] = []
  let base: ArrayLike<number> = []
  for (let start = 0; start <= variants.length; start += BATCH) {
    const rows = [hand, ...variants].slice(start, start + BATCH)
    const pairs = rows.map(() => other ? rows.length : -1)
    const answers = await model.logits(other ? [...rows, other] : rows, other ? [...pairs, -1] : pairs)
    if (start === 0) base = answers[0] ?? []
    logits.push(...rows.map((_, row) => logitOf(answers[row], jointIndex)))
  }
  return { base, covered: logits.slice(1) }
}

function covered(hand: HandInput, jointIndex: number, sizePx: number, cell: number, colour: readonly number[]): HandInput {
  const local = hand.local.slice()
  const cellPx = sizePx / MAP_GRID
  const range = (at: number) => [Math.max(0, Math.round((at - 0.5) * cellPx)), Math.min(sizePx, Math.round((at + 1.5) * cellPx))] as const
  const [top, bottom] = range(Math.floor(cell / MAP_GRID))
  const [left, right] = range(cell % MAP_GRID)
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) local.set(colour, ((jointIndex * sizePx + y) * sizePx + x) * 3)
  }
  return { ...hand, local }
}

function meanColour(local: Uint8Array, jointIndex: number, sizePx: number): readonly number[] {
  const pixels = sizePx ** 2
  return [0, 1, 2].map((channel) => {
    let sum = 0
    for (let pixel = 0; pixel < pixels; pixel++) sum += local[(jointIndex * pixels + pixel) * 3 + channel] ?? 0
    return Math.round(sum / pixels)
  })
}

function logitOf(row: Float32Array | undefined, jointIndex: number): number {
  const logit = row?.[jointIndex]
  if (logit === undefined) throw new Error(`Expected a logit for ${HAND_JOINTS[jointIndex]} of every covering`)
  return logit
}
