import { toPhoto, sampleFloats, type Pixels, type PhotoSquare, type Point } from './photo-square.ts'

/** A palm somewhere in the photo, in working pixels. */
export interface Palm {
  readonly score: number
  readonly center: Point
  /** Longer side of its upright box. */
  readonly size: number
  readonly wrist: Point
  readonly middleMcp: Point
}

/** The palm network: 192 x 192 x 3 in; 2016 boxes of 18 numbers and 2016 scores out. */
export type PalmNetwork = (image: Float32Array) => Promise<{ boxes: Float32Array; scores: Float32Array }>

export const PALM_INPUT_PX = 192
const BOX_NUMBERS = 18
const SCORE_CLIP = 100
/** Boxes that overlap more than this are one palm. */
const SAME_PALM_IOU = 0.3

/**
 * Centres of the network's 2016 anchors, 0..1: two on each cell of a 24 x 24 grid (stride 8), six on each of 12 x 12 (three
 * layers of stride 16). Parameters of MediaPipe's palm_detection graph.
 */
const ANCHORS: readonly Point[] = [{ grid: 24, each: 2 }, { grid: 12, each: 6 }].flatMap(({ grid, each }) =>
  Array.from({ length: grid * grid * each }, (_, index) => {
    const cell = Math.floor(index / each)
    return { x: ((cell % grid) + 0.5) / grid, y: (Math.floor(cell / grid) + 0.5) / grid }
  }))

/** A box in one view, 0..1. */
interface Candidate {
  readonly score: number
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
  readonly wrist: Point
  readonly middleMcp: Point
}

/** One pass of the network over a square of the photo: palms of at least `minScore`, best first. */
export async function detectPalms(network: PalmNetwork, photo: Pixels, view: PhotoSquare, minScore: number): Promise<readonly Palm[]> {
  const { boxes, scores } = await network(sampleFloats(photo, view, PALM_INPUT_PX))
  return mergeOverlapping(readCandidates(boxes, scores, minScore)).map((box) => ({
    score: box.score,
    center: toPhoto(view, { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 }),
    size: Math.max(box.right - box.left, box.bottom - box.top) * view.size,
    wrist: toPhoto(view, box.wrist),
    middleMcp: toPhoto(view, box.middleMcp)
  }))
}

/** A box holds centre, size and seven keypoints relative to its anchor; keypoint 0 is the wrist, 2 the middle MCP. */
function readCandidates(boxes: Float32Array, scores: Float32Array, minScore: number): Candidate[] {
  const candidates: Candidate[] = []
  for (const [index, anchor] of ANCHORS.entries()) {
    const raw = Math.max(-SCORE_CLIP, Math.min(SCORE_CLIP, scores[index] ?? NaN))
    const score = 1 / (1 + Math.exp(-raw))
    if (!(score >= minScore)) continue
    const box = boxes.subarray(index * BOX_NUMBERS, (index + 1) * BOX_NUMBERS)
    const number = (at: number) => (box[at] ?? NaN) / PALM_INPUT_PX
    const keypoint = (which: number) => ({ x: number(4 + 2 * which) + anchor.x, y: number(5 + 2 * which) + anchor.y })
    const [x, y, width, height] = [number(0) + anchor.x, number(1) + anchor.y, number(2), number(3)]
    if (!(width > 0 && height > 0 && Number.isFinite(x + y + width + height))) continue
    candidates.push({
      score, left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2,
      wrist: keypoint(0), middleMcp: keypoint(2)
    })
  }
  return candidates.sort((a, b) => b.score - a.score)
}

/** Weighted non-maximum suppression: overlapping boxes become their mean, weighted by score. */
function mergeOverlapping(candidates: readonly Candidate[]): readonly Candidate[] {
  const merged: Candidate[] = []
  let rest = candidates
  while (rest.length > 0) {
    const best = rest[0] as Candidate
    const same = rest.filter((box) => box === best || overlap(best, box) > SAME_PALM_IOU)
    rest = rest.filter((box) => !same.includes(box))
    const total = same.reduce((sum, { score }) => sum + score, 0)
    const mean = (read: (box: Candidate) => number) => same.reduce((sum, box) => sum + box.score * read(box), 0) / total
    merged.push({
      score: best.score,
      left: mean((box) => box.left),
      right: mean((box) => box.right),
      top: mean((box) => box.top),
      bottom: mean((box) => box.bottom),
      wrist: { x: mean((box) => box.wrist.x), y: mean((box) => box.wrist.y) },
      middleMcp: { x: mean((box) => box.middleMcp.x), y: mean((box) => box.middleMcp.y) }
    })
  }
  return merged
}

/** Intersection over union. */
function overlap(a: Candidate, b: Candidate): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left)
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
  if (width <= 0 || height <= 0) return 0
  const area = (box: Candidate) => (box.right - box.left) * (box.bottom - box.top)
  return (width * height) / (area(a) + area(b) - width * height)
}
