import type { Coding, Consent, ConsentProvision } from 'fhir/r4.js'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { patientIn } from './references.ts'
import { isGranted } from './scopes.ts'
import type { FhirSession } from './session.ts'
import { isKeptFor } from './whose.ts'

/** What our work is about; a refusal of other classes of data does not touch it. */
const OURS = ['Media', 'DocumentReference', 'Binary', 'DiagnosticReport', 'Observation']

/**
 * False when the record holds an active Consent of this patient that denies use of pictures or findings (FHIR R4 Consent,
 * specs/conformance.md row 57). Asked only where the site's registration may read Consent and the server can search it by
 * patient; elsewhere the record cannot tell us, and the site decides whom it screens. Where it is asked, an answer that is refused is none:
 * a denial may stand behind it, and the patient waits. A denial with exceptions counts as one: which of them would let software
 * read a photo is not ours to guess; so does one that stands as an exception below a permission. Another patient's Consent says nothing of
 * this one, and an answer of others' alone is none. Throws ERR_EHR_*.
 */
export async function isConsented(session: FhirSession, patientId: string, now: Date): Promise<boolean> {
  if (!isGranted(session.tenant.backend?.scope, 'Consent', 's') || !(await session.capabilities()).canSearch('Consent', 'patient')) return true
  const consents = await session.search('Consent', { patient: patientId })
  const ofOthers = consents.filter((one) => namesAnother(session, one, patientId))
  if (ofOthers.length > 0 && ofOthers.length === consents.length)
    throw new ScreeningError('ERR_EHR_ANSWER', 'Expected Consent of the patient that was asked for but received only those of others')
  const denials = consents.filter((one) => one.status === 'active' && denies(one.provision, now))
  for (const one of denials) if (ofOthers.includes(one)) await askWhose(session, one, patientId)
  return denials.every((one) => ofOthers.includes(one))
}

/** One that names nobody, or somebody by another address, was found by this patient all the same. */
function namesAnother({ tenant }: FhirSession, { patient }: Consent, patientId: string): boolean {
  const named = patientIn(tenant, patient?.reference)
  return named !== undefined && named !== patientId
}

/** A denial is believed to be another's when that is said twice, where we may ask. Throws ERR_EHR_ANSWER. */
async function askWhose(session: FhirSession, denial: Consent, patientId: string): Promise<void> {
  if (!isGranted(session.tenant.backend?.scope, 'Consent', 'r')) return
  await isKeptFor(session, denial, patientId).catch((error: unknown) => {
    if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND') throw error
  })
}

/** Classes hold for the exceptions below too, until these name their own; what is over or not yet begun says nothing, nor does what is below it. */
function denies(provision: ConsentProvision | undefined, now: Date, above: readonly Coding[] = []): boolean {
  const { start, end } = provision?.period ?? {}
  if ((start && Date.parse(start) > now.getTime()) || (end && endOf(end) < now.getTime())) return false
  const classes = provision?.class?.length ? provision.class : above
  const isOurs = classes.length === 0 || classes.some(({ code }) => code !== undefined && OURS.includes(code))
  return (provision?.type === 'deny' && isOurs) || (provision?.provision?.some((one) => denies(one, now, classes)) ?? false)
}

/** A day lasts until its end, and a bit longer for zones: a refusal is rather honoured too long. */
function endOf(dateTime: string): number {
  return Date.parse(dateTime) + (dateTime.includes('T') ? 0 : 36 * 3_600_000)
}
