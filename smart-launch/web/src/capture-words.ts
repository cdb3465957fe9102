import { createContext, useContext } from 'react'
import type { Laterality } from '../../../src/joints/hand-joint.ts'
import type { PhotoProblem } from '../../../src/joints/photo-verdict.ts'
import { ApiError } from './api.ts'
import type { LocalProblem } from './local-checks.ts'
import type { Language } from './words.ts'

/** What the capture page says. The consent words carry CONSENT_VERSION (smart-launch/consent.ts): change both together. */
const english = {
  locale: 'en-GB',
  title: 'Photos of your hands',
  badge: 'Research software · not a medical device',
  forPatient: (name: string, born: string) => `For the record of ${name}${born && `, born ${born}`}`,
  steps: (done: number) => `Photo ${Math.min(done + 1, 2)} of 2`,
  hand: { left: 'Left hand', right: 'Right hand' } as Record<Laterality, string>,
  lead: { left: 'Photograph the back of the LEFT hand.', right: 'Photograph the back of the RIGHT hand.' } as Record<Laterality, string>,
  tips: [
    'Lay the hand flat, fingers a little apart, wrist in the picture and at the bottom.',
    'Hold the camera straight above, 30 to 40 cm away, so that the hand fills the outline.',
    'Even light, no flash, no filter, not mirrored. Rings off, sleeve up.'
  ],
  picture: (hand: string) => `Camera picture with an outline for the ${hand.toLowerCase()}`,
  take: 'Take the photo',
  file: 'Choose a photo instead',
  fileOnly: 'Choose a photo',
  noCamera: 'The camera cannot be used here. Allow it in the browser, or choose a photo from this device.',
  waiting: 'Waiting for the camera…',
  live: 'Looks fine so far.',
  unreadable: 'This file cannot be read here. Choose a JPEG, PNG or WebP picture.',
  shot: (hand: string) => `The photo of the ${hand.toLowerCase()}`,
  retake: 'Take it again',
  use: 'Use this photo',
  onDevice: 'The photo is still on this device only.',
  local: {
    dark: 'It looks dark: go near a window or switch on a light.',
    bright: 'It looks too bright: turn off the flash, avoid direct sun.',
    blurred: 'It looks blurred: hold still, wipe the lens, tap the hand to focus.',
    small: 'The picture has few pixels: use the main camera, without zoom.'
  } as Record<LocalProblem, string>,
  consentTitle: 'Before the photo leaves this device',
  consent: [
    'The photo is sent to the JointLens server of this clinic. It is checked there for sharpness, light and position of the hand.',
    'If you save it, it becomes part of the health record with the side, the time and the name of the camera. Place and other data inside the file are removed.',
    'A computer program then marks joints that may be inflamed, for your care team to look at. It is research software and makes no diagnosis.',
    'You may say no: then the photo is deleted here and nothing is sent.'
  ],
  agree: 'I agree: send the photo',
  refuse: 'No, delete the photo',
  deleted: 'The photo was deleted. Nothing was sent.',
  checking: 'The photo is being checked…',
  good: (readable: number, of: number) => `Good: ${readable} of ${of} joints can be read.`,
  notGood: 'Better take it again:',
  some: 'It can be used. It would be better still:',
  problem: {
    'no-hand': 'No hand was found. Show one whole hand on a plain background.',
    'too-dark': 'It is too dark. Go near a window or switch on a light.',
    'too-bright': 'It is too bright. No flash, no direct sun.',
    'too-small': 'The hand is too small. Go nearer, so that it fills the outline.',
    blurred: 'It is blurred. Hold still and tap the hand to focus.',
    'palmar-view': 'This is the palm. Turn the hand over: the back is needed.',
    'oblique-view': 'The hand is turned. Lay it flat and hold the camera straight above.',
    'cut-off': 'A part is outside the picture. Show the whole hand with the wrist.',
    covered: 'Something covers a joint, or light burns it out. Take off what covers it; avoid glare.',
    'low-detail': 'Some joints show too little detail. Go nearer and hold still.',
    'wrong-side': 'This looks like the other hand, or a mirrored picture. Check the side; switch off mirroring.',
    'several-hands': 'There is more than one hand. Photograph one at a time.'
  } as Record<PhotoProblem, string>,
  save: 'Save to the health record',
  keep: 'Save it anyway',
  saving: 'Saving…',
  again: 'Try again',
  kept: 'The photo is kept on this page. Trying again saves it once, not twice.',
  saved: (hand: string) => `The photo of the ${hand.toLowerCase()} is in the record.`,
  skip: 'Go on without this hand',
  done: 'Done',
  doneBoth: 'Both photos are in the health record.',
  doneSome: (count: number): string => (count === 1 ? 'One photo is in the health record.' : 'No photo was saved.'),
  patientEnd: 'Your care team sees them before the visit. This page shows no result. If your joints get worse, do not wait for the photos: call your clinic.',
  review: 'Review the joints',
  notAllowed: 'Your sign-in does not allow saving photos. Ask the clinic.',
  loading: 'Opening…',
  ended: 'Your session has ended',
  failed: 'This page could not be opened',
  old: 'This file is older than a day and shows another day’s joints. Take a new photo, or choose one of today.',
  errors: {
    offline: 'The connection was lost.', ERR_SESSION: 'Your session has ended. Open the page again from where you came; the photo has then to be taken again.',
    ERR_FORBIDDEN: 'Your sign-in does not allow this. Nothing was saved.', ERR_EHR_UNREACHABLE: 'The health record did not answer.',
    ERR_WRITE_AMBIGUOUS: 'No answer came back, so it is not known whether the photo was saved.', ERR_ENGINE_BUSY: 'Too many photos are being checked now.',
    ERR_PHOTO_TOO_LARGE: 'The picture is too large.', ERR_PHOTO_FORMAT: 'This is not a JPEG, PNG or WebP picture.', ERR_PHOTO_HEIC: 'HEIC pictures cannot be read; choose a JPEG.',
    ERR_PHOTO_CORRUPT: 'The picture is damaged.'
  } as Record<string, string>,
  unknownError: 'Something went wrong.'
}
export type CaptureWords = typeof english

