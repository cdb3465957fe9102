import { z } from 'zod'

/** R4 allows 64 characters (datatypes, id); Epic gives ids of some 70 (Firely SDK issue 1919), and no EHR knows of one that we refuse. */
const LONGEST = 128

/** A pattern for inside others: `.` and `..` fit R4's and would walk up a path. */
export const LOGICAL_ID = String.raw`(?!\.{1,2}(?![A-Za-z0-9\-.]))[A-Za-z0-9\-.]{1,${LONGEST}}`

/** Expects letters, digits, "-" and ".". */
export const logicalId = z.string().regex(new RegExp(`^${LOGICAL_ID}$`), `Expected a FHIR id of letters, digits, "-" and "." (at most ${LONGEST})`)

/** Matches `Type/id` of these types, `|` between them, and nothing around it; the groups are type and id. */
export const referenceTo = (types: string): RegExp => new RegExp(`^(${types})/(${LOGICAL_ID})$`)
