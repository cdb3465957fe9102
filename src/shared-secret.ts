import { createHash, timingSafeEqual } from 'node:crypto'
import type { TenantConfig } from './config.ts'
import { ScreeningError } from './errors.ts'

/** Whether they are the same, without telling by the time it takes how much of them is. Nothing is the same as no secret. */
function isSameSecret(sent: string, secret = ''): boolean {
  const [a, b] = [sent, secret].map((one) => createHash('sha256').update(one).digest())
  return secret !== '' && a !== undefined && b !== undefined && timingSafeEqual(a, b)
}

/** The secret in an Authorization header: a program's Bearer, or the password that a browser asks for (RFC 7617), whatever the user name. */
export function secretIn(authorization = ''): string {
  const [, basic] = /^Basic ([\w+/]+=*)$/i.exec(authorization) ?? []
  if (basic === undefined) return authorization.replace(/^Bearer /i, '')
  return /:(.*)$/s.exec(Buffer.from(basic, 'base64').toString())?.[1] ?? ''
}

/** Throws ERR_UNAUTHORIZED for whoever did not send it. */
export function requireSecret(sent: string, secret: string): void {
  if (!isSameSecret(sent, secret)) throw unknownCaller()
}

interface SiteSecrets {
  readonly tenants: readonly TenantConfig[]
  readonly setting: 'notifications' | 'feedbackPage'
  /** By tenant id. */
  readonly secrets: Readonly<Record<string, string>> | undefined
}

/**
 * The site of this id, for whoever sent the secret that it has for this setting. Throws ERR_UNAUTHORIZED: in the same time and the same
 * words for an unknown site, one without the setting, and a wrong secret.
 */
export function siteOfSecret({ tenants, setting, secrets }: SiteSecrets, id: unknown, sentTo: (site: TenantConfig | undefined) => string): TenantConfig {
  const site = tenants.find((one) => one.id === id && one[setting])
  const known = isSameSecret(sentTo(site), site && secrets?.[site.id])
  if (!site || !known) throw unknownCaller()
  return site
}

function unknownCaller(): ScreeningError {
  return new ScreeningError('ERR_UNAUTHORIZED', 'Expected the secret of this address')
}
