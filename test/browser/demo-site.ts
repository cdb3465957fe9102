import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { freePort } from '../support/free-port.ts'
import type { Site } from './steps.ts'

/** The system's Chromium, or the one that CHROMIUM names; undefined where there is none. */
export const CHROMIUM = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path))
export const NO_CHROMIUM = 'No Chromium found: install it (Debian: apt-get install chromium) or name it in CHROMIUM.\n'

/** The password of `/feedback/demo`. */
export const FEEDBACK_SECRET = 'f'.repeat(40)

/** `npm start`'s own program on free ports, with a store of its own in `data`. */
export async function startDemo(data: string): Promise<{ site: Site; child: ChildProcess }> {
  const [port, demoPort] = [await freePort(), await freePort()]
  const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'demo/start.ts'], {
    // Another site than the EHR, as in a clinic: cookies and frames are those of a third party.
    env: { ...process.env, DEMO_FEEDBACK_SECRET: FEEDBACK_SECRET, PUBLIC_URL: `http://localhost:${port}`, PORT: String(port), DEMO_PORT: String(demoPort), JOINTLENS_DATA: data, LOG_LEVEL: 'error' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    started.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const ready = /^JointLens ready.*$/m.exec(text)
      if (ready) resolve(ready[0])
    })
    started.on('exit', (code, signal) => reject(new Error(`The demo ended with ${signal ?? code} before it was ready`)))
  })
  const [jointlens = '', ehr = ''] = line.match(/http:\/\/[\w.:]+/g) ?? []
  return { site: { jointlens, ehr }, child: started }
}

export const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null

/** Ends it, and says how it ended when that was not in order: before it was told to, or with a signal. */
export async function stopDemo(started: ChildProcess): Promise<string | undefined> {
  const byItself = hasEnded(started)
  if (!byItself) {
    const ended = once(started, 'exit')
    started.kill('SIGTERM')
    await ended
  }
  const how = started.signalCode ?? started.exitCode
  return byItself || how !== 0 ? `The demo (process ${started.pid}) ended with ${how}${byItself ? ' before it was told to' : ''}` : undefined
}
