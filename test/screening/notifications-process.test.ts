import '../demo/sandbox.ts'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { startDemoEhr, type DemoEhr } from '../../demo/ehr.ts'
import { freePort } from '../support/free-port.ts'
import { startServiceProcess, type ServiceProcess } from '../support/service-process.ts'

/** `jointlens serve` as a site runs it, with its own sockets, files and backend token; and an EHR with photos. */
const SECRET = 'n'.repeat(40)
let ehr: DemoEhr
let service: ServiceProcess

beforeAll(async () => {
  const port = await freePort()
  ehr = await startDemoEhr({ port: 0, host: '127.0.0.1', jointlensUrl: `http://127.0.0.1:${port}` })
  service = await startServiceProcess(port, [
    { ...ehr.tenant, allowHttp: true, allowPrivateNetwork: true, notifications: { secretEnv: 'DEMO_SECRET', header: 'X-Subscription-Key' } }
  ], { DEMO_SECRET: SECRET })
}, 120_000)
afterAll(async () => {
  await service.close()
  await ehr.close()
})

const notify = (photo: string, secret = SECRET) => fetch(`${service.url}/fhir/notifications/${ehr.tenant.id}`, {
  method: 'POST', headers: { 'content-type': 'application/fhir+json', 'x-subscription-key': secret }, body: JSON.stringify({ resourceType: 'Media', id: photo })
})

/** Lines of its log that say this, over all its lives. */
const said = (words: string) => service.output().split('\n').filter((line) => line.includes(words)).length

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 100))
}

const childrenOf = async (processId: number) => (await readFile(`/proc/${processId}/task/${processId}/children`, 'utf8')).trim().split(' ').map(Number)

test('a notification that was answered 200 survives kill -9, and its patient is screened once', async () => {
  expect((await notify('demo-2-left', 'x'.repeat(40))).status).toBe(401)
  expect((await notify('demo-2-left')).status).toBe(200)
  await service.restart('SIGKILL')
  await until(() => said('screening done') > 0)
  expect(said('screening done')).toBe(1)
  const before = said('errand done')
  expect((await notify('demo-2-left')).status).toBe(200)
  await until(() => said('errand done') > before)
  expect(service.output()).not.toMatch(new RegExp(`${SECRET}|demo-2`))
}, 120_000)

test('whoever opens the bare address sees what answers here', async () => {
  const seen = await fetch(`${service.url}/`)
  expect([seen.status, seen.url, await seen.json()]).toEqual([200, `${service.url}/openapi.json`, expect.objectContaining({ info: expect.objectContaining({ title: 'JointLens' }) as unknown })])
})

test('the log names the process that reads photos, and its signal, when one ends by itself', async () => {
  const [serve] = await childrenOf(process.pid)
  const [reader] = await childrenOf(serve!)
  process.kill(reader!, 'SIGABRT')
  await until(() => said('a process that reads photos ended by itself') > 0)
  expect(service.output()).toContain(`"processId":${reader},"how":"SIGABRT"`)
}, 30_000)

test('every address of /openapi.json answers for itself', async () => {
  const { paths } = await (await fetch(`${service.url}/openapi.json`)).json() as { paths: Record<string, Record<string, unknown>> }
  const missing: string[] = []
  for (const [path, methods] of Object.entries(paths))
    for (const method of Object.keys(methods)) {
      const answer = await fetch(`${service.url}${path.replaceAll(/\{\w+\}/g, 'x')}`, { method: method.toUpperCase(), redirect: 'manual' })
      if ((await answer.text()).includes('Nothing answers')) missing.push(`${method} ${path}`)
    }
  expect(Object.keys(paths).length).toBeGreaterThan(8)
  expect(missing).toEqual([])
})
