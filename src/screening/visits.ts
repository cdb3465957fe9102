import { createHash } from 'node:crypto'
import { OWN_BASE } from '../fhir/codes.ts'
import { isCalledPicture, type HandPhoto } from '../fhir/photo-sources.ts'
import { photoKey } from '../fhir/resources/result-ids.ts'
import { URL_NAMESPACE, uuidV5 } from '../fhir/resources/uuid-v5.ts'
import type { Calibration } from '../inference/engine/inference-engine.ts'
import type { ModelIdentity } from '../joints/finding.ts'
import { LATERALITIES, type Laterality } from '../joints/hand-joint.ts'

/** The hand photos of one day at the site, and those of them that are read. */
export interface Visit {
  /** `2026-11-20` in the site's time zone. */
  readonly day: string
  /** Newest first: the newest that the record calls left, the newest it calls right, and those without a side. */
  readonly photos: readonly DatedPhoto[]
}

export type DatedPhoto = HandPhoto & { readonly created: string }

/** Photos without a side that are read of one day, and of one side in one document; a visit takes two, sometimes twice. */
const MAX_ALIKE = 4

/** More than any clock of ours is behind: such a date is a slip of the pen, as 2062 for 2026. */
const TOO_FAR_AHEAD_MS = 366 * 86_400_000

/** Photos, newest first, as visits, newest first. A photo without a readable date, or of a year that is still to come, belongs to no visit. */
export function visitsOf(photos: readonly HandPhoto[], timeZone: string, now: number): readonly Visit[] {
  const dated = photos.filter((photo): photo is DatedPhoto => Date.parse(photo.created ?? '') - now < TOO_FAR_AHEAD_MS)
  const byDay = Map.groupBy(dated, ({ created }) => dayOf(created, timeZone))
  return [...byDay].map(([day, all]) => ({ day, photos: speaking(all) })).sort((a, b) => b.day.localeCompare(a.day))
}

const knownDays = new Map<string, string>()
const DAYS_KEPT = 5_000

/** The day at the site. A date without a time is that day, wherever the site is. */
export function dayOf(dateTime: string, timeZone: string): string {
  if (!dateTime.includes('T')) return dateTime
  const name = `${timeZone} ${dateTime}`
  const known = knownDays.get(name)
  if (known !== undefined) return known
  const day = calendarOf(timeZone).format(Date.parse(dateTime))
  // A chart asks for the day of the same few photos again and again; now and then all are forgotten.
  if (knownDays.size >= DAYS_KEPT) knownDays.clear()
  knownDays.set(name, day)
  return day
}

function speaking(photos: readonly DatedPhoto[]): readonly DatedPhoto[] {
  // What may be a film or a document as well does not stand before what the record calls a picture.
  const newest = (side: Laterality) => photos.find((photo) => photo.side === side && isCalledPicture(photo)) ?? photos.find((photo) => photo.side === side)
  const unsided = photos.filter(({ side }) => side === undefined).slice(0, MAX_ALIKE)
  const sided = LATERALITIES.map(newest).flatMap((one) => one ? [one, ...photos.filter((photo) => isBeside(photo, one))].slice(0, MAX_ALIKE) : [])
  const chosen = new Set([...sided, ...unsided])
  return photos.filter((photo) => chosen.has(photo))
}

/** Another one of the same hand in the same document: neither is newer than the other. */
function isBeside(photo: DatedPhoto, one: DatedPhoto): boolean {
  return photo.resourceType === one.resourceType && photo.id === one.id && photo.part !== one.part && photo.side === one.side && photo.created === one.created
}

/** Everything that decides a result: other photos, another version of one, another model or calibration give another key. */
export function visitKey({ photos }: Visit, model: ModelIdentity, calibration: Calibration): string {
  return digest([photos.map(photoKey).sort(), model.digest, digest(calibration)])
}

/** The screening's id is computed, so that a run that is repeated after a crash makes no second one. */
export function screeningId(tenant: string, patientId: string, key: string): string {
  return uuidV5(uuidV5(URL_NAMESPACE, `${OWN_BASE}/screening`), JSON.stringify([tenant, patientId, key]))
}

/** SHA-256, hex, of a value of plain JSON. */
export function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}

const calendars = new Map<string, Intl.DateTimeFormat>()

/** Making a calendar costs a hundred times what using it does. The Swedish way to write a date is ISO 8601. */
function calendarOf(timeZone: string): Intl.DateTimeFormat {
  const known = calendars.get(timeZone) ?? new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' })
  calendars.set(timeZone, known)
  return known
}
