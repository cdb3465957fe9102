import { z } from 'zod'

/** R4 allows 64 characters (datatypes, id); Epic gives ids of some 70 (Firely SDK issue 1919). What is written under one has to be read back. */
const LONGEST = 128

/** A pattern for inside others: `.` and `..` fit R4's and would walk up a path. */
export const LOGICAL_ID = String.raw`(?!\.{1,2}(?![A-Za-z0-9\-.]))[A-Za-z0-9\-.]{1,${LONGEST}}`

const ALONE = new RegExp(`^${LOGICAL_ID}$`)
export const isLogicalId = (text: string): boolean => ALONE.test(text)
export const ID_EXPECTED = `Expected a FHIR id of letters, digits, "-" and "." (at most ${LONGEST})`
export const logicalId = z.string().regex(ALONE, ID_EXPECTED)

/** Matches `Type/id` of these types, `|` between them, and nothing around it; the groups are type and id. */
export const referenceTo = (types: string): RegExp => new RegExp(`^(${types})/(${LOGICAL_ID})$`)

/** Who may act, by CDS Hooks (`userId`) and SMART (`fhirUser`). */
export const USER_REFERENCE = referenceTo('Practitioner|PractitionerRole|Patient|RelatedPerson')
