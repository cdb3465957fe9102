import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Opened, WorkerAnswer, WorkerSettings, WorkerTask } from './worker-protocol.ts'

export interface WorkerProcess {
  readonly id: number | undefined
  send(message: WorkerTask): void
  /** Ends it in the middle of whatever native code it runs; resolves when it is gone. */
  kill(): Promise<void>
}

export interface WorkerEvents {
  /** Once: it has opened the model, or says why not. */
  opened(answer: WorkerAnswer<Opened>): void
  /** For each task sent. */
  answered(answer: WorkerAnswer<never>): void
  /** It ended without being killed. */
  ended(how: string): void
}

/** What native libraries need, and where Node keeps compiled code; keys and connection strings stay with the service. */
const ENVIRONMENT = /^(NODE_COMPILE_CACHE|PATH|HOME|TMPDIR|TZ|LANG|LC_.*|LD_.*|CUDA.*|NVIDIA.*|FONTCONFIG_.*|XDG_.*|UV_.*|MALLOC_.*)$/

/**
 * A process of its own for decoders and networks. Not a thread: ending a thread inside sharp or onnxruntime waits for the
 * native call and may abort the whole service ("terminate called after throwing an instance of 'Napi::Error'", measured).
 */
export function startWorker(settings: WorkerSettings, events: WorkerEvents): WorkerProcess {
  const child = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), {
    serialization: 'advanced',
    execArgv: ['--disable-warning=ExperimentalWarning', '--max-old-space-size=512'],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => ENVIRONMENT.test(name))),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  giveWay(child.pid)
  let killed = false
  const gone = once(child, 'exit').then(() => undefined, () => undefined)
  child.once('message', (opened) => {
    child.on('message', (answer) => events.answered(answer as WorkerAnswer<never>))
    events.opened(opened as WorkerAnswer<Opened>)
  })
  const ended = (how: string) => {
    if (killed) return
    killed = true
    events.ended(how)
  }
  child.on('error', ({ message }) => ended(message))
  child.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
  const send = (message: WorkerSettings | WorkerTask) => void child.send(message, () => undefined)
  send(settings)
  return {
    id: child.pid,
    send,
    async kill() {
      killed = true
      child.kill('SIGKILL')
      if (child.pid !== undefined) await gone
    }
  }
}

/** Nice by so much: where the cores are few, hooks go before photos. */
const BEHIND_HOOKS = 5

function giveWay(processId: number | undefined): void {
  try {
    if (processId !== undefined) setPriority(processId, BEHIND_HOOKS)
  } catch {
    // Ended already, or a system that does not allow it: photos are read all the same.
  }
}
