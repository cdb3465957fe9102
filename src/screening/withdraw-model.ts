import type { Audit } from '../audit.ts'
import { ScreeningError } from '../errors.ts'
import type { ModelIdentity } from '../joints/finding.ts'
import { openResultStore } from './result-store.ts'
import type { Store } from './store/open-store.ts'

export interface WithdrawDeps {
  readonly store: Store
  readonly audit: Audit
  readonly tenant: string
  /** The model that reads photos now. */
  readonly model: ModelIdentity
}

/** `withdrawn_code` of a result whose model is no longer believed. */
const WITHDRAWN = 'model-withdrawn'

/**
 * Takes back what one version of a model said: from now on its results are shown to nobody, and the next screening of each patient takes
 * them back in the record and reads the photos with the model of now. Resolves with those patients, also when it is begun again after a
 * crash. Throws ERR_USAGE for the version that reads photos now, whose results would come back, ERR_STORE.
 */
export async function withdrawModel({ store, audit, tenant, model }: WithdrawDeps, version: string): Promise<ReadonlySet<string>> {
  if (model.version === version)
    throw new ScreeningError('ERR_USAGE', `Expected the version of another model than ${version}, which reads the photos now: put the folder of the model to go back to at JOINTLENS_MODEL first`)
  const results = openResultStore(store)
  const made = await results.madeBy(tenant, version, WITHDRAWN)
  for (const { id, patientId, speaks } of made) {
    if (!speaks) continue
    // Whoever is at work on the patient ends first or finds it withdrawn: the screening that follows takes back what was written meanwhile.
    await results.withdraw(tenant, id, WITHDRAWN, () => Promise.resolve())
    await audit.record({ tenant, action: 'withdraw', actor: 'system', patientId, entity: `Screening/${id}`, outcome: 'success' })
  }
  return new Set(made.map(({ patientId }) => patientId))
}
