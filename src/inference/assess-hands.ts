import { createHash } from 'node:crypto'
import { ScreeningError } from '../errors.ts'
import type {
  HandAssessment, HandQuality, JointFinding, NotAssessedReason, PhotoAssessment, PhotoRefusal
} from '../joints/finding.ts'
import { HAND_JOINTS, jointGroup, type HandJoint, type Laterality } from '../joints/hand-joint.ts'
import type { OcclusionMap } from '../joints/occlusion-map.ts'
import { handProbabilities, isInflamed } from './calibrate.ts'
import { coveredJoints } from './covered-joints.ts'
import { decodePhoto, type Photo } from './decode-photo.ts'
import type { Calibration } from './engine/inference-engine.ts'
import { coverJoint, MAP_GRID } from './explain-joint.ts'
import { LANDMARK_MODEL_DIGEST, openHandLocator, type HandLocator, type LocatedHand } from './hand-landmarks/hand-locator.ts'
import { toPhoto } from './hand-landmarks/photo-square.ts'
import { measureHandQuality } from './hand-quality.ts'
import { cropHand, jointSquare, type CropPlan, type HandCrops } from './joint-crops.ts'
import { jointPatches } from './joint-patches.ts'
import { openJointModel, type Device, type JointModel } from './joint-model.ts'
import type { ModelBundle, ModelManifest } from './model-bundle.ts'

/** Photo → findings with everything loaded. Belongs to one thread; runs one photo at a time. */
export interface HandAssessor {
  readonly executionProvider: string
  /** What the model learned from. */
  readonly evidence: ModelManifest['evidence']
  /** `photo` has passed guardPhoto. */
  assess(photo: Uint8Array, calibration?: Calibration): Promise<PhotoAssessment>
  /** Where the answer for one joint of this photo rests. Throws ERR_NOT_FOUND for a joint that has no probability. */
  explain(photo: Uint8Array, at: JointOfPhoto, calibration?: Calibration): Promise<OcclusionMap>
  close(): Promise<void>
}

export interface JointOfPhoto { readonly side: Laterality; readonly joint: HandJoint }

type Gates = ModelManifest['gates']

interface ReadHand {
  readonly hand: LocatedHand
  readonly quality: HandQuality
  readonly crops: HandCrops
  readonly covered: ReadonlySet<HandJoint>
  /** Why no joint of this hand can be read; absent when some can. */
  readonly reason?: NotAssessedReason
}

/** Opens locator and network of one bundle. Throws ERR_MODEL_INVALID when the bundle was made for other landmarks. */
export async function openHandAssessor(bundle: ModelBundle, { device = 'auto' }: { device?: Device } = {}): Promise<HandAssessor> {
  const trainedOn = bundle.manifest.landmarks.digest
  if (trainedOn !== undefined && trainedOn !== LANDMARK_MODEL_DIGEST)
    throw new ScreeningError('ERR_MODEL_INVALID', `Expected a model for the landmarks ${LANDMARK_MODEL_DIGEST} but received one for ${trainedOn}`)
  const model = await openJointModel(bundle, { device })
  const locator = await openHandLocator()
  return {
    executionProvider: model.executionProvider,
    evidence: bundle.manifest.evidence,
    assess: (bytes, calibration = bundle.calibration) => assessHands(bytes, { bundle, model, locator, calibration }),
    explain: (bytes, at, calibration = bundle.calibration) => explainJoint(bytes, at, { bundle, model, locator, calibration }),
    async close() {
      await model.close()
      await locator.close()
    }
  }
}

interface Tools {
  readonly bundle: ModelBundle
  readonly model: JointModel
  readonly locator: HandLocator
  readonly calibration: Calibration
}

/**
 * decode → locate → gate → crop → network → calibrate. A hand that fails a gate never reaches the network; of a joint that
 * fails one the number is never read: both get a reason and can have no probability. All readable hands of the photo go
 * through the network in one run.
 */
