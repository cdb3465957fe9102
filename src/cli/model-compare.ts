import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Audit } from '../audit.ts'
import type { Config, TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import type { FhirSession } from '../fhir/session.ts'
import { readBoundCalibration, readCalibrationFile } from '../inference/calibrate.ts'
import type { Calibration } from '../inference/engine/inference-engine.ts'
import { openEngine } from '../inference/engine/open-engine.ts'
import { readModelBundle, type ModelBundle } from '../inference/model-bundle.ts'
import { readWithBoth, type BothReaders, type RefusedPhoto, type VisitPhotos } from '../inference/read-with-both.ts'
import { agreementOf, type ComparedVisit } from '../joints/compare-readings.ts'
import { compareWithLabels } from '../joints/labelled-figures.ts'
import { readPatientList } from '../screening/population.ts'
import { csvCell } from '../screening/previsit.ts'
import { eachStoredVisit, type StoredChoice } from '../screening/stored-visits.ts'
import type { Store } from '../screening/store/open-store.ts'
import { comparisonText, concluded, type Compared, type ComparedModel, type Comparison } from './comparison-report.ts'
import { openEmptyFolder } from './empty-folder.ts'
import { readLabelsFile } from './labels-csv.ts'
import { readFolderVisit, visitsOfFolder } from './photo-folder.ts'
import { withProgress } from './progress.ts'
import { tenantOf, withTools } from './screening-commands.ts'

/** What a comparison on stored photos works with: no engine of the service's own. */
export interface RecordTools {
  readonly config: Pick<Config, 'tenants'>
  readonly sessionFor: (tenant: TenantConfig) => FhirSession
  readonly store: Store
  readonly audit: Audit
  close(): Promise<void>
}

type OpenModel = typeof openEngine

interface CompareOptions {
  readonly photos?: string
  readonly labels?: string
  readonly tenant?: string
  readonly patients?: string
  readonly recent?: string
  readonly calibrationOld?: string
  readonly calibrationNew?: string
  readonly json?: boolean
  readonly out?: string
}

/** One of the two, with folder and file as the person gave them. */
interface Side { readonly dir: string; readonly bundle: ModelBundle; readonly calibration: Calibration; readonly file?: string }
interface Pair { readonly old: Side; readonly new: Side }

/**
 * `jointlens model compare OLD_DIR NEW_DIR`: the same photos read by both, in shadow: nothing is switched over, nothing is written to
 * the record. Exit code 3 when no joint could be read by both.
 */
export function addCompareCommand(model: Command, open: () => Promise<RecordTools>, openModel: OpenModel = openEngine): void {
  model.command('compare').description('read the same photos with two bundles and say what would change; changes nothing')
    .argument('<old>', 'folder of the bundle in use')
    .argument('<new>', 'folder of the bundle that may replace it')
    .option('--photos <dir>', 'a folder of photos')
    .option('--labels <csv>', 'photo,side,joint,label[,patient][,visit]: who is right; hands of one visit are weighed together')
    .option('--tenant <id>', 'the photos of stored screenings, from this EHR, with --patients or --recent')
    .option('--patients <file>', 'of these patients: a list of FHIR ids, one a line')
    .option('--recent <days>', 'of everyone whose photos were taken in so many days')
    .option('--calibration-old <file>', "a site's calibration file for the old bundle")
    .option('--calibration-new <file>', "a site's calibration file for the new bundle")
    .option('--json', 'one JSON object on stdout')
    .option('--out <dir>', 'also write comparison.json, comparison.txt and joints.csv to a new or empty folder')
    .action(async (oldDir: string, newDir: string, options: CompareOptions) => {
      checkUse(options)
      const bundles = await readBundles(oldDir, newDir)
      if (options.out !== undefined) await openEmptyFolder(options.out)
      const { photos } = options
      if (photos === undefined) await withTools(open, (tools) => compareStored(tools, bundles, options, openModel))
      else await compareFolder(photos, bundles, options, openModel)
    })
}

function checkUse({ photos, labels, tenant, patients, recent }: CompareOptions): void {
  if ([photos, patients, recent].filter((one) => one !== undefined).length !== 1)
    throw new ScreeningError('ERR_USAGE', 'Expected one of --photos, --patients and --recent')
  if (photos === undefined && labels !== undefined)
    throw new ScreeningError('ERR_USAGE', 'Expected --labels only with --photos; "jointlens labels export" writes both from the record')
  if (photos !== undefined && tenant !== undefined) throw new ScreeningError('ERR_USAGE', 'Expected --tenant only with --patients or --recent')
  if (recent !== undefined && !/^[1-9]\d{0,4}$/.test(recent)) throw new ScreeningError('ERR_USAGE', `Expected --recent as a number of days but received "${recent}"`)
}

type Bundles = Record<keyof Pair, Pick<Side, 'dir' | 'bundle'>>

async function readBundles(oldDir: string, newDir: string): Promise<Bundles> {
  const [old, fresh] = [await ofModel('old', readModelBundle(oldDir)), await ofModel('new', readModelBundle(newDir))]
  const { digest } = old.identity
  if (digest === fresh.identity.digest)
    throw new ScreeningError('ERR_USAGE', `Expected two different models but "${oldDir}" and "${newDir}" hold the same one, digest ${digest}`)
  return { old: { dir: oldDir, bundle: old }, new: { dir: newDir, bundle: fresh } }
}

async function compareFolder(dir: string, bundles: Bundles, options: CompareOptions, openModel: OpenModel): Promise<void> {
  const pair = calibrated(bundles, options)
  const labels = options.labels === undefined ? undefined : await readLabelsFile(options.labels)
  const visits = await visitsOfFolder(dir, labels)
  const total = visits.reduce((sum, { photos }) => sum + photos.length, 0)
  const tally = await withReaders(pair, openModel, (readers) => withProgress('photos', async (onProgress) => {
    const made = openTally(readers)
    let done = 0
    for (const visit of visits) {
      await made.add(await readFolderVisit(dir, visit))
      onProgress(done += visit.photos.length, total)
    }
    return made
  }))
  const patients = labels?.[0]?.patient === undefined ? null : new Set(labels.map(({ patient }) => patient)).size
  await show(tally, pair, options, {
    source: { from: 'folder' }, patients, labels: labels ? compareWithLabels(tally.visits, labels.length) : null
  })
}

/** The audit tells of it, whatever became of it; nothing else is stored. */
async function compareStored(tools: RecordTools, bundles: Bundles, options: CompareOptions, openModel: OpenModel): Promise<void> {
  const tenant = tenantOf(tools.config, options.tenant)
  const choice: StoredChoice = options.patients === undefined
    ? { since: new Date(Date.now() - Number(options.recent) * 86_400_000) } : { patients: await readPatientList(options.patients) }
  const pair = calibrated(bundles, options, tenant.calibrationFile)
  const models = [pair.old, pair.new].map(({ bundle }) => bundle.identity.digest.slice(0, 12)).join(' and ')
  const record = (entity: string, more: { outcome: 'success' } | { outcome: 'failure'; code: string }) =>
    tools.audit.record({ tenant: tenant.id, action: 'compare-models', actor: 'command', entity: `${entity} read by the models ${models}`, ...more })
  const read = await withReaders(pair, openModel, async (readers) => {
    const tally = openTally(readers)
    try {
      const cohort = await withProgress('patients', (onProgress) =>
        eachStoredVisit({ store: tools.store, session: tools.sessionFor(tenant), tenant: tenant.id, choice, visit: tally.add, onProgress }))
      await record(`${tally.photosRead()} photos of ${cohort.patients} patients`, { outcome: 'success' })
      return { tally, cohort }
    } catch (error) {
      await record(`${tally.photosRead()} photos`, { outcome: 'failure', code: isScreeningError(error) ? error.code : 'ERR_INTERNAL' })
      throw error
    }
  })
  await show(read.tally, pair, options, { source: { from: 'record', tenant: tenant.id, ...read.cohort }, patients: read.cohort.patients, labels: null })
}

/** A site's file where one is given, else the tenant's where it belongs to the model, else the bundle's own. */
function calibrated({ old, new: fresh }: Bundles, { calibrationOld, calibrationNew }: CompareOptions, ofTenant?: string): Pair {
  const bound = ofTenant === undefined ? undefined : readBoundCalibration(ofTenant)
  const side = ({ dir, bundle }: Bundles['old'], file: string | undefined): Side => {
    const { digest } = bundle.identity
    if (file !== undefined) return { dir, bundle, file, calibration: readCalibrationFile(file, digest) }
    if (ofTenant !== undefined && bound?.modelDigest === digest) return { dir, bundle, file: ofTenant, calibration: bound.calibration }
    return { dir, bundle, calibration: bundle.calibration }
  }
  return { old: side(old, calibrationOld), new: side(fresh, calibrationNew) }
}

/** Nobody waits for a photo here, and a busy machine must not look like a model that refuses it. */
const PATIENT = { workers: 1, photoTimeoutMs: 120_000 } as const

/** Two engines with a worker each, side by side: a photo is fetched once and never kept. */
async function withReaders<T>({ old, new: fresh }: Pair, openModel: OpenModel, work: (readers: BothReaders) => Promise<T>): Promise<T> {
  if (process.stderr.isTTY) process.stderr.write('Opening both models …\n')
  const oldEngine = await ofModel('old', openModel({ modelDir: old.dir, ...PATIENT }))
  try {
    const newEngine = await ofModel('new', openModel({ modelDir: fresh.dir, ...PATIENT }))
    try {
      return await work({ old: { engine: oldEngine, calibration: old.calibration }, new: { engine: newEngine, calibration: fresh.calibration } })
    } finally {
      await newEngine.close()
    }
  } finally {
    await oldEngine.close()
  }
}

type Tally = ReturnType<typeof openTally>

/** What was read so far: findings only, no photo. */
function openTally(readers: BothReaders) {
  const visits: ComparedVisit[] = []
  const refused: RefusedPhoto[] = []
  let read = 0
  return {
    visits, refused, photosRead: () => read,
    async add(photos: VisitPhotos): Promise<void> {
      const both = await readWithBoth(photos, readers)
      refused.push(...both.refused)
      read += both.photosRead
      if (both.photosRead > 0) visits.push(both.visit)
    }
  }
}

async function show(tally: Tally, pair: Pair, options: CompareOptions, rest: Pick<Compared, 'source' | 'patients' | 'labels'>): Promise<void> {
  const { source, patients, labels } = rest
  const comparison = concluded({
    old: describe(pair.old), new: describe(pair.new), source,
    photos: { read: tally.photosRead(), refused: tally.refused }, patients, ...agreementOf(tally.visits), labels
  }, pair.new.dir, pair.new.file)
  if (options.out !== undefined) await writeComparison(options.out, comparison, tally.visits)
  process.stdout.write(options.json === true ? `${JSON.stringify(comparison)}\n` : comparisonText(comparison))
  if (comparison.joints.both > 0) return
  process.stderr.write('No joint could be read by both models.\n')
  process.exitCode = 3
}

function describe({ bundle, calibration, file }: Side): ComparedModel {
  return {
    ...bundle.identity, evidence: bundle.manifest.evidence,
    calibration: { from: file === undefined ? 'bundle' : 'file', data: calibration.data, threshold: calibration.thresholds.f1 }
  }
}

/** For their owner alone: the names of photos may say who is on them. */
async function writeComparison(dir: string, comparison: Comparison, visits: readonly ComparedVisit[]): Promise<void> {
  const put = (name: string, text: string) => writeFile(join(dir, name), text, { mode: 0o600 })
  await put('comparison.json', `${JSON.stringify(comparison, null, 2)}\n`)
  await put('comparison.txt', comparisonText(comparison))
  await put('joints.csv', jointsCsv(visits))
}

/** A row for each joint that either could assess; empty where one could not, or nobody labelled it. */
function jointsCsv(visits: readonly ComparedVisit[]): string {
  const bit = (value: boolean | undefined) => value === undefined ? '' : String(Number(value))
  const rows = visits.flatMap(({ joints }) => joints).filter((one) => one.old ?? one.new).map(({ photo, side, joint, old, new: fresh, swollen }) =>
    [csvCell(photo), side, joint, old?.probability ?? '', fresh?.probability ?? '', bit(old?.inflamed), bit(fresh?.inflamed), bit(swollen)].join(','))
  return `${['photo,side,joint,old,new,old_inflamed,new_inflamed,label', ...rows].join('\r\n')}\r\n`
}

/** Says which of the two an error is about. */
async function ofModel<T>(which: 'old' | 'new', opening: Promise<T>): Promise<T> {
  try {
    return await opening
  } catch (cause) {
    throw isScreeningError(cause) ? new ScreeningError(cause.code, `${which} model: ${cause.message}`, { cause }) : cause
  }
}
