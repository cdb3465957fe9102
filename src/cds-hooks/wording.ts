import { datePrecisionOf } from '../joints/date-precision.ts'
import type { NotAssessedReason } from '../joints/finding.ts'
import { jointLabel, type HandJoint, type Laterality } from '../joints/hand-joint.ts'

export type Language = 'en' | 'de'

/** Everything a card says (method/clinical.md section 7: a suggestion, never a diagnosis; never a lone number). */
const english = {
  locale: 'en-GB',
  joint: jointLabel,
  jointOf: (side: Laterality, joint: HandJoint) => `${side} ${jointLabel(joint)}`,
  hand: { left: 'left hand', right: 'right hand' } as Record<Laterality, string>,
  columns: ['Joint', 'Left', 'Right'],
  flagged: (percent: number) => `possible, ${percent} %`,
  notFlagged: 'not flagged',
  notAssessable: 'not assessable',
  signedCell: 'signed',
  reason: {
    'no-photo': 'no photo', 'not-located': 'hand not found', 'outside-frame': 'outside the picture', 'low-detail': 'too little detail',
    occluded: 'covered', 'palmar-view': 'shows the palm', 'oblique-view': 'hand is turned', blurred: 'photo is blurred',
    'too-dark': 'photo is too dark', 'too-bright': 'photo is too bright', 'too-small': 'hand is too small', 'uncertain-side': 'left or right uncertain'
  } as Record<NotAssessedReason, string>,
  summary: (day: string, swollen: number, assessable: number, low: number, high: number, missing: number) => [
    `AI suggestion, photos of ${day}: ${swollen} of ${assessable} assessable hand joints swollen (90 % interval ${low}–${high})${missing > 0 ? `, ${missing} not assessable` : ''}`,
    `AI suggestion, ${day}: ${swollen} of ${assessable} hand joints swollen (${low}–${high}), ${missing} not assessable`
  ],
  oldSummary: (day: string, swollen: number, assessable: number, low: number, high: number) =>
    [`Old hand photos (${day}): AI suggested ${swollen} of ${assessable} assessable joints swollen (90 % interval ${low}–${high}); ask for new ones`],
  signedSummary: (day: string, swollen: number, assessable: number, low: number, high: number) => [
    `Signed by a clinician: hand photos of ${day}; AI had suggested ${swollen} of ${assessable} assessable joints swollen (90 % interval ${low}–${high})`
  ],
  partSummary: (day: string, swollen: number, assessable: number, low: number, high: number, open: number) => [
    `Signed in part: hand photos of ${day}; AI had suggested ${swollen} of ${assessable} assessable joints swollen (90 % interval ${low}–${high}), ${open} still open`
  ],
  setAsideSummary: (day: string, swollen: number, assessable: number, low: number, high: number) => [
    `Set aside by a clinician: hand photos of ${day}; AI had suggested ${swollen} of ${assessable} assessable joints swollen (90 % interval ${low}–${high})`
  ],
  unreadSummary: (day: string) => [`Hand photos of ${day} cannot be assessed; a new photo is needed`],
  pendingSummary: ['Hand photos are being read; findings follow in a moment'],
  failedSummary: ['The newest hand photos could not be read; a new photo is needed'],
  waitingSummary: ['The newest hand photos have not been read yet; JointLens tries again'],
  undatedSummary: ['The hand photos in the record carry no date; findings cannot be dated'],
  askSummary: (age: string) => [`Ask for hand photos before the visit: ${age}`],
  never: 'none in the record',
  last: (day: string) => `the last are of ${day}`,
  age: (days: number) => (days < 0 ? 'a date in the future: check it in the record' : days < 1 ? 'today' : days === 1 ? 'yesterday' : `${days} days ago`),
  taken: (day: string, age: string | undefined) => `Photos taken ${day}${age === undefined ? '' : ` (${age})`}.`,
  nothingFlagged: (assessable: number) => `None of ${assessable} assessable joints was flagged by the model. That is no all-clear.`,
  missing: 'Not assessable',
  since: (day: string, both: number, before: number, now: number) => `Of ${both} joints assessable now and on ${day}: ${before} flagged then, ${now} now`,
  neitherTime: (day: string) => `No joint was assessable both now and on ${day}: nothing to compare`,
  otherModel: 'The earlier photos were read by another version of the model: a change may be the model’s.',
  newly: 'newly flagged',
  gone: 'no longer flagged',
  newer: 'A newer photo is being read now.',
  newerUnread: 'The record has newer photos that could not be read yet: this result is not of them.',
  pendingDetail: 'JointLens reads the newest hand photos. Look again in a few seconds, or open the app.',
  failedDetail: 'The file could not be decoded. Ask for a JPEG of the back of each hand.',
  waitingDetail: 'Something on the way failed, not the photos: no new ones are needed. If this stays so, tell whoever looks after JointLens.',
  undatedDetail: 'Enter in the record when the photos were taken, or ask for new ones.',
  unwritable: 'This record does not take results; nothing can be recorded from here.',
  recorded: 'This suggestion is in the record already.',
  accepted: (day: string) => `The suggestion was accepted on ${day}, as the EHR reports. It is not offered again, so that nothing is recorded twice; review it in JointLens.`,
  signedPart: (day: string, signed: string, open: string) => `On ${day} a clinician signed findings of these photos, and of joints flagged here: ${signed}. They are in the record and stand before this suggestion. Flagged and still open: ${open}.`,
  setAside: (day: string, reason?: string) => `On ${day} a clinician set this suggestion aside, as the EHR reports, and gave a reason${reason === undefined ? '' : `: “${reason}”`}. It is not offered for recording again; you can review the photos in JointLens.`,
  retake: 'Ask for one photo of the back of each hand: flat, fingers apart, plain background, even light, the hand filling the picture.',
  signed: (day: string) => `On ${day} a clinician signed findings of these photos, any joint flagged here among them: they are in the record and stand before this suggestion.`,
  suggestion: 'AI suggestion.',
  unreviewed: 'AI suggestion, not reviewed.',
  caution: 'May under-count when many joints are swollen; osteoarthritis nodes can look like swelling; evidence on dark skin is limited. Tenderness, shoulders, elbows and knees were not assessed. Swelling may have other causes.',
  research: 'Research software, learned from computer-made hands; it has never seen a patient. Examine the patient.',
  calibration: 'Calibration',
  record: (count: number) => `Record the AI suggestion as preliminary (${count} entries)`,
  recordOpen: (count: number) => `Record the AI suggestion for the joints still open as preliminary (${count} entries)`,
  askLabel: 'Ask the patient for hand photos',
  askAction: 'Create a request for hand photos before the visit',
  askText: 'Please take one photo of the back of each hand before your visit: hand flat, fingers slightly apart, plain background, daylight, no flash, rings off.',
  action: { Observation: 'Record a preliminary AI finding', count: 'Record the preliminary AI count of the hands', DiagnosticReport: 'Record the preliminary AI report', Provenance: 'Record that an AI made these results' },
  review: 'Review photos in JointLens',
  topic: 'Hand joint findings from photos',
  override: {
    'not-swollen': 'Examined: the flagged joints are not swollen', 'more-swollen': 'Examined: more joints are swollen than suggested',
    'other-cause': 'Swelling has another cause (for example osteoarthritis)', 'poor-photo': 'The photo is not good enough',
    'wrong-patient': 'Photo of another patient or hand', 'already-recorded': 'Already recorded', 'not-now': 'Not useful at this moment'
  }
}

