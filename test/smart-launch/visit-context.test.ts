import { describe, expect, test } from '@jest/globals'
import type { TenantConfig } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import type { AppSession } from '../../smart-launch/server/app-session.ts'
import { granted } from '../../smart-launch/server/granted.ts'
import { visitContext, type ContextRecord } from '../../smart-launch/server/visit-context.ts'
import { placeTimes } from '../../smart-launch/web/src/time-axis.ts'

describe('granted scopes', () => {
  test.each([
    ['patient/Observation.rs', 's', true], ['patient/Observation.read', 's', true], ['user/*.*', 'c', true], ['patient/*.cruds', 'u', true],
    ['patient/Observation.rs?category=laboratory', 's', true], ['user/Observation.Read', 's', true], ['user/Observation.Read', 'c', false], ['user/Observation.Write', 'c', true], ['user/Observation.READ', 's', false], ['patient/Observation.r', 's', false], ['patient/Observation.read', 'c', false],
    ['patient/Observations.rs', 's', false], ['system/Observation.rs', 's', false], ['', 's', false], ['patient/Observation.', 's', false]
  ] as const)('"%s" allow %s: %s', (scope, right, expected) => {
    expect(granted(`openid ${scope} launch`, 'Observation', right)).toBe(expected)
  })
})

describe('the record beside the photos', () => {
  const tenant = {} as TenantConfig
  const session = (scope: string) => ({ scope }) as AppSession
  const asked: string[] = []
  const record: ContextRecord = {
    treatments: () => { asked.push('treatments'); return Promise.resolve([{ name: 'methotrexate', started: '2026-01-01' }]) },
    laboratoryAndScores: () => { asked.push('laboratory'); return Promise.reject(new ScreeningError('ERR_EHR_UNREACHABLE', 'away')) }
  }

  test('row 36: what was not granted is named and not asked for; what fails leaves the rest', async () => {
    asked.length = 0
    expect(await visitContext(record, session('patient/Media.rs'), tenant)).toEqual({ absent: { treatments: 'not-granted', laboratory: 'not-granted' } })
    expect(asked).toEqual([])
    expect(await visitContext(record, session('patient/*.rs'), tenant)).toEqual({
      treatments: [{ name: 'methotrexate', started: '2026-01-01' }], absent: { laboratory: 'failed' }
    })
  })
})

test('what was signed that cannot be read is named as such, never taken for nothing', async () => {
  const record = { treatments: () => Promise.resolve([]), laboratoryAndScores: () => Promise.resolve({ laboratory: {}, scores: [] }), signedFor: () => Promise.reject(new ScreeningError('ERR_EHR_UNREACHABLE', 'away')) }
  const context = await visitContext(record, { scope: 'patient/*.rs' } as AppSession, {} as TenantConfig)
  expect([context.signed, context.absent]).toEqual([undefined, { signed: 'failed' }])
})

describe('the time axis', () => {
  test('holds every visit, and a drug that began long before lies on its left end', () => {
    const axis = placeTimes(['2026-06-01', '2026-11-01'], ['2019-01-01', '2026-09-01'])
    const places = ['2019-01-01', '2026-06-01', '2026-09-01', '2026-11-01'].map((time) => axis.place(time))
    expect(places[0]).toBe(0)
    expect(places[3]).toBe(1)
    expect(places).toEqual([...places].sort((a, b) => a - b))
    expect(places[1]).toBeGreaterThan(0.2)
    expect([axis.isBefore('2019-01-01'), axis.isBefore('2026-09-01')]).toEqual([true, false])
  })

  test('of one visit still has room for a treatment near it', () => {
    const axis = placeTimes(['2026-11-01'], ['2026-10-01'])
    expect(axis.place('2026-11-01')).toBe(1)
    expect(axis.place('2026-10-01')).toBeGreaterThan(0)
    expect(axis.place('2026-10-01')).toBeLessThan(1)
  })
})
