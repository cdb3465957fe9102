import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { checkAddress, egressForTenant, openEgress, type Egress, type EgressRequest } from '../../src/fhir/egress.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

interface Listening { readonly origin: string; readonly hits: string[]; readonly server: Server }

async function listen(answer: RequestListener): Promise<Listening> {
  const hits: string[] = []
  const server = createServer((request, response) => {
    hits.push(`${request.method} ${request.url} ${request.headers.authorization ?? '-'}`)
    answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, hits, server }
}

let ehr: Listening
let canary: Listening
let egress: Egress
const fhir = (more: Partial<EgressRequest> = {}): EgressRequest => ({ purpose: 'fhir', ...more })
const code = (name: string) => expect.objectContaining({ code: name })

beforeAll(async () => {
  canary = await listen((_request, response) => response.end('never'))
  ehr = await listen((request, response) => {
    if (request.url === '/fhir/redirect') return void response.writeHead(302, { location: `${canary.origin}/stolen` }).end()
    if (request.url === '/fhir/large') return void response.end(Buffer.alloc(200_000))
    if (request.url === '/fhir/bomb') return void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(20_000_000)))
    if (request.url === '/fhir/hang') return
    if (request.url === '/fhir/reset') return void request.socket.destroy()
    response.end(`heard ${request.url}`)
  })
  egress = egressForTenant(loopbackTenant(`${ehr.origin}/fhir`))
})
afterAll(async () => {
  await egress.close()
  for (const { server } of [ehr, canary]) {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
})

test('a request below the FHIR base is answered', async () => {
  const { status, body } = await egress.fetch(`${ehr.origin}/fhir/Patient/1?a=b`, fhir({ headers: { authorization: 'Bearer t' } }))
  expect([status, Buffer.from(body).toString()]).toEqual([200, 'heard /fhir/Patient/1?a=b'])
})

describe('refused before anything is sent', () => {
  const port = () => new URL(ehr.origin).port
  test.each<[string, () => string]>([
    ['another server', () => `${canary.origin}/fhir/Patient/1`],
    ['a host that only begins like ours', () => `http://127.0.0.1.evil.example:${port()}/fhir/Patient/1`],
    ['our host as a user name', () => `http://127.0.0.1:${port()}@${new URL(canary.origin).host}/fhir/`],
    ['a user name', () => `http://me:secret@127.0.0.1:${port()}/fhir/Patient/1`],
    ['another port', () => 'http://127.0.0.1:1/fhir/Patient/1'],
    ['a path that leaves the base', () => `${ehr.origin}/fhir/../admin`],
    ['an encoded path that leaves the base', () => `${ehr.origin}/fhir/%2e%2e/admin`],
    ['an encoded slash', () => `${ehr.origin}/fhir/..%2fadmin`],
    ['a base that only begins like ours', () => `${ehr.origin}/fhir-other/Patient/1`],
    ['a fragment', () => `${ehr.origin}/fhir/Patient/1#x`],
    ['a line break', () => `${ehr.origin}/fhir/Patient/1\r\nX-Evil: 1`],
    ['a backslash', () => `${ehr.origin}\\fhir`],
    ['a file', () => 'file:///etc/passwd'],
    ['no address', () => 'Patient/1']
  ])('%s', async (_what, url) => {
    const before = ehr.hits.length
    await expect(egress.fetch(url(), fhir())).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect([ehr.hits.length, canary.hits]).toEqual([before, []])
  })

  test('a token on its way to anything but the FHIR server', async () => {
    const wider = egress.alsoTo('photo', canary.origin)
    await expect(wider.fetch(`${canary.origin}/p.jpg`, { purpose: 'photo', headers: { Authorization: 'Bearer t' } })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.hits).toEqual([])
  })

  test('an origin listed for another purpose', async () => {
    const wider = egress.alsoTo('photo', canary.origin)
    await expect(wider.fetch(`${canary.origin}/keys`, { purpose: 'keys' })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
  })

  test('http where the tenant asks for https', async () => {
    const strict = egressForTenant({ ...loopbackTenant(`${ehr.origin}/fhir`), allowHttp: false })
    await expect(strict.fetch(`${ehr.origin}/fhir/Patient/1`, fhir())).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    await strict.close()
  })
})

describe('private addresses, for a tenant on the public network', () => {
  test.each([
    '127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '100.64.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255',
    '::1', '::', 'fe80::1', 'fc00::1', 'fd00:ec2::254', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '64:ff9b::7f00:1', '2002:7f00:1::'
  ])('%s is refused', (address) => {
    expect(() => checkAddress(address, false)).toThrow(code('ERR_EGRESS_REFUSED'))
  })

  test.each(['93.184.216.34', '2606:2800:220:1::1', '172.32.0.1'])('%s is allowed', (address) => {
    expect(() => checkAddress(address, false)).not.toThrow()
  })

  test.each(['169.254.169.254', '::ffff:169.254.169.254', 'fe80::1', '0.0.0.0', 'fd00:ec2::254'])('%s is refused even for an EHR in a private network', (address) => {
    expect(() => checkAddress(address, true)).toThrow(code('ERR_EGRESS_REFUSED'))
  })

  test.each(['127.0.0.1', '2130706433', '0x7f.1', '0177.0.0.1', '[::ffff:127.0.0.1]', 'localhost'])('a listed origin at %s is not connected to', async (host) => {
    const port = new URL(ehr.origin).port
    const base = new URL(`http://${host}:${port}/fhir`)
    const open = openEgress({ origins: { fhir: [base.origin] }, fhirBase: base.href, allowHttp: true, allowPrivateNetwork: false })
    const before = ehr.hits.length
    await expect(open.fetch(`${base.href}/Patient/1`, fhir())).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(ehr.hits.length).toBe(before)
    await open.close()
  })

  test('a name that leads to an allowed address is connected to', async () => {
    const base = `http://localhost:${new URL(ehr.origin).port}/fhir`
    const open = egressForTenant(loopbackTenant(base))
    const { status } = await open.fetch(`${base}/Patient/1`, fhir())
    expect(status).toBe(200)
    await open.close()
  })
})

describe('answers', () => {
  test('a redirect ends the request, and its target hears nothing', async () => {
    await expect(egress.fetch(`${ehr.origin}/fhir/redirect`, fhir())).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.hits).toEqual([])
  })
  test.each(['large', 'bomb'])('a %s answer is cut off, counted after decompression', async (path) => {
    await expect(egress.fetch(`${ehr.origin}/fhir/${path}`, fhir({ maxBytes: 100_000, tooLarge: 'ERR_PHOTO_TOO_LARGE' }))).rejects.toEqual(code('ERR_PHOTO_TOO_LARGE'))
  })
  test('no answer in time is unreachable', async () => {
    await expect(egress.fetch(`${ehr.origin}/fhir/hang`, fhir({ timeoutMs: 150 }))).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
  })
  test('a broken connection is unreachable, and the error carries no address', async () => {
    const error: unknown = await egress.fetch(`${ehr.origin}/fhir/reset`, fhir()).catch((one: unknown) => one)
    expect(error).toEqual(code('ERR_EHR_UNREACHABLE'))
    expect(String(error)).not.toContain('127.0.0.1')
  })
  test('the caller can stop it', async () => {
    const stopped = new Error('enough')
    const caller = new AbortController()
    setTimeout(() => { caller.abort(stopped) }, 100)
    await expect(egress.fetch(`${ehr.origin}/fhir/hang`, fhir({ signal: caller.signal }))).rejects.toBe(stopped)
  })
  test("the caller's own time-out is unreachable, too", async () => {
    await expect(egress.fetch(`${ehr.origin}/fhir/hang`, fhir({ signal: AbortSignal.timeout(100) }))).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
  })
})
