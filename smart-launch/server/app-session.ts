import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { ScreeningError } from '../../src/errors.ts'

/** What one launch knows. Lives on the server only; the browser holds a secret cookie and the page an opaque handle. */
export interface AppSession {
  readonly tenant: string
  readonly patientId: string
  readonly encounterId?: string
  /** `Practitioner/…` of the person who launched. */
  readonly fhirUser?: string
  /** What the EHR's identity says the person is, in whatever form it names them; absent when it says nothing that we know. */
  readonly role?: 'clinician' | 'patient'
  readonly scope: string
  readonly accessToken: string
  readonly refreshToken?: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  readonly needPatientBanner: boolean
  /** Launched without an EHR's `launch`: the page itself can lead back to a sign-in. */
  readonly standalone?: boolean
  /** From our own card; a hint, never an authority. */
  readonly appContext?: string
  /** SHA-256 of the cookie's secret: the handle in the address alone opens nothing. */
  readonly secretHash: string
  readonly csrf: string
  /** A token for one that the record refused; only while a request is served, never stored. */
  readonly renewed?: (refused: string) => Promise<string>
}

/** What a launch must remember between our redirect and the callback. */
export interface PendingLaunch {
  readonly tenant: string
  readonly codeVerifier: string
  /** Absent where none was sent: the id_token must not have one then. */
  readonly nonce?: string
  readonly browserHash: string
  readonly tokenEndpoint: string
  readonly issuer?: string
  /** The server names itself in every answer (RFC 9207). */
  readonly namesItself?: boolean
  readonly standalone?: boolean
  /** What was asked for: what is granted when the token answer names no scope (RFC 6749 section 5.1). */
  readonly scope: string
}

export interface SessionStore {
  put(id: string, data: unknown, ttlSeconds: number): Promise<void>
  get(id: string): Promise<unknown>
  delete(id: string): Promise<void>
  /** True for the one who asked first, until its time is over. */
  claim(id: string, ttlSeconds: number): Promise<boolean>
}

export const LAUNCH_SECONDS = 600
export const SESSION_SECONDS = 8 * 3600

/** 256 random bits, URL safe (SMART asks for at least 122). */
export function randomSecret(): string {
  return randomBytes(32).toString('base64url')
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

export function matchesHash(secret: string | undefined, hash: string): boolean {
  if (!secret) return false
  const [a, b] = [Buffer.from(sha256(secret)), Buffer.from(hash)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Tells launches of one browser apart, so that two charts that are opened at once both arrive; undefined for what is no state of ours. */
export function launchCookie(state: unknown): string | undefined {
  return typeof state === 'string' && /^[\w-]{43}$/.test(state) ? `jl-launch-${state.slice(0, 12)}` : undefined
}

/** The session behind a page's handle, if this browser is the one that launched it. Throws ERR_SESSION. */
export async function openSession(sessions: SessionStore, handle: string, secret: string | undefined): Promise<AppSession> {
  const session = /^[\w-]{43}$/.test(handle) ? ((await sessions.get(`smart:${handle}`)) as AppSession | undefined) : undefined
  if (!session || !matchesHash(secret, session.secretHash))
    throw new ScreeningError('ERR_SESSION', 'This session has ended. Open JointLens again from the patient record.')
  return session
}
