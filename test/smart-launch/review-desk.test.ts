import { expect, test } from '@jest/globals'
import { makeTenant } from '../../src/config.ts'
import type { ScreeningService } from '../../src/screening/screening.ts'
import type { AppSession } from '../../smart-launch/server/app-session.ts'
import { openReviewDesk, type ReviewRecord } from '../../smart-launch/server/review-desk.ts'
import { openByteEngine } from '../support/byte-engine.ts'

const tenant = makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir' })
const session = { tenant: 'clinic', patientId: 'pat-1', scope: 'patient/*.cruds', fhirUser: 'Practitioner/doc-1', appContext: 'Media/of-pat-2' } as AppSession

test('row 13: appContext is only a hint: another patient’s photo, map, preview and signature are refused and nothing is read', async () => {
  const asked: string[] = []
  const nothing = (name: string) => () => { asked.push(name); throw new Error(`Expected no ${name}`) }
  const desk = openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined,
    screenings: {
      // The screenings of this patient, and of nobody else.
      history: (of: string, patient: string) => { asked.push(`history ${of} ${patient}`); return Promise.resolve([]) }
    } as unknown as ScreeningService,
    record: { photoBytes: nothing('photo'), previewFinal: nothing('preview'), writeFinal: nothing('write') } as unknown as ReviewRecord
  })
  const review = { screeningId: 'of-pat-2', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] } as const
  await expect(desk.photo(session, tenant, 'of-pat-2')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  await expect(desk.map(session, tenant, 'of-pat-2', { side: 'left', joint: 'mcp2' })).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  await expect(desk.preview(session, tenant, review)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
  await expect(desk.sign(session, tenant, review)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
  expect(new Set(asked)).toEqual(new Set(['history clinic pat-1']))
})

test.each([
  ['patient/Observation.rs', 'Practitioner/doc-1'], ['patient/Observation.cruds', 'Patient/pat-1'], ['patient/Observation.cruds', undefined], ['', 'Practitioner/doc-1']
])('row 36: with the scopes "%s" the user %s reads and signs nothing', async (scope, fhirUser) => {
  const desk = openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined, screenings: {} as ScreeningService,
    record: { patient: () => Promise.resolve({ resourceType: 'Patient', id: 'pat-1' }) } as unknown as ReviewRecord
  })
  const { fhirUser: _other, ...rest } = session
  const limited: AppSession = { ...rest, scope, ...(fhirUser ? { fhirUser } : {}) }
  expect((await desk.describe(limited, tenant)).canSign).toBe(false)
  await expect(desk.sign(limited, tenant, { screeningId: 's', decisions: [] })).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
})
