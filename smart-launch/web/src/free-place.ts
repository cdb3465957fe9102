export interface Box { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number }

/** Of the places that a name could have, the first that covers nothing, else the one that covers least. `coveredBy` may stop counting beyond `enough`. */
export function freePlace<Place>(places: Iterable<Place>, coveredBy: (place: Place, enough: number) => number): Place | undefined {
  let [best, least]: [Place | undefined, number] = [undefined, Infinity]
  for (const place of places) {
    const covered = coveredBy(place, least)
    if (covered < least) [best, least] = [place, covered]
    if (least === 0) break
  }
  return best
}

/** The area that both cover. */
export function overlap(a: Box, b: Box): number {
  return Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top))
}
