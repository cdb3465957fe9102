import { wordingFor } from './cds-hooks/wording.ts'
import type { TenantConfig } from './config.ts'
import { escapeHtml, pageOf, type Page } from './plain-page.ts'
import type { NotAssessedReason } from './joints/finding.ts'
import type { WorklistOfDay, WorklistRow } from './screening/previsit.ts'

/** The morning's list of one date at one site. */
export interface Worklist extends WorklistOfDay {
  readonly tenant: TenantConfig
  /** YYYY-MM-DD at the site. */
  readonly date: string
  /** ISO 8601. */
  readonly madeAt: string
}

const english = {
  title: (day: string) => `Hand photos before the visits of ${day}`,
  made: (when: string, zone: string) => `Made ${when}; times of ${zone}.`,
  shadow: 'Shadow mode: results are stored and not shown.',
  withoutPatient: (count: number) =>
    (count === 1 ? 'One appointment names no patient of the record; nobody was looked at for it.' : `${count} appointments name no patient of the record; nobody was looked at for them.`),
  none: 'Nobody.',
  sections: {
    results: 'Results are there', 'needs-photo': 'Needs a new photo', 'no-photo': 'No photo', failed: 'Not read yet'
  } satisfies Record<WorklistRow['status'], string>,
  patients: (count: number) => (count === 1 ? '1 patient' : `${count} patients`),
  columns: { time: 'Time', patient: 'Patient', result: 'AI suggestion (90 % interval)', photo: 'Photo of', why: 'Why' },
  count: (swollen: number, assessable: number, of: number, low: number, high: number) =>
    `${swollen} of ${assessable} assessable joints swollen (${low}–${high})${assessable < of ? `; ${of - assessable} not assessable` : ''}`,
  read: 'read',
  notWritten: (code: string) => `not in the record yet, it is tried again by itself (${code})`,
  why: {
    'no-photos': 'no hand photo in the record', 'old-photo': 'the photo is too old', 'still-running': 'still being read',
    ERR_PHOTO_HEIC: 'HEIC cannot be read; send JPEG', ERR_PHOTO_UNDATED: 'the photo has no date', ERR_PHOTO_UNREACHABLE: 'the photo could not be fetched from the record',
    ERR_PHOTO_CORRUPT: 'the file is damaged', ERR_PHOTO_FORMAT: 'the file is no photo we can read', ERR_PHOTO_TOO_LARGE: 'the file is too large', ERR_PHOTO_TIMEOUT: 'the file took too long to read',
    ERR_PATIENT_MINOR: 'under 18: the model is not known to be valid for children'
  } as Readonly<Record<string, string>>,
  fault: (code: string) => `it is tried again by itself (${code})`
}
type Words = typeof english

const german: Words = {
  title: (day) => `Handfotos vor den Terminen am ${day}`,
  made: (when, zone) => `Erstellt ${when}; Uhrzeiten in ${zone}.`,
  shadow: 'Schattenbetrieb: Ergebnisse werden gespeichert und nicht gezeigt.',
  withoutPatient: (count) =>
    (count === 1 ? 'Ein Termin nennt niemanden aus der Akte; für ihn wurde niemand angesehen.' : `${count} Termine nennen niemanden aus der Akte; für sie wurde niemand angesehen.`),
  none: 'Niemand.',
  sections: { results: 'Ergebnisse liegen vor', 'needs-photo': 'Braucht ein neues Foto', 'no-photo': 'Kein Foto', failed: 'Noch nicht gelesen' },
  patients: (count) => (count === 1 ? '1 Person' : `${count} Personen`),
  columns: { time: 'Uhrzeit', patient: 'Person', result: 'KI-Vorschlag (90-%-Intervall)', photo: 'Foto vom', why: 'Warum' },
  count: (swollen, assessable, of, low, high) =>
    `${swollen} von ${assessable} beurteilbaren Gelenken geschwollen (${low}–${high})${assessable < of ? `; ${of - assessable} nicht beurteilbar` : ''}`,
  read: 'gelesen',
  notWritten: (code) => `noch nicht in der Akte, wird von selbst erneut versucht (${code})`,
  why: {
    'no-photos': 'kein Handfoto in der Akte', 'old-photo': 'das Foto ist zu alt', 'still-running': 'wird noch gelesen',
    ERR_PHOTO_HEIC: 'HEIC ist nicht lesbar; bitte JPEG', ERR_PHOTO_UNDATED: 'das Foto hat kein Datum', ERR_PHOTO_UNREACHABLE: 'das Foto war in der Akte nicht abrufbar',
    ERR_PHOTO_CORRUPT: 'die Datei ist beschädigt', ERR_PHOTO_FORMAT: 'die Datei ist kein lesbares Foto', ERR_PHOTO_TOO_LARGE: 'die Datei ist zu groß', ERR_PHOTO_TIMEOUT: 'das Lesen der Datei dauerte zu lange',
    ERR_PATIENT_MINOR: 'unter 18: ob das Modell bei Kindern gilt, ist nicht bekannt'
  },
  fault: (code) => `wird von selbst erneut versucht (${code})`
}

