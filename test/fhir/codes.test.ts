import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { handSiteOf, jointSite, observationTerm, termFor } from '../../src/fhir/codes.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'

const folder = new URL('../../src/fhir/', import.meta.url)
const registry = JSON.parse(readFileSync(new URL('codes.json', folder), 'utf8')) as { codes: { system: string; code: string; side?: string }[] }

test('no SNOMED CT or LOINC number stands outside the registry', () => {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const literals = files.flatMap((name) => [...readFileSync(new URL(name, folder), 'utf8').matchAll(/'(\d{6,18}|\d{1,6}-\d)'/g)].map(([match]) => `${name} ${match}`))
  expect(files.length).toBeGreaterThan(10)
  expect(literals).toEqual([])
})

test('every joint of both hands has a site of its own, with its side in code, extension and words', () => {
  const sites = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, site: jointSite(side, joint) })))
  expect(new Set(sites.map(({ site }) => site.coding?.[0]?.code)).size).toBe(22)
  for (const { side, site } of sites) {
    expect(site.text?.toLowerCase()).toContain(side)
    expect(site.extension?.[0]?.valueCodeableConcept?.coding?.[0]?.display?.toLowerCase()).toBe(side)
    expect(site.coding?.map(({ code }) => code).every(Boolean)).toBe(true)
  }
})

test('every coded hand and digit says which side it is, or none', () => {
  const sides = registry.codes.flatMap(({ system, code }) => handSiteOf({ system, code }) ?? []).map(({ side }) => side)
  expect(sides.filter((side) => side === 'left').length).toBe(sides.filter((side) => side === 'right').length)
})

test('a term that the registry does not have stops us', () => {
  expect(() => observationTerm('swollen-joint-count-28')).toThrow('codes.json')
  expect(() => termFor('value', 'value: maybe')).toThrow('codes.json')
})
