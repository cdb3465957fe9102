import { readdir, readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { ScreeningError } from '../errors.ts'
import type { VisitPhoto, VisitPhotos } from '../inference/read-with-both.ts'
import type { JointLabel } from './labels-csv.ts'

/** A visit of a folder before its photos are read. */
export interface FolderVisit {
  readonly group: string
  readonly photos: readonly { readonly photo: string; readonly labels: readonly JointLabel[] }[]
}

/** HEIC too, which is refused by name: a phone's photos that are passed over would be missed by nobody. */
const PHOTO = /\.(jpe?g|png|webp|heic|heif)$/i

/**
 * Every photo of a folder and of the folders in it, in the order of their names. Photos whose labels name the same patient and the
 * same visit are one visit; every other photo is one by itself. Throws ERR_USAGE for a folder without photos or a labelled photo that is not
 * there.
 */
export async function visitsOfFolder(dir: string, labels: readonly JointLabel[] = []): Promise<readonly FolderVisit[]> {
  const photos = await photosIn(dir)
  const byPhoto = Map.groupBy(labels, ({ photo }) => photo)
  const missing = [...byPhoto.keys()].find((photo) => !photos.includes(photo))
  if (missing !== undefined) throw new ScreeningError('ERR_USAGE', `Expected the photo "${missing}" of the labels in "${dir}" but it is not there`)
  const visits = Map.groupBy(photos, (photo) => visitOf(photo, byPhoto.get(photo)?.[0]))
  return [...visits.values()].map((names) => ({
    group: byPhoto.get(names[0] ?? '')?.[0]?.patient ?? names[0] ?? '',
    photos: names.map((photo) => ({ photo, labels: byPhoto.get(photo) ?? [] }))
  }))
}

export async function readFolderVisit(dir: string, { group, photos }: FolderVisit): Promise<VisitPhotos> {
  return {
    group,
    photos: await Promise.all(photos.map(async ({ photo, labels }): Promise<VisitPhoto> => {
      const bytes = await readFile(join(dir, photo)).catch((cause: unknown) => {
        throw new ScreeningError('ERR_USAGE', `Expected a photo but "${photo}" cannot be read`, { cause })
      })
      return { photo, bytes, ...(labels.length > 0 ? { labels } : {}) }
    }))
  }
}

async function photosIn(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new ScreeningError('ERR_USAGE', `Expected a folder of photos but "${dir}" cannot be read`, { cause })
  })
  const names = entries.filter((entry) => !entry.isDirectory() && PHOTO.test(entry.name) && !entry.name.startsWith('.'))
    .map((entry) => nameOf(relative(dir, join(entry.parentPath, entry.name))))
  if (names.length === 0) throw new ScreeningError('ERR_USAGE', `Expected photos (JPEG, PNG, WebP) in "${dir}" but found none`)
  return names.sort()
}

/** As labels name it, however the machine writes paths. */
const nameOf = (path: string) => path.replaceAll(sep, '/')

/** The key of the visit that a photo belongs to; the photo's own name where its labels name none. */
function visitOf(photo: string, label: JointLabel | undefined): string {
  return label?.patient === undefined || label.visit === undefined ? photo : JSON.stringify([label.patient, label.visit])
}
