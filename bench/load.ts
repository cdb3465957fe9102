import { randomUUID } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
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

/** Answers a second with `callers` that never rest. */
export async function throughput(target: Target, { seconds, callers = 16 }: { readonly seconds: number; readonly callers?: number }): Promise<number> {
  // More than can be answered, signed before the clock starts.
  const tokens = await tokensFor(target, target.client ? Math.ceil(seconds * 6_000) : 0)
  const began = performance.now()
  let count = 0
  const caller = async () => {
    while (performance.now() - began < seconds * 1000) {
      const token = tokens.pop()
      if (target.client && token === undefined) throw new Error('Expected more tokens than answers')
      await answered(target, token)
      count++
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return count / ((performance.now() - began) / 1000)
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

export async function freePort(): Promise<number> {
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as AddressInfo
  await new Promise((resolve) => listener.close(resolve))
  return port
}