const WORDS = { en: english, de: german }
const ORDER = ['needs-photo', 'no-photo', 'failed', 'results'] as const

/** For the clinic's staff: who needs a photo comes first, because that is what the morning can still change. */
export function worklistPage({ tenant, date, rows, withoutPatient, madeAt }: Worklist): Page {
  const words = WORDS[tenant.language]
  const { research, locale } = wordingFor(undefined, tenant.language)
  const day = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeZone: 'UTC' }).format(new Date(`${date}T00:00:00Z`))
  const made = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short', timeZone: tenant.timeZone }).format(new Date(madeAt))
  const notes = [...(tenant.mode === 'shadow' ? [words.shadow] : []), ...(withoutPatient > 0 ? [words.withoutPatient(withoutPatient)] : []), research]
  const sections = ORDER.map((status) => section(status, rows.filter((row) => row.status === status), tenant))
  return pageOf(words.title(date), `<h1>${escapeHtml(words.title(day))}</h1><p>${escapeHtml(`${tenant.name}. ${words.made(made, tenant.timeZone)}`)}</p>
${notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`).join('')}${sections.join('')}`, tenant.language)
}

function section(status: WorklistRow['status'], rows: readonly WorklistRow[], tenant: TenantConfig): string {
  const words = WORDS[tenant.language]
  const title = words.sections[status]
  if (rows.length === 0) return `<h2>${escapeHtml(title)}</h2><p>${words.none}</p>`
  const { columns } = words
  const head = status === 'results' ? [columns.time, columns.patient, columns.result, columns.photo] : [columns.time, columns.patient, columns.why, columns.photo]
  const cells = rows.map((row) => [
    clock(row.appointment, tenant), row.name ? `${row.name} (${row.patientId})` : row.patientId,
    status === 'results' ? resultOf(row, words) : whyOf(row, tenant), row.photoTime ? dayOf(row.photoTime, tenant) : '–'
  ])
  const line = ([time = '', who = '', ...rest]: readonly string[]) =>
    `<tr><td>${escapeHtml(time)}</td><th scope="row">${escapeHtml(who)}</th>${rest.map((one) => `<td>${escapeHtml(one)}</td>`).join('')}</tr>`
  return `<h2>${escapeHtml(title)}</h2><div class="scroll" role="region" aria-label="${escapeHtml(title)}" tabindex="0"><table class="list"><caption>${escapeHtml(words.patients(rows.length))}</caption>
<thead><tr>${head.map((one) => `<th scope="col">${escapeHtml(one)}</th>`).join('')}</tr></thead><tbody>${cells.map(line).join('')}</tbody></table></div>`
}

function resultOf({ count, notWritten }: WorklistRow, words: Words): string {
  const found = count ? words.count(count.swollen, count.assessable, count.of, count.low, count.high) : words.read
  return notWritten === undefined ? found : `${found}; ${words.notWritten(notWritten)}`
}

function whyOf({ status, reason = '' }: WorklistRow, { language }: TenantConfig): string {
  const words = WORDS[language]
  const wording = wordingFor(undefined, language)
  return words.why[reason] ?? (reason in wording.reason ? wording.reason[reason as NotAssessedReason] : status === 'failed' ? words.fault(reason) : reason)
}

function clock(iso: string, { language, timeZone }: TenantConfig): string {
  return new Intl.DateTimeFormat(wordingFor(undefined, language).locale, { timeStyle: 'short', timeZone }).format(new Date(iso))
}

function dayOf(iso: string, { language, timeZone }: TenantConfig): string {
  // A date without a time is that day, wherever the site is.
  return new Intl.DateTimeFormat(wordingFor(undefined, language).locale, { dateStyle: 'medium', timeZone: iso.includes('T') ? timeZone : 'UTC' }).format(new Date(iso))
}
