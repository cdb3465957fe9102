import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { install } from 'undici'
import { startJointLens } from '../src/app.ts'
import { makeConfig, makeTenant, readConfig } from '../src/config.ts'
import { isScreeningError } from '../src/errors.ts'
import { startDemoEhr } from './ehr.ts'

/**
 * `npm start`: JointLens and a demo EHR beside it, both on loopback, with fresh keys and an empty store each time.
 * PORT and DEMO_PORT move them, JOINTLENS_DATA keeps the store, DEMO_FEEDBACK_SECRET opens /feedback/demo.
 */
const root = fileURLToPath(new URL('../', import.meta.url))
const closers: (() => Promise<unknown> | void)[] = []
let closing: Promise<void> | undefined

install()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void close().then(() => process.exit(0)))
try {
  const ready = await start()
  if (!closing) process.stdout.write(`${ready}\n`)
} catch (error) {
  await close()
  process.stderr.write(`JointLens could not start: ${explained(error)}\n`)
  process.exit(isScreeningError(error) ? error.exitCode : 1)
}

async function start(): Promise<string> {
  const env = { LOG_LEVEL: 'warn', JOINTLENS_PROFILE: 'development', JOINTLENS_MODEL: join(root, 'models/hand-joints/0.1.0'), ...process.env }
  const { JOINTLENS_CONFIG: _notHere, JOINTLENS_MODE: _assist, ...rest } = env as Record<string, string | undefined>
  const base = readConfig({ ...rest, JOINTLENS_DATA: rest['JOINTLENS_DATA'] || temporaryFolder() })
  // The demo EHR and the browser have to know beforehand where JointLens is.
  portOf('PORT', String(base.port))
  const ehr = await startDemoEhr({ port: portOf('DEMO_PORT', process.env['DEMO_PORT'] || '8081'), host: base.host, jointlensUrl: base.publicUrl })
  closers.push(() => ehr.close())
  const secret = process.env['DEMO_FEEDBACK_SECRET']
  const tenant = makeTenant({
    ...ehr.tenant, mode: 'assist', language: 'en', calibrationFile: join(root, 'demo/calibration.json'), ...(secret ? { feedbackPage: { secretEnv: 'DEMO_FEEDBACK_SECRET' } } : {})
  })
  const jointlens = await startJointLens(makeConfig({ ...base, profile: 'development', tenants: [tenant], ...(secret ? { feedbackSecrets: { [tenant.id]: secret } } : {}) }))
  closers.push(() => jointlens.close())
  await answers(`${base.publicUrl}/readyz`)
  await answers(`${ehr.url}/fhir/metadata`)
  return `JointLens ready: ${base.publicUrl} · demo EHR ${ehr.url}`
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jointlens-demo-'))
  closers.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function portOf(name: string, value: string): number {
  const port = Number(value)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new Error(`Expected ${name} to be a port number but received "${value}"`)
}

async function answers(url: string): Promise<void> {
  const response = await fetch(url)
  await response.arrayBuffer()
  if (response.status !== 200) throw new Error(`Expected ${url} to answer 200 but received ${response.status}`)
}

/** In reverse order, once, however many signals come. */
function close(): Promise<void> {
  closing ??= (async () => {
    for (const one of closers.splice(0).reverse()) await one()
  })()
  return closing
}

function explained(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const taken = 'code' in error && error.code === 'EADDRINUSE' && 'port' in error
  return taken ? `port ${String(error.port)} is taken; PORT and DEMO_PORT choose others` : error.message
}
