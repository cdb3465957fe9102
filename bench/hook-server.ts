import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import express from 'express'
import { createLocalJWKSet, jwtVerify, type JWK } from 'jose'
import { install } from 'undici'
import { startDemoEhr } from '../demo/ehr.ts'
import { startJointLens } from '../src/app.ts'
import { makeConfig, makeTenant } from '../src/config.ts'
import { openEngine } from '../src/inference/engine/open-engine.ts'

/**
 * The service as it runs, beside the demo EHR, and in the same process the probes: a bare express server (`/`), one that answers
 * as many bytes as a card has (`/bytes`), and one that only verifies a signature (`/verify`). Told over IPC: `lag` answers the
 * event loop's delay since the last time, `batch` reads photos without pause until `rest`.
 */
interface Told {
  readonly port: number
  readonly demoPort: number
  readonly awkwardUrl: string
  readonly clients: readonly { readonly issuer: string; readonly publicKey: JWK; readonly tenant: 'demo' | 'slow' | 'large' }[]
}
const root = fileURLToPath(new URL('../', import.meta.url))
const { port, demoPort, awkwardUrl, clients } = JSON.parse(process.argv[2] ?? '{}') as Told
const dataDir = mkdtempSync(join(tmpdir(), 'jointlens-bench-'))
const modelDir = join(root, 'models/hand-joints/0.1.0')
install()

const ehr = await startDemoEhr({ port: demoPort, host: '127.0.0.1', jointlensUrl: `http://127.0.0.1:${port}` })
const assisting = { ...ehr.tenant, mode: 'assist' as const, calibrationFile: join(root, 'demo/calibration.json') }
const tenant = makeTenant({
  ...assisting,
  cdsClients: [...(ehr.tenant.cdsClients ?? []), ...clientsOf('demo')]
})
const awkward = (['slow', 'large'] as const).map((id) =>
  makeTenant({ ...assisting, id, name: id, fhirBase: `${awkwardUrl}/${id}`, requireDiagnosis: false, cdsClients: clientsOf(id) }))
const running = await startJointLens(makeConfig({
  host: '127.0.0.1', port, publicUrl: `http://127.0.0.1:${port}`, dataDir, modelDir, device: 'cpu', profile: 'development', logLevel: 'fatal', tenants: [tenant, ...awkward]
}))
const bytes = Buffer.alloc(96_000, 'x')
const keys = createLocalJWKSet({ keys: clientsOf('demo').flatMap((client) => client.keys) })
const bare = createServer(express().disable('etag')
  .post('/', express.json(), (_request, response) => void response.json({ cards: [] }))
  .post('/bytes', express.json(), (_request, response) => void response.type('json').send(bytes))
  .post('/verify', async (request, response) => {
    await jwtVerify(request.headers.authorization?.slice('Bearer '.length) ?? '', keys)
    response.json({ cards: [] })
  }))
await new Promise<void>((resolve) => bare.listen(0, '127.0.0.1', resolve))
const engine = await openEngine({ modelDir, workers: 1 })
const photo = readFileSync(join(root, 'demo/photos/demo-1-left.jpg'))
const lag = monitorEventLoopDelay({ resolution: 5 })
lag.enable()
let batching = false

process.on('message', (message) => {
  if (message === 'lag') {
    process.send?.({ lagP99Ms: lag.percentile(99) / 1e6 - 5 })
    lag.reset()
  }
  if (message === 'rest') batching = false
  if (message === 'batch' && !batching) {
    batching = true
    void (async () => {
      while (batching) await engine.assess(photo)
    })().catch(() => undefined)
  }
  if (message === 'stop') void stop()
})
process.send?.({ ready: true, barePort: (bare.address() as { port: number }).port, fhirBase: tenant.fhirBase })

function clientsOf(id: Told['clients'][number]['tenant']) {
  return clients.filter((client) => client.tenant === id).map(({ issuer, publicKey }) => ({ issuer, keys: [publicKey as { kty: 'EC' | 'RSA'; kid: string }] }))
}

async function stop(): Promise<void> {
  batching = false
  bare.close()
  await engine.close()
  await running.close()
  await ehr.close()
  rmSync(dataDir, { recursive: true, force: true })
  process.exit(0)
}
