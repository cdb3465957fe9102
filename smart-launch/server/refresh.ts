import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError, ScreeningError } from '../../src/errors.ts'
import { SESSION_SECONDS, sha256, type AppSession } from './app-session.ts'
import type { CallbackDeps } from './callback.ts'
import { narrowed } from './granted.ts'

const RENEW_BEFORE_MS = 60_000
/** A token request ends after ten seconds; whoever holds the claim longer has crashed. */
const CLAIM_SECONDS = 15
const LOOK_AGAIN_MS = 100

export interface Refresher {
  /** The session with a token that is good for a minute at least, where the EHR renews it. */
  fresh(handle: string, session: AppSession, tenant: TenantConfig): Promise<AppSession>
  /** Another access token for one that the record refused before its time. */
  another(handle: string, refused: string, tenant: TenantConfig): Promise<string>
}

/**
 * Keeps a session's access token fresh. A refresh token may be good for one use only, so however many requests and processes find the
 * token old, one asks and all share the answer (SMART App Launch, refresh). Throws ERR_SESSION when the EHR grants no more.
 */
export function openRefresher(deps: Pick<CallbackDeps, 'sessions' | 'discover' | 'requestToken' | 'now'>): Refresher {
  const asking = new Map<string, Promise<AppSession>>()
  const current = async (handle: string) => (await deps.sessions.get(`smart:${handle}`)) as AppSession | undefined

  async function ask(handle: string, session: AppSession, tenant: TenantConfig, refreshToken: string): Promise<AppSession> {
    const { tokenEndpoint } = await deps.discover(tenant)
    const answer = await deps.requestToken(tenant, tokenEndpoint, { grant_type: 'refresh_token', refresh_token: refreshToken })
      .catch((cause: unknown) => {
        if (isScreeningError(cause) && cause.code === 'ERR_EHR_UNAUTHORIZED') throw ended()
        throw cause
      })
    const { patient } = answer.extra
    if (patient !== undefined && patient !== session.patientId) throw ended()
    // Whoever logged out while the EHR was asked stays logged out.
    if (!await current(handle)) throw ended()
    const renewed: AppSession = {
      ...session,
      accessToken: answer.accessToken,
      refreshToken: answer.refreshToken ?? refreshToken,
      expiresAt: deps.now() + answer.expiresInSeconds * 1000,
      scope: answer.scope === undefined ? session.scope : narrowed(session.scope, answer.scope)
    }
    await deps.sessions.put(`smart:${handle}`, renewed, SESSION_SECONDS)
    return renewed
  }

  /** One process asks; the others see its answer in the store. */
  async function renew(handle: string, used: string, tenant: TenantConfig): Promise<AppSession> {
    const until = Date.now() + CLAIM_SECONDS * 1000
    for (;;) {
      const session = await current(handle)
      if (!session?.refreshToken) throw ended()
      if (session.accessToken !== used) return session
      // Named by the token that is to be replaced: who comes late finds another one in the session, and asks no second time.
      if (await deps.sessions.claim(claimOf(used), CLAIM_SECONDS)) return ask(handle, session, tenant, session.refreshToken).catch((error: unknown) => letGo(used, error))
      if (Date.now() > until) throw new ScreeningError('ERR_EHR_UNREACHABLE', 'Expected another process to renew the access token but it did not')
      await new Promise((resolve) => { setTimeout(resolve, LOOK_AGAIN_MS) })
    }
  }

  async function letGo(used: string, error: unknown): Promise<never> {
    await deps.sessions.delete(claimOf(used))
    throw error
  }

  function shared(handle: string, used: string, tenant: TenantConfig): Promise<AppSession> {
    const mine = asking.get(handle) ?? renew(handle, used, tenant).finally(() => asking.delete(handle))
    asking.set(handle, mine)
    return mine
  }

  return {
    async fresh(handle, session, tenant) {
      const left = session.expiresAt - deps.now()
      if (left > RENEW_BEFORE_MS) return session
      if (session.refreshToken) return shared(handle, session.accessToken, tenant)
      if (left > 0) return session
      throw ended()
    },
    another: async (handle, refused, tenant) => (await shared(handle, refused, tenant)).accessToken
  }
}

const claimOf = (used: string) => `refresh:${sha256(used)}`

function ended(): ScreeningError {
  return new ScreeningError('ERR_SESSION', 'This session has ended. Open JointLens again from the patient record.')
}
