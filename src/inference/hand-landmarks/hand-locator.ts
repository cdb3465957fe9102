import * as ort from '../onnx-runtime.ts'
import { ScreeningError } from '../../errors.ts'
import type { HandView } from '../../joints/finding.ts'
import type { Laterality } from '../../joints/hand-joint.ts'
import type { Photo } from '../decode-photo.ts'
import { distance, handView, isSameHand, LANDMARK, LANDMARK_COUNT, palmLength, pointAt, squareAroundHand, squareAroundPalm } from './hand-geometry.ts'
import { readLandmarkModels, toOnnx } from './landmark-models.ts'
import { detectPalms, PALM_INPUT_PX, type Palm, type PalmNetwork } from './palm-detector.ts'
import { sampleFloats, toPhoto, type PhotoSquare, type Point } from './photo-square.ts'

export { LANDMARK_MODEL_DIGEST } from './landmark-models.ts'

/** A hand of the photo and where its 21 MediaPipe landmarks lie. */
export interface LocatedHand {
  /** Working pixels; may lie outside the photo. */
  readonly points: readonly Point[]
  /** The network's confidence that a hand is there, 0..1. */
  readonly presence: number
  /** As seen in an unmirrored photo. */
  readonly side: Laterality
  /** 0.5..1 */
  readonly sideConfidence: number
  readonly view: HandView
  /** Wrist to middle MCP, in pixels of the upright photo. */
  readonly palmLengthPx: number
}

/** Belongs to one thread. */
export interface HandLocator {
  /** At most two hands, from left to right in the photo. */
  locate(photo: Photo): Promise<readonly LocatedHand[]>
  close(): Promise<void>
}

/**
 * Converts MediaPipe's palm and hand networks and opens them on the processor. Throws ERR_MODEL_INVALID when the installed
 * networks are not the pinned ones.
 */
export async function openHandLocator(): Promise<HandLocator> {
  const models = toOnnx(await readLandmarkModels())
  const palm = await openNetwork(models.palmDetection, PALM_INPUT_PX)
  const hand = await openNetwork(models.handLandmark, HAND_INPUT_PX)
  const networks: Networks = {
    async palms(image) {
      const [boxes, scores] = await palm.run(image)
      return { boxes: expectNumbers(boxes), scores: expectNumbers(scores) }
    },
    async hand(image) {
      const [landmarks, presence, rightHandedness] = await hand.run(image)
      return { landmarks: expectNumbers(landmarks), presence: expectNumbers(presence)[0] ?? 0, right: expectNumbers(rightHandedness)[0] ?? 0.5 }
    }
  }
  return {
    locate: (photo) => locateHands(photo, networks),
    async close() {
      await palm.close()
      await hand.close()
    }
  }
}

interface Networks {
  readonly palms: PalmNetwork
  /** 224 x 224 x 3 in; 21 points (x, y in pixels, z) and two numbers 0..1 out. */
  readonly hand: (image: Float32Array) => Promise<{ landmarks: Float32Array; presence: number; right: number }>
}

/** A hand on its way: what the last look at it gave. */
interface Sighting {
  readonly points: readonly Point[]
  readonly presence: number
  /** Above 0.5: a right hand in an unmirrored photo (method/training.md, section 1). */
  readonly right: number
}

const HAND_INPUT_PX = 224
const MIN_PRESENCE = 0.5
const MAX_HANDS = 2
const REFINEMENTS = 2
const VIEWS_FOR_A_SECOND_HAND = 2
const SURE_PALM = 0.5
const FAINT_PALM = 0.2

/**
 * Looks for palms in ever more views of the photo, then at each palm with the landmark network, twice again where it found
 * the hand. Only when no palm shows at all is the landmark network itself turned loose on the whole photo.
 */
async function locateHands(photo: Photo, networks: Networks): Promise<readonly LocatedHand[]> {
  const hands: Sighting[] = []
  for (const [pass, { view, minScore }] of palmViews(photo).entries()) {
    if (hands.length >= (pass < VIEWS_FOR_A_SECOND_HAND ? MAX_HANDS : 1)) break
    for (const palm of await detectPalms(networks.palms, photo, view, minScore)) {
      if (hands.some((hand) => isPalmOf(palm, hand))) continue
      keepIfNew(hands, await refine(photo, await lookAt(photo, squareAroundPalm(palm), networks), networks))
    }
  }
  if (hands.length === 0) keepIfNew(hands, await searchWithoutPalm(photo, networks))
  return hands
    .sort((a, b) => palmLength(b.points) - palmLength(a.points))
    .slice(0, MAX_HANDS)
    .sort((a, b) => pointAt(a.points, LANDMARK.middleMcp).x - pointAt(b.points, LANDMARK.middleMcp).x)
    .map((hand) => toLocatedHand(hand, photo))
}

