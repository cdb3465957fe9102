import { flushCompileCache } from 'node:module'
import { ScreeningError } from '../../errors.ts'
import { openHandAssessor, type HandAssessor } from '../assess-hands.ts'
import { readModelBundle } from '../model-bundle.ts'
import { renderOverlay } from '../overlay.ts'
import { renderPhoto } from '../render-photo.ts'
import { fromAnswer, toFailure, type WorkerAnswer, type WorkerResults, type WorkerSettings, type WorkerTask } from './worker-protocol.ts'

/**
 * One worker process of the engine. It verifies the bundle and its golden outputs itself before its first photo; when that
 * fails it answers every photo with the reason and never with a finding. It ends when the engine kills it or goes away.
 */
process.once('message', (settings: WorkerSettings) => {
  const opening = open(settings).then((result): WorkerAnswer<HandAssessor> => ({ result }), toFailure)
  process.on('message', (task: WorkerTask) => void opening.then((opened) => perform(task, opened)).then(answer))
  void opening.then((opened) => answer('failure' in opened ? opened : { result: { executionProvider: opened.result.executionProvider } }))
    // Where NODE_COMPILE_CACHE is set. Node does it by itself only when a process ends, and this one is killed.
    .then(flushCompileCache)
})
process.on('disconnect', () => process.exit())
// A terminal sends its interrupt to all of us; the engine decides when we end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)

function answer(message: WorkerAnswer<unknown>): void {
  process.send?.(message)
}

async function open({ modelDir, device, modelDigest }: WorkerSettings): Promise<HandAssessor> {
  const bundle = await readModelBundle(modelDir)
  if (bundle.identity.digest !== modelDigest)
    throw new ScreeningError('ERR_MODEL_INVALID', `Expected model ${modelDigest} but received ${bundle.identity.digest}; restart to use another model`)
  return openHandAssessor(bundle, { device })
}

async function perform(task: WorkerTask, opened: WorkerAnswer<HandAssessor>): Promise<WorkerAnswer<WorkerResults[WorkerTask['kind']]>> {
  try {
    const assessor = fromAnswer(opened)
    switch (task.kind) {
      case 'assess': return { result: await assessor.assess(task.photo, task.calibration) }
      case 'explain': return { result: await assessor.explain(task.photo, task, task.calibration) }
      case 'photo': return { result: await renderPhoto(task.photo, task) }
      case 'overlay': return { result: await renderOverlay(task.photo, task.assessment, { evidence: assessor.evidence }) }
    }
  } catch (error) {
    return toFailure(error)
  }
}
