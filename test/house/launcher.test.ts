import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')

/** The launcher (`npx jointlens`) with a command that takes a while, and the process that the command runs in. */
async function launched() {
  const launcher = spawn(process.execPath, ['bin/jointlens.mjs', 'assess', 'demo/photos/demo-1-left.jpg'], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = Promise.all([once(launcher, 'exit').then(([code]) => code as number), text(launcher.stderr)]).then(([code, stderr]) => ({ code, stderr }))
  for (;;) {
    const command = Number(await readFile(`/proc/${launcher.pid}/task/${launcher.pid}/children`, 'utf8'))
    if (command > 0) return { launcher, command, ended }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('a crash of JointLens is said with its process and signal, and the exit code is that of the signal', async () => {
  const { command, ended } = await launched()
  process.kill(command, 'SIGABRT')
  expect(await ended).toEqual({ code: 134, stderr: `JointLens (process ${command}) was ended by SIGABRT\n` })
})

test('a signal that the launcher passed on is nothing to say', async () => {
  const { launcher, ended } = await launched()
  launcher.kill('SIGTERM')
  expect(await ended).toEqual({ code: 143, stderr: '' })
})