export type Wording = typeof english

const germanJoint = (joint: HandJoint) => (joint === 'wrist' ? 'Handgelenk' : joint === 'ip1' ? 'Daumen-IP' : jointLabel(joint))

const german: Wording = {
  locale: 'de-DE',
  joint: germanJoint,
  jointOf: (side, joint) => `${germanJoint(joint)} ${side === 'left' ? 'links' : 'rechts'}`,
  hand: { left: 'linke Hand', right: 'rechte Hand' },
  columns: ['Gelenk', 'Links', 'Rechts'],
  flagged: (percent) => `möglich, ${percent} %`,
  notFlagged: 'nicht markiert',
  notAssessable: 'nicht beurteilbar',
  signedCell: 'signiert',
  reason: {
    'no-photo': 'kein Foto', 'not-located': 'Hand nicht gefunden', 'outside-frame': 'außerhalb des Bildes', 'low-detail': 'zu wenig Einzelheiten',
    occluded: 'verdeckt', 'palmar-view': 'zeigt die Handfläche', 'oblique-view': 'Hand ist gedreht', blurred: 'Foto ist unscharf',
    'too-dark': 'Foto ist zu dunkel', 'too-bright': 'Foto ist zu hell', 'too-small': 'Hand ist zu klein', 'uncertain-side': 'links oder rechts unsicher'
  },
  summary: (day, swollen, assessable, low, high, missing) => [
    `KI-Vorschlag, Fotos vom ${day}: ${swollen} von ${assessable} beurteilbaren Gelenken der Hände geschwollen (90-%-Intervall ${low}–${high})${missing > 0 ? `, ${missing} nicht beurteilbar` : ''}`,
    `KI-Vorschlag, ${day}: ${swollen} von ${assessable} Gelenken der Hände geschwollen (${low}–${high}), ${missing} nicht beurteilbar`
  ],
  oldSummary: (day, swollen, assessable, low, high) =>
    [`Alte Handfotos (${day}): KI-Vorschlag ${swollen} von ${assessable} Gelenken geschwollen (${low}–${high}); bitte neue Fotos`],
  signedSummary: (day, swollen, assessable, low, high) => [
    `Ärztlich signiert: Handfotos vom ${day}; KI-Vorschlag war ${swollen} von ${assessable} Gelenken geschwollen (90-%-Intervall ${low}–${high})`
  ],
  partSummary: (day, swollen, assessable, low, high, open) => [
    `Teils signiert: Handfotos vom ${day}; KI-Vorschlag war ${swollen} von ${assessable} Gelenken geschwollen (90-%-Intervall ${low}–${high}), noch offen: ${open}`
  ],
  setAsideSummary: (day, swollen, assessable, low, high) => [
    `Zur Seite gelegt: Handfotos vom ${day}; KI-Vorschlag war ${swollen} von ${assessable} Gelenken geschwollen (90-%-Intervall ${low}–${high})`
  ],
  unreadSummary: (day) => [`Handfotos vom ${day} sind nicht beurteilbar; ein neues Foto ist nötig`],
  pendingSummary: ['Handfotos werden gelesen; Befunde folgen gleich'],
  failedSummary: ['Die neuesten Handfotos konnten nicht gelesen werden; ein neues Foto ist nötig'],
  waitingSummary: ['Die neuesten Handfotos sind noch nicht gelesen; JointLens versucht es wieder'],
  undatedSummary: ['Die Handfotos in der Akte tragen kein Datum; Befunde lassen sich nicht datieren'],
  askSummary: (age) => [`Vor dem Besuch um Handfotos bitten: ${age}`],
  never: 'keine in der Akte',
  last: (day) => `die letzten sind vom ${day}`,
  age: (days) => (days < 0 ? 'ein Datum in der Zukunft: bitte in der Akte prüfen' : days < 1 ? 'heute' : days === 1 ? 'gestern' : `vor ${days} Tagen`),
  taken: (day, age) => `Fotos vom ${day}${age === undefined ? '' : ` (${age})`}.`,
  nothingFlagged: (assessable) => `Keines von ${assessable} beurteilbaren Gelenken wurde vom Modell markiert. Das ist keine Entwarnung.`,
  missing: 'Nicht beurteilbar',
  since: (day, both, before, now) => `Von ${both} Gelenken, die jetzt und am ${day} beurteilbar waren: damals ${before} markiert, jetzt ${now}`,
  neitherTime: (day) => `Kein Gelenk war jetzt und am ${day} beurteilbar: nichts zu vergleichen`,
  otherModel: 'Die früheren Fotos las eine andere Version des Modells: eine Änderung kann am Modell liegen.',
  newly: 'neu markiert',
  gone: 'nicht mehr markiert',
  newer: 'Ein neueres Foto wird gerade gelesen.',
  newerUnread: 'In der Akte sind neuere Fotos, die noch nicht gelesen werden konnten: Dieses Ergebnis ist nicht von ihnen.',
  pendingDetail: 'JointLens liest die neuesten Handfotos. Schauen Sie in einigen Sekunden wieder, oder öffnen Sie die App.',
  failedDetail: 'Die Datei konnte nicht gelesen werden. Bitten Sie um je ein JPEG der beiden Handrücken.',
  waitingDetail: 'Unterwegs ist etwas fehlgeschlagen, nicht an den Fotos: neue braucht es nicht. Bleibt es so, sagen Sie es denen, die JointLens betreuen.',
  undatedDetail: 'Tragen Sie in der Akte ein, wann die Fotos aufgenommen wurden, oder bitten Sie um neue.',
  unwritable: 'Diese Akte nimmt keine Ergebnisse an; von hier aus lässt sich nichts eintragen.',
  recorded: 'Dieser Vorschlag steht schon in der Akte.',
  accepted: (day) => `Der Vorschlag wurde am ${day} angenommen, wie die Akte meldet. Er wird nicht noch einmal angeboten, damit nichts doppelt eingetragen wird; prüfen Sie ihn in JointLens.`,
  signedPart: (day, signed, open) => `Am ${day} wurden Befunde zu diesen Fotos signiert, von hier markierten Gelenken: ${signed}. Sie stehen in der Akte und gehen diesem Vorschlag vor. Markiert und noch offen: ${open}.`,
  setAside: (day, reason) => `Am ${day} wurde dieser Vorschlag zur Seite gelegt, wie die Akte meldet, mit einem Grund${reason === undefined ? '' : `: „${reason}“`}. Er wird nicht noch einmal zum Eintragen angeboten; die Fotos können Sie in JointLens prüfen.`,
  retake: 'Bitten Sie um je ein Foto der beiden Handrücken: flach, Finger gespreizt, ruhiger Hintergrund, gleichmäßiges Licht, die Hand füllt das Bild.',
  signed: (day) => `Am ${day} wurden Befunde zu diesen Fotos signiert, auch zu jedem hier markierten Gelenk: Sie stehen in der Akte und gehen diesem Vorschlag vor.`,
  suggestion: 'KI-Vorschlag.',
  unreviewed: 'KI-Vorschlag, nicht geprüft.',
  caution: 'Zählt bei vielen geschwollenen Gelenken eher zu wenig; Arthroseknoten können wie Schwellungen aussehen; wenig Evidenz für dunkle Haut. Druckschmerz, Schultern, Ellenbogen und Knie wurden nicht beurteilt. Schwellungen können andere Ursachen haben.',
  research: 'Forschungssoftware, an computererzeugten Händen gelernt; sie hat nie einen Menschen gesehen. Untersuchen Sie die Person.',
  calibration: 'Kalibrierung',
  record: (count) => `KI-Vorschlag als vorläufig eintragen (${count} Einträge)`,
  recordOpen: (count) => `KI-Vorschlag zu den noch offenen Gelenken als vorläufig eintragen (${count} Einträge)`,
  askLabel: 'Um Handfotos bitten',
  askAction: 'Bitte um Handfotos vor dem Besuch anlegen',
  askText: 'Bitte fotografieren Sie vor Ihrem Besuch je einmal beide Handrücken: Hand flach, Finger leicht gespreizt, ruhiger Hintergrund, Tageslicht, kein Blitz, ohne Ringe.',
  action: { Observation: 'Vorläufigen KI-Befund eintragen', count: 'Vorläufige KI-Zählung der Hände eintragen', DiagnosticReport: 'Vorläufigen KI-Bericht eintragen', Provenance: 'Eintragen, dass eine KI diese Ergebnisse machte' },
  review: 'Fotos in JointLens prüfen',
  topic: 'Befunde an den Gelenken der Hände aus Fotos',
  override: {
    'not-swollen': 'Untersucht: die markierten Gelenke sind nicht geschwollen', 'more-swollen': 'Untersucht: mehr Gelenke geschwollen als vorgeschlagen',
    'other-cause': 'Schwellung hat eine andere Ursache (zum Beispiel Arthrose)', 'poor-photo': 'Das Foto ist nicht gut genug',
    'wrong-patient': 'Foto einer anderen Person oder Hand', 'already-recorded': 'Schon eingetragen', 'not-now': 'Im Moment nicht nützlich'
  }
}

