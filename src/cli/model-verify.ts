import type { Command } from 'commander'
import { openJointModel } from '../inference/joint-model.ts'
import { readModelBundle } from '../inference/model-bundle.ts'
import { addCompareCommand, type RecordTools } from './model-compare.ts'

/** `jointlens model compare`, and `jointlens model verify DIR`: all that the service checks before it loads a bundle, said as it is proven. Exit code 5 otherwise. */
export function addModelCommand(program: Command, open: () => Promise<RecordTools>): void {
  const model = program.command('model').description('model bundles')
  addCompareCommand(model, open)
  model.command('verify').description('check digests, operators, joint order and golden outputs of a bundle')
    .argument('<dir>', 'folder of the bundle')
    .action(async (dir: string) => {
      const bundle = await readModelBundle(dir)
      const { identity, manifest } = bundle
      say(`OK  files          ${Object.keys(manifest.files).length} files have the size and SHA-256 of the manifest`)
      say(`OK  operators      opset ${manifest.opset}, ${manifest.operators.length} operators, all allowed, no external data`)
      say(`OK  joint order    ${manifest.jointOrder.join(' ')}`)
      const model = await openJointModel(bundle, { device: 'cpu' })
      await model.close()
      say(`OK  golden outputs ${manifest.golden.hands} hands equal within ${manifest.golden.tolerance} on ${model.executionProvider}`)
      say(`${identity.name} ${identity.version} (${manifest.tier}, ${manifest.fusion}), status ${manifest.status}, evidence ${manifest.evidence}`)
      say(`digest ${identity.digest}`)
    })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
