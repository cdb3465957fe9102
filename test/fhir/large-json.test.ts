import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { egressForTenant, type Egress, type EgressRequest } from '../../src/fhir/egress.ts'
import { LARGE_BYTES, parseAside, parseBody } from '../../src/fhir/large-json.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

const photo = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251))
const data = photo.toString('base64')
const media = { resourceType: 'Media', id: 'm', note: [{ text: 'Hände – 手' }], content: { contentType: 'image/jpeg', data } }
const searchset = { resourceType: 'Bundle', type: 'searchset', entry: [{ resource: media }, { resource: { resourceType: 'Media', id: 'small', content: { data: 'AAAA' } } }] }

let server: Server
let egress: Egress
let answer: (response: ServerResponse) => void

beforeAll(async () => {
  server = createServer((_request, response) => { answer(response) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  egress = egressForTenant(loopbackTenant(`http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`))
})
afterAll(async () => {
  await egress.close()
  server.closeAllConnections()
  server.close()
})

const fetched = (request: Partial<EgressRequest> = {}) =>
  egress.fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir/Media`, { purpose: 'fhir', json: true, maxBytes: 48_000_000, ...request })

test.each<[string, (response: ServerResponse, body: Buffer) => void]>([
  ['with its length told', (response, body) => { response.writeHead(200, { 'content-length': body.length }).end(body) }],
  ['in chunks that cut letters', (response, body) => {
    for (let at = 0; at < body.length; at += 65_537) response.write(body.subarray(at, at + 65_537))
    response.end()
  }],
  ['packed', (response, body) => { response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(body)) }]
])('a large answer that comes %s is parsed aside: its photo comes as bytes, that of a search is left out', async (_name, send) => {
  answer = (response) => { send(response, Buffer.from(JSON.stringify(media))) }
  const { parsed, body } = await fetched()
  expect(body).toHaveLength(0)
  expect(Buffer.from((parsed?.value as typeof media).content.data as never).equals(photo)).toBe(true)
  expect((parsed?.value as typeof media).note).toEqual(media.note)
  answer = (response) => { send(response, Buffer.from(JSON.stringify(searchset))) }
  expect((await fetched()).parsed?.value).toEqual({ ...searchset, entry: [{ resource: { ...media, content: { contentType: 'image/jpeg' } } }, searchset.entry[1]] })
})

test('a small answer, and a large one that is no JSON by request, come as bytes', async () => {
  answer = (response) => { response.end('{"a":1}') }
  expect(await fetched()).toMatchObject({ body: Buffer.from('{"a":1}') })
  answer = (response) => { response.end(photo) }
  expect((await fetched({ json: false })).body).toHaveLength(photo.length)
})

test('a large answer that is no JSON, or breaks off, or is too large, is none', async () => {
  answer = (response) => { response.end(Buffer.alloc(LARGE_BYTES * 2, '[')) }
  expect((await fetched()).parsed).toEqual({ value: undefined })
  answer = (response) => {
    response.writeHead(200, { 'content-length': 10_000_000 }).write(Buffer.from(`["${'A'.repeat(LARGE_BYTES * 2)}`))
    setTimeout(() => response.destroy(), 50)
  }
  await expect(fetched()).rejects.toMatchObject({ code: 'ERR_EHR_UNREACHABLE' })
  answer = (response) => { response.end(JSON.stringify(media)) }
  await expect(fetched({ maxBytes: 1_000_000 })).rejects.toMatchObject({ code: 'ERR_EHR_ANSWER' })
  expect((await fetched()).parsed?.value).toMatchObject({ id: 'm' })
})

test('a call whose time is over does not wait for the parser', async () => {
  const ended: string[] = []
  const busy = Promise.all(Array.from({ length: 4 }, () => parseBody(Buffer.from(`[${'{"a":[1,2,3]},'.repeat(100_000)}0]`)))).then(() => ended.push('parser'))
  answer = (response) => { response.end(JSON.stringify(media)) }
  await expect(fetched({ signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ code: 'ERR_EHR_UNREACHABLE' })
  ended.push('call')
  await busy
  expect(ended).toEqual(['call', 'parser'])
})

test('memory that is shared with others is not given away', async () => {
  const shared = Buffer.from(new ArrayBuffer(LARGE_BYTES * 3))
  shared.fill(' ')
  shared.write('{"b":2}', 100)
  expect(await parseBody(shared.subarray(0, LARGE_BYTES * 2))).toEqual({ b: 2 })
  expect(shared).toHaveLength(LARGE_BYTES * 3)
  const dropped = parseAside()
  dropped.add(shared.subarray(0, LARGE_BYTES))
  dropped.drop()
})
