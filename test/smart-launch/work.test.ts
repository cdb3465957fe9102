import { describe, expect, test } from '@jest/globals'
import { frequencyOf } from '../../smart-launch/web/src/frequency.ts'
import { linesOf } from '../../smart-launch/web/src/preview-lines.ts'
import { countsOf, draftOf, isEmpty, NO_WORK, reviewOf, toggled, withCall, workOf, type Work } from '../../smart-launch/web/src/work.ts'

const work: Work = {
  calls: new Map([['right-pip2', 'not-swollen'], ['left-wrist', 'swollen'], ['left-mcp2', 'not-assessable']]),
  tender: new Set(['left-wrist', 'right-knee']), swollen: new Set(['left-elbow']), examinedAll: true, typed: { patientGlobal: '3' }
}

describe('what a clinician entered', () => {
  test('comes back from a draft as it was, in the order of the joints', () => {
    const draft = draftOf(work, 's-1')
    expect(draft.decisions).toEqual([
      { side: 'left', joint: 'wrist', call: 'swollen' }, { side: 'left', joint: 'mcp2', call: 'not-assessable' }, { side: 'right', joint: 'pip2', call: 'not-swollen' }
    ])
    expect(draft).toMatchObject({ tender: [{ side: 'left', joint: 'wrist' }, { side: 'right', joint: 'knee' }], swollen: [{ side: 'left', joint: 'elbow' }] })
    expect(draftOf(workOf(JSON.parse(JSON.stringify(draft)) as typeof draft), 's-1')).toEqual(draft)
  })

  test('is counted: swollen and tender of 28, hand joints not assessable', () => {
    expect(countsOf(work)).toEqual({ swollen: 2, tender: 2, notAssessable: 1 })
  })

  test('is something to sign only when there is something', () => {
    expect(reviewOf(NO_WORK, 's-1', undefined)).toBeUndefined()
    expect(reviewOf({ ...NO_WORK, tender: new Set(['left-knee']) }, 's-1', undefined)).toEqual({ screeningId: 's-1', decisions: [], examined: { tender: [{ side: 'left', joint: 'knee' }], swollen: [] } })
    expect(reviewOf(NO_WORK, 's-1', { patientGlobal: 3 })).toEqual({ screeningId: 's-1', decisions: [], activity: { patientGlobal: 3 } })
  })

  test('is taken back without a trace', () => {
    expect(isEmpty({ ...NO_WORK, calls: withCall(withCall(new Map(), 'left-wrist', 'swollen'), 'left-wrist', undefined), tender: toggled(toggled(new Set(), 'a'), 'a') })).toBe(true)
    expect(isEmpty(work)).toBe(false)
  })
})

test.each([
  [0, 'fewer 1 50'], [0.019, 'fewer 1 50'], [0.05, 'about 1 20'], [0.09, 'about 1 10'], [0.38, 'about 4 10'], [0.62, 'about 6 10'], [0.9, 'about 9 10'], [0.95, 'about 19 20'], [1, 'more 49 50']
])('a probability of %d is said as a frequency: %s', (probability, words) => {
  expect(frequencyOf(probability).join(' ')).toBe(words)
})

test('a frequency is never further from its probability than 0.05', () => {
  for (let probability = 0; probability <= 1; probability += 0.001) {
    const [, part, of] = frequencyOf(probability)
    expect(Math.abs(part / of - probability)).toBeLessThan(0.0501)
  }
})

test('the preview has a line for each Observation in its own words, and says who signs', () => {
  expect(linesOf([
    { resourceType: 'Observation', status: 'final', code: { text: 'Joint swelling' }, bodySite: { text: 'Left wrist' }, valueCodeableConcept: { coding: [{ display: 'Present' }] }, method: { coding: [{ code: 'm' }] } },
    { resourceType: 'Observation', status: 'final', code: { coding: [{ code: '1' }] }, valueQuantity: { value: 0, unit: 'joints' } },
    { resourceType: 'Observation', status: 'final', dataAbsentReason: { text: 'Not performed' } },
    { resourceType: 'Provenance', recorded: '2026-11-26T09:00:00Z', agent: [{ who: { reference: 'Practitioner/1' } }] }
  ])).toEqual({
    observations: [
      { what: 'Joint swelling', where: 'Left wrist', value: 'Present', status: 'final', how: 'm' },
      { what: '1', where: '', value: '0 joints', status: 'final', how: '' }, { what: '', where: '', value: 'Not performed', status: 'final', how: '' }
    ],
    provenance: { who: 'Practitioner/1', when: '2026-11-26T09:00:00Z' }
  })
})
