import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What a network does to a connection, below HTTP; bytes are counted in the direction of the client. */
export type NetworkFault =
  | { readonly kind: 'none' }
  /** Each chunk comes later by so much. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** The connection is taken and nothing is ever answered: a half-open socket. */
  | { readonly kind: 'half-open' }
  /** So many bytes, then silence. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** One byte at a time. */
  | { readonly kind: 'slice'; readonly everyMs: number }
  /** So many bytes, then a reset, or a close as if that had been all. */
  | { readonly kind: 'reset' | 'close'; readonly afterBytes: number }
  /** What the client sends does not arrive, and nobody says so. */
  | { readonly kind: 'swallow' }

export interface Relay {
  readonly port: number
  fault: NetworkFault
  /** Connections that clients have open. */
  readonly open: () => number
  close(): Promise<void>
}

/** Stands between a client and a server on loopback, and spoils what passes. A connection keeps the fault that it began with. */
export async function openRelay(target: number): Promise<Relay> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    sockets.add(client)
    client.on('close', () => sockets.delete(client)).on('error', () => undefined)
    if (self.fault.kind === 'half-open') return void client.resume()
    const upstream = connect(target, '127.0.0.1').on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
    if (self.fault.kind === 'swallow') client.resume()
    else client.pipe(upstream)
    pass(upstream, client, self.fault)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const self: Relay = {
    port: (server.address() as AddressInfo).port, fault: { kind: 'none' }, open: () => sockets.size,
    async close() {
      for (const one of sockets) one.destroy()
      const closed = once(server, 'close')
      server.close()
      await closed
    }
  }
  return self
}

function pass(from: Socket, to: Socket, fault: NetworkFault): void {
  let passed = 0
  const left = () => 'afterBytes' in fault ? Math.max(0, fault.afterBytes - passed) : Infinity
  from.on('data', (chunk: Buffer) => {
    if (fault.kind === 'latency') return void setTimeout(() => to.write(chunk), fault.ms)
    if (fault.kind === 'slice') return slice(chunk, to, fault.everyMs)
    const part = chunk.subarray(0, left())
    passed += part.byteLength
    to.write(part)
    if (left() > 0) return
    if (fault.kind === 'reset') to.resetAndDestroy()
    if (fault.kind === 'close') to.end()
  })
  from.on('end', () => { if (fault.kind === 'none') to.end() })
}

function slice(chunk: Buffer, to: Socket, everyMs: number): void {
  let index = 0
  const timer = setInterval(() => {
    if (to.destroyed || index >= chunk.byteLength) return clearInterval(timer)
    to.write(chunk.subarray(index, ++index))
  }, everyMs)
}
