import { execFileSync } from 'node:child_process'
import { describe, expect, test } from '@jest/globals'
import { ageOf, dayOf } from '../../smart-launch/web/src/dates.ts'
import { frequencyOf } from '../../smart-launch/web/src/frequency.ts'
import { linesOf } from '../../smart-launch/web/src/preview-lines.ts'
import { activityOf, numberConflicts } from '../../smart-launch/web/src/activity.ts'
import type { ContextView, ReviewView, SignedNumber } from '../../smart-launch/web/src/api.ts'
import {
  begun, callsToTakeOver, carriedOver, changesOf, countsOf, draftOf, isEmpty, NO_WORK, rebased, received, reviewOf, toggled, withCall, withNewer, workOf, workOfSigned, type Work
} from '../../smart-launch/web/src/work.ts'

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

describe('the counts of 28 joints', () => {
  const by = { own: true, sameExamination: true }
  const before = { own: false, sameExamination: false }
  const signed = {
    joints: [{ side: 'left', joint: 'wrist', call: 'swollen', ...by }, { side: 'left', joint: 'mcp5', call: 'swollen', ...before }],
    tender: [{ side: 'left', joint: 'wrist', ...by }, { side: 'left', joint: 'knee', ...by }], swollen: [{ side: 'left', joint: 'knee', ...by }, { side: 'right', joint: 'knee', ...before }], numbers: []
  } as const
  const context: ContextView = { signed, absent: {} }
  const all: Work = { ...NO_WORK, examinedAll: true, calls: new Map([['left-pip2', 'swollen']]), tender: new Set(['left-knee', 'right-elbow']) }
  const countsIn = (work: Work, of: ContextView | undefined) => { const { swollenJointCount28, tenderJointCount28 } = activityOf(work, of).inputs; return [swollenJointCount28, tenderJointCount28] }

  test('take in what stands signed of the same examination, each joint once, and nothing of an earlier one', () => {
    expect(countsIn(all, context)).toEqual([3, 3])
    expect(countsIn({ ...NO_WORK, examinedAll: true }, context)).toEqual([2, 2])
    expect(countsIn({ ...all, calls: new Map([['left-wrist', 'not-swollen']]) }, context)).toEqual([1, 3])
  })

  test('are not given while what was signed is read, or when it cannot be read, and the page says why', () => {
    expect([countsIn(all, undefined), activityOf(all, undefined).uncountable]).toEqual([[undefined, undefined], 'reading'])
    for (const why of ['failed', 'not-granted'] as const) {
      const unread: ContextView = { absent: { signed: why } }
      expect([countsIn(all, unread), activityOf(all, unread).uncountable]).toEqual([[undefined, undefined], why])
    }
    expect(activityOf({ ...all, typed: { patientGlobal: '3' } }, undefined).inputs).toEqual({ patientGlobal: 3 })
  })

  test('and globals that stand signed of the same examination make a score; typed ones go before them, and a correction knows neither', () => {
    const of = (numbers: readonly SignedNumber[]): ContextView => ({ signed: { ...signed, numbers }, absent: {} })
    const standing = of([{ name: 'patientGlobal', value: 5, ...by }, { name: 'physicianGlobal', value: 4, ...by }, { name: 'CDAI', value: 15, ...by }])
    const cdai = (work: Work, context: ContextView) => activityOf(work, context).scores.flatMap((one) => (one.index === 'CDAI' && one.kind === 'computed' ? [one.value] : []))
    expect([cdai(all, standing), cdai({ ...all, typed: { patientGlobal: '6' } }, standing)]).toEqual([[15], [16]])
    expect(cdai(all, of([{ name: 'patientGlobal', value: 5, ...by }, { name: 'physicianGlobal', value: 4, ...before }]))).toEqual([])
    expect(cdai({ ...all, corrects: {} }, standing)).toEqual([])
    expect(activityOf({ ...NO_WORK, typed: { patientGlobal: '60' } }, standing).inputs).toEqual({ physicianGlobal: 4 })
    expect([activityOf(NO_WORK, standing).entered, activityOf(all, standing).entered]).toEqual([false, true])
  })

  test('a laboratory value that was typed is nothing to sign by itself, and is named as unwritten until a score is made with it', () => {
    const typed = { crpMgPerL: '12', esrMmPerH: '30' }
    const alone = activityOf({ ...NO_WORK, typed }, context)
    expect([alone.entered, alone.unwritten]).toEqual([false, ['crpMgPerL', 'esrMmPerH']])
    const scored = activityOf({ ...all, typed: { ...typed, esrMmPerH: '', patientGlobal: '3' } }, context)
    expect([scored.entered, scored.unwritten]).toEqual([true, []])
    expect(activityOf({ ...NO_WORK, typed, corrects: {} }, context).unwritten).toEqual([])
  })

  test('of a correction are those of what shall stand alone', () => {
    expect(countsIn({ ...all, corrects: {} }, context)).toEqual([1, 2])
  })

  test('are not given where a joint that stands signed could not be assessed', () => {
    const unseen: ContextView = { ...context, signed: { ...signed, joints: [{ side: 'left', joint: 'wrist', call: 'not-assessable', ...by }] } }
    expect(countsIn(all, unseen)).toEqual([undefined, undefined])
  })

  test('and globals that say something else than what was signed are named; what says the same is not', () => {
    const numbers: readonly SignedNumber[] = [
      { name: 'patientGlobal', value: 5, ...by }, { name: 'physicianGlobal', value: 4, ...by }, { name: 'swollenJointCount28', value: 2, ...by }, { name: 'tenderJointCount28', value: 2, ...before }, { name: 'CDAI', value: 13, ...by }
    ]
    const named = (work: Work) => numberConflicts(work, activityOf(work, context), numbers).map(({ signed: { name }, now }) => `${name} ${now ?? 'none'}`)
    expect(named({ ...NO_WORK, typed: { patientGlobal: '6', physicianGlobal: '4' } })).toEqual(['patientGlobal 6'])
    expect(named({ ...NO_WORK, examinedAll: true, typed: { patientGlobal: '5', physicianGlobal: '4' } })).toEqual([])
    expect(named({ ...NO_WORK, examinedAll: true, typed: { patientGlobal: '5', physicianGlobal: '5' } })).toEqual(['physicianGlobal 5', 'CDAI 14'])
    expect(named(NO_WORK)).toEqual([])
    expect(named({ ...NO_WORK, calls: new Map([['left-pip2', 'swollen']]) })).toEqual(['swollenJointCount28 3'])
    expect(named({ ...NO_WORK, calls: new Map([['left-pip2', 'not-assessable']]) })).toEqual(['swollenJointCount28 none'])
    expect(named({ ...NO_WORK, corrects: {}, typed: { patientGlobal: '6' } })).toEqual([])
  })
})

