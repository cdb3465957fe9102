import { appendFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { ScreeningError } from '../errors.ts'
import type { InferenceEngine } from '../inference/engine/inference-engine.ts'
import { exportLabels, type LabelExport, type LabelledHand } from '../screening/export-labels.ts'
import { withProgress } from './progress.ts'
import { tenantOf, withTools, type ScreeningTools } from './screening-commands.ts'

export interface LabelTools extends ScreeningTools {
  readonly engine: InferenceEngine
}

const HEADER = 'photo,side,joint,label,patient,visit,how'

/** `jointlens labels export`: what clinicians signed, with the photos it was signed on, for `calibrate` and for fine-tuning. */
export function addLabelsCommand(program: Command, open: () => Promise<LabelTools>): void {
  program.command('labels').description("clinicians' signed findings as labels")
    .command('export').description('a folder of hand photos without names, ids, dates or metadata, and labels.csv; both stay at the site')
    .requiredOption('--out <dir>', 'a new or empty folder')
    .option('--tenant <id>', 'the EHR, when several are configured')
    .action((options: { readonly out: string; readonly tenant?: string }) => withTools(open, async (tools) => {
      const tenant = tenantOf(tools.config, options.tenant)
      const folder = await openFolder(options.out)
      const made = await withProgress('patients', (onProgress) => exportLabels({
        store: tools.store, session: tools.sessionFor(tenant), engine: tools.engine, tenant: tenant.id, write: folder.add, onProgress
      }))
      await folder.finish(made)
      await tools.audit.record({ tenant: tenant.id, action: 'export-labels', actor: 'command', entity: `${made.joints} joints of ${made.patients} patients`, outcome: 'success' })
      process.stdout.write(`${JSON.stringify({ out: options.out, ...made })}\n`)
    }))
}

/** photos/p0001-1-left.jpg, labels.csv, export.json. Throws ERR_USAGE for a folder that holds something already. */
export async function openFolder(out: string) {
  await mkdir(join(out, 'photos'), { recursive: true })
  const there = (await readdir(out, { recursive: true })).filter((name) => name !== 'photos')
  if (there.length > 0) throw new ScreeningError('ERR_USAGE', `Expected --out to be a new or empty folder but "${out}" holds ${there.length} files`)
  const table = join(out, 'labels.csv')
  await writeFile(table, `${HEADER}\n`)
  return {
    async add({ patient, visit, side, photo, calls }: LabelledHand): Promise<void> {
      const name = `${patient}-${visit}-${side}.jpg`
      await writeFile(join(out, 'photos', name), photo)
      await appendFile(table, calls.map(({ joint, swollen, how }) => `${name},${side},${joint},${swollen ? 1 : 0},${patient},${visit},${how}\n`).join(''))
    },
    finish: (made: LabelExport) => writeFile(join(out, 'export.json'), `${JSON.stringify(made, null, 2)}\n`)
  }
}
