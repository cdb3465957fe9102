import type { Command } from 'commander'
import { openJointModel } from '../inference/joint-model.ts'
import { readModelBundle } from '../inference/model-bundle.ts'

/** `jointlens model verify DIR`: everything the service checks before it loads a bundle, said line by line. */
export function addModelCommand(program: Command): void {
  program.command('model').description('model bundles')
    .command('verify').description('check digests, opset, operators, joint order and golden outputs of a bundle')
    .argument('<dir>', 'folder of the bundle')
    .action(async (dir: string) => {
      const bundle = await readModelBundle(dir)
      const { identity, manifest } = bundle
      const model = await openJointModel(bundle, { device: 'cpu' })
      await model.close()
      for (const line of [
        `ok  ${identity.name} ${identity.version} (${manifest.tier}, ${manifest.fusion}), manifest ${identity.digest}`,
        `ok  ${Object.keys(manifest.files).length} files have their digests`,
        `ok  opset ${manifest.opset}, ${manifest.operators.length} operators, joint order as expected`,
        `ok  golden outputs of ${manifest.golden.hands} hands equal within ${manifest.golden.tolerance}`,
        `    evidence: ${manifest.evidence}, status: ${manifest.status}`
      ]) process.stdout.write(`${line}\n`)
    })
}
