/**
 * Version of the words on the capture page that a person agrees to before a photo leaves the device. The server takes no photo
 * without it. Change it with the words (web/src/capture-words.ts).
 */
export const CONSENT_VERSION = '2026-11'

/** An older picture shows another day's joints; it belongs into the record with its own date, and not through the capture page. */
export const OLDEST_PHOTO_MS = 24 * 3600_000
