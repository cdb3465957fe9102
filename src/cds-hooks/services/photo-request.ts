import type { CommunicationRequest } from 'fhir/r4.js'
import { z } from 'zod'
import type { TenantConfig } from '../../config.ts'
import { isOf } from '../../fhir/references.ts'
import { dateTimeFrom, datePrecisionOf } from '../../joints/date-precision.ts'
import type { HookContext } from '../protocol.ts'
import type { Wording } from '../wording.ts'

const appointment = z.object({
  resourceType: z.literal('Appointment'),
  start: z.string().optional(),
  participant: z.array(z.object({ actor: z.object({ reference: z.string().optional() }).optional() })).optional()
})

/** Start of the proposed appointment of this patient (`context.appointments` may hold several people's); undefined when there is none. */
export function appointmentStart(
  { appointments, patientId }: HookContext<'appointment-book'>, tenant: Pick<TenantConfig, 'fhirBase'>
): { readonly start?: string } | undefined {
  for (const { resource } of appointments.entry) {
    const found = appointment.safeParse(resource).data
    if (!found) continue
    const named = found.participant?.flatMap(({ actor }) => (actor?.reference?.includes('Patient/') ? [actor.reference] : [])) ?? []
    if (named.length === 0 || named.some((reference) => isOf(tenant, reference, patientId))) return found.start ? { start: found.start } : {}
  }
  return undefined
}

/** A draft that a person sends: never sent by itself. Due the day before the visit, when that is still to come. */
export function photoRequest(patientId: string, start: string | undefined, wording: Wording, now: number): CommunicationRequest {
  const due = dayBefore(dateTimeFrom(start ?? ''))
  return {
    resourceType: 'CommunicationRequest',
    status: 'draft',
    subject: { reference: `Patient/${patientId}` },
    recipient: [{ reference: `Patient/${patientId}` }],
    payload: [{ contentString: wording.askText }],
    authoredOn: new Date(now).toISOString(),
    ...(due !== undefined && Date.parse(due) > now ? { occurrenceDateTime: due } : {})
  }
}

/** No more precise than the visit itself; undefined where not even its day is known. */
function dayBefore(dateTime = ''): string | undefined {
  const precision = datePrecisionOf(dateTime)
  if (precision !== 'day' && precision !== 'time') return undefined
  return new Date(Date.parse(dateTime) - 86_400_000).toISOString().slice(0, precision === 'day' ? 10 : undefined)
}
