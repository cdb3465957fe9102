import { describe, expect, test } from '@jest/globals'
import { unsignedOf } from '../../smart-launch/unsigned.ts'

const nothing = { decisions: [], tender: [], swollen: [], examinedAll: false, typed: {} }
const call = (joint: string, is: string) => ({ side: 'left', joint, call: is })
const place = (joint: string) => ({ side: 'right', joint })
const counted = { tenderJointCount28: 1, swollenJointCount28: 2, patientGlobal: 3, physicianGlobal: 4 }

describe('of a draft, once it was signed as it stood when the signature was sent,', () => {
  test.each([
    ['nothing is left when nothing was entered since', { ...nothing, decisions: [call('mcp2', 'swollen')], tender: [place('pip3')], swollen: [place('knee')], examinedAll: true, typed: { patientGlobal: '3' } }, {}, nothing],
    ['a call that was changed since is left', { ...nothing, decisions: [call('mcp2', 'swollen'), call('mcp3', 'swollen')] }, { decisions: [call('mcp2', 'not-swollen'), call('mcp3', 'swollen')] }, { ...nothing, decisions: [call('mcp2', 'not-swollen')] }],
    ['a joint that was marked since is left', { ...nothing, tender: [place('pip3')] }, { tender: [place('pip3'), place('pip4')], swollen: [place('elbow')] }, { ...nothing, tender: [place('pip4')], swollen: [place('elbow')] }],
    ['a value that was typed or changed since is left', { ...nothing, typed: { patientGlobal: '3' } }, { typed: { patientGlobal: '4', crpMgPerL: '12' }, examinedAll: true }, { ...nothing, typed: { patientGlobal: '4', crpMgPerL: '12' }, examinedAll: true }]
  ])('%s', (_name, signed, since, left) => {
    expect(unsignedOf({ ...signed, ...since }, signed)).toEqual(left)
  })

  test('a typed laboratory value is left when no score was made with it', () => {
    const signed = { ...nothing, examinedAll: true, typed: { patientGlobal: '3', physicianGlobal: '4', crpMgPerL: '12' } }
    expect(unsignedOf(signed, signed, { ...counted, crpMgPerL: 12 })).toEqual(nothing)
    expect(unsignedOf(signed, signed, { patientGlobal: 3, physicianGlobal: 4, crpMgPerL: 12 })).toEqual({ ...nothing, typed: { crpMgPerL: '12' } })
  })

  test('a correction is over, and one that began with something else goes on as it is', () => {
    const correction = { ...nothing, decisions: [call('mcp2', 'swollen')], typed: { crpMgPerL: '12' }, corrects: { one: 'a' } }
    expect(unsignedOf({ ...correction, decisions: [call('mcp2', 'swollen'), call('mcp3', 'swollen')] }, correction)).toEqual({ ...nothing, decisions: [call('mcp3', 'swollen')] })
    for (const corrects of [{ one: 'b' }, { one: 'a', two: 'b' }]) expect(unsignedOf({ ...correction, corrects }, correction)).toEqual({ ...correction, corrects })
    expect(unsignedOf(correction, { ...nothing, decisions: correction.decisions })).toEqual(correction)
  })
})
