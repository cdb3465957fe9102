/** A picture of floats, `channels` values a pixel, row by row. */
export interface Plane { readonly data: Float32Array, readonly width: number, readonly height: number, readonly channels: number }

export function plane(width: number, height: number, channels = 1): Plane {
  return { data: new Float32Array(width * height * channels), width, height, channels }
}

/** Each value through `change`. */
export function mapped({ data, ...rest }: Plane, change: (value: number, index: number) => number): Plane {
  return { ...rest, data: data.map(change) }
}

/** Gaussian blur, sigma in pixels; the border repeats. */
export function blurred(from: Plane, sigma: number): Plane {
  const kernel = gaussian(sigma)
  return blurLines(blurLines(from, kernel, 'across'), kernel, 'down')
}

/** Gaussian blur of what `mask` (one channel, 0..1) shows: what it hides adds nothing, so skin is not blurred with the table beside it. */
export function blurredWithin(from: Plane, mask: Plane, sigma: number): Plane {
  const { channels } = from
  const weighted = blurred(mapped(from, (value, k) => value * mask.data[Math.floor(k / channels)]!), sigma)
  const weight = blurred(mask, sigma)
  return mapped(weighted, (value, k) => {
    const w = weight.data[Math.floor(k / channels)]!
    return w > 0.02 ? value / w : from.data[k]!
  })
}

/** Bilinear sample of one channel; outside the picture its border repeats. */
export function sampleAt({ data, width, height, channels }: Plane, x: number, y: number, channel = 0): number {
  const cx = Math.min(width - 1, Math.max(0, x)), cy = Math.min(height - 1, Math.max(0, y))
  const left = Math.min(width - 2, Math.floor(cx)), top = Math.min(height - 2, Math.floor(cy))
  const fx = cx - left, fy = cy - top
  const k = (top * width + left) * channels + channel, below = k + width * channels
  return (data[k]! * (1 - fx) + data[k + channels]! * fx) * (1 - fy) + (data[below]! * (1 - fx) + data[below + channels]! * fx) * fy
}

function gaussian(sigma: number): Float64Array {
  const reach = Math.max(1, Math.ceil(2.5 * sigma))
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, t) => Math.exp(-((t - reach) ** 2) / (2 * sigma * sigma)))
  const total = kernel.reduce((sum, weight) => sum + weight, 0)
  return kernel.map((weight) => weight / total)
}

function blurLines(from: Plane, kernel: Float64Array, direction: 'across' | 'down'): Plane {
  const { data, width, height, channels } = from
  const out = new Float32Array(data.length)
  const reach = (kernel.length - 1) / 2
  const [along, lines, step, lineStep] = direction === 'across' ? [width, height, channels, width * channels] : [height, width, width * channels, channels]
  for (let line = 0; line < lines; line++) {
    for (let at = 0; at < along; at++) {
      for (let channel = 0; channel < channels; channel++) {
        const start = line * lineStep + channel
        let sum = 0
        for (let t = -reach; t <= reach; t++) sum += kernel[t + reach]! * data[start + Math.min(along - 1, Math.max(0, at + t)) * step]!
        out[start + at * step] = sum
      }
    }
  }
  return { ...from, data: out }
}
