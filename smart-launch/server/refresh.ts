import type { TenantConfig } from '../../src/config.ts'
import { isScreeningError, ScreeningError } from '../../src/errors.ts'
import { SESSION_SECONDS, type AppSession } from './app-session.ts'
import type { CallbackDeps } from './callback.ts'

const RENEW_BEFORE_MS = 60_000

/**
 * Keeps a session's access token fresh. A refresh token may be good for one use only, so however many requests find the token
 * old, one asks and all share the answer (SMART App Launch, refresh). Throws ERR_SESSION when the EHR grants no more.
 */
export function openRefresher(deps: Pick<CallbackDeps, 'sessions' | 'discover' | 'requestToken' | 'now'>) {
  const asking = new Map<string, Promise<AppSession>>()

  async function renew(handle: string, session: AppSession, tenant: TenantConfig, refreshToken: string): Promise<AppSession> {
    // Someone may have renewed it between our reading and now: a used refresh token must not be sent again.
    const current = (await deps.sessions.get(`smart:${handle}`)) as AppSession | undefined
    if (current && current.accessToken !== session.accessToken) return current
    const { tokenEndpoint } = await deps.discover(tenant)
    const answer = await deps.requestToken(tenant, tokenEndpoint, { grant_type: 'refresh_token', refresh_token: refreshToken })
      .catch((cause: unknown) => {
        if (isScreeningError(cause) && cause.code === 'ERR_EHR_UNAUTHORIZED') throw ended()
        throw cause
      })
    const { patient } = answer.extra
    if (patient !== undefined && patient !== session.patientId) throw ended()
    const renewed: AppSession = {
      ...session,
      accessToken: answer.accessToken,
      refreshToken: answer.refreshToken ?? refreshToken,
      expiresAt: deps.now() + answer.expiresInSeconds * 1000,
      scope: answer.scope ?? session.scope
    }
    await deps.sessions.put(`smart:${handle}`, renewed, SESSION_SECONDS)
    return renewed
  }

  return async (handle: string, session: AppSession, tenant: TenantConfig): Promise<AppSession> => {
    const left = session.expiresAt - deps.now()
    if (left > RENEW_BEFORE_MS) return session
    if (!session.refreshToken) {
      if (left > 0) return session
      throw ended()
    }
    const shared = asking.get(handle) ?? renew(handle, session, tenant, session.refreshToken).finally(() => asking.delete(handle))
    asking.set(handle, shared)
    return shared
  }
}

function ended(): ScreeningError {
  return new ScreeningError('ERR_SESSION', 'This session has ended. Open JointLens again from the patient record.')
}