export async function assessHands(bytes: Uint8Array, { bundle, model, locator, calibration }: Tools): Promise<PhotoAssessment> {
  const { photo, hands, readable } = await readHands(bytes, { bundle, locator })
  const logits = await model.logits(readable.map(({ crops }) => crops), readable.map((_, row) => otherHand(readable, row)))
  const refusal = hands.length === 0 ? refusalOf(photo, bundle.manifest.gates) : undefined
  return {
    photoSha256: createHash('sha256').update(bytes).digest('hex'),
    width: photo.uprightWidth,
    height: photo.uprightHeight,
    model: bundle.identity,
    hands: hands.map((read) => handAssessment(photo, read, logits[readable.indexOf(read)], bundle.manifest, calibration)),
    ...(refusal ? { refusal } : {})
  }
}

/**
 * The same way up to the crops, then the joint's crop covered cell by cell. Of several hands of one side it is the one that
 * speaks in the count.
 */
export async function explainJoint(bytes: Uint8Array, { side, joint }: JointOfPhoto, { bundle, model, locator, calibration }: Tools): Promise<OcclusionMap> {
  const { manifest } = bundle
  const { photo, hands, readable } = await readHands(bytes, { bundle, locator })
  const readJoints = (read: ReadHand) => HAND_JOINTS.filter((one) => !jointReason(one, read, manifest)).length
  const [chosen] = hands.filter(({ hand }) => hand.side === side).sort((a, b) => readJoints(b) - readJoints(a))
  if (!chosen || jointReason(joint, chosen, manifest)) throw new ScreeningError('ERR_NOT_FOUND', 'Expected a joint that the model read in this photo.')
  const row = readable.indexOf(chosen)
  const other = readable[otherHand(readable, row)]
  const index = HAND_JOINTS.indexOf(joint)
  const { base, covered } = await coverJoint(model, chosen.crops, index, manifest.inputs.local.size, other?.crops)
  const probability = probabilitiesOf(chosen, base, manifest, calibration).get(joint)
  if (probability === undefined) throw new Error('Expected a probability of a readable joint')
  const square = jointSquare(joint, chosen.hand, planOf(manifest))
  const corner = (x: number, y: number) => {
    const at = toPhoto(square, { x, y })
    return { x: at.x * photo.scale, y: at.y * photo.scale }
  }
  return {
    grid: MAP_GRID,
    probability,
    drops: covered.map((logit) => ((base[index] ?? NaN) - logit) * (calibration.context?.scale ?? 1) / calibration.temperature),
    corners: [corner(0, 0), corner(1, 0), corner(0, 1)]
  }
}

async function readHands(bytes: Uint8Array, { bundle, locator }: Pick<Tools, 'bundle' | 'locator'>) {
  const photo = await decodePhoto(bytes)
  const located = await locator.locate(photo)
  const hands = located.map((hand) => readHand(photo, hand, bundle.manifest))
  return { photo, hands, readable: hands.filter(({ reason }) => !reason) }
}

const planOf = ({ inputs, crops }: ModelManifest): CropPlan => ({ ...crops, globalSizePx: inputs.global.size, localSizePx: inputs.local.size })

function readHand(photo: Photo, hand: LocatedHand, manifest: ModelManifest): ReadHand {
  const patches = jointPatches(photo, hand)
  const quality = measureHandQuality(photo, hand, patches)
  const cropped = cropHand(photo, hand, planOf(manifest))
  const reason = handGate(photo, hand, quality, manifest.gates)
  return { hand, quality, crops: cropped, covered: coveredJoints(patches), ...(reason ? { reason } : {}) }
}

/**
 * The most useful thing to say about a hand that cannot be read: what to change when the photo is taken again. Brightness
 * comes before sharpness because a dark hand also measures as blurred. In a picture whose file says that it is mirrored nobody
 * can tell left from right.
 */
