import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { fixedToken, type TokenSource } from '../../src/fhir/backend-auth.ts'
import { exportPatients, type BulkOptions } from '../../src/fhir/bulk-export.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { patients, startBulkServer, type BulkServer } from '../support/bulk-server.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

let server: BulkServer
let canary: BulkServer
let egress: Egress
let waits: number[]

beforeEach(async () => {
  server = await startBulkServer()
  canary = await startBulkServer()
  waits = []
  egress = egressForTenant(loopbackTenant(server.base))
})
afterEach(async () => {
  await egress.close()
  await server.close()
  await canary.close()
})

function run(more: Partial<BulkOptions> = {}, tokens: TokenSource = fixedToken('t')) {
  const tenant = loopbackTenant(server.base)
  return exportPatients({
    tenant, egress, tokens, session: openFhirSession({ tenant, egress, tokens }), wait: (ms) => Promise.resolve(void waits.push(ms)), ...more
  })
}
const code = (name: string) => expect.objectContaining({ code: name })
const deletions = () => server.seen.filter((one) => one.startsWith('DELETE')).length

describe('an export', () => {
  test('of a Group is kicked off, awaited, read file by file and deleted', async () => {
    server.pending.push({ status: 202 }, { status: 202, headers: { 'retry-after': '7' } })
    server.files.set('1', patients('p-1', 'p-2')).set('2', `${patients('p-2', 'p-3')}\n  \n{"resourceType":"Patient","id":"p-4"}`)
    const found: number[] = []
    const { patients: ids, errors, deleted } = await run({ group: 'ra', onProgress: (count) => found.push(count) })
    expect([[...ids], errors, deleted]).toEqual([['p-1', 'p-2', 'p-3', 'p-4'], 0, true])
    expect(found).toEqual([2, 4])
    expect(server.seen).toEqual([
      'GET /fhir/metadata', 'GET /fhir/Group/ra/$export?_type=Patient', 'GET /bulk/status/1', 'GET /bulk/status/1', 'GET /bulk/status/1',
      'GET /files/1', 'GET /files/2', 'DELETE /bulk/status/1'
    ])
    expect(waits).toEqual([2_000, 7_000])
  })

  test.each([
    [{ Patient: 'patient-export', system: 'export' }, 'GET /fhir/Patient/$export?_type=Patient'],
    [{ system: 'export' }, 'GET /fhir/$export?_type=Patient']
  ] as const)('of everyone where /metadata lists %j', async (operations, kickOff) => {
    server.operations = operations
    server.files.set('1', patients('p-1'))
    expect((await run()).patients.size).toBe(1)
    expect(server.seen[1]).toBe(kickOff)
  })

  test.each([[{ group: 'ra' }, { Patient: 'export' }], [{}, { Group: 'group-export' }]])('that /metadata does not list is not asked for (%j)', async (options, operations) => {
    server.operations = operations
    await expect(run(options)).rejects.toEqual(code('ERR_EHR_REFUSED'))
    expect(server.seen).toEqual(['GET /fhir/metadata'])
  })

  test('is looked at as often as the server allows, no more', async () => {
    const at = Date.parse('2026-11-24T10:00:00Z')
    server.pending.push(
      { status: 429, headers: { 'retry-after': '120' } }, { status: 503, headers: { 'retry-after': new Date(at + 30_000).toUTCString() } },
      { status: 202, headers: { 'retry-after': '0' } }, { status: 202, headers: { 'retry-after': '999999' } }, { status: 202, headers: { 'retry-after': 'soon' } }, { status: 200, cut: true })
    await run({ now: () => at })
    expect(waits).toEqual([120_000, 30_000, 1_000, 900_000, 32_000, 60_000])
  })

  test('that never becomes ready is given up and deleted', async () => {
    server.pending.push(...Array.from({ length: 100 }, () => ({ status: 202 })))
    let now = 0
    await expect(run({ now: () => now, wait: (ms) => { now += ms; return Promise.resolve() }, limits: { exportMs: 600_000 } })).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
    expect(server.seen.filter((one) => one === 'GET /bulk/status/1').length).toBeLessThan(20)
    expect(deletions()).toBe(1)
  })

  test.each([[500, 'ERR_EHR_UNREACHABLE'], [404, 'ERR_NOT_FOUND'], [403, 'ERR_EHR_UNAUTHORIZED']])('that fails with %d ends, and is deleted', async (status, expected) => {
    server.pending.push({ status })
    await expect(run()).rejects.toEqual(code(expected))
    expect(deletions()).toBe(1)
  })

  test('whose caller gives up is deleted all the same', async () => {
    server.pending.push({ status: 202 })
    const stop = new AbortController()
    await expect(run({ signal: stop.signal, wait: () => { stop.abort(new Error('enough')); return Promise.resolve() } })).rejects.toThrow('enough')
    expect(deletions()).toBe(1)
  })

  test('that the server will not delete is told, and is no failure', async () => {
    server.deletable = false
    server.files.set('1', patients('p-1'))
    expect(await run()).toMatchObject({ deleted: false })
  })

  test.each<[string, Partial<BulkServer>]>([
    ['200 at once', { kickOffStatus: 200 }], ['no Content-Location', { contentLocation: '' }]
  ])('whose kick-off answers %s is refused', async (_name, change) => {
    Object.assign(server, change)
    await expect(run()).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that something still refers to, buffers too: what is only waiting for the collector is collected first. */
function held(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

describe('the files of an export', () => {
  const manifest = (change: object) => {
    const usual = server.manifest() as object
    server.manifest = () => ({ ...usual, ...change })
  }

  test('of other types are not fetched; error files are counted', async () => {
    server.files.set('errors', '{"resourceType":"OperationOutcome"}\n{"resourceType":"OperationOutcome"}\n').set('1', patients('p-1'))
    manifest({ output: [{ type: 'Patient', url: `${server.origin}/files/1` }, { type: 'Observation', url: `${server.origin}/files/2` }], error: [{ type: 'OperationOutcome', url: `${server.origin}/files/errors` }] })
    expect(await run()).toMatchObject({ errors: 2, patients: new Set(['p-1']) })
    expect(server.seen).not.toContain('GET /files/2')
  })

  test.each<[string, object]>([
    ['text for the count', { count: '2' }], ['a count that is none', { count: 'two' }], ['null for the count', { count: null }]
  ])('are read where the manifest has %s, null for the errors and no word of the token, which is sent then', async (_form, change) => {
    server.files.set('1', patients('p-1', 'p-2'))
    manifest({ requiresAccessToken: undefined, output: [{ type: 'Patient', url: `${server.origin}/files/1`, ...change }], error: null })
    expect(await run()).toMatchObject({ errors: 0, patients: new Set(['p-1', 'p-2']) })
    expect(server.tokens).toContainEqual({ path: '/files/1', token: 't' })
  })

  test('announced with text for the count are still compared with it, and one without an address is none', async () => {
    server.files.set('1', patients('p-1'))
    server.token = undefined
    manifest({ requiresAccessToken: 'false', output: [{ type: 'Patient', url: `${server.origin}/files/1`, count: '2' }] })
    await expect(run()).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
    expect(server.tokens.map(({ path }) => path)).not.toContain('/files/1')
    manifest({ output: [{ type: 'Patient', url: null }] })
    await expect(run()).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test('on another server are not fetched, and the token is not shown to it', async () => {
    canary.files.set('1', patients('p-1'))
    manifest({ output: [{ type: 'Patient', url: `${canary.origin}/files/1` }] })
    await expect(run()).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toEqual([])
    expect(deletions()).toBe(1)
  })

  test('behind a redirect are not fetched either', async () => {
    server.files.set('1', (response) => { response.writeHead(302, { location: `${canary.origin}/files/1` }).end() })
    await expect(run()).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toEqual([])
  })

  test('on another server that the site lists are read without the token, where they want none', async () => {
    const tenant = loopbackTenant(server.base, { photoOrigins: [canary.origin] })
    await egress.close()
    egress = egressForTenant(tenant)
    canary.token = undefined
    canary.files.set('1', patients('p-1'))
    const output = [{ type: 'Patient', url: `${canary.origin}/files/1?signature=abc` }]
    manifest({ requiresAccessToken: false, output })
    expect([...(await run({ tenant })).patients]).toEqual(['p-1'])
    expect([canary.seen, canary.tokens]).toEqual([['GET /files/1?signature=abc'], []])
    manifest({ requiresAccessToken: true, output })
    await expect(run({ tenant })).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toHaveLength(1)
  })

  test('and a status address on another server gets no request', async () => {
    server.contentLocation = `${canary.origin}/bulk/status/1`
    await expect(run()).rejects.toEqual(code('ERR_EGRESS_REFUSED'))
    expect(canary.seen).toEqual([])
  })

  test('that need no token get none', async () => {
    server.files.set('1', patients('p-1'))
    manifest({ requiresAccessToken: false, output: [{ type: 'Patient', url: `${server.origin}/files/1` }] })
    expect((await run()).patients.size).toBe(1)
    expect(server.tokens.map(({ path }) => path)).toEqual(['/fhir/metadata', '/fhir/Patient/$export', '/bulk/status/1', '/bulk/status/1'])
  })

  test('whose address expired say so', async () => {
    manifest({ output: [{ type: 'Patient', url: `${server.origin}/files/gone` }] })
    await expect(run()).rejects.toMatchObject({ code: 'ERR_EHR_ANSWER', message: expect.stringContaining('expired') })
  })

  test('that break off, or are shorter than announced, are read again', async () => {
    let time = 0
    server.files.set('1', (response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+ndjson' })
      response.write(patients('p-1'))
      if (++time === 1) return void setTimeout(() => response.destroy(), 20)
      response.end(time === 2 ? '' : patients('p-2'))
    })
    manifest({ output: [{ type: 'Patient', url: `${server.origin}/files/1`, count: 2 }] })
    expect([...(await run()).patients]).toEqual(['p-1', 'p-2'])
    expect(time).toBe(3)
  })

  test('that stay short are an error, not fewer patients', async () => {
    server.files.set('1', patients('p-1'))
    manifest({ output: [{ type: 'Patient', url: `${server.origin}/files/1`, count: 2 }] })
    await expect(run()).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
  })

  const OUTCOME = '{"resourceType":"OperationOutcome","issue":[{"severity":"warning"}]}\n'

  test.each(['not json\n', 'null\n', '{"resourceType":"Observation","id":"1"}\n', '{"resourceType":"Patient","id":"../x"}\n', '{"resourceType":"Patient"}\n', OUTCOME])(
    'that hold %j beside patients are read on, and the result says that a line was left out', async (line) => {
      server.files.set('1', patients('p-1') + line + patients('p-2')).set('2', patients('p-3'))
      expect(await run()).toMatchObject({ leftOut: 1, patients: new Set(['p-1', 'p-2', 'p-3']) })
      if (line !== OUTCOME) {
        server.files.set('2', line)
        await expect(run()).rejects.toEqual(code('ERR_EHR_ANSWER'))
      }
    })

  test('are counted with what the export says of itself, or without', async () => {
    server.files.set('1', OUTCOME + patients('p-1')).set('2', OUTCOME)
    for (const counts of [[2, 1], [1, 0]]) {
      manifest({ output: counts.map((count, index) => ({ type: 'Patient', url: `${server.origin}/files/${index + 1}`, count })) })
      expect(await run()).toMatchObject({ leftOut: 2, patients: new Set(['p-1']) })
    }
  })

  test('whose last line breaks off are read again, and are an error when it stays so', async () => {
    let time = 0
    server.files.set('1', (response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+ndjson' })
      response.end(patients('p-1') + (++time === 1 ? patients('p-2').slice(0, 20) : patients('p-2')))
    })
    expect(await run()).toMatchObject({ leftOut: 0, patients: new Set(['p-1', 'p-2']) })
    server.files.set('1', patients('p-1') + patients('p-2').slice(0, 20))
    await expect(run()).rejects.toEqual(code('ERR_EHR_UNREACHABLE'))
  })

  test('cut anywhere, also inside a character, are the same lines', async () => {
    const bytes = Buffer.from(['p-1', 'p-2', 'p-3'].map((id) => JSON.stringify({ resourceType: 'Patient', id, name: [{ text: 'Zoë 手' }] })).join('\r\n'))
    server.files.set('1', async (response) => {
      response.writeHead(200)
      for (let at = 0; at < bytes.length; at += 7) {
        response.write(bytes.subarray(at, at + 7))
        await new Promise((resolve) => setImmediate(resolve))
      }
      response.end()
    })
    expect([...(await run()).patients]).toEqual(['p-1', 'p-2', 'p-3'])
  })

  test('are read as they arrive: a file of 60 MB is never held, one without end is broken off', async () => {
    const filler = 'x'.repeat(60_000)
    const line = (n: number) => `${JSON.stringify({ resourceType: 'Patient', id: `p-${n}`, note: filler })}\n`
    const heldAfter: number[] = []
    server.files.set('1', async (response) => {
      response.writeHead(200)
      for (let n = 0; n < 1_000; n++) {
        if (!response.write(line(n))) await new Promise((resolve) => response.once('drain', resolve))
        if (n % 50 === 49) heldAfter.push(held())
      }
      response.end()
    })
    const { patients: ids } = await run()
    expect(ids.size).toBe(1_000)
    // Whoever kept the file would hold 3 MB more each time; what others in this process take once is no part of it.
    const growth = heldAfter.slice(1).map((now, index) => now - (heldAfter[index] ?? 0)).sort((one, other) => one - other)
    expect(heldAfter.length).toBe(20)
    expect(growth[Math.floor(growth.length / 2)]).toBeLessThan(500_000)

    server.files.set('1', (response) => {
      response.writeHead(200)
      const more = () => { while (!response.destroyed && response.write('x'.repeat(65_536))); if (!response.destroyed) response.once('drain', more) }
      more()
    })
    await expect(run({ limits: { lineBytes: 1_000_000 } })).rejects.toEqual(code('ERR_EHR_ANSWER'))
    await expect(run({ limits: { lineBytes: 1e9, fileBytes: 3_000_000 } })).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })

  test('of more patients than allowed are refused', async () => {
    server.files.set('1', patients('p-1', 'p-2', 'p-3'))
    await expect(run({ limits: { patients: 2 } })).rejects.toEqual(code('ERR_EHR_ANSWER'))
  })
})

test('a token that ends meanwhile is renewed once, in the middle of an export too', async () => {
  let current = 'old'
  const renewals: string[] = []
  server.token = 'old'
  server.files.set('1', patients('p-1'))
  server.pending.push({ status: 202 })
  const tokens: TokenSource = { token: () => Promise.resolve(current), invalidate: (used) => { renewals.push(used ?? ''); current = 'new' } }
  const { patients: ids } = await run({ wait: () => { server.token = 'new'; return Promise.resolve() } }, tokens)
  expect([ids.size, renewals]).toEqual([1, ['old']])
})
