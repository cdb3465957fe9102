import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import express from 'express'
import type { JWK } from 'jose'
import { install } from 'undici'
import { startDemoEhr } from '../demo/ehr.ts'
import { startJointLens } from '../src/app.ts'
import { makeConfig, makeTenant } from '../src/config.ts'
import { openEngine } from '../src/inference/engine/open-engine.ts'

/**
 * The service as it runs, beside the demo EHR, and a bare express server in the same process as the probe. Told over IPC: `lag`
 * answers the event loop's delay since the last time, `batch` reads photos without pause until `rest`.
 */
const root = fileURLToPath(new URL('../', import.meta.url))
const { port, demoPort, key, issuer } = JSON.parse(process.argv[2] ?? '{}') as { port: number; demoPort: number; key: JWK; issuer: string }
const dataDir = mkdtempSync(join(tmpdir(), 'jointlens-bench-'))
const modelDir = join(root, 'models/hand-joints/0.1.0')
install()

const ehr = await startDemoEhr({ port: demoPort, host: '127.0.0.1', jointlensUrl: `http://127.0.0.1:${port}` })
const tenant = makeTenant({
  ...ehr.tenant, mode: 'assist', calibrationFile: join(root, 'demo/calibration.json'),
  cdsClients: [...(ehr.tenant.cdsClients ?? []), { issuer, keys: [key as { kty: 'EC'; kid: string }] }]
})
const running = await startJointLens(makeConfig({
  host: '127.0.0.1', port, publicUrl: `http://127.0.0.1:${port}`, dataDir, modelDir, device: 'cpu', profile: 'development', logLevel: 'fatal', tenants: [tenant]
}))
const bare = createServer(express().use(express.json()).post('/', (_request, response) => void response.json({ cards: [] })))
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

async function stop(): Promise<void> {
  batching = false
  bare.close()
  await engine.close()
  await running.close()
  await ehr.close()
  rmSync(dataDir, { recursive: true, force: true })
  process.exit(0)
}
