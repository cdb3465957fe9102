/** What can be said about a picture without sending it anywhere. Rough on purpose: the server's engine has the last word. */
export type LocalProblem = 'dark' | 'bright' | 'blurred' | 'small'

/** A picture reduced to this many pixels on its longer side is enough to judge light and sharpness. */
export const CHECK_SIDE_PX = 320
/** Own bars, on values of 0..1; `blurred` is the root mean square of the Laplacian as a share of the mean. */
const BARS = { dark: 0.16, bright: 0.9, blurred: 0.018, longSidePx: 1000 }

/** `rgba` of the reduced picture; `longSidePx` of the picture itself. */
export function localProblems({ rgba, width, height, longSidePx }: {
  rgba: ArrayLike<number>; width: number; height: number; longSidePx: number
}): readonly LocalProblem[] {
  const grey = Float32Array.from({ length: width * height }, (_, pixel) =>
    (0.2126 * (rgba[pixel * 4] ?? 0) + 0.7152 * (rgba[pixel * 4 + 1] ?? 0) + 0.0722 * (rgba[pixel * 4 + 2] ?? 0)) / 255)
  const mean = grey.reduce((sum, value) => sum + value, 0) / Math.max(1, grey.length)
  const problems: LocalProblem[] = []
  if (mean < BARS.dark) problems.push('dark')
  if (mean > BARS.bright) problems.push('bright')
  if (mean >= BARS.dark && edges(grey, width, height) / Math.max(mean, 1 / 255) < BARS.blurred) problems.push('blurred')
  if (longSidePx < BARS.longSidePx) problems.push('small')
  return problems
}

function edges(grey: Float32Array, width: number, height: number): number {
  let sum = 0
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x
      const laplacian = (grey[at - 1] ?? 0) + (grey[at + 1] ?? 0) + (grey[at - width] ?? 0) + (grey[at + width] ?? 0) - 4 * (grey[at] ?? 0)
      sum += laplacian * laplacian
    }
  }
  return Math.sqrt(sum / Math.max(1, (width - 2) * (height - 2)))
}
