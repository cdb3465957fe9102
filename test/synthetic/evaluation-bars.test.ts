import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { missedBars } from '../../training/bars.ts'
import { BUNDLE, placesOf } from '../../training/evaluation-places.ts'

const summary = JSON.parse(await readFile(join(import.meta.dirname, '../../training/results/summary.json'), 'utf8')) as Record<string, unknown>

test('the bars that the shipped figures do not reach are those that training/README.md names', () => {
  expect(missedBars(summary)).toEqual([
    'Not reached: F1 0.20 above the single branch', 'Not reached: G-mean 0.25 above the single branch', 'Not reached: transfer AUROC at least 0.80'
  ])
})

test('a bar that was not measured is said to be that, with the reason, and is not passed over', () => {
  const notes = { fewShot: '`few-shot` was not run' }
  expect(missedBars({ ...summary, deltaF1SingleBranch: 0.3, deltaGmeanSingleBranch: 0.3, transferAuroc: 0.9, fewShot: null, ece: null, notes })).toEqual([
    'Not measured: expected calibration error at most 0.03 (no figure)', 'Not measured: few people: pretrained never below scratch (`few-shot` was not run)',
    'Not measured: few people: 0.10 above scratch at 2 and 5 (`few-shot` was not run)'
  ])
})

test('figures of a handful of swollen joints are too few to say', () => {
  expect(missedBars({ ...summary, data: { patients: 4, positives: 1 } })[0]).toBe('Too few to say: 1 swollen joints of 4 patients (at least 20); chance decides which bars are reached')
})

test('a figure on the wrong side of its bar is not reached', () => {
  const worse = { deltaF1Tuned: { mean: 0.1, low: -0.01 }, ece: 0.04, countIntervalCoverage: 0.96, backgroundAuroc: 0.46, fewShot: [{ people: 2, pretrained: 0.7, scratch: 0.65 }] }
  expect(missedBars({ ...summary, ...worse })).toEqual(expect.arrayContaining([
    'Not reached: F1 above the tuned baseline', 'Not reached: expected calibration error at most 0.03', 'Not reached: count interval covers 88 to 95 %',
    'Not reached: background AUROC within 0.47 to 0.53', 'Not reached: few people: 0.10 above scratch at 2 and 5'
  ]))
})

test('only the shipped bundle on the patients of the documents writes over their figures', () => {
  const here = join(import.meta.dirname, '../../training')
  const shipped = { seed: '1', patients: '300', bundle: join(here, BUNDLE) }
  const others = [{ seed: '7' }, { patients: '12' }, { seed: '7', patients: '12' }, { bundle: join(here, 'runs/site/bundle/0.1.1-site.1') }]
  expect(placesOf(shipped, here)).toEqual({ bundle: BUNDLE, runs: 'runs/v2', results: 'results' })
  expect(others.map((other) => placesOf({ ...shipped, ...other }, here).results))
    .toEqual(['runs/seed-7/results', 'runs/seed-1-12-patients/results', 'runs/seed-7-12-patients/results', 'runs/v2/results-runs-site-bundle-0.1.1-site.1'])
})
