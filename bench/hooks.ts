import { fork, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { Agent, request } from 'undici'

/**
 * The hook from a stored result against a bare express server in the same process, interleaved in one run, idle and while photos
 * are read without pause. Ratios travel between machines; milliseconds do not. The last line is a JSON object; the exit code says
 * whether the bars hold. Seconds of each part: first argument, 10 unless told.
 */
const SECONDS = Number(process.argv[2] ?? 10)
const BARS = { p50Ratio: 3, p99Ms: 25, rpsRatio: 0.5, p99UnderBatchRatio: 2, lagP99Ms: 20 }
const issuer = 'https://bench.example'
const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true })
const [port, demoPort] = [await freePort(), await freePort()]
const key = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES384' }
const child = fork(fileURLToPath(new URL('hook-server.ts', import.meta.url)), [JSON.stringify({ port, demoPort, key, issuer })], { execArgv: ['--disable-warning=ExperimentalWarning'] })
const { barePort, fhirBase } = await answerOf<{ barePort: number; fhirBase: string }>(child)
const url = `http://127.0.0.1:${port}/cds-services/hand-joints`
const bareUrl = `http://127.0.0.1:${barePort}/`
let conditions: unknown
let photos: unknown
const dispatcher = new Agent({ connections: 32, pipelining: 1 })

await warmUp()
const idle = await interleaved(SECONDS)
const rates = { bare: [] as number[], hook: [] as number[] }
for (let round = 0; round < 2; round++) {
  rates.bare.push(await throughput(bareUrl, SECONDS / 2))
  rates.hook.push(await throughput(url, SECONDS / 2))
}
child.send('lag')
await answerOf(child)
child.send('batch')
const busy = await interleaved(SECONDS)
child.send('lag')
const { lagP99Ms } = await answerOf<{ lagP99Ms: number }>(child)
child.send('rest')

const result = {
  p50Ratio: round(quantile(idle.hook, 0.5) / quantile(idle.bare, 0.5)),
  p99Ms: round(quantile(idle.hook, 0.99)),
  rpsRatio: round(mean(rates.hook) / mean(rates.bare)),
  p99UnderBatchRatio: round(quantile(busy.hook, 0.99) / quantile(idle.hook, 0.99)),
  lagP99Ms: round(lagP99Ms)
}
const held = Object.entries(BARS).filter(([name, bar]) => name === 'rpsRatio' ? result.rpsRatio >= bar : result[name as keyof typeof result] <= bar).map(([name]) => name)
mkdirSync('bench/results', { recursive: true })
writeFileSync('bench/results/hooks.json', `${JSON.stringify({
  ...result, bars: BARS, held,
  p50Ms: round(quantile(idle.hook, 0.5)), bareP50Ms: round(quantile(idle.bare, 0.5)), hookPerSecond: round(mean(rates.hook)), barePerSecond: round(mean(rates.bare)),
  machine: { cores: availableParallelism(), model: cpus()[0]?.model ?? '' }, secondsOfEachPart: SECONDS, store: 'embedded'
}, null, 2)}\n`)
const ended = once(child, 'exit')
child.send('stop')
await ended
await dispatcher.close()
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(held.length === Object.keys(BARS).length ? 0 : 1)

function body(): string {
  return JSON.stringify({
    hook: 'patient-view', hookInstance: randomUUID(), fhirServer: fhirBase,
    context: { userId: 'Practitioner/bench', patientId: 'demo-1' }, prefetch: { conditions, photos }
  })
}

async function token(): Promise<string> {
  const at = Math.floor(Date.now() / 1000)
  return new SignJWT({ jti: randomUUID() }).setProtectedHeader({ alg: 'ES384', kid: 'bench', typ: 'JWT' })
    .setIssuer(issuer).setAudience(url).setIssuedAt(at).setExpirationTime(at + 600).sign(privateKey)
}

/** Milliseconds of one answered call. */
async function call(to: string, authorization?: string): Promise<number> {
  const began = performance.now()
  const response = await request(to, { method: 'POST', dispatcher, headers: { 'content-type': 'application/json', ...(authorization ? { authorization: `Bearer ${authorization}` } : {}) }, body: body() })
  await response.body.dump()
  if (response.statusCode !== 200) throw new Error(`Expected 200 but received ${response.statusCode}`)
  return performance.now() - began
}

/** 50 calls a second of each kind, one of each in turn. */
async function interleaved(seconds: number): Promise<{ hook: number[]; bare: number[] }> {
  const tokens = await Promise.all(Array.from({ length: seconds * 50 }, token))
  const times = { hook: [] as number[], bare: [] as number[] }
  const began = performance.now()
  const open: Promise<unknown>[] = []
  for (const [index, one] of tokens.entries()) {
    const wait = began + index * 20 - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    open.push(call(url, one).then((ms) => times.hook.push(ms)))
    await new Promise((resolve) => setTimeout(resolve, 8))
    open.push(call(bareUrl).then((ms) => times.bare.push(ms)))
  }
  await Promise.all(open)
  return times
}

/** Answers a second with 16 callers that never rest. */
async function throughput(to: string, seconds: number): Promise<number> {
  const tokens = to === url ? await Promise.all(Array.from({ length: Math.ceil(seconds * 1_200) }, token)) : []
  const began = performance.now()
  let answered = 0
  const caller = async () => {
    while (performance.now() - began < seconds * 1000) {
      const one = to === url ? tokens.pop() : undefined
      if (to === url && !one) return
      await call(to, one)
      answered++
    }
  }
  await Promise.all(Array.from({ length: 16 }, caller))
  return answered / ((performance.now() - began) / 1000)
}

/** Through the demo EHR, which prefetches as a real one; then the result is stored. */
async function warmUp(): Promise<void> {
  for (let time = 0; time < 60; time++) {
    const answer = await fetch(`http://127.0.0.1:${demoPort}/demo/cds/hand-joints?patient=demo-1`)
    const { request: sent, response } = await answer.json() as { request: { prefetch: { conditions: unknown; photos: unknown } }; response: { cards: { suggestions?: unknown }[] } }
    ;({ conditions, photos } = sent.prefetch)
    if (response.cards[0]?.suggestions) break
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  for (let time = 0; time < 200; time++) {
    await call(url, await token())
    await call(bareUrl)
  }
}

async function answerOf<T>(from: ChildProcess): Promise<T> {
  const [message] = await once(from, 'message') as [T]
  return message
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port: free } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return free
}

function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN
}
function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
