import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { isScreeningError } from '../../src/errors.ts'
import { decodePhoto } from '../../src/inference/decode-photo.ts'
import { openHandLocator, type HandLocator } from '../../src/inference/hand-landmarks/hand-locator.ts'
import { expectedPrevalence, melaninOf, type Prevalence } from './case-sampler.ts'
import { share, wholeNumber } from './command-options.ts'
import { finish } from './implant-camera.ts'
import { sampleImplant } from './implant-case.ts'
import { readEdited } from './implant-edit.ts'
import { implantRow, untouchedRow } from './implant-row.ts'
import type { LabelRow } from './label-row.ts'
import { takeApart, usableHand, type PhotoHand } from './photo-hand.ts'
import { photosOfPeople, type PhotoOfPerson } from './photo-people.ts'

interface Options { photos: string, seed: number, prevalence: Prevalence, out: string, versions: number, perHand: number, split: string, kappa: number }

const options = new Command('implant')
  .description('Edits graded swelling into photos of healthy hands. Writes per version <person>-<n>-<version>.jpg and its row in labels.jsonl, ' +
    'the same reading of the photo without any edit and its row in untouched.jsonl; photos that cannot be used go to refused.jsonl with the reason.')
  .requiredOption('--photos <folder>', 'backs of healthy hands; a sub-folder is a person, or people.csv or HandInfo.csv (11k Hands) says who is who')
  .requiredOption('--seed <n>', 'the same seed gives the same photos', wholeNumber)
  .requiredOption('--out <folder>', 'where photos and tables go')
  .addOption(new Option('--prevalence <kind>', 'natural: about 10 % of joints swollen; balanced: about 40 %').choices(['natural', 'balanced']).default('natural'))
  .option('--versions <k>', 'edited versions of each photo', wholeNumber, 1)
  .option('--per-hand <n>', 'photos of each hand that are taken at most, where HandInfo.csv tells hands apart', wholeNumber, Infinity)
  .option('--split <name>', 'written into the rows; part of the seed', 'implant')
  .option('--kappa <k>', 'agreement of the two simulated readers of the edited joints', share, 0.8)
  .parse().opts<Options>()

await implant()

async function implant(): Promise<void> {
  const { photos, out, versions } = options
  mkdirSync(out, { recursive: true })
  const labels: LabelRow[] = [], untouched: LabelRow[] = [], refused: { photo: string, reason: string }[] = []
  const locator = await openHandLocator()
  const found = photosOfPeople(photos, options.perHand)
  for (const [at, photo] of found.entries()) {
    const hand = await handOf(photo, locator)
    if ('reason' in hand) {
      refused.push({ photo: photo.file, reason: hand.reason })
      continue
    }
    for (let version = 1; version <= versions; version++) {
      const rows = await writeVersion(hand, photo, at + 1, version)
      labels.push(rows.edited)
      untouched.push(rows.untouched)
    }
    console.log(`${at + 1}/${found.length} photos, ${refused.length} refused`)
  }
  await locator.close()
  writeLines('labels.jsonl', labels)
  writeLines('untouched.jsonl', untouched)
  writeLines('refused.jsonl', refused)
  report(found.length, labels, refused)
}

/** The photo's one hand taken apart, or why it cannot be used. */
async function handOf({ file, skinTone }: PhotoOfPerson, locator: HandLocator): Promise<PhotoHand | { reason: string }> {
  try {
    const photo = await decodePhoto(readFileSync(join(options.photos, file)))
    const hand = usableHand(await locator.locate(photo))
    return 'reason' in hand ? hand : await takeApart(photo, hand, skinTone === null ? undefined : melaninOf(skinTone))
  } catch (error) {
    if (isScreeningError(error)) return { reason: error.code }
    throw error
  }
}

async function writeVersion(hand: PhotoHand, of: PhotoOfPerson, number: number, version: number): Promise<{ edited: LabelRow, untouched: LabelRow }> {
  const { seed, split, prevalence, kappa } = options
  const { width, height } = hand.photo
  const made = sampleImplant({ seed, split, patient: of.person }, { photo: of.file, version, side: hand.side, size: [width, height] }, prevalence)
  const name = `${of.person.replace(/[^A-Za-z0-9]+/g, '_')}-${number}-${version}`
  const save = async (photo: string, edit: typeof made.joints) =>
    writeWhole(photo, await finish(readEdited(hand, edit, made.reading), made.finish, made.seed))
  await save(`${name}.jpg`, made.joints)
  await save(`${name}-untouched.jpg`, {})
  const common = { of, hand, made, version, split, seed }
  return {
    edited: implantRow({ ...common, photo: `${name}.jpg` }, { kappa, prevalence: expectedPrevalence(prevalence) }),
    untouched: untouchedRow({ ...common, photo: `${name}-untouched.jpg` })
  }
}

function report(total: number, labels: readonly LabelRow[], refused: readonly { reason: string }[]): void {
  const people = new Set(labels.map(({ patient }) => patient)).size
  const swollen = labels.flatMap(({ joints }) => Object.values(joints)).filter(({ trueLabel }) => trueLabel === 1).length
  console.log(`${labels.length} edited photos of ${people} people, ${swollen} of ${11 * labels.length} joints swollen; ${refused.length} of ${total} photos refused`)
  for (const reason of new Set(refused.map((one) => one.reason)))
    console.log(`  ${reason}: ${refused.filter((one) => one.reason === reason).length}`)
}

function writeLines(name: string, rows: readonly object[]): void {
  writeWhole(name, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
}

/** A reader never meets half a file. */
function writeWhole(name: string, content: string | Buffer): void {
  const file = join(options.out, name)
  writeFileSync(`${file}.part`, content)
  renameSync(`${file}.part`, file)
}