describe('a value outside its range', () => {
  const at = new Date().toISOString()
  const work: Work = { ...NO_WORK, examinedAll: true, typed: { patientGlobal: '3', physicianGlobal: '2' } }
  const context = (laboratory: ContextView['laboratory']): ContextView => ({ signed: { joints: [], tender: [], swollen: [], numbers: [] }, ...(laboratory ? { laboratory } : {}), absent: {} })
  const computed = (of: ReturnType<typeof activityOf>) => of.scores.filter(({ kind }) => kind === 'computed').map(({ index }) => index)

  test('from the record is never filled in, and hides no score that does not need it', () => {
    const activity = activityOf(work, context({ esrMmPerH: { value: 0, shown: '0 mm/h', at }, crpMgPerL: { value: 1200, shown: '1200 mg/L', at } }))
    expect([activity.inputs.esrMmPerH, activity.inputs.crpMgPerL, computed(activity), activity.faulty]).toEqual([undefined, undefined, ['CDAI'], []])
    expect(computed(activityOf(work, context({ esrMmPerH: { value: 0, shown: '0 mm/h', at }, crpMgPerL: { value: 4, shown: '4 mg/L', at } })))).toEqual(['CDAI', 'SDAI', 'DAS28-CRP'])
  })

  test('that was typed is named and is no input; the scores without it are there', () => {
    const activity = activityOf({ ...work, typed: { ...work.typed, physicianGlobal: '20', crpMgPerL: '4', esrMmPerH: '0' } }, context(undefined))
    expect([activity.faulty, computed(activity), activity.inputs.physicianGlobal]).toEqual([['physicianGlobal', 'esrMmPerH'], ['DAS28-CRP'], undefined])
  })
})

