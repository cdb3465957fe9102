import { describe, expect, test } from '@jest/globals'
import type { SignedByClinician } from '../../smart-launch/web/src/api.ts'

// The page's own modules read the address they were loaded from.
Object.assign(globalThis, { location: { pathname: '/smart/app/handle' } })
const { earlierWords, fullJointName, signedConflicts, signedWords, signersOf, missingWords, WORDS } = await import('../../smart-launch/web/src/words.ts')
const { en, de } = WORDS

const own: SignedByClinician = { side: 'left', joint: 'wrist', call: 'swollen', own: true, sameExamination: true }
const colleague: SignedByClinician = { side: 'right', joint: 'mcp2', call: 'not-swollen', own: false, sameExamination: true, by: 'Dr B' }

describe('in German', () => {
  test('the joints of the hands are not called wrists, and the wrist is', () => {
    expect([de.count(22), de.noneAssessable, de.notAssessable28(1), de.notAssessable28(2)]).toEqual([
      'von 22 beurteilbaren Gelenken der Hände als geschwollen vorgeschlagen', 'Kein Gelenk der Hände konnte beurteilt werden.',
      'Sie haben 1 Gelenk der Hände als nicht beurteilbar bezeichnet, darum gibt es keine 28-Gelenk-Zählung.',
      'Sie haben 2 Gelenke der Hände als nicht beurteilbar bezeichnet, darum gibt es keine 28-Gelenk-Zählung.'
    ])
    expect(fullJointName(de, 'left', 'wrist')).toBe('Handgelenk links')
  })

  test('it is said by whom something was signed', () => {
    expect([signedWords(de, own), signedWords(de, colleague), signedWords(de, { ...own, own: false })]).toEqual([
      'Unterschrieben: geschwollen (von Ihnen)', 'Unterschrieben: nicht geschwollen (von Dr B)', 'Unterschrieben: geschwollen (von einer anderen Person)'
    ])
    expect(earlierWords(de, { ...own, earlier: [{ call: 'not-swollen', own: false, by: 'Dr B' }] })).toEqual(['Vorher: nicht geschwollen (von Dr B)'])
    expect(de.signedJoints(2, signersOf(de, [own, colleague]), 0)).toBe('Zu diesen Fotos unterschrieben: 2 von 22 Gelenken, von Ihnen und Dr B.')
    expect(signedConflicts(de, new Map([['right-mcp2', 'swollen']]), [colleague])).toEqual([
      { key: 'right-mcp2', words: 'MCP 2 rechts: unterschrieben nicht geschwollen (von Dr B); Ihr Urteil: geschwollen' }
    ])
  })

  test('a hand without a photo is named in the right case', () => {
    expect([de.noPhotoOf(de.side.left), de.noPhotoOf(de.side.right)]).toEqual(['Kein Foto der linken Hand. ', 'Kein Foto der rechten Hand. '])
  })
})

test('in English a signature names its signer in brackets, and the side comes first', () => {
  expect([signedWords(en, own), signedWords(en, colleague), fullJointName(en, 'left', 'wrist')]).toEqual(['Signed: swollen (you)', 'Signed: not swollen (Dr B)', 'Left wrist'])
})

test('a score names each input that it lacks, and both counts as one', () => {
  const inputs = ['tenderJointCount28', 'swollenJointCount28', 'patientGlobal', 'physicianGlobal', 'crpMgPerL', 'esrMmPerH'] as const
  expect([missingWords(en, inputs), missingWords(de, inputs)]).toEqual([
    'both 28-joint counts, patient global, physician global, CRP, ESR', 'beide 28-Gelenk-Zählungen, Patientenurteil, Arzturteil, CRP, BSG'
  ])
  expect([missingWords(en, ['swollenJointCount28', 'crpMgPerL']), missingWords(en, ['tenderJointCount28']), missingWords(en, ['esrMmPerH'])]).toEqual(['swollen joint count, CRP', 'tender joint count', 'ESR'])
})
