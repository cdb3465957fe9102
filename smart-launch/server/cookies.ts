import type { Request, Response } from 'express'

/** Fit for an EHR's iframe: host-bound, partitioned (CHIPS), never readable by scripts (specs: security section 4). */
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=None; Partitioned'

export function setCookie(response: Response, name: string, value: string, maxAgeSeconds: number): void {
  response.append('Set-Cookie', `__Host-${name}=${value}; Max-Age=${maxAgeSeconds}; ${ATTRIBUTES}`)
}

export function clearCookie(response: Response, name: string): void {
  response.append('Set-Cookie', `__Host-${name}=; Max-Age=0; ${ATTRIBUTES}`)
}

export function readCookie(request: Request, name: string): string | undefined {
  const wanted = `__Host-${name}=`
  const pair = (request.headers.cookie ?? '').split(';').map((part) => part.trim()).find((part) => part.startsWith(wanted))
  return pair?.slice(wanted.length)
}
