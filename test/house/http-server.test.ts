import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from '@jest/globals'
import { listen, openHttpServer, stopListening } from '../../src/http-server.ts'
import { copyTestStore } from '../support/test-store.ts'

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
afterEach(() => agent.destroy())

test('a server that is to end answers what is at work, and waits for no connection that is merely kept open', async () => {
  const server = openHttpServer((_request, response) => { setTimeout(() => response.end('done'), 200) })
  await listen(server, { port: 0, host: '127.0.0.1' })
  const { port } = server.address() as AddressInfo
  await expect(listen(openHttpServer(() => undefined), { port, host: '127.0.0.1' })).rejects.toMatchObject({ code: 'ERR_CONFIG', message: expect.stringContaining(`PORT ${port} on HOST 127.0.0.1 to be free`) as unknown })
  const asked = async () => {
    const [response] = await once(get({ agent, port }), 'response') as [IncomingMessage]
    return [response.statusCode, (await response.toArray()).join('')]
  }
  expect(await asked()).toEqual([200, 'done'])
  const [working, arrived] = [asked(), once(server, 'request')]
  await arrived
  const began = performance.now()
  await Promise.all([working, stopListening(server)])
  expect(await working).toEqual([200, 'done'])
  expect(performance.now() - began).toBeLessThan(2_000)
})

test('a signal that comes twice, from a terminal and from npx, ends the service in order all the same', async () => {
  const data = mkdtempSync(join(tmpdir(), 'jointlens-signal-'))
  await copyTestStore(data)
  const service = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli.ts', 'serve'], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)), stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], PORT: '0', JOINTLENS_DATA: data, JOINTLENS_WORKERS: '1', JOINTLENS_PROFILE: 'development', LOG_LEVEL: 'warn'
    }
  })
  const ended = once(service, 'exit')
  await once(service.stdout, 'data')
  for (let time = 0; time < 3; time++) {
    service.kill('SIGINT')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(await ended).toEqual([0, null])
  rmSync(data, { recursive: true, force: true })
}, 60_000)
