import { createContext, useContext } from 'react'
import type { ActivityCategory, ActivityInputs } from '../../../src/joints/activity-scores.ts'
import type { MapFocus } from '../../../src/joints/occlusion-map.ts'
import { jointLabel, type HandJoint, type LargeJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import type { JointFinding, ReviewCall } from './api.ts'

export type Language = 'en' | 'de'

/** Everything the page says, in English and German; wording follows the rules of clinical use: a suggestion, never a diagnosis. */
const english = {
  locale: 'en-GB',
  side: { left: 'Left', right: 'Right' } as Record<Laterality, string>,
  joint: jointLabel,
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
  legend: { flagged: 'possible inflammation', plain: 'not flagged', 'not-assessable': 'not assessable' },
  /** A calibrated probability in words (never 0 or 10 in 10). */
  frequency(probability: number): string {
    const tenths = Math.round(probability * 10)
    if (tenths < 1) return 'fewer than 1 in 10 joints like this were labelled swollen'
    if (tenths > 9) return 'more than 9 in 10 joints like this were labelled swollen'
    return `about ${tenths} in 10 joints like this were labelled swollen`
  },
  title: 'Hand photo review',
  badge: 'Research software · learned from computer-made hands',
  born: 'born',
  result: 'Result',
  count: (assessable: number) => `of ${assessable} assessable hand joints suggested as swollen`,
  interval: (low: number, high: number, missing: number) => `90 % interval ${low} to ${high}; ${missing} not assessable`,
  photosOf: (day: string) => `Photos of ${day}.`,
  reading: 'Newer photos are being read now.',
  caution: 'AI suggestion, not reviewed. May under-count when many joints are swollen; osteoarthritis nodes can look like swelling.',
  shadow: 'Shadow mode: this site has not decided to use the suggestions. Look at them for evaluation only.',
  photos: 'Photos',
  joints: 'Joints',
  marks: 'Show joint marks',
  takePhotos: 'Take photos of the hands',
  handOf: (side: string) => `${side} hand`,
  seenFromBack: (side: string) => `${side} hand, seen from the back`,
  photoOf: (sides: string) => `Photo of the back of the hand: ${sides}`,
  noHand: 'No hand found',
  zoom: 'Zoom',
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
  mapFor: (from: number, to: number) => `speaks for swelling: covered, ${from} % falls to ${to} %`,
  mapAgainst: (from: number, to: number) => `speaks against: covered, ${from} % rises to ${to} %`,
  mapLimits: 'The map shows what the model used, not whether it is right. It covers the close-up only, not the view of the whole hand.',
  yourCallFor: (name: string) => `Your call for ${name}`,
  yourCall: 'Your call',
  signTitle: 'Sign',
  nothingDecided: 'Nothing decided yet. Your calls become final Observations in your name; the AI suggestion stays as it was written.',
  decided: (count: number) => `${count} of 22 joints decided.`,
  preview: 'Preview',
  sign: 'Sign and record',
  willWrite: (count: number) => `Exactly this will be written (${count} resources)`,
  written: (count: number) => `${count} resources are in the record.`,
  readOnly: 'Read-only: your EHR sign-in does not allow writing Observations. Findings are shown; nothing can be signed.',
  overTime: 'Over time',
  columns: ['Photos of', 'Suggested swollen', '90 % interval', 'Assessable'],
  to: 'to',
  of: 'of',
  chart: 'Over time: suggested swollen joints with the 90 % interval of each visit, signed activity scores and the start of treatments; all of it stands in the table and lines below',
  countSeries: 'suggested swollen joints (AI) with 90 % interval',
  treatmentSeries: 'first order of a disease-modifying drug',
  earlier: (name: string) => `${name} at earlier visits`,
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
  outOfRange: 'Outside the possible range',
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
  lastFailed: (code: string) => `The last attempt ended with ${code}.`,
  notScreened: 'The photos of this patient have not been read yet.',
  readNow: 'Read the photos now',
  model: 'Model',
  modelCard: 'model card',
  calibration: 'Calibration',
  foot: 'Trained on computer-made hands only; it has never seen a patient. A photo cannot show tenderness, warmth, elbows, shoulders or knees. Examine the patient.'
}

export type Words = typeof english

const german: Words = {
  locale: 'de-DE',
  side: { left: 'Links', right: 'Rechts' },
  joint: (joint: HandJoint) => joint === 'wrist' ? 'Handgelenk' : joint === 'ip1' ? 'Daumen-IP' : jointLabel(joint),
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
  legend: { flagged: 'mögliche Entzündung', plain: 'nicht markiert', 'not-assessable': 'nicht beurteilbar' },
  frequency(probability) {
    const tenths = Math.round(probability * 10)
    if (tenths < 1) return 'weniger als 1 von 10 solchen Gelenken war als geschwollen bezeichnet'
    if (tenths > 9) return 'mehr als 9 von 10 solchen Gelenken waren als geschwollen bezeichnet'
    return `etwa ${tenths} von 10 solchen Gelenken waren als geschwollen bezeichnet`
  },
  title: 'Handfotos prüfen',
  badge: 'Forschungssoftware · an computererzeugten Händen gelernt',
  born: 'geboren',
  result: 'Ergebnis',
  count: (assessable) => `von ${assessable} beurteilbaren Handgelenken als geschwollen vorgeschlagen`,
  interval: (low, high, missing) => `90-%-Intervall ${low} bis ${high}; ${missing} nicht beurteilbar`,
  photosOf: (day) => `Fotos vom ${day}.`,
  reading: 'Neuere Fotos werden gerade gelesen.',
  caution: 'KI-Vorschlag, nicht geprüft. Zählt bei vielen geschwollenen Gelenken eher zu wenig; Arthroseknoten können wie Schwellungen aussehen.',
  shadow: 'Schattenbetrieb: Diese Einrichtung hat sich nicht für die Vorschläge entschieden. Nur zur Bewertung ansehen.',
  photos: 'Fotos',
  joints: 'Gelenke',
  marks: 'Gelenkmarken zeigen',
  takePhotos: 'Hände fotografieren',
  handOf: (side) => `Hand ${side.toLowerCase()}`,
  seenFromBack: (side) => `Hand ${side.toLowerCase()}, vom Handrücken gesehen`,
  photoOf: (sides) => `Foto des Handrückens: ${sides}`,
  noHand: 'Keine Hand gefunden',
  zoom: 'Vergrößern',
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
  mapFor: (from, to) => `spricht für Schwellung: abgedeckt fallen ${from} % auf ${to} %`,
  mapAgainst: (from, to) => `spricht dagegen: abgedeckt steigen ${from} % auf ${to} %`,
  mapLimits: 'Die Karte zeigt, was das Modell benutzt hat, nicht, ob es stimmt. Sie deckt nur den Ausschnitt ab, nicht den Blick auf die ganze Hand.',
  yourCallFor: (name) => `Ihr Urteil zu ${name}`,
  yourCall: 'Ihr Urteil',
  signTitle: 'Unterschreiben',
  nothingDecided: 'Noch nichts entschieden. Ihre Urteile werden endgültige Observations in Ihrem Namen; der KI-Vorschlag bleibt, wie er geschrieben wurde.',
  decided: (count) => `${count} von 22 Gelenken entschieden.`,
  preview: 'Vorschau',
  sign: 'Unterschreiben und eintragen',
  willWrite: (count) => `Genau das wird geschrieben (${count} Ressourcen)`,
  written: (count) => `${count} Ressourcen stehen in der Akte.`,
  readOnly: 'Nur Lesen: Ihre Anmeldung erlaubt kein Schreiben von Observations. Befunde werden gezeigt, unterschrieben werden kann nichts.',
  overTime: 'Verlauf',
  columns: ['Fotos vom', 'Vorgeschlagen geschwollen', '90-%-Intervall', 'Beurteilbar'],
  to: 'bis',
  of: 'von',
  chart: 'Verlauf: als geschwollen vorgeschlagene Gelenke mit 90-%-Intervall je Besuch, unterschriebene Aktivitätswerte und Therapiebeginn; alles steht in der Tabelle und den Zeilen darunter',
  countSeries: 'als geschwollen vorgeschlagen (KI) mit 90-%-Intervall',
  treatmentSeries: 'erste Verordnung eines Basistherapeutikums',
  earlier: (name) => `${name} bei früheren Besuchen`,
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
  notAssessable28: (count) => `Sie haben ${count} ${count === 1 ? 'Handgelenk' : 'Handgelenke'} als nicht beurteilbar bezeichnet, darum gibt es keine 28-Gelenk-Zählung.`,
  counted: (swollen, tender) => `Bisher markiert: ${swollen} geschwollen, ${tender} druckschmerzhaft.`,
  swollenShort: 'geschwollen',
  tenderShort: 'druckschmerzhaft',
  inputs: {
    tenderJointCount28: 'Druckschmerzhafte Gelenke (28)', swollenJointCount28: 'Geschwollene Gelenke (28)', patientGlobal: 'Patientenurteil, 0–10',
    physicianGlobal: 'Arzturteil, 0–10', crpMgPerL: 'CRP, mg/L', esrMmPerH: 'BSG, mm/h'
  },
  category: { remission: 'Remission', low: 'niedrig', moderate: 'mäßig', high: 'hoch' },
  needs: 'es fehlt',
  outOfRange: 'Außerhalb des möglichen Bereichs',
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
  lastFailed: (code) => `Der letzte Versuch endete mit ${code}.`,
  notScreened: 'Die Fotos dieser Person wurden noch nicht gelesen.',
  readNow: 'Fotos jetzt lesen',
  model: 'Modell',
  modelCard: 'Modellkarte',
  calibration: 'Kalibrierung',
  foot: 'Nur an computererzeugten Händen trainiert; es hat nie einen Menschen gesehen. Ein Foto zeigt weder Druckschmerz noch Wärme, Ellenbogen, Schultern oder Knie. Untersuchen Sie die Person.'
}

export const WORDS: Record<Language, Words> = { en: english, de: german }

const WordsContext = createContext<Words>(english)
export const WordsProvider = WordsContext.Provider
export const useWords = () => useContext(WordsContext)

export function findingWords(w: Words, finding: JointFinding): string {
  if (finding.kind === 'not-assessed') return w.notAssessable(w.reason[finding.reason] ?? finding.reason)
  return finding.inflamed ? w.flagged : w.notFlagged
}

export const fullJointName = (w: Words, side: Laterality, joint: HandJoint) => `${w.side[side]} ${w.joint(joint)}`

export const dayOf = (w: Words, iso: string) => new Date(iso).toLocaleDateString(w.locale, { day: 'numeric', month: 'short', year: 'numeric' })
