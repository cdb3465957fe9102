/**
 * Version of the words on the capture page that a person agrees to before a photo leaves the device. The server takes no photo
 * without it. Change it with the words (web/src/capture-words.ts).
 */
export const CONSENT_VERSION = '2026-11'
