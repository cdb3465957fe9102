import { useEffect, useState } from 'react'
import { photoUrl } from './api.ts'

/** Read once each and kept in the page's memory alone: no cache may hold a photo, and the photo and its close-ups show the same bytes. */
const read = new Map<string, Promise<string>>()

/** An address of the photo for images of this page; undefined while it is read. */
export function usePhotoSource(photo: string): string | undefined {
  const [source, setSource] = useState<{ readonly photo: string; readonly address: string }>()
  useEffect(() => {
    let wanted = true
    void sourceOf(photo).then((address) => { if (wanted) setSource({ photo, address }) })
    return () => { wanted = false }
  }, [photo])
  return source?.photo === photo ? source.address : undefined
}

function sourceOf(photo: string): Promise<string> {
  const known = read.get(photo)
  if (known) return known
  const address = fetch(photoUrl(photo), { credentials: 'same-origin' })
    .then(async (response) => (response.ok ? URL.createObjectURL(await response.blob()) : photoUrl(photo)))
    // Asked for again by the image itself, whose words then stand in its place.
    .catch(() => { read.delete(photo); return photoUrl(photo) })
  read.set(photo, address)
  return address
}
