const ADULT_YEARS = 18

/**
 * Under 18 at the site's day, or perhaps, where the record knows a year or a month alone: the model is not known to be valid for children
 * (method: clinical section 7, rule 11), whose arthritis is at times coded as that of adults. Nobody is for want of a birth date.
 */
export function mayBeMinor(birthDate: string | undefined, today: string): boolean {
  const [, year, month = '12', day = '31'] = /^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?$/.exec(birthDate ?? '') ?? []
  return year !== undefined && `${year}-${month}-${day}` > `${Number(today.slice(0, 4)) - ADULT_YEARS}${today.slice(4)}`
}
