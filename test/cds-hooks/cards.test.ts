import { randomUUID } from 'node:crypto'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { resultCard } from '../../src/cds-hooks/cards.ts'
import { dayIn, wordingFor } from '../../src/cds-hooks/wording.ts'
import { makeTenant } from '../../src/config.ts'
import { suggestionResources } from '../../src/fhir/resources/screening-bundle.ts'
import { screeningResources } from '../../src/fhir/resources/screening-resources.ts'
import { NOT_ASSESSED_REASONS, type JointFinding } from '../../src/joints/finding.ts'
import { handJointCount } from '../../src/joints/hand-joint-count.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'
import { answerFaults, emptyMembers } from '../support/cds-rules.ts'
import { storedScreening } from '../support/cds-house.ts'
import { sampleScreening } from '../support/screening-sample.ts'

const oneFinding = fc.oneof(
  fc.record({ kind: fc.constant('assessed' as const), probability: fc.double({ min: 0, max: 1, noNaN: true }), inflamed: fc.boolean() }),
  fc.record({ kind: fc.constant('not-assessed' as const), reason: fc.constantFrom(...NOT_ASSESSED_REASONS) })
)
const BOTH_HANDS = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint })))
const allFindings = fc.array(oneFinding, { minLength: 22, maxLength: 22 }).map((found) =>
  LATERALITIES.flatMap((side, hand) => HAND_JOINTS.map((joint, index) => ({ side, joint, ...found[hand * 11 + index] }) as JointFinding)))
const day = fc.date({ min: new Date('2016-01-01'), max: new Date('2026-11-24'), noInvalidDate: true })

test('rows 8 and 9: whatever was found, in either language and at any age, the card keeps every rule and says it in under 140 characters', () => {
  fc.assert(fc.property(allFindings, allFindings, day, fc.constantFrom('en' as const, 'de' as const), fc.constantFrom('reading' as const, 'unread' as const, undefined), fc.option(day, { nil: undefined }), fc.option(day, { nil: undefined }), fc.option(fc.subarray(BOTH_HANDS), { nil: undefined }), (findings, earlier, taken, language, newer, signed, aside, answered) => {
    const count = handJointCount(findings, { factor: 1.6, level: 0.9 })
    const before = handJointCount(earlier, { factor: 1.6, level: 0.9 })
    const photoTime = taken.toISOString()
    const card = resultCard({
      screening: storedScreening({ findings, count, photoTime, ...(signed ? { signed: signed.toISOString() } : {}), ...(answered ? { answered: { at: photoTime, joints: answered } } : {}) }), before: storedScreening({ findings: earlier, count: before, photoTime: '2015-11-24T08:00:00Z' }), newer,
      ...(aside ? { setAside: { at: aside.toISOString(), reason: { code: 'other-cause' } } } : {}),
      resources: suggestionResources(screeningResources(sampleScreening({ findings, count }))), calibration: '<b>the clinic</b> | [x](javascript:alert(1))'
    }, {
      tenant: makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', timeZone: 'Pacific/Auckland', mode: 'assist', calibrationFile: 'site.json' }),
      wording: wordingFor(undefined, language), publicUrl: 'https://jointlens.example', now: Date.parse('2026-11-24T12:00:00Z'), newId: randomUUID
    })
    expect(answerFaults({ cards: [card] })).toEqual([])
    expect(emptyMembers({ cards: [card] })).toEqual([])
    expect(card.summary.length).toBeLessThan(140)
    expect(card.detail).not.toMatch(/<b>|undefined|NaN|\[x\]\(/)
    expect(`${card.summary} ${card.detail}`).not.toMatch(/\.\.| {2}|\(\)/)
    // A joint that could not be assessed is never healthy: the denominator holds only what was.
    if (count.assessable > 0) expect(card.summary).toContain(` ${count.assessable} `)
  }), { numRuns: 300 })
})

test.each([['2026-11-01', '1 Nov'], ['2025-11-01', '1 Nov 2025'], ['2026-11', 'Nov 2026'], ['2025', '2025'], ['2026-11-01T02:00:00Z', '31 Oct']])(
  'a photo of %s is of %s at a site west of Greenwich: a day without a time is that day', (photoTime, words) => {
    expect(dayIn(wordingFor(undefined, 'en'), photoTime, 'America/Los_Angeles', Date.parse('2026-11-24T12:00:00Z'))).toBe(words)
  })
