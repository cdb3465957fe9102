/** Called at each named place of a run; a test may stop or delay it there. */
export type Failpoint = (name: string) => void | Promise<void>

/**
 * A named place where a crash test kills this process, the way a power cut would: no handler runs, nothing is closed.
 * JOINTLENS_FAILPOINT holds a name, and after a colon the n-th time it is reached (`before-transaction:2`). It is read once,
 * and never in the production profile.
 */
export function failpoint(name: string): void {
  if (!armed || armed.name !== name || ++reached < armed.hit) return
  process.kill(process.pid, 'SIGKILL')
}

const armed = readFailpoint(process.env)
let reached = 0

function readFailpoint(env: NodeJS.ProcessEnv): { readonly name: string; readonly hit: number } | undefined {
  const profile = env['JOINTLENS_PROFILE'] ?? 'production'
  const [name, hit] = (env['JOINTLENS_FAILPOINT'] ?? '').split(':')
  if (!name || !['development', 'test'].includes(profile)) return undefined
  return { name, hit: Number(hit ?? 1) }
}