const WORDINGS: Readonly<Record<Language, Wording>> = { en: english, de: german }

/** The first language of Accept-Language that we speak, otherwise the site's. */
export function wordingFor(acceptLanguage: string | undefined, siteLanguage: Language): Wording {
  const wanted = (acceptLanguage ?? '').split(',').map((part) => {
    const [tag = '', ...parameters] = part.toLowerCase().split(';').map((one) => one.trim())
    const quality = parameters.map((one) => /^q=([\d.]+)$/.exec(one)?.[1]).find((one) => one !== undefined)
    return { language: tag.split('-')[0] ?? '', quality: quality === undefined ? 1 : Number(quality) }
  }).filter(({ language, quality }) => Object.hasOwn(WORDINGS, language) && quality > 0).sort((a, b) => b.quality - a.quality)
  return WORDINGS[(wanted[0]?.language as Language | undefined) ?? siteLanguage]
}

/** `21 Nov`, with the year when it is another one; no more than the record says, and a day without a time is that day everywhere. */
export function dayIn(wording: Wording, iso: string, timeZone: string, now: number): string {
  const precision = datePrecisionOf(iso)
  const [time, zone] = [Date.parse(iso), precision === 'time' ? timeZone : 'UTC']
  const isOfThisYear = calendar('en-GB', zone, 'year').format(time) === calendar('en-GB', timeZone, 'year').format(now)
  const style = precision === 'year' ? 'year' : precision === 'month' ? 'month and year' : isOfThisYear ? 'day' : 'day and year'
  return calendar(wording.locale, zone, style).format(time)
}

type DateStyle = 'year' | 'month and year' | 'day' | 'day and year'
const STYLES: Readonly<Record<DateStyle, Intl.DateTimeFormatOptions>> = {
  year: { year: 'numeric' }, 'month and year': { month: 'short', year: 'numeric' }, day: { day: 'numeric', month: 'short' }, 'day and year': { day: 'numeric', month: 'short', year: 'numeric' }
}
const calendars = new Map<string, Intl.DateTimeFormat>()

/** Kept: making one costs a hundred times what using it does. */
function calendar(locale: string, timeZone: string, style: DateStyle): Intl.DateTimeFormat {
  const name = `${locale} ${timeZone} ${style}`
  const known = calendars.get(name) ?? new Intl.DateTimeFormat(locale, { timeZone, ...STYLES[style] })
  calendars.set(name, known)
  return known
}
