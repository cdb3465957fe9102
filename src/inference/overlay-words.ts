import sharp from 'sharp'
import type { PhotoPoint } from '../joints/finding.ts'

/** Words as a picture: dark on a white plate. */
export interface Plate {
  readonly png: Buffer
  readonly width: number
  readonly height: number
}

export interface Box extends PhotoPoint {
  readonly width: number
  readonly height: number
}

/** undefined where the machine has no font to write with: marks tell themselves apart by shape. */
export async function writeWords(words: string, { sizePx, maxWidth }: { sizePx: number; maxWidth: number }): Promise<Plate | undefined> {
  const pad = Math.max(2, Math.round(sizePx * 0.22))
  try {
    const text = { text: `<span foreground="#101010">${escape(words)}</span>`, font: 'sans-serif 10', dpi: Math.max(30, Math.round(sizePx * 7.2)), rgba: true }
    const { data, info } = await sharp({ text })
      .flatten({ background: '#ffffff' })
      .extend({ top: pad, bottom: pad, left: pad * 2, right: pad * 2, background: '#ffffff' })
      .png().toBuffer({ resolveWithObject: true })
    if (info.width <= maxWidth) return { png: data, width: info.width, height: info.height }
    const smaller = await sharp(data).resize({ width: maxWidth }).png().toBuffer({ resolveWithObject: true })
    return { png: smaller.data, width: smaller.info.width, height: smaller.info.height }
  } catch {
    return undefined
  }
}

/** Sixteen directions, ever farther out. */
const DIRECTIONS = Array.from({ length: 16 }, (_, turn) => ({ x: Math.cos(turn * Math.PI / 8), y: Math.sin(turn * Math.PI / 8) }))

/**
 * A place for a plate near a mark, inside the frame, that covers as little as possible of what is `taken`; nearer is better,
 * and so is outwards, away from `middle`.
 */
export function placePlate(
  { width, height }: Plate, mark: PhotoPoint & { readonly radius: number }, frame: { readonly width: number; readonly height: number },
  taken: readonly Box[], middle: PhotoPoint
): Box {
  const outward = Math.atan2(mark.y - middle.y, mark.x - middle.x)
  let best: { box: Box; cost: number } | undefined
  for (const far of [1.4, 2.6, 4, 5.5, 7.5]) {
    for (const direction of DIRECTIONS) {
      const away = mark.radius * far
      const box = within({
        x: mark.x + direction.x * (away + width / 2) - width / 2, y: mark.y + direction.y * (away + height / 2) - height / 2, width, height
      }, frame)
      const turned = 1 - Math.cos(Math.atan2(direction.y, direction.x) - outward)
      const cost = taken.reduce((sum, other) => sum + overlap(box, other), 0) * 4 + away * height * 0.3 + turned * height * height * 0.4
      if (!best || cost < best.cost) best = { box, cost }
    }
  }
  return best?.box ?? { x: 0, y: 0, width, height }
}

export function within(box: Box, frame: { readonly width: number; readonly height: number }): Box {
  return {
    ...box,
    x: Math.round(Math.max(0, Math.min(frame.width - box.width, box.x))),
    y: Math.round(Math.max(0, Math.min(frame.height - box.height, box.y)))
  }
}

function overlap(a: Box, b: Box): number {
  const across = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)
  const down = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y)
  return across > 0 && down > 0 ? across * down : 0
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
