import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { InferenceEngine } from '../inference/engine/inference-engine.ts'
import { exportLabels, type LabelExport, type LabelledHand } from '../screening/export-labels.ts'
import { openEmptyFolder } from './empty-folder.ts'
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

/** photos/p0001-1-left.jpg, labels.csv, export.json, for their owner alone. Throws ERR_USAGE for a folder that holds something already. */
export async function openFolder(out: string) {
  await openEmptyFolder(out)
  await mkdir(join(out, 'photos'), { mode: 0o700 })
  const table = join(out, 'labels.csv')
  await writeFile(table, `${HEADER}\n`, { mode: 0o600 })
  return {
    async add({ patient, visit, side, photo, calls }: LabelledHand): Promise<void> {
      const name = `${patient}-${visit}-${side}.jpg`
      await writeFile(join(out, 'photos', name), photo, { mode: 0o600 })
      await appendFile(table, calls.map(({ joint, swollen, how }) => `${name},${side},${joint},${swollen ? 1 : 0},${patient},${visit},${how}\n`).join(''))
    },
    finish: (made: LabelExport) => writeFile(join(out, 'export.json'), `${JSON.stringify(made, null, 2)}\n`)
  }
}
