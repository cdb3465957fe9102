import sharp, { type Metadata } from 'sharp'
import { ScreeningError } from '../errors.ts'
import type { PhotoRegion } from '../joints/finding.ts'
// Also blocks every decoder but those for JPEG, PNG and WebP.
import './decode-photo.ts'
import { guardPhoto, PHOTO_LIMITS } from './photo-guard.ts'

/**
 * Upright JPEG of a photo or of a region of it (upright pixels), at most `maxSidePx` on its longer side, never enlarged.
 * Without metadata: no place, no device, no name leaves with the picture. Throws ERR_PHOTO_* for a photo we refuse and
 * ERR_REQUEST_INVALID for a region outside it.
 */
export async function renderPhoto(bytes: Uint8Array, { maxSidePx, region }: { maxSidePx: number; region?: PhotoRegion }): Promise<Uint8Array> {
  if (!Number.isFinite(maxSidePx) || maxSidePx < 1)
    throw new ScreeningError('ERR_REQUEST_INVALID', `Expected a positive maxSidePx but received ${maxSidePx}`)
  guardPhoto(bytes)
  const side = Math.min(8192, Math.floor(maxSidePx))
  const options = { failOn: 'error', pages: 1, limitInputPixels: PHOTO_LIMITS.pixels } as const
  try {
    let picture = sharp(bytes, options).autoOrient()
    if (region) picture = picture.extract(clip(region, await sharp(bytes, options).metadata()))
    return await picture
      .resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true })
      .flatten({ background: '#ffffff' })
      .jpeg({ quality: 88 })
      .toBuffer()
  } catch (cause) {
    if (cause instanceof ScreeningError) throw cause
    throw new ScreeningError('ERR_PHOTO_CORRUPT', 'Expected a photo that can be decoded but the decoder refused it', { cause })
  }
}

/** Whole pixels inside the upright photo. */
function clip(region: PhotoRegion, { autoOrient }: Metadata) {
  const left = Math.max(0, Math.floor(region.x))
  const top = Math.max(0, Math.floor(region.y))
  const width = Math.min(autoOrient.width, Math.ceil(region.x + region.width)) - left
  const height = Math.min(autoOrient.height, Math.ceil(region.y + region.height)) - top
  if (width >= 1 && height >= 1) return { left, top, width, height }
  throw new ScreeningError('ERR_REQUEST_INVALID', `Expected a region inside ${autoOrient.width} x ${autoOrient.height} pixels but received ${JSON.stringify(region)}`)
}
