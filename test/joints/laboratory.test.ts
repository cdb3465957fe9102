import { expect, test } from '@jest/globals'
import { inScoreUnit, isCurrent } from '../../src/joints/laboratory.ts'

test.each([
  ['crpMgPerL', 1.8, 'mg/dL', 18], ['crpMgPerL', 18, 'mg/L', 18], ['crpMgPerL', 18, 'MG/L', 18], ['crpMgPerL', 18, undefined, undefined],
  ['crpMgPerL', 18, 'nmol/L', undefined], ['crpMgPerL', 18, 'mm/h', undefined], ['esrMmPerH', 22, 'mm/hr', 22], ['esrMmPerH', 22, 'mg/L', undefined]
] as const)('%s %s %s is %s in the unit of the score', (input, value, unit, expected) => {
  expect(inScoreUnit(input, value, unit)).toBe(expected)
})

test('a value counts as current for thirty days, and one from the future never does', () => {
  const now = Date.parse('2026-11-24T12:00:00Z')
  const current = (at: string) => isCurrent({ at }, now)
  expect(['2026-11-24', '2026-10-26', '2026-10-20', '2027-01-01', 'soon'].map(current)).toEqual([true, true, false, false, false])
})
