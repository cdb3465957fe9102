import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose'
import { Agent, request } from 'undici'

/** A CDS client of the benchmark: signs a fresh token for each call, as an EHR does. */
export interface BenchClient {
  readonly issuer: string
  readonly alg: 'RS384' | 'ES384'
  readonly publicKey: JWK
  token(audience: string): Promise<string>
}

export interface Target {
  readonly url: string
  /** Who signs; nobody for the probes. */
  readonly client?: BenchClient
  body(): string
}

const dispatcher = new Agent({ connections: 32, pipelining: 1 })

export async function openBenchClient(issuer: string, alg: 'RS384' | 'ES384'): Promise<BenchClient> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return {
    issuer, alg,
    publicKey: { ...(await exportJWK(publicKey)), kid: 'bench', alg },
    token: (audience) => {
      const at = Math.floor(Date.now() / 1000)
      return new SignJWT({ jti: randomUUID() }).setProtectedHeader({ alg, kid: 'bench', typ: 'JWT' })
        .setIssuer(issuer).setAudience(audience).setIssuedAt(at).setExpirationTime(at + 600).sign(privateKey)
    }
  }
}

/** Milliseconds and status of one answered call; its token is signed before the clock starts. */
export async function call({ url, client, body }: Target, token?: string): Promise<{ readonly ms: number; readonly status: number }> {
  const authorization = token ?? await client?.token(url)
  const sent = body()
  const began = performance.now()
  const response = await request(url, {
    method: 'POST', dispatcher, body: sent,
    headers: { 'content-type': 'application/json', ...(authorization ? { authorization: `Bearer ${authorization}` } : {}) }
  })
  await response.body.dump({ limit: Infinity })
  return { ms: performance.now() - began, status: response.statusCode }
}

/** Milliseconds of a call to each target in turn, `perSecond` rounds a second, evenly spread. Throws when one is not answered with 200. */
export async function interleaved(targets: readonly Target[], { seconds, perSecond }: { readonly seconds: number; readonly perSecond: number }): Promise<readonly (readonly number[])[]> {
  const rounds = seconds * perSecond
  const tokens = await Promise.all(targets.map((target) => tokensFor(target, rounds)))
  const times = targets.map((): number[] => [])
  const gap = 1000 / perSecond / targets.length
  const began = performance.now()
  const open: Promise<unknown>[] = []
  for (let step = 0; step < rounds * targets.length; step++) {
    const wait = began + step * gap - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    const index = step % targets.length
    const target = targets[index]
    if (target) open.push(answered(target, tokens[index]?.pop()).then((ms) => times[index]?.push(ms)))
  }
  await Promise.all(open)
  return times
}

/**
 * Answers a second to `callers` that never rest, each on a connection of its own. Requests are made and signed before the clock
 * starts and answers are only counted, as wrk does: on two cores a client that does more would be what is measured.
 */
export async function throughput(target: Target, { seconds, callers = 16 }: { readonly seconds: number; readonly callers?: number }): Promise<number> {
  // More than can be answered; a probe needs no token and may be asked the same again.
  const requests = await Promise.all(Array.from({ length: target.client ? Math.ceil(seconds * 5_000) : 100 }, () => requestFor(target)))
  const until = performance.now() + seconds * 1000
  let next = 0
  const taken = (): Buffer | undefined => performance.now() > until ? undefined : target.client ? requests[next++] : requests[next++ % requests.length]
  const began = performance.now()
  const counts = await Promise.all(Array.from({ length: callers }, () => askedAgain(target.url, taken)))
  if (target.client && next > requests.length) throw new Error('Expected more tokens than answers')
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - began) / 1000)
}

async function requestFor({ url, client, body }: Target): Promise<Buffer> {
  const { pathname, host } = new URL(url)
  const sent = Buffer.from(body())
  const authorization = client ? `authorization: Bearer ${await client.token(url)}\r\n` : ''
  const head = `POST ${pathname} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n${authorization}content-length: ${sent.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), sent])
}

/** How many answers one connection gets, one request at a time, until there is no other. Throws when one is not a 200 with its length. */
function askedAgain(url: string, next: () => Buffer | undefined): Promise<number> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let count = 0
    let left = 0
    const ask = () => {
      const request = next()
      if (request) socket.write(request)
      else socket.end(() => { resolve(count) })
    }
    socket.on('connect', ask)
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      if (left === 0) {
        const head = chunk.toString('latin1', 0, Math.min(chunk.length, 2_000))
        const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1]
        if (!head.startsWith('HTTP/1.1 200') || length === undefined || !head.includes('\r\n\r\n'))
          return void socket.destroy(new Error(`Expected 200 from ${url} but received ${head.slice(0, 200)}`))
        left = head.indexOf('\r\n\r\n') + 4 + Number(length)
      }
      left -= chunk.length
      if (left > 0) return
      count++
      ask()
    })
  })
}

export const endLoad = () => dispatcher.close()

async function answered(target: Target, token: string | undefined): Promise<number> {
  const { ms, status } = await call(target, token)
  if (status !== 200) throw new Error(`Expected 200 from ${target.url} but received ${status}`)
  return ms
}

async function tokensFor({ client, url }: Target, count: number): Promise<string[]> {
  return client ? Promise.all(Array.from({ length: count }, () => client.token(url))) : []
}

export function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
