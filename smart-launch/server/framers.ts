import type { Config } from '../../src/config.ts'
import { sha256, type SessionStore } from './app-session.ts'
import { issuerOf } from './launch.ts'

/** Longer than a launch or a session lasts: a page left open overnight still says in its EHR's frame that the session has ended. */
const REMEMBERED_SECONDS = 7 * 24 * 3600

const nameOf = (secret: string) => `framed-by:${sha256(secret)}`

/** Keeps which tenant a launch (by its state) or a session (by its handle) belongs to, and nothing else of it, beyond its end. */
export function rememberTenant(sessions: SessionStore, stateOrHandle: string, tenant: string): Promise<void> {
  return sessions.put(nameOf(stateOrHandle), tenant, REMEMBERED_SECONDS)
}

/**
 * Origins that may frame a page which could not be opened: those of the tenant that it concerns, by the issuer of a launch, the state of a
 * callback or the handle of a page; none when that is not known. No page tells one customer which others there are.
 */
export async function framersOf({ config, sessions }: { readonly config: Config; readonly sessions: SessionStore }, path: string, query: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
  const tenant = path === '/launch' ? issuerOf(config, query['iss'])?.id : await remembered(sessions, path === '/callback' ? query['state'] : path.split('/')[2])
  return config.tenants.find(({ id }) => id === tenant)?.allowedOrigins ?? []
}

async function remembered(sessions: SessionStore, stateOrHandle: unknown): Promise<unknown> {
  return typeof stateOrHandle === 'string' && /^[\w-]{43}$/.test(stateOrHandle) ? sessions.get(nameOf(stateOrHandle)) : undefined
}
