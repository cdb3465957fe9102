import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { compareIdentities, identityOf } from './identity-distance.ts'
import type { Nearness, Person } from './identity-distance.ts'
import type { LabelRow } from './label-row.ts'
import { measurePatch } from './skin-statistics.ts'
import type { Point } from './skin-statistics.ts'

const USAGE = `Usage: node training/synthetic/identity-check.ts TRAIN TEST [--no-photos]

Whether two rendered folders share a person: by who was drawn, by the nearest neighbours of their identity parameters, and
by those of what their photos show (proportions, colour and grain of the skin). Exit code 1 if they do.`

/** Mean length from wrist to middle knuckle, mm: turns pixels into mm closely enough to compare grain. */
const PALM_MM = 90

const { values: { 'no-photos': withoutPhotos }, positionals: [train, test] } = parseArgs({
  options: { 'no-photos': { type: 'boolean', default: false } }, allowPositionals: true
})
if (train === undefined || test === undefined) {
  console.error(USAGE)
  process.exit(2)
}
const report = compareIdentities(await readPeople(train), await readPeople(test))
console.log(`people: ${report.people[0]} in ${train}, ${report.people[1]} in ${test}`)
console.log(`drawn alike: ${report.sharedKeys.length} people, ${report.sharedSeeds} identity seeds`)
console.log(`identity parameters: ${inWords(report.parameters)}`)
if (report.photos) {
  console.log(`photos: ${inWords(report.photos)}; two photos of one person are nearer than those of two people in ` +
    `${percent(report.photos.tellsApart)} of pairs`)
}
console.log(`verdict: ${report.verdict}`)
console.log(JSON.stringify(report))
process.exitCode = report.verdict === 'identities are shared' ? 1 : 0

function inWords({ ratio, tooNear, smallest }: Nearness): string {
  return `nearest neighbour across at ${ratio.toFixed(2)} of the distance within (the smallest at ${smallest.toFixed(2)}), ` +
    `${percent(tooNear)} of people nearer than 95 in 100 within`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

async function readPeople(folder: string): Promise<Person[]> {
  const rows = readFileSync(join(folder, 'labels.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as LabelRow)
  const byPerson = Map.groupBy(rows, ({ seed, split, patient }) => `${seed}/${split}/${patient}`)
  const people: Person[] = []
  for (const [key, own] of byPerson) {
    const photos: number[][] = []
    for (const row of withoutPhotos ? [] : own) photos.push(await photoFeatures(folder, row))
    people.push({ key, identity: identityOf(own[0]!), photos })
  }
  return people
}

/** Proportions between the joints, and colour and grain of the back of the hand and the middle phalanx. */
async function photoFeatures(folder: string, row: LabelRow): Promise<number[]> {
  const { data, info } = await sharp(join(folder, row.photo)).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const at = row.trueJoints
  const apart = ([ax, ay]: Point, [bx, by]: Point) => Math.hypot(bx - ax, by - ay)
  const palm = apart(at.wrist, at.mcp3)
  const between = ([ax, ay]: Point, [bx, by]: Point, share: number): Point => [ax + (bx - ax) * share, ay + (by - ay) * share]
  const axis: Point = [at.mcp3[0] - at.wrist[0], at.mcp3[1] - at.wrist[1]]
  const photo = { data, width: info.width, height: info.height }
  const patches = [between(at.wrist, at.mcp3, 2 / 3), between(at.mcp3, at.pip3, 0.5)]
    .map((centre) => measurePatch(photo, centre, axis, palm / PALM_MM, 4.5))
  const proportions = HAND_JOINTS.slice(1).map((joint, k) => Math.log(apart(at[HAND_JOINTS[k]!], at[joint]) / palm))
  return [...proportions, ...patches.flatMap(({ redness, detail }) =>
    [redness, Math.log(detail['0.5-1mm'] + 0.1), Math.log(detail['1-2mm'] + 0.1)])]
}
