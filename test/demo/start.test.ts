import { spawnSync } from 'node:child_process'
import { expect, test } from '@jest/globals'

test.each([[{ PORT: '0' }, 'Expected PORT to be a port number but received "0"'], [{ DEMO_PORT: 'x' }, 'Expected DEMO_PORT to be a port number but received "x"']])(
  'the demo does not start with %j, and says why', (environment, why) => {
    const { status, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', 'demo/start.ts'], { env: { PATH: process.env['PATH'], ...environment }, encoding: 'utf8', timeout: 30_000 })
    expect([status, stderr.trim()]).toEqual([1, `JointLens could not start: ${why}`])
  })
