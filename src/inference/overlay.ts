import { createHash } from 'node:crypto'
import sharp from 'sharp'
import { ScreeningError } from '../errors.ts'
import {
  percentOf, type HandAssessment, type JointFinding, type NotAssessedReason, type PhotoAssessment, type PhotoPoint, type PhotoRegion, type PhotoRefusal
} from '../joints/finding.ts'
import { jointLabel } from '../joints/hand-joint.ts'
import { palmLength } from './hand-landmarks/hand-geometry.ts'
import { jointSquare } from './joint-crops.ts'
import { drawLeader, drawMark, openCanvas, type Canvas, type Mark, type MarkKind } from './overlay-marks.ts'
import { placePlate, within, writeWords, type Box, type Plate } from './overlay-words.ts'
import { renderPhoto } from './render-photo.ts'

export type Evidence = 'synthetic' | 'proxy' | 'clinical'

/** Small photos are enlarged so that words can be read, large ones reduced. Pixels of the longer side. */
const SIDE_PX = { least: 1000, most: 1600 }

/**
 * Upright JPEG with every joint marked and, below the photo, what the marks mean and what model spoke. Joints that look
 * inflamed carry name and probability, joints that cannot be assessed their reason. Throws ERR_REQUEST_INVALID when the
 * assessment is of another photo, and ERR_PHOTO_*. Everything is drawn here: the SVG decoder stays blocked.
 */
export async function renderOverlay(bytes: Uint8Array, assessment: PhotoAssessment, { evidence = 'synthetic' }: { evidence?: Evidence } = {}): Promise<Uint8Array> {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== assessment.photoSha256)
    throw new ScreeningError('ERR_REQUEST_INVALID', `Expected the photo ${assessment.photoSha256} that was assessed but received ${sha256}`)
  const { width, height } = overlaySize(assessment)
  const upright = await renderPhoto(bytes, { maxSidePx: SIDE_PX.most })
  const canvas = openCanvas(width, height)
  const plates = await drawHands(canvas, assessment)
  const footer = await drawFooter(width, footerWords(assessment, evidence))
  return sharp(upright)
    .resize({ width, height, fit: 'fill' })
    .extend({ bottom: footer.height, background: '#ffffff' })
    .composite([
      { input: canvas.data, raw: { width, height, channels: 4 }, left: 0, top: 0 },
      ...plates.map(({ png, x, y }) => ({ input: png, left: x, top: y })),
      { input: footer.data, raw: { width, height: footer.height, channels: 4 }, left: 0, top: height },
      ...footer.plates.map(({ png, x, y }) => ({ input: png, left: x, top: height + y }))
    ])
    .jpeg({ quality: 88 })
    .toBuffer()
}

function overlaySize({ width, height }: PhotoAssessment): { width: number; height: number } {
  const longer = Math.max(width, height)
  const scale = Math.min(SIDE_PX.most, Math.max(SIDE_PX.least, longer)) / longer
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}

type PlacedPlate = Plate & Box

interface MarkedJoint {
  readonly finding: JointFinding
  readonly mark: Mark
  readonly middle: PhotoPoint
}

