import type { TenantConfig } from '../../config.ts'
import { ScreeningError } from '../../errors.ts'
import { webAddress } from '../../web-address.ts'
import type { Store } from './open-store.ts'

/**
 * A store is bound to each tenant's record. What it keeps (results, where they lie, photos that were read) names patients and resources by
 * their ids there, and another server's `Patient/12` is another person, whose card and record would show what was found of the first. The
 * same record under a new address says so in `formerFhirBases`. Throws ERR_CONFIG.
 */
export async function bindToRecords(store: Store, tenants: readonly Pick<TenantConfig, 'id' | 'fhirBase' | 'formerFhirBases'>[]): Promise<void> {
  for (const { id, fhirBase, formerFhirBases } of tenants) {
    await store.query('insert into record_address (tenant, fhir_base) values ($1, $2) on conflict do nothing', [id, fhirBase])
    const [bound] = await store.query<{ fhir_base: string }>('select fhir_base from record_address where tenant = $1', [id])
    // Kept as it was typed then.
    const known = bound && (webAddress(bound.fhir_base) ?? bound.fhir_base)
    if (known === fhirBase) continue
    if (known === undefined || !formerFhirBases.includes(known))
      throw new ScreeningError('ERR_CONFIG', `Expected tenants.${id}.fhirBase to be "${known}", whose patients this store knows, but received "${fhirBase}". ` +
        `Another record needs another tenant id or another store; if it is the same one under a new address, add the old one to tenants.${id}.formerFhirBases`)
    await store.query('update record_address set fhir_base = $2 where tenant = $1', [id, fhirBase])
  }
}
