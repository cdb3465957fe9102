import { createPrivateKey } from 'node:crypto'
import type { Command } from 'commander'
import type { JWK } from 'jose'
import { isUsable, type SignatureAlgorithm } from '../cds-hooks/token-signature.ts'
import type { Config, TenantConfig } from '../config.ts'
import { isScreeningError, ScreeningError } from '../errors.ts'
import { openBackendTokens } from '../fhir/backend-auth.ts'
import { egressForTenant } from '../fhir/egress.ts'
import { photoRoutes } from '../fhir/photo-sources.ts'
import { unwritable } from '../fhir/record-writer.ts'
import { openFhirSession } from '../fhir/session.ts'
import { readKeySet, readSmartConfiguration } from '../fhir/smart-configuration.ts'
import { readCalibrationFile } from '../inference/calibrate.ts'
import { openJointModel } from '../inference/joint-model.ts'
import { readModelBundle } from '../inference/model-bundle.ts'
import { isKnownToAll } from '../known-private-keys.ts'

export interface Check {
  readonly check: string
  readonly ok: boolean
  readonly detail: string
}

/** `jointlens doctor`: checks model, calibration and every tenant's EHR, and says what to do about each fault. */
export function addDoctorCommand(program: Command, config: () => Config): void {
  program.command('doctor').description('check settings, model, calibration and each EHR')
    .option('--json', 'one JSON object')
    .action(async ({ json }: { json?: boolean }) => {
      const checks = await examine(config())
      if (json) process.stdout.write(`${JSON.stringify({ ok: checks.every(({ ok }) => ok), checks })}\n`)
      else for (const { check, ok, detail } of checks) process.stdout.write(`${ok ? 'ok  ' : 'FAIL'}  ${check}: ${detail}\n`)
      if (checks.some(({ ok }) => !ok)) process.exitCode = 4
    })
}

export async function examine(config: Config): Promise<readonly Check[]> {
  const checks: Check[] = [{ check: 'settings', ok: true, detail: `${config.tenants.length} tenants, ${config.profile} profile` }]
  let digest: string | undefined
  checks.push(await checked('model', async () => {
    const bundle = await readModelBundle(config.modelDir)
    const model = await openJointModel(bundle, { device: config.device })
    await model.close()
    digest = bundle.identity.digest
    return `${bundle.identity.name} ${bundle.identity.version} on ${model.executionProvider}, golden outputs equal; learned from synthetic hands`
  }))
  for (const tenant of config.tenants) {
    const egress = egressForTenant(tenant)
    for (const { issuer, algorithms, keys, jku = '' } of tenant.cdsClients)
      checks.push(await checked(`${tenant.id} CDS client ${issuer}`, async () =>
        usableKeys(keys ?? (await readKeySet(egress.alsoTo('keys', jku), jku)).keys, algorithms, config.profile)))
    for (const [name, registered] of [['backend', tenant.backend], ['app', tenant.smart]] as const)
      if (registered) checks.push(await checked(`${tenant.id} ${name} key`, () => signingKey(registered.key)))
    checks.push(await checked(`${tenant.id} calibration`, () => calibrationOf(tenant, digest)))
    checks.push(await checked(`${tenant.id} SMART configuration`, async () => {
      await readSmartConfiguration(tenant, egress)
      return 'found'
    }))
    const tokens = openBackendTokens(tenant, egress)
    if (tenant.backend) checks.push(await checked(`${tenant.id} backend token`, async () => `${(await tokens.token()).length > 0 ? 'granted' : ''}`))
    checks.push(await checked(`${tenant.id} FHIR server`, async () => {
      const capabilities = await openFhirSession({ tenant, egress, tokens }).capabilities()
      const writes = capabilities.transaction ? 'transaction' : capabilities.batch ? 'batch' : 'single'
      const photos = photoRoutes(capabilities).join(', ') || 'nothing that can be searched by patient: only what a launch hands over'
      return `FHIR ${capabilities.fhirVersion}, photos by ${photos}; ${unwritable(capabilities) ?? `writes by ${writes}`}`
    }))
    await egress.close()
  }
  return checks
}

/** A call that is refused hears no reason: here is one to find. */
function usableKeys(keys: readonly JWK[], algorithms: readonly SignatureAlgorithm[], profile: Config['profile']): string {
  const usable = keys.filter((key) => isUsable(key, algorithms) && !(profile === 'production' && isKnownToAll(key)))
  if (usable.length === 0) throw new ScreeningError('ERR_CONFIG', `Expected a public key for ${algorithms.join(' or ')} but found none among ${keys.length}: every call is refused`)
  return `${usable.length} keys that can be used: ${usable.map(({ kid }) => kid ?? 'without kid').join(', ')}`
}

function signingKey(key: { readonly kid: string; readonly alg: string }): string {
  try {
    createPrivateKey({ key, format: 'jwk' })
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected a private key (JWK) for ${key.alg} but its members are none`, { cause })
  }
  return `${key.kid} for ${key.alg}`
}

/** Uncalibrated is not a fault in shadow mode, but it is said. */
function calibrationOf({ calibrationFile, mode }: TenantConfig, digest: string | undefined): string {
  if (!calibrationFile) return `not calibrated (mode ${mode}): nothing is shown or written; run "jointlens calibrate"`
  return `calibrated with ${readCalibrationFile(calibrationFile, digest ?? '').data}, mode ${mode}`
}

async function checked(check: string, work: () => string | Promise<string>): Promise<Check> {
  try {
    return { check, ok: true, detail: await work() }
  } catch (error) {
    return { check, ok: false, detail: isScreeningError(error) ? `${error.code}: ${error.message}` : 'unexpected failure' }
  }
}
