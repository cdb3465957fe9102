import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Audit } from '../audit.ts'
import type { Config, TenantConfig } from '../config.ts'
import { ScreeningError } from '../errors.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { InferenceEngine } from '../inference/engine/inference-engine.ts'
import { plusDays, previsit, worklistCsv, type WorklistOfDay } from '../screening/previsit.ts'
import { readPatientList, screenPopulation } from '../screening/population.ts'
import { reconcile } from '../screening/reconcile.ts'
import type { RunningScreening } from '../screening/screening-service.ts'
import { dayOf } from '../screening/visits.ts'
import type { CardStore } from '../screening/store/card-store.ts'
import type { Store } from '../screening/store/open-store.ts'
import { withdrawModel } from '../screening/withdraw-model.ts'
import { withProgress } from './progress.ts'

/** What the screening commands work with; opened when a command runs, closed when it ends. */
export interface ScreeningTools {
  readonly config: Config
  readonly screenings: RunningScreening
  readonly sessionFor: (tenant: TenantConfig) => FhirSession
  readonly store: Store
  readonly audit: Audit
  readonly cards: Pick<CardStore, 'stored'>
  readonly engine: Pick<InferenceEngine, 'model'>
  /** Bulk Data `$export` with the tenant's backend registration. */
  exportPatients(tenant: TenantConfig, options: { group?: string }): Promise<{ patients: ReadonlySet<string>; errors?: number; leftOut?: number; deleted?: boolean }>
  /** The worklist as JSON, CSV and a page, in a folder. */
  writeWorklist(dir: string, worklist: WorklistOfDay & { tenant: TenantConfig; date: string; madeAt: string }): void
  close(): Promise<void>
}

type Open = () => Promise<ScreeningTools>
interface TenantOption { readonly tenant?: string }
interface Population { readonly patients?: string; readonly group?: string; readonly all?: boolean }

/** `screen`, `previsit`, `reconcile`, `withdraw`, `erase` and `audit`. */
export function addScreeningCommands(program: Command, open: Open): void {
  program.command('screen').description('screen one patient, a list of patients, a Group or everyone, and print what came of it')
    .option('--patient <id>', 'FHIR id of one patient: prints the whole result')
    .option('--patients <file>', 'a list of FHIR ids, one a line: prints a JSON line per patient and a summary')
    .option('--group <id>', 'the members of a FHIR Group, by Bulk Data $export')
    .option('--all', 'every patient of the record, by Bulk Data $export')
    .option('--tenant <id>', 'the EHR, when several are configured')
    .action((options: TenantOption & Population & { patient?: string }) => {
      const ways = [options.patient, options.patients, options.group, options.all].filter((one) => one !== undefined)
      if (ways.length !== 1) throw new ScreeningError('ERR_USAGE', 'Expected one of --patient, --patients, --group and --all')
      return withTools(open, (tools) => options.patient === undefined ? screenMany(tools, options) : screenOne(tools, options.patient, options))
    })

  program.command('previsit').description('screen everyone with an appointment on a date and print the worklist')
    .requiredOption('--date <date>', 'YYYY-MM-DD, "today" or "tomorrow", in the time zone of the site', appointmentDate)
    .option('--tenant <id>', 'the EHR, when several are configured')
    .option('--out <dir>', 'also write worklist.json, worklist.csv and worklist.html, with names, for the clinic')
    .option('--csv <file>', 'also write the worklist as CSV')
    .action((options: TenantOption & { date: string; csv?: string; out?: string }) => withTools(open, async (tools) => {
      const tenant = tenantOf(tools.config, options.tenant)
      const date = dateAt(options.date, tenant.timeZone)
      tools.screenings.start()
      const list = await withProgress('patients', (onProgress) =>
        previsit({ service: tools.screenings, sessionFor: tools.sessionFor, tenant, date, onProgress }))
      if (options.csv) writeFileSync(options.csv, worklistCsv(list))
      if (options.out) tools.writeWorklist(options.out, { tenant, date, ...list, madeAt: new Date().toISOString() })
      // What a terminal shows may be kept as a log: no names.
      print({ tenant: tenant.id, date, ...list, rows: list.rows.map(({ name: _kept, ...row }) => row) })
    }))

  program.command('reconcile').description('compare what was written with what the record holds, and report differences, or mend them')
    .option('--tenant <id>', 'the EHR, when several are configured')
    .option('--mend', 'also write again what is missing, and take back what is there twice or no longer true')
    .action((options: TenantOption & { mend?: boolean }) => withTools(open, async (tools) => {
      const tenant = tenantOf(tools.config, options.tenant)
      if (options.mend && (tenant.mode !== 'assist' || tenant.write !== 'preliminary'))
        throw new ScreeningError('ERR_USAGE', `Expected --mend for a tenant with mode "assist" and write "preliminary" but "${tenant.id}" has "${tenant.mode}" and "${tenant.write}"`)
      if (options.mend) tools.screenings.start()
      const report = await reconcile({
        store: tools.store, sessionFor: tools.sessionFor, tenant, ...(options.mend ? { mend: { screenings: tools.screenings, audit: tools.audit } } : {})
      })
      print({ tenant: tenant.id, ...report })
    }))

  program.command('withdraw').description('take back what a version of a model said, and read those photos with the model of now: prints a JSON line per patient and a summary')
    .requiredOption('--model <version>', 'the version, as in its card')
    .option('--tenant <id>', 'the EHR, when several are configured')
    .action((options: TenantOption & { model: string }) => withTools(open, async (tools) => {
      const tenant = tenantOf(tools.config, options.tenant)
      const patients = await withdrawModel({ ...tools, tenant: tenant.id, model: tools.engine.model }, options.model)
      await screenPatients(tools, tenant, patients)
    }))

  program.command('erase').description("count what was derived from a patient's photos and is kept here, or erase it; what lies in the record stays")
    .requiredOption('--patient <id>', 'FHIR id of the patient')
    .option('--tenant <id>', 'the EHR, when several are configured')
    .option('--yes', 'erase it; without this nothing is changed')
    .action((options: TenantOption & { patient: string; yes?: boolean }) => withTools(open, (tools) => eraseOne(tools, options)))

  program.command('audit').description('print who did what to whose data, a JSON line each, and check that nothing was changed or removed')
    .option('--patient <id>', 'only what concerns this patient')
    .option('--tenant <id>', 'only of this EHR')
    .action((options: TenantOption & { patient?: string }) => withTools(open, async ({ audit }) => {
      let shown = 0
      for await (const event of audit.events()) {
        if ((options.patient ?? event.patientId) !== event.patientId || (options.tenant ?? event.tenant) !== event.tenant) continue
        print(event)
        shown++
      }
      const intact = await audit.verify()
      print({ events: shown, intact })
      if (!intact) throw new ScreeningError('ERR_STORE', 'Expected the audit to be as it was written but a row was changed, removed or put in between')
    }))
}

