import { readFileSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { placesOf, scenarioOf, type Scenario } from './scenarios.ts'
import { runScenario } from './sweep.ts'
import { PROFILES, type ProfileName } from './witness/profiles.ts'

/** The short form of `npm run faults`: the weakest kind of server and the strongest, with a lost answer and an index that lags. */
test('killed in the middle, on a server that lost an answer and one that indexes late, the product loses nothing and doubles nothing', async () => {
  const home = await mkdtemp(join(tmpdir(), 'jointlens-faults-'))
  const base = { racy: true, indexLagMs: 100 }
  const scenarios: Scenario[] = [
    { ...base, seed: 1, profile: 'transaction', kills: ['after-transaction:1', 'before-ledger:1'], rules: [{ mode: 'commit-then-500', method: 'POST', path: '/', from: 2 }] },
    { ...base, seed: 2, profile: 'single', kills: ['after-write:14'], rules: [{ mode: 'commit-then-reset', method: 'POST', path: '/Observation', from: 20 }] }
  ]
  const results = await Promise.all(scenarios.map((one) => runScenario(one, join(home, String(one.seed)))))
  await rm(home, { recursive: true })
  expect(results.map(({ kills, faults, violations }) => ({ kills, faults, violations }))).toEqual([
    { kills: 2, faults: 1, violations: [] }, { kills: 1, faults: 1, violations: [] }
  ])
}, 120_000)

test('every place on the way of a screening is one where the sweep kills', () => {
  const swept = new Set((Object.keys(PROFILES) as ProfileName[]).flatMap(placesOf))
  expect(placesInSource().filter((place) => !swept.has(place))).toEqual([])
  expect([...swept].filter((place) => !placesInSource().includes(place))).toEqual([])
})

test('the full sweep meets every fault and every place on every kind of server', () => {
  const scenarios = Array.from({ length: 144 }, (_, seed) => scenarioOf(seed + 1, 5))
  const pairs = new Set(scenarios.map(({ profile, rules }) => `${profile} ${rules[0]?.mode}`))
  expect(pairs.size).toBe(6 * 24)
  for (const profile of Object.keys(PROFILES) as ProfileName[]) {
    const killed = new Set(scenarios.filter((one) => one.profile === profile).flatMap(({ kills }) => kills.map((place) => place.split(':')[0])))
    expect([...killed].sort()).toEqual([...placesOf(profile)].sort())
  }
})

function placesInSource(): readonly string[] {
  const folders = ['../../src/screening/', '../../src/fhir/'].map((folder) => new URL(folder, import.meta.url))
  const texts = folders.flatMap((folder) => readdirSync(folder).filter((name) => name.endsWith('.ts')).map((name) => readFileSync(new URL(name, folder), 'utf8')))
  const names = texts.flatMap((text) => [...text.matchAll(/(?:failpoint\(|point\(writer, |announce\(writer, )'([a-z-]+)'/g)].map(([, name]) => name ?? ''))
  return [...new Set(names)].sort()
}
