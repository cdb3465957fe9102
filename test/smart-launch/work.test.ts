import { execFileSync } from 'node:child_process'
import { describe, expect, test } from '@jest/globals'
import { ageOf, dayOf } from '../../smart-launch/web/src/dates.ts'
import { frequencyOf } from '../../smart-launch/web/src/frequency.ts'
import { linesOf } from '../../smart-launch/web/src/preview-lines.ts'
import { changesOf, countsOf, draftOf, isEmpty, NO_WORK, rebased, reviewOf, toggled, withCall, workOf, workOfSigned, type Work } from '../../smart-launch/web/src/work.ts'

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

describe('a correction', () => {
  const signed = workOfSigned({
    decisions: [{ side: 'left', joint: 'wrist', call: 'swollen' }, { side: 'left', joint: 'mcp2', call: 'not-swollen' }],
    examined: { tender: [{ side: 'left', joint: 'wrist' }], swollen: [] }, activity: { swollenJointCount28: 1, tenderJointCount28: 1, patientGlobal: 3, crpMgPerL: 4 }, seen: { a: 't' }, entries: []
  })

  test('begins with what was signed, laboratory values among it, and none from the record where none was signed', () => {
    expect(signed).toMatchObject({ examinedAll: true, typed: { patientGlobal: '3', crpMgPerL: '4', esrMmPerH: '' }, corrects: { a: 't' } })
    expect(changesOf(signed, signed)).toEqual({ calls: new Map(), count: 0 })
    expect(draftOf(workOf(draftOf(signed, 's')), 's')).toEqual(draftOf(signed, 's'))
  })

  test('counts what differs, calls that were taken back among it', () => {
    const changed: Work = { ...signed, calls: withCall(withCall(signed.calls, 'left-wrist', undefined), 'left-mcp2', 'swollen'), tender: new Set(), typed: { ...signed.typed, patientGlobal: '4' } }
    expect(changesOf(changed, signed)).toEqual({ calls: new Map([['left-mcp2', 'swollen']]), count: 4 })
    expect(reviewOf(changed, 's-1', undefined)).toMatchObject({ decisions: [{ joint: 'mcp2', call: 'swollen' }], corrects: { a: 't' } })
  })

  test('keeps its own changes when a colleague signs meanwhile, and takes over all the rest', () => {
    const mine = { ...signed, calls: withCall(signed.calls, 'left-mcp2', 'swollen'), tender: toggled(signed.tender, 'right-knee') }
    const now = { ...signed, calls: withCall(withCall(signed.calls, 'left-wrist', 'not-swollen'), 'right-pip3', 'swollen'), tender: new Set<string>(), typed: { ...signed.typed, physicianGlobal: '2' }, corrects: { a: 'u' } }
    const next = rebased(mine, signed, now)
    expect(Object.fromEntries(next.calls)).toEqual({ 'left-wrist': 'not-swollen', 'left-mcp2': 'swollen', 'right-pip3': 'swollen' })
    expect([[...next.tender], next.typed['physicianGlobal'], next.corrects]).toEqual([['right-knee'], '2', { a: 'u' }])
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
    { resourceType: 'Observation', status: 'final', dataAbsentReason: { text: 'Not performed' }, note: [{ text: 'of the answer' }] },
    { resourceType: 'Observation', status: 'corrected', valueCodeableConcept: { text: 'Absent' }, note: [{ text: 'of the answer' }, { text: 'Earlier version 48d84637-1a3b (final): swollen.' }] },
    { resourceType: 'Provenance', recorded: '2026-11-26T09:00:00Z', agent: [{ who: { reference: 'Practitioner/1' } }] }
  ])).toEqual({
    observations: [
      { what: 'Joint swelling', where: 'Left wrist', value: 'Present', status: 'final', how: 'm' },
      { what: '1', where: '', value: '0 joints', status: 'final', how: '' }, { what: '', where: '', value: 'Not performed', status: 'final', how: '' },
      { what: '', where: '', value: 'Absent', status: 'corrected', how: '', was: 'Earlier version (final): swollen.' }
    ],
    provenance: { who: 'Practitioner/1', when: '2026-11-26T09:00:00Z' }
  })
})

describe('dates of the record', () => {
  const english = { locale: 'en-GB' }

  test.each([
    ['1970-03-05', '5 Mar 1970'], ['1970-03', 'Mar 1970'], ['1970', '1970'], ['2026-11-23T10:41:30.000Z', '23 Nov 2026']
  ])('%s is shown as %s, no more than it says', (iso, words) => expect(dayOf(english, iso)).toBe(words))

  test('a day without a time, such as a birth date, is that day for readers west of Greenwich too', () => {
    const dates = new URL('../../smart-launch/web/src/dates.ts', import.meta.url).href
    const script = `import { ageOf, dayOf } from '${dates}'
      const at = (time) => new Date(time)
      console.log(JSON.stringify([at('2026-03-01T02:00:00Z').getDate(), dayOf({ locale: 'en-GB' }, '1970-03-01'), ageOf('1970-03-01', at('2026-03-01T20:00:00Z')), ageOf('1970-03-01', at('2026-03-01T05:00:00Z'))]))`
    const printed = execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { env: { ...process.env, TZ: 'America/Los_Angeles' }, encoding: 'utf8' })
    expect(JSON.parse(printed)).toEqual([28, '1 Mar 1970', 56, 55])
  })

  test('a birth date that is not whole makes no age', () => {
    expect(ageOf('1970')).toBeUndefined()
    expect(ageOf('1970-03')).toBeUndefined()
  })
})