/** Draws the marks of all hands, then finds room for their words. */
async function drawHands(canvas: Canvas, assessment: PhotoAssessment): Promise<readonly PlacedPlate[]> {
  const scale = canvas.width / assessment.width
  const sizePx = Math.max(canvas.width, canvas.height) / 58
  const joints = assessment.hands.flatMap((hand) => markedJoints(hand, assessment, scale))
  const taken: Box[] = joints.map(({ mark: { x, y, radius } }) => ({ x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius }))
  const placed: PlacedPlate[] = []
  const place = async (words: string, at: PhotoPoint & { radius: number }, middle: PhotoPoint, leader: boolean) => {
    const plate = await writeWords(words, { sizePx, maxWidth: canvas.width })
    if (!plate) return
    const box = placePlate(plate, at, canvas, taken, middle)
    taken.push(box)
    placed.push({ ...plate, ...box })
    if (leader) drawLeader(canvas, edgeOf(at, box), nearest(box, at), Math.max(1.5, sizePx / 14))
  }
  for (const hand of assessment.hands) {
    const wrist = scaled(hand.landmarks[0] ?? { x: 0, y: 0 }, scale)
    await place(handWords(hand), { ...inside(wrist, canvas, sizePx), radius: sizePx }, scaled(middleOf(hand), scale), false)
  }
  for (const { finding, mark, middle } of joints) {
    const words = jointWords(finding, reasonOfAll(assessment.hands.find(({ joints: own }) => own.includes(finding))))
    if (words) await place(words, mark, middle, true)
  }
  for (const { mark } of joints) drawMark(canvas, mark)
  return placed
}

function markedJoints(hand: HandAssessment, photo: PhotoAssessment, scale: number): MarkedJoint[] {
  const palm = palmLength(hand.landmarks) * scale
  const longer = Math.max(photo.width, photo.height) * scale
  const radius = Math.min(longer / 36, Math.max(longer / 110, palm * 0.12))
  return hand.joints.map((finding, index) => {
    const square = jointSquare(finding.joint, { points: hand.landmarks, side: hand.side }, JOINT_ITSELF)
    const center = regionCenter(hand.regions[index], photo) ?? { x: square.cx, y: square.cy }
    const at = inside(scaled(center, scale), { width: photo.width * scale, height: photo.height * scale }, radius)
    return { finding, mark: { ...at, radius, rotation: square.rotation, kind: kindOf(finding) }, middle: scaled(middleOf(hand), scale) }
  })
}

const JOINT_ITSELF = { globalSizePx: 1, localSizePx: 1, globalMargin: 0, scales: { wrist: 1, mcp: 1, pip: 1 }, mcpProximalShift: 0 }

function kindOf(finding: JointFinding): MarkKind {
  if (finding.kind === 'not-assessed') return 'not-assessed'
  return finding.inflamed ? 'inflamed' : 'not-inflamed'
}

/** The middle of what was read; undefined where the photo's edge has cut it. */
function regionCenter(region: PhotoRegion | undefined, photo: PhotoAssessment): PhotoPoint | undefined {
  if (!region || region.x <= 0 || region.y <= 0 || region.x + region.width >= photo.width || region.y + region.height >= photo.height) return undefined
  return { x: region.x + region.width / 2, y: region.y + region.height / 2 }
}

function middleOf({ landmarks }: HandAssessment): PhotoPoint {
  const sum = landmarks.reduce((total, { x, y }) => ({ x: total.x + x, y: total.y + y }), { x: 0, y: 0 })
  return { x: sum.x / landmarks.length, y: sum.y / landmarks.length }
}

const scaled = ({ x, y }: PhotoPoint, scale: number): PhotoPoint => ({ x: x * scale, y: y * scale })

/** The nearest place where a mark can still be seen whole. */
function inside({ x, y }: PhotoPoint, frame: { width: number; height: number }, radius: number): PhotoPoint {
  return { x: Math.max(radius, Math.min(frame.width - radius, x)), y: Math.max(radius, Math.min(frame.height - radius, y)) }
}

function nearest({ x, y, width, height }: Box, to: PhotoPoint): PhotoPoint {
  return { x: Math.max(x, Math.min(x + width, to.x)), y: Math.max(y, Math.min(y + height, to.y)) }
}

function edgeOf(mark: PhotoPoint & { radius: number }, box: Box): PhotoPoint {
  const to = nearest(box, mark)
  const distance = Math.hypot(to.x - mark.x, to.y - mark.y) || 1
  return { x: mark.x + (to.x - mark.x) / distance * mark.radius, y: mark.y + (to.y - mark.y) / distance * mark.radius }
}

