import sharp, { type OverlayOptions } from 'sharp'
import type { HandAssessment, JointFinding, PhotoAssessment, PhotoPoint, PhotoRegion } from '../joints/finding.ts'
import { jointLabel } from '../joints/hand-joint.ts'
import { renderPhoto } from './render-photo.ts'

const LONGEST_PX = 1600
const FLAGGED: Colour = [255, 154, 82]
const PLAIN: Colour = [159, 211, 234]
const UNREAD: Colour = [225, 225, 225]
type Colour = readonly [number, number, number]

/**
 * Upright JPEG with every joint marked. Shape carries the meaning and colour only repeats it: double ring = looks inflamed,
 * single ring = not flagged, dashed ring with a cross = not assessable. A dark casing keeps marks legible on any skin. Marks
 * are drawn here, not as SVG: the SVG decoder stays blocked.
 */
export async function renderOverlay(bytes: Uint8Array, assessment: PhotoAssessment): Promise<Uint8Array> {
  const picture = await renderPhoto(bytes, { maxSidePx: LONGEST_PX })
  const { width, height } = await sharp(picture).metadata()
  const canvas = { width, height, data: Buffer.alloc(width * height * 4) }
  const scale = width / assessment.width
  const radius = Math.max(7, Math.max(width, height) / 70)
  const captions = assessment.hands.flatMap((hand) => drawHand(canvas, hand, scale, radius))
  const footer = `Research use. Model ${assessment.model.name} ${assessment.model.version}, learned from computer-made hands. Not a diagnosis.`
  const texts = await Promise.all([
    ...captions.map((caption) => label(caption, canvas)),
    label({ words: footer, x: 0, y: height, sizePx: Math.max(11, width / 62) }, canvas)
  ])
  return sharp(picture)
    .composite([{ input: canvas.data, raw: { width, height, channels: 4 } }, ...texts.flatMap((one) => one ?? [])])
    .jpeg({ quality: 88 })
    .toBuffer()
}

interface Canvas {
  readonly width: number
  readonly height: number
  /** RGBA. */
  readonly data: Buffer
}

/** Words beside a point, in pixels of the picture. */
interface Caption extends PhotoPoint {
  readonly words: string
  readonly sizePx: number
}

function drawHand(canvas: Canvas, hand: HandAssessment, scale: number, radius: number): Caption[] {
  const captions = hand.joints.flatMap((finding, index): Caption[] => {
    const region = hand.regions[index]
    if (!region) return []
    const at = centre(region, scale)
    drawJoint(canvas, finding, at, radius)
    if (finding.kind === 'not-assessed' || !finding.inflamed) return []
    const words = `${jointLabel(finding.joint)} · ${Math.round(finding.probability * 100)} %`
    return [{ words, x: at.x + radius * 1.7, y: at.y + radius * 0.7, sizePx: radius * 1.15 }]
  })
  const wrist = hand.landmarks[0]
  if (!wrist) return captions
  const words = `${hand.side} hand${hand.view === 'dorsal' ? '' : `, ${hand.view} view`}`
  return [...captions, { words, x: wrist.x * scale - radius * 3, y: wrist.y * scale + radius * 4.2, sizePx: radius * 1.2 }]
}

function centre({ x, y, width, height }: PhotoRegion, scale: number): PhotoPoint {
  return { x: (x + width / 2) * scale, y: (y + height / 2) * scale }
}

function drawJoint(canvas: Canvas, finding: JointFinding, at: PhotoPoint, radius: number): void {
  const line = Math.max(2, radius / 7)
  if (finding.kind === 'not-assessed') {
    drawRing(canvas, at, radius, line, UNREAD, 8)
    drawCross(canvas, at, radius * 0.55, line, UNREAD)
  } else if (finding.inflamed) {
    drawRing(canvas, at, radius * 0.8, line * 1.4, FLAGGED)
    drawRing(canvas, at, radius * 1.4, line * 1.4, FLAGGED)
  } else {
    drawRing(canvas, at, radius * 0.8, line, PLAIN)
  }
}

/** `dashes` gaps around the ring; none for an unbroken one. */
function drawRing(canvas: Canvas, at: PhotoPoint, radius: number, line: number, colour: Colour, dashes = 0): void {
  paint(canvas, at, radius + line * 2, line, colour, (x, y) => {
    const gap = dashes > 0 && Math.sin(Math.atan2(y, x) * dashes) > 0.2
    return gap ? Infinity : Math.abs(Math.hypot(x, y) - radius)
  })
}

function drawCross(canvas: Canvas, at: PhotoPoint, reach: number, line: number, colour: Colour): void {
  paint(canvas, at, reach + line * 2, line, colour, (x, y) =>
    Math.max(Math.abs(x), Math.abs(y)) > reach ? Infinity : Math.min(Math.abs(x - y), Math.abs(x + y)) / Math.SQRT2)
}

/** A line of the given width where `distance` (pixels from the line's middle) is small, on a dark casing one pixel and a half wider. */
function paint(
  { width, height, data }: Canvas, at: PhotoPoint, reach: number, line: number, colour: Colour, distance: (x: number, y: number) => number
): void {
  for (let y = Math.max(0, Math.floor(at.y - reach)); y <= Math.min(height - 1, Math.ceil(at.y + reach)); y++) {
    for (let x = Math.max(0, Math.floor(at.x - reach)); x <= Math.min(width - 1, Math.ceil(at.x + reach)); x++) {
      const off = distance(x - at.x, y - at.y)
      const inner = coverage(line / 2 - off)
      const casing = coverage(line / 2 + 1.5 - off) * 0.65
      const alpha = Math.max(inner, casing)
      if (alpha <= 0) continue
      const place = (y * width + x) * 4
      for (const [channel, value] of colour.entries()) data[place + channel] = value * inner / alpha
      data[place + 3] = Math.max(data[place + 3] ?? 0, alpha * 255)
    }
  }
}

const coverage = (inside: number) => Math.min(1, Math.max(0, inside + 0.5))

/** White words on a dark plate whose lower left corner is at (x, y), kept inside the picture. undefined where the machine has no font. */
async function label({ words, x, y, sizePx }: Caption, { width, height }: Canvas): Promise<OverlayOptions[] | undefined> {
  const markup = `<span foreground="white" background="#000000b0">\u00a0${escape(words)}\u00a0</span>`
  try {
    const { data, info } = await sharp({ text: { text: markup, font: 'DejaVu Sans, Arial, sans-serif', dpi: Math.round(sizePx * 5.2), rgba: true } })
      .png().toBuffer({ resolveWithObject: true })
    const fitted = info.width > width ? await sharp(data).resize({ width }).toBuffer({ resolveWithObject: true }) : { data, info }
    const left = Math.round(Math.max(0, Math.min(width - fitted.info.width, x)))
    const top = Math.round(Math.max(0, Math.min(height - fitted.info.height, y - fitted.info.height)))
    return [{ input: fitted.data, left, top }]
  } catch {
    return undefined
  }
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
