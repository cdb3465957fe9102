import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import type { HandAssessment, PhotoAssessment, PhotoRegion } from '../src/joints/finding.ts'
import { openHandAssessor, type HandAssessor } from '../src/inference/assess-hands.ts'
import { readModelBundle } from '../src/inference/model-bundle.ts'

const USAGE = `Usage: node training/cover-joints.ts --photos DIR [--bundle DIR] [--limit 200] [--results DIR]

Covers each joint that the bundle flags, one at a time, in the photograph itself, and reads the photograph again as the service does.
Writes covered.md to --results; the last line is JSON.`

const { values: options } = parseArgs({
  options: {
    photos: { type: 'string' }, bundle: { type: 'string', default: join(import.meta.dirname, '../models/hand-joints/0.1.0') },
    limit: { type: 'string', default: '200' }, results: { type: 'string' }, help: { type: 'boolean', default: false }
  }
})
if (options.help || !options.photos) {
  console.error(USAGE)
  process.exit(options.help ? 0 : 2)
}
const COVERS = { 'grey, over the whole square that the joint is read from': 1, 'grey, over the middle half of it': 0.5 } as const
type Cover = keyof typeof COVERS
interface Outcomes { flagged: number; notAssessed: number; stillFlagged: number; otherJoints: number; otherJointsEqual: number }

const bundle = await readModelBundle(options.bundle)
const assessor = await openHandAssessor(bundle, { device: 'cpu' })
const names = (await readdir(options.photos)).filter((name) => /\.jpe?g$/i.test(name)).sort()
const chosen = names.filter((_, index) => index % Math.max(1, Math.floor(names.length / Number(options.limit))) === 0)
const made = await coverAll(chosen.map((name) => join(options.photos ?? '', name)), assessor)
await assessor.close()
if (options.results) {
  await mkdir(options.results, { recursive: true })
  await writeFile(join(options.results, 'covered.md'), report(made))
}
process.stdout.write(`${JSON.stringify(made)}\n`)

/** Of one hand's photographs only: which hand a cover lies on must be beyond doubt. */
async function coverAll(paths: readonly string[], { assess }: HandAssessor) {
  const covers = Object.fromEntries(Object.keys(COVERS).map((name) => [name, { flagged: 0, notAssessed: 0, stillFlagged: 0, otherJoints: 0, otherJointsEqual: 0 }])) as Record<Cover, Outcomes>
  const untouched = { hands: 0, joints: 0, coveredByMistake: 0 }
  for (const [at, path] of paths.entries()) {
    const photo = await readFile(path)
    const before = onlyHand(await assess(photo))
    if (!before) continue
    untouched.hands++
    untouched.joints += before.joints.length
    untouched.coveredByMistake += before.joints.filter((one) => one.kind === 'not-assessed' && one.reason === 'occluded').length
    for (const [index, finding] of before.joints.entries()) {
      const region = before.regions[index]
      if (finding.kind !== 'assessed' || !finding.inflamed || !region) continue
      for (const [name, share] of Object.entries(COVERS)) count(covers[name as Cover], index, before, onlyHand(await assess(await covered(photo, region, share))))
    }
    if ((at + 1) % 20 === 0) process.stderr.write(`${at + 1} of ${paths.length} photographs\n`)
  }
  return { model: bundle.identity, untouched, covers }
}

function onlyHand({ hands }: PhotoAssessment): HandAssessment | undefined {
  return hands.length === 1 ? hands[0] : undefined
}

/** A hand that is no longer found has no joint that is assessed. */
function count(outcomes: Outcomes, at: number, before: HandAssessment, after: HandAssessment | undefined): void {
  outcomes.flagged++
  const now = after?.joints[at]
  if (now?.kind !== 'assessed') outcomes.notAssessed++
  else if (now.inflamed) outcomes.stillFlagged++
  for (const [index, finding] of before.joints.entries()) {
    if (index === at || finding.kind !== 'assessed') continue
    const other = after?.joints[index]
    outcomes.otherJoints++
    if (other?.kind === 'assessed' && other.inflamed === finding.inflamed) outcomes.otherJointsEqual++
  }
}

/** The photograph with a grey box over the middle `share` of a region. */
async function covered(photo: Buffer, { x, y, width, height }: PhotoRegion, share: number): Promise<Buffer> {
  const box = { width: Math.max(1, Math.round(width * share)), height: Math.max(1, Math.round(height * share)) }
  const input = await sharp({ create: { ...box, channels: 3, background: '#808080' } }).png().toBuffer()
  return sharp(photo).rotate()
    .composite([{ input, left: Math.round(x + (width - box.width) / 2), top: Math.round(y + (height - box.height) / 2) }])
    .jpeg({ quality: 90 }).toBuffer()
}

function report({ untouched, covers }: Awaited<ReturnType<typeof coverAll>>): string {
  const percent = (part: number, of: number) => of === 0 ? '–' : `${(100 * part / of).toFixed(1)} %`
  return [
    '# One joint covered in the photograph', '',
    `\`node training/cover-joints.ts --photos …\`: ${untouched.hands} photographs of one hand, read as the service reads them. Of ${untouched.joints} joints with nothing over them ` +
    `${untouched.coveredByMistake} were called covered. Then each flagged joint was covered, one at a time, and the photograph read again.`, '',
    '| cover | flagged joints | not assessed now | still flagged | decisions on the other joints that stay |', '|---|---|---|---|---|',
    ...Object.entries(covers).map(([name, { flagged, notAssessed, stillFlagged, otherJoints, otherJointsEqual }]) =>
      `| ${name} | ${flagged} | ${percent(notAssessed, flagged)} | ${percent(stillFlagged, flagged)} | ${percent(otherJointsEqual, otherJoints)} |`), ''
  ].join('\n')
}
