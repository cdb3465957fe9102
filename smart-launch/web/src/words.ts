import { createContext, useContext } from 'react'
import { COUNTS_28, type ActivityCategory, type ActivityIndex, type ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { frequencyOf } from './frequency.ts'
import type { MapFocus } from '../../../src/joints/occlusion-map.ts'
import { percentOf } from '../../../src/joints/finding.ts'
import { jointLabel, type HandJoint, type LargeJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { NumberConflict } from './activity.ts'
import { ApiError, type JointFinding, type ReviewCall, type SignedBy, type SignedByClinician, type SignedNumber } from './api.ts'

export type Language = 'en' | 'de'

/** Everything the page says, in English and German; wording follows the rules of clinical use: a suggestion, never a diagnosis. */
const english = {
  locale: 'en-GB',
  side: { left: 'Left', right: 'Right' } as Record<Laterality, string>,
  joint: jointLabel,
  /** A joint with its side, in the order in which the language says them. */
  place: (side: string, joint: string) => `${side} ${joint}`,
  large: { shoulder: 'shoulder', elbow: 'elbow', knee: 'knee' } as Record<LargeJoint, string>,
  call: { swollen: 'Swollen', 'not-swollen': 'Not swollen', 'not-assessable': 'Not assessable' } as Record<ReviewCall, string>,
  tender: 'Tender',
  reason: {
    'no-photo': 'no photo of this hand', 'not-located': 'the hand could not be located', 'outside-frame': 'outside the picture',
    'low-detail': 'too little detail', occluded: 'covered', 'palmar-view': 'the photo shows the palm',
    'oblique-view': 'the hand is turned', blurred: 'the photo is blurred', 'too-dark': 'the photo is too dark',
    'too-bright': 'the photo is too bright', 'too-small': 'the hand is too small in the photo',
    'uncertain-side': 'left or right is uncertain', 'no-hand': 'no hand was found'
  } as Record<string, string>,
  notAssessable: (reason: string) => `Not assessable: ${reason}`,
  flagged: 'Possible inflammation (AI suggestion)',
  notFlagged: 'Not flagged by the model',
  legend: { flagged: 'possible inflammation', plain: 'not flagged', 'not-assessable': 'not assessable', called: 'your call', signed: 'signed' },
  /** A calibrated probability in words (never 0 or 10 in 10). */
  frequency(probability: number): string {
    const [how, part, of] = frequencyOf(probability)
    return `${{ fewer: 'fewer than', about: 'about', more: 'more than' }[how]} ${part} in ${of} joints like this were called swollen`
  },
  title: 'Hand photo review',
  badge: 'Research software · learned from computer-made hands',
  born: 'born',
  identifier: 'No.',
  whose: 'Whose record is this?',
  forPatient: 'For',
  result: 'Result',
  count: (assessable: number) => `of ${assessable} assessable hand joints suggested as swollen`,
  interval: (low: number, high: number, missing: number) => `90 % interval ${low} to ${high}; ${missing} not assessable`,
  photosOf: (day: string) => `Photos of ${day}.`,
  reading: 'Newer photos are being read now.',
  earlierShown: 'These are earlier photos; newer ones have been read. What you sign here is for the photos shown.',
  earlierCorrection: 'You began to correct what was signed for earlier photos, and have not signed the correction.',
  goOnCorrecting: 'Go on with the correction',
  newer: 'Newer photos have been read. What you entered is for the photos shown here.',
  showNewer: 'Show the newer photos',
  carried: (calls: number, correction: boolean) => ['Newer photos are shown.', correction
    ? 'Your correction changes what was signed for the earlier photos and says nothing about the joints on these, so it was not carried over.'
    : `Tender joints, shoulders, elbows, knees, globals and laboratory values that you had entered were carried over. Not carried over: ${calls > 0 ? `your calls on ${calls} hand ${calls === 1 ? 'joint' : 'joints'} of the earlier photos, and ` : ''}that all 28 joints were examined.`].join(' '),
  caution: 'AI suggestion, not reviewed. May under-count when many joints are swollen; osteoarthritis nodes can look like swelling.',
  shadow: 'This site has not decided to use the suggestions: what the model says is stored for evaluation and not shown, and nothing is written.',
  photos: 'Photos',
  joints: 'Joints',
  chosenJoint: 'The chosen joint',
  marks: 'Show joint marks',
  takePhotos: 'Take photos of the hands',
  handOf: (side: string) => `${side} hand`,
  seenFromBack: (side: string) => `${side} hand, seen from the back`,
  photoOf: (sides: string) => `Photo of the back of the hand: ${sides}`,
  noHand: 'No hand found',
  zoom: 'Zoom',
  light: { title: 'How the photos are shown', brightness: 'Brightness', contrast: 'Contrast', asTaken: 'As taken', note: 'For looking only: the model read the photos as taken.' },
  otherHand: 'Other hand',
  mirrored: 'mirrored',
  noPicture: 'No photo',
  closeUp: (name: string) => `Close-up of ${name}`,
  map: 'Where the answer rests',
  mapLoading: 'Covering the close-up piece by piece and asking the model again. This takes a few seconds.',
  mapFailed: 'The map could not be made.',
  mapFocus: {
    none: 'No part of the close-up decides by itself: covering any one piece changes the answer by less than 2 percentage points.',
    middle: 'The model’s answer rests mostly on the middle of the joint.',
    'towards-fingertip': 'The model’s answer rests mostly on the part towards the fingertip.',
    'towards-wrist': 'The model’s answer rests mostly on the part towards the wrist.',
    'one-side': 'The model’s answer rests mostly on one side of the close-up.',
    spread: 'The model’s answer rests on several parts of the close-up.'
  } as Record<MapFocus, string>,
  mapFor: (from: number, to: number) => `speaks for swelling: covered, ${from}\u00A0% falls to ${to}\u00A0%`,
  mapAgainst: (from: number, to: number) => `speaks against: covered, ${from}\u00A0% rises to ${to}\u00A0%`,
  mapLimits: 'The map shows what the model used, not whether it is right. It covers the close-up only, not the view of the whole hand.',
  yourCallFor: (name: string) => `Your call for ${name}`,
  yourCall: 'Your call',
  signTitle: 'Sign',
  nothingDecided: 'Nothing to sign yet. Your calls become findings in your name in the record; the AI suggestion stays beside them as it was written.',
  decided: (count: number) => `${count} of 22 joints decided.`,
  preview: 'Preview',
  sign: 'Sign and record',
  willWrite: (count: number) => `Exactly this will be written (${count} entries)`,
  written: (count: number) => `${count} entries are in the record.`,
  readOnly: 'Read-only: your EHR sign-in does not allow writing findings. Suggestions are shown; nothing can be signed.',
  overTime: 'Over time',
  columns: ['Photos of', 'Suggested swollen', '90 % interval', 'Assessable'],
  to: 'to',
  of: 'of',
  chart: 'Over time: suggested swollen joints with the 90 % interval of each visit, signed activity scores and the start of treatments; all of it stands in the table and lines below',
  countSeries: 'suggested swollen joints (AI) with 90 % interval',
  treatmentSeries: 'first order of a disease-modifying drug',
  signedByClinician: 'signed by a clinician',
  treatments: 'Disease-modifying drugs first ordered',
  since: 'on',
  treatmentsNote: 'Orders in this record; not whether they were taken.',
  signedScores: 'Signed scores',
  noTreatments: {
    'not-granted': 'Treatments are not shown: your EHR sign-in does not open medication orders to this app.',
    failed: 'Treatments could not be read from the record.'
  } as Record<'not-granted' | 'failed', string>,
  noLaboratory: {
    'not-granted': 'Your EHR sign-in does not open laboratory values to this app; type them.',
    failed: 'Laboratory values could not be read from the record; type them.'
  } as Record<'not-granted' | 'failed', string>,
  record: 'In the record',
  filledIn: 'Filled in; type to replace.',
  tooOld: 'Older than 30 days, so not filled in.',
  unusableUnit: 'Not a number in a unit that can be converted; type it.',
  useRecord: 'Use it',
  activityTitle: 'Disease activity',
  activityLead: 'A photo shows 22 of the 28 joints and no tenderness. Add what you examined; scores appear when their inputs are complete.',
  examinedAll: 'I examined all 28 joints; joints I did not mark are neither swollen nor tender',
  notAssessable28: (count: number) => `You called ${count} hand ${count === 1 ? 'joint' : 'joints'} not assessable, so there is no 28-joint count.`,
  counted: (swollen: number, tender: number) => `Marked so far: ${swollen} swollen, ${tender} tender.`,
  swollenShort: 'swollen',
  tenderShort: 'tender',
  inputs: {
    tenderJointCount28: 'Tender joints (28)', swollenJointCount28: 'Swollen joints (28)', patientGlobal: 'Patient global, 0–10',
    physicianGlobal: 'Physician global, 0–10', crpMgPerL: 'CRP, mg/L', esrMmPerH: 'ESR, mm/h'
  } as Record<keyof ActivityInputs, string>,
  category: { remission: 'remission', low: 'low', moderate: 'moderate', high: 'high' } as Record<ActivityCategory, string>,
  needs: 'needs',
  bothCounts28: 'both 28-joint counts',
  /** The same without range and unit, where a score says what it lacks. */
  inputNames: {
    tenderJointCount28: 'tender joint count', swollenJointCount28: 'swollen joint count', patientGlobal: 'patient global',
    physicianGlobal: 'physician global', crpMgPerL: 'CRP', esrMmPerH: 'ESR'
  } as Record<keyof ActivityInputs, string>,
  outOfRangeOf: (low: number, high: number) => `Outside the possible range: ${low} to ${high}.`,
  unusableRange: (low: number, high: number) => `Outside the possible range (${low} to ${high}), so it is not used; type it.`,
  faulty: 'A value is outside its possible range. Change it or empty its field, then preview.',
  uncountable: {
    reading: 'What was signed before is being read. Until then there is no 28-joint count.',
    'not-granted': 'Your EHR sign-in does not let this app see what was signed before, so there is no 28-joint count: it could be too low.',
    failed: 'What was signed before could not be read from the record, so there is no 28-joint count: it could be too low.'
  } as Record<'reading' | 'not-granted' | 'failed', string>,
  loading: 'Opening the hand photos…',
  loadingText: "Reading the patient's latest photos and findings.",
  ended: 'Your session has ended',
  failed: 'JointLens could not load this',
  again: 'Try again',
  busyTitle: 'The hand photos are being read',
  busyText: 'This takes a few seconds. The page shows the findings as soon as they are there.',
  noPhotosTitle: 'No hand photos in the record',
  noPhotosText: 'Ask for one photo of the back of each hand; JointLens reads them when they are in the record.',
  noFindingsTitle: 'No findings yet',
  notScreened: 'The photos of this patient have not been read yet.',
  readNow: 'Read the photos now',
  model: 'Model',
  modelCard: 'model card',
  calibration: 'Calibration',
  foot: 'Research software, not a cleared or certified device.',
  gender: { male: 'male', female: 'female', other: 'other', unknown: 'sex unknown' } as Record<'male' | 'female' | 'other' | 'unknown', string>,
  years: (age: number) => `${age} years`,
  timeOf: (iso: string) => new Date(iso).toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' }),
  now: 'Now',
  threshold: (percent: number) => `Flagged from ${percent}\u00A0% on.`,
  withheld: 'Suggestion withheld (shadow mode)',
  panHere: (sides: string) => `Zoomed photo, ${sides}: arrow keys move it`,
  noPhotoOf: (side: string) => `No photo of the ${side.toLowerCase()} hand. `,
  noneAssessable: 'No hand joint could be assessed.',
  joints22: (joints: number) => `${joints} of 22`,
  oldPhotos: (days: number) => `Old photos: ${days} days. They may not show today’s joints.`,
  signedJoints: (joints: number, who: string, corrected: number) => `Signed so far for these photos: ${joints} of 22 joints, by ${who}.${corrected > 0 ? ` ${corrected} corrected.` : ''}`,
  signedCall: (call: string, who: string, time: string, corrected: boolean) => `${corrected ? 'Corrected' : 'Signed'}: ${call} (${who}${time ? `, ${time}` : ''})`,
  signedBefore: (call: string, who: string, time: string) => `Before: ${call} (${who}${time ? `, ${time}` : ''})`,
  you: 'you',
  /** Whoever signed, where it stands in brackets after an answer. */
  signer: (who: string) => who,
  colleague: 'another clinician',
  and: 'and',
  conflict: 'These joints were signed with another answer. Nothing of yours was written for them.',
  conflictOf: (name: string, signed: string, own: string) => `${name}: signed ${signed}; your call: ${own}`,
  takeSigned: 'Keep what was signed',
  signedKept: 'What was signed stays. Your other answers to the same are cleared.',
  earlierCalls: (calls: number) => `Your calls on earlier photos that are not signed (${calls})`,
  earlierCallsNote: 'They were made on other photos. Taken over, they are your calls on the photos shown here: look at each joint before you sign.',
  takeOver: 'Take them over',
  takenOver: (calls: number) => `${calls} ${calls === 1 ? 'call' : 'calls'} taken over from earlier photos.`,
  conflictNumbers: 'Something else is signed already. It is not written over: correct what was signed, or keep it.',
  conflictNumber: (name: string, signed: string, now: string) => `${name}: signed ${signed}; now: ${now}`,
  noCount28: 'no count, a joint could not be assessed',
  signedOtherwise: 'Something else is signed already, as listed above. Nothing was written. Correct what was signed, or keep it.',
  allStands: 'All of this stands signed already. Signing writes nothing; what you entered here is cleared.',
  nothingWritten: 'All of it was signed already; nothing was written.',
  restored: 'What you had entered and not signed is here again.',
  correct: 'Correct what was signed',
  correctingTitle: 'You are correcting what was signed for these photos.',
  correctingText: 'Change what is wrong, then preview and sign. The record keeps what stood there, by whom and when; counts and scores change with it.',
  stopCorrecting: 'Leave it as it was signed',
  changes: (count: number) => (count === 0 ? 'Nothing is changed yet.' : `${count} ${count === 1 ? 'change' : 'changes'} to what was signed.`),
  uncorrectable: {
    'not-granted': 'Your EHR sign-in does not let this app change findings that were signed.',
    'no-updates': 'This record takes no changes of signed findings from apps.'
  } as Record<'not-granted' | 'no-updates', string>,
  correctThere: 'Correct them in the EHR itself. These are the entries there:',
  correctionStale: 'What was signed has changed since you began to correct it. Your draft of the correction was laid aside.',
  draft: { none: '', waiting: 'Not kept yet: no answer from the server; trying again.', kept: 'Kept as a draft for eight hours.', lost: 'The last changes were not kept: the session had ended.' } as Record<'none' | 'waiting' | 'kept' | 'lost', string>,
  toSign: 'To preview and signature',
  toSignature: 'To the signature',
  unsigned: (joints: number) => (joints === 0 ? 'Entered and not signed.' : `${joints} of 22 decided, not signed.`),
  unwritten: (names: string) => `${names}: written only within a score, and none is complete with it. It stays here.`,
  signing: 'Writing to the record…',
  looking: 'No answer came back. Looking in the record whether it was written; this can take 20 seconds…',
  lookingAgain: 'You signed before this page was loaded again. Looking in the record whether it was written; this can take a minute…',
  lookedForShort: 'Your signature is being looked for in the record.',
  foundWritten: (count: number) => `The answer was lost on the way, but it was written: ${count} entries are in the record.`,
  notFound: (there: number, of: number) => `No answer came back, and ${there === 0 ? 'the record does not show that anything was written' : `the record shows ${there} of ${of} entries`}. Sign again: nothing is written twice. What the record may still show is sent again some minutes later only, at most a quarter of an hour.`,
  previewColumns: ['What', 'Where', 'Value', 'Status', 'How'],
  signedBy: (who: string, when: string) => `Your signature: ${who}, ${when}.`,
  everyMember: 'Every member, as it is sent (FHIR JSON)',
  step: (by: number, suggested: boolean) => `${by < 0 ? 'Previous' : 'Next'} ${suggested ? 'suggested ' : ''}joint`,
  keysTitle: 'Keys',
  keyColumn: 'Key',
  doesColumn: 'Does',
  keys: [
    ['← →', 'joint before, next joint'], ['f F', 'next, previous suggested joint'], ['s n x', 'your call: swollen, not swollen, not assessable; again takes it back'],
    ['t', 'tender'], ['a', 'where the model’s answer rests'], ['o', 'the same joint of the other hand beside it'], ['m', 'marks on the photos'], ['+ - 0', 'zoom in, out, whole photo'],
    ['b B', 'photos brighter, darker'], ['c C', 'more, less contrast'], ['p', 'preview of what will be signed'], ['?', 'this help']
  ] as [string, string][],
  lettersOn: 'Letter keys do something (switch off when you dictate or type with one hand)',
  close: 'Close',
  leave: 'Sign out',
  left: 'You are signed out',
  leftText: 'The session has ended here, and the EHR was asked to end it too where it offers that. You can close this window.',
  endedText: 'What was kept as a draft is there for eight hours: open JointLens again from the patient record. What is entered from now on is not kept.',
  signInAgain: 'Sign in again',
  shadowTitle: 'Shadow mode.',
  shadowSign: 'Shadow mode: nothing can be signed or written until this site has decided to use JointLens.',
  notCalibrated: 'Not calibrated for this site’s photos.',
  errors: {
    offline: 'The connection was lost. Try again.',
    ERR_SESSION: 'Your session has ended. Nothing was written.',
    ERR_FORBIDDEN: 'Your EHR sign-in does not allow this. Nothing was written.',
    ERR_CONFLICT: 'The record has changed meanwhile. Nothing was written. Look at the page again, then preview and sign.',
    ERR_EHR_UNREACHABLE: 'The EHR did not answer. Try again in a moment.',
    ERR_EHR_UNAUTHORIZED: 'The EHR refused access with your sign-in.',
    ERR_EHR_REFUSED: 'The EHR did not accept this.',
    ERR_EHR_ANSWER: 'The EHR answered something that cannot be read.',
    ERR_WRITE_AMBIGUOUS: 'No answer came back, so it is not known whether it was written. Sign again: nothing is written twice. What the record may still show is sent again some minutes later only, at most a quarter of an hour.',
    ERR_WRITE_PARTIAL: 'The EHR took a part and refused the next. Sign again: the rest is written, nothing twice.',
    ERR_ENGINE_BUSY: 'Too many photos are being read now. Try again in a moment.',
    ERR_RATE_LIMITED: 'Too many requests. Try again in a moment.',
    ERR_NOT_READY: 'JointLens is starting. Try again in a moment.'
  } as Record<string, string>,
  unknownError: 'Something went wrong. Try again in a moment.',
  failures: {
    ERR_PHOTO_FORMAT: 'The photos are not JPEG, PNG or WebP pictures.', ERR_PHOTO_HEIC: 'The photos are HEIC files, which cannot be read; JPEG can.',
    ERR_PHOTO_CORRUPT: 'The photo files are damaged.', ERR_PHOTO_TOO_LARGE: 'The photo files are too large.', ERR_PHOTO_TIMEOUT: 'Reading the photos took too long.',
    ERR_PHOTO_UNDATED: 'The record does not say when the photos were taken.', ERR_PHOTO_UNREACHABLE: 'The photos could not be fetched from the record.',
    ERR_EHR_UNREACHABLE: 'The EHR did not answer.', ERR_EHR_UNAUTHORIZED: 'The EHR refused access to the photos.', ERR_FORBIDDEN: 'The patient’s consent does not allow it.',
    ERR_PATIENT_MINOR: 'The patient is under 18, and the model is not known to be valid for children.'
  } as Record<string, string>,
  couldNotRead: 'The photos could not be read.',
  aboutTitle: 'About these suggestions',
  about: ({ calibration, calibrated, threshold }: { calibration: string; calibrated: boolean; threshold: number }): [string, string][] => [
    ['What it is', 'Research software. It suggests where to look; it makes no diagnosis and no treatment advice.'],
    ['Learned from', 'Computer-made hands only. It has never seen a patient, and how it works on different skin tones of real people is not evaluable.'],
    ['Calibration', `${calibrated ? `Made with ${calibration}` : `Not calibrated for this site (${calibration})`}. A joint is flagged from ${threshold}\u00A0% on: the threshold for the count, not the more sensitive one for pre-visit lists.`],
    ['A photo cannot show', 'Tenderness, warmth, movement, elbows, shoulders, knees, or why a joint is thick: osteoarthritis, gout, injury and oedema can look the same.'],
    ['Your part', 'Examine the patient. A joint that is not flagged is not a healthy joint; only what you sign is a finding.']
  ]
}

export type Words = typeof english

const german: Words = {
  locale: 'de-DE',
  side: { left: 'Links', right: 'Rechts' },
  joint: (joint: HandJoint) => joint === 'wrist' ? 'Handgelenk' : joint === 'ip1' ? 'Daumen-IP' : jointLabel(joint),
  place: (side, joint) => `${joint} ${side.toLowerCase()}`,
  large: { shoulder: 'Schulter', elbow: 'Ellenbogen', knee: 'Knie' },
  call: { swollen: 'Geschwollen', 'not-swollen': 'Nicht geschwollen', 'not-assessable': 'Nicht beurteilbar' },
  tender: 'Druckschmerz',
  reason: {
    'no-photo': 'kein Foto dieser Hand', 'not-located': 'die Hand wurde nicht gefunden', 'outside-frame': 'außerhalb des Bildes',
    'low-detail': 'zu wenig Einzelheiten', occluded: 'verdeckt', 'palmar-view': 'das Foto zeigt die Handfläche',
    'oblique-view': 'die Hand ist gedreht', blurred: 'das Foto ist unscharf', 'too-dark': 'das Foto ist zu dunkel',
    'too-bright': 'das Foto ist zu hell', 'too-small': 'die Hand ist im Foto zu klein',
    'uncertain-side': 'links oder rechts ist unsicher', 'no-hand': 'keine Hand gefunden'
  },
  notAssessable: (reason) => `Nicht beurteilbar: ${reason}`,
  flagged: 'Mögliche Entzündung (KI-Vorschlag)',
  notFlagged: 'Vom Modell nicht markiert',
  legend: { flagged: 'mögliche Entzündung', plain: 'nicht markiert', 'not-assessable': 'nicht beurteilbar', called: 'Ihr Urteil', signed: 'unterschrieben' },
  frequency(probability) {
    const [how, part, of] = frequencyOf(probability)
    return `${{ fewer: 'weniger als', about: 'etwa', more: 'mehr als' }[how]} ${part} von ${of} solchen Gelenken ${part === 1 ? 'wurde' : 'wurden'} als geschwollen beurteilt`
  },
  title: 'Handfotos prüfen',
  badge: 'Forschungssoftware · an computererzeugten Händen gelernt',
  born: 'geboren',
  identifier: 'Nr.',
  whose: 'Wessen Akte ist das?',
  forPatient: 'Für',
  result: 'Ergebnis',
  count: (assessable) => `von ${assessable} beurteilbaren Gelenken der Hände als geschwollen vorgeschlagen`,
  interval: (low, high, missing) => `90-%-Intervall ${low} bis ${high}; ${missing} nicht beurteilbar`,
  photosOf: (day) => `Fotos vom ${day}.`,
  reading: 'Neuere Fotos werden gerade gelesen.',
  earlierShown: 'Das sind frühere Fotos; neuere sind gelesen. Was Sie hier unterschreiben, gilt den gezeigten Fotos.',
  earlierCorrection: 'Sie haben begonnen, zu früheren Fotos Unterschriebenes zu berichtigen, und die Berichtigung nicht unterschrieben.',
  goOnCorrecting: 'Weiter berichtigen',
  newer: 'Neuere Fotos sind gelesen. Was Sie eingegeben haben, gilt den hier gezeigten Fotos.',
  showNewer: 'Die neueren Fotos zeigen',
  carried: (calls, correction) => ['Neuere Fotos werden gezeigt.', correction
    ? 'Ihre Berichtigung ändert, was zu den früheren Fotos unterschrieben ist, und sagt nichts über die Gelenke auf diesen; darum wurde sie nicht übernommen.'
    : `Übernommen wurden druckschmerzhafte Gelenke, Schultern, Ellenbogen, Knie, Patienten- und Arzturteil und Laborwerte, die Sie eingegeben hatten. Nicht übernommen: ${calls > 0 ? `Ihre Urteile zu ${calls} ${calls === 1 ? 'Gelenk' : 'Gelenken'} der Hände auf den früheren Fotos, und ` : ''}dass alle 28 Gelenke untersucht sind.`].join(' '),
  caution: 'KI-Vorschlag, nicht geprüft. Zählt bei vielen geschwollenen Gelenken eher zu wenige; Arthroseknoten können wie Schwellungen aussehen.',
  shadow: 'Diese Einrichtung hat sich nicht für die Vorschläge entschieden: Was das Modell sagt, wird zur Bewertung gespeichert und nicht gezeigt; geschrieben wird nichts.',
  photos: 'Fotos',
  joints: 'Gelenke',
  chosenJoint: 'Das gewählte Gelenk',
  marks: 'Gelenkmarken zeigen',
  takePhotos: 'Hände fotografieren',
  handOf: (side) => `Hand ${side.toLowerCase()}`,
  seenFromBack: (side) => `Hand ${side.toLowerCase()}, Blick auf den Handrücken`,
  photoOf: (sides) => `Foto des Handrückens: ${sides}`,
  noHand: 'Keine Hand gefunden',
  zoom: 'Zoom',
  light: { title: 'Wie die Fotos gezeigt werden', brightness: 'Helligkeit', contrast: 'Kontrast', asTaken: 'Wie aufgenommen', note: 'Nur zum Ansehen: Das Modell hat die Fotos gelesen, wie sie aufgenommen wurden.' },
  otherHand: 'Andere Hand',
  mirrored: 'gespiegelt',
  noPicture: 'Kein Foto',
  closeUp: (name) => `Ausschnitt ${name}`,
  map: 'Worauf die Antwort beruht',
  mapLoading: 'Der Ausschnitt wird Stück für Stück abgedeckt und das Modell jedes Mal gefragt. Das dauert einige Sekunden.',
  mapFailed: 'Die Karte konnte nicht erstellt werden.',
  mapFocus: {
    none: 'Kein Teil des Ausschnitts entscheidet allein: Ein abgedecktes Stück ändert die Antwort um weniger als 2 Prozentpunkte.',
    middle: 'Die Antwort des Modells beruht vor allem auf der Mitte des Gelenks.',
    'towards-fingertip': 'Die Antwort des Modells beruht vor allem auf dem Teil zur Fingerspitze hin.',
    'towards-wrist': 'Die Antwort des Modells beruht vor allem auf dem Teil zum Handgelenk hin.',
    'one-side': 'Die Antwort des Modells beruht vor allem auf einer Seite des Ausschnitts.',
    spread: 'Die Antwort des Modells beruht auf mehreren Teilen des Ausschnitts.'
  },
  mapFor: (from, to) => `spricht für Schwellung: abgedeckt fallen ${from}\u00A0% auf ${to}\u00A0%`,
  mapAgainst: (from, to) => `spricht dagegen: abgedeckt steigen ${from}\u00A0% auf ${to}\u00A0%`,
  mapLimits: 'Die Karte zeigt, was das Modell benutzt hat, nicht, ob es stimmt. Sie deckt nur den Ausschnitt ab, nicht den Blick auf die ganze Hand.',
  yourCallFor: (name) => `Ihr Urteil zu ${name}`,
  yourCall: 'Ihr Urteil',
  signTitle: 'Unterschreiben',
  nothingDecided: 'Noch nichts zu unterschreiben. Ihre Urteile werden Befunde in Ihrem Namen in der Akte; der KI-Vorschlag bleibt daneben, wie er geschrieben wurde.',
  decided: (count) => `${count} von 22 Gelenken entschieden.`,
  preview: 'Vorschau',
  sign: 'Unterschreiben und eintragen',
  willWrite: (count) => `Genau das wird geschrieben (${count} Einträge)`,
  written: (count) => `${count} Einträge stehen in der Akte.`,
  readOnly: 'Nur Ansicht: Ihre Anmeldung erlaubt kein Schreiben von Befunden. Vorschläge werden gezeigt, unterschrieben werden kann nichts.',
  overTime: 'Verlauf',
  columns: ['Fotos vom', 'Vorgeschlagen geschwollen', '90-%-Intervall', 'Beurteilbar'],
  to: 'bis',
  of: 'von',
  chart: 'Verlauf: als geschwollen vorgeschlagene Gelenke mit 90-%-Intervall je Besuch, unterschriebene Aktivitätswerte und Therapiebeginn; alles steht in der Tabelle und den Zeilen darunter',
  countSeries: 'als geschwollen vorgeschlagen (KI) mit 90-%-Intervall',
  treatmentSeries: 'erste Verordnung eines Basistherapeutikums',
  signedByClinician: 'ärztlich unterschrieben',
  treatments: 'Basistherapie erstmals verordnet',
  since: 'am',
  treatmentsNote: 'Verordnungen dieser Akte; nicht, ob sie eingenommen wurden.',
  signedScores: 'Unterschriebene Werte',
  noTreatments: {
    'not-granted': 'Therapien werden nicht gezeigt: Ihre Anmeldung öffnet dieser App keine Verordnungen.',
    failed: 'Therapien konnten nicht aus der Akte gelesen werden.'
  },
  noLaboratory: {
    'not-granted': 'Ihre Anmeldung öffnet dieser App keine Laborwerte; bitte eintippen.',
    failed: 'Laborwerte konnten nicht aus der Akte gelesen werden; bitte eintippen.'
  },
  record: 'In der Akte',
  filledIn: 'Übernommen; zum Ersetzen tippen.',
  tooOld: 'Älter als 30 Tage, darum nicht übernommen.',
  unusableUnit: 'Keine Zahl in einer umrechenbaren Einheit; bitte eintippen.',
  useRecord: 'Übernehmen',
  activityTitle: 'Krankheitsaktivität',
  activityLead: 'Ein Foto zeigt 22 der 28 Gelenke und keinen Druckschmerz. Ergänzen Sie, was Sie untersucht haben; Werte erscheinen, sobald alles Nötige da ist.',
  examinedAll: 'Ich habe alle 28 Gelenke untersucht; nicht markierte sind weder geschwollen noch druckschmerzhaft',
  notAssessable28: (count) => `Sie haben ${count} ${count === 1 ? 'Gelenk' : 'Gelenke'} der Hände als nicht beurteilbar bezeichnet, darum gibt es keine 28-Gelenk-Zählung.`,
  counted: (swollen, tender) => `Bisher markiert: ${swollen} geschwollen, ${tender} druckschmerzhaft.`,
  swollenShort: 'Schwellung',
  tenderShort: 'Druckschmerz',
  inputs: {
    tenderJointCount28: 'Druckschmerzhafte Gelenke (28)', swollenJointCount28: 'Geschwollene Gelenke (28)', patientGlobal: 'Patientenurteil, 0–10',
    physicianGlobal: 'Arzturteil, 0–10', crpMgPerL: 'CRP, mg/L', esrMmPerH: 'BSG, mm/h'
  },
  category: { remission: 'Remission', low: 'niedrig', moderate: 'mäßig', high: 'hoch' },
  needs: 'noch nötig',
  bothCounts28: 'beide 28-Gelenk-Zählungen',
  inputNames: {
    tenderJointCount28: 'Zahl druckschmerzhafter Gelenke', swollenJointCount28: 'Zahl geschwollener Gelenke', patientGlobal: 'Patientenurteil',
    physicianGlobal: 'Arzturteil', crpMgPerL: 'CRP', esrMmPerH: 'BSG'
  },
  outOfRangeOf: (low, high) => `Außerhalb des möglichen Bereichs: ${low} bis ${high}.`,
  unusableRange: (low, high) => `Außerhalb des möglichen Bereichs (${low} bis ${high}), darum nicht übernommen; bitte eintippen.`,
  faulty: 'Eine Zahl liegt außerhalb ihres möglichen Bereichs. Ändern Sie sie oder leeren Sie das Feld, dann Vorschau.',
  uncountable: {
    reading: 'Was bisher unterschrieben ist, wird gerade gelesen. Bis dahin gibt es keine 28-Gelenk-Zählung.',
    'not-granted': 'Ihre Anmeldung lässt diese App nicht sehen, was bisher unterschrieben ist; darum gibt es keine 28-Gelenk-Zählung: Sie könnte zu niedrig sein.',
    failed: 'Was bisher unterschrieben ist, konnte nicht aus der Akte gelesen werden; darum gibt es keine 28-Gelenk-Zählung: Sie könnte zu niedrig sein.'
  },
  loading: 'Handfotos werden geöffnet…',
  loadingText: 'Die neuesten Fotos und Befunde werden gelesen.',
  ended: 'Ihre Sitzung ist beendet',
  failed: 'JointLens konnte das nicht laden',
  again: 'Noch einmal versuchen',
  busyTitle: 'Die Handfotos werden gelesen',
  busyText: 'Das dauert einige Sekunden. Die Seite zeigt die Befunde, sobald sie da sind.',
  noPhotosTitle: 'Keine Handfotos in der Akte',
  noPhotosText: 'Bitten Sie um je ein Foto der beiden Handrücken; JointLens liest sie, sobald sie in der Akte sind.',
  noFindingsTitle: 'Noch keine Befunde',
  notScreened: 'Die Fotos dieser Person wurden noch nicht gelesen.',
  readNow: 'Fotos jetzt lesen',
  model: 'Modell',
  modelCard: 'Modellkarte',
  calibration: 'Kalibrierung',
  foot: 'Forschungssoftware, kein zugelassenes Medizinprodukt.',
  gender: { male: 'männlich', female: 'weiblich', other: 'divers', unknown: 'Geschlecht unbekannt' },
  years: (age) => `${age} Jahre`,
  timeOf: (iso) => new Date(iso).toLocaleString('de-DE', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' }),
  now: 'Jetzt',
  threshold: (percent) => `Markiert ab ${percent}\u00A0%.`,
  withheld: 'Vorschlag zurückgehalten (Schattenbetrieb)',
  panHere: (sides) => `Vergrößertes Foto, ${sides}: Pfeiltasten verschieben es`,
  noPhotoOf: (side) => `Kein Foto der ${side === 'Links' ? 'linken' : 'rechten'} Hand. `,
  noneAssessable: 'Kein Gelenk der Hände konnte beurteilt werden.',
  joints22: (joints) => `${joints} von 22`,
  oldPhotos: (days) => `Alte Fotos: ${days} Tage. Sie zeigen vielleicht nicht die Gelenke von heute.`,
  signedJoints: (joints, who, corrected) => `Zu diesen Fotos unterschrieben: ${joints} von 22 Gelenken, von ${who}.${corrected > 0 ? ` ${corrected} berichtigt.` : ''}`,
  signedCall: (call, who, time, corrected) => `${corrected ? 'Berichtigt' : 'Unterschrieben'}: ${call} (${who}${time ? `, ${time}` : ''})`,
  signedBefore: (call, who, time) => `Vorher: ${call} (${who}${time ? `, ${time}` : ''})`,
  you: 'Ihnen',
  signer: (who) => `von ${who}`,
  colleague: 'einer anderen Person',
  and: 'und',
  conflict: 'Diese Gelenke wurden mit einem anderen Urteil unterschrieben. Von Ihnen wurde dafür nichts geschrieben.',
  conflictOf: (name, signed, own) => `${name}: unterschrieben ${signed}; Ihr Urteil: ${own}`,
  takeSigned: 'Das Unterschriebene behalten',
  signedKept: 'Das Unterschriebene bleibt. Ihre anderen Angaben dazu sind gelöscht.',
  earlierCalls: (calls) => `Ihre Urteile zu früheren Fotos, die nicht unterschrieben sind (${calls})`,
  earlierCallsNote: 'Sie galten anderen Fotos. Übernommen gelten sie den hier gezeigten: Sehen Sie jedes Gelenk an, bevor Sie unterschreiben.',
  takeOver: 'Übernehmen',
  takenOver: (calls) => `${calls} ${calls === 1 ? 'Urteil' : 'Urteile'} von früheren Fotos übernommen.`,
  conflictNumbers: 'Es ist schon etwas anderes unterschrieben. Das wird nicht überschrieben: Berichtigen Sie das Unterschriebene, oder behalten Sie es.',
  conflictNumber: (name, signed, now) => `${name}: unterschrieben ${signed}; jetzt: ${now}`,
  noCount28: 'keine Zählung, ein Gelenk war nicht beurteilbar',
  signedOtherwise: 'Es ist schon etwas anderes unterschrieben, wie oben aufgeführt. Es wurde nichts geschrieben. Berichtigen Sie das Unterschriebene, oder behalten Sie es.',
  allStands: 'Das alles ist schon unterschrieben. Die Unterschrift schreibt nichts; was Sie hier eingegeben haben, wird geleert.',
  nothingWritten: 'Das alles war schon unterschrieben; es wurde nichts geschrieben.',
  restored: 'Was Sie eingegeben und nicht unterschrieben hatten, ist wieder da.',
  correct: 'Unterschriebenes berichtigen',
  correctingTitle: 'Sie berichtigen, was zu diesen Fotos unterschrieben ist.',
  correctingText: 'Ändern Sie, was falsch ist; dann Vorschau und Unterschrift. Die Akte behält, was dort stand, von wem und wann; Zählungen und Werte ändern sich mit.',
  stopCorrecting: 'So lassen, wie unterschrieben',
  changes: (count) => (count === 0 ? 'Noch nichts geändert.' : `${count} ${count === 1 ? 'Änderung' : 'Änderungen'} am Unterschriebenen.`),
  uncorrectable: {
    'not-granted': 'Ihre Anmeldung lässt diese App unterschriebene Befunde nicht ändern.',
    'no-updates': 'Diese Akte nimmt von Apps keine Änderungen unterschriebener Befunde an.'
  },
  correctThere: 'Berichtigen Sie sie im Praxissystem selbst. Das sind die Einträge dort:',
  correctionStale: 'Was unterschrieben ist, hat sich geändert, seit Sie mit der Berichtigung begannen. Ihr Entwurf dazu wurde beiseitegelegt.',
  draft: { none: '', waiting: 'Noch nicht aufgehoben: Der Server antwortet nicht; neuer Versuch läuft.', kept: 'Acht Stunden als Entwurf aufgehoben.', lost: 'Die letzten Änderungen wurden nicht aufgehoben: Die Sitzung war beendet.' },
  toSign: 'Zu Vorschau und Unterschrift',
  toSignature: 'Zur Unterschrift',
  unsigned: (joints) => (joints === 0 ? 'Eingegeben, nicht unterschrieben.' : `${joints} von 22 entschieden, nicht unterschrieben.`),
  unwritten: (names) => `${names}: wird nur mit einem Score geschrieben, und keiner ist damit vollständig. Der Wert bleibt hier stehen.`,
  signing: 'Wird in die Akte geschrieben…',
  looking: 'Es kam keine Antwort zurück. In der Akte wird nachgesehen, ob geschrieben wurde; das kann 20 Sekunden dauern…',
  lookingAgain: 'Sie haben unterschrieben, bevor diese Seite neu geladen wurde. In der Akte wird nachgesehen, ob geschrieben wurde; das kann eine Minute dauern…',
  lookedForShort: 'Ihre Unterschrift wird in der Akte gesucht.',
  foundWritten: (count) => `Die Antwort ging unterwegs verloren, aber es wurde geschrieben: ${count} Einträge stehen in der Akte.`,
  notFound: (there, of) => `Es kam keine Antwort zurück, und ${there === 0 ? 'in der Akte ist nicht zu sehen, dass etwas geschrieben wurde' : `in der Akte sind ${there} von ${of} Einträgen zu sehen`}. Unterschreiben Sie noch einmal: Nichts wird doppelt geschrieben. Was noch in der Akte erscheinen kann, wird erst nach einigen Minuten wieder gesendet, spätestens nach einer Viertelstunde.`,
  previewColumns: ['Was', 'Wo', 'Wert', 'Status', 'Wie'],
  signedBy: (who, when) => `Ihre Unterschrift: ${who}, ${when}.`,
  everyMember: 'Jede Angabe, wie sie gesendet wird (FHIR JSON)',
  step: (by, suggested) => `${by < 0 ? 'Voriges' : 'Nächstes'} ${suggested ? 'vorgeschlagenes ' : ''}Gelenk`,
  keysTitle: 'Tasten',
  keyColumn: 'Taste',
  doesColumn: 'Wirkung',
  keys: [
    ['← →', 'voriges, nächstes Gelenk'], ['f F', 'nächstes, voriges vorgeschlagenes Gelenk'], ['s n x', 'Ihr Urteil: geschwollen, nicht geschwollen, nicht beurteilbar; noch einmal nimmt es zurück'],
    ['t', 'Druckschmerz'], ['a', 'worauf die Antwort des Modells beruht'], ['o', 'dasselbe Gelenk der anderen Hand daneben'], ['m', 'Marken auf den Fotos'], ['+ - 0', 'vergrößern, verkleinern, ganzes Foto'],
    ['b B', 'Fotos heller, dunkler'], ['c C', 'mehr, weniger Kontrast'], ['p', 'Vorschau auf das, was unterschrieben wird'], ['?', 'diese Hilfe']
  ],
  lettersOn: 'Buchstabentasten wirken (abschalten beim Diktieren)',
  close: 'Schließen',
  leave: 'Abmelden',
  left: 'Sie sind abgemeldet',
  leftText: 'Die Sitzung ist hier beendet; das Praxissystem wurde gebeten, sie auch dort zu beenden, wo es das anbietet. Sie können dieses Fenster schließen.',
  endedText: 'Was als Entwurf aufgehoben wurde, ist acht Stunden lang da: Öffnen Sie JointLens noch einmal aus der Patientenakte. Was ab jetzt eingegeben wird, wird nicht aufgehoben.',
  signInAgain: 'Wieder anmelden',
  shadowTitle: 'Schattenbetrieb.',
  shadowSign: 'Schattenbetrieb: Nichts kann unterschrieben oder geschrieben werden, bis sich diese Einrichtung für JointLens entschieden hat.',
  notCalibrated: 'Nicht für die Fotos dieser Einrichtung kalibriert.',
  errors: {
    offline: 'Die Verbindung ist abgerissen. Bitte noch einmal versuchen.',
    ERR_SESSION: 'Ihre Sitzung ist beendet. Es wurde nichts geschrieben.',
    ERR_FORBIDDEN: 'Ihre Anmeldung erlaubt das nicht. Es wurde nichts geschrieben.',
    ERR_CONFLICT: 'Die Akte hat sich inzwischen geändert. Es wurde nichts geschrieben. Sehen Sie die Seite noch einmal an, dann Vorschau und Unterschrift.',
    ERR_EHR_UNREACHABLE: 'Das Praxissystem hat nicht geantwortet. Bitte gleich noch einmal versuchen.',
    ERR_EHR_UNAUTHORIZED: 'Das Praxissystem hat mit Ihrer Anmeldung den Zugriff verweigert.',
    ERR_EHR_REFUSED: 'Das Praxissystem hat das nicht angenommen.',
    ERR_EHR_ANSWER: 'Die Antwort des Praxissystems ist nicht lesbar.',
    ERR_WRITE_AMBIGUOUS: 'Es kam keine Antwort zurück; ob geschrieben wurde, ist nicht bekannt. Unterschreiben Sie noch einmal: Nichts wird doppelt geschrieben. Was noch in der Akte erscheinen kann, wird erst nach einigen Minuten wieder gesendet, spätestens nach einer Viertelstunde.',
    ERR_WRITE_PARTIAL: 'Das Praxissystem hat einen Teil angenommen und das Nächste abgelehnt. Unterschreiben Sie noch einmal: Der Rest wird geschrieben, nichts doppelt.',
    ERR_ENGINE_BUSY: 'Gerade werden zu viele Fotos gelesen. Bitte gleich noch einmal versuchen.',
    ERR_RATE_LIMITED: 'Zu viele Anfragen. Bitte gleich noch einmal versuchen.',
    ERR_NOT_READY: 'JointLens startet gerade. Bitte gleich noch einmal versuchen.'
  },
  unknownError: 'Etwas ist schiefgegangen. Bitte gleich noch einmal versuchen.',
  failures: {
    ERR_PHOTO_FORMAT: 'Die Fotos sind keine JPEG-, PNG- oder WebP-Bilder.', ERR_PHOTO_HEIC: 'Die Fotos sind HEIC-Dateien und nicht lesbar; JPEG ist es.',
    ERR_PHOTO_CORRUPT: 'Die Fotodateien sind beschädigt.', ERR_PHOTO_TOO_LARGE: 'Die Fotodateien sind zu groß.', ERR_PHOTO_TIMEOUT: 'Das Lesen der Fotos hat zu lange gedauert.',
    ERR_PHOTO_UNDATED: 'Die Akte sagt nicht, wann die Fotos entstanden sind.', ERR_PHOTO_UNREACHABLE: 'Die Fotos konnten nicht aus der Akte geholt werden.',
    ERR_EHR_UNREACHABLE: 'Das Praxissystem hat nicht geantwortet.', ERR_EHR_UNAUTHORIZED: 'Das Praxissystem hat den Zugriff auf die Fotos verweigert.', ERR_FORBIDDEN: 'Die Einwilligung der Person lässt es nicht zu.',
    ERR_PATIENT_MINOR: 'Die Person ist unter 18, und ob das Modell bei Kindern gilt, ist nicht bekannt.'
  },
  couldNotRead: 'Die Fotos konnten nicht gelesen werden.',
  aboutTitle: 'Zu diesen Vorschlägen',
  about: ({ calibration, calibrated, threshold }) => [
    ['Was es ist', 'Forschungssoftware. Sie schlägt vor, wo man hinsehen sollte; sie stellt keine Diagnose und rät zu keiner Behandlung.'],
    ['Gelernt an', 'Nur an computererzeugten Händen. Sie hat nie einen Menschen gesehen; wie sie bei verschiedenen Hauttönen wirklicher Menschen arbeitet, ist nicht bewertbar.'],
    ['Kalibrierung', `${calibrated ? `Erstellt mit: ${calibration}` : `Nicht für diese Einrichtung kalibriert (${calibration})`}. Markiert wird ab ${threshold}\u00A0%: die Schwelle für die Zählung, nicht die empfindlichere der Listen vor dem Besuch.`],
    ['Ein Foto zeigt nicht', 'Druckschmerz, Wärme, Beweglichkeit, Ellenbogen, Schultern, Knie, und nicht, warum ein Gelenk dick ist: Arthrose, Gicht, Verletzung und Ödem können gleich aussehen.'],
    ['Ihr Teil', 'Untersuchen Sie die Person. Ein nicht markiertes Gelenk ist kein gesundes Gelenk; ein Befund ist nur, was Sie unterschreiben.']
  ]
}

export const WORDS: Record<Language, Words> = { en: english, de: german }

const WordsContext = createContext<Words>(english)
export const WordsProvider = WordsContext.Provider
export const useWords = () => useContext(WordsContext)

export function findingWords(w: Words, finding: JointFinding): string {
  if (finding.kind === 'not-assessed') return w.notAssessable(w.reason[finding.reason] ?? finding.reason)
  return finding.inflamed ? w.flagged : w.notFlagged
}

export const fullJointName = (w: Words, side: Laterality, joint: HandJoint) => w.place(w.side[side], w.joint(joint))

/** Number and calibrated frequency together. */
export const probabilityWords = (w: Words, probability: number) => `${percentOf(probability)}\u00A0%: ${w.frequency(probability)}`

const signerOf = (w: Words, { own, by }: Pick<SignedBy, 'own' | 'by'>) => (own ? w.you : by ?? w.colleague)

export const signedWords = (w: Words, signed: SignedByClinician) =>
  w.signedCall(w.call[signed.call].toLowerCase(), w.signer(signerOf(w, signed)), signed.at ? w.timeOf(signed.at) : '', signed.earlier !== undefined)

export const signedPlaceWords = (w: Words, signed: SignedBy, what: string) => w.signedCall(what, w.signer(signerOf(w, signed)), signed.at ? w.timeOf(signed.at) : '', false)

/** A number that stands signed: value, who, when. */
export const signedNumberWords = (w: Words, { value, at, ...who }: SignedNumber) => w.signedCall(value.toLocaleString(w.locale), w.signer(signerOf(w, who)), at ? w.timeOf(at) : '', false)

export const numberName = (w: Words, name: SignedNumber['name']) => (name in w.inputs ? w.inputs[name as keyof ActivityInputs] : name as ActivityIndex)

/** What a score lacks, each input by name; the two counts, which come and go together, as one. */
export function missingWords(w: Words, missing: readonly (keyof ActivityInputs)[]): string {
  const both = COUNTS_28.every((name) => missing.includes(name))
  const others = missing.filter((name) => !both || !COUNTS_28.some((count) => count === name))
  return [...(both ? [w.bothCounts28] : []), ...others.map((name) => w.inputNames[name])].join(', ')
}

/** Numbers that say something else than what was signed. */
export const numberConflictWords = (w: Words, { signed, now }: NumberConflict) =>
  w.conflictNumber(numberName(w, signed.name), `${signed.value.toLocaleString(w.locale)} (${signerOf(w, signed)})`, now?.toLocaleString(w.locale) ?? w.noCount28)

/** What was signed before a correction, newest first. */
export const earlierWords = (w: Words, { earlier = [] }: SignedByClinician) =>
  earlier.toReversed().map(({ call, at, ...who }) => w.signedBefore(call ? w.call[call].toLowerCase() : '–', w.signer(signerOf(w, who)), at ? w.timeOf(at) : ''))

export const signersOf = (w: Words, signed: readonly SignedByClinician[]) => [...new Set(signed.map((one) => signerOf(w, one)))].join(` ${w.and} `)

/** Calls that say something else than what was signed. */
export function signedConflicts(w: Words, calls: ReadonlyMap<string, ReviewCall>, signed: readonly SignedByClinician[]): readonly { readonly key: string; readonly words: string }[] {
  return signed.flatMap((one) => {
    const key = `${one.side}-${one.joint}`
    const call = calls.get(key)
    if (call === undefined || call === one.call) return []
    return [{ key, words: w.conflictOf(fullJointName(w, one.side, one.joint), `${w.call[one.call].toLowerCase()} (${w.signer(signerOf(w, one))})`, w.call[call].toLowerCase()) }]
  })
}

/** In the reader's language by the error's code; the server's English only where there is no such sentence. */
export function errorWords(w: Words, error: unknown): string {
  if (!(error instanceof ApiError)) return w.unknownError
  return w.errors[error.code] ?? (w.locale.startsWith('en') ? error.message : w.unknownError)
}

export const failureWords = (w: Words, code: string) => `${w.couldNotRead} ${w.failures[code] ?? w.errors[code] ?? ''}`.trim()
