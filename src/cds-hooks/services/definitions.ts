import { observationTerm } from '../../fhir/codes.ts'
import type { Hook, ServiceDefinition } from '../protocol.ts'

/**
 * Metadata of photos, the coded diagnosis, the age, and where something may be offered for recording, what was recorded before; every key is
 * optional to us. Queries stay in the recommended subset.
 */
const CONDITIONS = 'Condition?patient={{context.patientId}}'
const PATIENT = 'Patient/{{context.patientId}}'
const PHOTOS = 'Media?patient={{context.patientId}}&_sort=-created&_count=20'

/** The count that every result has; the code is ours alone, so it needs no system. */
const RESULTS = `Observation?patient={{context.patientId}}&code=${observationTerm('hand-sjc-22-suggestion').code ?? ''}&_sort=-date&_count=20`

function define<Name extends Hook>(hook: Name, id: string, title: string, description: string): ServiceDefinition<Name> {
  const offers = hook === 'patient-view' || hook === 'encounter-start'
  return { hook, id, title, description, prefetch: { patient: PATIENT, conditions: CONDITIONS, photos: PHOTOS, ...(offers ? { results: RESULTS } : {}) } }
}

export const SERVICES: readonly ServiceDefinition[] = [
  define('patient-view', 'hand-joints', 'JointLens: hand joints',
    'Suggests which hand joints look inflamed on the newest hand photos of a patient with rheumatoid arthritis. Research software.'),
  define('encounter-start', 'hand-joints-encounter-start', 'JointLens: hand joints at check-in',
    'The hand joint suggestion when the encounter starts.'),
  define('appointment-book', 'hand-photo-request', 'JointLens: ask for hand photos',
    'Suggests asking for hand photos before the visit when there is no current one.'),
  define('order-select', 'hand-joints-order', 'JointLens: hand joints beside an order',
    'Shows the newest hand joint suggestion and its trend beside an order of a DMARD, a steroid or a joint ultrasound.')
]
