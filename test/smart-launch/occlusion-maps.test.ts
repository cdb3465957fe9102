import { expect, test } from '@jest/globals'
import { openOcclusionMaps, type MapOf } from '../../smart-launch/server/occlusion-maps.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { openByteEngine } from '../support/byte-engine.ts'

const at: MapOf = { tenant: 'a', photoSha256: 's', side: 'left', joint: 'mcp2' }

function countingEngine() {
  const bytes = openByteEngine()
  const asked: string[] = []
  const engine: InferenceEngine = {
    ...bytes,
    explainJoint: (photo, { side, joint }) => {
      asked.push(`${Buffer.from(photo).toString()} ${side} ${joint}`)
      if (asked.length === 1) return Promise.reject(new Error('busy'))
      return Promise.resolve({ grid: 1, probability: 0.5, drops: [asked.length], corners: [{ x: 0, y: 0 }, { x: 1, y: 0 }, { x: 0, y: 1 }] })
    }
  }
  return { engine, asked, calibration: bytes.calibration }
}

test('a map is made once for all who ask, again after a failure, and for each tenant, photo, joint and calibration', async () => {
  const { engine, asked, calibration } = countingEngine()
  const maps = openOcclusionMaps(engine)
  const of = (change: Partial<MapOf> = {}, with_ = calibration) => maps.of({ ...at, ...change }, with_, () => Promise.resolve(Buffer.from('p')))
  await expect(of()).rejects.toThrow('busy')
  const [one, same] = await Promise.all([of(), of()])
  expect([one, asked.length]).toEqual([same, 2])
  await Promise.all([of({ tenant: 'b' }), of({ photoSha256: 't' }), of({ side: 'right' }), of({ joint: 'mcp3' }), of({}, { ...calibration, bias: 1 })])
  expect(asked.length).toBe(7)
})

test('the oldest maps are forgotten', async () => {
  const { engine, asked, calibration } = countingEngine()
  asked.push('already asked once')
  const maps = openOcclusionMaps(engine, 2)
  for (const joint of ['mcp1', 'mcp2', 'mcp3', 'mcp1'] as const) await maps.of({ ...at, joint }, calibration, () => Promise.resolve(Buffer.from('p')))
  expect(asked.length).toBe(5)
})