const german: CaptureWords = {
  locale: 'de-DE',
  title: 'Fotos Ihrer Hände',
  badge: 'Forschungssoftware · kein Medizinprodukt',
  forPatient: (name, born) => `Für die Akte von ${name}${born && `, geboren ${born}`}`,
  steps: (done) => `Foto ${Math.min(done + 1, 2)} von 2`,
  hand: { left: 'Linke Hand', right: 'Rechte Hand' },
  lead: { left: 'Fotografieren Sie den Rücken der LINKEN Hand.', right: 'Fotografieren Sie den Rücken der RECHTEN Hand.' },
  tips: [
    'Hand flach auflegen, Finger leicht gespreizt, Handgelenk im Bild und unten.',
    'Kamera gerade darüber, 30 bis 40 cm entfernt, sodass die Hand den Umriss füllt.',
    'Gleichmäßiges Licht, kein Blitz, kein Filter, nicht gespiegelt. Ringe ab, Ärmel hoch.'
  ],
  picture: (hand) => `Kamerabild mit Umriss: ${hand}`,
  take: 'Foto aufnehmen',
  file: 'Stattdessen ein Foto wählen',
  fileOnly: 'Ein Foto wählen',
  noCamera: 'Die Kamera ist hier nicht verfügbar. Erlauben Sie sie im Browser oder wählen Sie ein Foto von diesem Gerät.',
  waiting: 'Kamera wird gestartet…',
  live: 'Sieht bisher gut aus.',
  unreadable: 'Diese Datei kann hier nicht gelesen werden. Wählen Sie ein Bild als JPEG, PNG oder WebP.',
  shot: (hand) => `Das Foto: ${hand}`,
  retake: 'Noch einmal aufnehmen',
  use: 'Dieses Foto verwenden',
  onDevice: 'Das Foto ist bisher nur auf diesem Gerät.',
  local: {
    dark: 'Es wirkt dunkel: Gehen Sie ans Fenster oder machen Sie Licht.',
    bright: 'Es wirkt zu hell: Blitz aus, keine direkte Sonne.',
    blurred: 'Es wirkt unscharf: Ruhig halten, Linse abwischen, auf die Hand tippen.',
    small: 'Das Bild hat wenige Pixel: Hauptkamera verwenden, ohne Zoom.'
  },
  consentTitle: 'Bevor das Foto dieses Gerät verlässt',
  consent: [
    'Das Foto wird an den JointLens-Server dieser Einrichtung gesendet. Dort werden Schärfe, Licht und Lage der Hand geprüft.',
    'Wenn Sie es speichern, wird es Teil der Gesundheitsakte, mit Seite, Zeit und Name der Kamera. Ort und andere Angaben in der Datei werden entfernt.',
    'Ein Computerprogramm markiert dann Gelenke, die entzündet sein könnten, damit Ihr Behandlungsteam sie ansieht. Es ist Forschungssoftware und stellt keine Diagnose.',
    'Sie dürfen Nein sagen: Dann wird das Foto hier gelöscht und nichts gesendet.'
  ],
  agree: 'Einverstanden: Foto senden',
  refuse: 'Nein, Foto löschen',
  deleted: 'Das Foto wurde gelöscht. Es wurde nichts gesendet.',
  checking: 'Das Foto wird geprüft…',
  good: (readable, of) => `Gut: ${readable} von ${of} Gelenken sind lesbar.`,
  notGood: 'Bitte noch einmal aufnehmen:',
  some: 'Es ist verwendbar. Noch besser:',
  problem: {
    'no-hand': 'Keine Hand gefunden. Zeigen Sie eine ganze Hand vor ruhigem Hintergrund.',
    'too-dark': 'Es ist zu dunkel. Gehen Sie ans Fenster oder machen Sie Licht.',
    'too-bright': 'Es ist zu hell. Kein Blitz, keine direkte Sonne.',
    'too-small': 'Die Hand ist zu klein. Gehen Sie näher, bis sie den Umriss füllt.',
    blurred: 'Es ist unscharf. Ruhig halten und auf die Hand tippen.',
    'palmar-view': 'Das ist die Handfläche. Bitte umdrehen: Der Handrücken wird gebraucht.',
    'oblique-view': 'Die Hand ist gedreht. Flach auflegen, Kamera gerade darüber.',
    'cut-off': 'Ein Teil fehlt im Bild. Zeigen Sie die ganze Hand mit Handgelenk.',
    covered: 'Ein Gelenk ist verdeckt oder überstrahlt. Nehmen Sie ab, was es verdeckt; kein Gegenlicht.',
    'low-detail': 'Einige Gelenke zeigen zu wenig Einzelheiten. Näher heran, ruhig halten.',
    'wrong-side': 'Das sieht nach der anderen Hand oder einem gespiegelten Bild aus. Seite prüfen, Spiegelung ausschalten.',
    'several-hands': 'Es ist mehr als eine Hand im Bild. Bitte einzeln fotografieren.'
  },
  save: 'In der Gesundheitsakte speichern',
  keep: 'Trotzdem speichern',
  saving: 'Wird gespeichert…',
  again: 'Noch einmal versuchen',
  kept: 'Das Foto bleibt auf dieser Seite. Ein neuer Versuch speichert es einmal, nicht doppelt.',
  saved: (hand) => `Das Foto ist in der Akte: ${hand}.`,
  skip: 'Ohne diese Hand weiter',
  done: 'Fertig',
  doneBoth: 'Beide Fotos sind in der Gesundheitsakte.',
  doneSome: (count) => (count === 1 ? 'Ein Foto ist in der Gesundheitsakte.' : 'Es wurde kein Foto gespeichert.'),
  patientEnd: 'Ihr Behandlungsteam sieht sie vor dem Termin. Diese Seite zeigt kein Ergebnis. Wenn es Ihren Gelenken schlechter geht, warten Sie nicht auf die Fotos: Rufen Sie die Praxis an.',
  review: 'Gelenke prüfen',
  notAllowed: 'Ihre Anmeldung erlaubt kein Speichern von Fotos. Fragen Sie die Praxis.',
  loading: 'Wird geöffnet…',
  ended: 'Ihre Sitzung ist beendet',
  failed: 'Diese Seite konnte nicht geöffnet werden',
  old: 'Diese Datei ist älter als einen Tag und zeigt die Gelenke eines anderen Tages. Machen Sie ein neues Foto oder wählen Sie eines von heute.',
  errors: {
    offline: 'Die Verbindung ist abgerissen.', ERR_SESSION: 'Ihre Sitzung ist beendet. Öffnen Sie die Seite noch einmal von dort, wo Sie herkamen; das Foto muss dann neu gemacht werden.',
    ERR_FORBIDDEN: 'Ihre Anmeldung erlaubt das nicht. Es wurde nichts gespeichert.', ERR_EHR_UNREACHABLE: 'Die Gesundheitsakte hat nicht geantwortet.',
    ERR_WRITE_AMBIGUOUS: 'Es kam keine Antwort zurück; ob das Foto gespeichert wurde, ist nicht bekannt.', ERR_ENGINE_BUSY: 'Gerade werden zu viele Fotos geprüft.',
    ERR_PHOTO_TOO_LARGE: 'Das Bild ist zu groß.', ERR_PHOTO_FORMAT: 'Das ist kein JPEG-, PNG- oder WebP-Bild.', ERR_PHOTO_HEIC: 'HEIC-Bilder sind nicht lesbar; wählen Sie ein JPEG.',
    ERR_PHOTO_CORRUPT: 'Das Bild ist beschädigt.'
  },
  unknownError: 'Etwas ist schiefgegangen.'
}

export const CAPTURE_WORDS: Record<Language, CaptureWords> = { en: english, de: german }
const CaptureWordsContext = createContext<CaptureWords>(english)
export const CaptureWordsProvider = CaptureWordsContext.Provider
export const useCaptureWords = () => useContext(CaptureWordsContext)

/** In the reader's language by the error's code. */
export const captureErrorWords = (c: CaptureWords, error: unknown) => (error instanceof ApiError ? c.errors[error.code] : undefined) ?? c.unknownError
