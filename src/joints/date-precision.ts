export type DatePrecision = 'year' | 'month' | 'day' | 'time'

/** How much a FHIR date or dateTime says: both may stop at the year or the month (R4 datatypes), and without a time they are of no time zone. */
export function datePrecisionOf(dateTime: string): DatePrecision {
  if (dateTime.includes('T')) return 'time'
  return dateTime.length <= 4 ? 'year' : dateTime.length <= 7 ? 'month' : 'day'
}