async function screenOne(tools: ScreeningTools, patient: string, options: TenantOption): Promise<void> {
  const tenant = tenantOf(tools.config, options.tenant)
  tools.screenings.start()
  await tools.screenings.request(tenant.id, patient, 'command')
  const status = await tools.screenings.settled(tenant.id, patient)
  if (status.failure) throw new ScreeningError('ERR_EHR_ANSWER', `The screening ended with ${status.failure.code}`)
  if (!status.latest) throw new ScreeningError('ERR_PHOTO_UNREACHABLE', 'Expected hand photos in the record but found none')
  const { id, photoTime, count, findings, written } = status.latest
  print({ screening: id, photoTime, count, findings, written })
}

/** In the audit also where nothing was left, so that a second try tells of one that broke off. */
async function eraseOne({ config, screenings, cards, audit }: ScreeningTools, { patient: patientId, yes = false, ...options }: TenantOption & { patient: string; yes?: boolean }): Promise<void> {
  const { id: tenant } = tenantOf(config, options.tenant)
  // Those that a service which was killed left in a file.
  await cards.stored()
  const rows = await screenings.derivedFrom(tenant, patientId)
  if (yes) {
    await screenings.erase(tenant, patientId)
    await audit.record({ tenant, action: 'erase', actor: 'command', patientId, outcome: 'success' })
  }
  print({ tenant, patient: patientId, rows, erased: yes })
}

/** The list is complete before the first screening starts: an export's files do not wait for hours of inference. */
async function screenMany(tools: ScreeningTools, options: TenantOption & Population): Promise<void> {
  const tenant = tenantOf(tools.config, options.tenant)
  const { patients, ...exported } = options.patients === undefined
    ? await tools.exportPatients(tenant, options.group === undefined ? {} : { group: options.group })
    : { patients: await readPatientList(options.patients) }
  await screenPatients(tools, tenant, patients, exported.errors === undefined ? {} : { export: exported })
}

async function screenPatients({ screenings }: ScreeningTools, tenant: TenantConfig, patients: ReadonlySet<string>, more: object = {}): Promise<void> {
  screenings.start()
  const summary = await withProgress('patients', (onProgress) =>
    screenPopulation({ service: screenings, tenant, patients, onProgress, onResult: print }))
  print({ tenant: tenant.id, summary, ...more })
}

export async function withTools<T extends { close(): Promise<void> }>(open: () => Promise<T>, work: (tools: T) => Promise<void>): Promise<void> {
  const tools = await open()
  try {
    await work(tools)
  } finally {
    await tools.close()
  }
}

export function tenantOf({ tenants }: Pick<Config, 'tenants'>, id: string | undefined): TenantConfig {
  const found = id === undefined && tenants.length === 1 ? tenants[0] : tenants.find((one) => one.id === id)
  if (found) return found
  const known = tenants.map((one) => one.id).join(', ') || 'none; set JOINTLENS_CONFIG'
  throw new ScreeningError('ERR_USAGE', `Expected --tenant to be one of: ${known}`)
}

function appointmentDate(value: string): string {
  if (value === 'today' || value === 'tomorrow') return value
  const time = Date.parse(`${value}T00:00:00Z`)
  if (/^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(time) && new Date(time).toISOString().startsWith(value)) return value
  throw new ScreeningError('ERR_USAGE', `Expected --date as YYYY-MM-DD, "today" or "tomorrow" but received "${value}"`)
}

function dateAt(date: string, timeZone: string): string {
  const today = dayOf(new Date().toISOString(), timeZone)
  return date === 'today' ? today : date === 'tomorrow' ? plusDays(today, 1) : date
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
