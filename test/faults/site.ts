import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { TENANT } from './product.ts'
import { newSigningKey } from './signing-key.ts'
import type { Witness } from './witness/witness.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
export const NIGHT = '2026-11-25'

/** People with an appointment on NIGHT and photos of both hands, real bytes; `distinct` makes every photo another file. */
export function addAppointments({ memory }: Witness, count: number, { distinct = false } = {}): readonly string[] {
  const photo = (side: string) => readFileSync(join(root, `demo/photos/demo-1-${side}.jpg`))
  const patients = Array.from({ length: count }, (_, index) => `night-${index + 1}`)
  for (const [index, patientId] of patients.entries()) {
    const minute = String(index % 60).padStart(2, '0')
    memory.put({
      resourceType: 'Appointment', status: 'booked', start: `${NIGHT}T${String(8 + Math.floor(index / 60) % 12).padStart(2, '0')}:${minute}:00Z`,
      participant: [{ actor: { reference: `Patient/${patientId}` }, status: 'accepted' }]
    })
    memory.put({ resourceType: 'Patient', name: [{ text: patientId }] }, patientId)
    for (const side of ['left', 'right']) {
      const bytes = distinct ? commented(photo(side), patientId) : photo(side)
      memory.put({
        resourceType: 'Media', status: 'completed', subject: { reference: `Patient/${patientId}` }, createdDateTime: '2026-11-24T08:00:00Z',
        bodySite: { text: `${side} hand` }, content: { contentType: 'image/jpeg', data: bytes.toString('base64') }
      })
    }
  }
  return patients
}

/** The same picture as another file: a JPEG comment after the first marker. */
function commented(jpeg: Buffer, text: string): Buffer {
  const comment = Buffer.from(text)
  const marker = Buffer.from([0xff, 0xfe, 0, comment.length + 2])
  return Buffer.concat([jpeg.subarray(0, 2), marker, comment, jpeg.subarray(2)])
}

/** Settings of a site that writes preliminary results to the witness, for the real command line. */
export async function siteEnvironment(witness: Witness, dir: string, store: Readonly<Record<string, string>>): Promise<NodeJS.ProcessEnv> {
  const config = join(dir, 'site.json')
  await writeFile(config, JSON.stringify({
    tenants: [{
      id: TENANT, name: 'Clinic', fhirBase: witness.base, mode: 'assist', write: 'preliminary', allowHttp: true, allowPrivateNetwork: true,
      calibrationFile: join(root, 'demo/calibration.json'), backend: { clientId: 'jointlens', key: newSigningKey(), scope: 'system/*.cruds' }
    }]
  }))
  const { JOINTLENS_FAILPOINT: _, DATABASE_URL: _url, ...env } = process.env
  return {
    ...env, JOINTLENS_PROFILE: 'development', JOINTLENS_MODEL: join(root, 'models/hand-joints/0.1.0'), JOINTLENS_CONFIG: config, JOINTLENS_WORKERS: '1',
    LOG_LEVEL: 'error', PORT: '0', ...store
  }
}

export interface Command {
  readonly child: ChildProcess
  /** Resolves with the first line on stdout. */
  readonly ready: Promise<string>
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>
}

/** `jointlens …` as a process. */
export function jointlens(parameters: readonly string[], env: NodeJS.ProcessEnv): Command {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'src/cli.ts'), ...parameters], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  const lines = createInterface(child.stdout)
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as string | null }))
  return { child, ready: once(lines, 'line').then(([line]) => line as string), ended }
}
