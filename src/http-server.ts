import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { ScreeningError } from './errors.ts'

/** Longer than the 60 s for which proxies keep a connection by default: whoever lets go first must not be us, or a call meets a closed door. */
const KEEP_ALIVE_MS = 65_000
/** What is at work when the process is to end may take so long. */
const DRAIN_MS = 5_000

/** Bounded in time and number, against callers who never end what they send. */
export function openHttpServer(app: RequestListener): Server {
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 15_000, keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: 32_768 }, app)
  server.maxConnections = 1_000
  return server
}

/** Throws ERR_CONFIG when somebody else has the port, or it is not ours to take. */
export async function listen(server: Server, { port, host }: { readonly port: number; readonly host: string }): Promise<void> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (cause) {
    throw new ScreeningError('ERR_CONFIG', `Expected PORT ${port} on HOST ${host} to be free but received ${(cause as NodeJS.ErrnoException).code ?? 'a failure'}`, { cause })
  }
}

/** Answers what is at work and takes no new connection; one that is kept open ends with its answer. */
export async function stopListening(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.prependListener('request', (_request, response) => void response.setHeader('Connection', 'close'))
  server.close()
  server.closeIdleConnections()
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const last = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
  await closed
  clearInterval(idle)
  clearTimeout(last)
}