export function handGate(photo: Pick<Photo, 'uprightWidth' | 'uprightHeight' | 'mirrored'>, hand: Pick<LocatedHand, 'view' | 'sideConfidence'>, quality: HandQuality, gates: Gates): NotAssessedReason | undefined {
  if (quality.presence < gates.handPresence) return 'not-located'
  if (hand.view === 'palmar') return 'palmar-view'
  if (hand.view === 'oblique') return 'oblique-view'
  if (quality.palmLengthPx < gates.palmLengthFraction * Math.max(photo.uprightWidth, photo.uprightHeight)) return 'too-small'
  if (quality.brightness < gates.minBrightness) return 'too-dark'
  if (quality.brightness > gates.maxBrightness) return 'too-bright'
  if (quality.sharpness < gates.minSharpness) return 'blurred'
  if (photo.mirrored || hand.sideConfidence < gates.minSideConfidence) return 'uncertain-side'
  return undefined
}

/** Row of the only other readable hand when it is of the other side, else -1. */
function otherHand(readable: readonly ReadHand[], row: number): number {
  const other = readable.findIndex(({ hand }, index) => index !== row && hand.side !== readable[row]?.hand.side)
  return readable.length === 2 ? other : -1
}

function handAssessment(
  photo: Photo, read: ReadHand, logits: Float32Array | undefined, manifest: ModelManifest, calibration: Calibration
): HandAssessment {
  const { hand, quality, crops } = read
  const probabilities = probabilitiesOf(read, logits, manifest, calibration)
  return {
    side: hand.side,
    sideConfidence: hand.sideConfidence,
    view: hand.view,
    quality,
    landmarks: hand.points.map(({ x, y }) => ({ x: x * photo.scale, y: y * photo.scale })),
    joints: HAND_JOINTS.map((joint): JointFinding => {
      const named = { joint, side: hand.side }
      const why = jointReason(joint, read, manifest)
      if (why) return { ...named, kind: 'not-assessed', reason: why }
      const probability = probabilities.get(joint)
      if (probability === undefined) throw new Error('Expected a probability for every readable joint')
      return { ...named, kind: 'assessed', probability, inflamed: isInflamed(probability, calibration) }
    }),
    regions: crops.regions
  }
}

/** Of the joints that can be read: a joint that cannot must not speak for its neighbours either. */
function probabilitiesOf(read: ReadHand, logits: ArrayLike<number> | undefined, manifest: ModelManifest, calibration: Calibration) {
  const readable = HAND_JOINTS.flatMap((joint, index) => {
    const logit = logits?.[index]
    return logit === undefined || jointReason(joint, read, manifest) ? [] : [[joint, logit] as const]
  })
  return handProbabilities(new Map(readable), calibration)
}

/** A joint must lie inside the frame with nothing over it, and its square must hold enough photo pixels. */
function jointReason(joint: HandJoint, { hand, crops, covered, reason }: ReadHand, manifest: ModelManifest): NotAssessedReason | undefined {
  if (reason) return reason
  if (crops.mask[HAND_JOINTS.indexOf(joint)] !== 1) return 'outside-frame'
  if (manifest.crops.scales[jointGroup(joint)] * hand.palmLengthPx < manifest.gates.minCropPx) return 'low-detail'
  return covered.has(joint) ? 'occluded' : undefined
}

/** What keeps a photo without any hand from showing one. */
function refusalOf({ data, uprightWidth, uprightHeight }: Photo, gates: Gates): PhotoRefusal {
  if (Math.max(uprightWidth, uprightHeight) * gates.palmLengthFraction < gates.minCropPx / 2) return 'too-small'
  if (meanLuminance(data) < gates.minBrightness) return 'too-dark'
  return 'no-hand'
}

/** Rec. 709 weights on the stored values, 0..1, from every 16th pixel. */
function meanLuminance(rgb: Uint8Array): number {
  let sum = 0
  let count = 0
  for (let at = 0; at + 2 < rgb.length; at += 48, count++)
    sum += 0.2126 * (rgb[at] ?? 0) + 0.7152 * (rgb[at + 1] ?? 0) + 0.0722 * (rgb[at + 2] ?? 0)
  return count === 0 ? 0 : sum / count / 255
}
