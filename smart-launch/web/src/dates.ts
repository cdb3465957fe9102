import { datePrecisionOf, type DatePrecision } from '../../../src/joints/date-precision.ts'

const DAY = { day: 'numeric', month: 'short', year: 'numeric' } as const
const SHOWN: Readonly<Record<DatePrecision, Intl.DateTimeFormatOptions>> = {
  year: { year: 'numeric', timeZone: 'UTC' }, month: { month: 'short', year: 'numeric', timeZone: 'UTC' }, day: { ...DAY, timeZone: 'UTC' }, time: DAY
}

/** No more than the record says; a day without a time, such as a birth date, is that day wherever the reader is. */
export const dayOf = ({ locale }: { readonly locale: string }, iso: string) => new Date(iso).toLocaleDateString(locale, SHOWN[datePrecisionOf(iso)])

/** Whole years until today; undefined where the record gives no whole birth date. */
export function ageOf(birthDate: string, today = new Date()): number | undefined {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(birthDate)?.map(Number) ?? []
  if (year === undefined || month === undefined || day === undefined) return undefined
  const before = today.getMonth() + 1 < month || (today.getMonth() + 1 === month && today.getDate() < day)
  return today.getFullYear() - year - (before ? 1 : 0)
}
