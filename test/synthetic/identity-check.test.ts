import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sampleIdentity } from '../../training/synthetic/case-sampler.ts'
import type { Identity } from '../../training/synthetic/hand-case.ts'
import { compareIdentities, identityOf } from '../../training/synthetic/identity-distance.ts'
import type { Person } from '../../training/synthetic/identity-distance.ts'
import { randomFrom } from '../../training/synthetic/random.ts'

const people = (split: string, seed = 1, total = 80): Person[] => Array.from({ length: total }, (_, i) => {
  const patient = `${split}-${i}`
  return { key: `${seed}/${split}/${patient}`, identity: sampleIdentity({ seed, split, patient }, ['makehuman']), photos: [] }
})

describe('the identity check', () => {
  test('finds that the people of two splits, and of two seeds, are strangers', () => {
    for (const other of [people('test'), people('train', 2)]) {
      const { verdict, parameters } = compareIdentities(people('train'), other)
      expect(verdict).toBe('no identity is shared')
      expect(parameters.ratio).toBeGreaterThan(0.9)
      expect(parameters.ratio).toBeLessThan(1.1)
    }
  })

  test('finds one person of the training split in the test split', () => {
    const train = people('train')
    const { verdict, sharedKeys } = compareIdentities(train, [...people('test'), train[7]!])
    expect(verdict).toBe('identities are shared')
    expect(sharedKeys).toEqual([train[7]!.key])
  })

  test('finds people who go by another name but are drawn alike, even with small changes', () => {
    const random = randomFrom(4)
    const near = (identity: Identity, seed: number): Identity => ({
      ...identity, seed, skin: { ...identity.skin, texture: identity.skin.texture + random.normal(0, 0.02) },
      build: { ...identity.build, palmWidth: identity.build.palmWidth + random.normal(0, 0.002) }
    })
    const train = people('train')
    const renamed = train.slice(0, 40).map(({ identity }, i) => ({ key: `other/${i}`, identity: near(identity, i), photos: [] }))
    const { verdict, parameters } = compareIdentities(train, renamed)
    expect(verdict).toBe('identities are shared')
    expect(parameters.ratio).toBeLessThan(0.2)
  })

  test('finds people whose photos alone are alike', () => {
    const random = randomFrom(5)
    const face = () => Array.from({ length: 8 }, () => random.normal())
    const worn = (features: readonly number[]) => [1, 2].map(() => features.map((x) => x + random.normal(0, 0.1)))
    const faces = people('train').map(face)
    const train = people('train').map((person, i) => ({ ...person, photos: worn(faces[i]!) }))
    const strangers = people('test').map((person) => ({ ...person, photos: worn(face()) }))
    const alike = people('test').map((person, i) => ({ ...person, photos: worn(faces[i]!) }))
    expect(compareIdentities(train, strangers).verdict).toBe('no identity is shared')
    expect(compareIdentities(train, strangers).photos!.tellsApart).toBeGreaterThan(0.95)
    expect(compareIdentities(train, alike).verdict).toBe('identities are shared')
  })

  test('does not judge by nearest neighbours among a handful of people', () => {
    expect(compareIdentities(people('train', 1, 5), people('test', 1, 5)).verdict).toBe('too few people to tell')
  })

  test('refuses rows of real photos, and rows that another version of the sampler drew', () => {
    const { ageYears, sex, monkTone } = sampleIdentity({ seed: 1, split: 'train', patient: 'p' })
    const row = { seed: 1, split: 'train', patient: 'p', mesh: 'webxr', age: ageYears, sex, skinTone: monkTone } as const
    expect(identityOf(row).ageYears).toBe(ageYears)
    expect(() => identityOf({ ...row, mesh: null })).toThrow('Expected a rendered hand')
    expect(() => identityOf({ ...row, age: ageYears + 1 })).toThrow('from another version of the sampler')
  })
})

describe('the identity-check command', () => {
  let folder: string
  beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'identity-check-')) })
  afterAll(async () => { await rm(folder, { recursive: true }) })
  const run = async (...words: string[]) => await promisify(execFile)(process.execPath, words)

  test('prints its verdict, and fails where a folder is compared with itself', async () => {
    const out = join(folder, 'train')
    await run('training/synthetic/generate.ts', '--patients', '2', '--seed', '1', '--split', 'train', '--size', '96', '--out', out)
    const failed = await run('training/synthetic/identity-check.ts', out, out).catch((error: unknown) => error as { code: number, stdout: string })
    expect(failed).toMatchObject({ code: 1 })
    expect(failed.stdout).toMatch(/drawn alike: 2 people, 2 identity seeds[^]*photos: [^]*verdict: identities are shared/)
  })
})
