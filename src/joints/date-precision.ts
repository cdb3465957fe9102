export type DatePrecision = 'year' | 'month' | 'day' | 'time'

/** How much a FHIR date or dateTime says: both may stop at the year or the month (R4 datatypes), and without a time they are of no time zone. */
export function datePrecisionOf(dateTime: string): DatePrecision {
  if (dateTime.includes('T')) return 'time'
  return dateTime.length <= 4 ? 'year' : dateTime.length <= 7 ? 'month' : 'day'
}

const DATE_AND_REST = /^((?!0000)\d{4}(?:-\d{2}(?:-\d{2})?)?)(?:[T ](.*))?$/i
const CLOCK = /^((?:[01]\d|2[0-3]):[0-5]\d)(:[0-5]\d(?:\.\d+)?)?(Z|[+-](?:0\d|1[0-4]):?[0-5]\d)$/i

/**
 * A FHIR dateTime as R4 wants it, out of what records send for one. Seconds that were left out are zero. Of a time without a zone, or of
 * none that can be read, the day stays as it was written: which moment it was nobody knows. Undefined where no day is named without
 * doubt, as in 11/12/2026.
 */
export function dateTimeFrom(text: string): string | undefined {
  const [, date = '', rest] = DATE_AND_REST.exec(text.trim()) ?? []
  if (!isOfCalendar(date)) return undefined
  const [, clock, seconds = ':00', zone] = CLOCK.exec(rest ?? '') ?? []
  if (clock === undefined || zone === undefined || datePrecisionOf(date) !== 'day') return date
  return `${date}T${clock}${seconds}${zone.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')}`
}

/** JavaScript takes 30 February for 2 March. */
function isOfCalendar(date: string): boolean {
  const time = Date.parse(date)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(date)
}
