import type { FhirResource } from 'fhir/r4.js'
import type { TenantConfig } from '../config.ts'
import { isScreeningError } from '../errors.ts'
import { isOf } from '../fhir/references.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { Row, Store } from './store/open-store.ts'

export interface ReconcileReport {
  readonly checked: number
  /** Written, but of a type that this record does not let anyone read. */
  readonly unreadable: number
  /** In our ledger, gone from the record. */
  readonly missing: readonly string[]
  /** Of another patient than the ledger says, or withdrawn: a person must look. */
  readonly changed: readonly { readonly reference: string; readonly what: string }[]
}

interface LedgerRow extends Row {
  readonly reference: string
  readonly patient_id: string
}

/** Compares what we wrote with what the record holds now and reports differences; it changes nothing. Throws ERR_EHR_*. */
export async function reconcile({ store, sessionFor, tenant }: {
  store: Store; sessionFor: (tenant: TenantConfig) => FhirSession; tenant: TenantConfig
}): Promise<ReconcileReport> {
  const session = sessionFor(tenant)
  const rows = await store.query<LedgerRow>('select reference, patient_id from ledger where tenant = $1 order by recorded_at', [tenant.id])
  const capabilities = await session.capabilities()
  let unreadable = 0
  const missing: string[] = []
  const changed: { reference: string; what: string }[] = []
  for (const { reference, patient_id: patientId } of rows) {
    const [type = '', id = ''] = reference.split('/')
    if (!capabilities.can(type, 'read')) {
      unreadable++
      continue
    }
    try {
      const what = difference(session, await session.read(type as FhirResource['resourceType'], id), patientId)
      if (what) changed.push({ reference, what })
    } catch (error) {
      if (!isScreeningError(error) || error.code !== 'ERR_NOT_FOUND') throw error
      missing.push(reference)
    }
  }
  return { checked: rows.length - unreadable, unreadable, missing, changed }
}

function difference({ tenant }: FhirSession, resource: FhirResource, patientId: string): string | undefined {
  const subject = 'subject' in resource ? (resource.subject as { reference?: string } | undefined)?.reference : undefined
  if (subject !== undefined && !isOf(tenant, subject, patientId)) return 'another patient'
  const { status } = resource as { status?: unknown }
  return status === 'entered-in-error' || status === 'cancelled' ? `status ${status}` : undefined
}
