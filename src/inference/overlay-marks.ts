import type { PhotoPoint } from '../joints/finding.ts'

/** A transparent picture to draw on. RGBA, row by row. */
export interface Canvas {
  readonly width: number
  readonly height: number
  readonly data: Buffer
}

/** What is drawn at a joint. `rotation` in radians, clockwise as seen. */
export interface Mark extends PhotoPoint {
  readonly kind: MarkKind
  readonly radius: number
  readonly rotation: number
}

export type MarkKind = 'inflamed' | 'not-inflamed' | 'not-assessed'
type Colour = readonly [number, number, number]
/** Pixels from the middle of a line, for a place relative to the mark. */
type Distance = (x: number, y: number) => number

const RED: Colour = [190, 30, 0]
const BLUE: Colour = [0, 62, 122]
const GREY: Colour = [55, 55, 55]
const WHITE: Colour = [255, 255, 255]
const DASHES = 7

export function openCanvas(width: number, height: number): Canvas {
  return { width, height, data: Buffer.alloc(width * height * 4) }
}

/**
 * Shape carries the meaning, colour only repeats it: a filled double ring, a thin square along the finger, a dashed ring with
 * a cross. Dark lines in a white casing: the one shows on light skin, the other on dark skin.
 */
export function drawMark(canvas: Canvas, mark: Mark): void {
  const { kind, radius, rotation } = mark
  const line = Math.max(1.5, radius / 7)
  switch (kind) {
    case 'inflamed':
      fill(canvas, mark, radius, RED, 0.3)
      stroke(canvas, mark, { colour: RED, line: line * 1.8, reach: radius, distance: ring(radius) })
      return stroke(canvas, mark, { colour: RED, line: line * 1.2, reach: radius, distance: ring(radius * 0.55) })
    case 'not-inflamed':
      return stroke(canvas, mark, { colour: BLUE, line, reach: radius, distance: square(radius * 0.68, rotation) })
    case 'not-assessed':
      stroke(canvas, mark, { colour: GREY, line, reach: radius, distance: dashedRing(radius * 0.85) })
      return stroke(canvas, mark, { colour: GREY, line, reach: radius, distance: cross(radius * 0.4) })
  }
}

/** From a mark's edge to its words. */
export function drawLeader(canvas: Canvas, from: PhotoPoint, to: PhotoPoint, line: number): void {
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const length = Math.hypot(dx, dy)
  if (length < 1) return
  const along = (x: number, y: number) => (x * dx + y * dy) / length
  stroke(canvas, from, {
    colour: GREY, line, reach: length,
    distance: (x, y) => along(x, y) < 0 || along(x, y) > length ? Infinity : Math.abs(x * dy - y * dx) / length
  })
}

const ring = (radius: number): Distance => (x, y) => Math.abs(Math.hypot(x, y) - radius)

function dashedRing(radius: number): Distance {
  const whole = ring(radius)
  return (x, y) => Math.sin(Math.atan2(y, x) * DASHES) > 0.1 ? Infinity : whole(x, y)
}

function square(reach: number, rotation: number): Distance {
  const [cos, sin] = [Math.cos(rotation), Math.sin(rotation)]
  return (x, y) => Math.abs(Math.max(Math.abs(x * cos + y * sin), Math.abs(y * cos - x * sin)) - reach)
}

function cross(reach: number): Distance {
  return (x, y) => Math.max(Math.abs(x), Math.abs(y)) > reach ? Infinity : Math.min(Math.abs(x - y), Math.abs(x + y)) / Math.SQRT2
}

interface Stroke {
  readonly colour: Colour
  readonly line: number
  /** Nothing is drawn farther than this and a line's width from the mark's middle. */
  readonly reach: number
  readonly distance: Distance
}

/** First the white casing, then the line on it. */
function stroke(canvas: Canvas, at: PhotoPoint, { colour, line, reach, distance }: Stroke): void {
  const casing = Math.max(1.5, line * 0.6)
  const far = reach * 1.5 + line + casing
  paint(canvas, at, far, WHITE, (x, y) => coverage(line / 2 + casing - distance(x, y)) * 0.9)
  paint(canvas, at, far, colour, (x, y) => coverage(line / 2 - distance(x, y)))
}

function fill(canvas: Canvas, at: PhotoPoint, radius: number, colour: Colour, opacity: number): void {
  paint(canvas, at, radius, colour, (x, y) => coverage(radius - Math.hypot(x, y)) * opacity)
}

/** Share of a pixel that lies inside an edge `inside` pixels away. */
const coverage = (inside: number) => Math.min(1, Math.max(0, inside + 0.5))

/** Lays a colour over what is there ("source over", Porter and Duff 1984), as opaque as `opacity` says for each place. */
function paint({ width, height, data }: Canvas, at: PhotoPoint, reach: number, colour: Colour, opacity: Distance): void {
  const [left, right] = [Math.max(0, Math.floor(at.x - reach)), Math.min(width - 1, Math.ceil(at.x + reach))]
  const [top, bottom] = [Math.max(0, Math.floor(at.y - reach)), Math.min(height - 1, Math.ceil(at.y + reach))]
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const over = opacity(x + 0.5 - at.x, y + 0.5 - at.y)
      if (over <= 0) continue
      const place = (y * width + x) * 4
      const under = (data[place + 3] ?? 0) / 255 * (1 - over)
      const alpha = over + under
      for (const [channel, value] of colour.entries())
        data[place + channel] = Math.round((value * over + (data[place + channel] ?? 0) * under) / alpha)
      data[place + 3] = Math.round(alpha * 255)
    }
  }
}
