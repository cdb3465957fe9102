import { describe, expect, test } from '@jest/globals'
import { activityScores, type ActivityInputs } from '../../src/joints/activity-scores.ts'

const complete: ActivityInputs = {
  tenderJointCount28: 4, swollenJointCount28: 9, patientGlobal: 5, physicianGlobal: 4, crpMgPerL: 20, esrMmPerH: 30
}
const scored = (inputs: ActivityInputs) => Object.fromEntries(activityScores(inputs).map((one) =>
  [one.index, one.kind === 'computed' ? [one.value, one.category] : one.missing]))

describe('activity scores', () => {
  test('follow the published formulas, worked by hand', () => {
    // CDAI 4+9+5+4; SDAI adds 20 mg/L = 2 mg/dL; DAS28: .56·2 + .28·3 + .36·ln 21 + .7 + .96, and .56·2 + .28·3 + .7·ln 30 + .7
    expect(scored(complete)).toEqual({
      CDAI: [22, 'moderate'], SDAI: [24, 'moderate'], 'DAS28-CRP': [4.72, 'moderate'], 'DAS28-ESR': [5.04, 'moderate']
    })
  })

  test('name what is missing instead of guessing', () => {
    expect(scored({ swollenJointCount28: 3, tenderJointCount28: 2, patientGlobal: 3 })).toEqual({
      CDAI: ['physicianGlobal'], SDAI: ['physicianGlobal', 'crpMgPerL'], 'DAS28-CRP': ['crpMgPerL'], 'DAS28-ESR': ['esrMmPerH']
    })
  })

  test.each([
    [2.8, 'remission'], [2.9, 'low'], [10, 'low'], [10.1, 'moderate'], [22, 'moderate'], [22.1, 'high']
  ] as const)('a CDAI of %d is %s', (total, category) => {
    const counts = Math.max(0, Math.floor(total) - 4)
    const inputs = { tenderJointCount28: counts, swollenJointCount28: 0, patientGlobal: Math.min(10, total - counts), physicianGlobal: 0 }
    expect(scored(inputs)['CDAI']).toEqual([total, category])
  })

  test('a DAS28 of 2.6 is no longer remission', () => {
    const base = { tenderJointCount28: 0, swollenJointCount28: 0, crpMgPerL: 0 }
    const at = (patientGlobal: number) => scored({ ...base, patientGlobal })['DAS28-CRP']
    expect(at(0)).toEqual([0.96, 'remission'])
    expect(at(10)).toEqual([2.36, 'remission'])
    expect(scored({ ...base, patientGlobal: 10, crpMgPerL: Math.exp(0.24 / 0.36) - 1 })['DAS28-CRP']).toEqual([2.6, 'low'])
  })

  test.each([
    { swollenJointCount28: 29 }, { swollenJointCount28: 1.5 }, { patientGlobal: 11 }, { esrMmPerH: 0 }, { crpMgPerL: Number.NaN }
  ])('a value out of its range is refused: %j', (inputs) => {
    expect(() => activityScores(inputs)).toThrow(RangeError)
  })
})