/** The reason that all joints of a hand share. */
function reasonOfAll(hand: HandAssessment | undefined): NotAssessedReason | undefined {
  const reasons = new Set(hand?.joints.map((finding) => finding.kind === 'not-assessed' ? finding.reason : undefined))
  return reasons.size === 1 ? [...reasons][0] : undefined
}

function handWords(hand: HandAssessment): string {
  const name = hand.side === 'left' ? 'Left hand' : 'Right hand'
  const reason = reasonOfAll(hand)
  return reason ? `${name} · not assessed: ${REASON_WORDS[reason]}` : name
}

/** What is written at a joint; nothing where its mark says enough or the hand's own words say it. */
function jointWords(finding: JointFinding, said: NotAssessedReason | undefined): string | undefined {
  if (finding.kind === 'assessed') return finding.inflamed ? `${jointLabel(finding.joint)} · ${percentOf(finding.probability)} %` : undefined
  return finding.reason === said ? undefined : `${jointLabel(finding.joint)} · ${REASON_WORDS[finding.reason]}`
}

function footerWords({ model, hands, refusal }: PhotoAssessment, evidence: Evidence): readonly string[] {
  const research = `Research use · model ${model.name} ${model.version} ${EVIDENCE_WORDS[evidence]}`
  return hands.length === 0 ? [`No joint assessed: ${REFUSAL_WORDS[refusal ?? 'no-hand']}`, research] : [research]
}

const LEGEND: readonly (readonly [MarkKind, string])[] = [
  ['inflamed', 'looks inflamed'], ['not-inflamed', 'not flagged'], ['not-assessed', 'not assessed']
]

/** White band: what the three marks mean, then lines of words. As high as it is without fonts, too. */
async function drawFooter(width: number, lines: readonly string[]): Promise<Canvas & { plates: readonly PlacedPlate[] }> {
  const sizePx = Math.min(26, Math.max(9, width / 46))
  const row = Math.round(sizePx * 2)
  const canvas = openCanvas(width, row * (lines.length + 1))
  const plates: PlacedPlate[] = []
  const column = width / LEGEND.length
  const radius = sizePx * 0.65
  for (const [index, [kind, words]] of LEGEND.entries()) {
    const x = column * index + radius * 2
    drawMark(canvas, { x, y: row / 2, radius, rotation: 0, kind })
    const plate = await writeWords(words, { sizePx, maxWidth: Math.max(1, Math.floor(column - radius * 4)) })
    if (plate) plates.push({ ...plate, ...within({ x: x + radius * 1.5, y: (row - plate.height) / 2, width: plate.width, height: plate.height }, canvas) })
  }
  for (const [index, words] of lines.entries()) {
    const plate = await writeWords(words, { sizePx, maxWidth: width })
    if (plate) plates.push({ ...plate, ...within({ x: 0, y: row * (index + 1) + (row - plate.height) / 2, width: plate.width, height: plate.height }, canvas) })
  }
  return { ...canvas, plates }
}

const EVIDENCE_WORDS: Readonly<Record<Evidence, string>> = {
  synthetic: 'trained on synthetic hands', proxy: 'trained on stand-in data', clinical: 'trained on clinical photos'
}

const REFUSAL_WORDS: Readonly<Record<PhotoRefusal, string>> = {
  'no-hand': 'no hand found', 'too-small': 'photo too small', 'too-dark': 'photo too dark', blurred: 'photo blurred'
}

const REASON_WORDS: Readonly<Record<NotAssessedReason, string>> = {
  'no-photo': 'no photo', 'not-located': 'hand not located', 'outside-frame': 'outside the photo', 'low-detail': 'too little detail',
  occluded: 'covered', 'palmar-view': 'palm shown', 'oblique-view': 'hand turned', blurred: 'blurred', 'too-dark': 'too dark',
  'too-bright': 'too bright', 'too-small': 'hand too small', 'uncertain-side': 'left or right uncertain'
}
