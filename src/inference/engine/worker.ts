import { workerData } from 'node:worker_threads'
import { ScreeningError } from '../../errors.ts'
import { openHandAssessor, type HandAssessor } from '../assess-hands.ts'
import { readModelBundle } from '../model-bundle.ts'
import { renderOverlay } from '../overlay.ts'
import { renderPhoto } from '../render-photo.ts'
import { toFailure, type WorkerAnswer, type WorkerResults, type WorkerSettings, type WorkerTask } from './worker-protocol.ts'

/**
 * One worker thread of the engine. It verifies the bundle and its golden outputs itself before its first task; when that
 * fails it answers every photo with the reason and never with a finding.
 */
async function openWorker() {
  const settings = workerData as WorkerSettings
  const opened = await open(settings).catch((error: unknown) => toFailure(error))
  return async (task: WorkerTask): Promise<WorkerAnswer<WorkerResults[WorkerTask['kind']]>> => {
    task.started?.postMessage('started')
    task.started?.close()
    if ('failure' in opened) return opened
    if ('result' in opened) throw new Error('Expected an assessor')
    try {
      return { result: await perform(task, opened) }
    } catch (error) {
      return toFailure(error)
    }
  }
}

async function open({ modelDir, device, modelDigest }: WorkerSettings): Promise<HandAssessor> {
  const bundle = await readModelBundle(modelDir)
  if (bundle.identity.digest !== modelDigest)
    throw new ScreeningError('ERR_MODEL_INVALID', `Expected model ${modelDigest} but received ${bundle.identity.digest}; restart to use another model`)
  return openHandAssessor(bundle, { device })
}

function perform(task: WorkerTask, assessor: HandAssessor): Promise<WorkerResults[WorkerTask['kind']]> | WorkerResults['warm-up'] {
  switch (task.kind) {
    case 'warm-up': return { executionProvider: assessor.executionProvider }
    case 'assess': return assessor.assess(task.photo, task.calibration)
    case 'photo': return renderPhoto(task.photo, task)
    case 'overlay': return renderOverlay(task.photo, task.assessment, { evidence: assessor.evidence })
  }
}

export default openWorker()