describe('a newer result', () => {
  const of = (id: string, history: readonly string[], more: object = {}) => ({ pending: false, latest: { id }, history: history.map((one) => ({ id: one })), threshold: 0.5, ...more }) as unknown as ReviewView
  const [older, newer] = [of('s-1', ['s-1']), of('s-2', ['s-2', 's-1'])]

  test('waits while there is unsigned work, until it is asked for; without any it is shown', () => {
    expect(received({ shown: older }, newer, NO_WORK)).toEqual({ shown: newer })
    const waiting = received({ shown: older }, newer, work)
    expect(waiting).toEqual({ shown: older, newer })
    expect(received(waiting, newer, NO_WORK)).toEqual({ shown: older, newer })
    expect(withNewer(waiting, NO_WORK)).toEqual({ shown: newer })
    const taken = withNewer(waiting, work)
    expect(taken).toEqual({ shown: newer, carried: carriedOver(work) })
    expect(received(taken, newer, NO_WORK)).toEqual(taken)
  })

  test('takes over what does not depend on the photo, and says what it does not', () => {
    const carried = carriedOver(work)
    expect(carried).toMatchObject({ calls: work.calls, correction: false })
    const next = begun(undefined, carried)
    expect([next.calls.size, [...next.tender], [...next.swollen], next.examinedAll, next.typed]).toEqual([0, ['left-wrist', 'right-knee'], ['left-elbow'], false, { patientGlobal: '3' }])
    expect(carriedOver({ ...work, corrects: { a: 't' } })).toEqual({ work: NO_WORK, calls: new Map(), correction: true })
    expect(begun(draftOf({ ...NO_WORK, tender: new Set(['left-mcp2']), typed: { patientGlobal: '7' } }, 's-2'), carried)).toMatchObject({ tender: new Set(['left-mcp2', 'left-wrist', 'right-knee']), typed: { patientGlobal: '7' } })
  })

  test('offers the calls on the earlier photos for taking over, but for joints that are called or signed by now, after a reload too', () => {
    const offered = (shown: ReviewView, carried?: ReturnType<typeof carriedOver>, known: Work['calls'] = new Map()) => [...callsToTakeOver(shown, carried, known)].map(([key, call]) => `${key} ${call}`)
    expect(offered(newer, carriedOver(work))).toEqual(['left-wrist swollen', 'left-mcp2 not-assessable', 'right-pip2 not-swollen'])
    expect(offered(newer, carriedOver(work), new Map([['left-wrist', 'not-swollen']]))).toEqual(['left-mcp2 not-assessable', 'right-pip2 not-swollen'])
    const reloaded = of('s-2', ['s-2', 's-1'], { earlierCalls: { screeningId: 's-1', decisions: draftOf(work, 's-1').decisions } })
    expect(offered(reloaded)).toHaveLength(3)
    expect(offered(newer)).toEqual([])
  })

  test('is shown at once with what can be carried over when the one on the screen does not stand any more, and so it is after a reload', () => {
    const alone = of('s-2', ['s-2'])
    expect(received({ shown: older }, alone, work)).toEqual({ shown: alone, carried: carriedOver(work) })
    const found = of('s-2', ['s-2'], { earlierDraft: draftOf(work, 's-1') })
    expect(received(undefined, found, NO_WORK)).toEqual({ shown: found, carried: carriedOver(workOf(draftOf(work, 's-1'))) })
    const gone = { pending: false, history: [], threshold: 0.5 } as ReviewView
    expect(received({ shown: older }, gone, work)).toEqual({ shown: gone })
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
    { resourceType: 'Observation', status: 'final', code: { coding: [{ code: '88983-2', display: 'Tender joint' }] }, valueCodeableConcept: { text: 'Right knee' } },
    { resourceType: 'Observation', status: 'final', code: { text: 'Patient global' }, valueQuantity: { value: 3, unit: 'score' } },
    { resourceType: 'Observation', status: 'corrected', valueCodeableConcept: { text: 'Absent' }, note: [{ text: 'of the answer' }, { text: 'Earlier version 48d84637-1a3b (final): swollen.' }] },
    { resourceType: 'Provenance', recorded: '2026-11-26T09:00:00Z', agent: [{ who: { reference: 'Practitioner/1' } }] }
  ])).toEqual({
    observations: [
      { what: 'Joint swelling', where: 'Left wrist', value: 'Present', status: 'final', how: 'm' },
      { what: '1', where: '', value: '0 joints', status: 'final', how: '' }, { what: '', where: '', value: 'Not performed', status: 'final', how: '' },
      { what: 'Tender joint', where: 'Right knee', value: 'Present', status: 'final', how: '' }, { what: 'Patient global', where: '', value: '3', status: 'final', how: '' },
      { what: '', where: '', value: 'Absent', status: 'corrected', how: '', was: 'Earlier version (final): swollen.' }
    ],
    signature: { who: 'Practitioner/1', when: '2026-11-26T09:00:00Z' }
  })
})

test('where the record takes no Provenance the Observations say who signs', () => {
  const observation = { resourceType: 'Observation', status: 'final', issued: '2026-11-26T09:00:00Z', performer: [{ reference: 'Practitioner/1' }] }
  expect(linesOf([observation]).signature).toEqual({ who: 'Practitioner/1', when: '2026-11-26T09:00:00Z' })
  expect(linesOf([])).toEqual({ observations: [] })
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
