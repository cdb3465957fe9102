import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { freePort } from '../support/free-port.ts'

export interface PrivatePostgres {
  readonly url: string
  close(): Promise<void>
}

/** Where Debian and the PostgreSQL project put the server's programs; undefined when there is none. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a)) : []
  return versions.map((version) => `/usr/lib/postgresql/${version}/bin`).find((bin) => existsSync(join(bin, 'initdb')))
}

/** A cluster of its own in a temp folder, durable as in production, on a port that nobody else has. The server refuses to run as root. */
export async function startPostgres(bin: string): Promise<PrivatePostgres> {
  const dir = await mkdtemp(join(tmpdir(), 'jointlens-pg-'))
  const data = join(dir, 'data')
  const asRoot = process.getuid?.() === 0
  if (asRoot) {
    execFileSync('chown', ['postgres', dir])
    await chmod(dir, 0o700)
  }
  const command = (program: string, ...parameters: string[]): [string, string[]] =>
    asRoot ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', join(bin, program), ...parameters]] : [join(bin, program), parameters]
  execFileSync(...command('initdb', '-D', data, '-A', 'trust', '-U', 'jointlens', '--no-sync', '-E', 'UTF8'), { stdio: 'ignore', cwd: dir })
  const port = await freePort()
  const server = spawn(...command('postgres', '-D', data, '-p', String(port), '-k', dir, '-c', 'listen_addresses=127.0.0.1'), { stdio: 'ignore', cwd: dir })
  const ended = once(server, 'exit')
  for (let time = 0; !isReady(command('pg_isready', '-h', '127.0.0.1', '-p', String(port))); time++) {
    if (time > 100 || server.exitCode !== null) throw new Error('Expected PostgreSQL to start')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return {
    url: `postgres://jointlens@127.0.0.1:${port}/postgres`,
    async close() {
      server.kill('SIGINT')
      await ended
      await rm(dir, { recursive: true, force: true })
    }
  }
}

function isReady([program, parameters]: [string, string[]]): boolean {
  try {
    execFileSync(program, parameters, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
