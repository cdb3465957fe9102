import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'

/** A file of the export, as it is sent: text, or what it takes to send it. */
export type BulkFile = string | ((response: ServerResponse, request: IncomingMessage) => void | Promise<void>)

export interface BulkServer {
  readonly origin: string
  readonly base: string
  /** `METHOD path` of every request, in order. */
  readonly seen: string[]
  /** `path` of every request that carried a token, with the token. */
  readonly tokens: { readonly path: string; readonly token: string | undefined }[]
  /** Answers before the export is ready, oldest first. */
  readonly pending: { readonly status: number; readonly headers?: Record<string, string>; readonly cut?: boolean }[]
  readonly files: Map<string, BulkFile>
  /** The manifest; by default every file as Patient output. */
  manifest: () => unknown
  /** The statement's operations. */
  operations: { readonly Group?: string; readonly Patient?: string; readonly system?: string }
  contentLocation: string
  kickOffStatus: number
  token: string | undefined
  deletable: boolean
  close(): Promise<void>
}

export const patients = (...ids: string[]) => ids.map((id) => `${JSON.stringify({ resourceType: 'Patient', id })}\n`).join('')

/** A Bulk Data server on loopback, FHIR base at /fhir, files outside of it at /files as real servers have them. */
export async function startBulkServer(): Promise<BulkServer> {
  const server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const self: BulkServer = {
    origin, base: `${origin}/fhir`, seen: [], tokens: [], pending: [], files: new Map(), operations: { Group: 'export', Patient: 'export', system: 'export' },
    contentLocation: `${origin}/bulk/status/1`, kickOffStatus: 202, token: 't', deletable: true,
    manifest: () => ({
      transactionTime: '2026-11-24T00:00:00Z', request: 'x', requiresAccessToken: true,
      output: [...self.files.keys()].map((name) => ({ type: 'Patient', url: `${origin}/files/${name}` })), error: []
    }),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', origin)
    const token = request.headers.authorization?.replace('Bearer ', '')
    self.seen.push(`${request.method} ${url.pathname}${url.search}`)
    if (token !== undefined) self.tokens.push({ path: url.pathname, token })
    if (url.pathname === '/fhir/metadata') return json(response, 200, statement(self))
    const open = url.pathname.startsWith('/files/') && (self.manifest() as { requiresAccessToken: boolean }).requiresAccessToken === false
    if (!open && self.token !== undefined && token !== self.token) return json(response, 401, { resourceType: 'OperationOutcome', issue: [] })
    if (url.pathname.endsWith('$export')) {
      response.writeHead(self.kickOffStatus, self.contentLocation ? { 'content-location': self.contentLocation } : {})
      return void response.end()
    }
    if (url.pathname === '/bulk/status/1') {
      if (request.method === 'DELETE') return void response.writeHead(self.deletable ? 202 : 500).end()
      const wait = self.pending.shift()
      if (wait?.cut) return void request.socket.destroy()
      if (wait) return void response.writeHead(wait.status, { 'x-progress': 'working', ...wait.headers }).end()
      return json(response, 200, self.manifest())
    }
    const file = self.files.get(url.pathname.replace('/files/', ''))
    if (file === undefined) return void response.writeHead(404).end()
    if (typeof file !== 'string') return void await file(response, request)
    response.writeHead(200, { 'content-type': 'application/fhir+ndjson', 'content-encoding': 'gzip' }).end(gzipSync(file))
  }
  return self
}

function statement({ operations: { Group, Patient, system } }: BulkServer): unknown {
  const operation = (name: string | undefined) => (name ? { operation: [{ name, definition: 'x' }] } : {})
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
    rest: [{
      mode: 'server', ...operation(system),
      resource: [
        { type: 'Group', ...operation(Group) }, { type: 'Patient', interaction: [{ code: 'read' }], ...operation(Patient) },
        // One by which nothing can be written is asked for twice.
        { type: 'Observation', interaction: [{ code: 'create' }] }
      ]
    }]
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
