import { createHash, timingSafeEqual } from 'node:crypto'

/** Whether they are the same, without telling by the time it takes how much of them is. */
export function isSameSecret(sent: string, secret: string): boolean {
  const [a, b] = [sent, secret].map((one) => createHash('sha256').update(one).digest())
  return a !== undefined && b !== undefined && timingSafeEqual(a, b)
}

/** The secret in an Authorization header: a program's Bearer, or the password that a browser asks for (RFC 7617), whatever the user name. */
export function secretIn(authorization = ''): string {
  const [, basic] = /^Basic ([\w+/]+=*)$/i.exec(authorization) ?? []
  if (basic === undefined) return authorization.replace(/^Bearer /i, '')
  return /:(.*)$/s.exec(Buffer.from(basic, 'base64').toString())?.[1] ?? ''
}