/**
 * Whole photo; with a border and upside down (palms at the edge, arms from above); turned and smaller; then fainter. The first
 * finds a clear hand at any rotation, so only two views are spent on a second hand.
 */
function palmViews({ width, height }: Photo): readonly { view: PhotoSquare; minScore: number }[] {
  const longer = Math.max(width, height)
  const view = (zoom: number, rotation: number) => ({ cx: width / 2, cy: height / 2, size: longer * zoom, rotation })
  return [
    { view: view(1, 0), minScore: SURE_PALM },
    { view: view(1.25, Math.PI), minScore: SURE_PALM },
    { view: view(1.5, 0), minScore: SURE_PALM },
    { view: view(1.25, Math.PI / 2), minScore: SURE_PALM },
    { view: view(1.25, -Math.PI / 2), minScore: SURE_PALM },
    { view: view(1, 0), minScore: FAINT_PALM },
    { view: view(1.5, 0), minScore: FAINT_PALM },
    { view: view(2, 0), minScore: FAINT_PALM }
  ]
}

/** The palm found again in another view: its knuckle and wrist near those of a hand we have. */
function isPalmOf(palm: Palm, { points }: Sighting): boolean {
  const near = 0.35 * palmLength(points)
  return distance(palm.wrist, pointAt(points, LANDMARK.wrist)) < near && distance(palm.middleMcp, pointAt(points, LANDMARK.middleMcp)) < near
}

/** The surer sighting of one hand stays. */
function keepIfNew(hands: Sighting[], sighting: Sighting | undefined): void {
  if (!sighting) return
  const same = hands.findIndex((hand) => isSameHand(hand.points, sighting.points))
  if (same < 0) hands.push(sighting)
  else if (sighting.presence > (hands[same]?.presence ?? 0) + 0.02) hands[same] = sighting
}

/** Looks again where the hand was seen. Undefined when it is no longer there. */
async function refine(photo: Photo, first: Sighting, networks: Networks): Promise<Sighting | undefined> {
  let sighting = first
  for (let pass = 0; pass < REFINEMENTS && sighting.presence >= MIN_PRESENCE; pass++)
    sighting = await lookAt(photo, squareAroundHand(sighting.points), networks)
  return sighting.presence >= MIN_PRESENCE ? sighting : undefined
}

/** Sixteen squares around the middle of the photo, at eight turns; the surest is followed. */
async function searchWithoutPalm(photo: Photo, networks: Networks): Promise<Sighting | undefined> {
  const longer = Math.max(photo.width, photo.height)
  let best: Sighting | undefined
  for (const zoom of [1, 0.75]) {
    for (let turn = 0; turn < 8; turn++) {
      const view = { cx: photo.width / 2, cy: photo.height / 2, size: longer * zoom, rotation: (turn * Math.PI) / 4 }
      const sighting = await lookAt(photo, view, networks)
      if (!best || sighting.presence > best.presence) best = sighting
    }
  }
  return best && refine(photo, best, networks)
}

async function lookAt(photo: Photo, square: PhotoSquare, { hand }: Networks): Promise<Sighting> {
  const { landmarks, presence, right } = await hand(sampleFloats(photo, square, HAND_INPUT_PX))
  const points = Array.from({ length: LANDMARK_COUNT }, (_, index) =>
    toPhoto(square, { x: (landmarks[3 * index] ?? NaN) / HAND_INPUT_PX, y: (landmarks[3 * index + 1] ?? NaN) / HAND_INPUT_PX }))
  const isFinite = points.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
  return { points, presence: isFinite && presence >= 0 ? presence : 0, right }
}

function toLocatedHand({ points, presence, right }: Sighting, photo: Photo): LocatedHand {
  const side = right > 0.5 ? 'right' : 'left'
  return {
    points,
    presence,
    side,
    sideConfidence: Math.max(right, 1 - right),
    view: handView(points, side),
    palmLengthPx: palmLength(points) * photo.scale
  }
}

interface Network {
  run(image: Float32Array): Promise<readonly (ort.Tensor | undefined)[]>
  close(): Promise<void>
}

/** One thread, no spinning: the engine runs one locator per worker. */
async function openNetwork(onnx: Uint8Array, side: number): Promise<Network> {
  const session = await createSession(onnx)
  return {
    async run(image) {
      const results = await session.run({ image: new ort.Tensor('float32', image, [1, side, side, 3]) })
      return session.outputNames.map((name) => results[name])
    },
    close: () => session.release()
  }
}

async function createSession(onnx: Uint8Array): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(onnx, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } }
    })
  } catch (cause) {
    throw new ScreeningError('ERR_MODEL_INVALID', 'Expected the converted hand networks to load but the runtime refused one', { cause })
  }
}

function expectNumbers(tensor: ort.Tensor | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data
  throw new ScreeningError('ERR_MODEL_OUTPUT', `Expected float numbers from the hand networks but received ${tensor?.type ?? 'nothing'}`)
}
